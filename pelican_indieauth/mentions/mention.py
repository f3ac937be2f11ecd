"""The mentions of a post: a single response, and all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from pelican_indieauth.entry.urls import Urls

#: The list for each ``wm-property``.
LISTS = {
    "in-reply-to": "replies",
    "like-of": "likes",
    "repost-of": "reposts",
    "bookmark-of": "bookmarks",
    "rsvp": "rsvps",
    "mention-of": "mentions",
}

#: Lists whose texts are not shown.
_WITHOUT_TEXT = frozenset({"likes", "reposts"})
#: Depth to which nested responses are shown; files may be nested deeper.
_DEEPEST = 5
_EMPTY = Markup()


@dataclass(frozen=True, slots=True)
class ShownMention:
    """One response to a post, ready for a theme to show.

    ``face`` is the URL of the site's copy of the author's picture; ``text`` has a line for each
    paragraph; ``rsvp`` is the answer to an invitation; ``children`` are responses to it; ``via`` is
    how it was received (``webmention``, ``mastodon``, ``bluesky``, ``import``). Texts are already
    escaped, and ``|e`` does not escape them again.
    """

    url: str
    author: Markup = _EMPTY
    author_url: str | None = None
    face: str | None = None
    text: Markup = _EMPTY
    name: Markup = _EMPTY
    published: datetime | None = None
    via: Markup = _EMPTY
    rsvp: Markup = _EMPTY
    children: tuple[ShownMention, ...] = ()

    @property
    def paragraphs(self) -> tuple[Markup, ...]:
        """The text as paragraphs."""
        return tuple(filter(None, self.text.split("\n")))


@dataclass(frozen=True, slots=True)
class Mentions:
    """All responses to a post, oldest first. ``more`` is the number of those without a file."""

    replies: tuple[ShownMention, ...] = ()
    likes: tuple[ShownMention, ...] = ()
    reposts: tuple[ShownMention, ...] = ()
    bookmarks: tuple[ShownMention, ...] = ()
    rsvps: tuple[ShownMention, ...] = ()
    mentions: tuple[ShownMention, ...] = ()
    more: int = 0

    @property
    def count(self) -> int:
        """The total number."""
        return sum(len(getattr(self, name)) for name in LISTS.values()) + self.more


NONE = Mentions()


def mentions_of(entries: Iterable[Mapping[str, Any]], urls: Urls) -> Mentions:
    """Convert a post's JF2 entries, as :func:`pelican_indieauth.mentions.files.read` returns them.

    Their texts are plain and are escaped here, since Pelican does not autoescape; their URLs are
    untrusted.
    """
    lists: defaultdict[str, dict[str, tuple[str, ShownMention]]] = defaultdict(dict)
    more = 0
    for entry in entries:
        if "more" in entry and "wm-property" not in entry:
            more += entry["more"]
            continue
        name = LISTS.get(str(entry.get("wm-property")), "mentions")
        mention = _mention(entry, urls, with_text=name not in _WITHOUT_TEXT)
        if mention is not None:
            when = str(entry.get("published") or entry.get("wm-received") or "")
            # A response may be in two files, such as after a manual merge; it is shown once.
            lists[name].setdefault(mention.url, (_sortable(when), mention))
    in_order = {
        name: tuple(mention for _, mention in sorted(found.values(), key=lambda each: each[0]))
        for name, found in lists.items()
    }
    return Mentions(**in_order, more=more)


def _mention(
    entry: Mapping[str, Any], urls: Urls, *, with_text: bool = True, depth: int = 0
) -> ShownMention | None:
    url = _web(entry.get("url"), urls) or _web(entry.get("wm-source"), urls)
    if url is None:
        return None
    author = entry.get("author")
    card: Mapping[str, Any] = author if isinstance(author, dict) else {}
    content = entry.get("content")
    text = content.get("text") if isinstance(content, dict) else content
    children = entry.get("wm-children") if depth < _DEEPEST else None
    photo = card.get("photo")
    return ShownMention(
        url,
        author=_text(card.get("name")) or escape(urlsplit(url).netloc),
        author_url=_web(card.get("url"), urls),
        face=urls.web(photo) if urls.own(photo) else None,
        text=_text(text) if with_text else Markup(),
        name=_text(entry.get("name")) if with_text else Markup(),
        published=_moment(entry.get("published")),
        via=_text(entry.get("wm-via")),
        rsvp=_text(entry.get("rsvp")),
        children=tuple(
            child
            for each in (children if isinstance(children, list) else [])
            if isinstance(each, dict)
            and (child := _mention(each, urls, depth=depth + 1)) is not None
        ),
    )


def _web(value: Any, urls: Urls) -> str | None:
    """A URL of another site; ``None`` for a relative one."""
    return urls.web(value) if isinstance(value, str) and "://" in value[:8] else None


def _text(value: Any) -> Markup:
    return escape(value) if isinstance(value, str) else Markup()


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None


def _sortable(text: str) -> str:
    moment = _moment(text)
    if moment is None:
        return text
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except OverflowError:
        # In UTC it would be before the year 1 or after 9999.
        return text
