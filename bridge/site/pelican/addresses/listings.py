"""The output files of categories, authors and tags, and which of them clash.

By Pelican's own settings the feed of a category and that of an author of the same name are one
file, and so are the feed of the category ``all`` and that of the whole site, or the third page of
the tag ``t8`` and the first of ``t83``. Pelican then aborts the build.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from pelican.paginator import Page, Paginator
from pelican.urlwrappers import Author, Category, Tag, URLWrapper

from bridge.content import keys
from bridge.content.file import PelicanFile
from bridge.content.rules import SiteRules
from bridge.site.messages import ConflictingLists, Listed, Listing, Location, Sort

_NUMBERED = re.compile(r"(?P<start>.*?)(?P<digits>\d+)(?P<end>\.[^./]*)?", re.DOTALL)


class FurtherPages:
    """Knows a site's settings for them. Lists are named by their first page's file."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._sizes = settings["PAGINATED_TEMPLATES"]

    def may_clash(self, sort: str) -> bool:
        """Whether a later page of a ``category``, ``author`` or ``tag`` can be another's first."""
        pattern = str(self._settings.get(f"{sort.upper()}_SAVE_AS") or "")
        is_paginated = bool(self._size(sort)) and "{slug}" in pattern
        return is_paginated and self.file(pattern.format(slug="a"), 2) == pattern.format(slug="a2")

    def count(self, sort: str, posts: int) -> int:
        """The number of pages of a list with this many posts."""
        paginator = Paginator("", "", range(posts), self._settings, self._size(sort))
        return int(paginator.num_pages)

    def least(self, sort: str, pages: int) -> int:
        """The least number of posts in a list with this many pages."""
        posts = (pages - 1) * self._size(sort)
        while self.count(sort, posts) < pages:
            posts += 1
        return posts

    def file(self, first: str, number: int) -> str:
        """The file of one of a list's pages, where it is the last one."""
        whole = SimpleNamespace(num_pages=number)
        return str(Page(first, "", (), number, whole, self._settings).save_as)

    def bases(self, file: str) -> Iterator[tuple[str, int]]:
        """The lists, and which of their pages, that would be in this file."""
        match = _NUMBERED.fullmatch(file)
        digits = match["digits"] if match else ""
        for at, digit in enumerate(digits):
            first = f"{match['start']}{digits[:at]}{match['end'] or ''}" if match else ""
            number = int(digits[at:])
            if digit != "0" and number > 1 and self.file(first, number) == file:
                yield first, number

    def _size(self, sort: str) -> int:
        """How many posts are on a page; 0 for all."""
        if sort not in self._sizes:
            return 0
        return int(self._sizes[sort] or self._settings["DEFAULT_PAGINATION"] or 0)


_SORTS: Mapping[Sort, type[URLWrapper]] = {"category": Category, "author": Author, "tag": Tag}
_FILES = ("SAVE_AS", "FEED_ATOM", "FEED_RSS")
_FEEDS = ("FEED_ATOM", "FEED_RSS", "FEED_ALL_ATOM", "FEED_ALL_RSS")
_TRANSLATED = ("TRANSLATION_FEED_ATOM", "TRANSLATION_FEED_RSS")


class Listings:
    """Knows a site's settings for them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._patterns = {
            sort: frozenset(_patterns(settings, (f"{sort.upper()}_{file}" for file in _FILES)))
            for sort in _SORTS
        }
        wanted = Counter(pattern for each in self._patterns.values() for pattern in each)
        shared = frozenset(pattern for pattern, sorts in wanted.items() if sorts > 1)
        self._pages = FurtherPages(settings)
        self._contested = {
            sort: patterns & shared | self._with_clashing_pages(sort)
            for sort, patterns in self._patterns.items()
        }
        #: The kinds of lists of which another list may want a file.
        self._contested_sorts = tuple(sort for sort, each in self._contested.items() if each)
        self._of_the_site = frozenset(_of_the_site(settings))
        self._listed = lru_cache(4096)(self._listed_by)

    def is_of_the_site(self, sort: Sort, slug: str) -> bool:
        """Whether the whole site has the file that this list would get."""
        return not self._of_the_site.isdisjoint(
            pattern.format(slug=slug) for pattern in self._patterns[sort]
        )

    def of_post(self, file: PelicanFile, place: Location, rules: SiteRules) -> tuple[Listed, ...]:
        """The lists that a post is on and whose file another list may want."""
        if place.status != "published":
            return ()
        listed: list[Listed] = []
        for sort in self._contested_sorts:
            names: Iterable[object] = [place.category]
            if sort == "author":
                authors = keys.AUTHOR.decode(file, rules).get("author")
                names = authors or [self._settings.get("AUTHOR") or ""]
            elif sort == "tag":
                names = keys.TAGS.decode(file, rules).get("category") or ()
            listed += self.contested(sort, map(str, names))
        return tuple(listed)

    def contested(self, sort: Sort, names: Iterable[str]) -> Iterator[Listed]:
        """The files of these lists that another list may want, too."""
        for name in filter(None, names):
            yield from self._listed(sort, name)

    def _listed_by(self, sort: Sort, name: str) -> tuple[Listed, ...]:
        """The same for one list."""
        if not (patterns := self._contested[sort]):
            return ()
        slug, growing = _SORTS[sort](name, self._settings).slug, self._with_clashing_pages(sort)
        files = [pattern.format(slug=slug) for pattern in patterns]
        others = [other for other in _SORTS if other != sort]
        return tuple(
            Listed(f"{sort} {file}", tuple(f"{other} {file}" for other in others), bool(growing))
            for file in files
        )

    def conflicting_lists(self, listing: Listing, posts: int) -> ConflictingLists:
        """The lists that would want a later page of this one, or have one that is its first page,
        once there is one post more on it than ``posts``."""
        sort, _, file = listing.partition(" ")
        if not self._with_clashing_pages(sort):
            return ConflictingLists()
        last = self._pages.count(sort, posts + 1)
        grown = last > self._pages.count(sort, posts)
        others = [] if posts else [*self._pages.bases(file)]
        return ConflictingLists(
            (f"{sort} {self._pages.file(file, last)}",) if grown else (),
            tuple((f"{sort} {first}", self._pages.least(sort, page)) for first, page in others),
        )

    def _with_clashing_pages(self, sort: str) -> frozenset[str]:
        """The pattern of a sort's pages, if a later page of one list can be another's first."""
        clashes = self._pages.may_clash(sort)
        return frozenset({str(self._settings[f"{sort.upper()}_SAVE_AS"])} if clashes else ())


def _patterns(settings: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Those of the settings that a slug alone fills."""
    for name in names:
        pattern = str(settings.get(name) or "")
        with suppress(ValueError, KeyError, IndexError):
            if pattern.format(slug="a") != pattern.format(slug="b"):
                yield pattern


def _of_the_site(settings: Mapping[str, Any]) -> Iterator[str]:
    for name in settings["DIRECT_TEMPLATES"]:
        yield str(settings.get(f"{str(name).upper()}_SAVE_AS", f"{name}.html"))
    for name in _FEEDS:
        yield str(settings.get(name) or "")
    languages = {settings["DEFAULT_LANG"], *(settings.get("I18N_SUBSITES") or ())}
    for name in _TRANSLATED:
        with suppress(ValueError, KeyError, IndexError):
            for language in languages:
                yield str(settings.get(name) or "").format(lang=language)
