"""Validates untrusted URLs, and resolves the site's own files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\ufffe\uffff]")
#: Matches nearly all URLs, without characters that need a closer look.
_USUAL = re.compile(r"https?://[\w.-]+(?::\d+)?(?:[/?#][\w/?#:@!$&()*+,;=.~%-]*)?", re.ASCII)
#: Characters that must be percent-encoded (RFC 3986 2). ``{`` and ``|`` would also start one of
#: Pelican's internal links.
_ENCODED = {ord(char): quote(char, safe="") for char in "\"'<>\\^`{|}"}
_STATIC = re.compile(
    r"[{|]static[|}]/?(?P<path>[^?#\x00-\x1f\x7f\ud800-\udfff]*)"
    rf"(?P<more>(?:[?#][^{_UNSAFE.pattern[1:-1]}]*)?)"
)
_CANDIDATE = re.compile(r"(?P<url>\S+)(?P<size>(?:\s\d+(?:\.\d+)?[wx])?)")
_CONTACT = frozenset({"mailto", "tel", "geo"})


class StaticFile(Protocol):
    """A static file as Pelican records it."""

    url: str
    source_path: str


@dataclass(frozen=True, slots=True)
class Urls:
    """Validates URLs for one site.

    ``home`` is the URL of its pages and ``root`` that of its files, both without a slash at the end
    (they differ in subsites for other languages); ``files`` is Pelican's record of the static files
    by source path, ``static_url`` the pattern for files not in it; ``profiles`` are the owner's
    other URLs, as :func:`comparable` returns them.
    """

    home: str
    root: str
    files: Mapping[str, StaticFile]
    static_url: str
    profiles: frozenset[str] = frozenset()

    def web(self, value: object) -> str | None:
        """An absolute http(s) URL that is safe in an attribute, or ``None``.

        Site-relative URLs (``/a``) and the site's own files (``{static}/media/a.jpg``) are made
        absolute; everything else (``javascript:``, ``data:``, relative paths) is rejected.
        """
        if not isinstance(value, str):
            return None
        if _USUAL.fullmatch(value):
            return value
        value = value.strip()
        own = _STATIC.fullmatch(value) if value.startswith(("{", "|")) else None
        if own:
            file = self._file(own["path"])
            return None if file is None else file + own["more"].translate(_ENCODED)
        if not value or _UNSAFE.search(value):
            return None
        if value.startswith("/") and not value.startswith(("//", "/\\")):
            return self.home + value.translate(_ENCODED)
        try:
            parts = urlsplit(value)
        except ValueError:
            return None
        if parts.scheme in {"http", "https"} and parts.hostname:
            return value.translate(_ENCODED)
        return None

    def any(self, value: object) -> str | None:
        """Like :meth:`web`, also accepting ``mailto:``, ``tel:`` and ``geo:``."""
        if isinstance(value, str) and not _UNSAFE.search(value):
            scheme, colon, rest = value.partition(":")
            if colon and rest and scheme.lower() in _CONTACT:
                return value.translate(_ENCODED)
        return self.web(value)

    def srcset(self, value: object) -> str | None:
        """A ``srcset`` whose URLs are all valid, else ``None``."""
        if not isinstance(value, str):
            return None
        checked = []
        for candidate in value.split(", "):
            match = _CANDIDATE.fullmatch(candidate.strip())
            url = self.web(match["url"]) if match else None
            if match is None or url is None:
                return None
            checked.append(url + match["size"])
        return ", ".join(checked)

    def own(self, value: object) -> str | None:
        """The source path of one of the site's own files (``{static}/a.jpg``), or ``None``."""
        match = _STATIC.fullmatch(value.strip()) if isinstance(value, str) else None
        return match["path"] if match else None

    def is_file(self, url: str | None) -> bool:
        """Whether a URL, as :meth:`web` returns it, is below that of the site's files."""
        return url is not None and url.startswith(f"{self.root}/")

    def site(self, path: str) -> str:
        """The absolute URL of a page, from its path below the site's root."""
        return f"{self.home}/{path.lstrip('/')}"

    def is_owners(self, url: str) -> bool:
        """Whether a URL is one of the site's pages or of the owner's profiles."""
        known = comparable(url)
        host, _, _ = known.partition("/")
        site, _, _ = comparable(self.root).partition("/")
        return (bool(site) and host == site) or known in self.profiles

    def elsewhere(self, url: str | None) -> str | None:
        """A URL for another person's or thing's card; ``None`` if it is the owner's.

        A card with a URL of the site or of the owner's profiles would claim the owner's identity
        (representative h-card, authorship).
        """
        return None if url is None or self.is_owners(url) else url

    def _file(self, path: str) -> str | None:
        if ".." in path.split("/"):
            return None
        known = self.files.get(path) or self.files.get(unquote(path))
        url = known.url if known else self.static_url.replace("{path}", quote(unquote(path)))
        return f"{self.root}/{url.lstrip('/').translate(_ENCODED)}"


def comparable(url: str) -> str:
    """Host, port and path of a URL in a canonical spelling; any other URI unchanged.

    Another port is another site; a port that is none counts as the usual one.
    """
    parts = urlsplit(url)
    host = unquote(parts.hostname or "").rstrip(".").removeprefix("www.")
    if not host:
        return url.lower()
    try:
        port = "" if parts.port in {None, 80, 443} else f":{parts.port}"
    except ValueError:
        port = ""
    return f"{host}{port}{unquote(parts.path).rstrip('/')}".lower()
