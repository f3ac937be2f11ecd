"""Git's objects as bytes: ids, trees and commits, and packs of them.

Nothing here touches a disk. GitPython's own writers do not sync what they write, so the store
writes objects itself; this module implements only as much of git's formats as that needs.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Kind = Literal["commit", "tree", "blob"]

FOLDER = b"40000"
FILE = b"100644"
EXECUTABLE = b"100755"
LINK = b"120000"
#: The modes that are files with bytes of their own: not symlinks, submodules or folders.
FILE_MODES = frozenset({b"100644", b"100755", b"100664"})


class TreeEntry(Struct, frozen=True):
    """What a tree holds under a name: the file mode as git writes it, and the object's id."""

    mode: bytes
    oid: bytes

    @property
    def is_folder(self) -> bool:
        """Whether this is another tree."""
        return self.mode == FOLDER

    @property
    def is_file(self) -> bool:
        """Whether this is a plain file, and not a symlink or a submodule."""
        return self.mode in FILE_MODES


class Listing:
    """The entries of one folder, in git's order. Immutable: :meth:`replaced` makes a new one.

    Each entry is kept as the bytes of its record in the tree, so that adding a post to a folder of
    thousands copies and joins records without parsing them.
    """

    __slots__ = ("_keys", "_records")

    def __init__(self, keys: list[bytes], records: list[bytes]) -> None:
        self._keys = keys
        self._records = records

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, name: bytes) -> TreeEntry | None:
        """What is under a name."""
        place = self._find(name)
        return None if place is None else _entry(self._records[place], len(name))

    def items(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Every name, with the mode and id of what is under it."""
        for record in self._records:
            mode, _, rest = record.partition(b" ")
            name, _, oid = rest.partition(b"\0")
            yield name, mode, oid

    def replaced(self, name: bytes, entry: TreeEntry | None) -> Listing:
        """A copy with another entry under a name, or none (``None``)."""
        keys, records = self._keys.copy(), self._records.copy()
        place = self._find(name)
        if place is not None:
            del keys[place], records[place]
        if entry is not None:
            key = _key(name, entry.mode)
            place = bisect_left(keys, key)
            keys.insert(place, key)
            records.insert(place, b"%s %s\0%s" % (entry.mode, name, entry.oid))
        return Listing(keys, records)

    def differing(self, other: Listing) -> set[bytes]:
        """The names under which the two folders differ."""
        records = set(self._records).symmetric_difference(other._records)
        return {record[record.index(b" ") + 1 : record.index(b"\0")] for record in records}

    def data(self) -> bytes:
        """The bytes of the tree."""
        return b"".join(self._records)

    def _find(self, name: bytes) -> int | None:
        for key in (name, name + b"/"):
            place = bisect_left(self._keys, key)
            if place < len(self._keys) and self._keys[place] == key:
                return place
        return None


EMPTY = Listing([], [])


def _key(name: bytes, mode: bytes) -> bytes:
    """What git sorts entries by: the name, with a slash at the end for a folder."""
    return name + b"/" if mode == FOLDER else name


def _entry(record: bytes, length: int) -> TreeEntry:
    """The entry in a record ``mode name NUL id``; ``length`` is that of the name."""
    space = record.index(b" ")
    return TreeEntry(record[:space], record[space + length + 2 :])


class Object(Struct, frozen=True):
    """One object to be written. ``like`` is the id of a similar object, as a base for a delta."""

    kind: Kind
    oid: bytes
    data: bytes
    like: bytes | None = None


class Format(Struct, frozen=True):
    """How a repo names its objects: ``sha1`` or ``sha256``."""

    algorithm: str = "sha1"

    @property
    def width(self) -> int:
        """The number of bytes of an id."""
        return 32 if self.algorithm == "sha256" else 20

    def digest(self, data: bytes) -> bytes:
        """The repo's hash of some bytes."""
        return hashlib.new(self.algorithm, data, usedforsecurity=False).digest()

    def object(self, kind: Kind, data: bytes) -> Object:
        """An object, with the id that git gives it."""
        name = hashlib.new(self.algorithm, b"%s %d\0" % (kind.encode(), len(data)))
        name.update(data)
        return Object(kind, name.digest(), data)

    def tree(self, listing: Listing, before: bytes | None = None) -> Object:
        """A folder as an object. ``before`` is the id of the folder before the change."""
        return replace(self.object("tree", listing.data()), like=before)

    def listing(self, data: bytes) -> Listing:
        """The folder that the bytes of a tree describe."""
        keys: list[bytes] = []
        records: list[bytes] = []
        start, width = 0, self.width
        while start < len(data):
            end = data.index(b"\0", start)
            mode, _, name = data[start:end].partition(b" ")
            after = end + 1 + width
            keys.append(_key(name, mode))
            records.append(data[start:after])
            start = after
        return Listing(keys, records)

    def commit(
        self, tree: bytes, parents: Iterable[bytes], author: str, committer: str, message: str
    ) -> Object:
        """A commit. ``author`` and ``committer`` are ``Name <address> seconds zone``."""
        lines = [f"tree {tree.hex()}"]
        lines += [f"parent {parent.hex()}" for parent in parents]
        lines += [f"author {author}", f"committer {committer}", "", _message(message)]
        return self.object("commit", "\n".join(lines).encode("utf-8", "replace"))


def _message(text: str) -> str:
    """A commit message as git keeps it: no NUL, one newline at its end."""
    return text.replace("\0", "").rstrip("\n") + "\n"


_TYPES: Mapping[Kind, int] = {"commit": 1, "tree": 2, "blob": 3}
_DELTA = 6  # of an object that lies so many bytes before it
_DEPTH = 50  # deltas upon deltas, as many as git itself makes
_LARGE_TREE = 1024  # bytes from which on a delta is worth its while
_SAMPLE = 4096  # bytes that tell whether a file can be compressed at all
_LONGEST_COPY = 0xFFFFFF
_SMALL_WINDOW = 12  # 4096 bytes, as a power of two
_SMALL_MEMORY = 4  # zlib's memLevel


class Pack(Struct, frozen=True):
    """A pack and its index, as the bytes of two files; ``name`` is their file name."""

    name: str
    pack: bytes
    idx: bytes


class _Place(Struct, frozen=True):
    """Where an object is in the pack, and on how many other objects it is based."""

    offset: int
    depth: int
    data: bytes


def make_pack(objects: Iterable[Object], fmt: Format) -> Pack:
    """One pack of all these objects.

    When sixty-four commits each add a post to a folder of a thousand, the folder's tree is written
    in full once, and mostly as deltas after that.
    """
    unique = {item.oid: item for item in objects}
    parts = [struct.pack(">4sLL", b"PACK", 2, len(unique))]
    offset = len(parts[0])
    places: dict[bytes, _Place] = {}
    index: list[tuple[bytes, int, int]] = []
    for item in unique.values():
        base = places.get(item.like) if item.like and len(item.data) > _LARGE_TREE else None
        if base and base.depth < _DEPTH:
            packed = _changed(item.data, base, offset)
            places[item.oid] = _Place(offset, base.depth + 1, item.data)
        else:
            packed = _header(_TYPES[item.kind], len(item.data)) + _deflate(item)
            places[item.oid] = _Place(offset, 0, item.data)
        index.append((item.oid, zlib.crc32(packed), offset))
        parts.append(packed)
        offset += len(packed)
    body = b"".join(parts)
    checksum = fmt.digest(body)
    return Pack(f"pack-{checksum.hex()}", body + checksum, _index(index, checksum, fmt))


def _index(index: list[tuple[bytes, int, int]], checksum: bytes, fmt: Format) -> bytes:
    """The ``.idx`` of a pack, version 2: ids, checksums and offsets, sorted by id."""
    index.sort()
    counts = [0] * 256
    for oid, _, _ in index:
        counts[oid[0]] += 1
    for value in range(1, 256):
        counts[value] += counts[value - 1]
    number = len(index)
    body = b"".join(
        (
            b"\377tOc\0\0\0\2",
            struct.pack(">256L", *counts),
            b"".join(oid for oid, _, _ in index),
            struct.pack(f">{number}L", *(crc for _, crc, _ in index)),
            struct.pack(f">{number}L", *(offset for _, _, offset in index)),
            checksum,
        )
    )
    return body + fmt.digest(body)


def _header(kind: int, size: int) -> bytes:
    """The type and the size of an object in a pack: four bits, then seven at a time."""
    return _number((size >> 4), (kind << 4) | (size & 15))


def _number(rest: int, byte: int) -> bytes:
    """``byte``, and what is left of a number, seven bits at a time, the low ones first."""
    encoded = bytearray()
    while rest:
        encoded.append(byte | 0x80)
        byte = rest & 0x7F
        rest >>= 7
    encoded.append(byte)
    return bytes(encoded)


def offset_number(value: int) -> bytes:
    """A number in git's encoding of offsets: the high bits first."""
    encoded = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        encoded.append(0x80 | (value & 0x7F))
    return bytes(reversed(encoded))


def _deflate(item: Object) -> bytes:
    """Compress quickly. What would hardly get smaller is stored uncompressed: photos, and trees,
    which are mostly ids (``git repack`` later makes deltas of them).
    """
    data = item.data
    if item.kind == "tree":
        return _compress(data, 0)
    sample = data[:_SAMPLE]
    stubborn = len(data) > _SAMPLE and len(zlib.compress(sample, 1)) > len(sample) * 0.95
    return _compress(data, 0 if stubborn else 1)


def _compress(data: bytes, level: int) -> bytes:
    """A zlib stream (RFC 1950). Its window is small for what is small: to allocate the usual one
    takes ten times as long as to compress a post.
    """
    if len(data) > 1 << _SMALL_WINDOW:
        return zlib.compress(data, level)
    compressor = zlib.compressobj(level, zlib.DEFLATED, _SMALL_WINDOW, _SMALL_MEMORY)
    return compressor.compress(data) + compressor.flush()


def _changed(data: bytes, base: _Place, offset: int) -> bytes:
    """An object as a delta against an earlier one in the pack."""
    delta = _delta(base.data, data)
    head = _header(_DELTA, len(delta)) + offset_number(offset - base.offset)
    return head + _compress(delta, 1)


def _delta(old: bytes, new: bytes) -> bytes:
    """The common beginning, what is new, and the common end."""
    shorter = min(len(old), len(new))
    start = _shared(shorter, lambda length: old[:length] == new[:length])
    rest = shorter - start
    end = _shared(rest, lambda length: old[len(old) - length :] == new[len(new) - length :])
    parts = [_size(len(old)), _size(len(new)), _copies(0, start)]
    middle = new[start : len(new) - end]
    for place in range(0, len(middle), 127):
        piece = middle[place : place + 127]
        parts.append(bytes([len(piece)]) + piece)
    parts.append(_copies(len(old) - end, end))
    return b"".join(parts)


def _size(value: int) -> bytes:
    return _number(value >> 7, value & 0x7F)


def _shared(most: int, same: Callable[[int], bool]) -> int:
    """The greatest length for which ``same`` holds, found by bisection."""
    return bisect_left(range(1, most + 1), True, key=lambda length: not same(length))


def _copies(offset: int, length: int) -> bytes:
    """Instructions to copy bytes of the base, with three bytes for each length."""
    parts = []
    while length:
        piece = min(length, _LONGEST_COPY)
        parts.append(b"\xff" + struct.pack("<L", offset) + struct.pack("<L", piece)[:3])
        offset += piece
        length -= piece
    return b"".join(parts)
