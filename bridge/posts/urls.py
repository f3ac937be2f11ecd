"""The canonical form of URLs, in which two spellings of one URL are equal. The index calls it an
address.

RFC 3986 6.2.2 ignores the case of the host, percent-encoding and ``..`` in paths; RFC 3987 3.1
treats an IRI and its URI as equal, in the path and in the host. In addition, as on every site, http
and https, ``index.html``, a slash at the end and repeated slashes make no difference; tracking
parameters of mailings and social networks are ignored.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import idna

_INDEX = ("index.html", "index.htm")
_SLASHES = re.compile(r"/{2,}")
#: The URLs of nearly all posts: only their end has other spellings.
_PLAIN = re.compile(r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)*)((?:/[\w.~+-]+)*/?)", re.ASCII)
_COUNTING = re.compile(r"(?:utm_\w+|fbclid|gclid|mc_[ce]id)(?:=|$)", re.IGNORECASE)
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)
_OUR_PORTS = {("http", 80), ("https", 443)}


def canonical(url: str, own: frozenset[str]) -> str:
    """The canonical form of a URL. All hosts in ``own`` (lower case) count as one.

    Returns ``""`` for anything that is not the URL of a page.
    """
    if plain := _PLAIN.fullmatch(url):
        host, path = plain.groups()
        if path.rpartition("/")[2].lower() not in _INDEX and "/." not in path:
            return f"{'' if host in own else host}{path.rstrip('/') or '/'}"
    try:
        parts = urlsplit(url.strip())
        host, port = ascii_host((parts.hostname or "").lower().rstrip(".")), parts.port
    except ValueError:
        return ""
    if port is not None and (parts.scheme.lower(), port) not in _OUR_PORTS:
        host = f"{host}:{port}"
    # "%2F" and "%3F" are not separators: they stay as they are.
    path = "/".join(_segment(part) for part in parts.path.split("/"))
    path = _without_dots(_SLASHES.sub("/", path))
    folder, _, name = path.rpartition("/")
    if name.lower() in _INDEX:
        path = folder
    kept = [each for each in parts.query.split("&") if each and not _COUNTING.match(each)]
    query = f"?{'&'.join(kept)}" if kept else ""
    return f"{'' if host in own else host}{path.rstrip('/') or '/'}{query}"


def one_spelling(url: str) -> str:
    """A URL normalised as in RFC 3986 6.2.2 and 6.2.3 (case, percent-encoding, default port, empty
    path, query or fragment), in ASCII (RFC 3987 3.1). It still leads to the same page.

    A URL that cannot be parsed is returned as it is.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = ascii_authority(parts.netloc)
    if (parts.scheme, port) in _OUR_PORTS:
        host = host.removesuffix(f":{port}")
    path, query, fragment = (
        _ENCODED.sub(_decoded, _NOT_ASCII.sub(_encoded, part))
        for part in (parts.path or "/", parts.query, parts.fragment)
    )
    path = _without_dots(path)
    return urlunsplit((parts.scheme, host.removesuffix(":"), path, query, fragment))


def _without_dots(path: str) -> str:
    """An absolute path without ``.`` and ``..`` (RFC 3986 5.2.4)."""
    if "/." not in path:
        return path
    parts, kept = path.split("/"), list[str]()
    for part in parts:
        if part == "..":
            kept = kept[:1] + kept[1:-1]
        elif part != ".":
            kept.append(part)
    return "/".join([*kept, ""] if parts[-1] in {".", ".."} else kept)


def _encoded(text: re.Match[str]) -> str:
    return quote(text[0], errors="replace")


def _decoded(encoded: re.Match[str]) -> str:
    """An unreserved character (RFC 3986 2.3) itself, any other's encoding in upper case."""
    character = chr(int(encoded[1], 16))
    return character if _UNRESERVED.fullmatch(character) else encoded[0].upper()


def hosts(*urls: str) -> frozenset[str]:
    """The hosts of some URLs in ASCII, with any port that is not the default."""
    found = set[str]()
    for url in urls:
        parts = urlsplit(url)
        if parts.hostname:
            usual = parts.port is None or (parts.scheme, parts.port) in _OUR_PORTS
            host = ascii_host(parts.hostname.lower())
            found.add(host + ("" if usual else f":{parts.port}"))
    return frozenset(found)


def ascii_url(url: str) -> str:
    """A URL for use in a header (RFC 9110 10.2.2), with its host in ASCII."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=ascii_authority(parts.netloc)))


def ascii_authority(authority: str) -> str:
    """Host and port of a URL in lower case, with the host in ASCII."""
    if authority.isascii():
        return authority.lower()
    user, at, place = authority.lower().rpartition("@")
    host, colon, port = place.partition(":")
    return f"{user}{at}{ascii_host(host)}{colon}{port}"


@lru_cache(maxsize=256)
def ascii_host(host: str) -> str:
    """A host as browsers send it (RFC 3987 3.1): ``xn--…``."""
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError:
        return host


def _segment(part: str) -> str:
    text = unicodedata.normalize("NFC", unquote(part, errors="replace"))
    return text.replace("/", "%2F").replace("?", "%3F")
