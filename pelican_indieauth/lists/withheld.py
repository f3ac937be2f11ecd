"""Withholds posts that are not public: drafts from apps, and scheduled posts.

Pelican writes a page for each draft, only without links to it, and its URL can be guessed. A draft
that an app created has ``"draft": "app"`` in its ``Mf2`` line and gets no page; with
``INDIEAUTH_PRIVATE_DRAFTS`` no draft does. A post that an app created with a future date is not
built before that date.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

logger = logging.getLogger(__name__)

#: The key of what a build withholds, in the settings.
KEY = "indieauth_withheld"
#: The environment variable with the folder for previews, which only the owner sees.
PREVIEWS = "PELICAN_INDIEAUTH_PREVIEWS"


@dataclass(slots=True)
class Withheld:
    """The posts that a build withholds, with the generator that read them."""

    found: list[tuple[Any, Any]] = field(default_factory=list)

    def take_from(self, generator: Any, lists: Iterable[str], *, every: bool) -> None:
        """Take drafts out of these lists, and out of what other posts can link to.

        ``every``: also those written by hand.
        """
        posts = generator.context["generated_content"]
        for name in lists:
            drafts = getattr(generator, name)
            private = [draft for draft in drafts if every or _is_from_an_app(draft)]
            # In place: other code may hold this list already.
            drafts[:] = [draft for draft in drafts if draft not in private]
            for draft in private:
                posts[draft.get_relative_source_path()] = None
                self.found.append((generator, draft))

    def write_previews(self) -> None:
        """Write the pages of withheld posts to the folder for previews, if there is one.

        Runs after all other writing, so that it has no effect on that. Pages of posts that are no
        longer withheld are removed.
        """
        if not os.environ.get(PREVIEWS):
            return
        folder = Path(os.environ[PREVIEWS])
        written = {_write(folder, generator, post) for generator, post in self.found}
        for place in folder.rglob("*"):
            if place.is_file() and place not in written:
                place.unlink()

    def write_early(self, files: Collection[str]) -> list[str]:
        """Write only the pages of the posts in these files, before anything else is written.

        For a builder that publishes each page as soon as it is written. Returns the paths that they
        would have in the output.
        """
        if not os.environ.get(PREVIEWS):
            return []
        folder = Path(os.environ[PREVIEWS])
        return [
            _save_as(post)
            for generator, post in self.found
            if post.source_path in files and _write(folder, generator, post) is not None
        ]


def is_early(metadata: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether an app created this post with a future date. Drafts do not count."""
    when = metadata.get("date")
    if "mf2" not in metadata or metadata.get("status") == "draft" or not isinstance(when, datetime):
        return False
    if when.tzinfo is None:
        when = when.replace(tzinfo=_zone(metadata.get("timezone") or settings.get("TIMEZONE")))
    return when > datetime.now(UTC)


def _zone(name: Any) -> Any:
    try:
        return ZoneInfo(str(name or "UTC"))
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a folder of zones, or too long
        return UTC


def _is_from_an_app(draft: Any) -> bool:
    line = draft.metadata.get("mf2")
    if not line:
        return False
    try:
        data = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        # If in doubt it is withheld: a page can be published later, but not taken back.
        return True
    return not isinstance(data, dict) or data.get("draft") == "app"


def _save_as(post: Any) -> str:
    """The path of a draft's page. Where drafts have none (``DRAFT_SAVE_AS = ""``), it is the one
    that the post will have.
    """
    found = post.save_as
    if not found and post.status == "draft":
        published = copy.copy(post)
        published.status = "published"
        found = published.save_as
    return str(found)


def _parts(save_as: str) -> list[str]:
    """The parts of an output path, without any that lead out of the folder."""
    return [name for name in save_as.split("/") if name not in {"", ".", ".."}]


def _write(folder: Path, generator: Any, post: Any) -> Path | None:
    """Write one page now. Returns its path, or ``None`` if the theme fails on it."""
    place = folder.joinpath(*_parts(_save_as(post)))
    half = place.with_name(f".{place.name}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(_page(generator, post), "utf-8")
        half.replace(place)
    except Exception as error:  # noqa: BLE001  (the theme's fault, not that of the site)
        logger.warning("%s has no preview: %s: %s", post, type(error).__name__, error)
        return None
    return place


def _page(generator: Any, post: Any) -> str:
    """Render a post's page as Pelican's writer does."""
    kind = "page" if hasattr(generator, "draft_pages") else "article"
    variables = {
        **generator.context,
        kind: post,
        "category": getattr(post, "category", None),
        "output_file": _save_as(post),
        "url": post.url,
    }
    page: str = generator.get_template(post.template).render(variables)
    return page
