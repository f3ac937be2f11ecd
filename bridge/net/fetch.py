"""Fetches untrusted URLs, guarded against server-side request forgery (SSRF).

Addresses are checked when the socket is created, after name resolution and for every redirect, so a
name that resolves differently later (DNS rebinding) gains nothing.

This machine's own addresses are rejected even if they are public, since a firewall does not filter
connections from within. The same holds for a container's host, whose addresses are not known here,
so on other machines only the ports 80 and 443 are allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import zlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bridge.net.address_guard import is_loopback, may_connect
from bridge.net.resolver import Resolver
from bridge.net.web_url import BadURL, parse

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: "The user agent MUST NOT change the request method" (RFC 9110 15.4.8, 15.4.9).
_KEEP_METHOD = frozenset({307, 308})
_NONE: frozenset[int] = frozenset()
#: The User-Agent; some hosts reject requests without one.
AGENT = "pelican-indieauth"
#: How much of a response is parsed at a time. The most expensive bytes that were found take 15 ms.
_PIECE = 8 * 1024
_WEB_PORTS = frozenset({80, 443})
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


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


class Fetched(Struct, frozen=True):
    """A response: the URL after redirects, status, headers, and decompressed body."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def all(self, name: str) -> list[str]:
        """All values of a header."""
        if isinstance(self.headers, CIMultiDict | CIMultiDictProxy):
            return list(self.headers.getall(name, []))
        return [value for key, value in self.headers.items() if key.lower() == name.lower()]


class _Limit(Struct, frozen=True):
    """How much of a body is read: at most ``max_bytes``, and only of Content-Types that
    ``reads`` accepts. A longer body is ``cut`` or an error.
    """

    max_bytes: int
    cut: bool = False
    reads: Callable[[str], bool] | None = None


class FetchError(Exception):
    """The page could not be fetched; the text says why, without secrets."""


class ForbiddenAddress(FetchError):
    """The URL's address is not allowed, now or later."""


class _ForbiddenAddressError(OSError):
    """An address that is not allowed."""


class _Request(Struct, frozen=True):
    """What is sent to a URL, and again to each to which it redirects."""

    method: str
    headers: Mapping[str, str]
    limit: _Limit
    data: Mapping[str, str] | bytes | aiohttp.FormData | None = None


class _Socket(socket.socket):
    """A socket that returns little data at a time.

    aiohttp parses what it gets in one go, so a server's endless 1xx responses, or chunks of one
    byte, would hold up all other requests.
    """

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return super().recv(min(bufsize, _PIECE), flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0, /) -> int:
        most = min(nbytes or memoryview(buffer).nbytes, _PIECE)
        return super().recv_into(buffer, most, flags)


class _Connections:
    """Connections to addresses that ``admits`` allows, at ports 80 and 443 or at ``any_port``."""

    def __init__(
        self, admits: Callable[[str], bool], resolver: AbstractResolver | None, *, any_port: bool
    ) -> None:
        self._admits = admits
        self._resolver = resolver
        self._any_port = any_port
        self._session: aiohttp.ClientSession | None = None

    async def request(self, url: str, sent: _Request) -> Fetched:
        """Make one request, following no redirect. Raises :class:`FetchError`."""
        headers = {"Accept-Encoding": "identity", **sent.headers}
        try:
            # The URL is validated as received. Its fragment is dropped, not an error.
            target = str(parse(url.partition("#")[0]))
            # As written: some servers treat "%2F" and "/" differently.
            exact = URL(target, encoded=target.isascii())
            async with self._open().request(
                sent.method, exact, headers=headers, data=sent.data, allow_redirects=False
            ) as response:
                body = await _body(response, sent.limit)
                return Fetched(target, response.status, response.headers, body)
        except BadURL as error:
            raise ForbiddenAddress(f"its URL cannot be used: {error}") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _ForbiddenAddressError):
                raise ForbiddenAddress(str(error.os_error)) from error
            raise FetchError("it could not be reached") from error
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            if isinstance(error, TimeoutError):
                raise
            raise FetchError("it could not be reached") from error

    async def close(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._resolver or Resolver(),
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
        """Create the socket for this address, or reject the address."""
        family, kind, protocol, _, address = info
        if not self._admits(str(address[0])):
            raise _ForbiddenAddressError("its address is not on the public Internet")
        is_usual = address[1] in _WEB_PORTS or self._any_port
        if not is_usual and not is_loopback(str(address[0])):
            raise _ForbiddenAddressError("its port is neither 80 nor 443")
        made = _Socket(family, kind, protocol)
        made.setblocking(False)
        return made


class GuardedFetch:
    """Fetches public http(s) URLs within limits. Use as an async context manager, or call
    ``close``.

    ``allow_loopback`` also allows loopback addresses at any port, for the demo and for tests.
    ``resolver`` resolves names, by default the system's. ``admits`` decides about each address
    (default :func:`may_connect`). ``any_port`` allows all ports, for URLs from the settings only.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        resolver: AbstractResolver | None = None,
        admits: Callable[[str], bool] | None = None,
        any_port: bool = False,
    ) -> None:
        self._connections = _Connections(
            admits or partial(may_connect, allow_loopback=allow_loopback),
            resolver,
            any_port=any_port,
        )

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
        """GET a page.

        ``timeout`` covers all redirects, ``max_bytes`` the decompressed body. ``cut`` returns the
        start of a longer body in place of an error. ``reads`` decides by Content-Type whether the
        body is read; otherwise it is empty. ``headers`` are sent in addition. Returns responses of
        any status but redirects. Raises :class:`FetchError` for a forbidden address, a network
        error or a body over the limit.
        """
        given = {"Accept": accept, "User-Agent": agent, **headers}
        sent = _Request("GET", given, _Limit(max_bytes, cut, reads))
        # Where none is followed, a redirect is returned like any other response.
        return await self._follow(url, sent, _REDIRECTS if redirects else _NONE, timeout, redirects)

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
        """POST a form, again at each redirect that keeps the method.

        Only the start of the response is read. Raises as :meth:`fetch`.
        """
        headers = {"Accept": accept, "User-Agent": agent}
        sent = _Request("POST", headers, _Limit(max_bytes, cut=True), form)
        return await self._follow(url, sent, _KEEP_METHOD, timeout, redirects)

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
        """Make one API request with any method. Redirects are not followed.

        Raises as :meth:`fetch`.
        """
        given = {"Accept": "application/json", "User-Agent": AGENT, **headers}
        return await self._follow(
            url, _Request(method, given, _Limit(max_bytes), data), _NONE, timeout, 0
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def __aenter__(self) -> GuardedFetch:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _connections_to(self, _url: str, /) -> _Connections:
        """The connections for a URL."""
        return self._connections

    async def _follow(
        self, url: str, sent: _Request, statuses: frozenset[int], seconds: float, redirects: int
    ) -> Fetched:
        """Make a request, and the same again at each redirect with one of these ``statuses``.

        ``seconds`` is for all of them together.
        """
        try:
            async with asyncio.timeout(seconds):
                for _ in range(redirects + 1):
                    fetched = await self._connections_to(url).request(url, sent)
                    target = fetched.headers.get("Location")
                    if fetched.status not in statuses or target is None:
                        return fetched
                    url = _joined(fetched.url, target)
        except TimeoutError as error:
            raise FetchError("it took too long") from error
        raise FetchError("it redirects too often")


class OwnPages(GuardedFetch):
    """Fetches pages of some ``hosts`` (``host`` or ``host:port``) wherever these are, on a private
    address or on this machine, too. Others, to which one may redirect, are as any stranger's.
    """

    def __init__(self, hosts: Collection[str]) -> None:
        super().__init__(admits=lambda _: True, any_port=True)
        self._hosts = hosts
        self._others = _Connections(may_connect, None, any_port=False)

    async def close(self) -> None:
        """Close the connections."""
        await super().close()
        await self._others.close()

    def _connections_to(self, url: str, /) -> _Connections:
        with contextlib.suppress(BadURL):
            parts = parse(url.partition("#")[0])
            name = f"{parts.host}:{parts.port}" if parts.port_given else parts.host
            if name in self._hosts or (parts.host in self._hosts and parts.port in _WEB_PORTS):
                return self._connections
        return self._others


def _joined(base: str, target: str) -> str:
    """The target of a redirect. Raises :class:`FetchError` where it is not a URL."""
    try:
        return urljoin(base, target)
    except ValueError as error:
        raise FetchError("it redirects to an invalid URL") from error


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
    """A decompressor, for servers that compress although the request does not accept it; ``None``
    for identity.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raise FetchError("its content encoding is not supported")
