"""Sets ``entry`` on every article, and wraps its content in an h-entry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pelican_indieauth.entry.copies import ScaledCopies
from pelican_indieauth.entry.elements import FITTING
from pelican_indieauth.entry.parts import SHOWN_IN_TEXT, EntryParts
from pelican_indieauth.entry.reading import Reader
from pelican_indieauth.entry.urls import Urls, comparable
from pelican_indieauth.mentions import post_mentions
from pelican_indieauth.mentions.mention import Mentions
from pelican_indieauth.site import PluginSettings

_LISTS = (
    *("articles", "translations", "drafts", "drafts_translations"),
    *("hidden_articles", "hidden_translations"),
)
#: Markup that is left out of feeds and summaries: quotations, invisible values, classes.
_PAGE_ONLY = re.compile(
    r"<blockquote.*?</blockquote>|<data[^>]*></data>|<p[^>]* hidden>.*?</p>| class=\"[^\"]*\"",
    re.DOTALL,
)
#: A long URL or word in a text, not in a tag, may be broken at the end of a line.
_WIDE = re.compile(r"(?:^|[>\s])[^<>\s]{30,}(?=[^<>]*(?:<|$))")
#: Pictures and code are not wider than the page, and tables scroll: stock themes have no style for
#: that.
_PICTURE = re.compile(r"<(img|video)\b(?![^<>]*\sstyle=)")
_CODE = re.compile(r"<pre\b(?![^<>]*\sstyle=)")
_TABLE = re.compile(r"<table\b|</table>")
_SCROLLING = '<div style="overflow-x: auto">'
#: Letters of right-to-left scripts: such a text sets its direction by ``dir=auto``.
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_BREAKING = 'style="overflow-wrap: break-word">'
_START_OF_BODY = re.compile(rf'^<div class="e-content"(?: dir="auto")?(?:>| {_BREAKING})')
_BREAKING_SUMMARY = f"<div {_BREAKING}"


@dataclass(frozen=True, slots=True)
class EntryFrame:
    """The markup around a post's content.

    ``before`` and ``after`` are visible, and so are in feeds and summaries, too; ``opening`` is the
    start tag of the entry, ``""`` where the theme marks up posts itself. ``fitting``: what an app
    has sent must not be wider than a phone.
    """

    opening: str
    before: str
    after: str
    fitting: bool = False

    def around(self, body: str) -> str:
        """The content for the post's page."""
        if body:
            direction = ' dir="auto"' if _RIGHT_TO_LEFT.search(body) else ""
            breaking = f" {_BREAKING}" if _WIDE.search(body) else ">"
            body = _fitting(body) if self.fitting else body
            body = f'<div class="e-content"{direction}{breaking}{body}</div>'
        return f"{self.opening}{self.before}{body}{self.after}</div>"

    def plain(self, body: str) -> str:
        """The content for feeds and summaries, without invisible values and classes."""
        if not (self.before or self.after):
            return body
        return f"{_PAGE_ONLY.sub('', self.before)}{body}{_PAGE_ONLY.sub('', self.after)}"

    def in_feed(self, content: str) -> str:
        """The plain form of the result of :meth:`around`, including what other plugins have
        added to it.
        """
        if not self.opening:
            return self.plain(content)
        prepended, begun, rest = content.partition(self.opening + self.before)
        inner, ended, appended = rest.rpartition(f"{self.after}</div>")
        if not (begun and ended):
            return content
        body = _START_OF_BODY.sub("", inner).removesuffix("</div>")
        return f"{prepended}{self.plain(body)}{appended}"


def _fitting(body: str, picture: str = FITTING) -> str:
    if "<img" in body or "<video" in body:
        body = _PICTURE.sub(rf"<\1 {picture}", body)
    if "<pre" in body:
        body = _CODE.sub('<pre style="overflow-x: auto"', body)
    if "<table" in body:
        body = _TABLE.sub(
            lambda tag: _SCROLLING + tag[0] if tag[0][1] == "t" else f"{tag[0]}</div>", body
        )
    return body


def summary_in_feed(summary: str | None) -> str | None:
    """A summary for feeds, without the style for narrow pages."""
    if summary is None or not summary.startswith(_BREAKING_SUMMARY):
        return summary
    return summary.removeprefix(_BREAKING_SUMMARY).removesuffix("</div>")


def articles_of(generator: Any) -> Iterator[Any]:
    """All articles that a generator will write, with drafts and translations."""
    for name in _LISTS:
        yield from getattr(generator, name, ())


def add_entries(articles: Iterable[Any], site: PluginSettings, context: Mapping[str, Any]) -> None:
    """Set ``entry``, ``entry_parts`` (its HTML), ``entry_frame`` and ``mentions`` of each article.

    Where the plugin marks up posts, an article's content becomes the whole entry.
    """
    files = _urls(site, context)
    reader = Reader(files, ScaledCopies(context["static_content"]), site.owner)
    articles = list(articles)
    for article in articles:
        # Pelican computes the URL at every access, and themes access it often: caching it saves
        # more than all of this costs.
        article.override_url = article.url
        article.entry = reader.entry(article)
        article.entry_parts = EntryParts(
            article.entry, site.words, article.date_format, site.bridgy_fed
        )
        sent = "mf2" in article.metadata
        article.entry_frame = _frame(article.entry_parts, wrap=site.wraps, fitting=sent)
        if site.wraps:
            article.get_content = _Content(article.entry_frame, article.get_content)
            article.get_summary = _Summary(article)
    content = Path(context["PATH"])
    post_mentions.attach(articles, content, site.mentions, files, site.words, site.mention_form)


def add_mentions(pages: Iterable[Any], site: PluginSettings, generator: Any) -> None:
    """Set ``mentions`` of each of the site's pages, for themes that show them."""
    context = generator.context
    files, content = _urls(site, context), Path(context["PATH"])
    post_mentions.attach(pages, content, site.mentions, files, site.words, site.mention_form)


def home_mentions(
    articles: Iterable[Any], site: PluginSettings, context: Mapping[str, Any]
) -> Mentions:
    """What others say of the site's home page."""
    content, urls = Path(context["PATH"]), _urls(site, context)
    return post_mentions.of_home(articles, content, site.mentions, urls)


def _urls(site: PluginSettings, context: Mapping[str, Any]) -> Urls:
    profiles = frozenset(comparable(link.href) for link in site.links if link.rel == "me")
    static = context["static_content"], context["STATIC_URL"]
    return Urls(site.home, site.root, *static, profiles)


def _frame(parts: EntryParts, *, wrap: bool, fitting: bool) -> EntryFrame:
    before = parts.context() + parts.media()
    after = parts.place() + parts.syndication()
    opening = parts.opening() if wrap else ""
    if _WIDE.search(before) or _WIDE.search(after):
        opening = opening.replace(">", f" {_BREAKING}", 1)
    return EntryFrame(opening, before, after, fitting)


@dataclass(slots=True)
class _Content:
    """Replaces an article's ``content`` by the whole entry.

    Pelican resolves and caches the links of the body alone, the only part that needs it, so that a
    summary can be made without resolving them again.
    """

    frame: EntryFrame
    get_body: Callable[[str], str | None]

    def __call__(self, siteurl: str) -> str:
        return self.frame.around(self.get_body(siteurl) or "")


@dataclass(slots=True)
class _Plain(_Content):
    """The same without invisible values and classes."""

    def __call__(self, siteurl: str) -> str:
        return self.frame.plain(self.get_body(siteurl) or "")


@dataclass(slots=True)
class _Summary:
    """Pelican's summary, made of the plain form on first access.

    Several themes print a summary beside the content, and a page must have one entry.
    """

    article: Any
    get_summary: Callable[[str], str] | None = None

    def __call__(self, siteurl: str) -> str:
        if self.get_summary is None:
            self.get_summary = self._pelicans_own()
        summary = self.get_summary(siteurl)
        if self.article.entry_frame.fitting:
            summary = _fitting(summary, SHOWN_IN_TEXT)
        return f"{_BREAKING_SUMMARY}{summary}</div>" if _WIDE.search(summary) else summary

    def _pelicans_own(self) -> Callable[[str], str]:
        """Pelican's own computation of the summary, with the plain content."""
        article, content = self.article, self.article.get_content
        summarised = object.__new__(type(article))
        summarised.__dict__.update(article.__dict__)
        summarised.get_content = _Plain(content.frame, content.get_body)
        del summarised.get_summary
        own: Callable[[str], str] = summarised.get_summary
        return own
