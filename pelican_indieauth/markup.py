"""Puts ``entry`` on every article, and the h-entry around its content."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

from pelican_indieauth.reading import Reader
from pelican_indieauth.site import Site
from pelican_indieauth.urls import Urls

_LISTS = (
    *("articles", "translations", "drafts", "drafts_translations"),
    *("hidden_articles", "hidden_translations"),
)
#: What of the markup is for pages alone: quotations, values for machines, what the body shows.
_PAGE_ONLY = re.compile(
    r"<blockquote.*?</blockquote>|<data[^>]*></data>|<p[^>]* hidden>.*?</p>| class=\"[^\"]*\"",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands before and after a post's body: in its page, and (``plain``) in a feed."""

    before: str
    after: str
    plain_before: str
    plain_after: str

    def in_feed(self, content: str) -> str:
        """A post's content as a feed shows it, from what its page shows."""
        if not content:
            return self.plain_before + self.plain_after
        if self.before:
            content = content.replace(self.before, self.plain_before, 1)
            return content.replace(self.after, self.plain_after, 1)
        return self.plain_before + content + self.plain_after


def articles_of(generator: Any) -> Iterator[Any]:
    """Every article that a generator will write, drafts and translations too."""
    for name in _LISTS:
        yield from getattr(generator, name, ())


def add_entries(articles: Iterable[Any], site: Site, context: Mapping[str, Any]) -> None:
    """Sets ``article.entry``."""
    files = Urls(site.home, site.root, context.get("static_content", {}), context["STATIC_URL"])
    reader = Reader(files, site.owner)
    for article in articles:
        article.entry = reader.entry(article)


def frame(articles: Iterable[Any], environment: Environment, *, wrap: bool) -> None:
    """Sets ``article.entry_frame``; with ``wrap`` makes the content of each a whole entry.

    The words come from the macros that themes have too. Summaries are Pelican's own, made of the
    plain form: several themes print one beside the content, and a page should have one entry.
    """
    macros: Any = environment.get_template("indieauth/entry.html").module
    for article in articles:
        body = article._content or ""
        before = macros.context(article) + macros.media(article)
        after = macros.place(article) + macros.syndication(article)
        plain_before, plain_after = _PAGE_ONLY.sub("", before), _PAGE_ONLY.sub("", after)
        if not wrap:
            article.entry_frame = Frame("", "", plain_before, plain_after)
            continue
        opening = macros.opening(article) + before + ('<div class="e-content">' if body else "")
        closing = ("</div>" if body else "") + after + "</div>"
        article.entry_frame = Frame(opening, closing, plain_before, plain_after)
        _forget(article)
        summarised = copy.copy(article)
        summarised._content = plain_before + body + plain_after
        article.get_summary = summarised.get_summary
        article._content = opening + body + closing


def _forget(article: Any) -> None:
    """Drops what Pelican keeps of content that another plugin has asked for before its time."""
    siteurl = article.get_siteurl()
    for method in (article.get_content, article.get_summary):
        getattr(method, "cache", {}).pop((article, siteurl), None)
