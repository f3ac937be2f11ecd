"""Puts ``entry`` on every article, and the h-entry around its content."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pelican_indieauth.parts import Parts
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
    """What stands around a post's body.

    ``start`` and ``end`` do so in its page, empty where the theme marks up posts itself; ``before``
    and ``after`` are what of it is for people, and so for feeds and summaries too.
    """

    start: str
    before: str
    after: str
    end: str

    def around(self, body: str) -> str:
        """The post as its page shows it."""
        return f"{self.start}{body}{self.end}"

    def plain(self, body: str) -> str:
        """The post as a feed or a summary shows it: without values and classes for machines."""
        return f"{_PAGE_ONLY.sub('', self.before)}{body}{_PAGE_ONLY.sub('', self.after)}"

    def in_feed(self, content: str) -> str:
        """The plain form of what :meth:`around` has made, with what others have added since."""
        if not self.start:
            return self.plain(content)
        prepended, begun, rest = content.partition(self.start)
        body, ended, appended = rest.rpartition(self.end)
        if not (begun and ended):
            return content
        return f"{prepended}{self.plain(body)}{appended}"


def articles_of(generator: Any) -> Iterator[Any]:
    """Every article that a generator will write, drafts and translations too."""
    for name in _LISTS:
        yield from getattr(generator, name, ())


def add_entries(articles: Iterable[Any], site: Site, context: Mapping[str, Any]) -> None:
    """Sets ``entry``, ``entry_parts`` (its HTML) and ``entry_frame`` of each article.

    Where the plugin marks up the site, an article's content becomes the whole entry.
    """
    files = Urls(site.home, site.root, context["static_content"], context["STATIC_URL"])
    reader = Reader(files, site.owner)
    for article in articles:
        article.entry = reader.entry(article)
        article.entry_parts = Parts(article.entry, site.words)
        article.entry_frame = _frame(article.entry_parts, article._content, wrap=site.wraps)
        if site.wraps:
            _wrap(article)


def _frame(parts: Parts, body: str, *, wrap: bool) -> Frame:
    before = parts.context() + parts.media()
    after = parts.place() + parts.syndication()
    if not wrap:
        return Frame("", before, after, "")
    start, end = parts.opening() + before, f"{after}</div>"
    if body:
        start, end = f'{start}<div class="e-content">', f"</div>{end}"
    return Frame(start, before, after, end)


def _wrap(article: Any) -> None:
    """Puts the frame around the content, and keeps it out of the summary.

    Several themes print a summary beside the content, and a page should have one entry.
    """
    body = article._content or ""
    _forget(article)
    article.get_summary = _Summary(article, body)
    article._content = article.entry_frame.around(body)


@dataclass(slots=True)
class _Summary:
    """Pelican's own summary, of the plain form; made when it is first asked for."""

    article: Any
    body: str
    summarised: Any = None

    def __call__(self, siteurl: str) -> str:
        if self.summarised is None:
            self.summarised = copy.copy(self.article)
            del self.summarised.get_summary
            self.summarised._content = self.article.entry_frame.plain(self.body)
        summary: str = self.summarised.get_summary(siteurl)
        return summary


def _forget(article: Any) -> None:
    """Drops what Pelican keeps of content that another plugin has asked for before its time."""
    siteurl = article.get_siteurl()
    for method in (article.get_content, article.get_summary):
        getattr(method, "cache", {}).pop((article, siteurl), None)
