"""After a commit in the owner's clone: commands of theirs that had begun before it.

Git reads the index before it locks it. A command that read the old one in that moment, and locks
and writes it back right after us, takes our entries out again; its own commit then fails, because
the branch has moved, but the next one would delete our posts. So the index is watched, beside the
requests, for as long as such a command takes to show itself, and gets our entries back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from bridge.store import StoreError
from bridge.store.staging import Indexes
from bridge.store.worktree import Edit

_log = logging.getLogger(__name__)
_WATCH = 0.1  # seconds; git locks the index within a fraction of this after reading it
_STEP = 0.001


class Settling:
    """Watches index files for a moment after each commit."""

    def __init__(self, indexes: Indexes, mend: Callable[[], None]) -> None:
        """``mend`` is called, in another thread, when an index has changed: it looks at
        :attr:`edits`, while it holds the writers' lock, and puts right what is undone."""
        self._indexes = indexes
        self._mend = mend
        self._guard = threading.Lock()
        self.edits: dict[str, Edit] = {}
        self._files: set[Path] = set()
        self._until = 0.0
        self._thread: threading.Thread | None = None

    def committed(self, edits: Mapping[str, Edit], files: Iterable[Path]) -> None:
        """Watch these index files, which now have these changes. Returns at once."""
        watched = set(files)
        if not watched:
            return
        with self._guard:
            for path, edit in edits.items():
                first = self.edits.get(path, edit)
                self.edits[path] = replace(edit, before=first.before)
            self._files |= watched
            self._until = time.monotonic() + _WATCH
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="settling", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Watch no longer than the moment takes."""
        if thread := self._thread:
            thread.join()

    def _watch(self) -> None:
        while not self._is_over():
            time.sleep(_STEP)
            try:
                if not self._is_settled():
                    self._mend()
            except (StoreError, OSError) as error:
                _log.warning("an index was not looked after: %s", error)

    def _is_settled(self) -> bool:
        """Whether nobody has written an index since we have."""
        with self._guard:
            return all(self._indexes.is_known(file) for file in self._files)

    def _is_over(self) -> bool:
        """Whether the moment has passed; then everything is forgotten, and the thread ends."""
        with self._guard:
            if time.monotonic() < self._until:
                return False
            self.edits.clear()
            self._files.clear()
            self._thread = None
            return True
