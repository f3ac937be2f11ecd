"""What files were before a build wrote over them, until it has gone well."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bridge.rebuild.local.files import OutsideFolder, Tree

_INDEX = "index"


class _Entry(msgspec.Struct, frozen=True):
    """A file that was written or removed; ``kept`` is the one that has what it held, if any."""

    path: str
    kept: str | None = None


class Journal:
    """Brings a folder back to what it was when the last build went well.

    Two processes may use one journal, one after the other: it is on disk. What it says is only as
    good as who wrote it, so that no link in it is followed.
    """

    def __init__(self, folder: Path, tree: Tree) -> None:
        """``folder`` is the journal's own; ``tree`` is the one that is brought back."""
        self._folder = folder
        self._files = Tree(folder)
        self._tree = tree
        self._noted = set[str]()
        self.reload()

    def reload(self) -> None:
        """Another process may have used it since."""
        self._noted = {entry.path for entry in self._entries()}

    def note(self, path: str, before: bytes | None) -> None:
        """A file is about to be written or removed; ``before`` is what it holds."""
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
            index.write(msgspec.json.encode(_Entry(path, kept)) + b"\n")

    def is_empty(self) -> bool:
        """Whether nothing is other than it was."""
        return next(self._entries(), None) is None

    def restore(self) -> tuple[set[str], set[str]]:
        """Bring everything back; the files that are there again, and those that were new."""
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
        """A build has gone well: what it wrote stays."""
        self._noted.clear()
        if self._folder.is_symlink():
            self._folder.unlink()
        elif self._folder.exists():
            shutil.rmtree(self._folder)

    def _entries(self) -> Iterator[_Entry]:
        for line in (self._files.read(_INDEX) or b"").splitlines():
            # The last line may have been cut off.
            with contextlib.suppress(msgspec.DecodeError):
                yield msgspec.json.decode(line, type=_Entry)
