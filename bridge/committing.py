"""The step from changes to a commit, and to everybody who wants to know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bridge.catalogue import Catalogue
from bridge.errors import Conflict
from bridge.media.library import MediaLibrary
from bridge.store import Change, ChangedMeanwhile, Commit, MovedMeanwhile, Version
from bridge.store.queue import CommitQueue

#: How often somebody looks again after others have committed in between.
_TRIES = 10
_Done = TypeVar("_Done")


class Committer:
    """Commits, then tells the listeners.

    ``listeners`` are called with each new version, and return at once: the catalogue, the
    rebuilder, the remote. No answer waits for what they do about it.
    """

    def __init__(
        self,
        queue: CommitQueue,
        catalogue: Catalogue,
        media: MediaLibrary,
        listeners: Sequence[Callable[[Version], None]],
    ) -> None:
        self._queue = queue
        self._catalogue = catalogue
        self._media = media
        self._listeners = listeners

    async def commit(self, changes: Sequence[Change], message: str, base: Version) -> Version:
        """One commit; when this returns it is on disk.

        Raises the :class:`~bridge.store.StoreError` of the store; after ChangedMeanwhile and
        MovedMeanwhile, looking again helps (:func:`until_undisturbed`).
        """
        version = await self._queue.commit(Commit(tuple(changes), message, base))
        for listener in self._listeners:
            listener(version)
        await self._media.committed(changes)
        return version

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        """A commit of files alone, which rests on nothing but themselves."""

        async def attempt() -> None:
            await self.commit(changes, message, await self._catalogue.refresh())

        await until_undisturbed(attempt)


async def until_undisturbed(attempt: Callable[[], Awaitable[_Done]]) -> _Done:
    """Look and commit again while others commit in between; raises Conflict after some tries."""
    for _ in range(_TRIES):
        try:
            return await attempt()
        except (ChangedMeanwhile, MovedMeanwhile):
            continue
    raise Conflict("Somebody else keeps changing the site at the same moment. Try again.")
