"""Puts right what a command of the owner's, begun before a commit of ours, has undone of it.

Its sign: the file is still as we have made it, and the index, or the branch, has it as it was
before. As long as the branch has our post, staging it once more is enough. Where a commit of the
owner's has taken it out of the branch unseen, the post comes back by a commit of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bridge.store import BlobId, Change, Commit, StoreError
from bridge.store.batch import Batch
from bridge.store.disk import Disk
from bridge.store.git_index import Indexes
from bridge.store.object_database import ObjectDatabase
from bridge.store.opening import Place
from bridge.store.scratch import Scratch
from bridge.store.settling import Recent
from bridge.store.transaction import Transaction
from bridge.store.trees import find
from bridge.store.worktree import Desk

_log = logging.getLogger(__name__)
_MESSAGE = """\
Put back what another commit has taken out

It was made from an index that was read before the last posts were in it.
"""


class Mending:
    """For who holds the writers' lock."""

    def __init__(
        self,
        place: Place,
        database: ObjectDatabase,
        disk: Disk,
        scratch: Scratch,
        indexes: Indexes,
        transaction: Transaction,
    ) -> None:
        self._place = place
        self._database = database
        self._disk = disk
        self._scratch = scratch
        self._indexes = indexes
        self._transaction = transaction

    def is_well(self, head: bytes | None, recent: Sequence[Recent], files: Sequence[Path]) -> bool:
        """Whether branch and index files have all that we have done, seen without a lock: most
        often somebody has only staged something else, and is about to commit it."""
        tree = self._database.tree_of(head) if head else None
        for file in files:
            index, stamp = self._indexes.peek(file)
            for edit in (each.edit for each in recent):
                staged = index.get(edit.path)
                there = find(self._database, tree, edit.path) if tree else None
                if not edit.after == there == (staged.entry if staged else None):
                    return False
            self._indexes.seen(file, stamp)
        return True

    def put_right(
        self, head: bytes | None, recent: Sequence[Recent], desks: Sequence[Desk], author: str
    ) -> Batch | None:
        """Look for what ``head`` and ``desks`` lack, and do it once more; returns what had to be
        committed, if anything."""
        tree = self._database.tree_of(head) if head else None
        lost: dict[str, Change] = {}
        for desk in desks:
            for each in recent:
                path, after = each.edit.path, each.edit.after
                there = find(self._database, tree, path) if tree else None
                if not desk.is_ours(each.edit, each.earlier):
                    continue
                if there == after:
                    desk.stage(each.edit)
                elif there in each.earlier:
                    seen = BlobId(there.oid.hex()) if there else None
                    lost[path] = Change(path, each.edit.data, seen)
        if lost and (batch := self._put_back(head, [*lost.values()], desks, author)):
            return batch
        for number, desk in enumerate(desks):
            desk.save_index(self._disk, self._scratch.file(f"index-{number}"))
        return None

    def _put_back(
        self, head: bytes | None, lost: Sequence[Change], desks: Sequence[Desk], author: str
    ) -> Batch | None:
        # Without desks: that the files are other than the index says is what is to be put right.
        batch = Batch(self._database, self._place.format, author, head, desks=())
        made = batch.add(Commit(tuple(lost), _MESSAGE, None), lambda _: True)
        if isinstance(made, StoreError):
            raise made
        if batch.tip is None or not self._transaction.advance(head, batch.tip, batch, desks):
            return None  # the owner has just committed once more: the next look sees it
        _log.warning("another's commit had taken out %s: put back", ", ".join(batch.edits))
        return batch
