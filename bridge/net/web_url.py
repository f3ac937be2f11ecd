"""A strict parser of http(s) URLs that does not normalise them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import idna
from msgspec import Struct

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})

#: Matches the raw string, before any library normalises it (RFC 3986 appendix B, stricter).
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?"
    r"(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:@]+)(:(?P<port>[0-9]{0,5}))?")
#: Surrogates stand for bytes that are not UTF-8 and cannot be written to a file.
_NEVER = re.compile(r"[\x00-\x20\x7f-\xa0\\<>\"`{}|^\u2028\u2029\ud800-\udfff]")
_DOTS = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class BadURL(ValueError):
    """The text is not a valid URL of the required kind; the message says why."""


class WebURL(Struct, frozen=True):
    """A parsed http(s) URL with its path and query as written.

    ``port`` is the effective port, ``port_given`` whether the URL has one.
    """

    scheme: str
    host: str
    port: int
    port_given: bool
    path: str
    query: str

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}{self.query}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: the web origin."""
        return (self.scheme, self.host, self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is on this machine."""
        return self.host in _LOOPBACK

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, in any notation that a resolver accepts."""
        last = self.host.rstrip(".").rpartition(".")[2]
        return self.host.startswith("[") or bool(re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last))


def parse(raw: str) -> WebURL:
    """Parse an http(s) URL; scheme and host become lower case, an empty path ``/``.

    Raises :class:`BadURL` for anything else: other schemes, userinfo, fragments, ``.`` and ``..``
    segments, control characters, invalid hosts.
    """
    match = _URL.fullmatch(raw)
    if match is None or _NEVER.search(raw):
        raise BadURL("it is not an http or https URL")
    if match["fragment"] is not None:
        raise BadURL("it has a fragment")
    if "@" in match["authority"]:
        raise BadURL("it has a user name or a password")
    path = match["path"] or "/"
    if _DOTS.search(path):
        raise BadURL("its path has '.' or '..' segments")
    scheme = match["scheme"].lower()
    host, port = _authority(match["authority"])
    return WebURL(
        scheme=scheme,
        host=host,
        port=port or _DEFAULT_PORTS[scheme],
        port_given=port is not None,
        path=path,
        query=match["query"] or "",
    )


def _authority(raw: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(raw)
    if match is None:
        raise BadURL("its host is malformed")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise BadURL("its port is out of range")
    return _host(match["host"]), port


def _host(raw: str) -> str:
    """A host in canonical form: lower case, names in ASCII (IDNA), IPv6 compressed."""
    if raw.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(raw[1:-1]).compressed}]"
        except ValueError as error:
            raise BadURL("its host is not an IPv6 address") from error
    host = raw.lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise BadURL("its host is not a domain name") from error
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadURL("its host is not a domain name")
    return host


def host_of(url: str) -> str:
    """The host of a URL with its port, as written; ``""`` if it has none."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
