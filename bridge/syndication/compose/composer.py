"""Composes the copy of a post: text, photos, card. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from bridge.content.file import one_line
from bridge.micropub.post import Json, Post, discover, is_tag, nested
from bridge.settings import Target
from bridge.syndication.compose import text
from bridge.syndication.compose.measure import BLUESKY, Measure, cut, shorten
from bridge.syndication.compose.post_page import PagePhoto, PostPage
from bridge.syndication.compose.text import RichText

#: Both networks accept four photos.
MOST_PHOTOS = 4
#: A URL whose path ends as of a film, a sound or a document, which no network takes as a photo.
_NO_PICTURE = re.compile(
    r"[^?#]*\.(?:mp4|m4v|mov|webm|ogv|mp3|m4a|wav|flac|weba|opus|pdf)(?:[?#]|$)", re.IGNORECASE
)
_DESCRIPTION = Measure(300, 3_000, BLUESKY.cost)
_CARD_TITLE = Measure(150, 1_500, BLUESKY.cost)
#: Properties with the target of a response, and the symbol shown before the link; the first one
#: present is used.
_ABOUT = (
    *("repost-of", "like-of", "in-reply-to", "bookmark-of"),
    *("read-of", "listen-of", "watch-of", "play-of", "jam-of"),
)
_SYMBOLS = {"like": "♥", "repost": "🔁", "rsvp": "📅"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANKS = ("public", "unlisted", "private", "direct")

Answer: TypeAlias = Literal["reply", "like", "repost"]


class Card(Struct, frozen=True):
    """A link card; ``own``: the link is the post's permalink."""

    url: str
    title: str = ""
    description: str = ""
    picture: str = ""
    own: bool = False


class CopySource(Struct, frozen=True):
    """A published post, with everything that a copy may be composed of.

    ``content`` is the text of its page; ``about`` the URLs that it replies to, likes, reposts or
    bookmarks.
    """

    url: str
    kind: str
    name: str = ""
    content: RichText = field(default_factory=RichText)
    summary: str = ""
    tags: tuple[str, ...] = ()
    photos: tuple[PagePhoto, ...] = ()
    featured: tuple[PagePhoto, ...] = ()
    has_film: bool = False
    about: tuple[str, ...] = ()
    language: str = ""
    visibility: str = "public"
    sensitive: bool = False
    warning: str = ""
    published: datetime = _EPOCH

    @property
    def answers(self) -> Answer | None:
        """The kind of response that the post is, or ``None``."""
        kinds: dict[str, Answer] = {"reply": "reply", "like": "like", "repost": "repost"}
        return kinds.get(self.kind)


class Composed(Struct, frozen=True):
    """What is sent to a network. ``cut``: the text was shortened."""

    rich: RichText
    photos: tuple[PagePhoto, ...] = ()
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


def source_of(post: Post, page: PostPage, url: str, published: datetime) -> CopySource:
    """Collect a post's properties and the content of its page at ``url``."""
    name = " ".join((post.text("name") or "").split())
    content = page.content
    if name and " ".join(content.text.split()).startswith(name):
        # A name that only repeats the start of the content is not a title (post type discovery).
        name = ""
    sent = tuple(_pictures(post.all("photo")))
    # The site shows what some apps send as a photo by what its name says, too.
    photos = tuple(each for each in sent if not _NO_PICTURE.match(each.url))
    return CopySource(
        url=url,
        kind=discover(post),
        name=name,
        content=content,
        summary=_plain(post.first("summary")) or page.summary,
        tags=tuple(each for each in post.all("category") if is_tag(each)),
        photos=photos or page.pictures,
        featured=tuple(_pictures(post.all("featured"))),
        has_film=bool(post.all("video") or post.all("audio")) or len(photos) < len(sent),
        about=tuple(_targets(post)),
        language=page.language,
        visibility=str(post.first("visibility") or "public").strip().lower(),
        sensitive=str(post.first("sensitive") or "").strip().lower() in {"true", "1", "yes"},
        warning=_plain(post.first("content-warning")),
        published=published,
    )


def for_mastodon(
    source: CopySource,
    target: Target,
    measure: Measure,
    *,
    answers: bool = False,
    mention: str = "",
    privacy: str = "public",
    most_photos: int = MOST_PHOTOS,
) -> Composed:
    """The status for Mastodon.

    ``answers``: it replies to a status, by the account ``mention``; ``privacy`` is the account's
    default visibility.
    """
    body = RichText(text.without_stray_mentions(text.with_links_written_out(source.content)))
    if mention and f"@{mention}".casefold() not in body.text.casefold():
        body = RichText(f"@{mention} ") + body
    warning, measure = _fit_warning(source.warning, measure)
    name = text.without_stray_mentions(source.name)
    composed = _compose(
        source, target, measure, body, name=name, answers=answers, most_photos=most_photos
    )
    language = source.language.partition("-")[0].lower()
    return replace(
        composed,
        card=None,
        warning=warning,
        language=language if re.fullmatch(r"[a-z]{2,3}", language) else "",
        visibility=_narrowest(source.visibility, target.visibility, privacy),
    )


def _fit_warning(warning: str, measure: Measure) -> tuple[str, Measure]:
    """A content warning, shortened, and the measure of what remains for the text: it counts towards
    the limit and must leave room.
    """
    if not warning:
        return "", measure
    warning = shorten(RichText(warning), replace(measure, most=measure.most // 2)).text
    return warning, replace(measure, most=measure.most - measure.size(warning)[0])


def _narrowest(*visibilities: str) -> str:
    """The narrowest of these visibilities; those that Mastodon does not have are ignored."""
    ranks = [_RANKS.index(each) for each in visibilities if each in _RANKS]
    return _RANKS[max(ranks, default=0)]


def for_bluesky(source: CopySource, target: Target, *, answers: bool = False) -> Composed:
    """The post for Bluesky; its card still lacks the linked page's metadata."""
    if source.warning:
        # Bluesky cannot hide a text behind a content warning, so the copy only links to the post.
        source = replace(
            source, kind="article", name=source.warning, content=RichText(), summary="", photos=()
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
    source: CopySource,
    target: Target,
    measure: Measure,
    content: RichText,
    *,
    name: str,
    answers: bool,
    most_photos: int,
) -> Composed:
    is_article = source.kind == "article" and bool(name)
    about = () if answers else source.about[:1]
    body = RichText(name) if is_article else _body(source, content, name, about)
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


def _body(source: CopySource, content: RichText, name: str, about: Iterable[str]) -> RichText:
    """The name and content, or a substitute for a post without either."""
    body = RichText(name)
    if content.text:
        body = body + "\n\n" + content if name else content
    if body.text:
        return body
    if source.summary:
        return RichText(source.summary)
    return RichText(_SYMBOLS.get(source.kind, "") if any(about) else "")


def _joined(body: RichText, links: Iterable[str]) -> RichText:
    for link in links:
        if body.text in _SYMBOLS.values():
            body += f" {link}"
        elif not _has(body.text, link):
            body += f"\n\n{link}" if body.text else link
    return body


def _has(words: str, link: str) -> bool:
    return any(each.value == link for each in text.urls(words))


def _with_tags(made: RichText, source: CopySource, target: Target, measure: Measure) -> RichText:
    """Append as many of the post's hashtags as fit."""
    if not target.tags:
        return made
    joint = "\n\n" if made.text else ""
    for tag in text.hashtags(source.tags, made.text):
        longer = made + f"{joint}{tag}"
        if measure.fits(longer.text):
            made, joint = longer, " "
    return made


def _card(source: CopySource, made: RichText, links: Iterable[str]) -> Card | None:
    """The card for the permalink if the text has it, else for the first external link."""
    if source.url in links and _has(made.text, source.url):
        first = next(iter((*source.featured, *source.photos)), None)
        title = source.name or shorten(RichText(one_line(source.content.text)), _CARD_TITLE).text
        summary = source.summary or (one_line(source.content.text) if source.name else "")
        description = shorten(RichText(summary), _DESCRIPTION).text
        return Card(source.url, title, description, first.url if first else "", own=True)
    spans = sorted([*made.links, *text.urls(made.text)], key=lambda each: each.start)
    for span in spans:
        if span.value != source.url:
            words = made.text[span.start : span.end].strip()
            return Card(span.value, "" if words == span.value else words)
    return None


def _targets(post: Post) -> Iterable[str]:
    for name in _ABOUT:
        for value in post.all(name):
            url = _url(value)
            if url:
                yield url


def _url(value: Json) -> str:
    if isinstance(value, dict):
        properties = nested(value)
        inner = value.get("value") if properties is None else properties.get("url")
        value = inner[0] if isinstance(inner, list) and inner else inner
    return value if isinstance(value, str) and re.match(r"(?:https?|at)://", value) else ""


def _pictures(values: Iterable[Json]) -> Iterable[PagePhoto]:
    for value in values:
        known = value if isinstance(value, dict) else {"value": value}
        if isinstance(properties := known.get("properties"), dict):
            known = {
                name: each[0] if isinstance(each, list) and each else each
                for name, each in properties.items()
            }
        url = known.get("value") or known.get("url")
        alt = known.get("alt")
        if isinstance(url, str) and url:
            yield PagePhoto(url, alt.strip() if isinstance(alt, str) else "")


def _plain(value: Json) -> str:
    if isinstance(value, dict):
        value = value.get("value")
    return value.strip() if isinstance(value, str) else ""
