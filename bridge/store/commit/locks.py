"""Locks for writers: one among bridges, and git's own ``X.lock`` files.

Git's locks are files that exist. Ours is a second name (a hard link) of a temporary file of ours,
so that one left behind by a killed bridge is known to be ours by its inode.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.store import StoreBusy
from bridge.store.commit.disk import Disk

_log = logging.getLogger(__name__)
_PAUSE = 0.005


@contextmanager
def writer(folder: Path, patience: float) -> Iterator[None]:
    """Be the only bridge that writes to the repo of this folder, which git never replaces.

    The system itself lets go when a process dies. Raises :class:`StoreBusy` after ``patience``
    seconds.
    """
    deadline = time.monotonic() + patience
    while (held := _locked(folder)) is None:
        if time.monotonic() > deadline:
            raise StoreBusy("another bridge has been writing to the repo for too long")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(held)


def _locked(folder: Path) -> int | None:
    """The folder, open and locked; ``None`` where another bridge has it."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A repo that was moved away and put back is another folder: only that one counts.
        if folder.stat().st_ino == os.fstat(held).st_ino:
            return held
    except (BlockingIOError, FileNotFoundError):
        pass  # another bridge's turn: the caller tries again
    except BaseException:
        os.close(held)
        raise
    os.close(held)
    return None


class GitLock:
    """The lock of one of git's files, ``target``; ``own`` is the file of ours that it is made of.

    ``abandoned`` tells whether a lock that is in the way, and was last touched so many seconds ago,
    was left behind.
    """

    def __init__(
        self, disk: Disk, target: Path, own: Path, abandoned: Callable[[float], bool]
    ) -> None:
        self._disk = disk
        self._own = own
        self._abandoned = abandoned
        self._held = False
        self.target = target
        self.path = target.with_name(target.name + ".lock")

    def take(self, patience: float) -> None:
        """Take the lock, waiting a while for git; :class:`StoreBusy` when it stays taken."""
        deadline = time.monotonic() + patience
        while not self._try():
            self._clear_abandoned()
            if time.monotonic() > deadline:
                raise StoreBusy(
                    f"{self.path} has stayed locked; if no git command is running, remove that file"
                )
            time.sleep(_PAUSE)
        self._held = True

    def commit(self) -> None:
        """Make the lock file the file itself: new contents and unlocked, in one step."""
        self._disk.rename(self.path, self.target)
        self._held = False

    def release(self) -> None:
        """Unlock and leave the file as it was; nothing happens after :meth:`commit`."""
        if self._held:
            self._disk.remove(self.path)
            self._held = False

    def _try(self) -> bool:
        try:
            self._disk.link(self._own, self.path)
        except FileExistsError:
            return False
        return True

    def _clear_abandoned(self) -> None:
        try:
            age = time.time() - self.path.stat().st_mtime
            if not (self._abandoned(age) or outlived_reboot(self.path)):
                return
        except FileNotFoundError:
            return
        _log.warning("%s is %d minutes old and was left behind: removed", self.path, age / 60)
        self._disk.remove(self.path)


def outlived_reboot(lock: Path) -> bool:
    """Whether a lock is older than this machine's start (as ``/proc`` tells it): left behind."""
    try:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
    except FileNotFoundError:
        return False
    started = next((float(line[6:]) for line in lines if line.startswith("btime ")), 0.0)
    return lock.stat().st_mtime < started
