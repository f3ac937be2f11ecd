"""The later pages of a category, author or tag, which may clash with another list's first page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from pelican.paginator import Page, Paginator

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
