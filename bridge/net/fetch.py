"""Fetching addresses that strangers chose, so that they cannot reach what only this machine can.

Every address is checked where it counts: at the moment a socket is made for it, after all
resolving, for every hop. A name that changes between a check and the connection has no second
chance, since there is no other check.

This machine's own addresses are refused as well, public ones included: what a firewall keeps from
the world is open from within. Elsewhere only the web's own ports are reached, since the same holds
for the host that a container runs on, whose addresses are not the container's.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
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

from bridge.net.web_url import BadURL, parse

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: "The user agent MUST NOT change the request method" (RFC 9110 15.4.8, 15.4.9).
_KEEP_METHOD = frozenset({307, 308})
#: How we are known: some hosts refuse requests without a name.
AGENT = "pelican-indieauth"

#: Addresses that the ``ipaddress`` module takes for the public Internet's, and that are not.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # the host of a virtual machine at Azure
        "192.0.0.0/24",  # protocols' own (RFC 6890)
        "192.88.99.0/24",  # relays of 6to4, which are gone (RFC 7526)
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
#: What stands before an IPv4 address in the last half of an ISATAP address (RFC 5214 6.1).
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})

_WEB_PORTS = frozenset({80, 443})
#: Documentation's (RFC 5737, RFC 3849): they are nobody's.
_NOBODYS = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


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


def may_connect(address: str, *, allow_loopback: bool = False) -> bool:
    """Whether an IP address is one of the public Internet's, seen through every disguise, and
    none of this machine's own. ``allow_loopback``: or a loopback address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        hidden = _hidden_ipv4(ip)
        if hidden is not None:
            return may_connect(str(hidden), allow_loopback=allow_loopback)
        if ip.is_site_local:
            return False
    if ip.is_loopback:
        return allow_loopback
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    if not ip.is_global or any(ip in network for network in _NOT_PUBLIC):
        return False
    return not is_own(str(ip))


def is_own(address: str) -> bool:
    """Whether an IP address is one of this machine's own, on any of its interfaces.

    The kernel is asked: only to its own addresses can a socket be bound. Where it is set up to
    bind to any (``ip_nonlocal_bind``), it says which address it would call from, which for one of
    its own is that very address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        if not _can_bind(family, address):
            return False
        return not _can_bind(family, _NOBODYS[family]) or _is_called_from_itself(family, address)
    except OSError as error:
        # Without this kind of address there is no way to it. Whatever else is wrong: refuse.
        return error.errno != errno.EAFNOSUPPORT


def _can_bind(family: socket.AddressFamily, address: str) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


def _is_called_from_itself(family: socket.AddressFamily, address: str) -> bool:
    """Whether the kernel would call this address from this address; nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
        except OSError as error:
            if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
                return False
            raise
        return str(probe.getsockname()[0]) == address


def _hidden_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, 6to4, Teredo, NAT64, ISATAP."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or (int(ip) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    # The local-use NAT64 prefix leads wherever the network's operator wants.
    return ipaddress.IPv4Address(0) if ip in _NAT64_LOCAL else None


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
        Any status that is no redirect is returned. Raises :class:`FetchError` for an address that
        may not be reached, a broken connection, too much of anything.
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
        if not is_usual and not _is_loopback(str(address[0])):
            raise _ForbiddenAddressError("its port is not one of the web's, 80 and 443")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _joined(base: str, target: str) -> str:
    """Where a redirect leads. Raises :class:`FetchError` for what is no address."""
    try:
        return urljoin(base, target)
    except ValueError as error:
        raise FetchError("it redirects to what is no address") from error


async def _body(response: aiohttp.ClientResponse, limit: _Limit) -> bytes:
    """The body, decompressed piece by piece, so that a bomb ends at the limit."""
    if limit.reads is not None and not limit.reads(response.headers.get("Content-Type", "")):
        return b""
    decompress = _decompressor(response.headers.get("Content-Encoding", ""))
    body, most = bytearray(), limit.max_bytes
    async for chunk in response.content.iter_any():
        body += decompress.decompress(chunk, most + 1 - len(body)) if decompress else chunk
        if len(body) > most:
            if limit.cut:
                return bytes(body[:most])
            raise FetchError(f"it is longer than {most} bytes")
    return bytes(body)


def _decompressor(encoding: str) -> zlib._Decompress | None:
    """For servers that compress although they were asked not to."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raise FetchError("it is compressed in a way that is not understood")
