"""Finds out when a post is due, from a few lines of its front matter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from html import unescape
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dateutil.parser

#: How much of a file is looked at.
HEADER_LIMIT = 64_000
#: Where the date is, in nearly every post.
_USUAL_HEAD = 4_096
_DATE = re.compile(rb"^:?[ \t]*date[ \t]*:.*|<meta[^>]*\bdate\b[^>]*", re.IGNORECASE | re.MULTILINE)
_YEAR = re.compile(rb"\d{4}")
#: A date in the name of a file or of its folders, as ``FILENAME_METADATA`` has it by default.
_NAMED = re.compile(r"(?<!\d)(\d{4})[-/_](\d{2})[-/_](\d{2})(?!\d)")
_FIELD = re.compile(r"^:(\w+):[ \t]*(.*)$", re.MULTILINE)
_META = re.compile(r"""<meta\s+name=["']([^"']+)["']\s+content=["']([^"']*)["']""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SiteDates:
    """What the site's settings say of dates: the time zone of those without one, and whether
    Pelican itself makes drafts of posts with a date in the future.
    """

    zone: tzinfo
    drafts_until_due: bool


def _unknown() -> SiteDates | None:
    return None


def due(
    path: str, data: bytes, dates: Callable[[], SiteDates | None] = _unknown
) -> datetime | None:
    """The time until which a post is withheld, ``None`` if it is not.

    ``dates`` returns what the site's settings say, once that is known.

    The plugin withholds posts of the bridge (with an ``Mf2:`` line). A hand-written one is built as
    Pelican's own settings say; while these are not known, it may be withheld. Drafts are built at
    once, since nothing links to them.
    """
    is_ours = b"mf2" in data[:HEADER_LIMIT].lower()
    if not is_ours and not _may_be_later(path, data):
        return None
    suffix = path.rpartition(".")[2].lower()
    try:
        headers = dict(_FORMATS.get(suffix, _headers)(_text(data)))
    except ValueError:
        return None  # Pelican cannot read it either: a number of thousands of digits
    if headers.get("status", "").lower() == "draft":
        return None
    known = dates()
    if "mf2" not in headers and known is not None and not known.drafts_until_due:
        return None
    try:
        moment = _moment(headers.get("date", "") or _date_in(path))
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is not None:
        return moment
    # Written by hand, in the time zone that the post names, or the site's.
    named = _zone(headers.get("timezone", "")) or (known.zone if known else None)
    return moment.replace(tzinfo=named) if named else moment.astimezone()


def _moment(text: str) -> datetime:
    """A date as people write it, too: Pelican reads whatever dateutil does."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        found: datetime = dateutil.parser.parse(text.replace("_", " "))
        return found


def _may_be_later(path: str, data: bytes) -> bool:
    """Whether a post may have a date in the future, which few have."""
    found = _DATE.search(data, 0, _USUAL_HEAD)
    years = _YEAR.findall(found[0] if found else _date_in(path).encode())
    # In any time zone.
    this_year = datetime.now(UTC).year
    return any(int(year) >= this_year for year in years)


def _date_in(path: str) -> str:
    """The date that a path names, preferably its last part; ``""`` where it names none."""
    found = _NAMED.search(path.rpartition("/")[2]) or _NAMED.search(path)
    return "-".join(found.groups()) if found else ""


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a folder of zones, or too long
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
