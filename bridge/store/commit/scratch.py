"""Temporary files beside the packs, on the repo's disk, where git has its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bridge.store.commit.disk import Disk

#: ``git gc`` removes what begins like this once it is weeks old; readers pass over it.
_PREFIX = "tmp_bridge_"


class Scratch:
    """Temporary files by name.

    Only the holder of the writers' lock touches them, so every file that is found there at the
    beginning was left by a bridge that was killed.
    """

    def __init__(self, disk: Disk, packs: Path) -> None:
        """``packs`` is the repo's ``objects/pack``."""
        self._disk = disk
        self._packs = packs
        self._files: dict[str, Path] = {}  # making a Path takes as long as some system calls

    def file(self, name: str) -> Path:
        """Where a temporary file is, or would be."""
        if name not in self._files:
            self._files[name] = self._packs / f"{_PREFIX}{name}"
        return self._files[name]

    def write(self, name: str, data: bytes, mode: int = 0o666) -> Path:
        """Make a temporary file."""
        path = self.file(name)
        self._disk.write(path, data, mode)
        return path

    def left(self) -> set[int]:
        """The inodes of all temporary files."""
        return {entry.stat(follow_symlinks=False).st_ino for entry in self._entries()}

    def sweep(self) -> None:
        """Remove all temporary files."""
        for entry in self._entries():
            self._disk.remove(Path(entry.path))

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._packs) as entries:
            yield from [entry for entry in entries if entry.name.startswith(_PREFIX)]
