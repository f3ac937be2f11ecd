"""The step from changes to a commit, and to everybody who wants to know of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.catalogue import Catalogue
from bridge.errors import Conflict, InsufficientStorage, Unavailable
from bridge.media.library import MediaLibrary
from bridge.store import (
    Change,
    ChangedMeanwhile,
    Commit,
    MovedMeanwhile,
    OwnersEdit,
    StoreError,
    StoreFull,
    Version,
)
from bridge.store.queue import CommitQueue


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

        Raises ChangedMeanwhile and MovedMeanwhile, after which looking again helps, and otherwise
        Conflict, InsufficientStorage, Unavailable.
        """
        try:
            version = await self._queue.commit(Commit(tuple(changes), message, base))
        except (ChangedMeanwhile, MovedMeanwhile):
            raise
        except StoreError as error:
            raise translated(error) from error
        for listener in self._listeners:
            listener(version)
        await self._media.committed(changes)
        return version

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        """A commit of files alone, which rests on nothing but themselves."""
        base = await self._catalogue.refresh()
        try:
            await self.commit(changes, message, base)
        except (ChangedMeanwhile, MovedMeanwhile) as error:
            raise Conflict("Somebody else has committed in between. Try again.") from error


def translated(error: StoreError) -> Conflict | InsufficientStorage | Unavailable:
    """What a client is told of a store that could not write."""
    match error:
        case OwnersEdit(path=path):
            return Conflict(
                f"{path} has changes of yours that are not committed. Commit or undo them, then"
                " try again."
            )
        case StoreFull():
            return InsufficientStorage(f"Nothing was written: {error}. Make room, then try again.")
        case _:
            return Unavailable(f"Nothing was written: {error}. Try again in a moment.")
