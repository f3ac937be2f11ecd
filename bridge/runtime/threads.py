"""Threads on a machine that may refuse to start one, for want of memory or processes."""

from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor

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


def _refused() -> OSError:
    return OSError(
        errno.EAGAIN, "the system starts no more threads: out of memory, or too many processes"
    )
