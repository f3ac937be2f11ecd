"""Which post to leave out when a page cannot be rendered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pelican.contents import Content

from bridge.rebuild.resident.pelican.planning import Collision, PlannedPage
from bridge.rebuild.resident.reuse.pages import PageFailed


def suspects(error: Collision | PageFailed, checkout: Path) -> tuple[str, ...]:
    """Source files in the checkout that may be at fault, likeliest first.

    Where two pages collide, the posts behind both are: those of the shorter listing first, posts
    written by hand before those that the bridge has checked, new before old.
    """
    if isinstance(error, PageFailed):
        contents = error.contents
    else:
        lists = sorted((list(_behind(page)) for page in (error.first, error.second)), key=len)
        contents = [content for behind in lists for content in sorted(behind, key=_trust)]
    root = f"{checkout}/"
    paths = (content.source_path or "" for content in contents)
    return tuple(dict.fromkeys(path.removeprefix(root) for path in paths if path.startswith(root)))


def _behind(page: PlannedPage) -> Iterator[Content]:
    """The posts that a page exists for."""
    if page.content is not None:
        yield page.content
        return
    for name in ("elements", "articles", "dates"):
        if name in page.local:
            yield from page.local[name]
            return


def _trust(content: Content) -> tuple[bool, float]:
    when = getattr(content, "date", None)
    return "mf2" in content.metadata, -when.timestamp() if when is not None else 0.0
