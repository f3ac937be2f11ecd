"""Reads the body of a response up to a limit."""

from __future__ import annotations

from typing import Protocol

import aiohttp


class Decompressor(Protocol):
    """What :func:`zlib.decompressobj` returns, as far as it is needed here."""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        """Some of the decompressed bytes, at most ``max_length`` of them."""
        ...


async def read_bounded(
    response: aiohttp.ClientResponse, max_bytes: int, decompressor: Decompressor | None = None
) -> tuple[bytes, bool]:
    """The body, cut after ``max_bytes``, and whether it was longer.

    It is decompressed piece by piece, so that a bomb ends at the limit, too. Raises what aiohttp
    raises for a broken connection, and ``zlib.error``.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        room = max_bytes + 1 - len(body)
        body += decompressor.decompress(chunk, room) if decompressor else chunk[:room]
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False
