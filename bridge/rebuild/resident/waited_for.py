"""Which pages are rendered first: those that clients wait for, then those that are seen most."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bridge.rebuild.resident.pelican.planning import PlannedPage
from bridge.rebuild.resident.reuse.trace import is_mentions


class WaitedFor:
    """Finds posts that are new or changed, and posts with new mentions."""

    def __init__(self, checkout: Path) -> None:
        self._root = f"{checkout}/"
        self._mentioned: dict[str, Any] | None = None

    def files(self, names: Collection[str]) -> set[str]:
        """Absolute paths of files in the checkout."""
        return {f"{self._root}{name}" for name in names}

    def posts(
        self,
        context: Mapping[str, Any],
        *,
        read: Collection[str],
        posts: Collection[str],
        unseen: Collection[str],
    ) -> set[str]:
        """The files of these posts.

        ``read`` are the files that this build had to parse (absolute paths), ``posts`` all posts,
        and ``unseen`` those that no build has published yet (paths in the checkout).
        """
        before, self._mentioned = self._mentioned, _mentions(context)
        unshown = self.files(unseen)
        found = unshown & self.files(posts)
        if before is None:
            # A process that was just started parses everything, and does not know which mentions
            # are gone.
            new = (
                post for post, mentions in self._mentioned.items() if _is_from(mentions, unshown)
            )
            return found.union(new)
        both = before.keys() | self._mentioned.keys()
        return found.union(
            read, (post for post in both if before.get(post) != self._mentioned.get(post))
        )


def _mentions(context: Mapping[str, Any]) -> dict[str, Any]:
    """The files of each post's mentions with their stamps, by the post's file."""
    found = {}
    for post in context["generated_content"].values():
        mentions: Any = getattr(post, "mentions", None)
        if is_mentions(type(mentions)) and (versions := mentions.version()):
            found[post.source_path] = versions
    return found


def _is_from(versions: Any, files: Collection[str]) -> bool:
    return any(file in files for file, _ in versions)


def first_pages(settings: dict[str, Any]) -> set[str]:
    """The home page and the feeds of the whole site."""
    names = ("INDEX_SAVE_AS", "FEED_ALL_ATOM", "FEED_ALL_RSS", "FEED_ATOM", "FEED_RSS")
    return {str(settings[name]) for name in names if settings.get(name)}


def importance(page: PlannedPage) -> tuple[int, float]:
    """A sort key: the home page and feeds, new posts, old posts, further pages of lists."""
    if page.content is not None:
        when = getattr(page.content, "date", None)
        return 1, -when.timestamp() if when is not None else 0
    listed = page.local.get("articles_page")
    return (0, 0) if listed is None or listed.number == 1 else (2, listed.number)
