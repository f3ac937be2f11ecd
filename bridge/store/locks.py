"""Who may write: a lock among bridges, and git's own ``X.lock`` files.

Git's locks are files that exist. Ours is a second name (a hard link) of a file in the bridge's own
folder, so that one left behind by a killed bridge is known to be ours by its inode.
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
from bridge.store.disk import Disk

_log = logging.getLogger(__name__)
_PAUSE = 0.005


@contextmanager
def writer(path: Path, patience: float) -> Iterator[None]:
    """Be the only bridge that writes. The system itself lets go when a process dies."""
    deadline = time.monotonic() + patience
    while (file := _locked(path)) is None:
        if time.monotonic() > deadline:
            raise StoreBusy("another bridge has been writing to the repo for too long")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(file)


def _locked(path: Path) -> int | None:
    """The lock file, open and locked; ``None`` where another has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A repo that was moved away and put back has a new file: only that one counts.
        if path.stat().st_ino == os.fstat(file).st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass  # somebody else's turn: the caller tries again
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


class GitLock:
    """The lock of one of git's files, ``target``; ``own`` is the file of ours that it is made of.

    ``abandoned`` tells whether a lock that is in the way, and was last touched so many seconds ago,
    belongs to nobody any more.
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
        _log.warning("%s is %d minutes old and nobody's: removed", self.path, age / 60)
        self._disk.remove(self.path)


def outlived_reboot(lock: Path) -> bool:
    """Whether a lock is older than this machine's start (as ``/proc`` tells it): nobody has it."""
    try:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
    except FileNotFoundError:
        return False
    started = next((float(line[6:]) for line in lines if line.startswith("btime ")), 0.0)
    return lock.stat().st_mtime < started


def git_is_at_work(folder: Path) -> bool:
    """Whether a git process that could hold a lock runs in a folder.

    As far as ``/proc`` can tell; without it, perhaps. ``git cat-file``, which bridges keep running,
    only reads.
    """
    proc = Path("/proc")
    if not (proc / "self").exists():
        return True
    for process in proc.iterdir():
        try:
            if not process.name.isdigit() or "git" not in (process / "comm").read_text():
                continue
            here = (process / "cwd").readlink().is_relative_to(folder)
            if here and b"\0cat-file\0" not in (process / "cmdline").read_bytes():
                return True
        except PermissionError:
            return True  # somebody else's git: perhaps here
        except OSError:
            continue  # it has just ended
    return False
