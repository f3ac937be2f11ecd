"""Removes private metadata from audio, and from video in the same containers.

Titles, names, pictures, times and programs are removed. Each function takes and returns a whole
file, unchanged where there is nothing to remove, and raises ``ValueError`` for a damaged one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from bridge.media.formats.sniff import FLAC, FLAC_MARK, MP3, OGG, OGV, WAV, after_id3

#: What a file shorter than this has is only the head that tells its type.
_HEAD = 64
#: An empty ID3v2 tag.
_EMPTY_ID3 = b"ID3\4\0\0\0\0\0\0"
#: The header of a frame of layer III; sample rates of MPEG 1, which are halved in MPEG 2 and again
#: in 2.5; and bit rates (ISO/IEC 11172-3, 2.4.2.3; ISO/IEC 13818-3, 2.4.2.3).
_MP3_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef].", re.DOTALL)
_HERTZ = (44100, 48000, 32000)
_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_FEWER_KILOBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
#: How tags begin that may follow the frames.
_MP3_TAG = re.compile(rb"ID3|TAG|APETAGEX|LYRICSBEGIN|3DI")

#: How files of other formats begin: Ogg, WAV, Matroska and WebM.
_OTHERS = (b"OggS", b"RIFF", b"\x1a\x45\xdf\xa3")

_STREAMINFO, _PADDING, _SEEKTABLE = 0, 1, 3
_STREAMINFO_SIZE = 34
_LAST = 0x80

_OGG_HEADER = 27
_OGG_BEGINS = 2
VORBIS_COMMENTS, _FLAC_COMMENTS = b"\3vorbis", b"\4"
#: How the first packet of a stream begins, and how its comment packet does.
_OGG_COMMENTS = {
    b"\1vorbis": VORBIS_COMMENTS,
    b"OpusHead": b"OpusTags",
    b"\x80theora": b"\x81theora",
    b"\x7fFLAC": _FLAC_COMMENTS,
    b"OVP80\1": b"OVP80\2 ",
    **dict.fromkeys((b"Speex   ", b"CELT    ", b"PCM     "), b""),
}
#: Other pictures and sound, without comments.
_OGG_OTHERS = (b"BBCD\0",)


def only_head(data: bytes) -> bytes:
    """A file with nothing to play. Raises ``ValueError`` if it is longer than a head, since what
    follows cannot be read, and may be private."""
    if len(data) > _HEAD:
        raise ValueError("the file is damaged")
    return data


def strip_mp3(data: bytes) -> bytes:
    """The frames of an MP3, without ID3, APE and Lyrics3 tags, wherever these are.

    Raises ``ValueError`` if there are none.
    """
    start = after_id3(data)
    if data.startswith(_OTHERS, start) or data.startswith(b"ftyp", start + 4):
        raise ValueError("what follows the tag is in another format, with tags of its own")
    frames = b"".join(data[first:last] for first, last in _mp3_runs(data, start))
    if not frames:
        return only_head(data)
    return (_EMPTY_ID3 if start else b"") + frames


def _mp3_runs(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """The ranges of frames that follow one another (ISO/IEC 11172-3, 2.4.1). Between them are tags,
    also where files have been joined.
    """
    position = start
    while match := _MP3_SYNC.search(data, position):
        first = newest = last = match.start()
        while size := _mp3_frame(data, last):
            newest, last = last, last + size
        # A single one within other data may be none.
        is_one = first == start or newest > first or last == len(data) or _MP3_TAG.match(data, last)
        # Where a recording has broken off, a tag begins within its last frame.
        tag = _MP3_TAG.search(data, newest, last)
        last = tag.start() if tag else min(last, len(data))
        if last > first and is_one:
            yield first, last
        position = max(last, first + 1)


def _mp3_frame(data: bytes, position: int) -> int:
    """The size of the layer III frame at ``position``; 0 where there is none."""
    head = _MP3_SYNC.match(data, position)
    if head is None:
        return 0
    _, kind, rates, _ = head[0]
    is_first = kind & 0x08 != 0
    rate, bits = rates >> 2 & 3, rates >> 4
    if rate == 3 or not 0 < bits < 15:
        return 0
    hertz = _HERTZ[rate] >> (0 if is_first else 1 if kind & 0x10 else 2)
    kilobits = (_KILOBITS if is_first else _FEWER_KILOBITS)[bits - 1]
    return (144 if is_first else 72) * kilobits * 1000 // hertz + (rates >> 1 & 1)


def strip_wav(data: bytes) -> bytes:
    """A WAV with only its format and samples; a truncated one is accepted."""
    size = int.from_bytes(data[4:8], "little")
    end = min(8 + size, len(data)) if size else len(data)
    needed = {b"fmt ", b"fact", b"data"}
    if samples := _samples_without_size(data, 8 + size):
        chunks = [*riff_chunks(data, 12, samples - 8), (b"data", data[samples:])]
    else:
        chunks = list(riff_chunks(data, 12, end))
    kept = b"".join(riff_chunk(*each) for each in chunks if each[0] in needed)
    return riff_chunk(b"RIFF", b"WAVE" + kept)


def _samples_without_size(data: bytes, end: int) -> int | None:
    """Where the samples of a WAV begin that ends with them, and whose recorder was to fill in the
    sizes at the end, but broke off before; ``None`` for others.
    """
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data.startswith(b"data", position):
            return position + 8 if size == 0 and end <= position + 8 else None
        position += 8 + size + size % 2
    return None


def riff_chunks(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of RIFF chunks; the last one may be truncated."""
    while position + 8 <= end:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        inside = position + 8
        yield data[position : position + 4], data[inside : min(inside + size, end)]
        position = inside + size + size % 2


def riff_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk as bytes, padded."""
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def strip_flac(data: bytes) -> bytes:
    """A FLAC with only its stream info and seek table (RFC 9639 8), and no ID3 tag before them."""
    data = data[after_id3(data) :]
    blocks = list[bytes]()
    position, is_private = 4, False
    while position + 4 <= len(data):
        head = data[position]
        end = position + 4 + int.from_bytes(data[position + 1 : position + 4], "big")
        is_odd = head & ~_LAST == _STREAMINFO and end - position != 4 + _STREAMINFO_SIZE
        if head & ~_LAST in {_STREAMINFO, _SEEKTABLE} and not is_odd:
            blocks.append(bytes([head & ~_LAST]) + data[position + 1 : end])
        else:
            is_private = True
        position = end
        if head & _LAST:
            break
    frames = data[position : _before_tags(data, position)]
    if not blocks:
        return only_head(data)
    if position >= len(data) and not is_private:
        return data
    blocks[-1] = bytes([blocks[-1][0] | _LAST]) + blocks[-1][1:]
    return b"".join([FLAC_MARK, *blocks, frames])


def _before_tags(data: bytes, start: int) -> int:
    """Where the tags of other formats begin that some programs write at the end: ID3v1, APEv2."""
    end = len(data)
    while True:
        if data.startswith(b"TAG", max(start, end - 128), end):
            end = max(start, end - 128)
        elif data.startswith(b"APETAGEX", max(start, end - 32), end):
            # The size counts this footer, but not the header.
            size = int.from_bytes(data[end - 20 : end - 16], "little")
            has_header = data[end - 9] & 0x80 != 0
            end = max(start, end - max(32, size) - (32 if has_header else 0))
        else:
            return end


def strip_ogg(data: bytes) -> bytes:
    """An Ogg whose streams have empty comments, zero-filled so that no page moves.

    Streams that are neither picture nor sound, such as captions and descriptions, are zeroed.
    """
    whole = bytearray(data)
    streams = dict[bytes, _OggStream]()
    end = 0
    for start, body, end in _ogg_pages(data):
        serial = data[start + 14 : start + 18]
        # Files that are joined may have the same number again.
        if body < end and (serial not in streams or data[start + 5] & _OGG_BEGINS):
            streams[serial] = _OggStream()
        if stream := streams.get(serial):
            position = body
            for size, last in _ogg_packets(data[start + _OGG_HEADER : body]):
                stream.clean(whole, position, position + size, last=last)
                position += size
        if whole[body:end] != data[body:end]:
            whole[start + 22 : start + 26] = bytes(4)
            whole[start + 22 : start + 26] = _ogg_crc(whole[start:end]).to_bytes(4, "little")
    # Drops what follows the last page.
    return bytes(whole[:end]) if streams else only_head(data)


class _OggStream:
    """One stream of an Ogg, whose packets are cleaned one after the other."""

    def __init__(self) -> None:
        self._number = 0
        self._begins = True
        self._comments: bytes | None = None
        #: Whether this packet, and perhaps each further one, has metadata.
        self._hidden = self._unknown = False

    def clean(self, data: bytearray, start: int, end: int, *, last: bool) -> None:
        """Clean a packet, or a part of one; ``last`` ends it."""
        if self._begins:
            start = self._begin(data, start, end)
        if self._hidden:
            data[start:end] = bytes(end - start)
            if self._begins and self._comments == VORBIS_COMMENTS and end - start >= 9:
                data[start + 8] = 1  # "framing_bit" (Vorbis I 5.2.1)
        self._begins = last
        if last:
            self._number += 1

    def _begin(self, data: bytearray, start: int, end: int) -> int:
        """Decide about a packet; returns where what is to be hidden begins."""
        if self._number == 0:
            named = (tags for head, tags in _OGG_COMMENTS.items() if data.startswith(head, start))
            self._comments = next(named, None)
            self._unknown = self._comments is None and not data.startswith(_OGG_OTHERS, start)
        self._hidden = self._unknown
        if self._comments is None:
            return start
        if self._comments == _FLAC_COMMENTS:
            # Each of its blocks of metadata is a packet (RFC 9639 10.1), and no frame begins so.
            self._hidden = self._number > 0 and data[start:end][:1] != b"\xff"
            if self._hidden and end - start >= 4:
                if self._number > 1:
                    data[start] = data[start] & _LAST | _PADDING
                return start + 4
        elif self._number == 1:
            self._hidden = True
            if data.startswith(self._comments, start):
                return start + len(self._comments)
        return start


def _ogg_pages(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The offsets of each page, its body and the next page (RFC 3533 6)."""
    start = 0
    while data.startswith(b"OggS", start) and start + _OGG_HEADER <= len(data):
        body = start + _OGG_HEADER + data[start + 26]
        end = body + sum(data[start + _OGG_HEADER : body])
        if end > len(data):
            return
        yield start, body, end
        start = end


def _ogg_packets(lacing: bytes) -> Iterator[tuple[int, bool]]:
    """The sizes of the packets or parts in a page, and whether each packet ends there."""
    size = 0
    for value in lacing:
        size += value
        if value < 255:
            yield size, True
            size = 0
    if size:
        yield size, False


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        register = value << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
        table.append(register & 0xFFFFFFFF)
    return tuple(table)


_CRC = _crc_table()


def _ogg_crc(page: bytes | bytearray) -> int:
    crc = 0
    for byte in page:
        crc = (crc << 8) & 0xFFFFFFFF ^ _CRC[crc >> 24 ^ byte]
    return crc


STRIP_SOUND: dict[str, Callable[[bytes], bytes]] = {
    MP3.type: strip_mp3,
    WAV.type: strip_wav,
    FLAC.type: strip_flac,
    OGG.type: strip_ogg,
    OGV.type: strip_ogg,
}
