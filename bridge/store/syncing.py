"""One round with the remote: what it has comes here, what we have goes there."""

from __future__ import annotations

from dataclasses import dataclass

from git import GitCommandError

from bridge.store import OwnersEdit, StoreBroken, StoreBusy, Version
from bridge.store.git import GitStore
from bridge.store.replay import Replay, conflicted
from bridge.store.transport import RemoteHasMoved, Transport, TransportError

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that both sides had changed: theirs is at ``path``, ours at ``kept``."""

    path: str
    kept: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Commits that only one side has: ``behind`` the remote lacks, ``ahead`` we lack."""

    behind: int = 0
    ahead: int = 0


class Syncing:
    """Brings branch and remote together. Its methods block."""

    def __init__(self, store: GitStore, transport: Transport) -> None:
        self._store = store
        self._transport = transport
        self._repo = store.place.repo

    def run(self, *, fetch: bool) -> None:
        """Fetch (or trust what is known), replay if need be, push.

        Raises :class:`TransportError` and :class:`~bridge.store.StoreError`; either way nothing is
        lost, and the next run goes on from there.
        """
        if fetch:
            self._transport.fetch()
        for _ in range(_ROUNDS):
            ours, theirs = self._store.head(), self._theirs()
            if theirs and not self._contains(ours, theirs):
                self._bring(ours, theirs)
                continue
            if ours is None or ours == theirs:
                return
            try:
                self._transport.push(bytes.fromhex(ours))
            except RemoteHasMoved:
                self._transport.fetch()
        raise TransportError("the remote moves faster than one can follow")

    def counts(self) -> Counts | None:
        """How far apart both sides are; ``None`` as long as the remote was never reached."""
        ours, theirs = self._store.head(), self._theirs()
        if theirs is None and not self._transport.is_empty:
            return None
        if ours is None or theirs is None:
            only = ours or theirs
            count = int(self._repo.git.rev_list("--count", only)) if only else 0
            return Counts(count, 0) if ours else Counts(0, count)
        both = self._repo.git.rev_list("--left-right", "--count", f"{ours}...{theirs}")
        behind, ahead = both.split()
        return Counts(int(behind), int(ahead))

    def conflicts(self) -> tuple[Conflict, ...]:
        """Every file that was kept beside another one and is still there."""
        head = self._store.head()
        found = self._store.files("", head) if head else iter(())
        return tuple(
            Conflict(path, kept) for kept, _ in found if (path := conflicted(kept)) is not None
        )

    def _bring(self, ours: Version | None, theirs: Version) -> None:
        """Their commits become part of our branch; ours, if there are any, come on top."""
        replay = Replay(self._store.place, self._store.database, self._store.author)
        tip = bytes.fromhex(theirs)
        if ours is not None and not self._contains(theirs, ours):
            tip = replay.onto(tip, bytes.fromhex(ours))
        try:
            self._store.bring(ours, tip, replay.objects)
        except OwnersEdit as error:
            raise StoreBusy(
                f"the remote has changed {error.path}, which has uncommitted changes of yours;"
                " commit or undo them"
            ) from error

    def _theirs(self) -> Version | None:
        """Where the remote stood when it was last asked."""
        try:
            known = self._repo.git.rev_parse("--verify", "--quiet", self._transport.tracking)
        except GitCommandError:
            return None
        return Version(known)

    def _contains(self, descendant: Version | None, ancestor: Version) -> bool:
        if descendant is None:
            return False
        try:
            self._repo.git.merge_base("--is-ancestor", ancestor, descendant)
        except GitCommandError as error:
            if error.status == 1:
                return False
            raise StoreBroken(f"the history cannot be read: {error.stderr}") from error
        return True
