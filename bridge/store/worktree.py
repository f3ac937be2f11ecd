"""A working tree with the branch checked out: the owner's desk, where nothing of theirs is touched.

File, index and ref move together (see :mod:`bridge.store.git_index` for why). Before anything there
changes, a journal says what will, so that a bridge that was killed half way is put right by the
next one: each path goes to what the branch says, unless the owner has touched it since.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bridge.store import OwnersEdit, StoreBusy
from bridge.store.disk import Disk
from bridge.store.git_index import Indexes, Staged
from bridge.store.locks import GitLock, git_is_at_work
from bridge.store.objects import Entry

_ABANDONED = 3600.0  # `git commit -a` holds the lock of the index while its editor is open


@dataclass(frozen=True, slots=True)
class Edit:
    """What happens to one path: what the branch had there, what it will have, and its bytes."""

    path: str
    before: Entry | None
    after: Entry | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree, and its own git folder (where its ``HEAD`` and ``index`` are)."""

    root: Path
    git_dir: Path


def checkouts(common: Path, root: Path | None, ref: str) -> list[Checkout]:
    """The working trees that have the branch checked out now: the repo's own, and added ones."""
    candidates = [Checkout(root, common)] if root else []
    linked = common / "worktrees"
    if linked.is_dir():
        for folder in sorted(linked.iterdir()):
            place = _read(folder / "gitdir")
            if place:
                candidates.append(Checkout((folder / place).parent, folder))
    found = []
    for checkout in candidates:
        _refuse_rebase(checkout, ref)
        if _read(checkout.git_dir / "HEAD") == f"ref: {ref}" and checkout.root.is_dir():
            found.append(checkout)
    return found


def _refuse_rebase(checkout: Checkout, ref: str) -> None:
    """A rebase ends by moving the branch from where it began: moved meanwhile, it could not."""
    for kind in ("rebase-merge", "rebase-apply"):
        if _read(checkout.git_dir / kind / "head-name") == ref:
            raise StoreBusy(
                f"a rebase is in progress in {checkout.root}; finish it, or run: git rebase --abort"
            )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


class Desk:
    """A checkout whose index is locked, and read."""

    def __init__(self, checkout: Checkout, lock: GitLock, indexes: Indexes) -> None:
        """Reads the index that ``lock`` keeps from changing."""
        file = lock.target
        self.checkout = checkout
        self.index = indexes.read(file)
        self._indexes = indexes
        self._lock = lock
        self._written_at = file.stat().st_mtime_ns if file.exists() else 0
        self._format = indexes.format
        self._is_changed = False

    def check(self, path: str, before: Entry | None) -> None:
        """Raise :class:`OwnersEdit` unless index and file are as the branch has them."""
        staged = self.index.get(path)
        same = staged.plain and staged.entry == before if staged else before is None
        if not same or self.index.is_folder(path):
            raise OwnersEdit(path)
        place = self._place(path)
        try:
            found = place.lstat()
        except FileNotFoundError:
            if before is None or (staged and staged.skipped):
                return
            raise OwnersEdit(path) from None
        if before is None or not stat.S_ISREG(found.st_mode):
            raise OwnersEdit(path)
        if self._blob(place) != before.oid and not (staged and self._unchanged(staged, found)):
            raise OwnersEdit(path)

    def _unchanged(self, staged: Staged, found: os.stat_result) -> bool:
        """Whether git would take a file for unchanged by its stamp alone.

        Bytes that differ may be the same to git, which keeps line ends, or large files, in another
        way where ``.gitattributes`` says so. A stamp as young as the index itself proves nothing.
        """
        seconds, nanoseconds = divmod(found.st_mtime_ns, 1_000_000_000)
        same = staged.stamp == (seconds, nanoseconds, found.st_size)
        return same and found.st_mtime_ns < self._written_at

    def apply(self, disk: Disk, edit: Edit, ready: Path | None) -> set[Path]:
        """Bring a file (``ready``, on the same disk, is moved into place) and the index along.

        Returns the folders that have changed and are to be synced.
        """
        place = self._place(edit.path)
        if edit.after is None or ready is None:
            disk.remove(place)
            self.index.remove(edit.path)
            return {self._prune(disk, place.parent)}
        changed = self._make(disk, place.parent)
        disk.rename(ready, place)
        self.index.put(edit.path, edit.after, place.stat())
        return changed | {place.parent}

    def commit(self) -> None:
        """Make what was dumped into the lock file the index; unlocks it."""
        self._lock.commit()
        self._indexes.keep(self._lock.target, self.index)

    def is_ours(self, edit: Edit, earlier: Sequence[Entry | None]) -> bool:
        """Whether the file is as we have made it, and the index, too, or as it was before us."""
        staged = self.index.get(edit.path)
        if staged and not staged.plain:
            return False
        in_index = staged.entry if staged else None
        wanted = edit.after.oid if edit.after else None
        return in_index in (edit.after, *earlier) and self._on_disk(edit.path) == wanted

    def stage(self, edit: Edit) -> None:
        """Have a change that the working tree shows in the index, too."""
        staged = self.index.get(edit.path)
        if edit.after == (staged.entry if staged else None):
            return
        if edit.after is None:
            self.index.remove(edit.path)
        else:
            self.index.put(edit.path, edit.after, self._place(edit.path).stat())
        self._is_changed = True

    def save_index(self, disk: Disk, own: Path) -> None:
        """Make what was staged the index; unlocks it. What nobody has changed is only kept."""
        if not self._is_changed:
            self._indexes.keep(self._lock.target, self.index)
            return
        disk.overwrite(own, self.index.dump())
        disk.sync([own])
        self.commit()

    def save(self, disk: Disk, path: str, spare: Path) -> None:
        """Keep what is at a path under another name, which takes no room."""
        with suppress(FileNotFoundError):
            disk.link(self._place(path), spare)

    def restore(self, disk: Disk, path: str, spare: Path) -> None:
        """Put back what :meth:`save` has kept, or the emptiness that it found."""
        place = self._place(path)
        if spare.exists():
            self._make(disk, place.parent)
            disk.rename(spare, place)
        else:
            disk.remove(place)
            self._prune(disk, place.parent)

    def is_half_done(self, path: str, known: Sequence[bytes | None], after: Entry | None) -> bool:
        """Whether a killed bridge has left a path between what it was and what it is to be.

        ``known`` are the blobs that the bridge had, or was about to put, there: anything else is
        the owner's, and stays.
        """
        wanted = after.oid if after else None
        staged = self.index.get(path)
        in_index = staged.entry.oid if staged else None
        on_disk = self._on_disk(path)
        if not {wanted, in_index, on_disk} <= set(known) or (staged and not staged.plain):
            return False
        return in_index != wanted or on_disk != wanted

    def _on_disk(self, path: str) -> bytes | None:
        """The blob that a file is; ``None`` where there is none, empty for anything else."""
        try:
            place = self._place(path)
        except OwnersEdit:
            return b""
        if place.is_symlink() or place.is_dir():
            return b""
        return self._blob(place) if place.exists() else None

    def _place(self, path: str) -> Path:
        """Where a file is. Never through a symlink, and never where a file is in the way."""
        *folders, name = path.split("/")
        place = self.checkout.root
        for folder in folders:
            place /= folder
            try:
                if not stat.S_ISDIR(place.lstat().st_mode):
                    raise OwnersEdit(path)
            except FileNotFoundError:
                break
        return self.checkout.root.joinpath(*folders, name)

    def _blob(self, place: Path) -> bytes:
        return self._format.object("blob", place.read_bytes()).oid

    def _make(self, disk: Disk, folder: Path) -> set[Path]:
        """Make a folder and those above it; returns the ones that have got a new name in them."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            disk.mkdir(each)
        return {each.parent for each in missing}

    def _prune(self, disk: Disk, folder: Path) -> Path:
        """Remove folders that have become empty, as git does; returns the first that stays."""
        while folder != self.checkout.root and disk.rmdir(folder):
            folder = folder.parent
        return folder


@contextmanager
def at_desk(
    disk: Disk, checkout: Checkout, own: Path, indexes: Indexes, patience: float
) -> Iterator[Desk]:
    """Lock and read the index of a checkout; unlocked at the end, whatever happens."""
    target = checkout.git_dir / "index"
    disk.write(own, b"")
    lock = GitLock(
        disk, target, own, lambda age: age > _ABANDONED and not git_is_at_work(checkout.root)
    )
    lock.take(patience)
    try:
        yield Desk(checkout, lock, indexes)
    finally:
        lock.release()
