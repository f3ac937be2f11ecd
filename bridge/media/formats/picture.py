"""Settings and results of image processing: the values that are passed between the processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

from bridge.errors import InvalidRequest, PayloadTooLarge

#: Names of the errors that the subprocess reports.
REFUSALS: dict[str, type[InvalidRequest | PayloadTooLarge]] = {
    "invalid": InvalidRequest,
    "large": PayloadTooLarge,
}


class PhotoRules(Struct, frozen=True):
    """What to do with photos (the ``[media]`` section).

    ``max_side`` is the largest side in pixels, to which larger photos are scaled (0: never);
    ``sizes`` are the widths of the copies for ``srcset``. ``square`` crops to a square WebP of that
    side, from the first frame (0: not), for author pictures.
    """

    keep_exif: bool = False
    max_pixels: int = 64_000_000
    max_side: int = 0
    sizes: tuple[int, ...] = ()
    square: int = 0

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """The rules from decoded JSON."""
        return cls(**{**data, "sizes": tuple(data["sizes"])})


class Picture(Struct, frozen=True):
    """A processed photo, and its scaled copies by width."""

    data: bytes
    width: int
    height: int
    copies: tuple[tuple[int, bytes], ...] = ()
