"""Groups commits of concurrent requests: those that wait while a group is written form the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bridge.store import Commit, ContentStore, StoreBusy, Version

_TOGETHER = 256  # one group; enough that the syncs no longer count


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A commit, and the future of the request that waits for it."""

    commit: Commit
    answer: asyncio.Future[Version]


class CommitQueue:
    """Makes the store usable from asyncio: one thread commits, and requests share its rounds of
    syncs.

    For use on one event loop. Commits are made in the order in which they were added.
    """

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._waiting: list[_Waiting] = []
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    async def commit(self, commit: Commit) -> Version:
        """Make a commit and return its version. Raises its :class:`StoreError`.

        If the caller is cancelled while waiting, the commit may or may not be made, as with any
        request whose connection breaks.
        """
        if self._closed:
            raise StoreBusy("the bridge is shutting down")
        waiting = _Waiting(commit, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._work is None:
            self._work = asyncio.create_task(self._drain())
        return await waiting.answer

    async def close(self) -> None:
        """Accept no more commits, finish those that wait, and end the thread."""
        self._closed = True
        if self._work is not None:
            await self._work
        self._thread.shutdown(wait=False)

    async def _drain(self) -> None:
        """Commit group after group until none is left."""
        try:
            while self._waiting:
                group = [each for each in self._waiting[:_TOGETHER] if not each.answer.done()]
                del self._waiting[:_TOGETHER]
                if group:
                    await self._commit(group)
        finally:
            self._work = None

    async def _commit(self, group: list[_Waiting]) -> None:
        commits = [each.commit for each in group]
        answers: Sequence[Version | Exception]
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._store.commit, commits)
        except Exception as error:  # noqa: BLE001  # each waiter of the group gets it
            answers = [error] * len(group)
        for each, answer in zip(group, answers, strict=True):
            if each.answer.done():
                continue  # its request was cancelled
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)
