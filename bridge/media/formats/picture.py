"""What is wanted of a photo, and what it has become: values that both processes know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bridge.errors import InvalidRequest, PayloadTooLarge

#: What a refusal is called between the bridge and the process that looks at an upload.
REFUSALS: dict[str, type[InvalidRequest | PayloadTooLarge]] = {
    "invalid": InvalidRequest,
    "large": PayloadTooLarge,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the owner wants done with photos (the ``[media]`` section).

    ``max_side`` scales a larger photo down to that many pixels on its longer side (0: never);
    ``sizes`` are the widths of the copies for ``srcset``. ``square`` makes it a square of so many
    pixels, in WebP and of its first picture alone, as faces are (0: not).
    """

    keep_exif: bool = False
    max_pixels: int = 64_000_000
    max_side: int = 0
    sizes: tuple[int, ...] = ()
    square: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Rules that went through JSON."""
        return cls(**{**told, "sizes": tuple(told["sizes"])})


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo ready to be stored, and its scaled copies by their width."""

    data: bytes
    width: int
    height: int
    copies: tuple[tuple[int, bytes], ...] = ()
