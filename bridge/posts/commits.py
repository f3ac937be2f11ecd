"""Commits changes, and notifies the listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from bridge.errors import Conflict
from bridge.media.library import MediaLibrary
from bridge.posts.catalogue import Catalogue
from bridge.runtime.background import Background
from bridge.store import BranchMoved, Change, Commit, FileChanged, Version
from bridge.store.queue import CommitQueue

log = logging.getLogger(__name__)

#: How often an attempt is repeated after others have committed in between.
_TRIES = 10
#: Seconds that an answer waits for the media library to let go of what is committed.
_MEDIA_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_Done = TypeVar("_Done")


class Committer:
    """Commits, then tells the listeners.

    ``listeners`` are called with each new version, and return at once: the catalogue, the
    rebuilder, the remote. No answer waits for what they do about it, or fails because they do.
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
        self._background = Background()

    async def commit(self, changes: Sequence[Change], message: str, base: Version) -> Version:
        """One commit; when this returns it is on disk.

        Raises the :class:`~bridge.store.StoreError` of the store; after FileChanged and
        BranchMoved, another look helps (:func:`retry_on_conflict`). When the caller is
        cancelled the commit is made all the same, and the listeners are told.
        """
        commit = Commit(tuple(changes), message, base)
        return await asyncio.shield(self._background.start(self._commit(commit)))

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        """A commit of files alone, which rests on nothing but themselves."""

        async def attempt() -> None:
            await self.commit(changes, message, await self._catalogue.refresh())

        await retry_on_conflict(attempt)

    async def close(self) -> None:
        """Wait for commits that are being made."""
        await self._background.close(_CLOSE_SECONDS)

    async def _commit(self, commit: Commit) -> Version:
        version = await self._queue.commit(commit)
        for listener in self._listeners:
            with after_commit("a listener"):
                listener(version)
        with after_commit("the media library"):
            async with asyncio.timeout(_MEDIA_SECONDS):
                await self._media.committed(commit.changes)
        return version


@contextmanager
def after_commit(what: str) -> Iterator[None]:
    """Around each step that follows a durable commit: what fails in it is logged, never raised.

    The client's post is safe by then. An error answer would have it sent again.
    """
    try:
        yield
    except Exception:
        log.exception("a commit is made, but %s failed after it", what)
    except asyncio.CancelledError:
        # Our own end goes on; that of something we wait for is its failure.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.exception("a commit is made, but %s was cancelled after it", what)


async def retry_on_conflict(attempt: Callable[[], Awaitable[_Done]]) -> _Done:
    """Look and commit again when others commit in between; raises Conflict after some tries."""
    for _ in range(_TRIES):
        try:
            return await attempt()
        except (FileChanged, BranchMoved):
            continue
    raise Conflict(
        "Nothing was written: other commits to the site kept getting in between. Try again."
    )
