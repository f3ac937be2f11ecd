"""Names for stored files: readable, safe in a URL, in a shell and on any disk, hard to guess."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime

_LENGTH = 60
_DIGITS = 12
#: So many files of one name and content a month; each upload looks at the names before its own.
MOST_ALIKE = 1_000

#: Names that say nothing: what programs call a file that has none.
_EMPTY_NAMES = frozenset(
    {"audio", "blob", "data", "download", "file", "filename", "image", "img", "media", "photo"}
    | {"picture", "null", "temp", "tmp", "undefined", "unnamed", "untitled", "upload", "video"}
)
#: What Pelican, or a plugin of it, reads as a post or a page.
_SOURCES = frozenset(
    {"md", "markdown", "mkd", "mdown", "mdwn", "rst", "html", "htm", "xhtml"}
    | {"adoc", "asc", "asciidoc", "org", "textile", "t2t", "ipynb"}
)
#: Names that Windows keeps for devices; a site is cloned there, too.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


def stem(filename: str, digest: str) -> str:
    """A stored file's name without its extension.

    ``filename`` is what the client called the file: any string. Only ``a-z``, ``0-9`` and ``-``
    come out: what can be read of it, and the start of ``digest``, the hexadecimal digest of the
    bytes, since a file can be had before its post is public ("the URL SHOULD be unguessable",
    Micropub 3.6.4).
    """
    last = re.split(r"[/\\]", filename)[-1]
    bare = re.sub(r"\.[^.]{1,5}$", "", last)
    plain = unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain)[:_LENGTH].strip("-")
    if not re.search(r"[a-z0-9]", name) or name in _EMPTY_NAMES or _DEVICES.fullmatch(name):
        return digest[:_DIGITS]
    return f"{name}-{digest[:_DIGITS]}"


def candidates(
    folder: str, filename: str, digest: str, extension: str, when: datetime
) -> Iterator[str]:
    """Paths under which a file may be stored, the best first: :data:`MOST_ALIKE` of them.

    ``media/2026/11/sea-0a1b2c3d4e5f.jpg``, then with ``-2``, ``-3`` ...
    """
    base = f"{folder}/{when:%Y}/{when:%m}/{stem(filename, digest)}"
    yield f"{base}.{extension}"
    for number in range(2, MOST_ALIKE + 1):
        yield f"{base}-{number}.{extension}"


def scaled(path: str, width: int) -> str:
    """The path of the copy of a picture that is ``width`` pixels wide: ``sea-800w.jpg``."""
    base, _, extension = path.rpartition(".")
    return f"{base}-{width}w.{extension}"


def is_source(path: str) -> bool:
    """Whether a path is that of a post's or a page's source, which was not uploaded."""
    return path.rpartition(".")[2].lower() in _SOURCES


def is_face(path: str) -> bool:
    """Whether a path is that of a small picture of someone who responded to a post."""
    return re.search(r"/faces/[0-9a-f]{24}\.webp$", path) is not None


def is_scaled(path: str) -> bool:
    """Whether a path is that of a scaled copy."""
    return re.search(r"-\d+w\.[^./]+$", path) is not None
