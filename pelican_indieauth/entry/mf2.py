"""Reads a post's ``Mf2`` line: microformats2 as JSON, untrusted."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from pelican_indieauth.entry import text

logger = logging.getLogger(__name__)

#: Characters that are invalid in a line of text and in XML.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_TYPE = re.compile(r"h-[a-z0-9-]+")
_EXCERPT = 500
#: What a number is measured in, by the property that says so.
UNITS = ("unit", "currency")
#: The keys of objects that are no nested ones.
_TEXTS = {"value", "html", "properties"}


@dataclass(frozen=True, slots=True)
class Mf2:
    """A microformats2 object; nested ones are read with :meth:`of`.

    ``whole`` is the JSON object that has the properties.
    """

    properties: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Mf2 | None:
        """A nested object; ``None`` where the value is something else.

        An app's own JSON object counts as one, and a ``value`` with a unit or currency as a
        measure; other objects with a ``value`` or with ``html`` are texts.
        """
        if not isinstance(value, dict):
            return None
        if isinstance(value.get("properties"), dict):
            return cls(value["properties"], value)
        properties = {name: inner for name, inner in value.items() if name != "type"}
        if "value" in properties and properties.keys() & UNITS:
            properties["num"] = properties.pop("value")
        return cls(properties, value) if properties and not _TEXTS & properties.keys() else None

    @property
    def type(self) -> str:
        """The root class, ``""`` where there is no valid one."""
        types = listed(self.whole.get("type"))
        name = types[0] if types else None
        return name if isinstance(name, str) and _TYPE.fullmatch(name) else ""

    def all(self, name: str) -> list[Any]:
        """All values of a property; a scalar counts as a list of one."""
        return listed(self.properties.get(name))

    def first(self, name: str) -> Any:
        """The first value of a property, or ``None``."""
        values = self.all(name)
        return values[0] if values else None

    def text(self, name: str) -> str | None:
        """The first value of a property as one line of plain text, or ``None``."""
        return plain(self.first(name))


def read(article: Any) -> Mf2 | None:
    """The contents of a post's ``Mf2`` line; ``None`` where it is absent, or (with a warning)
    invalid.
    """
    line = article.metadata.get("mf2")
    if not line:
        return None
    try:
        whole = json.loads(line)
    except (ValueError, TypeError, RecursionError) as error:
        logger.warning("%s: the Mf2 line is not JSON (%s) and is ignored", article, error)
        return None
    if not isinstance(whole, dict) or not isinstance(whole.get("properties"), dict):
        logger.warning('%s: the Mf2 line has no "properties" object and is ignored', article)
        return None
    return Mf2.of(whole)


def is_made_up(title: str, post: Mf2) -> bool:
    """Whether a post's title was made by the bridge and has not been edited since."""
    if post.whole.get("title") != "synthetic":
        return False
    made = post.whole.get("title-digest")
    letters = "".join(filter(str.isalnum, text.stripped(title)))
    digest = hashlib.sha256(letters.encode(errors="surrogatepass")).hexdigest()[:12]
    return not isinstance(made, str) or made == digest


def plain(value: Any) -> str | None:
    """One line of plain text from a string, a number, ``{"value"}``, ``{"html"}`` or an
    object; or ``None``.
    """
    if isinstance(value, dict):
        nested = Mf2.of(value)
        if nested:
            return nested.text("name")
        if isinstance(value.get("value"), str):
            value = value["value"]
        elif isinstance(value.get("html"), str):
            value = text.sanitised(value["html"])
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return _CONTROL.sub(" ", str(value)).strip() or None


def excerpt(value: Any) -> str | None:
    """The start of a text as plain text."""
    words = plain(value)
    if words and len(words) > _EXCERPT:
        words = words[:_EXCERPT].rsplit(" ", 1)[0] + " …"
    return words


def moment(value: Any, zone: tzinfo | None = None) -> date | datetime | None:
    """A date, or a date and time, in any form of ISO 8601; ``None`` where it is invalid.

    A time in UTC is returned in the site's ``zone``: apps send UTC because programs use it.
    """
    written = plain(value) or ""
    for read_as in (date.fromisoformat, datetime.fromisoformat):
        try:
            found = read_as(written)
        except ValueError:
            continue
        return _in_zone(found, zone) if isinstance(found, datetime) and zone else found
    return None


def _in_zone(found: datetime, zone: tzinfo) -> datetime:
    if found.utcoffset() != timedelta(0):
        return found
    try:
        return found.astimezone(zone)
    except OverflowError:  # before the year 1 or after 9999
        return found


def listed(value: Any) -> list[Any]:
    """The value as a list; a scalar becomes a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def value_of(value: Any) -> Any:
    """The plain value of ``{"value"}``; any other value unchanged."""
    return value.get("value") if isinstance(value, dict) else value
