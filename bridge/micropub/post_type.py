"""Post type discovery: the standard algorithm (indieweb.org/post-type-discovery)."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

from bridge.micropub.post import Json, Post

_RSVP = frozenset({"yes", "no", "maybe", "interested"})

#: Properties that need a URL to count, and the type that each makes; the first that counts wins.
_BY_URL = (
    ("repost-of", "repost"),
    ("like-of", "like"),
    ("in-reply-to", "reply"),
    ("bookmark-of", "bookmark"),
    ("read-of", "read"),
    ("listen-of", "listen"),
    ("watch-of", "watch"),
)

#: Properties that count with any value; likewise in order.
_BY_PRESENCE = (
    ("read-of", "read"),
    ("listen-of", "listen"),
    ("watch-of", "watch"),
    ("checkin", "checkin"),
    ("video", "video"),
    ("audio", "audio"),
    ("photo", "photo"),
    ("rating", "review"),
    ("play-of", "play"),
    ("jam-of", "jam"),
    ("ate", "eat"),
    ("drank", "drink"),
)

_TAG = re.compile(r"<[^<>]*>")


def discover(post: Post) -> str:
    """The type: ``note``, ``article``, ``reply``, ``photo``, ``event`` and so on. Never fails."""
    # "If the post has an h-event root class, it is an event": as with every class but h-entry.
    if post.type != "entry":
        return post.type
    rsvp = post.text("rsvp")
    if rsvp and rsvp.strip().lower() in _RSVP:
        return "rsvp"
    for name, kind in _BY_URL:
        if any(map(_is_url, post.all(name))):
            return kind
    for name, kind in _BY_PRESENCE:
        if post.all(name):
            return kind
    return "article" if _is_titled(post) else "note"


def _is_titled(post: Post) -> bool:
    """Whether the name says something that the content does not begin with."""
    name = _collapsed(_plain(post.first("name")))
    text = _collapsed(_plain(post.first("content")) or _plain(post.first("summary")))
    # "If the post has no (or empty) content and summary, it is a note" - so, too, without a name.
    # "If the collapsed name is NOT a prefix of the collapsed content, it is an article."
    return bool(name) and bool(text) and not text.startswith(name)


def _is_url(value: Json) -> bool:
    if isinstance(value, dict):
        properties = value.get("properties")
        inner = properties.get("url") if isinstance(properties, dict) else value.get("value")
        value = inner[0] if isinstance(inner, list) and inner else inner
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def _plain(value: Json) -> str:
    if isinstance(value, dict):
        text = value.get("value")
        html = value.get("html")
        if isinstance(text, str) and text:
            return text
        return unescape(_TAG.sub(" ", html)) if isinstance(html, str) else ""
    return value if isinstance(value, str) else ""


def _collapsed(text: str) -> str:
    return " ".join(text.split())
