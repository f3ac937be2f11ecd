"""Reads properties without a field of their own, all by the same rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

from pelican_indieauth.entry import mf2, text
from pelican_indieauth.entry.entry import Fact, Value, without_scheme
from pelican_indieauth.entry.mf2 import UNITS, Mf2, plain
from pelican_indieauth.entry.urls import Urls

#: A valid microformats2 name.
NAME = re.compile(r"[a-z]+(?:-[a-z]+)*")
_DURATION = re.compile(
    r"P(?=\d|T\d)(?:(?P<y>\d+)Y)?(?:(?P<mo>\d+)M)?(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?"
    r"(?:T(?:(?P<h>\d+)H)?(?:(?P<min>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}\S*)?")
#: Root classes that a nested object must not have: a post or site of its own.
_OWN_ROOTS = frozenset({"h-entry", "h-feed", "h-app", "h-x-app", "h-resume"})
#: Properties that are the site's to say, not the app's, in whatever letters.
THE_SITES = frozenset({"author", "url", "uid", "me", "rel", "h-card", "key", "logo"})
#: These, and properties that are in Pelican's metadata, that the page has anyway, or that are for
#: the bridge.
WITH_A_FIELD = THE_SITES | {
    *("name", "summary", "content", "published", "updated", "category", "lang"),
    *("post-status", "visibility", "shortlink", "created", "deleted", "channel"),
    "location-visibility",
}
#: The URL of what a post is about; it must not be a ``u-url`` of the entry.
WEBSITE = "website"
_FOR_THE_BRIDGE = ("mp-", "p3k-")
#: Properties that are a nested object's name and URL.
_NAMING = frozenset({"name", "url", "uid", "num", "unit"})
#: Root classes whose other properties are not the post's to tell: pages, and people.
_PAGES = _OWN_ROOTS | {"h-cite", "h-card", "h-event"}
_PICTURES = frozenset({"photo", "featured"})
_DEEPEST = 4


def name_of(given: str) -> str:
    """The name of a property as microformats2 has it, of one such as ``Start_Date``."""
    return _CONTROL.sub(" ", given).strip().lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class FactReader:
    """Reads facts for one site. ``zone`` is its time zone, if known."""

    urls: Urls
    zone: tzinfo | None

    def of_post(self, properties: Mapping[str, Any]) -> tuple[Fact, ...]:
        """The facts in a post's ``properties``."""
        return tuple(self._facts(properties, 1))

    def of_thing(self, thing: Mf2) -> tuple[str, tuple[Fact, ...]]:
        """The root class of a cited thing, and what is known of it besides what a
        :class:`~pelican_indieauth.entry.entry.Cite` has; no facts of a page or person.
        """
        if not thing.type or thing.type in _PAGES:
            return "h-cite", ()
        return thing.type, self._of_nested(thing, WITH_A_FIELD | _NAMING | {"photo"})

    def of_subject(self, thing: Mf2) -> tuple[Fact, ...]:
        """What is known of a reviewed thing besides its name, URL and photo."""
        return self._of_nested(thing, _NAMING | {"photo"} | (THE_SITES - {"author"}))

    def _of_nested(self, thing: Mf2, shown: frozenset[str]) -> tuple[Fact, ...]:
        others = {name: v for name, v in thing.properties.items() if name not in shown}
        return tuple(self._facts(others, 2))

    def _facts(self, properties: Mapping[str, Any], depth: int) -> Iterator[Fact]:
        for given, values in properties.items():
            name = name_of(given)
            if not name or name.startswith(_FOR_THE_BRIDGE):
                continue
            read = (self._value(name, value, depth) for value in mf2.listed(values))
            if found := tuple([value for value in read if value]):
                yield Fact(name, found)

    def _value(self, name: str, value: Any, depth: int) -> Value | None:
        if isinstance(value, dict):
            if isinstance(value.get("html"), str) and "properties" not in value:
                html = text.simplified(value["html"], self._picture)
                return Value(html=html) if "<img" in html or text.sanitised(html).strip() else None
            if "value" not in value or Mf2.of(value):
                return self._nested(value, depth)
            label = plain(value.get("alt"))
            found = self._value(name, value["value"], depth)
            return replace(found, text=label) if found and found.url and label else found
        return self._scalar(name, value)

    def _picture(self, source: str) -> str | None:
        """The URL of a picture within HTML, if it is one of the site's own files."""
        url = self.urls.web(source)
        return url if self.urls.is_file(url) else None

    def _scalar(self, name: str, value: Any) -> Value | None:
        if isinstance(value, bool):
            return Value(str(value).lower())
        if not isinstance(value, (str, int, float)):
            return None
        # Only a text that is a URL as a whole becomes a link.
        url = self.urls.any(value)
        if url and name in _PICTURES and self.urls.is_file(url):
            return Value(url=url, picture=True)
        if url:
            return Value(without_scheme(url) or url.partition(":")[2], url=url)
        words = _CONTROL.sub(" ", str(value).replace("\r\n", "\n").replace("\r", "\n")).strip()
        if not words:
            return None
        timed = _DURATION.fullmatch(words)
        if timed and ("T" in words or name.endswith(("duration", "time"))):
            return Value(readable_duration(words), duration=words)
        if _DATE.fullmatch(words) and (moment := mf2.moment(words, self.zone)):
            return Value(words, moment=moment)
        return Value(words)

    def _nested(self, value: dict[str, Any], depth: int) -> Value | None:
        """A nested microformats2 object, or another JSON object, which is treated as one."""
        found = Mf2.of(value) or Mf2({n: v for n, v in value.items() if n not in {"type", "value"}})
        if depth > _DEEPEST:
            return None
        type_ = found.type
        if not type_ or type_ in _OWN_ROOTS:
            type_ = "h-cite" if type_ == "h-entry" else "h-item"
        url = self.urls.web(mf2.value_of(found.first("url")))
        number = found.text("num") or ""
        measured_in = next(filter(found.text, UNITS), "") if number else ""
        nested = Value(
            found.text("name") or "",
            url=self.urls.elsewhere(url) if type_ == "h-card" else url,
            type=type_,
            number=number,
            unit=(found.text(measured_in) or "") if measured_in else "",
            unit_name=measured_in,
            facts=tuple(self._facts(_but(found.properties, type_, measured_in), depth + 1)),
        )
        return nested if nested != Value(type=type_) else None


def _but(properties: Mapping[str, Any], type_: str, unit: str) -> dict[str, Any]:
    """A nested object's properties besides its name, URL, number and ``unit``.

    A person has none: a card could claim the owner's identity.
    """
    if type_ == "h-card":
        kept = frozenset({"note", "org", "role", "locality", "region", "country-name"})
        return {name: values for name, values in properties.items() if name in kept}
    named = (_NAMING - {"unit"}) | {unit}
    return {name: values for name, values in properties.items() if name not in named}


def readable_duration(written: str) -> str:
    """``PT1H30M`` as ``1 h 30 min``; the text unchanged where it is not an ISO 8601 duration."""
    found = _DURATION.fullmatch(written)
    parts = found.groupdict() if found else {}
    return " ".join(f"{amount} {unit}" for unit, amount in parts.items() if amount) or written
