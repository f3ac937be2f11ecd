"""Every way in which the store changes files, its own temporary files among them.

One class, so that tests can break each step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: Syncs that wait together cost the disk about as much as one.
_HANDS = 4


class Disk:
    """Files written, synced, linked, renamed and removed. Raises what the system raises."""

    def __init__(self) -> None:
        self._hands = ThreadPoolExecutor(_HANDS, thread_name_prefix="sync")

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        """Create a file; it is durable only after :meth:`sync`."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            self._fill(file, data)
        finally:
            os.close(file)

    def append(self, path: Path, data: bytes) -> None:
        """Append to a file, in one write."""
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(file, data)
        finally:
            os.close(file)

    def sync(self, paths: Iterable[Path]) -> None:
        """Make files, or the names in folders, durable; all at once.

        There is at least one.
        """
        mine, *others = paths
        waiting = [self._hands.submit(_sync, path) for path in others]
        _sync(mine)
        for each in waiting:
            each.result()

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; ``FileExistsError`` where that is taken."""
        target.hardlink_to(source)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file over another, in one step."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def mkdir(self, path: Path) -> None:
        """Make a folder, if it is not there; its parent has to be."""
        if not path.is_dir():
            path.mkdir(exist_ok=True)

    def close(self) -> None:
        """Stop the threads."""
        self._hands.shutdown()

    @staticmethod
    def _fill(file: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


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
