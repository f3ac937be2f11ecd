"""Reads the ``Mf2`` line of a post: microformats2 as JSON, untrusted."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pelican_indieauth.entry import text

logger = logging.getLogger(__name__)

#: What has no place in a line of text, and would end the build in a page or a feed.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_TYPE = re.compile(r"h-[a-z0-9-]+")
_EXCERPT = 500


@dataclass(frozen=True, slots=True)
class Mf2:
    """One microformats2 object; nested objects are read with :meth:`of`.

    ``whole`` has what stands beside the properties.
    """

    properties: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Mf2 | None:
        """A nested object; ``None`` where the value is something else."""
        if not isinstance(value, dict) or not isinstance(value.get("properties"), dict):
            return None
        return cls(value["properties"], value)

    @property
    def type(self) -> str:
        """Its root class, empty where none can be read."""
        types = listed(self.whole.get("type"))
        name = types[0] if types else None
        return name if isinstance(name, str) and _TYPE.fullmatch(name) else ""

    def all(self, name: str) -> list[Any]:
        """Every value of a property; a scalar counts as a list of one."""
        return listed(self.properties.get(name))

    def first(self, name: str) -> Any:
        """The first value of a property, or ``None``."""
        values = self.all(name)
        return values[0] if values else None

    def text(self, name: str) -> str | None:
        """The first value of a property as one line of plain text."""
        return plain(self.first(name))


def read(article: Any) -> Mf2 | None:
    """What the post's ``Mf2`` line holds; ``None`` without one, or (logged) with a broken one."""
    line = article.metadata.get("mf2")
    if not line:
        return None
    try:
        found = Mf2.of(json.loads(line))
    except (ValueError, TypeError, RecursionError) as error:
        logger.warning("%s: the Mf2 line is not JSON (%s): it is left out", article, error)
        return None
    if found is None:
        logger.warning('%s: the Mf2 line has no "properties" object: it is left out', article)
    return found


def is_made_up(title: str, post: Mf2) -> bool:
    """Whether a post's title was made up by the bridge, and no hand has written another since."""
    if post.whole.get("title") != "synthetic":
        return False
    made = post.whole.get("title-digest")
    letters = "".join(filter(str.isalnum, text.stripped(title)))
    digest = hashlib.sha256(letters.encode(errors="surrogatepass")).hexdigest()[:12]
    return not isinstance(made, str) or made == digest


def plain(value: Any) -> str | None:
    """One line of plain text from a string, a number, ``{"value"}``, ``{"html"}`` or an object."""
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
    """The beginning of what someone wrote, as plain text."""
    words = plain(value)
    if words and len(words) > _EXCERPT:
        words = words[:_EXCERPT].rsplit(" ", 1)[0] + " …"
    return words


def moment(value: Any) -> date | datetime | None:
    """A date, or a date with a time, in any of ISO 8601's forms."""
    written = plain(value) or ""
    for read_as in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read_as(written)
        except ValueError:
            continue
    return None


def listed(value: Any) -> list[Any]:
    """What should be a list; a scalar counts as a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def value_of(value: Any) -> Any:
    """The plain value of ``{"value"}``, or what is one already."""
    return value.get("value") if isinstance(value, dict) else value
