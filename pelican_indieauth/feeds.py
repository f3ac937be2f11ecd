"""Feeds that make sense: a like is no empty item, and a note has no invented title."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feedgenerator.django.utils.encoding import iri_to_uri

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
        # Atom has the content and a summary beside it; RSS has one of both, as the description.
        atom = item["content"] is not None
        content = "content" if atom else "description"
        if atom or not summary_only or not item[content]:
            item[content] = article.entry_frame.in_feed(item[content] or "")
        if atom and item["description"] in ("", item["content"]):
            item["description"] = None


def add_hub(feed: Any, hub: str) -> None:
    """Names the WebSub hub in the feed, where subscribers look for it (WebSub 4)."""
    name = "link" if feed.content_type.startswith("application/atom") else "atom:link"
    theirs = feed.add_root_elements

    def add_root_elements(handler: Any) -> None:
        theirs(handler)
        handler.addQuickElement(name, "", {"rel": "hub", "href": hub})

    feed.add_root_elements = add_root_elements
