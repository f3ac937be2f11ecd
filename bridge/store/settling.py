"""After a commit in the owner's clone: commands of theirs that had begun before it.

Git reads the index before it locks it. A command that read the old one in that moment, and locks
and writes it back right after us, takes our entries out again; its own commit then fails, because
the branch has moved, but the next one would delete our posts. So index and branch are watched,
beside the requests, for longer than such a command takes to show itself, and
:mod:`bridge.store.mending` puts right what it has undone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.store import StoreError
from bridge.store.git_index import Indexes
from bridge.store.objects import Entry
from bridge.store.refs import Branch
from bridge.store.worktree import Edit

_log = logging.getLogger(__name__)
_WATCH = 1.0  # seconds; git locks the index within a fraction of this after reading it
_LEAST = 0.1  # even for a bridge that ends
_STEP = 0.001


@dataclass(frozen=True, slots=True)
class Recent:
    """What we have lately done to a path, and what was there before: once, or several times."""

    edit: Edit
    earlier: tuple[Entry | None, ...]
    until: float


class Settling:
    """Watches index files, and the branch, for a moment after each commit."""

    def __init__(self, branch: Branch, indexes: Indexes, mend: Callable[[], None]) -> None:
        """``mend`` is called, in another thread, when something has changed: it looks at
        :meth:`recent`, while it holds the writers' lock, and puts right what is undone."""
        self._branch = branch
        self._head: bytes | None = None
        self._indexes = indexes
        self._mend = mend
        self._guard = threading.Lock()
        self._recent: dict[str, Recent] = {}
        self._files: set[Path] = set()
        self._until = 0.0
        self._thread: threading.Thread | None = None

    def committed(
        self, head: bytes | None, edits: Mapping[str, Edit], files: Iterable[Path]
    ) -> None:
        """Watch these index files, which have these changes, as has ``head``. Returns at once."""
        watched = set(files)
        if not watched:
            return
        with self._guard:
            self._head = head
            now = time.monotonic()
            self._until = now + _WATCH
            known = {path: each for path, each in self._recent.items() if each.until > now}
            for path, edit in edits.items():
                earlier = known[path].earlier if path in known else ()
                known[path] = Recent(edit, (*earlier, edit.before), self._until)
            self._recent = known
            self._files |= watched
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="settling", daemon=True)
                self._thread.start()

    def recent(self) -> Sequence[Recent]:
        """What may still be undone."""
        with self._guard:
            return [*self._recent.values()]

    def looked_at(self, head: bytes | None, files: Iterable[Path]) -> None:
        """All is well as far as this version, in the index files that there are now."""
        with self._guard:
            self._head, self._files = head, set(files)

    def is_settled(self) -> bool:
        """Whether nobody has written an index, or moved the branch, since we have."""
        with self._guard:
            return not self._files or (
                all(self._indexes.is_known(file) for file in self._files)
                and self._branch.read() == self._head
            )

    def close(self) -> None:
        """Watch no longer than need be."""
        with self._guard:
            self._until -= _WATCH - _LEAST
        if thread := self._thread:
            thread.join()

    def _watch(self) -> None:
        while not self._is_over():
            time.sleep(_STEP)
            try:
                if not self.is_settled():
                    self._mend()
            except (StoreError, OSError) as error:
                _log.warning("an index was not looked after: %s", error)

    def _is_over(self) -> bool:
        """Whether the moment has passed; then everything is forgotten, and the thread ends."""
        with self._guard:
            if time.monotonic() < self._until:
                return False
            self._recent.clear()
            self._files.clear()
            self._thread = None
            return True
