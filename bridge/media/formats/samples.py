"""Where the samples of tracks, and the items of an AVIF, are in an ISO base media file (ISO/IEC
14496-12).

The functions take the contents of boxes, and raise ``ValueError`` for truncated ones.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

#: The offsets of the first byte and of the one after the last. An end of ``None``: unknown, at the
#: next range of any track.
Range: TypeAlias = tuple[int, int | None]

#: Flags of ``tfhd`` (8.8.7) and ``trun`` (8.8.8), and those of the fields of each sample.
_BASE, _DESCRIPTION, _DURATION, _SIZE, _FROM_MOOF = 0x1, 0x2, 0x8, 0x10, 0x20000
_OFFSET, _FIRST_FLAGS, _SAMPLE_SIZE = 0x1, 0x4, 0x200
_FIELDS = (0x100, _SAMPLE_SIZE, 0x400, 0x800)


def chunk_ranges(tables: Mapping[bytes, bytes]) -> Iterator[Range]:
    """The chunks of a track (8.7.3 to 8.7.5). ``tables`` are the contents of the boxes in its
    ``stbl``.
    """
    if b"co64" in tables:
        offsets = _numbers(tables[b"co64"], "Q")
    else:
        offsets = _numbers(tables.get(b"stco", b""), "I")
    runs = [*_numbers(tables.get(b"stsc", b""), "III")]
    size = int.from_bytes(tables.get(b"stsz", b"")[4:8], "big")
    sizes = _sizes(tables)
    following = 0
    for number, (offset,) in enumerate(offsets, 1):
        while following < len(runs) and runs[following][0] <= number:
            following += 1
        count = runs[following - 1][1] if following else 0
        if size == 1:
            # QuickTime's sound of a fixed rate has samples of "one byte", which are longer.
            yield offset, None
        else:
            yield offset, offset + (size * count or sum(islice(sizes, count)))


def _sizes(tables: Mapping[bytes, bytes]) -> Iterator[int]:
    """The sizes of samples that each have their own."""
    if b"stz2" in tables:
        yield from _short_sizes(tables[b"stz2"])
    else:
        yield from (size for (size,) in _numbers(tables.get(b"stsz", b"")[4:], "I"))


def _short_sizes(table: bytes) -> Iterator[int]:
    """The sizes in a ``stz2`` box, of 4, 8 or 16 bits."""
    bits, count, sizes = table[7:8], _number(table, 8), table[12:]
    if bits == b"\4":
        yield from islice((half for byte in sizes for half in (byte >> 4, byte & 15)), count)
    elif bits == b"\10":
        yield from sizes[:count]
    else:
        yield from (size for (size,) in struct.iter_unpack(">H", sizes[: 2 * count]))


def _numbers(table: bytes, form: str) -> Iterator[tuple[int, ...]]:
    """The entries of a table, unpacked by ``form``."""
    size = struct.calcsize(f">{form}")
    count = min(int.from_bytes(table[4:8], "big"), max(len(table) - 8, 0) // size)
    return struct.iter_unpack(f">{form}", table[8 : 8 + size * count])


def fragment_ranges(
    start: int, tracks: Iterable[Sequence[tuple[bytes, bytes]]], defaults: Mapping[int, int]
) -> Iterator[tuple[int, Range]]:
    """The runs of samples of a movie fragment whose box begins at ``start``, and their tracks'
    ids.

    ``tracks`` are the names and contents of the boxes in each ``traf``, ``defaults`` the tracks'
    sizes of samples (``trex``).
    """
    position = start
    for boxes in tracks:
        track, head = track_of(boxes), _header(boxes)
        flags, at = _number(head, 0) & 0xFFFFFF, 8
        # 8.8.7.1: "If not provided and if the default-base-is-moof flag is not set, the
        # base-data-offset for the first track in the movie fragment is the position of the first
        # byte of the enclosing Movie Fragment Box, and for second and subsequent track fragments,
        # the default is the end of the data defined by the preceding track fragment".
        base = start if flags & _FROM_MOOF else position
        if flags & _BASE:
            base, at = _number(head, at, 8), at + 8
        at += 4 * sum(bool(flags & each) for each in (_DESCRIPTION, _DURATION))
        size = _number(head, at) if flags & _SIZE else defaults.get(track)
        position = base
        for name, content in boxes:
            if name == b"trun":
                offset, length = _run(content, size)
                position = position if offset is None else base + offset
                yield track, (position, position + length)
                position += length


def track_of(boxes: Sequence[tuple[bytes, bytes]]) -> int:
    """The id of a track fragment's track (8.8.7)."""
    return _number(_header(boxes), 4)


def _header(boxes: Sequence[tuple[bytes, bytes]]) -> bytes:
    return next((content for name, content in boxes if name == b"tfhd"), b"")


def _run(content: bytes, size: int | None) -> tuple[int | None, int]:
    """The offset of a run's data, if it has one, and its length."""
    flags, count, at = _number(content, 0) & 0xFFFFFF, _number(content, 4), 8
    offset = None
    if flags & _OFFSET:
        offset, at = struct.unpack(">i", _number(content, at).to_bytes(4, "big"))[0], at + 4
    if flags & _FIRST_FLAGS:
        at += 4
    fields = [each for each in _FIELDS if flags & each]
    if _SAMPLE_SIZE not in fields:
        if size is None:
            raise ValueError("a fragment of the video does not say how large its samples are")
        return offset, size * count
    end = at + 4 * len(fields) * count
    if end > len(content):
        raise ValueError("the video is truncated")
    words = memoryview(content)[at:end]
    sizes = islice(struct.iter_unpack(">I", words), fields.index(_SAMPLE_SIZE), None, len(fields))
    return offset, sum(each for (each,) in sizes)


def _number(content: bytes, at: int, size: int = 4) -> int:
    found = content[at : at + size]
    if len(found) < size:
        raise ValueError("the video is truncated")
    return int.from_bytes(found, "big")


def joined(ranges: Iterable[Range], starts: Iterable[int], size: int) -> list[tuple[int, int]]:
    """The ranges in order, without overlaps. One whose end is unknown ends at the next one, at the
    next of ``starts``, or where the file does, which has this ``size``.
    """
    given = sorted(ranges, key=lambda each: each[0])
    ends = sorted({*starts, *(start for start, _ in given), size})
    found = list[tuple[int, int]]()
    for start, stated in given:
        end = ends[min(bisect_right(ends, start), len(ends) - 1)] if stated is None else stated
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif end > start:
            found.append((start, end))
    return found


def item_extents(iloc: bytes | None, idat: int, file_end: int) -> Iterator[tuple[int, int, int]]:
    """The extents of an AVIF's items (8.11.3): item id, start, end.

    ``iloc`` are the contents of that box, if there is one; ``idat`` is where those of the
    item data box begin. An extent without a length continues to the end of the file.
    """
    if iloc is None:
        return
    reader = _Reader(iloc)
    version = reader.number(1)
    reader.number(3)
    sizes = reader.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in {1, 2} else 0
    for _ in range(reader.number(2 if version < 2 else 4)):
        item = reader.number(2 if version < 2 else 4)
        inside = bool(version in {1, 2} and reader.number(2) & 15 == 1)
        reader.number(2)
        base = reader.number(base_size) + (idat if inside else 0)
        for _ in range(reader.number(2)):
            reader.number(index_size)
            start = base + reader.number(offset_size)
            length = reader.number(length_size)
            yield item, start, start + length if length else file_end


class _Reader:
    """Reads big-endian numbers from a box, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def number(self, size: int) -> int:
        place = self._position
        self._position += size
        if self._position > len(self._data):
            raise ValueError("the file is truncated")
        return int.from_bytes(self._data[place : self._position], "big")
