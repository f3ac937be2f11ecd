"""Puts ``entry`` on every article, and the h-entry around its content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Environment

from pelican_indieauth.reading import Reader
from pelican_indieauth.site import Site
from pelican_indieauth.urls import Urls

_LISTS = (
    *("articles", "translations", "drafts", "drafts_translations"),
    *("hidden_articles", "hidden_translations"),
)


def articles_of(generator: Any) -> Iterator[Any]:
    """Every article that a generator will write, drafts and translations too."""
    for name in _LISTS:
        yield from getattr(generator, name, ())


def add_entries(articles: Iterable[Any], site: Site, context: Mapping[str, Any]) -> None:
    """Sets ``article.entry``."""
    urls = Urls(site.home, context.get("static_content", {}), context["STATIC_URL"])
    reader = Reader(urls, site.owner)
    for article in articles:
        article.entry = reader.entry(article)


def wrap(articles: Iterable[Any], environment: Environment) -> None:
    """Makes each article's content a whole entry, by the macros that themes have too."""
    macros: Any = environment.get_template("indieauth/entry.html").module
    for article in articles:
        before = macros.context(article) + macros.media(article)
        after = macros.place(article) + macros.syndication(article)
        article._content = macros.whole(article, before, article._content, after)
