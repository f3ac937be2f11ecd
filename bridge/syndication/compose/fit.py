"""Scales one photo to a network's limits and removes its metadata.

Run as a program: reads a line of JSON and the photo, writes a line of JSON and the result.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Collection
from contextlib import suppress

from PIL import Image, ImageOps, UnidentifiedImageError

from bridge.media.formats.metadata import STRIP
from bridge.syndication.compose.images import NoImage, Photo

_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_QUALITIES = (85, 75, 65, 50)
_SMALLER = 0.75
_SMALLEST = 200
#: Enough for the largest picture that Pillow opens.
_MEMORY = 4 * 1024**3
_CPU_SECONDS = 60


def fit(
    data: bytes,
    *,
    most_bytes: int,
    longest: int,
    most_pixels: int = 100_000_000,
    mimes: Collection[str] = tuple(_FORMATS.values()),
) -> Photo:
    """The photo unchanged where it fits the limits, else scaled down and compressed until it does.

    Raises :class:`NoImage`.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            mime = _FORMATS.get(image.format or "", "")
            if _will_do(image, mime, data, most_bytes, longest, most_pixels, mimes):
                with suppress(ValueError):
                    return Photo(STRIP[mime](data), mime, image.width, image.height)
            image.load()
            return _made(ImageOps.exif_transpose(image), most_bytes, longest, most_pixels)
    except UnidentifiedImageError as error:
        raise NoImage("its format is not supported") from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise NoImage(f"it cannot be read: {error}") from error


def _will_do(
    image: Image.Image,
    mime: str,
    data: bytes,
    most_bytes: int,
    longest: int,
    most_pixels: int,
    mimes: Collection[str],
) -> bool:
    fits = len(data) <= most_bytes and max(image.size) <= longest
    fits = fits and image.width * image.height <= most_pixels
    return fits and mime in mimes and not image.getexif()


def _made(image: Image.Image, most_bytes: int, longest: int, most_pixels: int) -> Photo:
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    plain = image.convert("RGBA" if has_alpha else "RGB")
    kind, mime = ("WEBP", "image/webp") if has_alpha else ("JPEG", "image/jpeg")
    # Comments would be written again; the colour profile stays.
    profile = image.info.get("icc_profile") if image.mode in {"RGB", "RGBA"} else None
    plain.info = {}
    pixels = plain.width * plain.height
    factor = min(1.0, longest / max(plain.size), (most_pixels / pixels) ** 0.5)
    while True:
        size = (max(1, int(plain.width * factor)), max(1, int(plain.height * factor)))
        scaled = plain if size == plain.size else plain.resize(size, Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            out = io.BytesIO()
            scaled.save(out, kind, quality=quality, optimize=True, icc_profile=profile)
            if out.tell() <= most_bytes:
                return Photo(out.getvalue(), mime, *scaled.size)
        if max(size) < _SMALLEST:
            raise NoImage(f"it cannot be reduced to {most_bytes:,} bytes")
        factor *= _SMALLER


def main() -> None:
    """Read one photo from standard input, write the result to standard output."""
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    with suppress(ValueError):  # macOS takes no limit on memory
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    limits = json.loads(sys.stdin.buffer.readline())
    try:
        photo = fit(sys.stdin.buffer.read(), **limits)
    except NoImage as error:
        sys.stdout.buffer.write(json.dumps({"why": str(error)}).encode())
        return
    header = {"mime": photo.mime, "width": photo.width, "height": photo.height}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + photo.data)


if __name__ == "__main__":
    main()
