"""Requests to a verification endpoint, limited in time and size."""

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
    """Send one request and return the body of a 200 response.

    Raises :class:`InvalidToken` for 400, 401, 403 and 404, and :class:`Unavailable` for other
    statuses, redirects, network errors, and responses that are too slow or too long. Redirects are
    not followed, since the request has the token.
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
                raise InvalidToken("The issuer of this token reports that it is not valid.")
            if response.status != 200:
                raise Unavailable(f"The token endpoint answered {response.status}.")
            return await _read(response)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # An aiohttp error may contain the URL or a header, so its text is not passed on.
        raise Unavailable("The token endpoint could not be reached.") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unavailable("The token endpoint sent a compressed response, which was not requested.")
    body, is_longer = await read_bounded(response, MAX_BYTES)
    if is_longer:
        raise Unavailable("The token endpoint's response is too long.")
    return body
