"""Removes private metadata from audio, and from video in the same containers.

Titles, names, pictures, times and programs are removed. Each function takes and returns a whole
file, unchanged where there is nothing to remove, and raises ``ValueError`` for a damaged one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bridge.media.formats.sniff import FLAC, MP3, OGG, OGV, WAV, WEBM, WEBM_AUDIO

_ID3_HEADER = 10
#: What a file shorter than this has is only the head that tells its type.
_HEAD = 64
#: An empty ID3v2 tag.
_EMPTY_ID3 = b"ID3\4\0\0\0\0\0\0"

#: How files of other formats begin: FLAC, Ogg, WAV, Matroska and WebM.
_OTHERS = (b"fLaC", b"OggS", b"RIFF", b"\x1a\x45\xdf\xa3")

_STREAMINFO, _SEEKTABLE = 0, 3
_LAST = 0x80

_OGG_HEADER = 27
#: How the first packet of a stream begins, and how its comment packet does.
_OGG_COMMENTS = {
    b"\1vorbis": b"\3vorbis",
    b"OpusHead": b"OpusTags",
    b"\x80theora": b"\x81theora",
    b"\x7fFLAC": b"\4",
    b"Speex   ": b"",
}

_VOID = 0xEC
_SEGMENT, _CLUSTER, _INFO, _TRACKS, _ENTRY = 0x18538067, 0x1F43B675, 0x1549A966, 0x1654AE6B, 0xAE
#: The child elements that are kept, by parent (RFC 9559 5.1). Of a cluster with unknown size the
#: blocks are read as the segment's own.
_ELEMENTS: dict[int, frozenset[int]] = {
    0: frozenset({0x1A45DFA3, _SEGMENT}),
    _SEGMENT: frozenset({0x114D9B74, _INFO, _TRACKS, 0x1C53BB6B, _CLUSTER})
    | {0xE7, 0xA3, 0xA0, 0xA7, 0xAB},
    _CLUSTER: frozenset({0xE7, 0xA3, 0xA0, 0xA7, 0xAB}),
    _INFO: frozenset({0x2AD7B1, 0x4489}),
    _TRACKS: frozenset({_ENTRY}),
    _ENTRY: frozenset(
        {0xD7, 0x73C5, 0x83, 0xB9, 0x88, 0x55AA, 0x55AB, 0x55AC, 0x55AD, 0x55AE, 0x55AF, 0x9C}
        | {0x6DE7, 0x6DF8, 0x23E383, 0x234E7A, 0x55EE, 0x41E4, 0x22B59C, 0x22B59D, 0x86, 0x63A2}
        | {0xAA, 0x56AA, 0x56BB, 0xE0, 0xE1, 0xE2, 0x6D80}
    ),
}
#: Required elements that name the writing program: their content is emptied.
_EMPTIED = frozenset({0x4D80, 0x5741})


def _only_head(data: bytes) -> bytes:
    """A file with nothing to play. Raises ``ValueError`` if it is longer than a head, since what
    follows cannot be read, and may be private."""
    if len(data) > _HEAD:
        raise ValueError("the file is damaged")
    return data


def strip_mp3(data: bytes) -> bytes:
    """An MP3 without ID3, APE and Lyrics3 tags at its start and end."""
    start, end = 0, len(data)
    while data.startswith(b"ID3", start) and start + _ID3_HEADER <= end:
        size = 0
        for byte in data[start + 6 : start + 10]:
            size = size << 7 | byte & 0x7F
        footer = _ID3_HEADER if data[start + 5] & 0x10 else 0
        start = min(start + _ID3_HEADER + size + footer, end)
    if data.startswith(_OTHERS, start) or data.startswith(b"ftyp", start + 4):
        raise ValueError("what follows the tag is in another format, with tags of its own")
    found = True
    while found:
        rest = end
        if end - start >= 128 and data.startswith(b"TAG", end - 128):
            end -= 128
        elif end - start >= 227 and data.startswith(b"TAG+", end - 227):
            end -= 227
        elif data.startswith(b"APETAGEX", end - 32) and end - start >= 32:
            size = int.from_bytes(data[end - 20 : end - 16], "little")
            header = 32 if data[end - 9] & 0x80 else 0
            end = max(start, end - size - header)
        elif data.startswith(b"LYRICS200", end - 9) and data[end - 15 : end - 9].isdigit():
            end = max(start, end - 15 - int(data[end - 15 : end - 9]))
        elif data.startswith(b"3DI", end - _ID3_HEADER) and end - start >= _ID3_HEADER:
            size = 0
            for byte in data[end - 4 : end]:
                size = size << 7 | byte & 0x7F
            end = max(start, end - size - 2 * _ID3_HEADER)
        found = end < rest
    return (_EMPTY_ID3 if start else b"") + data[start:end]


def strip_wav(data: bytes) -> bytes:
    """A WAV with only its format and samples; a truncated one is accepted."""
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    needed = {b"fmt ", b"fact", b"data"}
    chunks = [each for each in riff_chunks(data, 12, end) if each[0] in needed]
    return riff_chunk(b"RIFF", b"WAVE" + b"".join(riff_chunk(*each) for each in chunks))


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
    """A FLAC with only its stream info and seek table (RFC 9639 8)."""
    blocks = list[bytes]()
    position, is_private = 4, False
    while position + 4 <= len(data):
        head = data[position]
        end = position + 4 + int.from_bytes(data[position + 1 : position + 4], "big")
        if head & ~_LAST in {_STREAMINFO, _SEEKTABLE}:
            blocks.append(bytes([head & ~_LAST]) + data[position + 1 : end])
        else:
            is_private = True
        position = end
        if head & _LAST:
            break
    frames = data[position:]
    if frames[-128:].startswith(b"TAG"):
        frames = frames[:-128]
    if not blocks:
        return _only_head(data)
    if not frames and not is_private:
        return data
    blocks[-1] = bytes([blocks[-1][0] | _LAST]) + blocks[-1][1:]
    return b"".join([data[:4], *blocks, frames])


def strip_ogg(data: bytes) -> bytes:
    """An Ogg whose streams have empty comments, zero-filled so that no page moves."""
    whole = bytearray(data)
    packets = dict[bytes, int]()
    comments = dict[bytes, bytes | None]()
    end = 0
    for start, body, end in _ogg_pages(data):
        serial = data[start + 14 : start + 18]
        position, changed = body, False
        for size, last in _ogg_packets(data[start + _OGG_HEADER : body]):
            number = packets.get(serial, 0)
            piece = data[position : position + size]
            if number == 0 and serial not in comments:
                comments[serial] = next(
                    (tags for head, tags in _OGG_COMMENTS.items() if piece.startswith(head)), None
                )
            tags = comments.get(serial)
            if number == 1 and tags is not None:
                begins = whole[position : position + len(tags)] == tags
                told = position + (len(tags) if begins else 0)
                changed = changed or any(whole[told : position + size])
                whole[told : position + size] = bytes(position + size - told)
                if begins and tags == b"\3vorbis" and size >= len(tags) + 9:
                    whole[told + 8] = 1  # "framing_bit" (Vorbis I 5.2.1)
                elif begins and tags == b"\4" and size >= 4:
                    whole[told : told + 3] = data[told : told + 3]
            position += size
            if last:
                packets[serial] = number + 1
        if changed:
            whole[start + 22 : start + 26] = bytes(4)
            whole[start + 22 : start + 26] = _ogg_crc(whole[start:end]).to_bytes(4, "little")
    # Drops what follows the last page.
    return bytes(whole[:end]) if packets else _only_head(data)


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


def strip_webm(data: bytes) -> bytes:
    """A WebM in which every element that is not needed for playing is made void (RFC 9559)."""
    whole = bytearray(data)
    end = _void_elements(whole, 0, 0, len(data))
    return bytes(whole[:end]) if _SEGMENT.to_bytes(4, "big") in data else _only_head(data)


def _void_elements(data: bytearray, parent: int, position: int, stop: int) -> int:
    """Void elements in a range; returns where the last one ends."""
    while position < stop:
        name, after = _vint(data, position, stop, marked=True)
        size, inside = _vint(data, after, stop, marked=False)
        if not name or inside is None or after is None:
            break
        unknown = size == (1 << 7 * (inside - after)) - 1
        end = stop if unknown else inside + (size or 0)
        if end > stop:
            # A truncated upload plays up to its end.
            if parent not in {0, _SEGMENT}:
                break
            end = stop
        if name in _ELEMENTS[parent]:
            if unknown and name == _CLUSTER:
                end = inside
            elif name in _ELEMENTS:
                read = _void_elements(data, name, inside, end)
                if unknown:
                    end = read
                else:
                    data[read:end] = bytes(end - read)
        elif name in _EMPTIED and parent == _INFO:
            data[inside:end] = bytes(end - inside)
        else:
            _make_void(data, position, end)
        position = end
    return position


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


STRIP_SOUND: dict[str, Callable[[bytes], bytes]] = {
    MP3.type: strip_mp3,
    WAV.type: strip_wav,
    FLAC.type: strip_flac,
    OGG.type: strip_ogg,
    OGV.type: strip_ogg,
    WEBM.type: strip_webm,
    WEBM_AUDIO.type: strip_webm,
}
