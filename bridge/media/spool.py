"""Pending uploads, durably on disk before they are answered.

``files/`` has the pending files at their paths in the content folder. ``uploads.jsonl`` is a
journal with a line for each upload, for what its bytes do not tell (time, alt text, hash of the
original). The cache has committed files that were requested; it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from bridge.errors import InsufficientStorage
from bridge.media.stored_file import MediaFile
from bridge.runtime.private import TEMPORARY, is_full, sync, write_durably

log = logging.getLogger(__name__)

_CACHE_BYTES = 256 * 1024 * 1024


class Spool:
    """The pending uploads. The methods block; the library calls them under its own lock."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._files = root / "files"
        self._cache = cache
        self._journal = root / "uploads.jsonl"

    def start(self) -> dict[str, MediaFile]:
        """Create the folders, remove partly written files of a crash, and read the journal."""
        for folder in (self._files, self._cache):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.rglob(f"{TEMPORARY}*"):
                leftover.unlink()
        return {file.path: file for file in self._remembered()}

    def _remembered(self) -> Iterator[MediaFile]:
        if not self._journal.exists():
            return
        decoder = msgspec.json.Decoder(MediaFile)
        for number, line in enumerate(self._journal.read_bytes().splitlines(), 1):
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                # A line cut off by a crash. Most of it is recovered from the file itself.
                log.warning("line %d of the media journal is invalid: %s", number, error)

    def add(self, file: MediaFile, contents: Mapping[str, bytes]) -> None:
        """Write an upload and its scaled copies (``contents`` by path).

        Raises :class:`InsufficientStorage` where the disk is full; then nothing is left behind.
        """
        try:
            for path, data in contents.items():
                write_durably(self._files / path, data)
            self.remember(file)
        except OSError as error:
            for path in contents:
                (self._files / path).unlink(missing_ok=True)
            if is_full(error):
                raise InsufficientStorage("The disk is full; nothing was stored.") from error
            raise

    def remember(self, file: MediaFile) -> None:
        """Append a file's record to the journal; the last line for a path counts."""
        new = not self._journal.exists()
        with self._journal.open("ab") as journal:
            # If the last line was cut off by a crash, start a new one.
            journal.write(b"" if new or _ends_line(self._journal) else b"\n")
            journal.write(msgspec.json.encode(file) + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        if new:
            sync(self._journal.parent)

    def paths(self) -> tuple[str, ...]:
        """The paths of all pending files, sorted."""
        found = (path for path in self._files.rglob("*") if path.is_file())
        return tuple(
            sorted(
                path.relative_to(self._files).as_posix()
                for path in found
                if not path.name.startswith(TEMPORARY)
            )
        )

    def has(self, path: str) -> bool:
        """Whether there is a pending file at this path."""
        return (self._files / path).is_file()

    def read(self, path: str) -> bytes:
        """The bytes of a pending file."""
        return (self._files / path).read_bytes()

    def modified(self, path: str) -> float:
        """When a pending file was written, in seconds since the epoch."""
        return (self._files / path).stat().st_mtime

    def open(self, path: str) -> BinaryIO | None:
        """Open a pending file; ``None`` where there is none."""
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return (self._files / path).open("rb")
        return None

    def remove(self, path: str) -> None:
        """Remove a pending file."""
        (self._files / path).unlink(missing_ok=True)

    def open_cached(self, blob: str) -> BinaryIO | None:
        """Open a committed file from the cache, or ``None``."""
        with contextlib.suppress(FileNotFoundError):
            return (self._cache / blob).open("rb")
        return None

    def cache(self, blob: str, data: bytes) -> BinaryIO:
        """Store a committed file in the cache and open it. The least recently used files are
        removed.
        """
        self._make_room(len(data))
        target = self._cache / blob
        with tempfile.NamedTemporaryFile(
            dir=self._cache, prefix=TEMPORARY, delete=False
        ) as temporary:
            temporary.write(data)
        opened = Path(temporary.name).open("rb")  # noqa: SIM115 - the caller closes it
        Path(temporary.name).replace(target)
        return opened

    def _make_room(self, size: int) -> None:
        entries: list[tuple[float, int, Path]] = []
        for entry in self._cache.iterdir():
            # Another thread may have renamed or removed it.
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                entries.append((status.st_mtime, status.st_size, entry))
        entries.sort(key=lambda entry: entry[0])
        total = size + sum(length for _, length, _ in entries)
        for _, length, entry in entries:
            if total <= _CACHE_BYTES:
                return
            entry.unlink(missing_ok=True)
            total -= length


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
