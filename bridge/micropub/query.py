"""Parses query parameters into frozen values (Micropub 3.7 and its extensions)."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from bridge.errors import InvalidRequest
from bridge.micropub.body import base_name
from bridge.micropub.post import Json

#: The queries of the Micropub endpoint. ``config`` is also the answer if ``q`` is missing.
QUERIES = (
    *("config", "source", "syndicate-to", "category", "channel", "post-types", "media-endpoint"),
    *("contact", "geo", "destination", "visibility"),
)

#: The queries of the media endpoint.
MEDIA_QUERIES = ("config", "source", "last")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

_MOST_OFFSET = 2**31

#: A place in the list of posts, newest first: the date of a post in seconds, and its path.
Cursor: TypeAlias = tuple[float, str]


class Query(Struct, frozen=True):
    """A parsed query. What is missing or empty is ``None``, ``""`` or the default."""

    q: str = "config"
    url: str | None = None
    properties: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0
    after: Cursor | None = None
    before: Cursor | None = None
    filter: str = ""
    post_types: tuple[str, ...] = ()
    post_status: str | None = None
    channel: str | None = None
    place: tuple[float, float] | None = None

    @property
    def page_size(self) -> int:
        """How many posts or uploads a page of a list has."""
        return DEFAULT_LIMIT if self.limit is None else min(self.limit, MAX_LIMIT)

    def part_of(self, answer: Mapping[str, Json]) -> dict[str, Json]:
        """An answer with the part of its lists that was asked for; all of them without a limit."""
        end = None if self.limit is None else self.offset + self.limit
        return {
            name: [*filter(self.matches, value)][self.offset : end]
            if isinstance(value, list)
            else value
            for name, value in answer.items()
        }

    def matches(self, item: Json) -> bool:
        """Whether one of the texts of an item of a list contains the ``filter``."""
        texts = item.values() if isinstance(item, dict) else (item,)
        wanted = self.filter.casefold()
        return any(isinstance(text, str) and wanted in text.casefold() for text in texts)


def parse_query(
    parameters: Iterable[tuple[str, str]], supported: tuple[str, ...] = QUERIES
) -> Query:
    """Read a URL's parameters, with or without brackets.

    Raises :class:`InvalidRequest` for a query that is not ``supported``, and for invalid numbers,
    statuses and pages. Unknown parameters are ignored.
    """
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        if value.strip():
            given.setdefault(base_name(name), []).append(value.strip())
    first = {name: values[0] for name, values in given.items()}
    q = first.get("q", "config")
    if q not in supported and "q" in given:
        raise InvalidRequest(f"'q' is one of {', '.join(supported)}; not '{q[:40]}'.")
    return Query(
        q=q,
        url=first.get("url"),
        properties=tuple(
            dict.fromkeys(
                name.strip()
                for names in given.get("properties", ())
                # No property has a comma in its name; clients separate names by one.
                for name in names.split(",")
                if name.strip()
            )
        ),
        limit=_number(first, "limit", least=1) if "limit" in first else None,
        offset=min(_number(first, "offset", least=0), _MOST_OFFSET),
        after=_cursor(first, "after"),
        before=_cursor(first, "before"),
        filter=first.get("filter") or first.get("search", ""),
        post_types=tuple(given.get("post-type", ())),
        post_status=_status(first.get("post-status")),
        channel=first.get("mp-channel") or (first.get("channel") if q == "source" else None),
        place=_place(first) if q == "geo" else None,
    )


def page_name(cursor: Cursor) -> str:
    """A cursor as clients see it: opaque and safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def _cursor(given: Mapping[str, str], name: str) -> Cursor | None:
    """The cursor that :func:`page_name` encoded."""
    text = given.get(name)
    if text is None:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        published, path = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not math.isfinite(published) or not isinstance(path, str):
            raise TypeError
        return float(published), path
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidRequest(
            f"'{name}' is not a page of this list: take it from 'paging', as it is."
        ) from error


def _place(given: Mapping[str, str]) -> tuple[float, float] | None:
    """Latitude and longitude, as two parameters or as a ``geo:`` address (RFC 5870)."""
    text = given.get("uri", "")
    numbers = text[4:].partition(";")[0].split(",")[:2] if text.lower().startswith("geo:") else []
    numbers = numbers or [
        given.get("lat") or given.get("latitude", ""),
        given.get("lon") or given.get("lng") or given.get("longitude", ""),
    ]
    if not any(numbers):
        return None
    try:
        latitude, longitude = map(float, numbers)
    except ValueError:
        latitude = longitude = math.nan
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise InvalidRequest("'lat' and 'lon' are degrees, like lat=48.85 and lon=2.35.")
    return latitude, longitude


def _number(given: Mapping[str, str], name: str, *, least: int) -> int:
    """The number, or ``least`` if it is not given."""
    text = given.get(name, str(least))
    # More digits make no sense; int() would accept signs, spaces and underscores.
    if not (text.isascii() and text.isdigit() and len(text) < 19) or int(text) < least:
        raise InvalidRequest(f"'{name}' is a whole number from {least} up, not '{text[:40]}'.")
    return int(text)


def _status(text: str | None) -> str | None:
    if text is None or text in {"published", "draft"}:
        return text
    raise InvalidRequest(f"'post-status' is 'published' or 'draft', not '{text[:40]}'.")
