"""Repacks many small packs into fewer larger ones, in the background.

Each round of commits leaves a pack. ``git repack --geometric`` joins them so that their number
grows with the logarithm of the history only. Objects are moved and never dropped, so that it does
not matter what is being committed in the meantime; readers that had an old pack look again, as git
does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from typing import Any

from git import GitError

from bridge.store.bounded_git import SECONDS, communicate, end, kill
from bridge.store.repo import BareRepo

_log = logging.getLogger(__name__)
_MANY = 50  # as git's own gc.autoPackLimit
_END = 1.0  # seconds that closing waits for the thread, once git has been ended
_RESTS = 20  # times as long as it has worked: requests come first
# Synced before the old packs are deleted; on one core, because nothing waits for it.
_REPACK = ("-c", "core.fsync=all", "-c", "pack.threads=1", "repack", "--geometric=2", "-d", "-q")


class Housekeeper:
    """Counts commits, and repacks from time to time in a thread of its own."""

    def __init__(self, bare_repo: BareRepo, *, seconds: float = SECONDS) -> None:
        """``seconds`` is how long git may stand still before it is ended."""
        self._bare_repo = bare_repo
        self._objects = bare_repo.common / "objects"
        self._seconds = seconds
        self._rounds = 0
        self._rest = 0.0  # not before
        self._thread: threading.Thread | None = None
        self._running: Any = None  # GitPython's process, which it does not annotate
        self._closed = False

    def committed(self) -> None:
        """Count a commit. Returns at once."""
        self._rounds += 1
        busy = self._thread is not None and self._thread.is_alive()
        if self._rounds < _MANY or busy or time.monotonic() < self._rest:
            return
        self._rounds = 0
        self._thread = threading.Thread(target=self._tidy, name="housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Interrupt a running repack: git has not put anything into place yet."""
        self._closed = True
        process = self._running
        if process is not None:
            end(process)
        if self._thread:
            self._thread.join(_END)

    def _tidy(self) -> None:
        """Repack, unless there is little to do, or another bridge is repacking."""
        try:
            packs = [*self._objects.joinpath("pack").glob("*.pack")]
            if len(packs) < _MANY:
                return
            file = os.open(self._objects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                begin = time.monotonic()
                self._repack()
                self._rest = time.monotonic() + _RESTS * (time.monotonic() - begin)
            finally:
                os.close(file)
        except BlockingIOError:
            return
        except (OSError, GitError) as error:
            if not self._closed:
                _log.warning("small packs could not be joined: %s", error)

    def _repack(self) -> None:
        command = ["git", f"--git-dir={self._bare_repo.repo.git_dir}", *_REPACK]
        # A process group of its own, since git has another one do the work.
        process = self._bare_repo.repo.git.execute(command, as_process=True, start_new_session=True)
        self._running = process
        if self._closed:
            end(process)
        try:
            _, said = communicate(process, self._seconds)
            process.wait(said)
        except TimeoutError as error:
            end(process)
            raise TimeoutError(f"git repack {error}") from error
        finally:
            kill(process)
            self._running = None
