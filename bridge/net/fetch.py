"""Fetches untrusted URLs, guarded against server-side request forgery (SSRF).

Every address is checked where it counts: at the moment a socket is made for it, after all
resolving, for every hop. A name that changes between a check and the connection has no second
chance, since there is no other check.

This machine's own addresses are refused as well, public ones included: what a firewall keeps from
the world is open from within. Elsewhere only the web's own ports are reached, since the same holds
for the host that a container runs on, whose addresses are not the container's.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bridge.net.address_guard import is_loopback, may_connect
from bridge.net.bounded import read_bounded
from bridge.net.web_url import BadURL, parse

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: "The user agent MUST NOT change the request method" (RFC 9110 15.4.8, 15.4.9).
_KEEP_METHOD = frozenset({307, 308})
#: How we are known: some hosts refuse requests without a name.
AGENT = "pelican-indieauth"

_WEB_PORTS = frozenset({80, 443})
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page: the URL it was finally found at, status, headers, and decompressed body."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header that may be repeated."""
        if isinstance(self.headers, CIMultiDict | CIMultiDictProxy):
            return list(self.headers.getall(name, []))
        return [value for key, value in self.headers.items() if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class _Limit:
    """How much of a body is read: at most so many bytes, of these Content-Types alone. A longer
    one is ``cut``, or an error."""

    max_bytes: int
    cut: bool = False
    reads: Callable[[str], bool] | None = None


class FetchError(Exception):
    """The page cannot be had; says why, without anything secret."""


class ForbiddenAddress(FetchError):
    """The address is none that may be reached, now or later."""


class _ForbiddenAddressError(OSError):
    """An address that no stranger may have us connect to."""


class GuardedFetch:
    """Fetches public http(s) URLs, within bounds. Use as an async context manager, or ``close``.

    ``allow_loopback`` lets loopback addresses be reached as well, at any port: for the demo and
    for tests. ``resolver`` turns names into addresses; by default the system's. ``admits`` judges
    each address (:func:`may_connect`). ``any_port``: at others than the web's own, too: only for
    addresses that no stranger has chosen.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        resolver: AbstractResolver | None = None,
        admits: Callable[[str], bool] | None = None,
        any_port: bool = False,
    ) -> None:
        self._any_port = any_port
        self._resolver = resolver
        self._admits = admits or partial(may_connect, allow_loopback=allow_loopback)
        self._session: aiohttp.ClientSession | None = None

    async def fetch(
        self,
        url: str,
        *,
        max_bytes: int = 512 * 1024,
        timeout: float = 5.0,  # noqa: ASYNC109 - bounds all hops together, and is ended inside
        accept: str = "text/html",
        redirects: int = 5,
        agent: str = AGENT,
        cut: bool = False,
        reads: Callable[[str], bool] | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Fetched:
        """GET a page. ``timeout`` is for everything together, ``max_bytes`` for the plain body.

        ``cut``: of a longer body its beginning is returned. ``reads`` says by its Content-Type
        whether a body is worth reading; others stay empty. ``headers`` are sent as well.
        Any status that is not a redirect is returned. Raises :class:`FetchError` for a forbidden
        address, a broken connection, a body over the limit.
        """
        sent = {"Accept": accept, "User-Agent": agent, **headers}
        try:
            async with asyncio.timeout(timeout):
                for _ in range(redirects + 1):
                    fetched = await self._hop("GET", url, sent, _Limit(max_bytes, cut, reads))
                    target = fetched.headers.get("Location")
                    if redirects == 0 or fetched.status not in _REDIRECTS or target is None:
                        return fetched
                    url = _joined(fetched.url, target)
        except TimeoutError as error:
            raise FetchError("it took too long") from error
        raise FetchError("it redirects too often")

    async def post(
        self,
        url: str,
        form: Mapping[str, str],
        *,
        max_bytes: int = 16 * 1024,
        timeout: float = 30.0,  # noqa: ASYNC109 - bounds all hops together, and is ended inside
        accept: str = "application/json",
        redirects: int = 3,
        agent: str = AGENT,
    ) -> Fetched:
        """POST a form, and again where the answer is a redirect that keeps the method.

        Only the beginning of the answer is read. Raises as :meth:`fetch`.
        """
        sent = {"Accept": accept, "User-Agent": agent}
        try:
            async with asyncio.timeout(timeout):
                for _ in range(redirects + 1):
                    answer = await self._hop("POST", url, sent, _Limit(max_bytes, cut=True), form)
                    target = answer.headers.get("Location")
                    if answer.status not in _KEEP_METHOD or target is None:
                        return answer
                    url = _joined(answer.url, target)
        except TimeoutError as error:
            raise FetchError("it took too long") from error
        raise FetchError("it redirects too often")

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        data: bytes | aiohttp.FormData | None = None,
        max_bytes: int = 4 * 1024 * 1024,
        timeout: float = 30.0,  # noqa: ASYNC109 - bounds the whole call, and is ended inside
    ) -> Fetched:
        """One request of any method to an API, whose redirects are not followed.

        Raises as :meth:`fetch`.
        """
        sent = {"Accept": "application/json", "User-Agent": AGENT, **headers}
        try:
            async with asyncio.timeout(timeout):
                return await self._hop(method, url, sent, _Limit(max_bytes), data)
        except TimeoutError as error:
            raise FetchError("it took too long") from error

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> GuardedFetch:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _hop(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        limit: _Limit,
        form: Mapping[str, str] | bytes | aiohttp.FormData | None = None,
    ) -> Fetched:
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            # The raw string is judged first; a fragment is ours to drop, not a reason to refuse.
            target = str(parse(url.partition("#")[0]))
            # As it is written: to some servers "%2F" and "/" are not the same.
            exact = URL(target, encoded=target.isascii())
            async with self._open().request(
                method, exact, headers=headers, data=form, allow_redirects=False
            ) as response:
                body = await _body(response, limit)
                return Fetched(target, response.status, response.headers, body)
        except BadURL as error:
            raise ForbiddenAddress(f"its address cannot be used: {error}") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _ForbiddenAddressError):
                raise ForbiddenAddress(str(error.os_error)) from error
            raise FetchError("it cannot be reached") from error
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            if isinstance(error, TimeoutError):
                raise
            raise FetchError("it cannot be reached") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._resolver,
                    use_dns_cache=False,
                    force_close=True,
                    socket_factory=self._socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                requote_redirect_url=False,
            )
        return self._session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for exactly this address, which is connected to next, or refuse."""
        family, kind, protocol, _, address = info
        if not self._admits(str(address[0])):
            raise _ForbiddenAddressError("its address is not on the public Internet")
        is_usual = address[1] in _WEB_PORTS or self._any_port
        if not is_usual and not is_loopback(str(address[0])):
            raise _ForbiddenAddressError("its port is not one of the web's, 80 and 443")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def _joined(base: str, target: str) -> str:
    """Where a redirect leads. Raises :class:`FetchError` for what is not an address."""
    try:
        return urljoin(base, target)
    except ValueError as error:
        raise FetchError("it redirects to what is not an address") from error


async def _body(response: aiohttp.ClientResponse, limit: _Limit) -> bytes:
    """The body, within the limit of this request."""
    if limit.reads is not None and not limit.reads(response.headers.get("Content-Type", "")):
        return b""
    decompressor = _decompressor(response.headers.get("Content-Encoding", ""))
    body, is_longer = await read_bounded(response, limit.max_bytes, decompressor)
    if is_longer and not limit.cut:
        raise FetchError(f"it is longer than {limit.max_bytes} bytes")
    return body


def _decompressor(encoding: str) -> zlib._Decompress | None:
    """For servers that compress although they were asked not to."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raise FetchError("it is compressed in a way that is not understood")
