"""One round of synchronisation: fetch, rebase if needed, push."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from git import GitCommandError
from msgspec import Struct

from bridge.store import StoreBroken, Version
from bridge.store.git import GitStore
from bridge.store.object_database import compare, find, walk
from bridge.store.repo import read_ref
from bridge.store.sync.rebase import MARK, Replay, conflicted
from bridge.store.sync.transport import (
    RemoteHasMoved,
    RemoteIsBusy,
    RemoteWaits,
    Transport,
    TransportError,
)

_ROUNDS = 5
_NEAR = 20
_MOMENT = 0.2  # seconds that another git command may take


class MergeConflict(Struct, frozen=True):
    """A file that both sides had changed: theirs is at ``path``, ours at ``kept``."""

    path: str
    kept: str


class Divergence(Struct, frozen=True):
    """Commits that only one side has: ``behind`` the remote lacks, ``ahead`` we lack."""

    behind: int = 0
    ahead: int = 0


class SyncRound:
    """Synchronises branch and remote. Its methods block."""

    def __init__(
        self,
        store: GitStore,
        transport: Transport,
        is_post: Callable[[str], bool],
        *,
        recreates: bool = True,
    ) -> None:
        """``is_post`` tells from its message whether a commit is the bridge's. Such commits are
        kept even if the remote is forced back to before them. ``recreates``: whether a branch that
        the remote no longer has is created again, though it has another main branch.
        """
        self._recreates = recreates
        self._store = store
        self._is_post = is_post
        self._transport = transport
        self._repo = store.bare_repo.repo
        #: Files that conflicts have left, each with the file that it is beside, as of a version.
        self._beside: dict[str, str] = {}
        self._looked_at: Version | None = None

    def run(self, *, fetch: bool) -> None:
        """Fetch (or rely on what is known), rebase if necessary, push.

        Raises :class:`TransportError` (:class:`RemoteIsBusy` where a moment later all may be well)
        and :class:`~bridge.store.StoreError`; either way nothing is lost, and the next run goes on
        from there.
        """
        busy = RemoteIsBusy("the remote kept changing during the push")
        if fetch:
            self._transport.fetch()
        for _ in range(_ROUNDS):
            ours, theirs = self._store.head(), self.theirs()
            if theirs and self._has_moved(ours, theirs):
                self._advance(ours, theirs)
                continue
            if ours is None or ours == theirs:
                self._transport.agree(ours)
                return
            if theirs is None and not self._recreates:
                self._refuse_to_recreate()
            try:
                self._refuse_to_disturb(ours, theirs)
                self._transport.push(bytes.fromhex(ours), theirs)
            except RemoteHasMoved:
                self._transport.fetch()
            except RemoteIsBusy as error:
                busy = error
                self._transport.pause(_MOMENT)
            else:
                # What was committed in the meantime is left to the next run: this one has not
                # failed.
                self._transport.agree(ours)
                return
        raise busy

    def _refuse_to_recreate(self) -> None:
        """Raise :class:`TransportError` if the remote had the branch, and now has another one in
        its place: posts would be where nobody looks for them.
        """
        main, branch = self._transport.main_branch(), self._store.bare_repo.branch.name
        if main not in ("", branch) and self._known(self._transport.agreed):
            raise TransportError(
                f"the remote has no branch {branch} any more, and its main branch is {main}. Posts"
                f" are kept here until it has {branch} again, or the bridge uses {main}"
            )

    def _refuse_to_disturb(self, ours: Version, theirs: Version | None) -> None:
        """Raise :class:`RemoteWaits` if a push would disturb the owner's clone."""
        local, database = self._transport.local, self._store.database
        if local is None or not local.trees():
            return
        if operation := local.operation():
            raise RemoteWaits(operation)
        before = database.tree_of(bytes.fromhex(theirs)) if theirs else None
        found = compare(database, before, database.tree_of(bytes.fromhex(ours)))
        added = [path for path, was, now in found if now and not was]

        def is_tracked(path: str) -> bool:
            return before is not None and find(database, before, path) is not None

        if paths := local.in_the_way(added, is_tracked):
            raise RemoteWaits(f"{paths[0]} is there, and git does not track it. Move it away, or"
                              " delete it", paths)  # fmt: skip

    def counts(self) -> Divergence | None:
        """How far the sides have diverged; ``None`` before the remote was ever reached."""
        ours, theirs = self._store.head(), self.theirs()
        if theirs is None and not self._transport.is_empty:
            return None
        if ours == theirs:
            return Divergence()
        if ours is None or theirs is None:
            only = ours or theirs
            count = int(self._repo.git.rev_list("--count", only)) if only else 0
            return Divergence(count, 0) if ours else Divergence(0, count)
        both = self._repo.git.rev_list("--left-right", "--count", f"{ours}...{theirs}")
        behind, ahead = both.split()
        return Divergence(int(behind), int(ahead))

    def conflicts(self) -> tuple[MergeConflict, ...]:
        """The files that conflicts have left beside others, as far as they still exist."""
        head = self._store.head()
        if head is None:
            return ()
        paths = self._paths_since(head)
        if paths is None:
            database = self._store.database
            self._beside.clear()
            tree = database.tree_of(bytes.fromhex(head))
            paths = [(path, True) for path, _ in walk(database, tree, part=MARK.encode())]
        for kept, is_there in paths:
            path = conflicted(kept)
            if path is not None and is_there:
                self._beside[kept] = path
            else:
                self._beside.pop(kept, None)
        self._looked_at = head
        return tuple(MergeConflict(path, kept) for kept, path in sorted(self._beside.items()))

    def _paths_since(self, head: Version) -> list[tuple[str, bool]] | None:
        """The paths that differ from the version that was looked at last, and whether they are
        files now; ``None`` where all have to be looked at.
        """
        if self._looked_at is None:
            return None
        try:
            changes = self._store.diff(self._looked_at, head)
        except StoreBroken:
            return None
        return [(change.path, change.new is not None) for change in changes]

    def _advance(self, ours: Version | None, theirs: Version) -> None:
        """Add their commits to our branch, and replay ours on top."""
        replay = Replay(self._store.bare_repo, self._store.database, self._store.author)
        tip = bytes.fromhex(theirs)
        if ours is not None and not self._contains(theirs, ours):
            tip = replay.onto(tip, bytes.fromhex(ours), self._taken_back(theirs))
        if tip.hex() == ours or self._store.advance_to_remote(ours, tip, replay.objects):
            self._transport.agree(theirs)

    def _has_moved(self, ours: Version | None, theirs: Version) -> bool:
        """Whether the remote has commits that we lack, or lacks some that it once had."""
        agreed = self._known(self._transport.agreed)
        if agreed and not self._contains(theirs, agreed):
            return True
        return not self._contains(ours, theirs)

    def _taken_back(self, theirs: Version) -> set[bytes]:
        """The owner's commits that both sides once had, and that a forced push has removed."""
        agreed = self._known(self._transport.agreed)
        if not agreed:
            return set()
        listed = self._repo.git.rev_list("--format=%B%x00", agreed, f"^{theirs}").split("\0\n")
        logged = (each.partition("\n") for each in listed)
        return {
            bytes.fromhex(head.removeprefix("commit "))
            for head, _, message in logged
            if head and not self._is_post(message)
        }

    def _line(self, commit: Version) -> Iterator[Version]:
        """A commit and those before it, as far as each has one parent."""
        following: Version | None = commit
        while following is not None:
            yield following
            parents = self._store.database.parents_of(bytes.fromhex(following))
            following = Version(parents[0].hex()) if len(parents) == 1 else None

    def theirs(self) -> Version | None:
        """The remote's commit when it was last fetched."""
        return self._known(self._transport.tracking)

    def _known(self, ref: str) -> Version | None:
        try:
            found = read_ref(self._store.bare_repo.common, ref)
        except (StoreBroken, OSError):
            return None  # it only records the last known state: the remote itself is fetched again
        return Version(found.hex()) if found else None

    def _contains(self, descendant: Version | None, ancestor: Version) -> bool:
        """Whether a commit is another one or among its ancestors."""
        if descendant is None:
            return False
        # Usually only a post or two are new: no git process is started for that.
        for commit in islice(self._line(descendant), _NEAR):
            if commit == ancestor:
                return True
        try:
            self._repo.git.merge_base("--is-ancestor", ancestor, descendant)
        except GitCommandError as error:
            if error.status == 1:
                return False
            raise StoreBroken(f"the history cannot be read: {error.stderr}") from error
        return True
