"""Removes private metadata from ISO base media files (ISO/IEC 14496-12): MP4, QuickTime, M4A, AVIF.

The boxes that a player needs are kept, by name; every other box is renamed ``free`` and zeroed, so
that nothing moves and no offset table has to be changed. Zeroed as well are times and the names of
programs and devices in kept boxes, and the samples of tracks that are neither picture, sound nor
captions (such as a camera's GPS positions).

Each function takes a whole file and returns one of the same length, without what follows the last
box, and raises ``ValueError`` for a truncated or invalid file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from bridge.media.formats.colour_profile import clean_profile

_FREE = frozenset({b"free", b"skip", b"wide"})
_TOP = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"ssix"})


def _names(words: str) -> frozenset[bytes]:
    return frozenset(word.ljust(4).encode() for word in words.split())


#: The child boxes that are kept, by parent.
_CHILDREN: dict[bytes, frozenset[bytes]] = {
    b"moov": _names("mvhd trak mvex"),
    b"mvex": _names("mehd trex leva"),
    b"trak": _names("tkhd edts mdia tref tapt load"),
    b"edts": _names("elst"),
    b"tapt": _names("clef prof enof"),
    b"mdia": _names("mdhd hdlr minf elng"),
    b"minf": _names("vmhd smhd hmhd nmhd sthd gmhd hdlr dinf stbl"),
    b"gmhd": _names("gmin text"),
    b"dinf": _names("dref"),
    b"stbl": _names(
        "stsd stts ctts stss stsc stsz stz2 stco co64 stsh sdtp sbgp sgpd cslg stps padb subs saiz"
        " saio"
    ),
    b"moof": _names("mfhd traf"),
    b"traf": _names("tfhd tfdt trun sdtp sbgp sgpd subs saiz saio"),
    b"mfra": _names("tfra mfro"),
    b"iprp": _names("ipco ipma"),
    b"ipco": _names(
        "ispe pixi av1C colr auxC irot imir clap pasp a1op a1lx lsel clli mdcv cclv amve ndwt"
    ),
}
#: The kept children of an AVIF's ``meta``; in other files that box has only metadata.
_META = _names("hdlr pitm iloc iinf iref iprp idat grpl")
_ITEMS = _names("av01 grid iovl iden tmap sato")
#: The item names that libavif writes.
_ITEM_NAMES = frozenset({b"Color", b"Alpha"})
_TRACKS = _names("vide soun text sbtl subt clcp pict auxv")
_DEEPEST = 8
#: Boxes in a file: two hours with two tracks, in fragments of half a second, have 187,203.
_MOST = 400_000
#: Where a sample description has the compressor's name (12.1.3.2) and QuickTime's vendor.
_VENDOR, _COMPRESSOR, _PICTURE = slice(12, 16), slice(42, 74), 78
_OF_PICTURES = _names(
    "avcC hvcC lhvC hvcE av1C vpcC vvcC esds colr pasp clap btrt fiel gama chrm mdcv clli SmDm CoLL"
    " cclv amve dvcC dvvC dvwC vexu hfov glbl d263 jp2h auxi ccst sinf"
)
_CAPTIONS = _names("tx3g text wvtt stpp sbtt stxt c608 c708 mp4s")


@dataclass(frozen=True, slots=True)
class _Box:
    """A box: the offsets of its start, its content, and its end."""

    name: bytes
    start: int
    inside: int
    end: int


def strip_video(data: bytes) -> bytes:
    """A video or audio file without location, times, owner, device and program."""
    return _Blanking(bytearray(data)).film()


def strip_avif(data: bytes) -> bytes:
    """An AVIF without Exif, XMP and other items that are not pictures."""
    return _Blanking(bytearray(data)).avif()


class _Blanking:
    """A file whose metadata is being zeroed."""

    def __init__(self, data: bytearray) -> None:
        self._data = data
        self._media = list[_Box]()
        self._seen = 0

    def film(self) -> bytes:
        end, films = 0, list[_Box]()
        for box in self._boxes(0, len(self._data)):
            end = box.end
            if box.name == b"moov":
                films.append(box)
            if box.name == b"mdat":
                self._media.append(box)
            elif box.name in _TOP:
                self._keep(box, 0)
            else:
                self._blank(box)
        for moov in films:
            self._leave_out_tracks(moov)
        return bytes(self._data[:end])

    def avif(self) -> bytes:
        boxes = list(self._boxes(0, len(self._data)))
        self._media = [box for box in boxes if box.name == b"mdat"]
        for box in boxes:
            if box.name == b"meta":
                # Pictures of a sequence are in tracks, which share the data.
                self._items(box, alone=all(other.name != b"moov" for other in boxes))
            elif box.name != b"mdat" and box.name in _TOP:
                self._keep(box, 0)
            elif box.name != b"mdat":
                self._blank(box)
        for box in boxes:
            if box.name == b"moov":
                self._leave_out_tracks(box)
        return bytes(self._data[: boxes[-1].end] if boxes else self._data)

    def _boxes(self, position: int, stop: int) -> Iterator[_Box]:
        """The boxes in a range; trailing bytes after the last one are not a box."""
        whole = position == 0 and stop == len(self._data)
        seen = set[bytes]()
        while position + 8 <= stop:
            size = int.from_bytes(self._data[position : position + 4], "big")
            name = bytes(self._data[position + 4 : position + 8])
            inside = position + 8
            if size == 1:  # the size follows the name, in 64 bits
                size = int.from_bytes(self._data[inside : inside + 8], "big")
                inside += 8
            end = position + size if size else stop  # 0: to the end
            broken = end < inside or end > stop
            if whole and (broken or not name.strip(b"\0")) and b"mdat" in seen and len(seen) > 2:
                return
            if broken:
                raise ValueError("the video is truncated")
            seen.add(name)
            self._seen += 1
            if self._seen > _MOST:
                raise ValueError("the video has too many boxes")
            yield _Box(name, position, inside, end)
            position = end

    def _keep(self, box: _Box, depth: int) -> None:
        """Zero the metadata inside a kept box."""
        if depth > _DEEPEST:
            raise ValueError("the video's boxes are nested too deeply")
        if box.name in _CHILDREN:
            for child in self._boxes(box.inside, box.end):
                if child.name in _CHILDREN[box.name] or child.name == box.name:
                    self._keep(child, depth + 1)
                else:
                    self._blank(child)
        elif box.name in {b"mvhd", b"tkhd", b"mdhd"}:
            long = box.end > box.inside and self._data[box.inside] == 1
            self._zero(box.inside + 4, min(box.end, box.inside + (20 if long else 12)))
        elif box.name == b"hdlr":
            self._zero(box.inside + 12, box.end)
        elif box.name == b"dref":
            for entry in self._boxes(box.inside + 8, box.end):
                # Data in the same file needs no URL (8.7.2); QuickTime writes the maker's path
                # there.
                self._zero(entry.inside + 4, entry.end)
        elif box.name == b"stsd":
            self._descriptions(box)
        elif box.name == b"colr":
            self._colours(box)

    def _colours(self, box: _Box) -> None:
        """Clean a colour profile (12.1.5); others are numbers only."""
        if bytes(self._data[box.inside : box.inside + 4]) in {b"prof", b"rICC"}:
            profile = clean_profile(bytes(self._data[box.inside + 4 : box.end]))
            self._data[box.inside + 4 : box.end] = profile

    def _descriptions(self, box: _Box) -> None:
        """Zero the program names in the sample descriptions of pictures and sound (8.5.2,
        12.1.3).
        """
        for entry in self._boxes(box.inside + 8, box.end):
            if entry.name in _CAPTIONS:
                continue
            self._zero(entry.inside + _VENDOR.start, min(entry.end, entry.inside + _VENDOR.stop))
            size = entry.end - entry.inside
            # The frame count of a picture description is 1; sound descriptions have no such field.
            frames = self._data[entry.inside + 40 : entry.inside + 42]
            if size < _PICTURE or int.from_bytes(frames, "big") != 1:
                continue
            place = entry.inside + _COMPRESSOR.start
            self._zero(place, entry.inside + _COMPRESSOR.stop)
            with suppress(ValueError):  # a table of colours may follow, in old films
                for child in self._boxes(entry.inside + _PICTURE, entry.end):
                    if child.name not in _OF_PICTURES:
                        self._blank(child)
                    elif child.name == b"colr":
                        self._colours(child)

    def _leave_out_tracks(self, moov: _Box) -> None:
        for track in self._boxes(moov.inside, moov.end):
            if track.name != b"trak":
                continue
            handler = self._first(track, b"mdia", b"hdlr")
            kind = self._data[handler.inside + 8 : handler.inside + 12] if handler else b""
            if not handler or bytes(kind) in _TRACKS:
                continue
            table = self._first(track, b"mdia", b"minf", b"stbl")
            if table:
                for start, end in self._samples(table):
                    self._zero_media(start, end)
            self._blank(track)

    def _first(self, box: _Box, *path: bytes) -> _Box | None:
        """The first box at a path of names, or ``None``."""
        for name in path:
            found = next((b for b in self._boxes(box.inside, box.end) if b.name == name), None)
            if found is None:
                return None
            box = found
        return box

    def _samples(self, table: _Box) -> Iterator[tuple[int, int]]:
        """The ranges of a track's chunks (8.7.3 to 8.7.5)."""
        boxes = {box.name: box for box in self._boxes(table.inside, table.end)}
        wide = b"co64" in boxes
        offsets = self._numbers(boxes.get(b"co64") or boxes.get(b"stco"), "Q" if wide else "I")
        runs = [*self._numbers(boxes.get(b"stsc"), "III")]
        sizes = self._sizes(boxes.get(b"stsz"))
        following = 0
        for number, (offset,) in enumerate(offsets, 1):
            while following < len(runs) and runs[following][0] <= number:
                following += 1
            count = runs[following - 1][1] if following else 0
            size = sum(islice(sizes, count))
            yield offset, offset + size

    def _sizes(self, box: _Box | None) -> Iterator[int]:
        if box is None:
            return
        alike, count = struct.unpack_from(">II", self._data, box.inside + 4)
        if alike:
            yield from (alike for _ in range(min(count, len(self._data))))
        else:
            content = self._data[box.inside + 12 : min(box.end, box.inside + 12 + 4 * count)]
            yield from (size for (size,) in struct.iter_unpack(">I", content[: len(content) & ~3]))

    def _numbers(self, box: _Box | None, form: str) -> Iterator[tuple[int, ...]]:
        """The entries of a table, unpacked by ``form``."""
        if box is None:
            return
        count = int.from_bytes(self._data[box.inside + 4 : box.inside + 8], "big")
        size = struct.calcsize(f">{form}")
        content = self._data[box.inside + 8 : min(box.end, box.inside + 8 + size * count)]
        yield from struct.iter_unpack(f">{form}", content[: len(content) // size * size])

    def _items(self, meta: _Box, *, alone: bool) -> None:
        """Zero the items of an AVIF that are not pictures (8.11)."""
        boxes = {box.name: box for box in self._boxes(meta.inside + 4, meta.end)}
        for name, box in boxes.items():
            if name not in _META:
                self._blank(box)
            elif name in {b"hdlr", b"iprp"}:
                self._keep(box, 0)
        if b"iinf" not in boxes:
            raise ValueError("the AVIF has no picture")
        kept = self._pictures(boxes[b"iinf"])
        idat = boxes.get(b"idat")
        shown = list[tuple[int, int]]()
        for item, inside, start, end in self._extents(boxes.get(b"iloc"), idat):
            if item in kept:
                shown.append((start, end))
            elif inside and idat:
                self._zero(max(start, idat.inside), min(end, idat.end))
            else:
                self._zero_media(start, end)
        if alone:
            self._zero_between(sorted(shown))

    def _pictures(self, iinf: _Box) -> frozenset[int]:
        """Rewrite the item list with pictures only and without names; returns their ids."""
        short = self._data[iinf.inside] == 0
        first = iinf.inside + (6 if short else 8)
        kept, entries = set[int](), bytearray()
        for box in self._boxes(first, iinf.end):
            content = bytes(self._data[box.inside : box.end])
            version = content[0] if content else 0
            wide = 4 if version == 3 else 2
            kind = content[6 + wide : 10 + wide]
            if box.name != b"infe" or version not in {2, 3} or kind not in _ITEMS:
                continue
            kept.add(int.from_bytes(content[4 : 4 + wide], "big"))
            name = content[10 + wide :].partition(b"\0")[0]
            entry = content[: 10 + wide] + (name if name in _ITEM_NAMES else b"") + b"\0"
            entries += struct.pack(">I", 8 + len(entry)) + b"infe" + entry
        rest = iinf.end - first - len(entries)
        filler = struct.pack(">I", rest) + b"free" if rest >= 8 else b""
        self._data[first : iinf.end] = entries + filler + bytes(rest - len(filler))
        self._data[iinf.inside + 4 : first] = len(kept).to_bytes(first - iinf.inside - 4, "big")
        return frozenset(kept)

    def _extents(
        self, iloc: _Box | None, idat: _Box | None
    ) -> Iterator[tuple[int, bool, int, int]]:
        """The extents of the items (8.11.3): item id, whether in ``idat``, start, end."""
        if iloc is None:
            return
        reader = _Reader(self._data, iloc.inside, iloc.end)
        version = reader.number(1)
        reader.number(3)
        sizes = reader.number(2)
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version in {1, 2} else 0
        for _ in range(reader.number(2 if version < 2 else 4)):
            item = reader.number(2 if version < 2 else 4)
            inside = bool(version in {1, 2} and reader.number(2) & 15 == 1)
            reader.number(2)
            base = reader.number(base_size) + (idat.inside if inside and idat else 0)
            for _ in range(reader.number(2)):
                reader.number(index_size)
                start = base + reader.number(offset_size)
                length = reader.number(length_size)
                yield item, inside, start, start + length if length else len(self._data)

    def _zero_between(self, shown: list[tuple[int, int]]) -> None:
        """Zero the data that belongs to no picture."""
        for box in self._media:
            position = box.inside
            for start, end in shown:
                if end > box.inside and start < box.end:
                    self._zero(position, min(start, box.end))
                    position = max(position, end)
            self._zero(position, box.end)

    def _zero_media(self, start: int, end: int) -> None:
        for box in self._media:
            self._zero(max(start, box.inside), min(end, box.end))

    def _blank(self, box: _Box) -> None:
        self._data[box.start + 4 : box.start + 8] = box.name if box.name in _FREE else b"free"
        self._zero(box.inside, box.end)

    def _zero(self, start: int, end: int) -> None:
        if end > start:
            self._data[start:end] = bytes(end - start)


class _Reader:
    """Reads big-endian numbers from a box, one after the other."""

    def __init__(self, data: bytearray, position: int, end: int) -> None:
        self._data, self._position, self._end = data, position, end

    def number(self, size: int) -> int:
        place = self._position
        self._position += size
        if self._position > self._end:
            raise ValueError("the file is truncated")
        return int.from_bytes(self._data[place : self._position], "big")
