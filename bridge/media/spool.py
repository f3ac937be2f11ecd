"""Uploads that are not committed yet: on disk, and synced before the answer goes out.

``files/`` holds what is not committed yet, at the path it will have in the content folder.
``uploads.jsonl`` remembers of every upload what its bytes do not tell (when, alt text, digest of
the original); a line is appended with each. The cache holds committed files as they are asked for,
and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from bridge.errors import InsufficientStorage
from bridge.media.stored_file import MediaFile
from bridge.runtime.durable import TEMPORARY, sync_folder, write_durably

log = logging.getLogger(__name__)

_CACHE_BYTES = 256 * 1024 * 1024


class Spool:
    """The pending uploads. Its methods block; the library calls them under its own lock."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._files = root / "files"
        self._cache = cache
        self._journal = root / "uploads.jsonl"

    def start(self) -> dict[str, MediaFile]:
        """Make the folders, sweep away what a crash left half written, read the journal."""
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
                # A line torn by a crash: its file's bytes tell nearly as much.
                log.warning("media journal, line %d is unreadable: %s", number, error)

    def add(self, file: MediaFile, contents: Mapping[str, bytes]) -> None:
        """Put an upload and its copies (``contents`` by path) on disk.

        Raises :class:`InsufficientStorage` when the disk is full; then nothing of it stays.
        """
        try:
            for path, data in contents.items():
                write_durably(self._files / path, data)
            self.remember(file)
        except OSError as error:
            for path in contents:
                (self._files / path).unlink(missing_ok=True)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise InsufficientStorage("The disk is full; nothing was stored.") from error
            raise

    def remember(self, file: MediaFile) -> None:
        """Append what is known of a file to the journal; the last line about a path counts."""
        new = not self._journal.exists()
        with self._journal.open("ab") as journal:
            # After a torn line, the next one must begin on its own.
            journal.write(b"" if new or _ends_line(self._journal) else b"\n")
            journal.write(msgspec.json.encode(file) + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        if new:
            sync_folder(self._journal.parent)

    def paths(self) -> tuple[str, ...]:
        """Everything that waits, sorted."""
        found = (path for path in self._files.rglob("*") if path.is_file())
        return tuple(
            sorted(
                path.relative_to(self._files).as_posix()
                for path in found
                if not path.name.startswith(TEMPORARY)
            )
        )

    def has(self, path: str) -> bool:
        """Whether a file waits under this path."""
        return (self._files / path).is_file()

    def read(self, path: str) -> bytes:
        """A waiting file's bytes."""
        return (self._files / path).read_bytes()

    def modified(self, path: str) -> float:
        """When a waiting file was written, in seconds since the epoch."""
        return (self._files / path).stat().st_mtime

    def open(self, path: str) -> BinaryIO | None:
        """A waiting file, open for reading; ``None`` where none waits (any more)."""
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return (self._files / path).open("rb")
        return None

    def remove(self, path: str) -> None:
        """Let a waiting file go, because it is committed or not wanted."""
        (self._files / path).unlink(missing_ok=True)

    def open_cached(self, blob: str) -> BinaryIO | None:
        """A committed file that was asked for before, open for reading."""
        with contextlib.suppress(FileNotFoundError):
            return (self._cache / blob).open("rb")
        return None

    def cache(self, blob: str, data: bytes) -> BinaryIO:
        """Keep a committed file at hand, and open it. The oldest make room."""
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
            # Another thread's may just have been given its name, or made room.
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
