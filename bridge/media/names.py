"""File names for uploads: readable, valid in URLs and on any file system, hard to guess. And the
URLs that the bridge serves them at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from urllib.parse import quote, unquote, urlsplit

_LENGTH = 60
_DIGITS = 12
#: Largest number of files with one name and content in a month; each upload tries the names one by
#: one.
MOST_ALIKE = 1_000

#: Names without meaning, which programs give to unnamed files.
_EMPTY_NAMES = frozenset(
    {"audio", "blob", "data", "download", "file", "filename", "image", "img", "media", "photo"}
    | {"picture", "null", "temp", "tmp", "undefined", "unnamed", "untitled", "upload", "video"}
)
#: Extensions that Pelican or its plugins read as posts or pages.
_SOURCES = frozenset(
    {"md", "markdown", "mkd", "mdown", "mdwn", "rst", "html", "htm", "xhtml"}
    | {"adoc", "asc", "asciidoc", "org", "textile", "t2t", "ipynb"}
)
#: Device names on Windows, where a site may be cloned.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")

#: The beginning of a name that may be a date.
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?!\d)")

#: A path segment in the media folder: not hidden, not ``..``.
_SEGMENT = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,255}")


def stem(filename: str, digest: str) -> str:
    """A stored file's name without its extension; only ``a-z``, ``0-9`` and ``-``.

    ``filename`` is what the client sent, any string. The name has what is readable of it and the
    start of ``digest``, the hexadecimal hash of the bytes, since a file is served before its post
    is public ("the URL SHOULD be unguessable", Micropub 3.6.4).
    """
    last = re.split(r"[/\\]", filename)[-1]
    bare = re.sub(r"\.[^.]{1,5}$", "", last)
    plain = unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain)[:_LENGTH].strip("-")
    if not re.search(r"[a-z0-9]", name) or name in _EMPTY_NAMES or _DEVICES.fullmatch(name):
        return undated(digest[:_DIGITS])
    return undated(f"{name}-{digest[:_DIGITS]}")


def undated(name: str) -> str:
    """A file's name in which Pelican finds no date that does not exist, whatever the site's
    ``FILENAME_METADATA``: one such file, 0800-12-34.pdf for example, and no site is built.
    """
    found = _DATE.match(name)
    with suppress(ValueError):
        if found and date(*map(int, found.groups())):
            return name
    return f"file-{name}" if name[:2].isdigit() else name


def candidates(
    folder: str, filename: str, digest: str, extension: str, when: datetime
) -> Iterator[str]:
    """Paths to store a file under, in order of preference, at most :data:`MOST_ALIKE`.

    ``media/2026/11/sea-0a1b2c3d4e5f.jpg``, then with ``-2``, ``-3`` and so on.
    """
    base = f"{folder}/{when:%Y}/{when:%m}/{stem(filename, digest)}"
    yield f"{base}.{extension}"
    for number in range(2, MOST_ALIKE + 1):
        yield f"{base}-{number}.{extension}"


def scaled(path: str, width: int) -> str:
    """The path of the copy that is ``width`` pixels wide: ``sea-800w.jpg``."""
    base, _, extension = path.rpartition(".")
    return f"{base}-{width}w.{extension}"


def is_source(path: str) -> bool:
    """Whether a path is that of a post's or page's source."""
    return path.rpartition(".")[2].lower() in _SOURCES


def is_face(path: str) -> bool:
    """Whether a path is that of an author picture of a mention."""
    return re.search(r"/faces/(file-)?[0-9a-f]{24}\.webp$", path) is not None


def is_scaled(path: str) -> bool:
    """Whether a path is that of a scaled copy."""
    return re.search(r"-\d+w\.[^./]+$", path) is not None


#: What the URL of every upload has in its path.
MEDIA = "/media/"


class UploadUrls:
    """Converts paths to URLs and back.

    ``folder`` is the media folder inside the content folder, ``public_url`` the bridge's public
    URL. URLs always begin with ``/media/``, whatever the folder's name.
    """

    def __init__(self, folder: str, public_url: str) -> None:
        self._prefix = f"{folder}/"
        self._base = f"{public_url.rstrip('/')}{MEDIA}"

    def url_of(self, path: str) -> str:
        """The URL of a path at the bridge."""
        return self._base + quote(path.removeprefix(self._prefix))

    def in_text(self, text: str) -> Iterator[str]:
        """The URLs of uploads in a text or in HTML."""
        found = re.finditer(rf"{re.escape(self._base)}[\w~%./-]*[\w~%-]", text)
        return (match[0] for match in found)

    def path_of(self, url: str) -> str | None:
        """The path for a URL of the bridge; ``None`` for any other URL. The file need not exist."""
        base = urlsplit(self._base)
        try:
            given = urlsplit(url)
        except ValueError:
            return None
        origin = (given.scheme, given.netloc.lower())
        if origin != (base.scheme, base.netloc.lower()):
            return None
        if not given.path.startswith(base.path):
            return None
        return self.path_at(unquote(given.path.removeprefix(base.path)))

    def path_at(self, tail: str) -> str | None:
        """The path for what follows ``/media/`` in a URL; ``None`` where it cannot be one."""
        path = self._prefix + tail
        return path if self.is_media(path) else None

    def is_media(self, path: str) -> bool:
        """Whether a path is a valid one inside the media folder."""
        if not path.startswith(self._prefix):
            return False
        inside = path.removeprefix(self._prefix)
        return all(_SEGMENT.fullmatch(part) for part in inside.split("/"))
