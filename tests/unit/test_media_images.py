"""Processing of photos before they are stored."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_samples import (
    SECRETS,
    box,
    encoded,
    exif,
    film,
    jpeg,
    moving,
    picture,
    png_with_text,
    shown,
)
from PIL import Image, ImageCms, ImageOps
from soak_kit import in_soak, rounds

from bridge.errors import InvalidRequest, PayloadTooLarge
from bridge.media.formats import images
from bridge.media.formats.boxes import strip_video
from bridge.media.formats.clean import clean as clean_file
from bridge.media.formats.colour_profile import clean_profile
from bridge.media.formats.images import prepare
from bridge.media.formats.picture import PhotoRules, Picture
from bridge.media.formats.sniff import MP4, identify, sniff

#: Prints the growth of the process's peak memory, in kB.
TURN = """
import re, sys
from pathlib import Path
from bridge.media.formats.colour_profile import clean_profile
from bridge.media.formats.images import prepare
from bridge.media.formats.picture import PhotoRules
from bridge.media.formats.sniff import JPEG

def most() -> int:
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = most()
prepare(Path(sys.argv[1]).read_bytes(), JPEG, PhotoRules())
print(most() - before)
"""
PROFILE = clean_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


STRICT = PhotoRules()


def prepared(data: bytes, rules: PhotoRules = STRICT) -> Picture:
    return prepare(data, sniff(data), rules)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def near(pixel: object, expected: tuple[int, int, int]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 40 for a, b in zip(pixel, expected, strict=False))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_a_photo_that_needs_nothing_is_stored_as_it_came(form: str) -> None:
    data = encoded(picture(), form)
    assert prepared(data) == Picture(data, 60, 40)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_place_owner_and_camera_are_removed(form: str) -> None:
    data = encoded(picture(), form, exif=exif(), xmp=b"<x>GPS-SECRET</x>")
    assert any(secret in data for secret in SECRETS)
    clean = prepared(data).data
    assert not any(secret in clean for secret in SECRETS)
    assert not opened(clean).getexif()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_removing_them_touches_no_pixel_and_keeps_the_colour_profile(form: str) -> None:
    data = encoded(picture(), form, exif=exif(), icc_profile=PROFILE)
    clean = opened(prepared(data).data)
    assert clean.tobytes() == opened(data).tobytes()
    assert clean.info["icc_profile"] == PROFILE


def test_comments_text_and_times_are_removed() -> None:
    commented = prepared(jpeg(comment=b"Owner Name")).data
    told = prepared(png_with_text()).data
    assert not any(secret in commented + told for secret in SECRETS)


def test_what_is_hidden_behind_the_picture_is_removed() -> None:
    for data in (jpeg(), encoded(picture(), "PNG"), encoded(picture(), "WEBP")):
        assert prepared(data + b"GPS-SECRET <script>").data == data


def test_a_second_picture_behind_the_first_is_removed() -> None:
    both = encoded(picture(), "MPO", save_all=True, append_images=[picture(20, 20)], exif=exif())
    clean = prepared(both).data
    assert opened(clean).format == "JPEG"
    assert len(clean) < len(both) * 0.8


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_progressive_grey_and_print_colours_survive_byte_for_byte(mode: str) -> None:
    data = encoded(picture(300, 200, mode), "JPEG", progressive=True, quality=95)
    assert prepared(data).data == data


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_photo_is_turned_as_its_camera_was(form: str) -> None:
    turned = prepared(encoded(picture(), form, exif=exif(orientation=6)))
    assert (turned.width, turned.height) == (40, 60)
    image = opened(turned.data).convert("RGB")
    assert image.size == (40, 60)
    assert near(image.getpixel((35, 5)), (220, 30, 30))
    assert not any(secret in turned.data for secret in SECRETS)


def test_turning_keeps_colours_and_size_of_the_file() -> None:
    noise = Image.effect_noise((400, 300), 60).convert("RGB")
    data = encoded(noise, "JPEG", quality=92, exif=exif(orientation=8), icc_profile=PROFILE)
    turned = prepared(data).data
    assert opened(turned).info["icc_profile"] == PROFILE
    assert 0.8 < len(turned) / len(data) < 1.2


def test_the_owner_may_keep_what_cameras_write() -> None:
    data = jpeg(exif=exif())
    assert prepared(data, PhotoRules(keep_exif=True)).data == data
    turned = prepared(jpeg(exif=exif(orientation=3)), PhotoRules(keep_exif=True)).data
    kept = opened(turned).getexif()
    assert kept[0x010F] == "Someone's Camera"
    assert kept.get_ifd(0x8825)[29] == "GPS-SECRET"
    assert kept.get(0x0112, 1) == 1


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_are_kept(form: str) -> None:
    rules = PhotoRules(max_side=20, sizes=(10,))
    stored = prepared(moving(form), rules)
    assert getattr(opened(stored.data), "n_frames", 1) == 3
    assert stored.copies == ()


def test_a_moving_webp_loses_its_metadata_and_no_frame() -> None:
    frames = [picture(), picture().rotate(180)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], exif=exif())
    stored = prepared(data).data
    assert getattr(opened(stored), "n_frames", 1) == 2
    assert not opened(stored).getexif()
    assert not any(secret in stored for secret in SECRETS)


def test_a_large_photo_is_scaled_down_where_the_owner_wants_it() -> None:
    data = jpeg(600, 400, exif=exif())
    small = prepared(data, PhotoRules(max_side=300))
    assert (small.width, small.height) == opened(small.data).size == (300, 200)
    assert not opened(small.data).getexif()
    assert prepared(jpeg(), PhotoRules(max_side=300)).data == jpeg()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_copies_are_made_in_the_wanted_widths_but_never_larger(form: str) -> None:
    data = encoded(picture(600, 400), form, exif=exif(), icc_profile=PROFILE)
    copies = prepared(data, PhotoRules(sizes=(400, 150, 600, 2000))).copies
    assert [width for width, _ in copies] == [150, 400]
    for width, copy in copies:
        image = opened(copy)
        assert image.size == (width, round(width * 400 / 600))
        assert image.info["icc_profile"] == PROFILE
        assert not image.getexif()


def test_a_copy_of_a_palette_picture_with_transparency_keeps_it() -> None:
    image = picture(200, 100).convert("P")
    image.info["transparency"] = 0
    copies = prepared(encoded(image, "PNG", transparency=0), PhotoRules(sizes=(50,))).copies
    assert opened(copies[0][1]).has_transparency_data


def test_a_photo_with_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(PayloadTooLarge, match=r"64,000,000 pixels"):
        prepared(bomb)
    for form in ("JPEG", "PNG", "GIF"):
        with pytest.raises(PayloadTooLarge, match=r"2,000 pixels"):
            prepared(encoded(picture(), form), PhotoRules(max_pixels=2_000))
        prepared(encoded(picture(), form), PhotoRules(max_pixels=2_400))
    # An image that needs three times the memory may have a third of the pixels.
    for form in ("WEBP", "AVIF"):
        with pytest.raises(PayloadTooLarge, match=r"2,300 pixels"):
            prepared(encoded(picture(), form), PhotoRules(max_pixels=6_900))
        prepared(encoded(picture(), form), PhotoRules(max_pixels=7_200))


@pytest.mark.parametrize("progressive", [True, in_soak(False)])
def test_turning_a_large_photo_takes_ten_bytes_of_memory_for_a_pixel(
    tmp_path: Path, *, progressive: bool
) -> None:
    width, height = 5_600, 4_000
    photo = tmp_path / "photo.jpg"
    image = Image.new("RGB", (width, height), (10, 120, 200))
    image.save(photo, exif=exif(orientation=6), subsampling=0, progressive=progressive)
    line = [sys.executable, "-c", TURN, str(photo)]
    run = subprocess.run(line, check=True, capture_output=True, text=True)
    assert int(run.stdout) * 1024 < 13 * width * height


def test_large_photos_are_worked_on_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, lock = [], threading.Lock()

    def turned(image: Image.Image) -> Image.Image:
        alone.append(lock.locked())
        return exif_transpose(image)

    exif_transpose = ImageOps.exif_transpose
    monkeypatch.setattr(images, "_LARGE", 2_500)
    monkeypatch.setattr(images, "ONE_LARGE", lock)
    monkeypatch.setattr(ImageOps, "exif_transpose", turned)
    for form, size in (("JPEG", (60, 40)), ("JPEG", (60, 50)), ("WEBP", (60, 40))):
        prepared(encoded(picture(*size), form, exif=exif(orientation=6)))
    assert alone == [False, True, True]
    assert not lock.locked()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_what_only_begins_like_a_photo_is_refused(form: str) -> None:
    head = encoded(picture(), form)[:20]
    with pytest.raises(InvalidRequest, match="damaged or incomplete"):
        prepared(head + b"nothing of the kind" * 20)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow tells of odd Exif
@settings(max_examples=rounds(150, 10_000), suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from(["JPEG", "PNG", "WEBP", "AVIF", "GIF"]),
    cut=st.integers(20, 3000),
    flips=st.lists(st.tuples(st.integers(12, 2999), st.integers(1, 255)), max_size=6),
)
def test_a_damaged_photo_is_stored_or_refused_and_never_a_defect(
    form: str, cut: int, flips: list[tuple[int, int]]
) -> None:
    options = {} if form == "GIF" else {"exif": exif(orientation=6)}
    data = bytearray(encoded(picture(), form, **options))
    for place, change in flips:
        data[place % len(data)] ^= change
    kind = identify(bytes(data[:cut]))
    if kind is not None and kind.family == "image":
        with contextlib.suppress(InvalidRequest, PayloadTooLarge):
            prepare(bytes(data[:cut]), kind, PhotoRules(sizes=(10,), max_pixels=1_000_000))


def test_a_film_forgets_place_and_owner_and_moves_no_sample() -> None:
    data = film()
    clean = strip_video(data)
    assert not any(secret in clean for secret in SECRETS)
    assert len(clean) == len(data)
    assert clean.index(b"samples") == data.index(b"samples")
    assert strip_video(clean) == clean


def test_a_film_with_sizes_in_64_bits_and_to_the_end_is_understood() -> None:
    private = struct.pack(">I", 1) + b"udta" + struct.pack(">Q", 26) + b"GPS-SECRET"
    before = film()[: film().rindex(b"uuid") - 4] + private
    moov = box(b"moov", box(b"trak", shown(len(before) + 8 + 8 + 125 + 8, 7)))
    clean = strip_video(before + moov + struct.pack(">I", 0) + b"mdat" + b"samples")
    assert b"GPS-SECRET" not in clean
    assert clean.endswith(b"samples")


def test_a_photo_of_nothing_but_markers_is_looked_at_once() -> None:
    """It took hours, and blocked everything else."""
    whole = jpeg()
    end = whole.rindex(b"\xff\xd9")
    padded = whole[:end] + b"\xff" * 1_000_000 + b"\0" + whole[end:]
    assert prepared(padded).data == padded


def with_segments(segment: bytes, count: int) -> bytes:
    whole = jpeg(progressive=True)
    return whole[:2] + segment * count + whole[2:]


def with_scans(count: int) -> bytes:
    whole = jpeg(progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + whole[-2:]


def with_chunks(name: bytes, content: bytes, count: int) -> bytes:
    whole = png_with_text()
    chunk = len(content).to_bytes(4, "big") + name + content
    return whole[:33] + (chunk + zlib.crc32(name + content).to_bytes(4, "big")) * count + whole[33:]


@pytest.mark.parametrize(
    ("many", "few"),
    [
        (with_segments(b"\xff\xfe\0\2", 10_001), with_segments(b"\xff\xfe\0\2", 1_000)),
        (with_segments(b"\xff", 10_001), with_segments(b"\xff", 1_000)),
        (with_scans(501), with_scans(200)),
        (with_chunks(b"tEXt", b"a\0b", 100_001), with_chunks(b"tEXt", b"a\0b", 1_000)),
        (with_chunks(b"iCCP", b"a\0\0" + zlib.compress(bytes(500)), 5), png_with_text()),
    ],
    ids=["segments", "fill bytes", "scans", "chunks", "profiles"],
)
def test_a_photo_of_more_parts_than_any_real_one_is_refused_before_it_is_read(
    many: bytes, few: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300,000 scans, or 5 million comments, took all of the three minutes that a file may take."""
    prepared(few)
    monkeypatch.setattr(images, "_opened", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InvalidRequest, match="more parts"):
        prepared(many)


def test_a_film_of_nothing_but_boxes_is_refused() -> None:
    nested = b""
    for _ in range(3000):
        nested = box(b"moov", nested)
    with pytest.raises(ValueError, match="deep"):
        strip_video(box(b"ftyp", b"isom\0\0\0\0") + nested)
    nested = b""
    for _ in range(3000):
        nested = box(b"wave", nested)
    nested = box(b"stsd", bytes(8), box(b"mp4a", bytes(28), nested))
    for name in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        nested = box(name, nested)
    with pytest.raises(InvalidRequest):
        clean_file(box(b"ftyp", b"isom\0\0\0\0") + nested, MP4, PhotoRules())
