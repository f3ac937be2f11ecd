"""Scales photos in a subprocess (:mod:`~.fit`).

A post may show pictures of other sites, and a small malicious file can make a decoder use much time
or memory; the subprocess limits both.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from msgspec import Struct

from bridge.net.sandboxed_parse import run_in_subprocess

_PROGRAM = "bridge.syndication.compose.fit"
_SECONDS = 180.0


class NoImage(Exception):
    """The file cannot be used as a photo; the text says why."""


class Photo(Struct, frozen=True):
    """A photo as it is sent."""

    data: bytes
    mime: str
    width: int
    height: int


async def fit_in_subprocess(
    data: bytes,
    *,
    most_bytes: int,
    longest: int,
    most_pixels: int = 100_000_000,
    mimes: Collection[str] = ("image/jpeg", "image/png", "image/webp"),
) -> Photo:
    """Run :func:`~.fit.fit` in a subprocess. Raises :class:`NoImage`."""
    limits = {"most_bytes": most_bytes, "longest": longest, "most_pixels": most_pixels}
    request = json.dumps({**limits, "mimes": [*mimes]}).encode()
    answer = await run_in_subprocess("-m", _PROGRAM, data=request + b"\n" + data, seconds=_SECONDS)
    if not answer:
        raise NoImage("decoding it takes too much time or memory")
    line, _, made = answer.partition(b"\n")
    header = json.loads(line)
    if "why" in header:
        raise NoImage(header["why"])
    return Photo(made, header["mime"], header["width"], header["height"])
