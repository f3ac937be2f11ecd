"""Protocols and values of one build: the task, the outcome, the errors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import Struct

from bridge.rebuild import Slow
from bridge.settings import prefix_of
from bridge.store import Version

#: Called with output files that are in place.
Shown: TypeAlias = Callable[[Iterable[str]], None]


def ignore(pages: Iterable[str]) -> None:
    """Ignore which pages are shown: nothing waits for them."""
    del pages


class Task(Struct, frozen=True):
    """Build ``version``, whose files are in ``checkout``.

    ``changed`` are the files that have changed since the last successful build, ``new`` those that
    have changed since the last attempt (``None``: the same). ``unread`` are those that Pelican
    skipped in the last successful build, ``None`` where there was none. ``shown`` is to be called
    with output files as soon as they are in place, early ones first, ``previewed`` with the
    previews of private drafts. ``left_out`` are posts to build the site without; their files are
    there, unless the builder is the owner's command. ``lacks``: a clone would have submodules or
    links that the checkout does not.
    """

    version: Version
    checkout: Path
    changed: frozenset[str]
    shown: Shown = ignore
    previewed: Shown = ignore
    unread: frozenset[str] | None = None
    new: frozenset[str] | None = None
    left_out: frozenset[str] = frozenset()
    lacks: bool = False

    def left_out_below(self, content: str) -> tuple[str, ...]:
        """What is left out of the content folder, as paths in there."""
        inside = prefix_of(content)
        return tuple(
            sorted(path[len(inside) :] for path in self.left_out if path.startswith(inside))
        )

    @property
    def since_last_try(self) -> frozenset[str]:
        """The files that have changed since the last build that was tried."""
        return self.changed if self.new is None else self.new

    @property
    def excused(self) -> frozenset[str] | None:
        """The files that may be unreadable without failing the build; ``None``: any."""
        return None if self.unread is None else self.changed | self.unread


class BuildOutcome(Struct, frozen=True):
    """A successful build: the output files that changed, written or removed.

    ``left_out`` are source files that are not in it, with the reason; ``warnings`` are errors that
    were logged, and cost the site nothing. ``slow``: why the warm builder did not build it, where
    there is one, or had to render all pages.
    """

    files: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    slow: Slow | None = None


class BuildFailed(Exception):
    """The build failed; the last good site is still in place.

    ``file`` is the source file at fault (a path in the checkout), where that is known.
    ``passing`` is true where the same build may go well later: a timeout, a service away.
    """

    def __init__(self, reason: str, *, file: str | None = None, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.passing = passing


class BuildTookTooLong(BuildFailed):
    """The build was ended at its time limit: the machine was busy, or a file keeps it busy."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, passing=True)


class Superseded(Exception):
    """The build was cancelled because there is a newer version to build."""


class Builder(Protocol):
    """One way of building a checkout. Called for one build at a time."""

    async def build(self, task: Task) -> BuildOutcome:
        """Build; raises :class:`BuildFailed`, or :class:`Superseded` after :meth:`preempt`."""
        ...

    def stays_warm(self, changed: Collection[str]) -> bool:
        """Whether a build of these changes depends on files that earlier builds have left."""
        ...

    def needs_warm_up(self) -> bool:
        """Whether it is worth building now only so that the next build is fast."""
        ...

    def preempt(self) -> None:
        """A newer version is waiting: cancel the running build if that is possible."""
        ...

    async def run_when_idle(self, task: Task) -> str | None:
        """Verify the site while there is nothing to build; cancelled when there is.

        ``task`` is the last successful build. Returns what the owner should know.
        """
        ...

    async def abandon(self) -> None:
        """The builds since the last successful one have failed for good: restore its site."""
        ...

    async def close(self) -> None:
        """End every process."""
        ...


class BuildJob(Protocol):
    """Everything to do about a new version. Called for one at a time."""

    @property
    def next_due(self) -> datetime | None:
        """When there will be work without a new version."""
        ...

    async def do(self, version: Version, shown: Shown, previewed: Shown = ignore) -> BuildOutcome:
        """Do it; ``shown`` and ``previewed`` are those of a :class:`Task`.

        Raises what a builder raises, ``StoreError`` or ``OSError``.
        """
        ...

    def preempt(self) -> None:
        """A newer version is waiting: cancel the running build if that is possible."""
        ...

    async def run_when_idle(self) -> str | None:
        """Maintenance while there is nothing to do; cancelled when there is.

        Returns what the owner should know.
        """
        ...

    async def close(self) -> None:
        """End every process."""
        ...
