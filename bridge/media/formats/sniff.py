"""Detects the type of a file from its bytes, whatever its name and declared type.

This is an allow-list: only files that begin as a known photo, sound, video or PDF does are
accepted, so SVG, HTML, scripts and programs never are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from bridge.errors import InvalidRequest, UnsupportedMediaType

#: Number of bytes at a file's start that :func:`identify` reads, or after its ID3 tag.
HEAD = 4096

_ID3_HEADER = 10
#: How many tags in a row are read. Programs write one, or add their own to another's.
_MOST_TAGS = 16

Family = Literal["image", "audio", "video", "document"]


class Kind(Struct, frozen=True):
    """An accepted file type: its media type and the extension for stored files."""

    type: str
    extension: str

    @property
    def family(self) -> Family:
        """What a file is, in general: posts' attachments choose its property by it."""
        match self.type.partition("/")[0]:
            case "image":
                return "image"
            case "audio":
                return "audio"
            case "video":
                return "video"
            case _:
                return "document"


JPEG = Kind("image/jpeg", "jpg")
PNG = Kind("image/png", "png")
GIF = Kind("image/gif", "gif")
WEBP = Kind("image/webp", "webp")
AVIF = Kind("image/avif", "avif")
MP3 = Kind("audio/mpeg", "mp3")
M4A = Kind("audio/mp4", "m4a")
OGG = Kind("audio/ogg", "ogg")
WAV = Kind("audio/wav", "wav")
FLAC = Kind("audio/flac", "flac")
WEBM_AUDIO = Kind("audio/webm", "weba")
WEBM = Kind("video/webm", "webm")
MP4 = Kind("video/mp4", "mp4")
MOV = Kind("video/quicktime", "mov")
OGV = Kind("video/ogg", "ogv")
PDF = Kind("application/pdf", "pdf")

#: All accepted types, by extension.
KINDS = {
    kind.extension: kind
    for kinds in (
        (JPEG, PNG, GIF, WEBP, AVIF),
        (MP3, M4A, OGG, WAV, FLAC, WEBM_AUDIO),
        (MP4, MOV, WEBM, OGV),
        (PDF,),
    )
    for kind in kinds
}

_ACCEPTED = (
    "Accepted are JPEG, PNG, GIF, WebP and AVIF; MP3, M4A, Ogg, WAV and FLAC; MP4, WebM, MOV; PDF"
)

#: How a FLAC begins.
FLAC_MARK = b"fLaC"

#: ISO base media files (ISO/IEC 14496-12) declare their type in a four-letter brand.
_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"F4A "})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_OLD_QUICKTIME = re.compile(rb".{4}(moov|mdat|wide|free|skip|pnot)", re.DOTALL)

#: A frame header of MPEG audio (ISO/IEC 11172-3, 2.4.1.3): layer III, valid bit rate and sample
#: rate.
_MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]")


def _iso_media(head: bytes) -> Kind | None:
    """The type of an ISO base media file by its brands, or ``None``."""
    size = int.from_bytes(head[:4], "big")
    major, others = head[8:12], head[16:size]
    brands = {major, *(others[i : i + 4] for i in range(0, len(others), 4))}
    if brands & {b"avif", b"avis"}:
        return AVIF
    if brands & _HEIF_BRANDS:
        return None
    if major == b"qt  ":
        return MOV
    return M4A if major in _AUDIO_BRANDS else MP4


def _ogg(head: bytes) -> Kind:
    return OGV if b"theora" in head[:256] else OGG


def _matroska(head: bytes) -> Kind | None:
    """WebM is Matroska with the DocType ``webm`` (RFC 9559 11.1)."""
    if b"webm" not in head[:64]:
        return None
    has_picture = any(codec in head for codec in (b"V_VP8", b"V_VP9", b"V_AV1"))
    has_sound = any(codec in head for codec in (b"A_OPUS", b"A_VORBIS"))
    return WEBM_AUDIO if has_sound and not has_picture else WEBM


def _riff(head: bytes) -> Kind | None:
    return {b"WEBP": WEBP, b"WAVE": WAV}.get(head[8:12])


_SIGNATURES: tuple[tuple[bytes, int, Kind | Callable[[bytes], Kind | None]], ...] = (
    (b"\xff\xd8\xff", 0, JPEG),
    (b"\x89PNG\r\n\x1a\n", 0, PNG),
    (b"GIF87a", 0, GIF),
    (b"GIF89a", 0, GIF),
    (b"RIFF", 0, _riff),
    (b"ftyp", 4, _iso_media),
    (b"ID3", 0, MP3),
    (b"OggS", 0, _ogg),
    (b"\x1a\x45\xdf\xa3", 0, _matroska),
    (b"%PDF-", 0, PDF),
)


def after_id3(data: bytes) -> int:
    """Where the ID3v2 tags end that a file begins with (ID3v2.4 3.1, 3.4), or the first 16 of
    them: the bridge's event loop waits for this, and a file can have millions.
    """
    start = 0
    for _ in range(_MOST_TAGS):
        if not data.startswith(b"ID3", start) or start + _ID3_HEADER > len(data):
            break
        size = 0
        for byte in data[start + 6 : start + 10]:
            size = size << 7 | byte & 0x7F
        footer = _ID3_HEADER if data[start + 5] & 0x10 else 0
        start = min(start + _ID3_HEADER + size + footer, len(data))
    return start


def identify(data: bytes) -> Kind | None:
    """The type of a file from its first :data:`HEAD` bytes; ``None`` where it is not accepted."""
    head = data[:HEAD]
    # Programs for MP3 begin a FLAC with their tag, too.
    if data.startswith(FLAC_MARK, after_id3(data)):
        return FLAC
    for magic, offset, kind in _SIGNATURES:
        if head.startswith(magic, offset):
            return kind if isinstance(kind, Kind) else kind(head)
    if _MP3_FRAME.match(head):
        return MP3
    return MOV if _OLD_QUICKTIME.match(head) else None


def sniff(data: bytes) -> Kind:
    """The type of an upload.

    Raises :class:`InvalidRequest` for an empty file, and :class:`UnsupportedMediaType`, which names
    the apparent type, for one that is not accepted.
    """
    if not data:
        raise InvalidRequest("The uploaded file is empty. Choose the file again and send it.")
    kind = identify(data)
    if kind is None:
        raise UnsupportedMediaType(f"{_seems(data)} is not accepted here. {_ACCEPTED}.")
    return kind


#: Common types that are not accepted, by their first bytes. The first match counts.
_REFUSED = (
    (rb"....ftyp", "A HEIC photo, which most browsers cannot display,"),
    (rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\x00\x00\x00\x0cJXL \r\n\x87\n|\xff\x0a", "JPEG XL, which most browsers cannot display,"),
    (rb"II[*+]\x00|MM\x00[*+]|IIRO|IIRS|IIU\x00", "A TIFF or a camera's raw photo"),
    (rb"FUJIFILMCCD-RAW|\x00MRM", "A camera's raw photo"),
    (rb"BM....\x00\x00\x00\x00", "A BMP picture"),
    (rb"8BPS", "A Photoshop file"),
    (rb"\x00\x00[\x01\x02]\x00[\x01-\xff]\x00", "A Windows icon or cursor"),
    (rb"#!AMR", "An AMR voice note"),
    (rb"#!SILK|\x02#!SILK", "A SILK voice note"),
    (rb"FORM....AIF[FC]", "AIFF sound"),
    (rb"caff", "CAF sound"),
    (rb"\.snd", "AU sound"),
    (rb"MThd", "A MIDI file"),
    (rb"\xff[\xf0\xf1\xf8\xf9]|ADIF", "AAC sound without its container"),
    (rb"MAC |wvpk|MPCK|MP\+|DSD |TTA1", "This audio format"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA, WMV)"),
    (rb"RIFF....AVI ", "An AVI video"),
    (rb"FLV\x01", "A Flash video"),
    (rb"[FCZ]WS", "A Flash program"),
    (rb"\x1a\x45\xdf\xa3", "A Matroska (MKV) video"),
    (rb"\x00\x00\x01[\xba\xb3]|\x47.{187}\x47", "An MPEG video"),
    (rb"\.RMF|\.ra\xfd", "RealMedia"),
    (rb"\{\\rtf", "An RTF document"),
    (rb"\xd0\xcf\x11\xe0", "A Microsoft Office document"),
    (rb"%!PS", "PostScript"),
    (
        rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|word/|xl/|ppt/|mimetypeapplication/"
        rb"(?:vnd\.oasis|epub))",
        "An office document or an e-book",
    ),
    (
        rb"PK\x03\x04|PK\x05\x06|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd",
        "An archive (ZIP or the like)",
    ),
    (rb"\s*(?:\xef\xbb\xbf)?\s*<", "SVG, HTML or other XML, which can carry scripts,"),
    (rb"#!|MZ|\x7fELF|[\xfe\xcf]\xed\xfa|\xce\xfa\xed\xfe|\xca\xfe\xba\xbe", "A program"),
)


def _seems(data: bytes) -> str:
    """The apparent type of a rejected file, for the error message."""
    head = data[:HEAD]
    for beginning, words in _REFUSED:
        if re.match(beginning, head, re.DOTALL):
            return words
    return "This type of file"
