"""Photos, made fit to be shown: upright, without private metadata, not larger than wanted.

A photo that needs nothing is stored as it came. Metadata is cut out without decoding
(:mod:`bridge.media.metadata`); pixels are encoded again only to turn or to scale them.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageOps, JpegImagePlugin

from bridge.errors import InvalidRequest, PayloadTooLarge
from bridge.media.metadata import strip_jpeg, strip_png, strip_webp
from bridge.media.sniff import AVIF, GIF, JPEG, PNG, WEBP, Kind

_ORIENTATION = 0x0112

#: What Pillow and its decoders raise on damaged files.
_DAMAGED = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError),
    struct.error,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

#: Pillow warns between its limit and twice that, and refuses beyond; here the limit is the limit.
warnings.simplefilter("error", Image.DecompressionBombWarning)

#: How pixels are written anew, where they have to be. A GIF never is: it has no Exif to act on.
_ENCODINGS: dict[str, dict[str, Any]] = {
    JPEG.type: {"format": "JPEG", "quality": 88, "optimize": True, "progressive": True},
    PNG.type: {"format": "PNG", "optimize": True},
    GIF.type: {"format": "GIF"},
    WEBP.type: {"format": "WEBP", "quality": 88},
    AVIF.type: {"format": "AVIF", "quality": 80},
}
_STRIP: dict[str, Callable[[bytes], bytes]] = {
    JPEG.type: strip_jpeg,
    PNG.type: strip_png,
    WEBP.type: strip_webp,
}
#: What of Pillow's ``info`` belongs to the picture itself. A JPEG's comment, for one, does not.
_KEPT_INFO = frozenset({"icc_profile", "transparency", "gamma"})
_SCALABLE = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the owner wants done with photos (the ``[media]`` section).

    ``max_side`` scales a larger photo down to that many pixels on its longer side (0: never);
    ``sizes`` are the widths of the copies for ``srcset``.
    """

    keep_exif: bool = False
    max_pixels: int = 100_000_000
    max_side: int = 0
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo ready to be stored, and its scaled copies by their width."""

    data: bytes
    width: int
    height: int
    copies: tuple[tuple[int, bytes], ...] = ()


def prepare(data: bytes, kind: Kind, rules: Rules) -> Picture:
    """Make a photo fit to be shown. Blocks for as long as decoding takes.

    Raises :class:`PayloadTooLarge` for one with more pixels than ``rules.max_pixels`` (before any
    of them is decoded), :class:`InvalidRequest` for one that is damaged.
    """
    Image.MAX_IMAGE_PIXELS = rules.max_pixels
    try:
        with Image.open(io.BytesIO(data), formats=(_ENCODINGS[kind.type]["format"],)) as image:
            return _prepare(data, image, kind, rules)
    except _BOMB as error:
        raise PayloadTooLarge(
            f"The photo has more than {rules.max_pixels:,} pixels ([media] max_pixels). "
            "Make it smaller and send it again."
        ) from error
    except _DAMAGED as error:
        raise InvalidRequest(
            f"The photo ({kind.type}) is damaged or incomplete. Send it again, or save it anew."
        ) from error


def _prepare(data: bytes, image: Image.Image, kind: Kind, rules: Rules) -> Picture:
    # A JPEG of several pictures (MPO) is one photo with others behind it, not an animation.
    if kind is GIF or (getattr(image, "is_animated", False) and kind is not JPEG):
        return Picture(_cleaned(data, image, kind, rules), image.width, image.height)
    turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    shown = ImageOps.exif_transpose(image) if turned else image
    large = 0 < rules.max_side < max(shown.size)
    if large:
        shown = _resized(shown, rules.max_side / max(shown.size))
    if turned or large:
        clean = _encoded(shown, kind, rules, like=None if large else image)
    else:
        clean = _cleaned(data, image, kind, rules)
    return Picture(clean, shown.width, shown.height, _copies(shown, kind, rules))


def _cleaned(data: bytes, image: Image.Image, kind: Kind, rules: Rules) -> bytes:
    """The photo without its private metadata, pixels untouched where the format allows it."""
    if rules.keep_exif:
        return data
    if kind.type in _STRIP:
        return _STRIP[kind.type](data)
    if image.info.keys() & {"exif", "xmp"}:
        return _encoded(image, kind, rules, like=None)
    return data


def _resized(image: Image.Image, factor: float) -> Image.Image:
    if image.mode not in _SCALABLE:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _copies(image: Image.Image, kind: Kind, rules: Rules) -> tuple[tuple[int, bytes], ...]:
    """Smaller copies for ``srcset``; none that would not be smaller."""
    widths = sorted({width for width in rules.sizes if width < image.width})
    bare = replace(rules, keep_exif=False)
    return tuple(
        (width, _encoded(_resized(image, width / image.width), kind, bare, like=None))
        for width in widths
    )


def _encoded(image: Image.Image, kind: Kind, rules: Rules, *, like: Image.Image | None) -> bytes:
    """A picture as bytes.

    ``like`` is the JPEG that it comes from when only turned: it is compressed exactly as hard as
    that one was, so that it neither grows nor visibly loses.
    """
    options = dict(_ENCODINGS[kind.type])
    if kind is JPEG and isinstance(like, JpegImagePlugin.JpegImageFile):
        del options["quality"]
        options["qtables"] = like.quantization
        # 0 is 4:4:4, 2 is 4:2:0; anything else would have to be turned, too.
        options["subsampling"] = 2 if JpegImagePlugin.get_sampling(like) == 2 else 0
    if rules.keep_exif:
        options["exif"] = image.getexif()
    if getattr(image, "is_animated", False) and kind is AVIF:
        options["save_all"] = True
    else:
        image = image.copy()
        image.info = {key: value for key, value in image.info.items() if key in _KEPT_INFO}
    target = io.BytesIO()
    image.save(target, icc_profile=image.info.get("icc_profile"), **options)
    return target.getvalue()
