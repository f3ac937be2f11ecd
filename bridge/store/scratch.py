"""The bridge's own folder in the repo: files that are not yet, or no longer, part of it."""

from __future__ import annotations

import os
from pathlib import Path

from bridge.store.disk import Disk
from bridge.store.journal import Journal
from bridge.store.objects import Entry


class Scratch:
    """Temporary files by name, on the same disk as the repo, and the journal.

    Only who holds the writers' lock touches it, so every file that is found there at the beginning
    is of somebody who was killed.
    """

    def __init__(self, disk: Disk, state: Path) -> None:
        self._disk = disk
        self._state = state
        self.folder = state / "tmp"
        self._journal = state / "journal"
        self._files: dict[str, Path] = {}  # making a Path takes as long as some system calls

    def open(self) -> None:
        """Make what is not there."""
        self._disk.mkdir(self.folder)
        if not self._journal.exists():
            # From now on its name is on the disk, and syncing its bytes is enough.
            self._disk.sync([self.note(Journal()), self._state, self._state.parent])

    def file(self, name: str) -> Path:
        """Where a temporary file is, or would be."""
        if name not in self._files:
            self._files[name] = self.folder / name
        return self._files[name]

    def write(self, name: str, data: bytes, entry: Entry | None = None) -> Path:
        """Make a temporary file; with the permissions of ``entry``, as far as the system allows."""
        path = self.file(name)
        self._disk.write(path, data, int(entry.mode, 8) & 0o777 | 0o022 if entry else 0o666)
        return path

    def left(self) -> set[int]:
        """The inodes of all temporary files."""
        with os.scandir(self.folder) as files:
            return {file.stat(follow_symlinks=False).st_ino for file in files}

    def sweep(self) -> None:
        """Remove all temporary files."""
        for name in os.listdir(self.folder):  # noqa: PTH208  # see above
            self._disk.remove(self.file(name))

    def note(self, journal: Journal) -> Path:
        """Write the journal; it counts once the file is synced."""
        self._disk.overwrite(self._journal, journal.dump())
        return self._journal

    def noted(self) -> Journal:
        """What the journal says."""
        return Journal.load(self._journal)
