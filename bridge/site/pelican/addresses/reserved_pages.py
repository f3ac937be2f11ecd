"""Output files that are not posts. A post with such a file would abort the whole build.

Pelican writes an index, archives, and pages for each tag, category, author and period, of which
some are split into several. The slug of a post must not lead to one of these files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from string import Formatter
from types import MappingProxyType
from typing import Any

_DATE_PARTS = {"%Y": r"\d{4}", "%m": r"\d\d", "%d": r"\d\d", "%-m": r"\d\d?", "%-d": r"\d\d?"}
_SORTS = ("CATEGORY", "TAG", "AUTHOR", "YEAR_ARCHIVE", "MONTH_ARCHIVE", "DAY_ARCHIVE", "PAGE")
_SAMPLE = {"slug": "a-sample", "category": "a-category", "author": "an-author", "lang": "xx"}

#: Pages that static hosts and web servers show for errors at any URL.
_HOSTS = r"(?:[45]\d\d|[45]0?x+|200|error|not[-_]found)(?:\.html|/index\.html)"
#: The bridge's own addresses, where it shares the site's host name.
_BRIDGES = (
    r"(?:micropub|media|webmention|status|healthz|desk|auth|token|tokens|introspect|revoke|userinfo"
    r"|account|preview|hook)(?:\.html|/index\.html)"
)


class ReservedPages:
    """The output files that a site's settings reserve."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        expressions = [_HOSTS, _BRIDGES, *_fixed(settings), *_by_pattern(settings)]
        self._pattern = re.compile("|".join(expressions) or r"(?!)")

    def __contains__(self, save_as: object) -> bool:
        return isinstance(save_as, str) and self._pattern.fullmatch(save_as) is not None


def _fixed(settings: Mapping[str, Any]) -> Iterator[str]:
    for template in settings["DIRECT_TEMPLATES"]:
        save_as = settings.get(f"{str(template).upper()}_SAVE_AS", f"{template}.html")
        if save_as:
            yield from _and_further_pages(str(save_as), settings)
    for save_as in dict(settings["TEMPLATE_PAGES"]).values():
        yield re.escape(str(save_as))


def _by_pattern(settings: Mapping[str, Any]) -> Iterator[str]:
    """Pages of tags, periods and so on. A pattern that any post would match is ignored."""
    samples = list(_samples(settings))
    for sort in _SORTS:
        pattern = str(settings.get(f"{sort}_SAVE_AS") or "")
        if not pattern:
            continue
        if not any(re.fullmatch(_expression(pattern), sample) for sample in samples):
            yield from _and_further_pages(pattern, settings)


def _samples(settings: Mapping[str, Any]) -> Iterator[str]:
    """Where an ordinary post would be."""
    for kind in ("ARTICLE", "DRAFT"):
        with suppress(ValueError, KeyError, IndexError, AttributeError):
            date = datetime(2026, 11, 21, tzinfo=UTC)
            yield str(settings[f"{kind}_SAVE_AS"]).format(**_SAMPLE, date=date)


def _expression(pattern: str, values: Mapping[str, str] = MappingProxyType({})) -> str:
    """A regular expression for a setting like ``tag/{slug}.html``.

    ``values``: expressions for fields that are known; ``""`` counts.
    """
    expression = ""
    for literal, name, spec, _ in Formatter().parse(pattern):
        expression += re.escape(literal)
        if name is not None:
            parts = (_DATE_PARTS.get(part, "[^/]+") for part in (spec or "").split("/"))
            expression += values[name] if name in values else "/".join(parts)
    return expression


def _and_further_pages(pattern: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """The page and, where listings are split, those that follow it (``index2.html``)."""
    yield _expression(pattern)
    if not settings["DEFAULT_PAGINATION"] and not any(settings["PAGINATED_TEMPLATES"].values()):
        return
    # As pelican.paginator.Page takes a page's name apart.
    folder, file = posixpath.split(pattern)
    name, extension = posixpath.splitext(pattern)
    parts = {
        "save_as": pattern,
        "name": name,
        "base_name": folder if file in {"index.htm", "index.html"} else name,
        "extension": extension,
    }
    values = {key: _expression(part) for key, part in parts.items()} | {"number": r"\d+"}
    for rule in settings["PAGINATION_PATTERNS"]:
        yield _expression(str(rule.SAVE_AS), values).removeprefix("/")
