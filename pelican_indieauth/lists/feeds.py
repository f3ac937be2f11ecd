"""Improves feeds: a like is not an empty item, and a note has no made-up title."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feedgenerator.django.utils.encoding import iri_to_uri

from pelican_indieauth.entry.markup import summary_in_feed

#: The key of a build's articles by the links that feeds have.
ARTICLES = "indieauth_articles"


def by_link(articles: Iterable[Any]) -> dict[str, Any]:
    """The articles by link, as the feed library spells it."""
    return {iri_to_uri(article.entry.url): article for article in articles}


def amend(feed: Any, articles: Mapping[str, Any], *, summary_only: bool) -> None:
    """Give each item its post's plain HTML, and a title only where the post has one."""
    for item in feed.items:
        article = articles.get(item["link"].removesuffix("?ref=feed"))
        if article is None:
            continue
        if not article.entry.titled:
            item["title"] = ""
        item["description"] = summary_in_feed(item["description"])
        # Atom has content and summary; RSS has either as the description.
        if item["content"] is not None:
            item["content"] = article.entry_frame.in_feed(item["content"])
            description = _summary(article, item["description"])
            item["description"] = None if description == item["content"] else description
        elif summary_only:
            item["description"] = _summary(article, item["description"])
        else:
            item["description"] = article.entry_frame.in_feed(item["description"] or "")


def _summary(article: Any, summary: str | None) -> str | None:
    """A post's summary; Pelican's own summary of the body gets the frame around it.

    The plugin's and the author's summaries are complete.
    """
    made = summary is not None and "summary" not in article.metadata
    if made and not article.entry_frame.opening:
        return str(article.entry_frame.plain(summary))
    return summary


def add_hub(feed: Any, hub: str) -> None:
    """Add the WebSub hub to a feed (WebSub 4)."""
    name = "link" if feed.content_type.startswith("application/atom") else "atom:link"
    theirs = feed.add_root_elements

    def add_root_elements(handler: Any) -> None:
        theirs(handler)
        handler.addQuickElement(name, "", {"rel": "hub", "href": hub})

    feed.add_root_elements = add_root_elements
