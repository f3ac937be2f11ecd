"""The content store that is a git repo: durable, shared with the owner, one commit a request."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bridge.store import (
    Blob,
    BlobId,
    Commit,
    Difference,
    Removal,
    StoreBroken,
    StoreBusy,
    StoreError,
    StoreFull,
    Version,
)
from bridge.store.batch import Batch
from bridge.store.disk import Disk
from bridge.store.git_index import Indexes
from bridge.store.history import removed_files
from bridge.store.housekeeping import Housekeeper
from bridge.store.locks import writer
from bridge.store.mending import Mending
from bridge.store.object_database import ObjectDatabase
from bridge.store.objects import Object
from bridge.store.opening import author as find_author
from bridge.store.opening import open_place
from bridge.store.recovery import Recovery
from bridge.store.scratch import Scratch
from bridge.store.settling import Settling
from bridge.store.transaction import Transaction
from bridge.store.trees import compare, find, walk
from bridge.store.worktree import Checkout, Desk, at_desk, checkouts

_ATTEMPTS = 20
_OWN_COMMITS = 10_000


class GitStore:
    """A :class:`~bridge.store.ContentStore` in a git repo.

    ``repo`` is a bare repo, a clone with a working tree, or a worktree; ``branch`` is by default
    the one that its ``HEAD`` names; ``author`` is ``Name <address>``, by default git's own, and
    ``otherwise`` where git has none. Opening raises :class:`StoreBroken`, which says what to mend.

    ``state`` is a folder of the bridge's own inside the git folder: everything in it is derived.
    """

    def __init__(
        self,
        repo: Path,
        *,
        branch: str = "",
        author: str = "",
        otherwise: str = "",
        patience: float = 5.0,
        disk: Disk | None = None,
    ) -> None:
        """``patience`` is how many seconds a commit waits for somebody else's lock."""
        self.place = place = open_place(repo, branch)
        self.disk = disk or Disk()
        self._patience = patience
        self.database = ObjectDatabase(place.repo, place.format)
        self._turn = threading.Lock()
        self._indexes = Indexes(place.format)
        self._settling = Settling(place.branch, self._indexes, self._mend)
        self._mine: dict[Version | None, None] = {}  # in order
        self.state = place.common / "micropub-bridge"
        self._lock = self.state / "lock"
        self._housekeeper = Housekeeper(place, self.state)
        with _translated():
            self.author = find_author(place.repo, author, otherwise)
            self._scratch = Scratch(self.disk, self.state)
            parts = (place, self.database, self.disk, self._scratch, patience)
            self._transaction, self._recovery = Transaction(*parts), Recovery(*parts)
            self._mending = Mending(*parts[:-1], self._indexes, self._transaction)
            # A bridge that was killed may have left something half done. If another one is
            # writing right now, it has put that right itself.
            with suppress(StoreBusy), self._writing():
                self._recovery.unlock()
                self._read_indexes()

    def close(self) -> None:
        """End the processes and threads behind the store."""
        self._settling.close()
        self._housekeeper.close()
        self.database.close()
        self.place.repo.close()
        self.disk.close()

    def head(self) -> Version | None:
        """The newest version of the branch."""
        with _translated():
            return _version(self.place.branch.read())

    def read(self, path: str, at: Version) -> Blob | None:
        """One file."""
        with _translated():
            entry = find(self.database, self._tree_of(at), path)
            if entry is None or not entry.is_file:
                return None
            return Blob(BlobId(entry.oid.hex()), self.database.read(entry.oid, "blob"))

    def files(self, folder: str, at: Version) -> Iterator[tuple[str, BlobId]]:
        """Every file below a folder."""
        with _translated():
            tree, prefix = self._tree_of(at), folder.strip("/")
            if prefix:
                entry = find(self.database, tree, prefix)
                if entry is None or not entry.is_folder:
                    return
                tree = entry.oid
            start = os.fsencode(f"{prefix}/" if prefix else "")
            for path, entry in walk(self.database, tree, start):
                yield path, BlobId(entry.oid.hex())

    def blobs(self, ids: Iterable[BlobId]) -> Iterator[Blob]:
        """The bytes behind many ids."""
        with _translated():
            wanted = list(ids)
            found = self.database.read_many(map(_oid, wanted), "blob")
            for blob, data in zip(wanted, found, strict=True):
                yield Blob(blob, data)

    def diff(self, old: Version, new: Version) -> Sequence[Difference]:
        """Every path whose bytes differ."""
        with _translated():
            found = compare(self.database, self._tree_of(old), self._tree_of(new))
            pairs = [
                Difference(
                    path,
                    BlobId(was.oid.hex()) if was and was.is_file else None,
                    BlobId(now.oid.hex()) if now and now.is_file else None,
                )
                for path, was, now in found
            ]
            changed = [pair for pair in pairs if pair.old != pair.new]
            return sorted(changed, key=lambda pair: os.fsencode(pair.path))

    def removals(self, folder: str, at: Version) -> Iterator[Removal]:
        """Files that are gone, newest removal first."""
        with _translated():
            tree, seen = self._tree_of(at), set[str]()
            for removal in removed_files(self.place.repo, folder, at):
                if removal.path in seen:
                    continue
                seen.add(removal.path)
                entry = find(self.database, tree, removal.path)
                if entry is None or not entry.is_file:
                    yield removal

    def commit(self, commits: Sequence[Commit]) -> Sequence[Version | StoreError]:
        """Commit each on top of the one before, all of them in one round of syncs."""
        with _translated(), self._writing():
            for _ in range(_ATTEMPTS):
                if not self._settling.is_settled():
                    self._put_right()
                answers = self._attempt(commits)
                if answers is not None:
                    self._housekeeper.committed()
                    return answers
                self._scratch.sweep()
        raise StoreBusy("somebody else keeps committing")

    def bring(self, old: Version | None, new: bytes, objects: Sequence[Object]) -> bool:
        """Move the branch, and working trees, to a commit that came from elsewhere.

        ``objects`` are those that the repo lacks. ``False`` if the branch is no longer at ``old``.
        Raises :class:`OwnersEdit` where uncommitted edits are in the way.
        """
        with _translated(), self._writing():
            head = _oid(old) if old else None
            ident = f"{self.author} {int(time.time())} {time.strftime('%z')}"
            return self._transaction.bring(head, new, objects, ident, self._checkouts())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer among threads and bridges, in a repo where nothing is half done."""
        self.disk.mkdir(self.state)
        with self._turn, writer(self._lock, self._patience):
            self._scratch.open()
            self._recovery.recover(self._checkouts)
            try:
                yield
            finally:
                self._scratch.sweep()

    def _attempt(self, commits: Sequence[Commit]) -> Sequence[Version | StoreError] | None:
        """Commit on top of the branch as it is now; ``None`` when it has moved meanwhile."""
        head = self.place.branch.read()
        self._notice(_version(head))
        with self._desks() as desks:
            batch = Batch(self.database, self.place.format, self.author, head, desks)
            made: dict[Version | None, None] = {}
            answers: list[Version | StoreError] = []
            for commit in commits:
                answer = batch.add(commit, lambda base: base in self._mine or base in made)
                answers.append(answer)
                if not isinstance(answer, StoreError):
                    made[answer] = None
            if batch.tip and made and not self._transaction.advance(head, batch.tip, batch, desks):
                return None
            files = _index_files([desk.checkout for desk in desks])
            self._settling.committed(batch.tip, batch.edits, files)
        self._mine |= made
        while len(self._mine) > _OWN_COMMITS:
            del self._mine[next(iter(self._mine))]
        return answers

    def _notice(self, head: Version | None) -> None:
        """Remember which versions only our own commits have followed."""
        if head not in self._mine:
            self._mine = {head: None}

    def _mend(self) -> None:
        """Do once more what a command of the owner's has undone of our commits."""
        with _translated(), self._writing():
            self._put_right()

    def _put_right(self) -> None:
        head, recent = self.place.branch.read(), self._settling.recent()
        files = _index_files(self._checkouts())
        if self._mending.is_well(head, recent, files):
            self._settling.looked_at(head, files)
            return
        with self._desks() as desks:
            head, files = self.place.branch.read(), _index_files([desk.checkout for desk in desks])
            batch = self._mending.put_right(head, recent, desks, self.author)
            if batch:
                self._settling.committed(batch.tip, batch.edits, files)
            else:
                self._settling.looked_at(head, files)
        self._scratch.sweep()

    def _checkouts(self) -> list[Checkout]:
        """Every working tree that has the branch checked out."""
        return checkouts(self.place.common, self.place.root, self.place.branch.ref)

    def _read_indexes(self) -> None:
        """Refuse an index of a kind that is unknown here before somebody has a post for it."""
        for checkout in self._checkouts():
            file = checkout.git_dir / "index"
            self._indexes.keep(file, self._indexes.read(file))

    @contextmanager
    def _desks(self) -> Iterator[list[Desk]]:
        """Every working tree that has the branch checked out, with its index locked."""
        desks: list[Desk] = []
        with ExitStack() as stack:
            for number, checkout in enumerate(self._checkouts()):
                own = self._scratch.file(f"index-{number}")
                desk = at_desk(self.disk, checkout, own, self._indexes, self._patience)
                desks.append(stack.enter_context(desk))
            yield desks

    def _tree_of(self, at: Version) -> bytes:
        return self.database.tree_of(_oid(at))


def _index_files(checkouts: Sequence[Checkout]) -> list[Path]:
    return [checkout.git_dir / "index" for checkout in checkouts]


def _version(commit: bytes | None) -> Version | None:
    return Version(commit.hex()) if commit else None


def _oid(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise StoreBroken(f"{text!r} is not an object's id") from error


@contextmanager
def _translated() -> Iterator[None]:
    """What the system says, in the words of the store."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StoreFull(f"the disk is full: {error}") from error
        raise StoreBroken(f"the repo cannot be used: {error}") from error
