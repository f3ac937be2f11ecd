"""Private metadata out of files, without touching one pixel or sample.

Cameras write where a photo was taken, when, with which camera and lens, and a small picture of it
as it was before it was cropped. None of that is needed to show it. Kept are the colour profile
and all that a decoder needs; gone is everything else, and whatever follows the picture's end.

Each function takes a whole file and gives a whole file; where there is nothing to remove it gives
the same bytes. Each raises ``ValueError`` for a file that breaks off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: What a JPEG decoder needs of the application segments (ITU-T T.81 B.2.4.6): JFIF's header,
#: the colour profile, Adobe's colour transform. 0xFE is a comment.
_APPLICATION = range(0xE0, 0xF0)
_COMMENT = 0xFE
_NEEDED_IN_JPEG = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
#: Any number of FF. Inside scan data they are data when a zero or a restart marker follows; else a
#: marker begins. Never looked at twice: a file may have nothing else in it.
_MARKER = re.compile(rb"\xff++([^\x00\xd0-\xd7])?")
_END_OF_IMAGE = 0xD9

_PNG_SIGNATURE = 8
_PRIVATE_IN_PNG = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"})

_PRIVATE_IN_WEBP = frozenset({b"EXIF", b"XMP "})
_WEBP_HAS_EXIF, _WEBP_HAS_XMP = 0x08, 0x04

_PRIVATE_IN_VIDEO = frozenset({b"udta", b"meta", b"uuid"})
_HOLD_BOXES = frozenset({b"moov", b"trak"})
_DEEPEST_BOX = 8


def strip_jpeg(data: bytes) -> bytes:
    """A JPEG without Exif, XMP, IPTC, maker notes, previews and comments."""
    kept = [data[:2]]
    position = 2
    while True:
        match = next((found for found in _MARKER.finditer(data, position) if found[1]), None)
        if match is None:
            raise ValueError("the JPEG has no end")
        code = match[1][0]
        if code == _END_OF_IMAGE:
            kept.append(data[position : match.end()])
            return b"".join(kept)
        end = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
        if end < match.end() + 2 or end > len(data):
            raise ValueError("the JPEG breaks off")
        # Before a marker stands scan data, or nothing.
        kept.append(data[position : match.start()])
        if _jpeg_needs(code, data[match.end() + 2 : end]):
            kept.append(data[match.start() : end])
        position = end


def _jpeg_needs(code: int, payload: bytes) -> bool:
    if code in _APPLICATION:
        name = _NEEDED_IN_JPEG.get(code)
        return name is not None and payload.startswith(name)
    return code != _COMMENT


def strip_png(data: bytes) -> bytes:
    """A PNG without Exif, text and time chunks (PNG, 11.3); animations stay."""
    kept = [data[:_PNG_SIGNATURE]]
    position = _PNG_SIGNATURE
    while True:
        name = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if len(name) < 4 or end > len(data):
            raise ValueError("the PNG breaks off")
        if name not in _PRIVATE_IN_PNG:
            kept.append(data[position:end])
        if name == b"IEND":
            return b"".join(kept)
        position = end


def strip_webp(data: bytes) -> bytes:
    """A WebP without Exif and XMP chunks (RFC 9649, 2.7); animations stay."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ValueError("the WebP breaks off")
    kept = []
    position = 12
    while position + 8 <= end:
        name = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        chunk = data[position : position + 8 + size + size % 2]
        if name == b"VP8X":
            flags = chunk[8] & ~(_WEBP_HAS_EXIF | _WEBP_HAS_XMP)
            chunk = chunk[:8] + bytes([flags]) + chunk[9:]
        if name not in _PRIVATE_IN_WEBP:
            kept.append(chunk)
        position += len(chunk)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def strip_video(data: bytes) -> bytes:
    """An MP4 or QuickTime film without the boxes that hold place, owner and device.

    The boxes are renamed ``free`` and filled with zeros (ISO/IEC 14496-12, 8.1.2), so that
    nothing in the file moves and no table of offsets has to be mended.
    """
    private = [*_private_boxes(data, 0, len(data))]
    if not private:
        return data
    blank = bytearray(data)
    for start, end in private:
        blank[start + 4 : start + 8] = b"free"
        blank[start + 8 : end] = bytes(end - start - 8)
    return bytes(blank)


def _private_boxes(
    data: bytes, position: int, stop: int, depth: int = 0
) -> Iterator[tuple[int, int]]:
    if depth > _DEEPEST_BOX:
        raise ValueError("the film's boxes are nested too deep")
    while position + 8 <= stop:
        size = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        header = 8
        if size == 1:  # the size stands behind the name, in 64 bits
            size, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        end = position + size if size else stop  # 0: to the end
        if end < position + header or end > stop:
            raise ValueError("the film breaks off")
        if name in _HOLD_BOXES:
            yield from _private_boxes(data, position + header, end, depth + 1)
        elif name in _PRIVATE_IN_VIDEO:
            yield position, end
        position = end
