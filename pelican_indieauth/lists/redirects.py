"""Redirect pages at earlier addresses of posts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from posixpath import normpath
from typing import Any

from pelican.generators import Generator

from pelican_indieauth.lists import gone

logger = logging.getLogger(__name__)

#: Where a build keeps its posts by their former output paths.
MOVED = "indieauth_moved"
#: Where it notes the output paths that it has written.
WRITTEN = "indieauth_written"


def moved(articles: Iterable[Any]) -> dict[str, Any]:
    """Posts by the output paths where they once were. A draft is not for strangers to find."""
    found: dict[str, Any] = {}
    for article in articles:
        if article.status == "draft":
            continue
        for alias in article.entry.aliases:
            path = _output_path(alias)
            if path is None:
                logger.warning("%s: the alias %r is not a path below the site", article, alias)
            else:
                found.setdefault(path, article)
    return found


class Redirects(Generator):  # type: ignore[misc]  # Pelican's classes are not typed
    """Runs after the generators of pages, so that it knows what is really there."""

    def generate_output(self, writer: Any) -> None:
        """Writes a page at each former address, unless the site has something else there now:
        one that leads on for a post that moved, a tombstone for one that is gone."""
        posts: Mapping[str, Any] = self.context.get(MOVED, {})
        deleted = {path for page in gone.pages(self.settings) if (path := _output_path(page))}
        taken = self._taken() if posts or deleted else set()
        for path, article in posts.items():
            if path not in taken and self._free(path):
                template = self.get_template("indieauth/redirect")
                writer.write_file(path, template, self.context, article=article)
        buried = self.settings[gone.WRITTEN] = []
        for path in sorted(deleted.difference(posts)):
            if path not in taken and self._free(path):
                buried.append(path)
                writer.write_file(path, self.get_template("indieauth/gone"), self.context)

    def _taken(self) -> set[str]:
        """Output paths of everything that is really there, of this build or kept from the last."""
        known = [self.context[name] for name in ("generated_content", "static_content")]
        contents = [content for of in known for content in of.values() if content is not None]
        lists = [item for name in ("categories", "tags", "authors") for item in self._listed(name)]
        paths = {str(item.save_as) for item in (*contents, *lists)}
        written: set[str] = self.context.get(WRITTEN, set())
        return paths | written

    def _listed(self, name: str) -> list[Any]:
        return [item for item, _ in self.context.get(name) or ()]

    def _free(self, path: str) -> bool:
        """Whether a file can be there: no folder has the name, and no file that of its folder."""
        file = Path(self.output_path, path)
        return not file.is_dir() and not any(parent.is_file() for parent in file.parents)


def _output_path(alias: str) -> str | None:
    """An alias as a path below the output folder, ``None`` where it is none."""
    path = normpath(alias.lstrip("/") + ("index.html" if alias.endswith("/") else ""))
    outside = path in {".", ".."} or path.startswith("../") or "\\" in path
    return None if outside else path
