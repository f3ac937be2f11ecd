"""What every network can do: make, edit and delete copies so that there is never more than one.

Before anything is sent that makes a copy, the job says so on the disk; a try that follows one that
may have arrived looks first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bridge.syndication.backfeed.answers import CopyAnswers
from bridge.syndication.compose.composing import Card, Source
from bridge.syndication.compose.images import NoImage, Photo, fit_in_subprocess
from bridge.syndication.compose.shown import Picture
from bridge.syndication.jobs import Copy, Job


class Refused(Exception):
    """The copy cannot be made as things are; the text tells the owner why."""


class Environment(Protocol):
    """What a network needs of the bridge."""

    async def picture(self, url: str) -> bytes:
        """The bytes of a photo. Raises :class:`Refused` where they cannot be had."""
        ...

    async def card(self, card: Card) -> Card:
        """A card with what the page says of itself."""
        ...

    def save(self, job: Job) -> None:
        """Have what a job says on the disk before going on."""
        ...

    def is_taken(self, url: str) -> bool:
        """Whether a copy is already known to be that of another post."""
        ...

    def now(self) -> datetime:
        """The time."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A copy that is there now; ``earlier``: an earlier try has made it, of the post as it was."""

    url: str
    id: str
    text: str = ""
    alts: tuple[str, ...] = ()
    earlier: bool = False


class Network(Protocol):
    """Copies at one account. Every method raises :class:`ApiError` and :class:`Refused`."""

    async def post(self, job: Job, source: Source) -> Made:
        """Make the copy, or find the one that an earlier try has made."""
        ...

    async def edit(self, job: Job, source: Source, copy: Copy) -> Made | None:
        """Have the copy say what the post says; ``None`` where it does."""
        ...

    async def delete(self, job: Job) -> None:
        """Have the copy gone."""
        ...

    def is_mine(self, url: str) -> bool:
        """Whether an address is that of a copy at this account."""
        ...

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """The answers to a copy; ``None`` where, by a cheap look, there is nothing new since
        ``seen``, unless it is to be ``full``."""
        ...


async def fitting(
    environment: Environment,
    picture: Picture,
    *,
    most_bytes: int,
    longest: int,
    most_pixels: int = 100_000_000,
    mimes: Iterable[str] | None = None,
) -> Photo:
    """A photo as a network takes it. Raises :class:`Refused`."""
    data = await environment.picture(picture.url)
    try:
        return await fit_in_subprocess(
            data,
            most_bytes=most_bytes,
            longest=longest,
            most_pixels=most_pixels,
            mimes=tuple(mimes or ("image/jpeg", "image/png", "image/webp")),
        )
    except NoImage as error:
        raise Refused(f"the photo {picture.url} cannot be sent: {error}") from error


def counted(value: object) -> int:
    """A number that an API tells; 0 for anything else."""
    return value if isinstance(value, int) and value > 0 else 0
