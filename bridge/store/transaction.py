"""Moving the branch so that a power cut, between any two steps, finds a sound repo.

1. Everything new is written to files of our own, and synced: pack, index of the pack, the ref's
   next contents, files for working trees, and the journal that says what working trees will get.
2. The pack is given its place, then its index; their folder is synced. Still nobody sees them.
3. The branch is locked and compared. Working trees get their files, their git index is written.
4. The ref is renamed into place: this is the moment of the commit. The git index follows.
5. The folders that have got new names are synced, and the answer may go out.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bridge.store import OwnersEdit, StoreBroken
from bridge.store.batch import Batch
from bridge.store.database import Database
from bridge.store.disk import Disk
from bridge.store.following import follow
from bridge.store.journal import Journal
from bridge.store.locks import GitLock, outlived_reboot
from bridge.store.objects import EMPTY, Object
from bridge.store.opening import Place
from bridge.store.packs import make_pack
from bridge.store.trees import find
from bridge.store.worktree import Checkout, Desk, Edit, at_desk, checkouts

_log = logging.getLogger(__name__)
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
        files = self._write_ready(edits, desks)
        if desks:
            files.append(self._note(Journal.of_files(edits)))
        self._write_objects(batch.objects, tip, files)
        with self._locked(patience) as lock:
            if self._branch.read() != head:
                return False
            folders = self._apply(edits, desks)
            lock.commit()
            for desk in desks:
                desk.lock.commit()
        self._disk.sync({self._branch.path.parent, *folders})
        checkouts = [desk.checkout for desk in desks]
        self._finish(head, tip, f"{batch.ident}\tcommit: {batch.subject}", checkouts)
        return True

    def bring(
        self, head: bytes | None, tip: bytes, objects: Sequence[Object], ident: str, patience: float
    ) -> bool:
        """Move the branch to a commit that came from elsewhere, and working trees with it.

        ``objects`` are those that the repo lacks. ``False`` if the branch is no longer at ``head``.
        Raises :class:`OwnersEdit` where the owner's uncommitted edits are in the way.
        """
        checkouts = self.checkouts()
        start = head or self._place.format.tree(EMPTY).oid
        files = [self._note(Journal(moves=(start, tip)))] if checkouts else []
        self._write_objects(objects, tip, files)
        with ExitStack() as undo:
            for checkout in checkouts:
                follow(checkout, start, tip)
                undo.callback(follow, checkout, tip, start)
            with self._locked(patience) as lock:
                if self._branch.read() != head:
                    return False
                lock.commit()
            undo.pop_all()
        self._disk.sync([self._branch.path.parent])
        self._finish(head, tip, f"{ident}\tpull: from the remote", checkouts)
        return True

    @contextmanager
    def _locked(self, patience: float) -> Iterator[GitLock]:
        """The branch, locked; as it was, unless the lock is committed."""
        lock = self._branch.lock(self._disk, self.own("ref"))
        lock.take(patience)
        try:
            yield lock
        finally:
            lock.release()

    def _write_objects(self, objects: Sequence[Object], tip: bytes, files: list[Path]) -> None:
        """Steps 1 and 2; ``files`` are further ones that are to be synced with them."""
        disk, pack = self._disk, None
        disk.write(self.own("ref"), self._branch.line(tip))
        files.append(self.own("ref"))
        if objects:
            pack = make_pack(objects, self._place.format)
            disk.write(self.own("pack"), pack.pack, _READ_ONLY)
            disk.write(self.own("idx"), pack.idx, _READ_ONLY)
            files += [self.own("pack"), self.own("idx")]
        disk.sync(files)
        if pack:
            disk.rename(self.own("pack"), self._packs / f"{pack.name}.pack")
            disk.rename(self.own("idx"), self._packs / f"{pack.name}.idx")
        # What was fetched, too, must have its name before the branch rests on it.
        disk.sync([self._packs, self._temporary])

    def _write_ready(self, edits: Sequence[Edit], desks: Sequence[Desk]) -> list[Path]:
        """The new files of working trees, not yet in their places."""
        files = []
        for place in range(len(desks)):
            for number, edit in enumerate(edits):
                if edit.data is not None and edit.after is not None:
                    files.append(self._ready(place, number))
                    self._disk.write(files[-1], edit.data, int(edit.after.mode, 8) & 0o777 | 0o022)
        return files

    def _note(self, journal: Journal) -> Path:
        """Write the journal; it counts once it is synced."""
        self._disk.overwrite(self._journal, journal.dump())
        return self._journal

    def _apply(self, edits: Sequence[Edit], desks: Sequence[Desk]) -> set[Path]:
        """Step 3 in every working tree; returns the folders that have changed.

        Where it fails, because there is no room for a new folder, all is as it was.
        """
        folders: set[Path] = set()
        with ExitStack() as undo:
            for place, desk in enumerate(desks):
                for number, edit in enumerate(edits):
                    spare = self.own(f"spare-{place}-{number}")
                    desk.save(self._disk, edit.path, spare)
                    undo.callback(desk.restore, self._disk, edit.path, spare)
                    ready = self._ready(place, number) if edit.data is not None else None
                    folders |= desk.apply(self._disk, edit, ready)
                self._disk.overwrite(self.own(f"index-{place}"), desk.index.dump())
                folders.add(desk.checkout.git_dir)
            self._disk.sync([self.own(f"index-{place}") for place in range(len(desks))])
            undo.pop_all()
        return folders

    def _ready(self, place: int, number: int) -> Path:
        return self.own(f"file-{place}-{number}")

    def _finish(
        self, head: bytes | None, tip: bytes, what: str, checkouts: Sequence[Checkout]
    ) -> None:
        """Tell the reflogs, where the owner looks for what has happened, and close the journal.

        The commit is made: nothing here makes it fail.
        """
        line = f"{(head or bytes(len(tip))).hex()} {tip.hex()} {what}\n".encode()
        logs = [self._place.common / "logs" / self._branch.ref]
        logs += [checkout.git_dir / "logs" / "HEAD" for checkout in checkouts]
        try:
            for log in logs:
                if log.exists():
                    self._disk.append(log, line)
            if checkouts:
                self._note(Journal())
        except OSError as error:
            _log.warning("%s is made, but not in every log: %s", tip.hex(), error)

    def sweep(self) -> None:
        """Remove our own files of a transaction that is over."""
        for file in self._temporary.iterdir():
            self._disk.remove(file)

    def recover(self, database: Database, patience: float) -> None:
        """Put right what a killed bridge has left. Only for who holds the writers' lock."""
        self._disk.mkdir(self._temporary)
        if not self._journal.exists():
            # From now on its name is on the disk, and syncing its bytes is enough.
            state = self._journal.parent
            self._disk.sync([self._note(Journal()), state, state.parent])
        left = list(self._temporary.iterdir())
        if left:
            self.unlock({file.stat().st_ino for file in left})
            self.sweep()
        journal = Journal.load(self._journal)
        if journal == Journal():
            return
        for checkout in self.checkouts():
            if journal.moves and self._branch.read() != journal.moves[1]:
                self._go_back(checkout, *journal.moves)
            if journal.paths:
                self._repair(checkout, journal, database, patience)
        self._note(Journal())
        self.sweep()

    def unlock(self, own: Container[int] = ()) -> None:
        """Remove git's locks that are another name of one of our files, or from before a reboot."""
        common = self._place.common
        locks = [common / "index.lock", *common.glob("worktrees/*/index.lock")]
        locks += common.joinpath("refs", "heads").rglob("*.lock")
        for lock in locks:
            if lock.exists() and (lock.stat().st_ino in own or outlived_reboot(lock)):
                self._disk.remove(lock)

    def _go_back(self, checkout: Checkout, old: bytes, new: bytes) -> None:
        """Take a working tree back from where it went alone."""
        try:
            follow(checkout, new, old)
        except (OwnersEdit, StoreBroken) as error:
            # The owner has been there since: what they see is now theirs to decide on.
            _log.warning("%s was left half way to %s: %s", checkout.root, new.hex(), error)

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
