"""Finds out when a post is due, from a few lines of its front matter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from html import unescape
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: How much of a file is looked at.
HEADER_LIMIT = 64_000


_FIELD = re.compile(r"^:(\w+):[ \t]*(.*)$", re.MULTILINE)
_META = re.compile(r"""<meta\s+name=["']([^"']+)["']\s+content=["']([^"']*)["']""", re.IGNORECASE)


def _unknown() -> tzinfo | None:
    return None


def due(path: str, data: bytes, zone: Callable[[], tzinfo | None] = _unknown) -> datetime | None:
    """The time until which the plugin holds a post back, ``None`` if it does not.

    ``zone`` returns the site's time zone, once it is known.

    Only posts of the bridge (with an ``Mf2:`` line) are held back; a hand-written one is built as
    Pelican's own settings say. Drafts are built at once, since nothing links to them.
    """
    if b"mf2" not in data[:HEADER_LIMIT].lower():
        return None
    suffix = path.rpartition(".")[2].lower()
    headers = dict(_FORMATS.get(suffix, _headers)(_text(data)))
    if "mf2" not in headers or headers.get("status", "").lower() == "draft":
        return None
    try:
        moment = datetime.fromisoformat(headers.get("date", ""))
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return moment
    # Written by hand, in the time zone that the post names, or the site's.
    named = _zone(headers.get("timezone", "")) or zone()
    return moment.replace(tzinfo=named) if named else moment.astimezone()


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, ZoneInfoNotFoundError):
        return None


def _text(data: bytes) -> str:
    return data[:HEADER_LIMIT].decode("utf-8-sig", errors="replace")


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The fields of reStructuredText."""
    return ((key.lower(), value.strip()) for key, value in _FIELD.findall(text))


def _meta(text: str) -> Iterator[tuple[str, str]]:
    """The metadata of an HTML file, as the bridge and most people write it."""
    return ((key.lower(), unescape(value).strip()) for key, value in _META.findall(text))


def _headers(text: str) -> Iterator[tuple[str, str]]:
    """``key: value`` lines up to the first blank one; of a repeated key, the first counts."""
    block = itertools.takewhile(str.strip, text.splitlines())
    for line in reversed(list(block)):
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


_FORMATS = {"rst": _fields, "html": _meta, "htm": _meta}
