"""Builds the site from commits. Each way of building is a :class:`Rebuilder`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from bridge.store import Version


class Slow(Struct, frozen=True):
    """Why each change needs a full run of Pelican (a clause after "since"), and the remedy.

    Or, if not ``by_command``, why the site is kept warm, but all pages are rendered.
    """

    reason: str
    remedy: str
    by_command: bool = True


class BuildStatus(Struct, frozen=True):
    """What the builder is doing, and how the last build ended.

    ``reason`` and ``file`` say why a build failed and on which file, where that is known;
    ``left_out`` pairs files that were left out of the site with the reason; ``warnings`` are what
    else the owner should know about a successful build, ``denied`` files that the site's code has
    tried to read, and may not. ``slow`` says why the site is not kept warm, where that is
    wanted, or why all pages are rendered. ``finished`` is in seconds since the epoch,
    ``version`` the last version that is wholly on disk.
    """

    state: Literal["idle", "building", "failed"] = "idle"
    version: Version | None = None
    finished: float | None = None
    reason: str | None = None
    file: str | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    slow: Slow | None = None


class Rebuilder(Protocol):
    """Builds the site, one build at a time, never losing a change that comes in the meantime."""

    @property
    def is_local(self) -> bool:
        """Whether pages appear on this machine."""
        ...

    @property
    def output(self) -> Path | None:
        """The folder of pages; ``None`` where there is none on this machine, or where only the
        site's settings say which, until these have been read."""
        ...

    @property
    def previews(self) -> Path | None:
        """The folder of the pages of private drafts, likewise."""
        ...

    async def start(self) -> None:
        """Start; builds what was committed before."""
        ...

    def changed(self, version: Version) -> None:
        """Schedule a build of this version. Returns at once; calls in quick succession cost one
        build.
        """
        ...

    async def live(self, version: Version, page: str, seconds: float) -> bool:
        """Wait until ``page``, a path in the output, shows ``version``; ``False`` if too late."""
        ...

    def status(self) -> BuildStatus:
        """The current status."""
        ...

    async def close(self) -> None:
        """End cleanly: no partially written page and no process is left behind."""
        ...
