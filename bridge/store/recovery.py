"""What puts right a repo where a bridge was killed, or the power was cut, among its steps."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from pathlib import Path

from bridge.store import OwnersEdit, StoreBroken
from bridge.store.disk import Disk
from bridge.store.following import follow
from bridge.store.git_index import Indexes
from bridge.store.journal import Journal
from bridge.store.locks import outlived_reboot
from bridge.store.object_database import ObjectDatabase
from bridge.store.opening import Place
from bridge.store.scratch import Scratch
from bridge.store.trees import find
from bridge.store.worktree import Checkout, Edit, at_desk

_log = logging.getLogger(__name__)


class Recovery:
    """Looks after what is left. Only for who holds the writers' lock."""

    def __init__(
        self, place: Place, database: ObjectDatabase, disk: Disk, scratch: Scratch, patience: float
    ) -> None:
        self._place = place
        self._database = database
        self._disk = disk
        self._scratch = scratch
        self._patience = patience

    def recover(self, checkouts: Callable[[], Sequence[Checkout]]) -> None:
        """Finish or undo what was begun; almost always there is nothing."""
        if left := self._scratch.left():
            self.unlock(left)
            self._scratch.sweep()
        journal = self._scratch.noted()
        if journal == Journal():
            return
        for checkout in checkouts():
            if journal.moves and self._place.branch.read() != journal.moves[1]:
                self._go_back(checkout, *journal.moves)
            if journal.paths:
                self._repair(checkout, journal)
        self._scratch.note(Journal())
        self._scratch.sweep()

    def unlock(self, own: Container[int] = ()) -> None:
        """Remove git's locks that are another name of one of our files, or from before a reboot."""
        common = self._place.common
        locks = [common / "index.lock", *common.glob("worktrees/*/index.lock")]
        for folder, _, names in os.walk(common / "refs" / "heads"):
            locks += [Path(folder, name) for name in names if name.endswith(".lock")]
        for lock in locks:
            # Git's own come and go.
            with suppress(FileNotFoundError):
                if lock.stat().st_ino in own or outlived_reboot(lock):
                    self._disk.remove(lock)

    def _go_back(self, checkout: Checkout, old: bytes, new: bytes) -> None:
        """Take a working tree back from where it went alone."""
        try:
            follow(checkout, new, old)
        except (OwnersEdit, StoreBroken) as error:
            # The owner has been there since: what they see is now theirs to decide on.
            _log.warning("%s was left half way to %s: %s", checkout.root, new.hex(), error)

    def _repair(self, checkout: Checkout, journal: Journal) -> None:
        """Bring the paths of an interrupted commit to what the branch says."""
        head, own = self._place.branch.read(), self._scratch.file("index-0")
        tree = self._database.tree_of(head) if head else None
        folders = {checkout.git_dir}
        indexes = Indexes(self._place.format)
        with at_desk(self._disk, checkout, own, indexes, self._patience) as desk:
            for number, (path, known) in enumerate(journal.paths.items()):
                after = find(self._database, tree, path) if tree else None
                if not desk.is_half_done(path, known, after):
                    continue
                data = self._database.read(after.oid, "blob") if after else None
                ready = (
                    self._scratch.write(f"file-{number}", data, after) if data is not None else None
                )
                folders |= desk.apply(self._disk, Edit(path, None, after, data), ready)
            self._disk.overwrite(own, desk.index.dump())
            self._disk.sync([own])
            desk.commit()
        self._disk.sync(folders)
