"""The mentions of a post: a single response, and all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

#: The list for each ``wm-property``.
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
    """One response.

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
    children: tuple[Mention, ...] = ()

    @property
    def paragraphs(self) -> tuple[Markup, ...]:
        """The text as paragraphs."""
        return tuple(filter(None, self.text.split("\n")))


@dataclass(frozen=True, slots=True)
class Mentions:
    """All responses to a post, oldest first. ``more`` is the number of those without a file."""

    replies: tuple[Mention, ...] = ()
    likes: tuple[Mention, ...] = ()
    reposts: tuple[Mention, ...] = ()
    bookmarks: tuple[Mention, ...] = ()
    rsvps: tuple[Mention, ...] = ()
    mentions: tuple[Mention, ...] = ()
    more: int = 0

    @property
    def count(self) -> int:
        """The total number."""
        return sum(len(getattr(self, name)) for name in LISTS.values()) + self.more


NONE = Mentions()
