"""A post as microformats2, the one value that every encoding becomes, and its type.

``POST_TYPES`` are the types that apps and the desk offer; :func:`discover` finds that of a post by
the standard algorithm (indieweb.org/post-type-discovery).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, TypeGuard

from msgspec import Struct, field

from bridge.micropub.urls import is_web

#: Python refuses to read a number of more than 4,300 digits.
_ENDLESS = re.compile(r"&#[0-9]{1000,};?")


def without_endless_references(text: str) -> str:
    """The text with U+FFFD for each numeric reference of a thousand digits or more.

    "If the character reference code is greater than 0x10FFFF, then … set the character reference
    code to 0xFFFD" (HTML 13.2.5.80).
    """
    return _ENDLESS.sub("\ufffd", text)


def unescape(text: str) -> str:
    """The text with the characters for its references, as :func:`html.unescape`, which raises
    ``ValueError`` at a number of thousands of digits.
    """
    return html.unescape(without_endless_references(text))


#: What JSON can hold. Nested objects (an h-cite, an h-card) are plain dicts, never mutated.
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def is_tag(value: Json) -> TypeGuard[str]:
    """Whether this value of ``category`` is one of the site's tags; a URL or an h-card is a person
    whom the post is tagged with."""
    if not isinstance(value, str):
        return False
    return "//" not in value or not is_web(value) or bool(re.search(r"\s", value))


#: What the names of commands begin with; they are not properties (Micropub 3.3).
COMMAND_PREFIX = "mp-"

#: Property names to values, in the order of the request.
Properties: TypeAlias = Mapping[str, tuple[Json, ...]]


class Post(Struct, frozen=True):
    """A microformats2 object.

    ``type`` is the h-* class without its prefix (``entry``, ``event``). ``properties`` holds the
    mf2 properties, each a tuple with at least one value, and never an ``mp-*`` command.
    """

    type: str = "entry"
    properties: Properties = field(default_factory=lambda: MappingProxyType({}))

    def first(self, name: str) -> Json:
        """The first value of a property, or ``None``."""
        values = self.properties.get(name, ())
        return values[0] if values else None

    def text(self, name: str) -> str | None:
        """The first value of a property if it is a string, else ``None``."""
        value = self.first(name)
        return value if isinstance(value, str) else None

    def all(self, name: str) -> tuple[Json, ...]:
        """Every value of a property; empty where it is absent."""
        return self.properties.get(name, ())

    def with_properties(self, changes: Mapping[str, tuple[Json, ...]]) -> Post:
        """A copy with some properties replaced; an empty tuple removes one. Order is kept."""
        merged = {**self.properties, **changes}
        kept = {name: values for name, values in merged.items() if values}
        return Post(self.type, MappingProxyType(kept))


RSVP = frozenset({"yes", "no", "maybe", "interested"})


class PostType(Struct, frozen=True):
    """A kind of post that the site shows in its own way, and its properties.

    A post with the property ``mark`` is of this type (:func:`discover`); ``h`` is the root class
    for types that are recognised by their class.
    """

    type: str
    name: str
    properties: tuple[str, ...]
    required: tuple[str, ...] = ()
    h: str = "entry"
    mark: str = ""


_ALWAYS = ("category", "published", "post-status", "visibility", "location")

POST_TYPES = (
    PostType("note", "Note", ("content", "photo", *_ALWAYS), ("content",)),
    PostType(
        "article", "Article", ("name", "content", "summary", "photo", *_ALWAYS), ("name", "content")
    ),
    PostType(
        "reply",
        "Reply",
        ("in-reply-to", "content", "photo", *_ALWAYS),
        ("in-reply-to",),
        mark="in-reply-to",
    ),
    PostType("like", "Like", ("like-of", *_ALWAYS), ("like-of",), mark="like-of"),
    PostType(
        "repost", "Repost", ("repost-of", "content", *_ALWAYS), ("repost-of",), mark="repost-of"
    ),
    PostType(
        "bookmark",
        "Bookmark",
        ("bookmark-of", "name", "content", *_ALWAYS),
        ("bookmark-of",),
        mark="bookmark-of",
    ),
    PostType("rsvp", "RSVP", ("in-reply-to", "rsvp", "content", *_ALWAYS), ("in-reply-to", "rsvp")),
    PostType("photo", "Photo", ("photo", "name", "content", *_ALWAYS), ("photo",), mark="photo"),
    PostType("video", "Video", ("video", "name", "content", *_ALWAYS), ("video",), mark="video"),
    PostType("audio", "Audio", ("audio", "name", "content", *_ALWAYS), ("audio",), mark="audio"),
    PostType(
        "checkin",
        "Check-in",
        ("checkin", "content", "photo", *_ALWAYS),
        ("checkin",),
        mark="checkin",
    ),
    PostType(
        "event",
        "Event",
        ("name", "start", "end", "content", "summary", "photo", *_ALWAYS),
        ("name", "start"),
        h="event",
    ),
    PostType(
        "review",
        "Review",
        ("name", "item", "rating", "content", "summary", "photo", *_ALWAYS),
        ("item", "rating"),
        h="review",
        mark="rating",
    ),
    PostType(
        "read",
        "Read",
        ("read-of", "read-status", "content", "summary", *_ALWAYS),
        ("read-of",),
        mark="read-of",
    ),
    PostType("watch", "Watch", ("watch-of", "content", *_ALWAYS), ("watch-of",), mark="watch-of"),
    PostType(
        "listen", "Listen", ("listen-of", "content", *_ALWAYS), ("listen-of",), mark="listen-of"
    ),
    PostType("play", "Play", ("play-of", "content", *_ALWAYS), ("play-of",), mark="play-of"),
    PostType("jam", "Jam", ("jam-of", "content", *_ALWAYS), ("jam-of",), mark="jam-of"),
    PostType("eat", "Food", ("ate", "content", "photo", *_ALWAYS), ("ate",), mark="ate"),
    PostType("drink", "Drink", ("drank", "content", "photo", *_ALWAYS), ("drank",), mark="drank"),
    PostType(
        "recipe",
        "Recipe",
        (
            *("name", "ingredient", "instructions", "yield", "duration", "nutrition"),
            *("content", "summary", "photo", *_ALWAYS),
        ),
        ("name", "ingredient"),
        h="recipe",
    ),
)

#: Properties that need a URL, or a cited thing of which something is known, to count; the first
#: that counts wins, and URLs come before things.
_BY_URL = (
    *("repost-of", "like-of", "in-reply-to", "bookmark-of", "read-of", "listen-of", "watch-of"),
)
#: Properties that count with any value; likewise in order.
_BY_PRESENCE = (
    *("read-of", "listen-of", "watch-of", "checkin", "video", "audio", "photo", "rating"),
    *("play-of", "jam-of", "ate", "drank"),
)
_MARKED = {each.mark: each.type for each in POST_TYPES if each.mark}
#: Every property by which a post is of a type, with the type, in the order in which they are tried.
BY_URL = {name: _MARKED[name] for name in _BY_URL}
BY_PRESENCE = {name: _MARKED[name] for name in _BY_PRESENCE}
#: Properties by which a cited thing without a URL is known.
THING = ("name", "author", "uid", "content", "summary")
#: What a number is measured in, by the property that says so.
UNITS = ("unit", "currency")
#: Most posts have none of these.
_MARKS = BY_URL.keys() | BY_PRESENCE.keys()

_TAG = re.compile(r"<[^<>]*>")


def discover(post: Post) -> str:
    """The type: ``note``, ``article``, ``reply``, ``photo``, ``event`` and so on. Never fails."""
    # "If the post has an h-event root class, it is an event": as with every class but h-entry.
    if post.type != "entry":
        return post.type
    rsvp = post.text("rsvp")
    if rsvp and rsvp.strip().lower() in RSVP:
        return "rsvp"
    if not _MARKS.isdisjoint(post.properties):
        for name, kind in BY_URL.items():
            if any(map(_is_url, post.all(name))):
                return kind
        for name, kind in BY_URL.items():
            if any(map(_is_thing, post.all(name))):
                return kind
        for name, kind in BY_PRESENCE.items():
            if post.all(name):
                return kind
    return "article" if _is_titled(post) else "note"


def _is_titled(post: Post) -> bool:
    """Whether the name is more than the beginning of the content."""
    words = _plain(post.first("name")).split()
    # "If the post has no (or empty) content and summary, it is a note" - so, too, without a name.
    if not words:
        return False
    text = _plain(post.first("content")) or _plain(post.first("summary"))
    # "If the collapsed name is NOT a prefix of the collapsed content, it is an article."
    # White space collapsed, of no more than the text's beginning.
    begins = " ".join(text.split(None, len(words))[: len(words)])
    return bool(begins) and not begins.startswith(" ".join(words))


def nested(value: Json) -> dict[str, Json] | None:
    """The properties of a nested object; ``None`` for any other value.

    An app's own JSON object counts as one, and a ``value`` with a unit or currency as a measure;
    other objects with a ``value`` or with ``html`` are texts.
    """
    if not isinstance(value, dict):
        return None
    properties = value.get("properties")
    if isinstance(properties, dict):
        return properties
    own = {name: inner for name, inner in value.items() if name != "type"}
    if "value" in own and own.keys() & UNITS:
        own["num"] = own.pop("value")
    return own if own and not own.keys() & {"value", "html", "properties"} else None


def _is_url(value: Json) -> bool:
    if isinstance(value, dict):
        properties = nested(value)
        inner = value.get("value") if properties is None else properties.get("url")
        value = inner[0] if isinstance(inner, list) and inner else inner
    return isinstance(value, str) and is_web(value)


def _is_thing(value: Json) -> bool:
    """Whether the value cites something that is no person or place, maybe without a URL."""
    properties = nested(value)
    if not isinstance(value, dict) or properties is None:
        return False
    types = value.get("type")
    type_ = types[0] if isinstance(types, list) and types else types
    return type_ != "h-card" and any(map(properties.get, THING))


def _plain(value: Json) -> str:
    if isinstance(value, dict):
        text = value.get("value")
        html = value.get("html")
        if isinstance(text, str) and text:
            return text
        if not isinstance(html, str):
            return ""
        return unescape(_TAG.sub(" ", html))
    return value if isinstance(value, str) else ""
