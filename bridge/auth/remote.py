"""One bounded request to a verification endpoint, and how its response is interpreted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from bridge.errors import InvalidToken, Unavailable
from bridge.net.bounded import read_bounded

SECONDS = 5.0
MAX_BYTES = 64 * 1024

_NO = frozenset({400, 401, 403, 404})


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> bytes:
    """Send one request and return the body of its 200 reply.

    The endpoint says no with 400, 401, 403 or 404: :class:`InvalidToken`. Everything else (other
    statuses, a redirect, a broken connection, bad TLS, too slow, too long) is
    :class:`Unavailable`. A redirect is never followed: the request carries the token.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            session.request(
                method,
                url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
                data=form,
                allow_redirects=False,
                auto_decompress=False,
            ) as response,
        ):
            if response.status in _NO:
                raise InvalidToken("The issuer of this token says that it is not valid.")
            if response.status != 200:
                raise Unavailable(f"The token endpoint answered {response.status}.")
            return await _read(response)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # The text of an aiohttp error may hold the URL or a header; it goes no further.
        raise Unavailable("The token endpoint cannot be reached.") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unavailable("The token endpoint's reply is compressed, which was not asked for.")
    body, is_longer = await read_bounded(response, MAX_BYTES)
    if is_longer:
        raise Unavailable("The token endpoint's reply is too long.")
    return body
