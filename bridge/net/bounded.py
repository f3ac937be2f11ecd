"""Reads the body of a response up to a limit."""

from __future__ import annotations

from typing import Protocol

import aiohttp


class Decompressor(Protocol):
    """The used part of what :func:`zlib.decompressobj` returns."""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        """At most ``max_length`` of the decompressed bytes."""
        ...


async def read_bounded(
    response: aiohttp.ClientResponse, max_bytes: int, decompressor: Decompressor | None = None
) -> tuple[bytes, bool]:
    """The body, cut after ``max_bytes``, and whether it was longer.

    It is decompressed piece by piece, so that a decompression bomb ends at the limit. Raises what
    aiohttp raises for a broken connection, and ``zlib.error``.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        room = max_bytes + 1 - len(body)
        body += decompressor.decompress(chunk, room) if decompressor else chunk[:room]
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False
