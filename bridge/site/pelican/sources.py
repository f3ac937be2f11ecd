"""Which files Pelican takes for articles and for pages (``Generator.get_files``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from posixpath import join, relpath, split
from typing import Any


class Sources:
    """Sorts paths below the content folder by a site's settings.

    ``uploads`` is the folder of uploads, ``""`` for none. Nothing in it is a post or a page: the
    plugin configures Pelican accordingly, and the bridge serves its files to everyone.
    """

    def __init__(self, settings: Mapping[str, Any], uploads: str = "") -> None:
        patterns = [translate(str(pattern)) for pattern in settings["IGNORE_FILES"]]
        self._ignored = re.compile("|".join(patterns) or r"(?!)")
        self._uploads = uploads
        content = str(settings["PATH"])
        self._articles = _Places(content, settings["ARTICLE_PATHS"], settings["ARTICLE_EXCLUDES"])
        self._pages = _Places(content, settings["PAGE_PATHS"], settings["PAGE_EXCLUDES"])
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
        if any(part in {"", ".", ".."} or self._is_ignored(part) for part in parts):
            return False
        above = ["/".join(parts[:depth]) for depth in range(len(parts) + 1)]
        if self._uploads and self._uploads in above:
            return False
        return any(
            not places.excludes(place, parts[depth:])
            for depth, each in enumerate(above)
            for place in places.included.get(each, ())
        )

    def _is_ignored(self, name: str) -> bool:
        return self._ignored.match(name) is not None


class _Places:
    """Folders (or single files) that a setting includes, and folders that it leaves out.

    Pelican joins what is written in the settings, and compares the results as they are: nothing is
    left out below ``"."``, nor by ``"pages/"``.
    """

    def __init__(
        self, content: str, included: Iterable[object], excluded: Iterable[object]
    ) -> None:
        #: By path below the content folder, as Pelican begins its walk there.
        self.included: dict[str, list[str]] = {}
        for each in map(str, included):
            root = join(content, each) if each else content
            path = relpath(root, content)
            self.included.setdefault("" if path == "." else path, []).append(root)
        self._excluded = {split(join(content, str(each))) for each in excluded}

    def excludes(self, place: str, parts: Sequence[str]) -> bool:
        """Whether one of these folders, each in the one before, is left out below ``place``."""
        for part in parts:
            if (place, part) in self._excluded:
                return True
            place = join(place, part)
        return False
