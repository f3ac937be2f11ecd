"""The interface of a network (create, edit and delete copies, never more than one for a post), and
an account there.

A job is stored as possibly sent before each request that creates a copy; a later attempt then
searches for the copy first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from bridge.settings import Target
from bridge.syndication.backfeed.responses import CopyAnswers
from bridge.syndication.compose.composer import Card, CopySource
from bridge.syndication.compose.images import NoImage, Photo, fit_in_subprocess
from bridge.syndication.compose.post_page import PagePhoto
from bridge.syndication.jobs.ledger import Copy, Job, Ledger, Trouble


class CopyRefused(Exception):
    """The copy cannot be made as things are; the text is for the owner."""


class Environment(Protocol):
    """What a network needs from the bridge."""

    async def picture(self, url: str) -> bytes:
        """The bytes of the photo at ``url``. Raises :class:`CopyRefused` if they cannot be had."""
        ...

    async def card(self, card: Card) -> Card:
        """A card completed from the linked page's metadata."""
        ...

    def save(self, job: Job) -> None:
        """Store the job durably before going on."""
        ...

    def is_taken(self, url: str) -> bool:
        """Whether the copy at ``url`` is already known as another post's."""
        ...

    def now(self) -> datetime:
        """The present time."""
        ...


class CreatedCopy(Struct, frozen=True):
    """A copy that exists now. ``earlier``: an earlier attempt made it, maybe of an older
    version.
    """

    url: str
    id: str
    text: str = ""
    alts: tuple[str, ...] = ()
    earlier: bool = False


class Network(Protocol):
    """Copies at one account. Every method raises :class:`ApiError` and :class:`CopyRefused`."""

    async def post(self, job: Job, source: CopySource) -> CreatedCopy:
        """Create the copy, or find the one that an earlier attempt created."""
        ...

    async def edit(self, job: Job, source: CopySource, copy: Copy) -> CreatedCopy | None:
        """Update the copy to the post's content; ``None`` where nothing was changed."""
        ...

    async def delete(self, job: Job) -> None:
        """Delete the copy; no error if it is gone already."""
        ...

    def is_mine(self, url: str) -> bool:
        """Whether ``url`` is that of a status or post of this account."""
        ...

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """The responses to a copy; ``None`` where a cheap request shows nothing new since ``seen``.
        A copy that is not there is ``is_missing``.

        ``full`` fetches all of them in any case.
        """
        ...


async def fit_photo(
    environment: Environment,
    picture: PagePhoto,
    *,
    most_bytes: int,
    longest: int,
    most_pixels: int = 100_000_000,
    mimes: Iterable[str] | None = None,
) -> Photo:
    """A photo scaled to a network's limits. Raises :class:`CopyRefused`."""
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
        raise CopyRefused(f"the photo {picture.url} cannot be sent: {error}") from error


def count_of(value: object) -> int:
    """A count from an API's response; 0 for an invalid value."""
    return value if isinstance(value, int) and value > 0 else 0


#: Pause of a target whose token was refused, in seconds, unless it gets another token.
_OFF_SECONDS = 3_600.0


class Account(Struct, frozen=True):
    """A target, its network, and a hash of its token."""

    target: Target
    network: Network
    token: Callable[[], str]

    def is_off(self, ledger: Ledger, seconds: float) -> bool:
        """Whether this token was refused within the last hour."""
        trouble = ledger.trouble(self.target.uid)
        if trouble is None or trouble.token != self.token():
            return False
        return 0 <= seconds - trouble.asked < _OFF_SECONDS

    def refuse(self, ledger: Ledger, error: Exception, seconds: float) -> None:
        """Record that the token was refused at the time ``seconds``. Raises ``OSError``."""
        old = ledger.trouble(self.target.uid)
        since = old.since if old else seconds
        ledger.set_trouble(self.target.uid, Trouble(str(error), since, self.token(), seconds))
