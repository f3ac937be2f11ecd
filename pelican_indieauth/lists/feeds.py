"""Feeds that make sense: a like is not an empty item, and a note has no invented title."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feedgenerator.django.utils.encoding import iri_to_uri

from pelican_indieauth.entry.markup import summary_in_feed

#: Where a build keeps its articles by the address that feeds name them by.
ARTICLES = "indieauth_articles"


def by_link(articles: Iterable[Any]) -> dict[str, Any]:
    """Articles by their links, spelt as the feed library does."""
    return {iri_to_uri(article.entry.url): article for article in articles}


def amend(feed: Any, articles: Mapping[str, Any], *, summary_only: bool) -> None:
    """Makes each item what its post is: plain HTML, with a title only where the post has one."""
    for item in feed.items:
        article = articles.get(item["link"].removesuffix("?ref=feed"))
        if article is None:
            continue
        if not article.entry.titled:
            item["title"] = ""
        item["description"] = summary_in_feed(item["description"])
        # Atom has the content and a summary beside it; RSS has one of both, as the description.
        if item["content"] is not None:
            item["content"] = article.entry_frame.in_feed(item["content"])
            description = _summary(article, item["description"])
            item["description"] = None if description == item["content"] else description
        elif summary_only:
            item["description"] = _summary(article, item["description"])
        else:
            item["description"] = article.entry_frame.in_feed(item["description"] or "")


def _summary(article: Any, summary: str | None) -> str | None:
    """A post's summary; one that Pelican has made of the bare body has the frame put around it.

    The plugin's own is made of the whole, the author's stands for the whole.
    """
    made = summary is not None and "summary" not in article.metadata
    if made and not article.entry_frame.opening:
        return str(article.entry_frame.plain(summary))
    return summary


def add_hub(feed: Any, hub: str) -> None:
    """Names the WebSub hub in the feed, where subscribers look for it (WebSub 4)."""
    name = "link" if feed.content_type.startswith("application/atom") else "atom:link"
    theirs = feed.add_root_elements

    def add_root_elements(handler: Any) -> None:
        theirs(handler)
        handler.addQuickElement(name, "", {"rel": "hub", "href": hub})

    feed.add_root_elements = add_root_elements
