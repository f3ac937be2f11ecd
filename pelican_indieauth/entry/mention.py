"""What others say of a post: one response, and all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

#: ``wm-property`` to the list that it is in.
LISTS = {
    "in-reply-to": "replies",
    "like-of": "likes",
    "repost-of": "reposts",
    "bookmark-of": "bookmarks",
    "rsvp": "rsvps",
    "mention-of": "mentions",
}

_EMPTY = Markup()


@dataclass(frozen=True, slots=True)
class Mention:
    """One response. ``face`` is the site's own small copy of its author's picture; ``text`` has a
    line for each paragraph; ``rsvp`` is the answer to an invitation; ``children`` are responses to
    it; ``via`` is the way by which it came (``webmention``, ``mastodon``, ``bluesky``, ``import``).

    Texts are escaped already, and ``|e`` does not escape them once more.
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
    children: tuple[Mention, ...] = ()

    @property
    def paragraphs(self) -> tuple[Markup, ...]:
        """The text, paragraph by paragraph."""
        return tuple(filter(None, self.text.split("\n")))


@dataclass(frozen=True, slots=True)
class Mentions:
    """All responses to a post, the oldest first. ``more`` were counted and not kept."""

    replies: tuple[Mention, ...] = ()
    likes: tuple[Mention, ...] = ()
    reposts: tuple[Mention, ...] = ()
    bookmarks: tuple[Mention, ...] = ()
    rsvps: tuple[Mention, ...] = ()
    mentions: tuple[Mention, ...] = ()
    more: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(len(getattr(self, name)) for name in LISTS.values()) + self.more


NONE = Mentions()
