"""HTTP requests of the checks. A failed request is a result and not an exception."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from bridge.net.fetch import read_bounded

_MOST = 1_000_000
#: How long a request may take: ``check`` is run by a person, who waits for it.
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The response; ``status`` is 0 and ``text`` the reason where there was none, and ``remedy``
    what helps if that does not depend on who was asked.
    """

    status: int
    text: str
    links: list[str] = field(default_factory=list)
    url: str = ""
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    remedy: str = ""

    @property
    def json(self) -> dict[str, object]:
        """The JSON object in the body; ``{}`` where it is not one."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def words(self) -> str:
        """The result as a part of a sentence."""
        return f"answers {self.status}" if self.status else f"cannot be reached: {self.text}"


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    *,
    token: str = "",
    accept: str = "application/json",
    data: bytes | None = None,
    form: Mapping[str, str] | None = None,
) -> HttpAnswer:
    """GET ``url``, or POST if there is ``data`` or a ``form``."""
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
    body: io.BytesIO | aiohttp.FormData | None = None if data is None else io.BytesIO(data)
    if form is not None:
        body = aiohttp.FormData(dict(form))
    method = "GET" if body is None else "POST"
    limit = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with session.request(
            method, url, headers=headers, data=body, timeout=limit
        ) as response:
            raw, _ = await read_bounded(response, _MOST)
            return HttpAnswer(
                response.status,
                raw.decode("utf-8", "replace"),
                response.headers.getall("Link", []),
                str(response.url),
                raw,
                response.headers.get("Content-Type", ""),
            )
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return HttpAnswer(0, _reason(error), remedy=remedy_for(error))


def _reason(error: Exception) -> str:
    """Why there was no response, without what aiohttp says about itself."""
    if isinstance(error, TimeoutError):
        return "it did not respond in time"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if (type(cause) is OSError or isinstance(cause, ConnectionError)) and cause.errno:
        # asyncio writes the address into the text.
        return os.strerror(cause.errno).lower()
    if isinstance(cause, socket.gaierror) and cause.strerror:
        return cause.strerror.lower()
    return str(cause) or type(error).__name__


def remedy_for(error: Exception) -> str:
    """What helps where no server was reached, or none that can be trusted."""
    if isinstance(error, aiohttp.ClientSSLError):
        return "Have the web server present a valid certificate for that name."
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if not isinstance(cause, socket.gaierror):
        return ""
    if cause.errno == socket.EAI_AGAIN:
        return "This machine cannot look up any name just now: check its network."
    return "Create a DNS record for that name, or correct the name."
