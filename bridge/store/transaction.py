"""Moves the branch such that a power cut between any two steps leaves a valid repo.

1. Everything new is written to temporary files, and synced: pack, index of the pack, the ref's
   next contents.
2. The pack is given its place, then its index; their folder is synced. Nothing refers to them yet:
   a ``.keep`` beside them has git's housekeeping leave the pack alone until step 3 is done.
3. The branch is locked and compared; the lock is renamed into place: the moment of the commit.
4. The ref's folder is synced, and the answer may go out.

What a bridge that was killed in between leaves behind is removed by :meth:`Transaction.recover`.
The steps come first below; then what they use: temporary files, locks, and the disk itself.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.runtime.private import sync
from bridge.runtime.threads import ThreadPool
from bridge.store import (
    StoreBusy,
)
from bridge.store.objects import Object, make_pack
from bridge.store.repo import BareRepo, refuse_worktrees

_log = logging.getLogger(__name__)
_READ_ONLY = 0o444  # as git has its packs
_PAUSE = 0.005
_ABANDONED = 60.0  # seconds; git itself holds the lock of a ref for milliseconds
#: How many syncs go on at once: those that wait together cost the disk about as much as one.
_SYNCS = 4
#: How temporary files begin. Readers ignore them; those that begin with ``tmp_`` are removed by
#: ``git gc --prune=now``, even in the middle of a commit.
_PREFIX = "bridge_tmp_"
#: What our ``.keep`` files hold; git's say which process keeps the pack.
_KEEPS = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64})\n")


class Transaction:
    """The steps above. Only the holder of the writers' lock (:func:`writer`) may call it."""

    def __init__(self, bare_repo: BareRepo, disk: Disk, patience: float) -> None:
        """``patience`` is how many seconds git's own lock of the branch is waited for."""
        self._bare_repo = bare_repo
        self._branch = bare_repo.branch
        self._format = bare_repo.format
        self._refs = bare_repo.common / "refs"
        self._packs = bare_repo.common / "objects" / "pack"
        self._disk = disk
        self._scratch = Scratch(disk, self._packs)
        self._patience = patience

    def advance(
        self, head: bytes | None, tip: bytes, objects: Sequence[Object], reflog: str
    ) -> bool:
        """Move the branch from ``head`` to ``tip``; ``False`` if it is no longer at ``head``.

        ``objects`` are those that the repo lacks, ``reflog`` what the reflog says of the move.
        Raises :class:`~bridge.store.StoreBroken` while the branch is checked out in a worktree.
        """
        refuse_worktrees(self._bare_repo)
        self._write(objects, tip)
        lock = self._branch_lock()
        lock.take(self._patience)
        try:
            if self._branch.read() != head:
                return False
            lock.commit()
        finally:
            lock.release()
        # Git removes the folder together with the last ref in it, once that is in packed-refs.
        with suppress(FileNotFoundError):
            self._disk.sync([self._branch.path.parent])
        self._log(head, tip, reflog)
        return True

    def recover(self) -> None:
        """Remove what a bridge that was killed has left behind, if anything."""
        if left := self._scratch.left():
            self.unlock(left)
            self._scratch.clear()

    def sweep(self) -> None:
        """Remove the temporary files of this transaction."""
        self._scratch.sweep()

    def unlock(self, own: Container[int] = ()) -> None:
        """Remove locks of refs that are a second name of a file of ours (its inode is in ``own``),
        or abandoned, such as by a fetch that a power cut has ended: no other would succeed.
        """
        for folder, _, names in os.walk(self._refs):
            for lock in (Path(folder, name) for name in names if name.endswith(".lock")):
                # Git's own locks come and go; those of another user's commands are theirs.
                with suppress(FileNotFoundError, PermissionError):
                    if lock.stat().st_ino in own or _is_abandoned(lock):
                        self._disk.remove(lock)

    def _branch_lock(self) -> GitLock:
        """The branch's lock, made of the temporary file that holds its next contents."""
        return GitLock(self._disk, self._branch.path, self._scratch.file("ref"))

    def _write(self, objects: Sequence[Object], tip: bytes) -> None:
        """Steps 1 and 2."""
        disk, scratch = self._disk, self._scratch
        files = [scratch.write("ref", self._branch.line(tip))]
        pack = make_pack(objects, self._format) if objects else None
        if pack:
            files.append(scratch.write("pack", pack.pack, _READ_ONLY))
            files.append(scratch.write("idx", pack.idx, _READ_ONLY))
        disk.sync(files)
        if pack:
            # A repack that lists the packs now, and the branch before step 3, would delete it.
            with suppress(FileExistsError):
                scratch.keep(pack.name)
            disk.rename(scratch.file("pack"), self._packs / f"{pack.name}.pack")
            disk.rename(scratch.file("idx"), self._packs / f"{pack.name}.idx")
        # What was fetched must have its name on disk, too, before the branch depends on it.
        disk.sync([self._packs])

    def _log(self, head: bytes | None, tip: bytes, reflog: str) -> None:
        """Add to the reflog, if there is one. The commit is made by now: this never fails it."""
        line = f"{(head or bytes(len(tip))).hex()} {tip.hex()} {reflog}\n".encode()
        try:
            if self._branch.log.exists():
                self._disk.append(self._branch.log, line)
        except OSError as error:
            _log.warning("%s is made, but not in the reflog: %s", tip.hex(), error)


class Scratch:
    """The temporary files of a transaction, by name, and its ``.keep``. They lie where packs do.

    Only the holder of the writers' lock touches them, so whatever is there when it begins was left
    by a bridge that was killed. ``ref`` is the first to be made and the last to be removed: without
    it there are no others, unless a power cut came in between, after which a bridge starts anew.
    """

    def __init__(self, disk: Disk, packs: Path) -> None:
        """``packs`` is the repo's ``objects/pack``."""
        self._disk = disk
        self._packs = packs
        self._files: dict[str, Path] = {}  # making a Path takes as long as some system calls
        self._made: list[Path] = []
        self._searched = False

    def file(self, name: str) -> Path:
        """Where a temporary file is, or would be."""
        if name not in self._files:
            self._files[name] = self._packs / f"{_PREFIX}{name}"
        return self._files[name]

    def write(self, name: str, data: bytes, mode: int = 0o666) -> Path:
        """Make a temporary file; the first is ``ref``."""
        path = self.file(name)
        self._made.append(path)
        self._disk.write(path, data, mode)
        return path

    def keep(self, pack: str) -> None:
        """Have git's housekeeping leave a pack alone: ``ref`` gets the name of its ``.keep``.

        Raises ``FileExistsError`` where there is one.
        """
        path = self._packs / f"{pack}.keep"
        self._disk.link(self.file("ref"), path)
        self._made.append(path)

    def left(self) -> set[int]:
        """The inodes of all temporary files that were left behind."""
        if self._searched and not self.file("ref").exists():
            return set()
        found = {entry.stat(follow_symlinks=False).st_ino for entry in self._entries()}
        self._searched = not found  # otherwise once they are removed
        return found

    def sweep(self) -> None:
        """Remove the temporary files that were made."""
        while self._made:
            self._remove(self._made[-1])
            self._made.pop()

    def clear(self) -> None:
        """Remove all temporary files that are there."""
        last = self.file("ref")
        for path in [Path(entry.path) for entry in self._entries()]:
            if path != last:
                self._remove(path)
        self._disk.remove(last)
        self._searched = True

    def _remove(self, path: Path) -> None:
        """Remove a temporary file; with a ``.keep``, also its pack where that got no index: neither
        git nor a repack would ever look at it.
        """
        if path.suffix == ".keep" and not path.with_suffix(".idx").exists():
            self._disk.remove(path.with_suffix(".pack"))
        self._disk.remove(path)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._packs) as entries:
            yield from [entry for entry in entries if _is_ours(entry)]


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether a file among the packs is a temporary one of a transaction."""
    if not entry.name.endswith(".keep"):
        return entry.name.startswith(_PREFIX) and not entry.is_dir(follow_symlinks=False)
    # Opening a named pipe would wait for ever.
    if not entry.is_file(follow_symlinks=False):
        return False
    try:
        return _KEEPS.fullmatch(Path(entry.path).read_bytes()) is not None
    except OSError:
        return False  # git's own come and go


@contextmanager
def writer(folder: Path, patience: float) -> Iterator[None]:
    """Hold the writers' lock: no other bridge writes to the repo until the block ends.

    ``folder`` is one of the repo's that git never replaces. The system releases the lock when the
    process dies. Raises :class:`StoreBusy` after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while (held := _locked(folder)) is None:
        if time.monotonic() > deadline:
            raise StoreBusy("another bridge has been writing to the repo for too long")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        # A program that another thread is starting has the folder open until it runs.
        fcntl.flock(held, fcntl.LOCK_UN)
        os.close(held)


def _locked(folder: Path) -> int | None:
    """The folder, open and locked; ``None`` where another bridge has it."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A repo that was moved away and replaced is another folder, and the lock must be on that
        # one.
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
    """Git's lock of one of its files, ``target``: a file beside it, ``target.lock``.

    Ours is a second name (a hard link) of ``own``, a temporary file of ours, so that one which a
    killed bridge has left behind is known by its inode.
    """

    def __init__(self, disk: Disk, target: Path, own: Path) -> None:
        self._disk = disk
        self._own = own
        self._held = False
        self.target = target
        self.path = target.with_name(target.name + ".lock")

    def take(self, patience: float) -> None:
        """Take the lock, waiting a while for git; raises :class:`StoreBusy` if it stays taken."""
        deadline = time.monotonic() + patience
        while not self._try():
            remove_abandoned(self._disk, self.path)
            if time.monotonic() > deadline:
                raise StoreBusy(
                    f"{self.path} has stayed locked; if no git command is running, remove that file"
                )
            time.sleep(_PAUSE)
        self._held = True

    def commit(self) -> None:
        """Rename the lock file to the file itself: new contents and unlocked, in one step."""
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
        except FileNotFoundError:
            # Git removes folders of refs that have become empty.
            if not self._own.exists():
                raise
            for folder in (*reversed(self.path.parent.parents), self.path.parent):
                self._disk.mkdir(folder)
            return False
        return True


def remove_abandoned(disk: Disk, lock: Path) -> None:
    """Remove a lock if the command that held it has been killed; there may be none."""
    with suppress(FileNotFoundError):
        if _is_abandoned(lock):
            disk.remove(lock)
            _log.warning("%s was left behind: removed", lock)


def _is_abandoned(lock: Path) -> bool:
    """Raises ``FileNotFoundError``."""
    # One of the future is from before the clock was set back.
    return abs(time.time() - lock.stat().st_mtime) > _ABANDONED or _outlived_reboot(lock)


def _outlived_reboot(lock: Path) -> bool:
    """Whether a lock is older than this machine's start (as ``/proc`` tells it): left behind."""
    try:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
    except FileNotFoundError:
        return False
    started = next((float(line[6:]) for line in lines if line.startswith("btime ")), 0.0)
    return lock.stat().st_mtime < started


class Disk:
    """Every way in which the store changes files. One class, so that tests can break each step.

    Raises what the system raises.
    """

    def __init__(self) -> None:
        self._hands = ThreadPool(_SYNCS, "sync", first=1)

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        """Create a file; it is durable only after :meth:`sync`."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            self._fill(file, data)
        finally:
            os.close(file)

    def append(self, path: Path, data: bytes) -> None:
        """Append to a file, in one write."""
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(file, data)
        finally:
            os.close(file)

    def sync(self, paths: Iterable[Path]) -> None:
        """Make files, and the names in folders, durable: at least one, all at the same time."""
        mine, *others = paths
        waiting = [self._hands.submit(sync, path) for path in others]
        sync(mine)
        for each in waiting:
            each.result()

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; ``FileExistsError`` where that is taken."""
        target.hardlink_to(source)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file over another, in one step."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def mkdir(self, path: Path) -> None:
        """Make a folder, if it is not there; its parent has to be."""
        if not path.is_dir():
            path.mkdir(exist_ok=True)

    def close(self) -> None:
        """Stop the threads."""
        self._hands.shutdown()

    @staticmethod
    def _fill(file: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
