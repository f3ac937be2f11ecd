"""Git's index file (gitformat-index): one entry set or taken away, all others as they are.

Where the branch is checked out, a commit that is not in the index as well would look deleted to
the owner's git, and their next commit would delete it. Versions 2 to 4 are understood; a split or
sparse index is refused, because what it says lies elsewhere.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from dataclasses import dataclass
from os.path import commonprefix
from pathlib import Path
from typing import TypeAlias

from bridge.store import StoreBroken
from bridge.store.objects import Entry, Format
from bridge.store.packs import offset_number

_STAT = 40  # ctime, mtime, dev, ino, mode, uid, gid, size
_EXTENDED, _STAGE, _LENGTH = 0x4000, 0x3000, 0x0FFF
_SKIP_WORKTREE, _INTENT_TO_ADD = 0x4000, 0x2000
_KEPT = frozenset({b"TREE", b"REUC"})  # the other optional extensions are caches that git refills


@dataclass(frozen=True, slots=True)
class Staged:
    """What the index says of a path. ``plain`` is false for a conflict or an intent to add."""

    entry: Entry
    plain: bool
    skipped: bool
    stamp: tuple[int, int, int]


class Index:
    """The entries of an index file, to be changed and written again."""

    def __init__(self, data: bytes, fmt: Format) -> None:
        """``data`` is the whole file, empty where there is none."""
        self._format = fmt
        self._version = 2
        self._names: list[bytes] = []
        self._records: list[bytes] = []  # each entry as the file has it
        self._extensions: list[tuple[bytes, bytes]] = []
        self._unhashed = False
        self.checksum = b""
        if data:
            self._parse(data)

    def get(self, path: str) -> Staged | None:
        """What is staged at a path."""
        name = os.fsencode(path)
        place = bisect_left(self._names, name)
        if place == len(self._names) or self._names[place] != name:
            return None
        head, width = self._records[place], self._format.width
        mode, size = struct.unpack_from(">24xL8xL", head)
        seconds, nanoseconds = struct.unpack_from(">8xLL", head)
        (flags,) = struct.unpack_from(">H", head, _STAT + width)
        more = struct.unpack_from(">H", head, _STAT + width + 2)[0] if flags & _EXTENDED else 0
        return Staged(
            Entry(b"%o" % mode, head[_STAT : _STAT + width]),
            plain=not flags & _STAGE and not more & _INTENT_TO_ADD,
            skipped=bool(more & _SKIP_WORKTREE),
            stamp=(seconds, nanoseconds, size),
        )

    def is_folder(self, path: str) -> bool:
        """Whether anything is staged below a path."""
        prefix = os.fsencode(path) + b"/"
        place = bisect_left(self._names, prefix)
        return place < len(self._names) and self._names[place].startswith(prefix)

    def put(self, path: str, entry: Entry, stat: os.stat_result | None) -> None:
        """Stage a file; ``stat`` lets git see without reading that it is unchanged."""
        name = os.fsencode(path)
        self._drop(name)
        place = bisect_left(self._names, name)
        head = _stat_bytes(entry, stat) + entry.oid + struct.pack(">H", min(len(name), _LENGTH))
        self._names.insert(place, name)
        self._records.insert(place, head if self._version == 4 else _padded(head + name))
        self._shorten(place, place + 1)
        self._invalidate(name)

    def remove(self, path: str) -> None:
        """Take a file out."""
        name = os.fsencode(path)
        self._drop(name)
        self._invalidate(name)

    def dump(self) -> bytes:
        """The whole file."""
        head = struct.pack(">4sLL", b"DIRC", self._version, len(self._names))
        extensions = (
            struct.pack(">4sL", signature, len(data)) + data for signature, data in self._extensions
        )
        body = b"".join((head, *self._records, *extensions))
        self.checksum = b"" if self._unhashed else self._format.digest(body)
        return body + (self.checksum or bytes(self._format.width))

    def _drop(self, name: bytes) -> None:
        place = bisect_left(self._names, name)
        while place < len(self._names) and self._names[place] == name:
            del self._names[place], self._records[place]
            self._shorten(place)

    def _shorten(self, *places: int) -> None:
        """In version 4 an entry says of its name only what the one before it has not."""
        for place in places if self._version == 4 else ():
            if place == len(self._names):
                return
            record, name = self._records[place], self._names[place]
            last = self._names[place - 1] if place else b""
            same = len(commonprefix((last, name)))  # noqa: RUF071  # byte by byte is what is meant
            shared = offset_number(len(last) - same)
            self._records[place] = record[: self._head(record)] + shared + name[same:] + b"\0"

    def _head(self, data: bytes, start: int = 0) -> int:
        """Where the fixed part of the entry that begins at ``start`` ends, and its name begins."""
        flags = start + _STAT + self._format.width
        return flags + (4 if data[flags] << 8 & _EXTENDED else 2)

    # Reading

    def _parse(self, data: bytes) -> None:
        width = self._format.width
        body, checksum = data[:-width], data[-width:]
        # A checksum of zeros means that index.skipHash is set.
        self._unhashed = not any(checksum)
        if data[:4] != b"DIRC" or not (self._unhashed or self._format.digest(body) == checksum):
            raise StoreBroken("the index of the working tree is damaged; run: git reset")
        self.checksum = b"" if self._unhashed else checksum
        self._version, count = struct.unpack_from(">LL", data, 4)
        if self._version not in {2, 3, 4}:
            raise StoreBroken(f"the index of the working tree has the version {self._version}")
        self._parse_extensions(body, self._parse_entries(body, count))

    def _parse_entries(self, body: bytes, count: int) -> int:
        """Reads all entries; returns where they end."""
        start, name = 12, b""
        for _ in range(count):
            after = self._head(body, start)
            if self._version == 4:
                strip, after = _number(body, after)
                end = body.index(b"\0", after)
                name = name[: len(name) - strip] + body[after:end]
                following = end + 1
            else:
                end = body.index(b"\0", after)
                name = body[after:end]
                following = end + 8 - (end - start) % 8
            self._names.append(name)
            self._records.append(body[start:following])
            start = following
        return start

    def _parse_extensions(self, body: bytes, start: int) -> None:
        while start < len(body):
            signature, size = struct.unpack_from(">4sL", body, start)
            data = body[start + 8 : start + 8 + size]
            start += 8 + size
            if signature == b"link":
                raise StoreBroken(
                    "the index of the working tree is split; run: git update-index --no-split-index"
                )
            if signature == b"sdir":
                raise StoreBroken(
                    "the index of the working tree is sparse; run: git sparse-checkout"
                    " reapply --no-sparse-index"
                )
            # A signature that starts in lower case must be understood.
            if not signature[:1].isupper():
                raise StoreBroken(f"the index has an extension {signature!r} that is unknown here")
            if signature in _KEPT:
                self._extensions.append((signature, data))

    def _invalidate(self, name: bytes) -> None:
        """Tell the cache of trees which folders are no longer what it remembers."""
        self._extensions = [
            (
                signature,
                invalidate(data, name, self._format.width) if signature == b"TREE" else data,
            )
            for signature, data in self._extensions
        ]


#: What changes when a file is written: inode, time, size.
Stamp: TypeAlias = tuple[int, int, int]


class Indexes:
    """Index files as they were last written, so that a large one is not parsed for each post."""

    def __init__(self, fmt: Format) -> None:
        self.format = fmt
        self._known: dict[Path, Index] = {}
        self._stamps: dict[Path, Stamp] = {}

    def read(self, file: Path) -> Index:
        """The index in a file; empty where there is none. Whoever changes it either keeps it with
        :meth:`keep`, or has it read anew the next time."""
        known = self._known.pop(file, None)
        try:
            if known and known.checksum == self._checksum(file):
                return known
            return Index(file.read_bytes(), self.format)
        except FileNotFoundError:
            return Index(b"", self.format)

    def keep(self, file: Path, index: Index) -> None:
        """The file now is what the index has dumped, or was read from."""
        self._stamps[file] = _stamp(file)
        if index.checksum:
            self._known[file] = index

    def peek(self, file: Path) -> tuple[Index, Stamp]:
        """The index in a file that is not locked, and which file that was (see :meth:`seen`)."""
        stamp = _stamp(file)
        try:
            return Index(file.read_bytes(), self.format), stamp
        except FileNotFoundError:
            return Index(b"", self.format), stamp

    def seen(self, file: Path, stamp: Stamp) -> None:
        """All is well with what :meth:`peek` has found."""
        self._stamps[file] = stamp

    def is_known(self, file: Path) -> bool:
        """Whether nobody has written the file since it was last kept."""
        return self._stamps.get(file) == _stamp(file)

    def _checksum(self, file: Path) -> bytes:
        with file.open("rb") as opened:
            opened.seek(-self.format.width, os.SEEK_END)
            return opened.read()


def _stamp(file: Path) -> Stamp:
    """The stamp of a file; zeros where there is none."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _padded(record: bytes) -> bytes:
    """An entry with the zeros at its end, at least one, that make its length a multiple of 8."""
    return record + bytes(8 - len(record) % 8)


def invalidate(cache: bytes, name: bytes, width: int) -> bytes:
    """The ``TREE`` extension with the folders along a path forgotten."""
    folders = name.split(b"/")[:-1]
    parts: list[bytes] = []
    # Each node is: its name, NUL, entries, space, subfolders, newline, and an id if it is valid;
    # its subfolders follow. ``depth`` says how far a node lies along the path, if it does.
    pending = [0]
    start = 0
    while pending and start < len(cache):
        depth = pending.pop()
        end = cache.index(b"\0", start)
        line = cache.index(b"\n", end)
        folder = cache[start:end]
        count, subfolders = cache[end + 1 : line].split(b" ")
        along = depth == 0 or (0 < depth <= len(folders) and folders[depth - 1] == folder)
        after = line + 1 + (0 if count.startswith(b"-") else width)
        parts.append(folder + b"\0-1 " + subfolders + b"\n" if along else cache[start:after])
        pending += [depth + 1 if along else -1] * int(subfolders)
        start = after
    return b"".join(parts)


def _stat_bytes(entry: Entry, stat: os.stat_result | None) -> bytes:
    """The fixed part of an entry before its id; zeros where nothing is known of the file."""
    mode = int(entry.mode, 8)
    if stat is None:
        return struct.pack(">10L", 0, 0, 0, 0, 0, 0, mode, 0, 0, 0)
    low = 0xFFFFFFFF
    return struct.pack(
        ">10L",
        *divmod(stat.st_ctime_ns, 1_000_000_000),
        *divmod(stat.st_mtime_ns, 1_000_000_000),
        stat.st_dev & low,
        stat.st_ino & low,
        mode,
        stat.st_uid & low,
        stat.st_gid & low,
        stat.st_size & low,
    )


def _number(data: bytes, start: int) -> tuple[int, int]:
    """A number in git's offset encoding, and where it ends."""
    value = data[start] & 0x7F
    while data[start] & 0x80:
        start += 1
        value = ((value + 1) << 7) | (data[start] & 0x7F)
    return value, start + 1
