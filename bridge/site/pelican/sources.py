"""Which files Pelican takes for articles and for pages (``Generator.get_files``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Any


class Sources:
    """Sorts paths below the content folder by a site's settings.

    ``uploads`` is the folder of uploads, ``""`` for none. Nothing in it is a post or a page: the
    plugin configures Pelican accordingly, and the bridge serves its files to everyone.
    """

    def __init__(self, settings: Mapping[str, Any], uploads: str = "") -> None:
        patterns = [translate(str(pattern)) for pattern in settings["IGNORE_FILES"]]
        self._ignored = re.compile("|".join(patterns) or r"(?!)")
        self._articles = _Places(
            settings["ARTICLE_PATHS"], [*settings["ARTICLE_EXCLUDES"], uploads]
        )
        self._pages = _Places(settings["PAGE_PATHS"], [*settings["PAGE_EXCLUDES"], uploads])
        self._folder_holds = lru_cache(4096)(self._holds)

    def is_article(self, path: str) -> bool:
        """Whether Pelican looks for an article in this file."""
        return self._is_among(self._articles, path)

    def is_page(self, path: str) -> bool:
        """Whether Pelican looks for a page in this file."""
        return self._is_among(self._pages, path)

    def _is_among(self, places: _Places, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return (
            not path.startswith("/")
            and not self._is_ignored(name)
            and (path in places.included or self._folder_holds(places, folder))
        )

    def _holds(self, places: _Places, folder: str) -> bool:
        parts = folder.split("/") if folder else []
        above = {"/".join(parts[:depth]) for depth in range(len(parts) + 1)}
        return (
            not places.included.isdisjoint(above)
            and places.excluded.isdisjoint(above)
            and not any(part in {"", ".", ".."} or self._is_ignored(part) for part in parts)
        )

    def _is_ignored(self, name: str) -> bool:
        return self._ignored.match(name) is not None


class _Places:
    """Folders (or single files) that a setting includes, and folders that it leaves out."""

    def __init__(self, included: Iterable[object], excluded: Iterable[object]) -> None:
        self.included = frozenset(str(place).strip("/") for place in included)
        self.excluded = frozenset(str(place).strip("/") for place in excluded) - {""}
