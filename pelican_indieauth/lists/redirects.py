"""Redirect pages at former URLs of posts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from posixpath import normpath
from typing import Any

from pelican.generators import Generator

from pelican_indieauth.lists import gone

logger = logging.getLogger(__name__)

#: The key of a build's posts by their former output paths.
MOVED = "indieauth_moved"
#: The key of the output paths written so far.
WRITTEN = "indieauth_written"
#: In bytes; a path also has the output folder before it.
_LONGEST_NAME, _LONGEST_PATH = 255, 2_000


def moved(articles: Iterable[Any]) -> dict[str, Any]:
    """The posts by their former output paths, without drafts, which must not be discoverable."""
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
    """Writes the redirects, after other generators, so that it knows which paths are in use."""

    def generate_output(self, writer: Any) -> None:
        """Write a page at each former path that is not in use: a redirect for a post that
        moved, a tombstone for a deleted one.
        """
        posts: Mapping[str, Any] = self.context.get(MOVED, {})
        deleted = {path for page in gone.pages(self.settings) if (path := _output_path(page))}
        taken = self._taken() if posts or deleted else set()
        for path, article in posts.items():
            if path not in taken and self._free(path):
                template = self.get_template("indieauth/redirect")
                writer.write_file(path, template, self.context, article=article)
        buried = gone.WRITTEN[self.output_path] = []
        for path in sorted(deleted.difference(posts)):
            if path not in taken and self._free(path):
                buried.append(path)
                writer.write_file(path, self.get_template("indieauth/gone"), self.context)

    def _taken(self) -> set[str]:
        """The output paths in use, of this build or kept from the last."""
        known = [self.context[name] for name in ("generated_content", "static_content")]
        contents = [content for of in known for content in of.values() if content is not None]
        lists = [item for name in ("categories", "tags", "authors") for item in self._listed(name)]
        paths = {str(item.save_as) for item in (*contents, *lists)}
        written: set[str] = self.context.get(WRITTEN, set())
        return paths | written

    def _listed(self, name: str) -> list[Any]:
        return [item for item, _ in self.context.get(name) or ()]

    def _free(self, path: str) -> bool:
        """Whether a file can be written there: the path is no folder, and its folders are no
        files.
        """
        file = Path(self.output_path, path)
        return not file.is_dir() and not any(parent.is_file() for parent in file.parents)


def _output_path(alias: str) -> str | None:
    """An alias as a path in the output folder; ``None`` where it is not one."""
    path = normpath(alias.lstrip("/") + ("index.html" if alias.endswith("/") else ""))
    outside = path in {".", ".."} or path.startswith("../") or "\\" in path
    return path if not outside and _can_be_written(path) else None


def _can_be_written(path: str) -> bool:
    """Whether a file system takes the path: one that it refuses would end the whole build."""
    try:
        whole = path.encode()
    except UnicodeEncodeError:
        return False
    longest = max(map(len, whole.split(b"/")))
    return b"\0" not in whole and len(whole) <= _LONGEST_PATH and longest <= _LONGEST_NAME
