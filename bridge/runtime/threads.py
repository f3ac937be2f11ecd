"""Threads on a machine that may refuse to start one, for want of memory or processes; and turns
among apps, so that none waits for all that another one has sent at once.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

#: A number of the app that something is done for; 0: none.
APP: ContextVar[int] = ContextVar("app", default=0)
#: What the system reports where something works again once others have ended.
_SCARCE = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


def start(thread: threading.Thread) -> None:
    """Start a thread. Raises ``OSError``, as starting a process does, if the system refuses."""
    try:
        thread.start()
    except RuntimeError as error:
        raise _refused() from error


def is_scarce(error: BaseException) -> bool:
    """Whether memory, processes or open files have run out."""
    if isinstance(error, OSError):
        return error.errno in _SCARCE
    # Python 3.11 starts a thread for each child process.
    return isinstance(error, MemoryError) or "can't start new thread" in str(error)


class ThreadPool(ThreadPoolExecutor):
    """A pool that goes on with the threads it has, if the system refuses to start another.

    Without any, what is submitted raises ``OSError`` and is not done. Python's own pool reports
    that it failed, and does it later.
    """

    def __init__(self, most: int, name: str, *, first: int = 0) -> None:
        """``first`` is how many threads are started at once. Raises ``OSError``."""
        super().__init__(most, name)
        started = threading.Event()
        try:
            for _ in range(first):
                self.submit(started.wait)
        finally:
            started.set()
        if len(self._threads) < first:
            self.shutdown(wait=False)
            raise _refused()

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                self._work_queue.get_nowait()
                raise _refused() from error


class Turns:
    """A semaphore for which apps wait in turn."""

    def __init__(self, places: int) -> None:
        self._free = places
        #: By app; the first one is next.
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}

    async def acquire(self) -> None:
        """Wait for a place, as the current app."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(APP.get(), deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give the place to the next app."""
        while self._waiting:
            app = next(iter(self._waiting))
            turns = self._waiting.pop(app)
            turn = turns.popleft()
            if turns:
                self._waiting[app] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _refused() -> OSError:
    return OSError(
        errno.EAGAIN, "the system starts no more threads: out of memory, or too many processes"
    )
