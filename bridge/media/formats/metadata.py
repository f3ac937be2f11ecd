"""Removes private metadata from images without changing pixels.

Cameras record place, time, camera and lens, and a thumbnail from before cropping, none of which is
needed for display. Kept are the colours of the colour profile
(:mod:`bridge.media.formats.colour_profile`) and what a decoder needs, by allow-lists; everything
else is removed, and what follows the image's end. ISO base media files (MP4, AVIF) are in
:mod:`bridge.media.formats.boxes`, WebM in :mod:`bridge.media.formats.webm`, sounds in
:mod:`bridge.media.formats.sound`.

Each function takes and returns a whole file, unchanged where there is nothing to remove, and raises
``ValueError`` for a truncated one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from bridge.media.formats.boxes import strip_avif, strip_video
from bridge.media.formats.colour_profile import clean_profile
from bridge.media.formats.sniff import AVIF, GIF, JPEG, M4A, MOV, MP4, PNG, WEBM, WEBM_AUDIO, WEBP
from bridge.media.formats.sound import STRIP_SOUND, riff_chunk, riff_chunks
from bridge.media.formats.webm import strip_webm

#: The application segments that a JPEG decoder needs (ITU-T T.81 B.2.4.6): JFIF header, colour
#: profile, Adobe's colour transform.
_APPLICATION = range(0xE0, 0xF0)
_NEEDED_IN_JPEG = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
#: FF bytes in scan data. They are data if a zero or a restart marker follows, else a marker.
#: Possessive, so that a file of nothing else is searched in linear time.
_MARKER = re.compile(rb"\xff++([^\x00\xd0-\xd7])?")
_END_OF_IMAGE, _START_OF_SCAN, _PROFILE = 0xD9, 0xDA, 0xE2
_PART_NUMBER = len(b"ICC_PROFILE\0")

#: Markers of frames, tables and scans (table B.1).
_MARKERS_OF_JPEG = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0)} - {0xC8})
#: The JFIF header without the thumbnail that it may have (JFIF 1.02).
_JFIF, _WITHOUT_THUMBNAIL = 12, b"\0\0"

_PNG_SIGNATURE = 8
#: Chunks for the picture, its colours, size and animation (PNG 5.6, 11.2, 11.3).
_NEEDED_IN_PNG = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs"
    b" acTL fcTL fdAT".split()
)
#: The lengths of chunks that always have the same.
_LENGTHS_IN_PNG = {
    **{b"IHDR": 13, b"IEND": 0, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9},
    **{b"cICP": 4, b"cLLI": 8, b"mDCV": 24, b"acTL": 8, b"fcTL": 26},
}
#: The name under which Pillow writes colour profiles.
_PROFILE_NAME = b"ICC Profile\0\0"
_MOST_OF_PROFILE = 4 * 1024**2

_NEEDED_IN_WEBP = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_NEEDED_IN_FRAME = frozenset({b"VP8 ", b"VP8L", b"ALPH"})
#: ICC profile, alpha and animation (RFC 9649 2.7.1), without Exif, XMP and reserved flags.
_FLAGS_OF_WEBP = 0x32

_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x21, 0x2C, 0x3B
_GIF_CONTROL, _GIF_APPLICATION = 0xF9, 0xFF
#: The application extensions for the number of loops and the colour profile.
_GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_GIF_PROFILE = b"ICCRGBG1012"


#: More segments, scans or chunks than cameras and programs write. Each costs a decoder time: a scan
#: of a progressive JPEG as much as the whole picture. Before the first one, a byte that fills a
#: gap between segments is like a segment.
_MOST_SEGMENTS, _MOST_SCANS, _MOST_CHUNKS, _MOST_PROFILES = 10_000, 500, 100_000, 4
#: The marker that begins a segment: in scan data zero or a restart marker follows each FF.
_SEGMENT = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def has_too_many_parts(data: bytes) -> bool:
    """Whether a JPEG or PNG has more parts than any real one, which would take minutes to read."""
    if data.startswith(b"\xff\xd8"):
        return _has_too_many_segments(data)
    return data.startswith(b"\x89PNG") and _has_too_many_chunks(data)


def _has_too_many_segments(data: bytes) -> bool:
    segments = scans = 0
    position = 2
    while (found := _SEGMENT.search(data, position)) and data[found.end() - 1] != _END_OF_IMAGE:
        segments += 1 if scans else 1 + data.count(0xFF, position, found.start())
        scans += data[found.end() - 1] == _START_OF_SCAN
        if segments > _MOST_SEGMENTS or scans > _MOST_SCANS:
            return True
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False


def _has_too_many_chunks(data: bytes) -> bool:
    chunks = profiles = 0
    position = _PNG_SIGNATURE
    while position < len(data):
        chunks += 1
        profiles += data[position + 4 : position + 8] == b"iCCP"
        if chunks > _MOST_CHUNKS or profiles > _MOST_PROFILES:
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def strip_jpeg(data: bytes) -> bytes:
    """A JPEG without Exif, XMP, IPTC, maker notes, previews and comments.

    Raises :class:`ValueError` if it is truncated.
    """
    kept = [data[:2]]
    profile = dict[int, bytes]()
    position, in_scan = 2, False
    while True:
        match = next((found for found in _MARKER.finditer(data, position) if found[1]), None)
        if match is None:
            raise ValueError("the JPEG has no end")
        code = match[1][0]
        # Before a marker there is scan data; anything between other segments is not the picture's.
        if in_scan:
            kept.append(data[position : match.start()])
        if code == _END_OF_IMAGE:
            _clean_parts(kept, profile)
            return b"".join([*kept, data[match.start() : match.end()]])
        end = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
        if end < match.end() + 2 or end > len(data):
            raise ValueError("the JPEG is truncated")
        payload = data[match.end() + 2 : end]
        if code == _APPLICATION.start and payload.startswith(b"JFIF\0") and any(payload[_JFIF:]):
            payload = payload[:_JFIF] + _WITHOUT_THUMBNAIL
            length = (len(payload) + 2).to_bytes(2, "big")
            kept.append(data[match.start() : match.end()] + length + payload)
        elif _jpeg_needs(code, payload):
            if code == _PROFILE:
                profile[len(kept)] = payload
            kept.append(data[match.start() : end])
        position, in_scan = end, code == _START_OF_SCAN


def _clean_parts(segments: list[bytes], profile: dict[int, bytes]) -> None:
    """Clean a colour profile whose parts are in these segments of a JPEG (ICC.1:2022 B.4).

    Their payloads begin with a name, their number, and how many there are.
    """
    parts = sorted(profile.items(), key=lambda part: part[1][_PART_NUMBER : _PART_NUMBER + 1])
    clean = clean_profile(b"".join(payload[_PART_NUMBER + 2 :] for _, payload in parts))
    position = 0
    for place, payload in parts:
        size = len(payload) - _PART_NUMBER - 2
        segment = segments[place]
        segments[place] = segment[: len(segment) - size] + clean[position : position + size]
        position += size


def _jpeg_needs(code: int, payload: bytes) -> bool:
    if code in _APPLICATION:
        name = _NEEDED_IN_JPEG.get(code)
        # Adobe's segment has 12 bytes; a longer one is something else.
        fits = code != 0xEE or len(payload) == 12
        fits = fits and (code != _PROFILE or len(payload) >= _PART_NUMBER + 2)
        return name is not None and payload.startswith(name) and fits
    return code in _MARKERS_OF_JPEG


def strip_png(data: bytes) -> bytes:
    """A PNG with only the chunks that affect its display; animations are kept.

    Raises :class:`ValueError` if it is truncated.
    """
    kept = [data[:_PNG_SIGNATURE]]
    position = _PNG_SIGNATURE
    while True:
        name = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if len(name) < 4 or end > len(data):
            raise ValueError("the PNG is truncated")
        content = data[position + 8 : end - 4]
        if name == b"IEND":
            return b"".join([*kept, _png_chunk(name, b"")])
        if name == b"iCCP":
            kept.append(_png_profile(content))
        elif name in _NEEDED_IN_PNG and len(content) == _LENGTHS_IN_PNG.get(name, len(content)):
            kept.append(data[position:end])
        position = end


def _png_chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return len(content).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")


def _png_profile(content: bytes) -> bytes:
    """The chunk of a colour profile without private data (PNG 11.3.2.3); ``b""`` for a damaged
    one."""
    _, _, packed = content.partition(b"\0")
    decompressor = zlib.decompressobj()
    try:
        profile = decompressor.decompress(packed[1:], _MOST_OF_PROFILE)
    except zlib.error:
        return b""
    if not decompressor.eof:
        return b""
    return _png_chunk(b"iCCP", _PROFILE_NAME + zlib.compress(clean_profile(profile)))


def strip_webp(data: bytes) -> bytes:
    """A WebP with only the chunks that affect its display (RFC 9649 2.7); animations are kept.

    Raises :class:`ValueError` if it is truncated.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ValueError("the WebP is truncated")
    chunks = list(riff_chunks(data, 12, end))
    kept = [riff_chunk(*each) for each in map(_needed_of_webp, chunks) if each]
    return riff_chunk(b"RIFF", b"WEBP" + b"".join(kept))


def _needed_of_webp(chunk: tuple[bytes, bytes]) -> tuple[bytes, bytes] | None:
    name, content = chunk
    if name not in _NEEDED_IN_WEBP:
        return None
    if name == b"VP8X":
        return name, bytes([content[0] & _FLAGS_OF_WEBP, 0, 0, 0]) + content[4:10]
    if name == b"ICCP":
        return name, clean_profile(content)
    if name == b"ANMF":
        frame = riff_chunks(content, 16, len(content))
        shown = [riff_chunk(*each) for each in frame if each[0] in _NEEDED_IN_FRAME]
        return name, content[:16] + b"".join(shown)
    return chunk


def strip_gif(data: bytes) -> bytes:
    """A GIF without comments, texts and programs' extensions (GIF89a 15 to 27).

    Raises :class:`ValueError` if it is invalid.
    """
    position = 13 + _colours(data[10:11])
    kept, control = [data[:position]], b""
    while position < len(data) and data[position] != _GIF_END:
        start = position
        if data[position] == _GIF_IMAGE:
            inside = position + 10 + _colours(data[position + 9 : position + 10]) + 1
            position = _after_blocks(data, inside)
            kept += control, data[start:position]
            control = b""
        elif data[position] == _GIF_EXTENSION:
            position = _after_blocks(data, position + 2)
            label, extension = data[start + 1], data[start:position]
            if label == _GIF_CONTROL:
                # It applies to the next picture; the one of a text is dropped with the text.
                control = extension
            elif label == _GIF_APPLICATION:
                kept.append(_needed_of_application(extension))
            else:
                control = b""
        elif data[position] == 0:
            position += 1  # some programs write two block terminators
        else:
            raise ValueError("the GIF is invalid")
    return b"".join([*kept, bytes([_GIF_END])])


def _needed_of_application(extension: bytes) -> bytes:
    name = extension[3:14]
    if name == _GIF_PROFILE:
        return extension[:14] + _gif_profile(extension[14:])
    # Sub-block 1 has the number of loops; others are about buffering, which browsers ignore.
    if name in _GIF_LOOPS and extension[14:16] == b"\3\1" and len(extension) > 18:
        return extension[:18] + b"\0"
    return b""


def _gif_profile(blocks: bytes) -> bytes:
    """A colour profile in sub-blocks, without private data."""
    parts, position = list[bytes](), 0
    while position < len(blocks) and (size := blocks[position]):
        parts.append(blocks[position + 1 : position + 1 + size])
        position += 1 + size
    clean, kept, position = clean_profile(b"".join(parts)), list[bytes](), 0
    for part in parts:
        kept += [bytes([len(part)]), clean[position : position + len(part)]]
        position += len(part)
    return b"".join([*kept, b"\0"])


def _colours(flags: bytes) -> int:
    """The size of the colour table that these flags declare, in bytes."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _after_blocks(data: bytes, position: int) -> int:
    """The offset after a sequence of sub-blocks."""
    while position < len(data):
        size = data[position]
        position += 1 + size
        if not size:
            return position
    raise ValueError("the GIF is truncated")


#: The function that removes metadata, by media type.
STRIP: dict[str, Callable[[bytes], bytes]] = {
    JPEG.type: strip_jpeg,
    PNG.type: strip_png,
    GIF.type: strip_gif,
    WEBP.type: strip_webp,
    AVIF.type: strip_avif,
    **dict.fromkeys((MP4.type, MOV.type, M4A.type), strip_video),
    **dict.fromkeys((WEBM.type, WEBM_AUDIO.type), strip_webm),
    **STRIP_SOUND,
}
