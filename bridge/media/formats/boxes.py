"""Removes private metadata from ISO base media files (ISO/IEC 14496-12): MP4, QuickTime, M4A, AVIF.

The boxes that a player needs are kept, by name; every other box is renamed ``free`` and zeroed, so
that nothing moves and no offset table has to be changed. Zeroed as well are times and the names of
programs and devices in kept boxes, and all media data but the samples of pictures, sound and
captions: other tracks (such as a camera's GPS positions, also where these are captions), what no
track refers to, and user data between pictures (:mod:`bridge.media.formats.user_data`).

Each function takes a whole file and returns one of the same length, without what follows the last
box, and raises ``ValueError`` for a truncated or invalid file.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from msgspec import Struct

from bridge.media.formats.colour_profile import clean_profile
from bridge.media.formats.samples import (
    Range,
    chunk_ranges,
    fragment_ranges,
    item_extents,
    joined,
    track_of,
)
from bridge.media.formats.user_data import blank_in_configuration, blank_user_data, format_of

_FREE = frozenset({b"free", b"skip", b"wide"})
_TOP = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"ssix"})


#: Brands that say how a file is to be read; others name the maker of a camera.
_BRANDS = re.compile(
    rb"iso[m2-9a-c]|mp4[12]|mp7[1t]|av(c1|01|if|is|io)|qt  |M4[ABPV] |F4[ABPV] |3g[2-9a-z][0-9a-z]"
    rb"|dash|msdh|msix|hlsf|lmsg|cm[a-z][a-z0-9]|mi[af][12f]|MA1[AB]|msf1|tmap|dby1"
)
#: What drones and dashboard cameras write as captions: positions, and the time of each picture.
#: People caption, too, such as "Home (2009)" and "Latency: 20 ms".
_RECORDED = re.compile(
    rb"\b(?:GPS|HOME) ?\( ?(?:[NSEW] ?:? ?)?-?\d{1,3}\.\d|\$(?:G[A-Z]|BD)(?:RMC|GGA|GLL),"
    rb"|\b(?:lat(?:itude)?|lng|lon(?:gt?itude)?)\"? ?[:=] ?\"?-?\d{1,3}\.\d"
    rb"|\b(?-i:[NS]) ?:? ?\d{1,2}\.\d{4,}[ ,]*(?-i:[EW])"
    rb"|\b20\d\d([-/.:])\d\d\1\d\d[ T_]\d\d:\d\d:\d\d",
    re.IGNORECASE,
)
#: How much of a caption track is searched for that.
_CHUNKS, _OF_CHUNK = 1_000, 4_096


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
_PICTURE_TRACKS = _names("vide pict auxv")
_DEEPEST = 8
#: Boxes in a file: two hours with two tracks, in fragments of half a second, have 187,203.
_MOST = 400_000
#: Where a sample description has the compressor's name (12.1.3.2) and QuickTime's vendor.
_VENDOR, _COMPRESSOR, _PICTURE = slice(12, 16), slice(42, 74), 78
_OF_PICTURES = _names(
    "avcC hvcC lhvC hvcE av1C vpcC vvcC esds colr pasp clap btrt fiel gama chrm mdcv clli SmDm CoLL"
    " ACLR cclv amve dvcC dvvC dvwC vexu hfov glbl d263 jp2h auxi ccst sinf"
)
#: The lengths of sound descriptions' fields, by version (12.2.3; the others are QuickTime's).
_SOUND = {0: 28, 1: 44, 2: 64}
_OF_SOUND = _names(
    "esds wave chan chnl srat pcmC dOps dfLa alac dac3 dec3 dac4 ddts udts dmlp mhaC mhaP damr dawp"
    " btrt sinf SA3D glbl mp4a frma enda dapa iacb"
)
#: Begins with who made the encoder (3GPP TS 26.244 6.6, 6.8).
_WITH_VENDOR = _names("d263 damr")
#: The kept children of boxes among these.
_EXTENSIONS = {
    b"wave": _OF_SOUND | {bytes(4)},
    b"sinf": _names("frma schm schi"),
    b"schi": _names("tenc"),
}
#: H.264 and H.265.
_NAL_VIDEO = _names("avc1 avc2 avc3 avc4 hvc1 hev1 hvc2 hev2 dvh1 dvhe dva1 dvav")
_CAPTION_TRACKS = _names("text sbtl subt clcp")
_TRACKS = _PICTURE_TRACKS | _CAPTION_TRACKS | {b"soun"}
_CAPTIONS = _names("tx3g text wvtt stpp sbtt stxt c608 c708 mp4s")


class _Box(Struct, frozen=True):
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
        #: Of the track whose boxes are being read: pictures, sound, captions or others.
        self._kind = b""

    def film(self) -> bytes:
        boxes = list(self._boxes(0, len(self._data)))
        for box in boxes:
            if box.name == b"mdat":
                self._media.append(box)
            elif box.name in _TOP:
                self._keep(box, 0)
            else:
                self._blank(box)
        samples = self._samples(boxes)
        if not samples and any(box.end > box.inside for box in self._media):
            raise ValueError("the video is damaged: it says nowhere what to play")
        self._zero_between(samples)
        return self._whole(boxes)

    def avif(self) -> bytes:
        boxes = list(self._boxes(0, len(self._data)))
        self._media += (box for box in boxes if box.name == b"mdat")
        items = list[Range]()
        for box in boxes:
            if box.name == b"meta":
                items += self._items(box)
            elif box.name != b"mdat" and box.name in _TOP:
                self._keep(box, 0)
            elif box.name != b"mdat":
                self._blank(box)
        # Pictures of a sequence are in tracks, which share the data.
        self._zero_between(self._samples(boxes, *items))
        return self._whole(boxes)

    def _whole(self, boxes: Sequence[_Box]) -> bytes:
        """The file up to the end of its last box."""
        return bytes(self._data[: boxes[-1].end] if boxes else self._data)

    def _boxes(self, position: int, stop: int, *, again: bool = False) -> Iterator[_Box]:
        """The boxes in a range; trailing bytes after the last one are not a box. Those that are
        read ``again`` are not counted once more.
        """
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
            self._seen += not again
            if self._seen > _MOST:
                raise ValueError("the video has too many boxes")
            yield _Box(name, position, inside, end)
            position = end

    def _keep(self, box: _Box, depth: int) -> None:
        """Zero the metadata inside a kept box."""
        if depth > _DEEPEST:
            raise ValueError("the video's boxes are nested too deeply")
        if box.name in _CHILDREN:
            self._kind = self._kind_of(box) if box.name == b"mdia" else self._kind
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
        elif box.name in {b"ftyp", b"styp"}:
            self._brands(box)
        elif box.name == b"stsd":
            self._descriptions(box)
        elif box.name == b"colr":
            self._colours(box)

    def _colours(self, box: _Box) -> None:
        """Clean a colour profile (12.1.5); others are numbers only."""
        if bytes(self._data[box.inside : box.inside + 4]) in {b"prof", b"rICC"}:
            profile = clean_profile(bytes(self._data[box.inside + 4 : box.end]))
            self._data[box.inside + 4 : box.end] = profile

    def _brands(self, box: _Box) -> None:
        minor = box.inside + 4
        for place in range(box.inside, box.end - 3, 4):
            if place != minor and not _BRANDS.fullmatch(self._data, place, place + 4):
                self._data[place : place + 4] = b"isom"

    def _descriptions(self, box: _Box) -> None:
        """Zero the program names in the sample descriptions of pictures and sound (8.5.2,
        12.1.3).
        """
        for entry in self._boxes(box.inside + 8, box.end):
            if entry.name in _CAPTIONS:
                continue
            self._zero(entry.inside + _VENDOR.start, min(entry.end, entry.inside + _VENDOR.stop))
            if self._kind in _PICTURE_TRACKS:
                place = entry.inside + _COMPRESSOR.start
                self._zero(place, min(entry.end, entry.inside + _COMPRESSOR.stop))
                self._extensions(self._after_picture(entry), entry.end, _OF_PICTURES)
            else:
                self._extensions(self._after_sound(box, entry), entry.end, _OF_SOUND)

    def _after_picture(self, entry: _Box) -> int:
        """Where the boxes in a picture description begin: after a table of colours, if it has its
        own (QuickTime File Format, video sample description).
        """
        start = entry.inside + _PICTURE
        depth = int.from_bytes(self._data[start - 4 : start - 2], "big") & 0x1F
        if depth in {1, 2, 4, 8} and not any(self._data[start - 2 : start]):
            last = int.from_bytes(self._data[start + 6 : start + 8], "big")
            start += 8 * (last + 2)
        return start

    def _after_sound(self, table: _Box, entry: _Box) -> int:
        """Where the boxes in a sound description begin. QuickTime's version 1 is longer than that
        in a table of version 1 (12.2.3), and some programs mix them up.
        """
        version = int.from_bytes(self._data[entry.inside + 8 : entry.inside + 10], "big")
        is_short = version == 1 and self._data[table.inside] == 1
        lengths = (_SOUND[0 if is_short else min(version, 2)], *_SOUND.values())
        starts = [entry.inside + length for length in lengths]
        return next((start for start in starts if self._has_boxes(start, entry.end)), starts[0])

    def _has_boxes(self, position: int, end: int) -> bool:
        """Whether nothing but boxes is in a range; a few bytes may follow."""
        while position + 8 <= end:
            size = int.from_bytes(self._data[position : position + 4], "big")
            position += size
            if size < 8:
                return False
        return position <= end

    def _extensions(self, start: int, end: int, needed: frozenset[bytes]) -> None:
        """Blank the boxes that follow the fields of a sample description, but the needed ones."""
        try:
            for child in self._boxes(start, end):
                if child.name not in needed:
                    self._blank(child)
                elif child.name == b"colr":
                    self._colours(child)
                elif child.name in _WITH_VENDOR:
                    self._zero(child.inside, min(child.end, child.inside + 4))
                elif child.name in _EXTENSIONS:
                    self._extensions(child.inside, child.end, _EXTENSIONS[child.name])
        except ValueError:
            # What a decoder of pictures needs may be there in another form, in old films.
            if needed is not _OF_PICTURES:
                self._zero(start, end)

    def _samples(self, boxes: Sequence[_Box], *items: Range) -> list[tuple[int, int]]:
        """Blank the tracks of other data than pictures, sound and captions; returns where the
        samples of those that are left are, and the ``items``.
        """
        kept, starts, tracks = list(items), list[int](), set[int]()
        films = [box for box in boxes if box.name == b"moov"]
        inside = [box for film in films for box in self._boxes(film.inside, film.end, again=True)]
        parts, fragments = self._fragments(boxes, inside)
        for box in (box for box in inside if box.name == b"trak"):
            track, table = self._track_id(box), self._first(box, b"mdia", b"minf", b"stbl")
            ranges = list(chunk_ranges(dict(self._contents(table)))) if table else []
            all_ranges = [*ranges, *fragments.get(track, ())]
            if self._is_shown(box, all_ranges):
                kept += ranges
                tracks.add(track)
                self._blank_user_data(box, all_ranges)
            else:
                starts += (start for start, _ in ranges)
                self._blank(box)
        for track, found in fragments.items():
            kept += found if track in tracks or not films else ()
        for box, track in parts:
            if films and track not in tracks:
                self._blank(box)
        return joined(kept, starts, len(self._data))

    def _fragments(
        self, boxes: Sequence[_Box], film: Sequence[_Box]
    ) -> tuple[list[tuple[_Box, int]], dict[int, list[Range]]]:
        """The parts of fragments with the tracks that they belong to, and the samples of each
        track in fragments. ``film`` are the boxes in ``moov``.
        """
        sizes = dict[int, int]()
        for box in film:
            if box.name == b"mvex":
                sizes |= self._default_sizes(box)
        parts, found = list[tuple[_Box, int]](), dict[int, list[Range]]()
        for fragment in (box for box in boxes if box.name == b"moof"):
            inside = self._boxes(fragment.inside, fragment.end, again=True)
            some = [box for box in inside if box.name == b"traf"]
            runs = [list(self._contents(box)) for box in some]
            parts += [(box, track_of(run)) for box, run in zip(some, runs, strict=True)]
            for track, samples in fragment_ranges(fragment.start, runs, sizes):
                found.setdefault(track, []).append(samples)
        return parts, found

    def _blank_user_data(self, track: _Box, ranges: Sequence[Range]) -> None:
        """Blank what a program or a camera has written between the pictures of a track."""
        table = self._first(track, b"mdia", b"minf", b"stbl", b"stsd")
        if table is None:
            return
        for entry in self._boxes(table.inside + 8, table.end, again=True):
            if entry.name not in _NAL_VIDEO:
                continue
            try:
                extensions = list(self._boxes(self._after_picture(entry), entry.end, again=True))
            except ValueError:
                continue  # in another form, in old films
            for box in extensions:
                units = format_of(box.name, bytes(self._data[box.inside : box.end]))
                if units is None:
                    continue
                if units.wide:
                    blank_in_configuration(self._data, box.inside, box.end)
                for start, end in self._once(ranges):
                    blank_user_data(self._data, start, end, units)
                return

    def _once(self, ranges: Sequence[Range]) -> set[tuple[int, int]]:
        """Those ranges that have an end, each once: the same picture may be shown again.

        Raises ``ValueError`` where they overlap, since a small table can name most of the file a
        million times.
        """
        size = len(self._data)
        found = {(start, min(end, size)) for start, end in ranges if end is not None}
        if sum(end - start for start, end in found if end > start) > 2 * size:
            raise ValueError("the video is damaged: its samples overlap")
        return found

    def _is_shown(self, track: _Box, chunks: Sequence[Range]) -> bool:
        media = self._first(track, b"mdia")
        kind = self._kind_of(media) if media else b""
        if kind in _CAPTION_TRACKS:
            for start, end in chunks[:_CHUNKS]:
                last = start + _OF_CHUNK
                if _RECORDED.search(self._data[start : last if end is None else min(end, last)]):
                    return False
        return kind in _TRACKS

    def _kind_of(self, media: _Box) -> bytes:
        """The kind of a track, from its handler (8.4.3)."""
        handler = self._first(media, b"hdlr")
        return bytes(self._data[handler.inside + 8 : handler.inside + 12]) if handler else b""

    def _track_id(self, track: _Box) -> int:
        """The id in a track's header (8.3.2)."""
        header = self._first(track, b"tkhd")
        if header is None:
            return 0
        place = header.inside + (20 if self._data[header.inside] == 1 else 12)
        return int.from_bytes(self._data[place : place + 4], "big")

    def _default_sizes(self, extends: _Box) -> Iterator[tuple[int, int]]:
        """Tracks' ids with the size of their samples in fragments that say no other (8.8.3)."""
        for name, content in self._contents(extends):
            if name == b"trex":
                yield int.from_bytes(content[4:8], "big"), int.from_bytes(content[16:20], "big")

    def _contents(self, box: _Box) -> Iterator[tuple[bytes, bytes]]:
        """The names and contents of a box's children."""
        for child in self._boxes(box.inside, box.end, again=True):
            yield child.name, bytes(self._data[child.inside : child.end])

    def _first(self, box: _Box, *path: bytes) -> _Box | None:
        """The first box at a path of names, or ``None``."""
        for name in path:
            found = next(
                (b for b in self._boxes(box.inside, box.end, again=True) if b.name == name), None
            )
            if found is None:
                return None
            box = found
        return box

    def _items(self, meta: _Box) -> list[Range]:
        """Blank the items of an AVIF that are not pictures (8.11); returns where the others are."""
        boxes = dict[bytes, _Box]()
        for box in self._boxes(meta.inside + 4, meta.end):
            # Those that are kept occur once (8.11.1); others, such as ``uuid``, may be repeated.
            if box.name in boxes or box.name not in _META:
                self._blank(box)
                continue
            boxes[box.name] = box
            if box.name in {b"hdlr", b"iprp"}:
                self._keep(box, 0)
        if b"iinf" not in boxes:
            raise ValueError("the AVIF has no picture")
        kept = self._pictures(boxes[b"iinf"])
        idat = boxes.get(b"idat")
        if idat:
            self._media.append(idat)
        iloc = boxes.get(b"iloc")
        places = bytes(self._data[iloc.inside : iloc.end]) if iloc else None
        extents = item_extents(places, idat.inside if idat else 0, len(self._data))
        return [(start, end) for item, start, end in extents if item in kept]

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

    def _zero_between(self, shown: list[tuple[int, int]]) -> None:
        """Zero the media data outside of these ranges, which are in order and without overlaps."""
        for box in self._media:
            position = box.inside
            number = bisect_right(shown, box.inside, key=lambda each: each[1])
            while number < len(shown) and shown[number][0] < box.end:
                self._zero(position, shown[number][0])
                position = shown[number][1]
                number += 1
            self._zero(position, box.end)

    def _blank(self, box: _Box) -> None:
        self._data[box.start + 4 : box.start + 8] = box.name if box.name in _FREE else b"free"
        self._zero(box.inside, box.end)

    def _zero(self, start: int, end: int) -> None:
        if end > start:
            self._data[start:end] = bytes(end - start)
