"""Leaves post types out of the home page and the main feeds (``INDIEAUTH_NOT_ON_HOME``).

Their posts still have pages, and are in archives, categories, tags and the feeds of those.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pelican_indieauth.entry.kinds import KINDS
from pelican_indieauth.errors import SettingError

SETTING = "INDIEAUTH_NOT_ON_HOME"


def chosen(settings: Mapping[str, Any]) -> frozenset[str]:
    """The post types that the setting names. Raises :class:`SettingError`."""
    value = settings.get(SETTING) or ()
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
        raise SettingError(SETTING, value, "is not a list", 'Write ["like", "repost", "rsvp"]')
    for kind in value:
        if not isinstance(kind, str) or kind not in KINDS:
            remedy = f"Use any of {', '.join(sorted(KINDS))}"
            raise SettingError(SETTING, kind, "is not a post type", remedy)
    return frozenset(value)


def on_home(articles: Iterable[Any], kinds: Collection[str]) -> list[Any]:
    """The articles of other types."""
    return [article for article in articles if article.entry.kind not in kinds]


def keep_off_home(generator: Any, kinds: Collection[str]) -> None:
    """Make an articles generator write its home page and main feeds without these types."""
    direct, feeds = generator.generate_direct_templates, generator.generate_feeds

    def generate_direct_templates(write: Callable[..., None]) -> None:
        def write_home(*args: Any, **values: Any) -> None:
            if values.get("template_name") == "index":
                values |= {name: on_home(values[name], kinds) for name in ("articles", "dates")}
            write(*args, **values)

        direct(write_home)

    def generate_feeds(writer: Any) -> None:
        # Feeds of categories, tags and authors use other lists.
        everything, generator.articles = generator.articles, on_home(generator.articles, kinds)
        try:
            feeds(writer)
        finally:
            generator.articles = everything

    generator.generate_direct_templates = generate_direct_templates
    generator.generate_feeds = generate_feeds
