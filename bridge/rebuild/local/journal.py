"""Keeps what files contained before a build overwrote them, until the build has succeeded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bridge.rebuild.local.files import OutsideFolder, Tree

_INDEX = "index"


class _Entry(msgspec.Struct, frozen=True):
    """A file that was written or removed; ``kept`` names a copy of its earlier contents, if it had
    any.
    """

    path: str
    kept: str | None = None


class Journal:
    """Restores a folder to its state after the last successful build.

    The journal is on disk, and two processes may use it in turn. The site's code can write to it,
    so no link in it is followed.
    """

    def __init__(self, folder: Path, tree: Tree) -> None:
        """``folder`` is the journal's own; ``tree`` is the one to restore."""
        self._folder = folder
        self._files = Tree(folder)
        self._tree = tree
        self._noted = set[str]()
        self.reload()

    def reload(self) -> None:
        """Read the journal again: another process may have used it."""
        self._noted = {entry.path for entry in self._entries()}

    def note(self, path: str, before: bytes | None) -> None:
        """Record a file that is about to be written or removed; ``before`` is what it contains."""
        if path in self._noted:
            return
        self._noted.add(path)
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = None
        if before is not None:
            kept = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
            place = self._folder / kept
            place.unlink(missing_ok=True)
            try:
                os.link(self._tree.place(path), place, follow_symlinks=False)
            except OSError:
                # On another disk, or one that has no hard links.
                place.write_bytes(before)
        with (self._folder / _INDEX).open("ab") as index:
            # The standard library's, which can write names that are not UTF-8.
            index.write(json.dumps(msgspec.to_builtins(_Entry(path, kept))).encode() + b"\n")

    def is_empty(self) -> bool:
        """Whether nothing has changed."""
        return next(self._entries(), None) is None

    def restore(self) -> tuple[set[str], set[str]]:
        """Restore everything; returns the files that are back, and new ones that were removed."""
        again, new = set[str](), set[str]()
        for entry in list(self._entries()):
            data = self._files.read(entry.kept) if entry.kept else None
            with contextlib.suppress(OutsideFolder):
                if data is not None:
                    self._tree.write(entry.path, data)
                    again.add(entry.path)
                elif entry.kept is None:
                    self._tree.remove(entry.path)
                    new.add(entry.path)
        self.clear()
        return again, new

    def clear(self) -> None:
        """The build has succeeded: keep what it wrote."""
        self._noted.clear()
        if self._folder.is_symlink():
            self._folder.unlink()
        elif self._folder.exists():
            shutil.rmtree(self._folder)

    def _entries(self) -> Iterator[_Entry]:
        for line in (self._files.read(_INDEX) or b"").splitlines():
            # The last line may have been cut off.
            with contextlib.suppress(ValueError):
                yield msgspec.convert(json.loads(line), _Entry)
