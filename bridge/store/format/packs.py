"""Objects as one pack and its index (gitformat-pack), as bytes."""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bridge.store.format.objects import Format, Kind, Object

_TYPES: Mapping[Kind, int] = {"commit": 1, "tree": 2, "blob": 3}
_DELTA = 6  # of an object that lies so many bytes before it
_DEPTH = 50  # deltas upon deltas, as many as git itself makes
_LARGE_TREE = 1024  # bytes from which on a delta is worth its while
_SAMPLE = 4096  # bytes that tell whether a file can be compressed at all
_LONGEST_COPY = 0xFFFFFF


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack and its index, as the bytes of two files; ``name`` is what git calls them by."""

    name: str
    pack: bytes
    idx: bytes


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object is in the pack, and upon how many others it rests."""

    offset: int
    depth: int
    data: bytes


def make_pack(objects: Iterable[Object], fmt: Format) -> Pack:
    """One pack of all these objects.

    A folder of a thousand posts that gets sixty-four more, one commit each, is written once, and
    then what each commit changes.
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
    """Compressed quickly. What would hardly get smaller is only wrapped: photos, and trees, which
    are mostly ids (``git repack`` later makes deltas of them)."""
    data = item.data
    if item.kind == "tree":
        return zlib.compress(data, 0)
    sample = data[:_SAMPLE]
    stubborn = len(data) > _SAMPLE and len(zlib.compress(sample, 1)) > len(sample) * 0.95
    return zlib.compress(data, 0 if stubborn else 1)


def _changed(data: bytes, base: _Place, offset: int) -> bytes:
    """An object as the change of one before it in the pack."""
    delta = _delta(base.data, data)
    head = _header(_DELTA, len(delta)) + offset_number(offset - base.offset)
    return head + zlib.compress(delta, 1)


def _delta(old: bytes, new: bytes) -> bytes:
    """The beginning that both share, what is new, and the end that both share."""
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
    """The greatest length for which something is the same, found by halving."""
    return bisect_left(range(1, most + 1), True, key=lambda length: not same(length))


def _copies(offset: int, length: int) -> bytes:
    """The order to copy bytes of the base: three bytes of length at a time."""
    parts = []
    while length:
        piece = min(length, _LONGEST_COPY)
        parts.append(b"\xff" + struct.pack("<L", offset) + struct.pack("<L", piece)[:3])
        offset += piece
        length -= piece
    return b"".join(parts)
