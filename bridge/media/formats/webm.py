"""Removes private metadata from WebM (RFC 9559, in RFC 8794's EBML).

Elements that a player does not need are made void, so that nothing moves: tags, attachments,
chapters, titles, times, programs, and whatever is not known. So are the blocks of tracks that are
neither video, audio nor subtitles, and what is added to blocks, but for a picture's transparency.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bridge.media.formats.sound import VORBIS_COMMENTS, only_head

_VOID = 0xEC
_HEADER, _SEGMENT, _INFO, _TRACKS, _CLUSTER = (
    *(0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B),
    0x1F43B675,
)
_ENTRY, _TRACK_NUMBER, _TRACK_TYPE, _CODEC_PRIVATE, _VIDEO = 0xAE, 0xD7, 0x83, 0x63A2, 0xE0
_TRANSPARENT = 0x53C0
_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xA3, 0xA0, 0xA1
_ADDITIONS, _ADDITION, _ADDITION_ID = 0x75A1, 0xA6, 0xEE
_SEEK_HEAD, _CUES = 0x114D9B74, 0x1C53BB6B
_OF_CLUSTER = (0xE7, 0xA3, 0xA0, 0xA7, 0xAB)


def _children(*trees: tuple[int, Iterable[int]]) -> Mapping[int, frozenset[int]]:
    return {parent: frozenset(names) for parent, names in trees}


#: The child elements that are kept, by parent (RFC 9559 5.1). Of a cluster with unknown size the
#: blocks are read as the segment's own.
_ELEMENTS = _children(
    (0, (_HEADER, _SEGMENT)),
    (_HEADER, (0x4286, 0x42F7, 0x42F2, 0x42F3, 0x4282, 0x4287, 0x4285)),
    (_SEGMENT, (_SEEK_HEAD, _INFO, _TRACKS, _CUES, _CLUSTER, *_OF_CLUSTER)),
    (_SEEK_HEAD, (0x4DBB,)),
    (0x4DBB, (0x53AB, 0x53AC)),
    (_CUES, (0xBB,)),
    (0xBB, (0xB3, 0xB7)),
    (0xB7, (0xF7, 0xF1, 0xF0, 0xB2, 0x5378, 0xEA)),
    (_CLUSTER, _OF_CLUSTER),
    (_BLOCK_GROUP, (_BLOCK, 0x9B, 0xFA, 0xFB, 0x75A2, _ADDITIONS)),
    (_ADDITIONS, (_ADDITION,)),
    (_ADDITION, (_ADDITION_ID, 0xA5)),
    (_INFO, (0x2AD7B1, 0x4489)),
    (_TRACKS, (_ENTRY,)),
    (
        _ENTRY,
        (
            *(_TRACK_NUMBER, 0x73C5, _TRACK_TYPE, 0xB9, 0x88, 0x55AA, 0x55AB, 0x55AC, 0x55AD),
            *(0x55AE, 0x55AF, 0x9C, 0x6DE7, 0x6DF8, 0x23E383, 0x234E7A, 0x55EE, 0x22B59C),
            *(0x22B59D, 0x86, _CODEC_PRIVATE, 0xAA, 0x56AA, 0x56BB, _VIDEO, 0xE1, 0xE2, 0x6D80),
        ),
    ),
    (
        _VIDEO,
        (
            *(0x9A, 0x9D, 0x53B8, _TRANSPARENT, 0xB0, 0xBA, 0x54AA, 0x54BB, 0x54CC, 0x54DD),
            *(0x54B0, 0x54BA, 0x54B2, 0x54B3, 0x2EB524, 0x2383E3, 0x55B0, 0x7670),
        ),
    ),
    (0x55B0, (*range(0x55B1, 0x55BE), 0x55D0)),
    (0x55D0, range(0x55D1, 0x55DB)),
    (0x7670, (0x7671, 0x7672, 0x7673, 0x7674, 0x7675)),
    (0xE1, (0xB5, 0x78B5, 0x9F, 0x6264, 0x52F1)),
    (0xE2, (0xE3, 0xE9)),
    (0xE3, (0xE4,)),
    (0xE4, (0xE5, 0xE6)),
    (0xE9, (0xED,)),
    (0x6D80, (0x6240,)),
    (0x6240, (0x5031, 0x5032, 0x5033, 0x5034)),
    (0x5034, (0x4254, 0x4255)),
)
#: Elements with texts or bytes; all others that are kept are numbers, of at most eight bytes.
_BYTES = frozenset(
    {0x4282, 0x22B59C, 0x22B59D, 0x86, _CODEC_PRIVATE, 0x53AB, 0x2EB524, 0x7672, 0x4255, 0xA5}
    | {_BLOCK, _SIMPLE_BLOCK}
)
#: The types of tracks that are kept: video, audio, subtitles (RFC 9559 5.1.4.1.3).
_SHOWN = frozenset({1, 2, 17})
#: Required elements that name the writing program: their content is emptied.
_EMPTIED = frozenset({0x4D80, 0x5741})


def strip_webm(data: bytes) -> bytes:
    """A WebM in which every element that is not needed for playing is made void."""
    file = _File(bytearray(data))
    end = file.void_elements(0, 0, len(data))
    return bytes(file.data[:end]) if _SEGMENT.to_bytes(4, "big") in data else only_head(data)


@dataclass
class _File:
    """A file whose elements are made void.

    ``tracks`` are the numbers of the tracks that are kept, once they are known (their entries come
    before all blocks); ``transparent`` are those whose blocks may have a picture's transparency
    beside them.
    """

    data: bytearray
    tracks: set[int] = field(default_factory=set)
    transparent: set[int] = field(default_factory=set)

    def void_elements(self, parent: int, position: int, stop: int, track: int | None = None) -> int:
        """Void elements in a range, which may belong to a ``track``'s block; returns where the
        last one ends.
        """
        while position < stop:
            name, after = _vint(self.data, position, stop, marked=True)
            size, inside = _vint(self.data, after, stop, marked=False)
            if not name or inside is None or after is None:
                break
            unknown = size == (1 << 7 * (inside - after)) - 1
            end = stop if unknown else inside + (size or 0)
            if end > stop:
                # A truncated upload plays up to its end.
                if parent not in {0, _SEGMENT}:
                    break
                end = stop
            if self._is_kept(parent, name, inside, end, track):
                if unknown and name == _CLUSTER:
                    end = inside
                elif name in _ELEMENTS:
                    of = self._track_of(name, inside, end) if name == _BLOCK_GROUP else track
                    read = self.void_elements(name, inside, end, of)
                    if unknown:
                        end = read
                    else:
                        self.data[read:end] = bytes(end - read)
                elif name == _CODEC_PRIVATE:
                    _empty_comments(self.data, inside, end)
            elif name in _EMPTIED and parent == _INFO:
                self.data[inside:end] = bytes(end - inside)
            else:
                _make_void(self.data, position, end)
            position = end
        return position

    def _is_kept(self, parent: int, name: int, start: int, end: int, track: int | None) -> bool:
        """Whether an element is needed, whose content is at ``start``."""
        if name not in _ELEMENTS[parent]:
            return False
        if name == _ENTRY:
            return self._is_shown(start, end)
        if name == _ADDITIONS:
            return track in self.transparent
        if name == _ADDITION:
            # 1 is what the codec defines: transparency (RFC 9559 5.1.3.5.2.3).
            found = dict(self._numbers(start, end, _ADDITION_ID))
            return found.get(_ADDITION_ID, 1) == 1
        if name not in _ELEMENTS and name not in _BYTES:
            return end - start <= 8
        of = self._track_of(name, start, end)
        return of is None or not self.tracks or of in self.tracks

    def _is_shown(self, start: int, end: int) -> bool:
        """Whether a track is kept; if so, its number is remembered."""
        found = dict(self._numbers(start, end, _TRACK_TYPE, _TRACK_NUMBER))
        # Both are required; what is missing says nothing against a track.
        if found.get(_TRACK_TYPE, 1) not in _SHOWN:
            self.tracks.add(0)  # no track's number: if there is no other, all blocks are left out
            return False
        number = found.get(_TRACK_NUMBER, 0)
        self.tracks.add(number)
        for name, *place in _elements(self.data, start, end):
            if name == _VIDEO and dict(self._numbers(*place, _TRANSPARENT)).get(_TRANSPARENT):
                self.transparent.add(number)
        return True

    def _track_of(self, name: int, start: int, end: int) -> int | None:
        """The number of a block's track; ``None`` for another element."""
        if name in {_SIMPLE_BLOCK, _BLOCK}:
            return _vint(self.data, start, end, marked=False)[0]
        if name == _BLOCK_GROUP:
            blocks = (each for each in _elements(self.data, start, end) if each[0] == _BLOCK)
            return next((_vint(self.data, *place, marked=False)[0] for _, *place in blocks), None)
        return None

    def _numbers(self, start: int, end: int, *names: int) -> Iterator[tuple[int, int]]:
        for name, inside, after in _elements(self.data, start, end):
            if name in names:
                yield name, int.from_bytes(self.data[inside:after], "big")


def _elements(data: bytearray, position: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """The elements in a range, all of known size: their names, and where their contents are."""
    while position < stop:
        name, after = _vint(data, position, stop, marked=True)
        size, inside = _vint(data, after, stop, marked=False)
        if name is None or size is None or inside is None or inside + size > stop:
            return
        yield name, inside, inside + size
        position = inside + size


def _empty_comments(data: bytearray, start: int, end: int) -> None:
    """Empty the comments among Vorbis' three headers, which are laced as in Xiph's formats: how
    many follow the first, their lengths, and they themselves.
    """
    if data[start : start + 1] != b"\2":
        return
    position, sizes = start + 1, [0, 0]
    for number in range(2):
        while position < end:
            sizes[number] += data[position]
            position += 1
            if data[position - 1] < 255:
                break
    told, after = position + sizes[0], position + sum(sizes)
    if after <= end and data.startswith(VORBIS_COMMENTS, told):
        told += len(VORBIS_COMMENTS)
        data[told:after] = bytes(after - told)
        if told + 8 < after:
            data[told + 8] = 1


def _make_void(data: bytearray, start: int, end: int) -> None:
    """Make a range a void element of the same size."""
    for width in range(1, 9):
        size = end - start - 1 - width
        if 0 <= size < (1 << 7 * width) - 1:
            data[start:end] = (
                bytes([_VOID]) + (size | 1 << 7 * width).to_bytes(width, "big") + bytes(size)
            )
            return
    raise ValueError("the WebM is invalid")


def _vint(
    data: bytearray, position: int | None, stop: int, *, marked: bool
) -> tuple[int | None, int | None]:
    """A variable-size integer (RFC 8794 4), with or without its marker, and the offset after it."""
    if position is None or position >= stop or not data[position]:
        return None, None
    width = 9 - data[position].bit_length()
    if position + width > stop:
        return None, None
    value = int.from_bytes(data[position : position + width], "big")
    return value if marked else value ^ 1 << 7 * width, position + width
