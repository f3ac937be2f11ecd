"""Composes the copy of a post: text, pictures, card. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from bridge.micropub.post import Json, Post
from bridge.micropub.post_type import discover
from bridge.settings import Target
from bridge.syndication.compose import text
from bridge.syndication.compose.measure import BLUESKY, Measure, cut, shorten
from bridge.syndication.compose.shown import Picture, PostPage
from bridge.syndication.compose.text import Rich

#: Both networks take four pictures.
MOST_PHOTOS = 4
_DESCRIPTION = Measure(300, 3_000, BLUESKY.cost)
_CARD_TITLE = Measure(150, 1_500, BLUESKY.cost)
#: What a post may point at, and with that show before its permalink; the first that it has counts.
_ABOUT = (
    *("repost-of", "like-of", "in-reply-to", "bookmark-of"),
    *("read-of", "listen-of", "watch-of", "play-of", "jam-of"),
)
_SYMBOLS = {"like": "♥", "repost": "🔁", "rsvp": "📅"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANKS = ("public", "unlisted", "private", "direct")

Answer: TypeAlias = Literal["reply", "like", "repost"]


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a link: ``own`` where that is the post's own permalink."""

    url: str
    title: str = ""
    description: str = ""
    picture: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A post as it is published, with all that a copy may be made of.

    ``content`` is the text of its page; ``about`` what it replies to, likes, reposts or points at.
    """

    url: str
    kind: str
    name: str = ""
    content: Rich = field(default_factory=Rich)
    summary: str = ""
    tags: tuple[str, ...] = ()
    photos: tuple[Picture, ...] = ()
    featured: tuple[Picture, ...] = ()
    has_film: bool = False
    about: tuple[str, ...] = ()
    language: str = ""
    visibility: str = "public"
    sensitive: bool = False
    warning: str = ""
    published: datetime = _EPOCH

    @property
    def answers(self) -> Answer | None:
        """Which kind of answer it is, where it is one."""
        kinds: dict[str, Answer] = {"reply": "reply", "like": "like", "repost": "repost"}
        return kinds.get(self.kind)


@dataclass(frozen=True, slots=True)
class Composed:
    """What goes to a network. ``cut``: not all of the post is in it."""

    rich: Rich
    photos: tuple[Picture, ...] = ()
    card: Card | None = None
    language: str = ""
    visibility: str = "public"
    sensitive: bool = False
    warning: str = ""
    cut: bool = False

    @property
    def text(self) -> str:
        """The text alone."""
        return self.rich.text


def source_of(post: Post, page: PostPage, url: str, published: datetime) -> Source:
    """What is known of a post: its properties, and how its page at ``url`` shows it."""
    name = " ".join((post.text("name") or "").split())
    content = page.content
    if name and " ".join(content.text.split()).startswith(name):
        # A name that only repeats the beginning is none (post type discovery).
        name = ""
    photos = tuple(_pictures(post.all("photo")))
    return Source(
        url=url,
        kind=discover(post),
        name=name,
        content=content,
        summary=_plain(post.first("summary")) or page.summary,
        tags=tuple(each for each in post.all("category") if isinstance(each, str)),
        photos=photos or page.pictures,
        featured=tuple(_pictures(post.all("featured"))),
        has_film=bool(post.all("video") or post.all("audio")),
        about=tuple(_targets(post)),
        language=page.language,
        visibility=str(post.first("visibility") or "public").strip().lower(),
        sensitive=str(post.first("sensitive") or "").strip().lower() in {"true", "1", "yes"},
        warning=_plain(post.first("content-warning")),
        published=published,
    )


def for_mastodon(
    source: Source,
    target: Target,
    measure: Measure,
    *,
    answers: bool = False,
    mention: str = "",
    privacy: str = "public",
    most_photos: int = MOST_PHOTOS,
) -> Composed:
    """The status. ``answers``: it is a reply there, to the account ``mention``; ``privacy`` is what
    the account has chosen for its posts."""
    body = Rich(text.without_stray_mentions(text.with_links_written_out(source.content)))
    if mention and f"@{mention}".casefold() not in body.text.casefold():
        body = Rich(f"@{mention} ") + body
    warning = source.warning
    if warning:
        # It counts, and must leave room for the text.
        warning = shorten(Rich(warning), replace(measure, most=measure.most // 2)).text
        measure = replace(measure, most=measure.most - measure.size(warning)[0])
    name = text.without_stray_mentions(source.name)
    composed = _compose(
        source, target, measure, body, name=name, answers=answers, most_photos=most_photos
    )
    ranks = [
        _RANKS.index(each)
        for each in (source.visibility, target.visibility, privacy)
        if each in _RANKS
    ]
    language = source.language.partition("-")[0].lower()
    return replace(
        composed,
        card=None,
        warning=warning,
        language=language if re.fullmatch(r"[a-z]{2,3}", language) else "",
        visibility=_RANKS[max(ranks, default=0)],
    )


def for_bluesky(source: Source, target: Target, *, answers: bool = False) -> Composed:
    """The record; its card still lacks what another page says of itself."""
    if source.warning:
        # Nothing there hides a text until it is asked for: the post's own page does.
        source = replace(
            source, kind="article", name=source.warning, content=Rich(), summary="", photos=()
        )
        source = replace(source, featured=())
    composed = _compose(
        source,
        target,
        BLUESKY,
        source.content,
        name=source.name,
        answers=answers,
        most_photos=MOST_PHOTOS,
    )
    language = source.language if re.fullmatch(r"[A-Za-z]{2,3}(-\w{2,8})*", source.language) else ""
    return replace(composed, language=language)


def _compose(
    source: Source,
    target: Target,
    measure: Measure,
    content: Rich,
    *,
    name: str,
    answers: bool,
    most_photos: int,
) -> Composed:
    is_article = source.kind == "article" and bool(name)
    about = () if answers else source.about[:1]
    body = Rich(name) if is_article else _body(source, content, name, about)
    photos = () if is_article else source.photos[:most_photos]
    never = target.link == "never"
    always = is_article or target.link == "always"
    incomplete = len(source.photos) > most_photos or source.has_film
    silent = not (body.text or photos or about)
    with_link = always or silent or (incomplete and not never)
    links = [*about, *([source.url] if with_link else [])]
    whole = _joined(body, links)
    if measure.fits(whole.text):
        made, is_cut = _with_tags(whole, source, target, measure), False
    else:
        if not (with_link or never):
            links.append(source.url)
        made, is_cut = cut(body, measure, "".join(f"\n\n{each}" for each in links)), True
    return Composed(
        made,
        photos=photos,
        card=None if photos else _card(source, made, links),
        sensitive=source.sensitive,
        warning=source.warning,
        visibility=source.visibility,
        cut=is_cut,
    )


def _body(source: Source, content: Rich, name: str, about: Iterable[str]) -> Rich:
    """What is said: the name and the text, or what stands in for both."""
    body = Rich(name)
    if content.text:
        body = body + "\n\n" + content if name else content
    if body.text:
        return body
    if source.summary:
        return Rich(source.summary)
    return Rich(_SYMBOLS.get(source.kind, "") if any(about) else "")


def _joined(body: Rich, links: Iterable[str]) -> Rich:
    for link in links:
        if body.text in _SYMBOLS.values():
            body += f" {link}"
        elif not _has(body.text, link):
            body += f"\n\n{link}" if body.text else link
    return body


def _has(words: str, link: str) -> bool:
    return any(each.value == link for each in text.urls(words))


def _with_tags(made: Rich, source: Source, target: Target, measure: Measure) -> Rich:
    """With as many of the tags as there is room for."""
    if not target.tags:
        return made
    joint = "\n\n" if made.text else ""
    for tag in text.hashtags(source.tags, made.text):
        longer = made + f"{joint}{tag}"
        if measure.fits(longer.text):
            made, joint = longer, " "
    return made


def _card(source: Source, made: Rich, links: Iterable[str]) -> Card | None:
    """Of the permalink, where the text has it, else of the first link to another site."""
    if source.url in links and _has(made.text, source.url):
        first = next(iter((*source.featured, *source.photos)), None)
        title = source.name or shorten(Rich(_one_line(source.content.text)), _CARD_TITLE).text
        said = source.summary or (_one_line(source.content.text) if source.name else "")
        description = shorten(Rich(said), _DESCRIPTION).text
        return Card(source.url, title, description, first.url if first else "", own=True)
    spans = sorted([*made.links, *text.urls(made.text)], key=lambda each: each.start)
    for span in spans:
        if span.value != source.url:
            words = made.text[span.start : span.end].strip()
            return Card(span.value, "" if words == span.value else words)
    return None


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _targets(post: Post) -> Iterable[str]:
    for name in _ABOUT:
        for value in post.all(name):
            url = _url(value)
            if url:
                yield url


def _url(value: Json) -> str:
    if isinstance(value, dict):
        properties = value.get("properties")
        inner = properties.get("url") if isinstance(properties, dict) else value.get("value")
        value = inner[0] if isinstance(inner, list) and inner else inner
    return value if isinstance(value, str) and re.match(r"(?:https?|at)://", value) else ""


def _pictures(values: Iterable[Json]) -> Iterable[Picture]:
    for value in values:
        url = value.get("value") if isinstance(value, dict) else value
        alt = value.get("alt") if isinstance(value, dict) else ""
        if isinstance(url, str) and url:
            yield Picture(url, alt.strip() if isinstance(alt, str) else "")


def _plain(value: Json) -> str:
    if isinstance(value, dict):
        value = value.get("value")
    return value.strip() if isinstance(value, str) else ""
