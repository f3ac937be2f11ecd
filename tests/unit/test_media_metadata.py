"""A stored file contains only what it displays or plays: no person, place, time or program."""

from __future__ import annotations

import io
import re
import struct
import time
import zlib
from typing import Any

import pytest
from media_samples import SECRETS, box, encoded, exif, jpeg, moving, picture, shown
from PIL import Image, ImageCms, ImageSequence
from soak_kit import rounds

from bridge.media.formats.colour_profile import clean_profile
from bridge.media.formats.images import prepare
from bridge.media.formats.metadata import STRIP
from bridge.media.formats.picture import PhotoRules
from bridge.media.formats.samples import chunk_ranges, fragment_ranges, joined
from bridge.media.formats.sniff import FLAC, MP3, sniff
from bridge.media.formats.user_data import NalFormat, blank_user_data

SECRET = SECRETS[1]
PROFILE = clean_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def cleaned(data: bytes) -> bytes:
    kind = sniff(data)
    if kind.family == "image":
        return prepare(data, kind, PhotoRules()).data
    return STRIP[kind.type](data)


def pixels(data: bytes) -> list[bytes]:
    image = Image.open(io.BytesIO(data))
    return [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(image)]


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk."""
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def assert_same_picture(told: bytes, plain: bytes) -> None:
    clean = cleaned(told)
    assert SECRET in told
    assert SECRET not in clean
    assert pixels(clean) == pixels(plain)
    before, after = Image.open(io.BytesIO(plain)), Image.open(io.BytesIO(clean))
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert after.info.get("loop") == before.info.get("loop")
    assert after.info.get("duration") == before.info.get("duration")
    assert cleaned(clean) == clean


@pytest.mark.parametrize("plain", [encoded(picture(), "PNG", icc_profile=PROFILE), moving("PNG")])
@pytest.mark.parametrize(
    "name", [b"caBX", b"tEXt", b"iTXt", b"tIME", b"prVt", b"iDOT", b"sPLT", b"meTa"]
)
def test_a_png_keeps_what_shows(plain: bytes, name: bytes) -> None:
    end = plain.index(b"IDAT") - 4
    assert_same_picture(plain[:end] + chunk(name, b"x\0" + SECRET) + plain[end:], plain)
    last = plain.index(b"IEND") - 4
    assert_same_picture(plain[:last] + chunk(name, SECRET) + plain[last:] + SECRET, plain)
    if name == b"tEXt":
        end_chunk = chunk(b"IEND", SECRET)
        assert cleaned(plain[:last] + end_chunk) == cleaned(plain)
        for sized in (b"sRGB", b"gAMA", b"pHYs"):
            assert cleaned(plain[:end] + chunk(sized, SECRET) + plain[end:]) == cleaned(plain)
    packed = chunk(b"zTXt", b"x\0\0" + zlib.compress(SECRET))
    assert cleaned(plain[:end] + packed + plain[end:]) == cleaned(plain)


@pytest.mark.parametrize("plain", [encoded(picture(), "WEBP", icc_profile=PROFILE), moving("WEBP")])
@pytest.mark.parametrize("name", [b"EXIF", b"XMP ", b"C2PA", b"JUNK", b"priv"])
def test_a_webp_keeps_what_shows(plain: bytes, name: bytes) -> None:
    content = plain[12:] + riff(name, SECRET)
    assert_same_picture(riff(b"RIFF", b"WEBP" + content) + SECRET, plain)


def test_nor_does_a_frame_of_a_webp_tell_anything() -> None:
    plain = moving("WEBP")
    place = plain.index(b"ANMF")
    (size,) = struct.unpack_from("<I", plain, place + 4)
    frame = plain[place + 8 : place + 8 + size] + riff(b"priv", SECRET)
    rest = plain[place + 8 + size :]
    told = riff(b"RIFF", b"WEBP" + plain[12:place] + riff(b"ANMF", frame) + rest)
    assert_same_picture(told, plain)


@pytest.mark.parametrize("plain", [encoded(picture(), "GIF"), moving("GIF")])
@pytest.mark.parametrize(
    "extension",
    [
        b"\x21\xfe\x0a" + SECRET + b"\0",
        b"\x21\xff\x0bXMP DataXMP\x0a" + SECRET + b"\0",
        b"\x21\xff\x0bC2PA_GIF\0\0\0\x0a" + SECRET + b"\0",
        b"\x21\xf9\4\0\0\0\0\0\x21\x01\x0c" + bytes(12) + b"\x0a" + SECRET + b"\0",
        b"\x21\x77\x0a" + SECRET + b"\0",
    ],
)
def test_a_gif_keeps_what_shows(plain: bytes, extension: bytes) -> None:
    assert_same_picture(plain[:-1] + extension + b"\x3b" + SECRET, plain)
    flags = plain[10]
    begin = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    assert_same_picture(plain[:begin] + extension + plain[begin:], plain)


@pytest.mark.parametrize("plain", [encoded(picture(), "AVIF", icc_profile=PROFILE), moving("AVIF")])
def test_an_avif_keeps_what_shows(plain: bytes) -> None:
    for name in (b"uuid", b"free", b"skip", b"jumb", b"udta", b"prv "):
        assert_same_picture(plain + box(name, bytes(16), SECRET), plain)
    assert_same_picture(plain + SECRET * 3, plain)


def test_boxes_of_the_same_name_are_all_cleaned_in_an_avif() -> None:
    plain = encoded(picture(), "AVIF")
    private = 2 * box(b"uuid", bytes(16), SECRET)
    meta, iloc = plain.index(b"meta") - 4, plain.index(b"iloc")
    end = meta + int.from_bytes(plain[meta : meta + 4], "big")
    told = bytearray(plain)
    # The size of the box, and the place of its one item, which moves.
    for place in (meta, iloc + 18):
        moved = int.from_bytes(told[place : place + 4], "big") + len(private)
        told[place : place + 4] = moved.to_bytes(4, "big")
    told[end:end] = private
    clean = cleaned(bytes(told))
    assert SECRET not in clean
    assert pixels(clean) == pixels(plain)


@pytest.mark.parametrize("frames", [1, 3])
def test_exif_and_xmp_leave_an_avif_without_its_being_encoded_again(frames: int) -> None:
    options: dict[str, Any] = {}
    if frames > 1:
        options = {"save_all": True, "append_images": [picture().rotate(90)] * (frames - 1)}
    plain = encoded(picture(), "AVIF", **options)
    told = encoded(picture(), "AVIF", exif=exif(), xmp=b"<x>GPS-SECRET</x>", **options)
    clean = cleaned(told)
    assert not any(secret in clean for secret in SECRETS)
    assert len(clean) == len(told)
    assert pixels(clean) == pixels(plain)
    assert not Image.open(io.BytesIO(clean)).info.keys() & {"exif", "xmp"}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of what only seems to be an index
@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE, 0xEF, 0xFE, 0xF0])
def test_a_jpeg_keeps_what_shows(marker: int) -> None:
    plain = jpeg(icc_profile=PROFILE)
    for content in (SECRET, b"JFXX\0" + SECRET, b"Adobe" + SECRET, b"MPF\0" + SECRET):
        segment = bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content
        assert_same_picture(plain[:2] + segment + plain[2:] + SECRET, plain)


def test_a_jpeg_has_nothing_between_its_segments() -> None:
    plain = jpeg()
    for place in (plain.index(b"\xff\xdb"), plain.index(b"\xff\xda")):
        assert cleaned(plain[:place] + SECRET + plain[place:]) == plain


def private_profile() -> bytes:
    """The profile of a screen, with the tag in which macOS has its maker and serial number."""
    tags = int.from_bytes(PROFILE[128:132], "big")
    first, added = 132 + 12 * tags, b"mmod" + bytes(4) + SECRET
    table = bytearray()
    for place in range(132, first, 12):
        name, start, size = struct.unpack_from(">4sII", PROFILE, place)
        table += struct.pack(">4sII", name, start + 12, size)
    table += struct.pack(">4sII", b"mmod", len(PROFILE) + 12, len(added))
    head = PROFILE[4:48] + SECRET[:8] + PROFILE[56:128]
    size, count = len(PROFILE) + 12 + len(added), tags + 1
    return b"".join(
        (struct.pack(">I", size), head, struct.pack(">I", count), table, PROFILE[first:], added)
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("side", [0, 30])
def test_a_colour_profile_keeps_its_colours(form: str, side: int) -> None:
    private = private_profile()
    told = encoded(picture(), form, icc_profile=private)
    data = prepare(told, sniff(told), PhotoRules(max_side=side)).data
    clean = Image.open(io.BytesIO(data)).info["icc_profile"]
    assert (SECRET in private, SECRET[:8] in clean) == (True, False)
    assert len(clean) == len(private)
    colours = ImageCms.ImageCmsProfile(io.BytesIO(clean)).profile
    expected = ImageCms.ImageCmsProfile(io.BytesIO(PROFILE)).profile
    assert colours.red_primary == expected.red_primary
    assert colours.red_colorant == expected.red_colorant
    assert not colours.profile_description
    assert cleaned(data) == data


def test_a_colour_profile_that_is_cut_off_does_not_become_longer() -> None:
    """What follows it in the file would be elsewhere."""
    private = private_profile()
    sizes = range(len(private))
    assert [len(clean_profile(private[:size])) for size in sizes] == list(sizes)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_colour_profile_that_is_none_has_nothing_left() -> None:
    for form in ("JPEG", "WEBP", "AVIF"):
        told = encoded(picture(), form, icc_profile=SECRET * 20)
        assert SECRET not in cleaned(told)
    plain = encoded(picture(), "PNG")
    for content in (b"x\0\0" + SECRET, SECRET + b"\0\0" + zlib.compress(PROFILE)):
        assert SECRET not in cleaned(plain[:33] + chunk(b"iCCP", content) + plain[33:])


def test_a_gif_keeps_the_colours_of_its_profile() -> None:
    private, plain = private_profile(), encoded(picture(), "GIF")
    parts = [private[place : place + 255] for place in range(0, len(private), 255)]
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    clean = cleaned(plain[:-1] + b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0;")
    assert SECRET not in clean
    assert clean.count(b"rTRC") == 1
    begun = time.process_time()
    cleaned(plain[:-1] + b"\x21\xff\x0bICCRGBG1012" + (b"\xff" + bytes(255)) * 40_000 + b"\0;")
    assert time.process_time() - begun < 10, "it took a minute"


def test_a_jpeg_has_no_small_picture_in_its_first_segment() -> None:
    plain = jpeg()
    thumbnail = (SECRET * 2)[:12]
    segment = b"\xff\xe0" + struct.pack(">H", 16 + 12) + plain[6:18] + b"\2\2" + thumbnail
    assert_same_picture(plain[:2] + segment + plain[20:], plain)


WHEN = struct.pack(">II", 0xE1234567, 0xE1234568)


def described(name: bytes) -> bytes:
    """A sample description with a compressor's name."""
    content = bytes(6) + b"\0\1" + bytes(4) + b"appl" + bytes(8) + b"\0\x40\0\x30"
    content += bytes(12) + b"\0\1" + b"\x0aGPS-SECRET".ljust(32, b"\0") + b"\0\x18\xff\xff"
    return box(name, content, box(b"avcC", b"needed"), box(b"uuid", bytes(16), SECRET))


def track(handler: bytes, offset: int, size: int, number: int) -> bytes:
    table = box(
        b"stbl",
        box(b"stsd", bytes(4), b"\0\0\0\1", described(b"avc1")),
        box(b"stsc", bytes(4), struct.pack(">IIII", 1, 1, 2, 1)),
        box(b"stsz", bytes(4), struct.pack(">IIII", 0, 2, size // 2, size - size // 2)),
        box(b"stco", bytes(4), struct.pack(">II", 1, offset)),
        box(b"prv ", SECRET),
    )
    dref = box(b"dref", bytes(4), b"\0\0\0\1", box(b"alis", b"\0\0\0\1", SECRET))
    media = box(
        b"mdia",
        box(b"mdhd", bytes(4), WHEN, bytes(12)),
        box(b"hdlr", bytes(4), b"mhlr", handler, b"appl", bytes(8), b"\x0aGPS-SECRET\0"),
        box(b"minf", box(b"vmhd", bytes(12)), box(b"dinf", dref), table, box(b"udta", SECRET)),
        box(b"udta", SECRET),
    )
    head = box(b"tkhd", bytes(4), WHEN, struct.pack(">I", number), bytes(68))
    return box(b"trak", head, media, box(b"udta", SECRET), box(b"meta", SECRET))


def fragment() -> tuple[bytes, bytes]:
    """Samples of pictures and of places, with the box that says where they are."""

    def part(number: int, offset: int) -> bytes:
        # The base is the start of ``moof``; all samples have the same size.
        head = box(b"tfhd", struct.pack(">III", 0x20010, number, len(SECRET)))
        run = box(b"trun", struct.pack(">IIi", 1, 2, offset))
        return box(b"traf", head, run, box(b"udta", SECRET))

    size = 8 + 16 + 2 * len(part(1, 0))
    parts = part(2, size + 8), part(1, size + 8 + 2 * len(SECRET))
    media = box(b"mdat", SECRET * 2, b"Two pictures of one!", SECRET)
    return box(b"moof", box(b"mfhd", bytes(8)), *parts), media


def film(brand: bytes) -> bytes:
    """A video with metadata boxes in all places that phones, cameras and editors use."""
    start = box(b"ftyp", brand, b"\0\0\2\0", brand) + box(b"free", SECRET) + box(b"wide")
    # Cameras begin the data with their own name, to which no track refers.
    data = box(b"mdat", SECRET, b"picture!", b"GPS-SECRET of a track", SECRET)
    pictures = len(start) + 8 + len(SECRET)
    places = pictures + 8
    return b"".join(
        (
            start,
            data,
            box(
                b"moov",
                box(b"mvhd", bytes(4), WHEN, bytes(88)),
                track(b"vide", pictures, 8, 1),
                track(b"gpmd", places, 21, 2),
                track(b"meta", places, 21, 3),
                box(b"mvex", box(b"trex", bytes(24)), box(b"uuid", SECRET)),
                box(b"udta", box(b"\xa9xyz", SECRET)),
                box(b"meta", SECRET),
                box(b"prv ", SECRET),
            ),
            *fragment(),
            *(
                box(name, bytes(16), SECRET)
                for name in (b"uuid", b"jumb", b"meta", b"emsg", b"prft")
            ),
            SECRET * 2,
        )
    )


@pytest.mark.parametrize("brand", [b"isom", b"qt  ", b"M4A "])
def test_a_film_keeps_what_it_plays(brand: bytes) -> None:
    told = film(brand)
    clean = cleaned(told)
    assert SECRET not in clean
    assert WHEN not in clean
    assert b"appl" not in clean
    assert clean.index(b"picture!") == told.index(b"picture!")
    assert (clean.count(b"trak"), clean.count(b"traf")) == (1, 1)
    for kept in (
        b"avc1",
        b"avcC\0needed"[:4],
        b"needed",
        b"stsz",
        b"trex",
        b"Two pictures of one!",
    ):
        assert kept in clean
    assert cleaned(clean) == clean


def numbers(*given: int) -> bytes:
    return struct.pack(f">{len(given)}I", *given)


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        # Chunks 1 and 2 have two samples, chunk 3 one.
        ({"stsz": numbers(0, 0, 5, 1, 2, 3, 4, 5)}, [(100, 103), (200, 207), (300, 305)]),
        ({"stsz": numbers(0, 7, 5)}, [(100, 114), (200, 214), (300, 307)]),
        ({"stz2": numbers(0, 4, 5) + b"\x12\x34\x50"}, [(100, 103), (200, 207), (300, 305)]),
        ({"stz2": numbers(0, 8, 5) + bytes(range(1, 6))}, [(100, 103), (200, 207), (300, 305)]),
        (
            {"stz2": numbers(0, 16, 5) + struct.pack(">5H", 1, 2, 3, 4, 500)},
            [(100, 103), (200, 207), (300, 800)],
        ),
        ({"stsz": numbers(0, 1, 5)}, [(100, 150), (200, 1000)]),
        ({}, []),
    ],
)
def test_the_chunks_of_a_track_are_found(
    tables: dict[str, bytes], expected: list[tuple[int, int]]
) -> None:
    given = {name.encode(): content for name, content in tables.items()}
    given[b"stsc"] = numbers(0, 2, 1, 2, 1, 3, 1, 1)
    for name, form in ((b"stco", ">3I"), (b"co64", ">3Q")):
        found = chunk_ranges({**given, name: numbers(0, 3) + struct.pack(form, 100, 200, 300)})
        assert joined(found, [150], 1000) == expected


@pytest.mark.parametrize(
    ("heads", "runs", "expected"),
    [
        # From the start of the fragment, in one piece; sizes of the track, and of its own.
        ((numbers(0, 1), numbers(0, 2)), [numbers(0, 2)], [(50, 64), (64, 66)]),
        # From the start of the fragment for each track.
        (
            (numbers(0x20000, 1), numbers(0x20010, 2, 9)),
            [numbers(1, 1, 10), numbers(0, 1)],
            [(60, 67), (67, 74), (60, 69), (69, 78)],
        ),
        # From a base of its own, behind numbers that do not matter.
        (
            (numbers(0x1B, 1, 0, 500, 0, 0, 3), numbers(0, 2)),
            [numbers(5, 2, 0xFFFFFFFF, 0)],
            [(499, 505), (504, 506)],
        ),
        # Each sample has a duration, a size and flags.
        (
            (numbers(0, 1), numbers(0, 2)),
            [numbers(0x700, 2, 8, 30, 0, 8, 40, 0)],
            [(50, 120), (120, 190)],
        ),
    ],
)
def test_the_samples_of_a_fragment_are_found(
    heads: tuple[bytes, bytes], runs: list[bytes], expected: list[tuple[int, int]]
) -> None:
    parts = [[(b"tfhd", head), *((b"trun", run) for run in runs)] for head in heads]
    found = list(fragment_ranges(50, parts, {1: 7, 2: 1}))
    assert [place for _, place in found] == expected
    with pytest.raises(ValueError, match="does not say"):
        list(fragment_ranges(50, [[(b"tfhd", numbers(0, 9)), (b"trun", numbers(0, 1))]], {}))
    with pytest.raises(ValueError, match="truncated"):
        list(fragment_ranges(50, [[(b"tfhd", numbers(0, 1)), (b"trun", numbers(0x200, 9))]], {}))


@pytest.mark.parametrize(
    ("of_table", "version", "size"),
    [(0, 0, 18), (0, 1, 34), (0, 2, 54), (1 << 24, 1, 18), (1 << 24, 1, 34), (0, 1, 18)],
    ids=["0", "QuickTime 1", "QuickTime 2", "ISO 1", "QuickTime as ISO", "ISO as QuickTime"],
)
def test_a_description_of_sound_has_only_what_a_decoder_needs(
    of_table: int, version: int, size: int
) -> None:
    fields = bytes(6) + struct.pack(">HH", 1, version) + bytes(size)
    wave = box(b"wave", box(b"frma", b"needed"), box(b"prv ", SECRET), bytes(4))
    buyer = box(b"sinf", box(b"schi", box(b"name", SECRET)))
    private = box(b"uuid", bytes(16), SECRET)
    entry = box(b"mp4a", fields, box(b"esds", b"needed"), wave, buyer, private)
    table = box(b"stbl", box(b"stsd", numbers(of_table, 1), entry))
    handler = box(b"hdlr", bytes(8), b"soun", bytes(12))
    moov = box(b"moov", box(b"trak", box(b"mdia", handler, box(b"minf", table))))
    clean = cleaned(box(b"ftyp", b"M4A \0\0\0\0M4A CAEP") + moov)
    assert SECRET not in clean
    assert b"CAEP" not in clean
    assert clean.count(b"needed") == 2


@pytest.mark.parametrize("frames", [0, 1])
@pytest.mark.parametrize("has_colours", [False, True])
def test_a_description_of_pictures_has_only_what_a_decoder_needs(
    frames: int, *, has_colours: bool
) -> None:
    fields = bytes(40) + struct.pack(">H", frames) + b"\7program" + bytes(24)
    # A depth of eight bits, with a table of two colours (QuickTime File Format).
    colours = struct.pack(">IHH", 0, 0x8000, 1) + bytes(range(16))
    fields += struct.pack(">Hh", 8, 0) + colours if has_colours else struct.pack(">Hh", 24, -1)
    boxes = box(b"avcC", b"needed"), box(b"uuid", bytes(16), SECRET), box(b"d263", SECRET[:4], b"+")
    entry = box(b"avc1", fields, *boxes)
    handler = box(b"hdlr", bytes(8), b"vide", bytes(12))
    table = box(b"minf", box(b"stbl", box(b"stsd", numbers(0, 1), entry)))
    moov = box(b"moov", box(b"trak", box(b"mdia", handler, table)))
    clean = cleaned(box(b"ftyp", b"isom\0\0\0\0isom") + moov)
    assert SECRET[:4] not in clean
    assert b"program" not in clean
    assert clean.count(b"needed") == 1
    assert (colours in clean) is has_colours


@pytest.mark.parametrize(
    ("caption", "stays"),
    [
        (b"At a latitude of 53 degrees: the GPS (at last) finds us, on 2026-11-28 at 10:11.", True),
        (b"F/2.8, SS 206.14, ISO 150, EV 0, GPS (8.6499, 53.1665, 18), D 24.26m", False),
        (b"[iso: 100] [latitude: 33.41] [longtitude: -112.2]", False),
        (b"2026-11-28 10:11:12.123 60 km/h", False),
        (b"HOME(E: 8.649912, N: 53.1665) GPS(8.6499,53.1665,18)", False),
        (b"$GNRMC,101112.00,A,5309.99,N", False),
        (b"N:53.166512 E:8.649912", False),
        (b"Home (2009) was filmed with a GPS (at last) at latitude: 53", True),
        (b"Latency: 20 ms. Later: 3 ms. Long: 4.25 m. It's 3.14159.", True),
    ],
)
def test_captions_in_which_a_camera_records_where_and_when_are_not_kept(
    caption: bytes, stays: bool
) -> None:
    start = box(b"ftyp", b"isom\0\0\0\0isom")
    media = box(b"mdat", b"picture!", caption)
    captions = track(b"text", len(start) + 16, len(caption), 2)
    pictures = track(b"vide", len(start) + 8, 8, 1)
    clean = cleaned(start + media + box(b"moov", pictures, captions))
    assert (caption in clean) is stays
    assert b"picture!" in clean


def fragment_of(track: int, sample: bytes) -> bytes:
    """A fragment of a film with one sample, which comes 80 bytes after its start."""
    head = box(b"tfhd", numbers(0x20010, track, len(sample)))
    part = box(b"traf", head, box(b"trun", numbers(1, 1, 80)))
    return box(b"moof", box(b"mfhd", bytes(8)), part) + box(b"mdat", sample)


def sei(*messages: tuple[int, bytes], wide: bool) -> bytes:
    """A unit of supplemental information, after its size in four bytes."""
    told = b"".join(bytes([kind, len(text)]) + text for kind, text in messages)
    told = re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", told)
    unit = (b"\x4e\1" if wide else b"\6") + told + b"\x80"
    return len(unit).to_bytes(4, "big") + unit


@pytest.mark.parametrize("fragmented", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_a_camera_records_nothing_between_the_pictures(wide: bool, fragmented: bool) -> None:
    position = bytes(16) + b"\0\0\1GPS-SECRET"
    told = sei((1, b"timing"), (5, position), (4, b"captions \0\0\2"), wide=wide)
    picture = b"\0\0\0\x0a" + (b"\x26\1" if wide else b"\x65\x88") + b"picture!"
    data = picture + told + picture
    decoder = bytes(21) + b"\3\1" + b"\x27\0\1" + told[2:] if wide else b"\1\0\0\0\xff\xe0\0"
    head = bytes(6) + b"\0\1" + bytes(70)
    entry = box(b"hvc1" if wide else b"avc1", head, box(b"hvcC" if wide else b"avcC", decoder))
    start = box(b"ftyp", b"isom\0\0\0\0isom")
    sizes = numbers(0, 0 if fragmented else 1, *([] if fragmented else [len(data)]))
    table = box(
        b"stbl",
        box(b"stsd", numbers(0, 1), entry),
        box(b"stsc", numbers(0, 1, 1, 1, 1)),
        box(b"stsz", bytes(4), sizes),
        box(b"stco", numbers(0, 0) if fragmented else numbers(0, 1, len(start) + 8)),
    )
    media = box(b"mdia", box(b"hdlr", bytes(8), b"vide", bytes(13)), box(b"minf", table))
    track = box(b"trak", box(b"tkhd", bytes(12), numbers(7), bytes(68)), media)
    film = box(b"moov", track)
    media = fragment_of(7, data) if fragmented else box(b"mdat", data)
    sent = start + film + media if fragmented else start + media + film
    clean = cleaned(sent)
    assert len(clean) == len(sent)
    assert b"SECRET" not in clean
    assert clean.count(picture) == 2
    assert clean.count(b"timing") == clean.count(b"captions \0\0\3\2") == sent.count(b"timing")
    assert clean.count(b"\0\0\1") == sent.count(b"\0\0\1")


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("fill", [b"a", b"\0\0\1", b"\0\0\0\3GPS"])
def test_all_user_data_of_a_unit_is_blanked_and_nothing_else(fill: bytes, wide: bool) -> None:
    text = fill * 4_000
    size = b"\xff" * (len(text) // 255) + bytes([len(text) % 255])
    told = [b"\4\5\0\0\0\0\0\5" + size, text, b"\4\2\0\2"]
    escaped = re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", b"".join(told))
    unit = (b"\x4e\1" if wide else b"\6") + escaped + b"\x80"
    data = bytearray(len(unit).to_bytes(4, "big") + unit)
    blank_user_data(data, 0, len(data), NalFormat(4, wide))
    clean = bytes(data[5 + wide : -1])
    # No start code came about, and what a decoder reads is as long as before.
    assert not re.search(rb"\x00\x00[\x00-\x02]", clean)
    read = clean.replace(b"\0\0\3", b"\0\0")
    assert read == told[0] + read[len(told[0]) : -4] + told[2]
    assert len(read) == len(b"".join(told))
    assert set(read[len(told[0]) : -4]) <= {0, 1, 0xFF}


def test_a_large_unit_is_blanked_in_no_time() -> None:
    unit = b"\6\5" + b"\xff" * 20_000 + b"\0" + b"a" * 5_000_000
    data = bytearray(len(unit).to_bytes(4, "big") + unit)
    began = time.process_time()
    blank_user_data(data, 0, len(data), NalFormat(4, wide=False))
    # A thirtieth; looking at each byte took twice as long.
    assert time.process_time() - began < 1.2
    assert data.endswith(b"\xff" * 5_000_000)
    unit = b"\6" + b"\1\0" * 20_000
    data = bytearray(len(unit).to_bytes(4, "big") + unit)
    with pytest.raises(ValueError, match="too many messages"):
        blank_user_data(data, 0, len(data), NalFormat(4, wide=False))


def test_samples_that_are_named_again_and_again_are_read_once() -> None:
    """A table of 4 MB kept a processor busy for a minute."""

    def film(*offsets: int) -> bytes:
        entry = box(b"avc1", bytes(6), b"\0\1", bytes(70), box(b"avcC", b"\1\0\0\0\xff\xe0\0"))
        table = box(
            b"stbl",
            box(b"stsd", numbers(0, 1), entry),
            box(b"stsc", numbers(0, 1, 1, 1, 1)),
            box(b"stsz", numbers(0, len(units), 1)),
            box(b"stco", numbers(0, len(offsets), *offsets)),
        )
        media = box(b"mdia", box(b"hdlr", bytes(8), b"vide", bytes(13)), box(b"minf", table))
        track = box(b"trak", box(b"tkhd", bytes(84)), media)
        return box(b"ftyp", b"isom\0\0\0\0isom") + box(b"mdat", units) + box(b"moov", track)

    units = b"\0\0\0\1\x65" * 4_000
    sent = film(*[28] * 3_000)
    began = time.process_time()
    assert cleaned(sent) == sent
    assert time.process_time() - began < 2, "it took a thousand times as long"
    with pytest.raises(ValueError, match="overlap"):
        cleaned(film(*range(28, 78)))


def test_captions_in_fragments_are_searched_for_positions() -> None:
    caption = b"GPS (8.6499, 53.1665, 18)"
    tracks = (
        box(
            b"trak",
            box(b"tkhd", bytes(12), numbers(number), bytes(68)),
            box(b"mdia", box(b"hdlr", bytes(8), kind, bytes(13))),
        )
        for number, kind in ((1, b"vide"), (2, b"text"))
    )
    start = box(b"ftyp", b"isom\0\0\0\0isom") + box(b"moov", *tracks)
    clean = cleaned(start + fragment_of(1, b"picture!") + fragment_of(2, caption))
    assert caption not in clean
    assert b"picture!" in clean


def test_a_long_film_in_short_fragments_is_accepted_and_a_bomb_of_boxes_is_not() -> None:
    """In `make soak` two hours, two tracks, half a second each."""
    # The byte of media follows the box of the fragment.
    head = box(b"tfhd", numbers(0x20010, 0, 1))
    part = box(b"traf", head, box(b"tfdt"), box(b"trun", numbers(1, 1, 136)))
    fragment = (
        box(b"styp") + box(b"sidx") + box(b"moof", box(b"mfhd"), part, part) + box(b"mdat", b"x")
    )
    track = box(b"trak", box(b"tkhd", bytes(84)), shown(0, 0))
    begin = box(b"ftyp", b"isom\0\0\2\0isommp42") + box(b"moov", box(b"mvhd", bytes(100)), track)
    long = begin + fragment * rounds(1_400, 14_400)
    assert cleaned(long) == long
    with pytest.raises(ValueError, match="too many boxes"):
        cleaned(begin + box(b"free") * 400_000)


def test_an_mp3_keeps_its_frames() -> None:
    frames = b"\xff\xfb\x90\x44" + bytes(413)
    id3 = b"ID3\4\0\0" + bytes([0, 0, 0, 20]) + b"TPE1" + SECRET + bytes(6)
    ape = SECRET + b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 10, 1, 0) + bytes(8)
    lyrics = b"LYRICSBEGIN" + SECRET + b"000021LYRICS200"
    id1 = b"TAG" + SECRET.ljust(125, b"\0")
    for told in (id3 + id3 + frames, frames + ape, frames + lyrics + id1, id3 + frames + ape + id1):
        clean = cleaned(told)
        assert SECRET not in clean
        assert clean.endswith(frames)
        assert sniff(clean).type == "audio/mpeg"
    assert cleaned(frames) == frames
    # Nor is there anything between frames, as where files have been joined, or tags overlap.
    for told in (
        id3 + frames * 2 + id3 + frames + id1 + id3 + frames + id1,
        id3 + bytes(300) + id3 + frames * 3,
        id3 + ape[10:] + SECRET + frames * 3,
    ):
        clean = cleaned(told)
        assert SECRET not in clean
        assert clean.count(frames) == told.count(frames)
        assert cleaned(clean) == clean
    # A recording that broke off has half a frame at its end.
    half = frames[:200]
    for tag in (id1, id3 + frames * 2, lyrics + id1, ape[-32:] + ape):
        clean = cleaned(frames * 3 + half + tag)
        assert SECRET not in clean
        assert clean.startswith(frames * 3 + half)
    with pytest.raises(ValueError, match="damaged"):
        cleaned(id3 + b"something else" + SECRET * 9)


@pytest.mark.parametrize("begin", [b"OggS", b"RIFF", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypM4A "])
def test_a_tag_of_mp3_in_front_of_another_format_is_refused(begin: bytes) -> None:
    with pytest.raises(ValueError, match="another format"):
        cleaned(b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + begin + SECRET + bytes(64))


def test_a_wav_keeps_its_samples() -> None:
    form, samples = riff(b"fmt ", bytes(16)), riff(b"data", b"samples!")
    plain = riff(b"RIFF", b"WAVE" + form + samples)
    for name in (b"LIST", b"bext", b"iXML", b"id3 ", b"_PMX", b"JUNK", b"C2PA"):
        told = riff(b"RIFF", b"WAVE" + riff(name, SECRET) + form + samples + riff(name, SECRET))
        assert cleaned(told + SECRET) == plain
    # A recorder that broke off has left out the sizes.
    told = riff(b"LIST", SECRET) + form
    for size in (0, len(told) + 12):
        broken = b"RIFF" + size.to_bytes(4, "little") + b"WAVE" + told + b"data" + bytes(4)
        assert cleaned(broken + b"samples!") == plain
    assert cleaned(b"RIFF" + bytes(4) + b"WAVE" + told + samples) == plain


def test_a_flac_keeps_its_frames() -> None:
    def block(kind: int, content: bytes) -> bytes:
        return bytes([kind]) + len(content).to_bytes(3, "big") + content

    frames = b"\xff\xf8frames"
    private = b"".join(block(kind, SECRET) for kind in (1, 2, 4, 5, 6, 9))
    told = b"fLaC" + block(0, bytes(34)) + block(3, bytes(18)) + private
    told += block(0x84, SECRET) + frames
    plain = b"fLaC" + block(0, bytes(34)) + block(0x83, bytes(18)) + frames
    assert cleaned(told) == plain
    assert cleaned(plain) == plain
    # Programs for MP3 add their tags at the end.
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, len(SECRET) + 32, 1, 1 << 31) + bytes(8)
    id1 = b"TAG" + SECRET.ljust(125, b"\0")
    assert cleaned(told + ape + SECRET + ape + id1) == plain
    # Also where there are no frames before them.
    for tag in (id1, ape + SECRET + ape, ape):
        assert cleaned(told.removesuffix(frames) + tag) == plain.removesuffix(frames)
        assert cleaned(plain.removesuffix(frames) + tag) == plain.removesuffix(frames)
    # Or at the beginning.
    id2 = b"ID3\3\0\0\0\0\1\x48" + SECRET.ljust(200, b"\0")
    assert sniff(id2 + told) == FLAC
    assert cleaned(id2 + told) == cleaned(id2 * 2 + told) == plain
    # Millions of tags are not read: all requests would wait.
    assert sniff(b"ID3\3\0\0\0\0\0\0" * 100_000 + told) == MP3
    # Stream info has no room for more.
    assert SECRET not in cleaned(told.replace(block(0, bytes(34)), block(0, bytes(34) + SECRET)))
    # Without frames, as an upload that broke off has it, the private blocks go all the same.
    assert SECRET not in cleaned(told.removesuffix(frames))
    assert SECRET not in cleaned(told[: -len(frames) - 2])


@pytest.mark.parametrize(
    "told",
    [
        b"fLaC\x84" + len(SECRET * 9).to_bytes(3, "big") + SECRET * 9,
        b"OggS\0\2" + bytes(20) + b"\xff" + b"\xff" * 255 + b"\1vorbis" + SECRET * 9,
        b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x12\x54\xc3\x67\xff" + SECRET * 9,
        # As a camera leaves it whose battery has run out.
        box(b"ftyp", b"isom\0\0\0\0isom") + bytes(4) + b"mdat" + SECRET * 9,
    ],
    ids=["flac without info", "ogg without a page", "webm without a segment", "mp4 without moov"],
)
def test_a_file_that_cannot_be_read_is_refused(told: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        cleaned(told)


def page(number: int, packets: list[bytes], *, flags: int = 0, unfinished: bool = False) -> bytes:
    """An Ogg page, with its checksum computed bit by bit."""
    lacing = b""
    for index, packet in enumerate(packets):
        last = unfinished and index == len(packets) - 1
        lacing += b"\xff" * (len(packet) // 255) + (b"" if last else bytes([len(packet) % 255]))
    head = b"OggS\0" + bytes([flags]) + bytes(8) + b"\1\0\0\0" + struct.pack("<I", number)
    body = bytes([len(lacing)]) + lacing + b"".join(packets)
    crc = 0
    for byte in head + bytes(4) + body:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return head + struct.pack("<I", crc) + body


@pytest.mark.parametrize(
    ("first", "tags", "framing"),
    [
        (b"\1vorbis" + bytes(23), b"\3vorbis", b"\1"),
        (b"OpusHead" + bytes(11), b"OpusTags", b"\0"),
        (b"\x80theora" + bytes(35), b"\x81theora", b"\0"),
        (b"OVP80\1" + bytes(20), b"OVP80\2 ", b"\0"),
        (b"CELT    " + bytes(52), b"", b"\0"),
    ],
)
def test_an_ogg_keeps_its_packets(first: bytes, tags: bytes, framing: bytes) -> None:
    comments = tags + struct.pack("<I", 700) + SECRET * 70 + bytes(60)
    quiet = tags + bytes(8) + framing + bytes(len(comments) - len(tags) - 9)

    def whole(second: bytes) -> bytes:
        return (
            page(0, [first], flags=2)
            + page(1, [second[:510]], unfinished=True)
            + page(2, [second[510:], b"\5vorbis set up"], flags=1)
            + page(3, [b"sound", b"more"], flags=4)
        )

    assert cleaned(whole(comments) + SECRET) == whole(quiet)
    assert cleaned(whole(quiet)) == whole(quiet)


def test_an_ogg_tells_nothing_in_further_packets_and_streams() -> None:
    head = b"\x7fFLAC\1\0\0\2fLaC\0\0\0\x22" + bytes(34)
    blocks = [bytes([kind]) + len(SECRET).to_bytes(3, "big") + SECRET for kind in (4, 2, 0x86)]
    flac = page(0, [head], flags=2) + page(1, blocks) + page(2, [b"\xff\xf8sound"], flags=4)
    hidden = [bytes([kind]) + len(SECRET).to_bytes(3, "big") + bytes(10) for kind in (4, 1, 0x81)]
    assert cleaned(flac) == flac[: len(page(0, [head]))] + page(1, hidden) + page(
        2, [b"\xff\xf8sound"], flags=4
    )
    opus = [page(0, [b"OpusHead" + bytes(11)], flags=2), page(1, [b"OpusTags" + SECRET])]
    opus.append(page(2, [b"sound"], flags=4))
    # Files that are joined have the same number now and then.
    twice = cleaned(b"".join(opus * 2))
    assert SECRET not in twice
    assert twice.count(b"sound") == 2
    words = page(0, [b"\x80kate\0\0\0" + SECRET], flags=2) + page(1, [SECRET], flags=4)
    told = opus[0] + words.replace(b"\1\0\0\0", b"\2\0\0\0") + b"".join(opus[1:])
    assert SECRET not in cleaned(told)
    assert b"sound" in cleaned(told)
    # Nor is a page of an empty packet, of a stream that never began, an obstacle.
    stray = page(0, [b""]).replace(b"\1\0\0\0", b"\2\0\0\0")
    assert cleaned(stray + b"".join(opus)) == stray + cleaned(b"".join(opus))


def element(name: bytes, content: bytes, *, unknown: bool = False) -> bytes:
    size = b"\x01" + b"\xff" * 7 if unknown else (len(content) | 1 << 56).to_bytes(8, "big")
    return name + size + content


@pytest.mark.parametrize("unknown", [False, True])
def test_a_webm_keeps_what_it_plays(unknown: bool) -> None:
    head = element(b"\x42\x82", b"webm") + element(b"\xec", SECRET)
    told = element(b"\x1a\x45\xdf\xa3", head)
    info = element(b"\x2a\xd7\xb1", b"\x0f\x42\x40")
    for name in (b"\x44\x61", b"\x7b\xa9", b"\x73\xa4", b"\x4d\x80", b"\x57\x41", b"\x73\x84"):
        info += element(name, SECRET)
    entry = element(b"\xd7", b"\1") + element(b"\x86", b"V_VP9") + element(b"\x53\x6e", SECRET)
    comments = b"\3vorbis" + SECRET * 30 + b"\1"
    laced = b"\2\x1e\xff" + bytes([len(comments) - 255])
    headers = b"\1vorbis" + bytes(23) + comments + b"\5vorbis set up"
    entry += element(b"\x63\xa2", laced + headers)
    picture = element(b"\xb0", b"\1") + element(b"\x53\xc0", b"\1")
    entry += element(b"\xe0", picture + element(b"\xba", SECRET) + element(b"\x44\x87", SECRET))
    cluster = (
        element(b"\xe7", b"\0") + element(b"\xa3", b"\x81\0\0\0block") + element(b"\xec", SECRET)
    )
    # Nor are blocks of tracks kept that are neither picture, sound nor captions, or that are none.
    places = element(b"\xd7", b"\2") + element(b"\x83", b"\x21") + element(b"\x86", SECRET)
    for number in (b"\x82", b"\x83"):
        cluster += element(b"\xa3", number + bytes(3) + SECRET)
        cluster += element(b"\xa0", element(b"\xa1", number + bytes(3) + SECRET))
    additions = element(b"\xa6", element(b"\xee", b"\1") + element(b"\xa5", b"transparency"))
    additions += element(b"\xa6", element(b"\xee", b"\4") + element(b"\xa5", SECRET))
    group = element(b"\xa1", b"\x81\0\0\0group") + element(b"\xa4", SECRET)
    cluster += element(b"\xa0", group + element(b"\x75\xa1", additions))
    parts = [
        element(b"\x15\x49\xa9\x66", info),
        element(
            b"\x16\x54\xae\x6b",
            element(b"\xae", entry + element(b"\x25\x86\x88", SECRET)) + element(b"\xae", places),
        ),
        element(b"\x12\x54\xc3\x67", SECRET),
        element(b"\x1c\x53\xbb\x6b", element(b"\xbb", element(b"\xec", SECRET))),
        element(b"\x19\x41\xa4\x69", SECRET),
        element(b"\x1f\x43\xb6\x75", cluster, unknown=unknown),
        element(b"\x1f\x43\xb6\x75", cluster, unknown=unknown),
        element(b"\x10\x43\xa7\x70", SECRET),
    ]
    told += element(b"\x18\x53\x80\x67", b"".join(parts), unknown=unknown)
    clean = cleaned(told)
    assert SECRET not in clean
    assert len(clean) == len(told)
    assert (clean.count(b"block"), clean.count(b"group")) == (2, 2)
    assert clean.count(b"transparency") == 2
    assert b"V_VP9" in clean
    assert b"\3vorbis" + bytes(8) + b"\1" + bytes(len(comments) - 16) + b"\5vorbis set" in clean
    assert b"\x2a\xd7\xb1" in clean
    assert cleaned(clean) == clean
    assert SECRET not in cleaned(told + element(b"\x53\x67\x00", SECRET) + SECRET)
