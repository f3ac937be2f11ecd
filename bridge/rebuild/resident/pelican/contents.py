"""Pelican's articles and pages, with cached attributes."""

from __future__ import annotations

import string
from collections.abc import Callable, Hashable, Mapping
from operator import attrgetter
from typing import Any

from pelican import contents
from pelican.settings import DEFAULT_CONFIG

_ANY_LINK = DEFAULT_CONFIG["INTRASITE_LINK_REGEX"]
_SLUG_OF = {"category": attrgetter("category.slug"), "author": attrgetter("author.slug")}
_ATTRIBUTES = frozenset({"slug", "lang", "date"})

#: Addresses by what they are computed from: those used in this build or the last one.
_addresses: dict[Hashable, str] = {}
_addresses_before: dict[Hashable, str] = {}
_fields: dict[str, tuple[str, ...]] = {}


def forget() -> None:
    """A build begins: forget what the last one did not ask for."""
    global _addresses, _addresses_before
    _addresses_before, _addresses = _addresses, {}


class _Quick(contents.Content):  # type: ignore[misc] # Pelican's classes are not typed
    """Caches what Pelican computes for every post in every build, by what it is computed from."""

    def get_relative_source_path(self, source_path: str | None = None) -> Any:
        """The path below the content folder. Neither of the two ever changes."""
        known = self.__dict__.get("relative_source_path")
        if known is not None and source_path in {None, self.source_path}:
            return known
        return super().get_relative_source_path(source_path)

    def get_static_links(self) -> set[str]:
        """Files that the text links; without a brace or a bar there is no such link."""
        text = self._content
        plain = "{" not in text and "|" not in text
        if plain and self.settings["INTRASITE_LINK_REGEX"] == _ANY_LINK:
            return set()
        found: set[str] = super().get_static_links()
        return found

    def get_url_setting(self, key: str) -> str:
        """The address or the output path, by the site's settings."""
        made_from = self._address_from(key)
        if made_from is None:
            return str(super().get_url_setting(key))
        address = _addresses.get(made_from) or _addresses_before.get(made_from)
        if address is None:
            address = str(super().get_url_setting(key))
        _addresses[made_from] = address
        return address

    def _address_from(self, key: str) -> Hashable | None:
        """Everything that an address is computed from; ``None`` where that is not known."""
        if hasattr(self, f"override_{key}"):
            return None
        kind = type(self).default_template or ""
        draft = self.status == "draft"
        name = f"{_KINDS[kind][draft]}_{'' if self.in_default_lang else 'lang_'}{key}".upper()
        pattern = str(self.settings.get(name, ""))
        fields = _fields.get(pattern)
        if fields is None:
            fields = _fields[pattern] = _fields_of(pattern)
        try:
            values = tuple(self._value(field) for field in fields)
            hash(values)
        except (AttributeError, KeyError, TypeError):
            return None
        return name, pattern, values

    def _value(self, field: str) -> Any:
        if field in _ATTRIBUTES:
            return getattr(self, field)
        if field in _SLUG_OF:
            return _SLUG_OF[field](self)
        if field == "path" and "path" not in self.metadata:
            return self.get_relative_source_path()
        return self.metadata[field]


class Article(_Quick, contents.Article):  # type: ignore[misc] # as above
    """An article; its name is part of Pelican's settings."""


class Page(_Quick, contents.Page):  # type: ignore[misc] # as above
    """A page."""


_KINDS: Mapping[str, tuple[str, str]] = {
    "article": ("article", "draft"),
    "page": ("page", "draft_page"),
}


def _fields_of(pattern: str) -> tuple[str, ...]:
    """The names that a pattern like ``{date:%Y}/{slug}.html`` mentions."""
    parts: Callable[[str], Any] = string.Formatter().parse
    names = (name for _, name, _, _ in parts(pattern) if name is not None)
    return tuple(name.partition(".")[0].partition("[")[0] for name in names)
