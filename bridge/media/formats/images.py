"""Prepares photos: upright, without private metadata, scaled down.

Metadata is cut out without decoding (:mod:`bridge.media.formats.metadata`). Pixels are encoded
again only to rotate or scale; otherwise the photo is stored as uploaded.
"""

from __future__ import annotations

import io
import math
import struct
import threading
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace
from PIL import Image, ImageOps, JpegImagePlugin

from bridge.errors import InvalidRequest, PayloadTooLarge
from bridge.media.formats.colour_profile import clean_profile
from bridge.media.formats.metadata import STRIP, has_too_many_parts
from bridge.media.formats.picture import PhotoRules, Picture
from bridge.media.formats.sniff import AVIF, GIF, JPEG, PNG, WEBP, Kind

_ORIENTATION = 0x0112

#: The exceptions of Pillow and its decoders for damaged files.
_DAMAGED = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError),
    struct.error,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

#: Pillow only warns between its limit and twice that; here the limit is strict.
warnings.simplefilter("error", Image.DecompressionBombWarning)

#: Encoder options by type. A GIF is never encoded again: it has no Exif orientation.
_ENCODINGS: dict[str, dict[str, Any]] = {
    JPEG.type: {"format": "JPEG", "quality": 88, "optimize": True, "progressive": True},
    PNG.type: {"format": "PNG", "optimize": True},
    GIF.type: {"format": "GIF"},
    WEBP.type: {"format": "WEBP", "quality": 88},
    AVIF.type: {"format": "AVIF", "quality": 80, "speed": 8},
}
#: Entries of Pillow's ``info`` that affect the display. Others, such as comments, are dropped.
_KEPT_INFO = frozenset({"icc_profile", "transparency", "gamma"})
_SCALABLE = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"})

#: Rotating a photo takes up to 10 bytes of memory per pixel; three times that in these formats.
_WEIGHTS = {WEBP.type: 3, AVIF.type: 3}
#: Photos with more (weighted) pixels than this are processed one at a time.
_LARGE = 20_000_000
ONE_LARGE: AbstractContextManager[object] = threading.Lock()
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def prepare(data: bytes, kind: Kind, rules: PhotoRules) -> Picture:
    """Process a photo. Blocks while decoding.

    Raises :class:`InvalidRequest` for a damaged photo, and :class:`PayloadTooLarge`, before
    decoding, for one with more pixels than ``rules.max_pixels`` (a third of that in WebP and AVIF;
    the frames of an animation are added up).
    """
    Image.MAX_IMAGE_PIXELS = rules.max_pixels
    weight = _WEIGHTS.get(kind.type, 1)
    most = rules.max_pixels // weight
    if has_too_many_parts(data):
        raise InvalidRequest(
            f"The photo ({kind.type}) consists of more parts than cameras and programs write."
            " Save it anew and send it again."
        )
    try:
        image = _opened(data, kind)
        pixels = math.prod(image.size)
        if pixels > most:
            raise Image.DecompressionBombError
        if pixels * _frames(image, kind) > rules.max_pixels:
            raise PayloadTooLarge(
                f"The frames of the animation have more than {rules.max_pixels:,} pixels"
                " in all ([media] max_pixels). Make it smaller or shorter and send it again."
            )
        with ONE_LARGE if pixels * weight > _LARGE else nullcontext():
            return _prepare(data, kind, rules)
    except _BOMB as error:
        raise PayloadTooLarge(
            f"The photo has more than {most:,} pixels ([media] max_pixels). "
            "Make it smaller and send it again."
        ) from error
    except _DAMAGED as error:
        raise InvalidRequest(
            f"The photo ({kind.type}) is damaged or incomplete. Send it again, or save it anew."
        ) from error


def _opened(data: bytes, kind: Kind) -> Image.Image:
    """A photo that is not decoded yet."""
    return Image.open(io.BytesIO(data), formats=(_ENCODINGS[kind.type]["format"],))


def _frames(image: Image.Image, kind: Kind) -> int:
    """The number of frames that a file declares; the further pictures of a JPEG are cut off."""
    return 1 if kind is JPEG else int(getattr(image, "n_frames", 1))


def _square(image: Image.Image, side: int) -> Picture:
    """The square middle of a picture, scaled to ``side`` pixels."""
    image.draft("RGB", (2 * side, 2 * side))
    upright = ImageOps.exif_transpose(image)
    mode = "RGBA" if upright.has_transparency_data else "RGB"
    face = ImageOps.fit(upright.convert(mode), (side, side), Image.Resampling.LANCZOS)
    face.info = {}
    target = io.BytesIO()
    face.save(target, format="WEBP", quality=75, method=6)
    return Picture(target.getvalue(), side, side)


def _prepare(data: bytes, kind: Kind, rules: PhotoRules) -> Picture:
    image = _opened(data, kind)
    if rules.square:
        return _square(image, rules.square)
    # A JPEG with several pictures (MPO) is a photo with previews, not an animation.
    if kind is GIF or (getattr(image, "is_animated", False) and kind is not JPEG):
        return Picture(_cleaned(data, kind, rules), image.width, image.height)
    turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    compression = _compression(image)
    if turned:
        # The previous image is freed at once with its decoder: each uses hundreds of megabytes.
        image = ImageOps.exif_transpose(image)
    large = 0 < rules.max_side < max(image.size)
    if large:
        image = _resized(image, rules.max_side / max(image.size))
    if turned or large:
        clean = _encoded(image, kind, rules, _NO_OPTIONS if large else compression)
    else:
        clean = _cleaned(data, kind, rules)
    return Picture(clean, image.width, image.height, _copies(image, kind, rules))


def _compression(image: Image.Image) -> Mapping[str, Any]:
    """Encoder options for a JPEG that is only rotated: the original's quantisation, so that
    size and quality stay the same.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return _NO_OPTIONS
    # 0 is 4:4:4 and 2 is 4:2:0; other subsamplings would have to be rotated, too.
    subsampling = 2 if JpegImagePlugin.get_sampling(image) == 2 else 0
    return {"quality": -1, "qtables": image.quantization, "subsampling": subsampling}


def _cleaned(data: bytes, kind: Kind, rules: PhotoRules) -> bytes:
    """The photo without its private metadata, pixels unchanged."""
    if rules.keep_exif:
        return data
    return STRIP[kind.type](data)


def _resized(image: Image.Image, factor: float) -> Image.Image:
    if image.mode not in _SCALABLE:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _copies(image: Image.Image, kind: Kind, rules: PhotoRules) -> tuple[tuple[int, bytes], ...]:
    """Smaller copies for ``srcset``, by width; none where the photo is not larger."""
    widths = sorted({width for width in rules.sizes if width < image.width})
    bare = replace(rules, keep_exif=False)
    return tuple(
        (width, _encoded(_resized(image, width / image.width), kind, bare)) for width in widths
    )


def _encoded(
    image: Image.Image, kind: Kind, rules: PhotoRules, compression: Mapping[str, Any] = _NO_OPTIONS
) -> bytes:
    """Encode a picture. Its ``info`` is modified."""
    options = {**_ENCODINGS[kind.type], **compression}
    if kind is JPEG and math.prod(image.size) > _LARGE:
        # Either option would make the encoder hold the whole photo in memory again.
        options |= {"optimize": False, "progressive": False}
    if rules.keep_exif:
        options["exif"] = image.getexif()
    image.info = {key: value for key, value in image.info.items() if key in _KEPT_INFO}
    profile = image.info.get("icc_profile")
    if profile and not rules.keep_exif:
        profile = clean_profile(profile)
    target = io.BytesIO()
    image.save(target, icc_profile=profile, **options)
    return target.getvalue()
