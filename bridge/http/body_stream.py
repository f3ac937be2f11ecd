"""Reads a request's body in small pieces, with limits on its size and its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bridge.errors import InvalidRequest, PayloadTooLarge, Unavailable
from bridge.runtime.fair_queue import RecentUse, fair_queue

#: Called before bytes are kept. Raises if there is no room for them.
Take: TypeAlias = Callable[[int], None]
#: How many bytes are parsed at a time. The most expensive ones that were found take 4 ms.
_PIECE = 8 * 1024
#: How many bytes are read, at most, by the call that waits for more.
_AT_ONCE = 64
#: Clients that wait for an answer come before clients that are still sending.
_HANDICAP = 0.05


class ByteBudget:
    """A number of bytes that the bodies of all unauthenticated requests share."""

    def __init__(self, size: int) -> None:
        self._left = size

    @contextmanager
    def share(self) -> Iterator[Take]:
        """Take bytes from the budget for one body; all of them are returned at the end.

        Taking raises :class:`Unavailable` if other bodies hold the rest.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._left:
                raise Unavailable(
                    "Too many unauthenticated uploads at once. Send your token in the Authorization"
                    " header, or try again."
                )
            self._left -= count
            taken += count

        try:
            yield take
        finally:
            self._left += taken


def too_large(limit: int) -> PayloadTooLarge:
    """The error for a body over ``limit`` bytes."""
    return PayloadTooLarge(
        f"The request is larger than {limit:,} bytes, the largest that is accepted."
    )


async def receive(
    request: web.Request, use: Callable[[bytes], object], *, max_bytes: int, seconds: float
) -> None:
    """Pass the body to ``use``, piece by piece, sharing the event loop fairly with other requests.

    Raises what ``use`` raises; :class:`PayloadTooLarge` as soon as the client announces or sends
    more than ``max_bytes``; :class:`InvalidRequest` for a body that breaks off, is not encoded as
    its headers say, or has not arrived after ``seconds``.
    """
    # A client that announces too much is answered before it has sent anything.
    if (request.content_length or 0) > max_bytes:
        raise too_large(max_bytes)
    account, size = RecentUse(_HANDICAP), 0

    def use_more(piece: bytes) -> None:
        # Joining chunks of one byte is expensive, so this waits for its turn, too.
        nonlocal size
        piece += request.content.read_nowait(_PIECE)
        size += len(piece)
        if size > max_bytes:
            raise too_large(max_bytes)
        use(piece)

    try:
        async with asyncio.timeout(seconds):
            while some := await request.content.read(_AT_ONCE):
                await fair_queue().run(account, _PIECE, partial(use_more, some))
    except TimeoutError as error:
        raise InvalidRequest(
            f"The body was not complete after {seconds:.0f} seconds."
            " Send it again, or send less at once."
        ) from error
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError, RuntimeError) as error:
        # aiohttp raises RuntimeError where the connection was closed before the read began.
        if isinstance(error, RuntimeError) and request.transport is not None:
            raise
        raise InvalidRequest("The body is truncated, or not encoded as its headers say.") from error


async def receive_all(request: web.Request, *, max_bytes: int, seconds: float) -> bytes:
    """The whole body; raises as :func:`receive`."""
    data = bytearray()
    await receive(request, data.extend, max_bytes=max_bytes, seconds=seconds)
    return bytes(data)
