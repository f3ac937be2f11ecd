"""Moving the branch so that a power cut, between any two steps, finds a sound repo.

1. Everything new is written to files of our own, and synced: pack, index of the pack, the ref's
   next contents, files for working trees, and the journal that says what working trees will get.
2. The pack is given its place, then its index; their folder is synced. Still nobody sees them.
3. The branch is locked and compared. Working trees get their files, their git index is written.
4. The git index is renamed into place, then the ref: this is the moment of the commit.
5. The folders that have got new names are synced, and the answer may go out.

What a killed bridge leaves between any two of them is put right by :mod:`bridge.store.recovery`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bridge.store.batch import Batch
from bridge.store.disk import Disk
from bridge.store.following import follow
from bridge.store.journal import Journal
from bridge.store.locks import GitLock
from bridge.store.object_database import ObjectDatabase
from bridge.store.objects import EMPTY, Object
from bridge.store.opening import Place
from bridge.store.packs import make_pack
from bridge.store.scratch import Scratch
from bridge.store.trees import compare
from bridge.store.worktree import Checkout, Desk, Edit

_log = logging.getLogger(__name__)
_READ_ONLY = 0o444  # as git has its packs


class Transaction:
    """The steps, for who holds the writers' lock."""

    def __init__(
        self, place: Place, database: ObjectDatabase, disk: Disk, scratch: Scratch, patience: float
    ) -> None:
        self._place = place
        self._branch = place.branch
        self._database = database
        self._disk = disk
        self._scratch = scratch
        self._patience = patience
        self._packs = place.common / "objects" / "pack"

    def advance(self, head: bytes | None, tip: bytes, batch: Batch, desks: Sequence[Desk]) -> bool:
        """Move the branch from ``head`` to the batch's tip; ``False`` if it is no longer there."""
        edits = [*batch.edits.values()]
        files = [
            self._scratch.write(_ready(place, number), edit.data, edit.after)
            for place in range(len(desks))
            for number, edit in enumerate(edits)
            if edit.data is not None
        ]
        if desks:
            files.append(self._scratch.note(Journal.of_files(edits)))
        self._write_objects(batch.objects, tip, files)
        with self._locked() as lock:
            if self._branch.read() != head:
                return False
            folders = self._apply(edits, desks)
            # Git reads HEAD first and the index second, both before it locks anything: whoever
            # sees our commit must see our index, or its next commit takes our files away.
            for desk in desks:
                desk.commit()
            lock.commit()
        self._disk.sync({self._branch.path.parent, *folders})
        checkouts = [desk.checkout for desk in desks]
        self._finish(head, tip, f"{batch.ident}\tcommit: {batch.subject}", checkouts)
        return True

    def bring(
        self,
        head: bytes | None,
        tip: bytes,
        objects: Sequence[Object],
        ident: str,
        checkouts: Sequence[Checkout],
    ) -> bool:
        """Move the branch to a commit that came from elsewhere, and working trees with it.

        ``objects`` are those that the repo lacks. ``False`` if the branch is no longer at ``head``.
        Raises :class:`OwnersEdit` where the owner's uncommitted edits are in the way.
        """
        start = head or self._place.format.tree(EMPTY).oid
        files = [self._scratch.note(Journal(moves=(start, tip)))] if checkouts else []
        self._write_objects(objects, tip, files)
        with ExitStack() as undo:
            for checkout in checkouts:
                follow(checkout, start, tip)
                undo.callback(follow, checkout, tip, start)
                self._disk.sync({checkout.git_dir, *self._changed(checkout, head, tip)})
            with self._locked() as lock:
                if self._branch.read() != head:
                    return False
                lock.commit()
            undo.pop_all()
        self._disk.sync([self._branch.path.parent])
        self._finish(head, tip, f"{ident}\tpull: from the remote", checkouts)
        return True

    @contextmanager
    def _locked(self) -> Iterator[GitLock]:
        """The branch, locked; as it was, unless the lock is committed."""
        lock = self._branch.lock(self._disk, self._scratch.file("ref"))
        lock.take(self._patience)
        try:
            yield lock
        finally:
            lock.release()

    def _write_objects(self, objects: Sequence[Object], tip: bytes, files: list[Path]) -> None:
        """Steps 1 and 2; ``files`` are further ones that are to be synced with them."""
        disk, own = self._disk, self._scratch.file
        files.append(self._scratch.write("ref", self._branch.line(tip)))
        pack = make_pack(objects, self._place.format) if objects else None
        if pack:
            disk.write(own("pack"), pack.pack, _READ_ONLY)
            disk.write(own("idx"), pack.idx, _READ_ONLY)
            files += [own("pack"), own("idx")]
        disk.sync(files)
        if pack:
            disk.rename(own("pack"), self._packs / f"{pack.name}.pack")
            disk.rename(own("idx"), self._packs / f"{pack.name}.idx")
        # What was fetched, too, must have its name before the branch rests on it.
        disk.sync([self._packs])

    def _apply(self, edits: Sequence[Edit], desks: Sequence[Desk]) -> set[Path]:
        """Step 3 in every working tree; returns the folders that have changed.

        Where it fails, because there is no room for a new folder, all is as it was.
        """
        folders: set[Path] = set()
        own = self._scratch.file
        with ExitStack() as undo:
            for place, desk in enumerate(desks):
                for number, edit in enumerate(edits):
                    spare = own(f"spare-{place}-{number}")
                    desk.save(self._disk, edit.path, spare)
                    undo.callback(desk.restore, self._disk, edit.path, spare)
                    ready = own(_ready(place, number)) if edit.data is not None else None
                    folders |= desk.apply(self._disk, edit, ready)
                self._disk.overwrite(own(f"index-{place}"), desk.index.dump())
                folders.add(desk.checkout.git_dir)
            if desks:
                self._disk.sync([own(f"index-{place}") for place in range(len(desks))])
            undo.pop_all()
        return folders

    def _changed(self, checkout: Checkout, head: bytes | None, tip: bytes) -> set[Path]:
        """The files that git has just written in a working tree, and their folders."""
        before = self._database.tree_of(head) if head else None
        found = compare(self._database, before, self._database.tree_of(tip))
        paths = [checkout.root / path for path, _, _ in found]
        files = {path for path in paths if path.is_file()}
        return files | {path.parent for path in paths if path.parent.is_dir()}

    def _finish(
        self, head: bytes | None, tip: bytes, what: str, checkouts: Sequence[Checkout]
    ) -> None:
        """Tell the reflogs, where the owner looks for what has happened, and close the journal.

        The commit is made: nothing here makes it fail.
        """
        line = f"{(head or bytes(len(tip))).hex()} {tip.hex()} {what}\n".encode()
        logs = [self._branch.log]
        logs += [checkout.git_dir / "logs" / "HEAD" for checkout in checkouts]
        try:
            for log in logs:
                if log.exists():
                    self._disk.append(log, line)
            if checkouts:
                self._scratch.note(Journal())
        except OSError as error:
            _log.warning("%s is made, but not in every log: %s", tip.hex(), error)


def _ready(place: int, number: int) -> str:
    """The name of a file that waits to be moved into a working tree."""
    return f"file-{place}-{number}"
