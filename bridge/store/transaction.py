"""Moving the branch so that a power cut, between any two steps, finds a sound repo.

1. Everything new is written to files of our own, and synced: pack, index of the pack, the ref's
   next contents, files for working trees, and the journal that says what working trees will get.
2. The pack is given its place, then its index; their folder is synced. Still nobody sees them.
3. The branch is locked and compared. Working trees get their files, their git index is written.
4. The ref is renamed into place: this is the moment of the commit. The git index follows.
5. The folders that have got new names are synced, and the answer may go out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bridge.store.batch import Batch
from bridge.store.database import Database
from bridge.store.disk import Disk
from bridge.store.objects import Pack
from bridge.store.opening import Place
from bridge.store.trees import find
from bridge.store.worktree import Checkout, Desk, Edit, Journal, at_desk, checkouts

_READ_ONLY = 0o444  # as git has its packs


class Transaction:
    """The steps, and what puts right a repo where somebody was killed among them."""

    def __init__(self, place: Place, disk: Disk, state: Path) -> None:
        self._place = place
        self._branch = place.branch
        self._disk = disk
        self._packs = place.common / "objects" / "pack"
        self._temporary = state / "tmp"
        self._journal = state / "journal"

    def own(self, name: str) -> Path:
        """A file of ours, on the same disk as the repo."""
        return self._temporary / name

    def checkouts(self) -> list[Checkout]:
        """The working trees that have the branch checked out."""
        return checkouts(self._place.common, self._place.root, self._branch.ref)

    def advance(
        self, head: bytes | None, batch: Batch, desks: Sequence[Desk], patience: float
    ) -> bool:
        """Move the branch from ``head`` to the batch's tip; ``False`` if it is no longer there."""
        tip, edits = batch.tip, list(batch.edits.values())
        if tip is None:
            return False
        pack = self._place.format.pack(batch.objects)
        self._write(pack, tip, edits, desks)
        lock = self._branch.lock(self._disk, self.own("ref"))
        lock.take(patience)
        try:
            if self._branch.read() != head:
                return False
            folders = self._apply(edits, desks)
            lock.commit()
            for desk in desks:
                desk.lock.commit()
        finally:
            lock.release()
        self._disk.sync({self._branch.path.parent, *folders})
        self._log(head, tip, batch, desks)
        if desks:
            self._disk.overwrite(self._journal, b"")
        return True

    def _write(self, pack: Pack, tip: bytes, edits: Sequence[Edit], desks: Sequence[Desk]) -> None:
        """Steps 1 and 2."""
        disk, files = self._disk, [self.own(name) for name in ("pack", "idx", "ref")]
        disk.write(files[0], pack.pack, _READ_ONLY)
        disk.write(files[1], pack.idx, _READ_ONLY)
        disk.write(files[2], self._branch.line(tip))
        for place in range(len(desks)):
            for number, edit in enumerate(edits):
                if edit.data is not None:
                    files.append(self._ready(place, number))
                    disk.write(files[-1], edit.data)
        if desks:
            blobs = {
                edit.path: [entry.oid if entry else None for entry in (edit.before, edit.after)]
                for edit in edits
            }
            disk.overwrite(self._journal, Journal(blobs).dump())
            files.append(self._journal)
        disk.sync(files)
        disk.rename(files[0], self._packs / f"{pack.name}.pack")
        disk.rename(files[1], self._packs / f"{pack.name}.idx")
        disk.sync([self._packs, self._temporary])

    def _apply(self, edits: Sequence[Edit], desks: Sequence[Desk]) -> set[Path]:
        """Step 3 in every working tree; returns the folders that have changed."""
        folders: set[Path] = set()
        for place, desk in enumerate(desks):
            for number, edit in enumerate(edits):
                ready = self._ready(place, number) if edit.data is not None else None
                folders |= desk.apply(self._disk, edit, ready)
            self._disk.overwrite(self.own(f"index-{place}"), desk.index.dump())
            folders.add(desk.checkout.git_dir)
        self._disk.sync([self.own(f"index-{place}") for place in range(len(desks))])
        return folders

    def _ready(self, place: int, number: int) -> Path:
        return self.own(f"file-{place}-{number}")

    def _log(self, head: bytes | None, tip: bytes, batch: Batch, desks: Sequence[Desk]) -> None:
        """Tell the reflogs, where the owner looks for what has happened to a branch."""
        old = (head or bytes(len(tip))).hex()
        ident = f"{batch.author} {int(time.time())} {time.strftime('%z')}"
        line = f"{old} {tip.hex()} {ident}\tcommit: {batch.subject}\n".encode()
        logs = [self._place.common / "logs" / self._branch.ref]
        logs += [desk.checkout.git_dir / "logs" / "HEAD" for desk in desks]
        for log in logs:
            if log.exists():
                self._disk.append(log, line)

    def sweep(self) -> None:
        """Remove our own files of a transaction that is over."""
        for file in self._temporary.iterdir():
            self._disk.remove(file)

    def recover(self, database: Database, patience: float) -> None:
        """Put right what a killed bridge has left. Only for who holds the writers' lock."""
        self._disk.mkdir(self._temporary)
        left = list(self._temporary.iterdir())
        if left:
            self._unlock({file.stat().st_ino for file in left})
            self.sweep()
        journal = Journal.load(self._journal)
        if journal:
            for checkout in self.checkouts():
                self._repair(checkout, journal, database, patience)
            self._disk.overwrite(self._journal, b"")
            self.sweep()

    def _unlock(self, own: set[int]) -> None:
        """Remove git's locks that are another name of one of our files."""
        common = self._place.common
        locks = [common / "index.lock", *common.glob("worktrees/*/index.lock")]
        locks += common.joinpath("refs", "heads").rglob("*.lock")
        for lock in locks:
            if lock.exists() and lock.stat().st_ino in own:
                self._disk.remove(lock)

    def _repair(
        self, checkout: Checkout, journal: Journal, database: Database, patience: float
    ) -> None:
        """Bring the paths of an interrupted transaction to what the branch says."""
        head, own = self._branch.read(), self.own("index-0")
        tree = database.tree_of(head) if head else None
        folders = {checkout.git_dir}
        with at_desk(self._disk, checkout, own, self._place.format, patience) as desk:
            for path, known in journal.paths.items():
                after = find(database, tree, path) if tree else None
                if not desk.is_half_done(path, known, after):
                    continue
                data = database.read(after.oid, "blob") if after else None
                if data is not None:
                    self._disk.write(self._ready(0, len(folders)), data)
                ready = self._ready(0, len(folders)) if data is not None else None
                folders |= desk.apply(self._disk, Edit(path, None, after, data), ready)
            self._disk.overwrite(own, desk.index.dump())
            self._disk.sync([own])
            desk.lock.commit()
        self._disk.sync(folders)
