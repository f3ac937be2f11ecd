"""The bridge's own folder in the repo: files that are not yet, or no longer, part of it."""

from __future__ import annotations

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

    def open(self) -> None:
        """Make what is not there."""
        self._disk.mkdir(self.folder)
        if not self._journal.exists():
            # From now on its name is on the disk, and syncing its bytes is enough.
            self._disk.sync([self.note(Journal()), self._state, self._state.parent])

    def file(self, name: str) -> Path:
        """Where a temporary file is, or would be."""
        return self.folder / name

    def write(self, name: str, data: bytes, entry: Entry | None = None) -> Path:
        """Make a temporary file; with the permissions of ``entry``, as far as the system allows."""
        path = self.file(name)
        self._disk.write(path, data, int(entry.mode, 8) & 0o777 | 0o022 if entry else 0o666)
        return path

    def left(self) -> set[int]:
        """The inodes of all temporary files."""
        return {file.stat().st_ino for file in self.folder.iterdir()}

    def sweep(self) -> None:
        """Remove all temporary files."""
        for file in self.folder.iterdir():
            self._disk.remove(file)

    def note(self, journal: Journal) -> Path:
        """Write the journal; it counts once the file is synced."""
        self._disk.overwrite(self._journal, journal.dump())
        return self._journal

    def noted(self) -> Journal:
        """What the journal says."""
        return Journal.load(self._journal)
