"""Moves the branch such that a power cut between any two steps leaves a sound repo.

1. Everything new is written to temporary files, and synced: pack, index of the pack, the ref's
   next contents.
2. The pack is given its place, then its index; their folder is synced. Nothing refers to them yet.
3. The branch is locked and compared; the lock is renamed into place: the moment of the commit.
4. The ref's folder is synced, and the answer may go out.

What a killed bridge leaves between any two of them is cleared by :meth:`Transaction.recover`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from pathlib import Path

from bridge.store import (
    BranchMoved,
    Change,
    Commit,
    FileChanged,
    StoreError,
    Version,
)
from bridge.store.commit.disk import Disk, Scratch
from bridge.store.commit.locks import outlived_reboot
from bridge.store.commit.opening import BareRepo
from bridge.store.format.object_database import ObjectDatabase
from bridge.store.format.objects import EXECUTABLE, FILE, Format, Object, TreeEntry
from bridge.store.format.packs import make_pack
from bridge.store.format.trees import TreeEditor, check_path


class Batch:
    """A chain of commits that begins at ``tip``, as objects that are not written yet."""

    def __init__(
        self, database: ObjectDatabase, fmt: Format, author: str, tip: bytes | None
    ) -> None:
        self._database = database
        self._format = fmt
        self.ident = f"{author} {int(time.time())} {time.strftime('%z')}"
        self._tree = database.tree_of(tip) if tip else None
        self.tip = tip
        self.subject = ""
        self.objects: list[Object] = []

    def add(self, commit: Commit, known: Callable[[Version | None], bool]) -> Version | StoreError:
        """Put one more commit on top; an error leaves the batch as it was.

        ``known`` tells whether no one else has committed since a version.
        """
        try:
            # The author may have seen that an address was free which someone has taken since.
            if not known(commit.base):
                raise BranchMoved("there is a newer commit")
            return self._add(commit)
        except StoreError as error:
            return error

    def _add(self, commit: Commit) -> Version:
        editor = TreeEditor(self._database, self._format, self._tree)
        blobs = [blob for change in commit.changes for blob in self._change(editor, change)]
        tree, trees = editor.write()
        parents = [self.tip] if self.tip else []
        made = self._format.commit(tree, parents, self.ident, self.ident, commit.message)
        self.objects += [*blobs, *trees, made]
        self.subject = commit.message.partition("\n")[0]
        self.tip, self._tree = made.oid, tree
        self._database.remember_commit(made.oid, tree)
        return Version(made.oid.hex())

    def _change(self, editor: TreeEditor, change: Change) -> list[Object]:
        """Make one change in the tree; the objects that it needs."""
        check_path(change.path)
        present = editor.get(change.path)
        found = present.oid.hex() if present and present.is_file else None
        if found != change.expected or (present and not present.is_file):
            raise FileChanged(change.path)
        if change.content is None:
            if present:
                editor.remove(change.path)
            return []
        blob = self._format.object("blob", change.content)
        # A file that was executable stays so.
        new = EXECUTABLE if change.executable else FILE
        editor.put(change.path, TreeEntry(present.mode if present else new, blob.oid))
        return [blob]


_log = logging.getLogger(__name__)
_READ_ONLY = 0o444  # as git has its packs


class Transaction:
    """The steps, for the holder of the writers' lock."""

    def __init__(self, bare_repo: BareRepo, disk: Disk, patience: float) -> None:
        """``patience`` is how many seconds git's own lock of the branch is waited for."""
        self._branch = bare_repo.branch
        self._format = bare_repo.format
        self._refs = bare_repo.common / "refs" / "heads"
        self._packs = bare_repo.common / "objects" / "pack"
        self._disk = disk
        self._scratch = Scratch(disk, self._packs)
        self._patience = patience

    def advance(
        self, head: bytes | None, tip: bytes, objects: Sequence[Object], reflog: str
    ) -> bool:
        """Move the branch from ``head`` to ``tip``; ``False`` if it is no longer at ``head``.

        ``objects`` are those that the repo lacks, ``reflog`` what the reflog says of the move.
        """
        self._write(objects, tip)
        lock = self._branch.lock(self._disk, self._scratch.file("ref"))
        lock.take(self._patience)
        try:
            if self._branch.read() != head:
                return False
            lock.commit()
        finally:
            lock.release()
        self._disk.sync([self._branch.path.parent])
        self._log(head, tip, reflog)
        return True

    def recover(self) -> None:
        """Clear what a killed bridge has left; almost always there is nothing."""
        if left := self._scratch.left():
            self.unlock(left)
            self._scratch.sweep()

    def sweep(self) -> None:
        """Remove the temporary files of this transaction."""
        self._scratch.sweep()

    def unlock(self, own: Container[int] = ()) -> None:
        """Remove locks of branches that are a second name of a file of ours (its inode is in
        ``own``), or from before the machine was started."""
        for folder, _, names in os.walk(self._refs):
            for lock in (Path(folder, name) for name in names if name.endswith(".lock")):
                # Git's own come and go.
                with suppress(FileNotFoundError):
                    if lock.stat().st_ino in own or outlived_reboot(lock):
                        self._disk.remove(lock)

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
            disk.rename(scratch.file("pack"), self._packs / f"{pack.name}.pack")
            disk.rename(scratch.file("idx"), self._packs / f"{pack.name}.idx")
        # What was fetched, too, must have its name before the branch rests on it.
        disk.sync([self._packs])

    def _log(self, head: bytes | None, tip: bytes, reflog: str) -> None:
        """Tell the reflog, where there is one. The commit is made: nothing here makes it fail."""
        line = f"{(head or bytes(len(tip))).hex()} {tip.hex()} {reflog}\n".encode()
        try:
            if self._branch.log.exists():
                self._disk.append(self._branch.log, line)
        except OSError as error:
            _log.warning("%s is made, but not in the reflog: %s", tip.hex(), error)
