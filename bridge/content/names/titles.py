"""Titles, also of posts without one, and names of tags as Pelican's themes can print them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from html import unescape
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.content.markup import html
from bridge.content.markup.characters import one_line, printable
from bridge.micropub.post import Json, Post

_REFERENCE = re.compile(r"&#?\w+;?")
#: A tag can have no entities (``;`` separates tags), so markup's characters get look-alikes.
_LOOK_ALIKES = str.maketrans({"<": "‹", ">": "›", '"': "”", ";": ","})


def title(name: str) -> str:
    """A text as a Title. Themes print titles as HTML, so what HTML would take for markup is not."""
    escaped = _REFERENCE.sub(_escaped_reference, one_line(name))
    for character, reference in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        escaped = escaped.replace(character, reference)
    # An attribute can only be smuggled in with "=", and an apostrophe is otherwise left readable.
    return escaped.replace("'", "&#39;") if "=" in escaped else escaped


def label(name: str) -> str:
    """A text as the name of a tag, a category or an author: printed as HTML, too."""
    shown = _REFERENCE.sub(_parted_reference, one_line(name)).translate(_LOOK_ALIKES)
    return one_line(shown.replace("'", "’") if "=" in shown else shown)


def _escaped_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"&amp;{found[1:]}"


def _parted_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"& {found[1:]}"


#: Post types that name another page, the first that is there, and what such a post is called.
_TARGETS = {
    "like-of": "Like of",
    "repost-of": "Repost of",
    "bookmark-of": "Bookmark of",
    "in-reply-to": "Reply to",
    "read-of": "Read",
    "listen-of": "Listened to",
    "watch-of": "Watched",
    "play-of": "Played",
}
#: What says something else than what the post is about.
_BESIDES = frozenset(
    {
        *("name", "content", "summary", "published", "updated", "author", "category", "url", "uid"),
        *("post-status", "visibility", "syndication", "featured", "location", "read-status"),
        *("photo", "video", "audio", "rating", "best", "end", "checkin", "item", "rsvp", "start"),
    }
)
_FILES = (("photo", "Photo"), ("video", "Video"), ("audio", "Audio"))
_LENGTH = 55
_WORD = 30
_ADDRESS = 20
#: No phone can break such a word in a title's large letters. One of letters alone may be German.
_LONG = re.compile(rf"(?=[!-~]*[/.:_=?&%~@0-9])[!-~]{{{_ADDRESS + 1},}}|[!-~]{{{_WORD + 1},}}")
_DEEPEST = 3


def about(post: Post, references: Mapping[str, Json]) -> str:
    """What a post is about, in a few words; empty where it says nothing.

    ``references`` is what is known of the pages that it names: until then a page is called by its
    host name.
    """
    if verb := _verb(post):
        return f"{verb[1]} {_called(post.first(verb[0]), references)}"
    for name, word in (("checkin", "At"), ("item", "Review of")):
        if post.all(name):
            return f"{word} {_words(post.first(name)) or 'a place'}"
    return _further(post)


def about_for_address(post: Post) -> str:
    """The same for the post's own address, which is told at once and stays: a page without a name
    is called by its own address. Empty for a picture that says no more than that it is one."""
    if verb := _verb(post):
        value = post.first(verb[0])
        url = "" if _named(value) else _address(value)
        return f"{verb[1]} {address_in_words(url) if url else _called(value, {})}"
    words = about(post, {})
    return "" if words in {word for _, word in _FILES} else words


def address_in_words(url: str) -> str:
    """The host of an address and the last part of its path that has letters."""
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        return ""
    parts = [part for part in path.split("/") if any(map(str.isalpha, part))]
    last = re.sub(r"\.(?:html?|php|aspx?)$", "", parts[-1]) if parts else ""
    return f"{_host(url).partition(':')[0].removeprefix('www.')} {last}".strip()


def of_file(name: str) -> str:
    """What a file is called that is all that a post has, by what its name says it is."""
    kind = (mimetypes.guess_type(name)[0] or "").partition("/")[0]
    return {"image": "Photo", "video": "Video", "audio": "Audio"}.get(kind, "File")


def of_element(tag: str) -> str:
    """What a post is called whose HTML has no words, by the first element that it shows."""
    return {"img": "Photo", "video": "Video", "audio": "Audio"}.get(tag, "")


def breakable(words: str) -> str:
    """The same without words that are longer than a phone's screen is wide."""
    return _LONG.sub(lambda found: f"{found.group()[: _ADDRESS - 1]}…", words)


def address(url: str) -> str:
    """A URL as people say it: of a long one the host is enough."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    whole = f"{parts.netloc}{parts.path}".rstrip("/")
    return whole if len(whole) <= _ADDRESS else f"{_host(url) or parts.netloc}/…"


def _verb(post: Post) -> tuple[str, str] | None:
    """The property that names another page or thing, and what a post with it is called."""
    targets = {**_TARGETS, **{name: _of(name) for name in post.properties if name[-3:] == "-of"}}
    for name, verb in {**targets, **_TARGETS}.items():
        if post.all(name):
            rsvp = name == "in-reply-to" and post.all("rsvp")
            return name, "RSVP to" if rsvp else verb
    return None


def _further(post: Post) -> str:
    """By any other property, or by its pictures."""
    for name, values in post.properties.items():
        if name not in _BESIDES and not name.startswith(("mp-", "p3k-")):
            text = ", ".join(filter(None, map(_words, values[:3])))
            if text:
                return f"{_humanised(name)}: {_short(text)}"
    for name, word in _FILES:
        if post.all(name):
            value = post.first(name)
            alt = value.get("alt") if isinstance(value, dict) else None
            return _short(_text(alt)) or word
    for name, word in (("rsvp", "RSVP"), ("rating", "Rating"), ("start", "On")):
        if text := _words(post.first(name)):
            return f"{word}: {_short(text)}"
    place = _words(post.first("location"))
    tags = ", ".join(filter(None, map(_words, post.all("category")[:3])))
    return f"At {_short(place)}" if place else _short(tags)


def _called(value: Json, references: Mapping[str, Json]) -> str:
    """A page or a thing by its name, else by how it begins, else by where it is."""
    url, told = _address(value), _named(value)
    if url and not told:
        told = _named(references.get(url))
    if told:
        return f"“{_short(told)}”"
    return _host(url) if url else f"“{_short(_words(value))}”" if _words(value) else "a post"


def _address(value: Json) -> str:
    """The address of the web that a value is or has; empty where there is none."""
    properties = _properties(value)
    found = _first(properties, "url") if properties is not None else value
    if isinstance(found, dict):
        found = found.get("value")
    return found if isinstance(found, str) and _host(found) else ""


def _named(value: Json) -> str:
    """The name of a nested object, or the beginning of what it says."""
    properties = _properties(value) or {}
    return next(filter(None, (_text(_first(properties, n)) for n in ("name", "content"))), "")


def _words(value: Json, depth: int = 0) -> str:
    """A value in words: of a nested object its name, its number and unit, or what it says first."""
    properties = _properties(value)
    if properties is None:
        text = _text(value)
        return _host(text) or text
    number = " ".join(filter(None, (_text(_first(properties, n)) for n in ("num", "unit"))))
    if not number and {"latitude", "longitude"} <= properties.keys():
        number = ", ".join(_text(_first(properties, n)) for n in ("latitude", "longitude"))
    told = _named(value) or number or _host(_text(_first(properties, "url")))
    if told or depth >= _DEEPEST:
        return told
    return next(filter(None, (_words(_first(properties, n), depth + 1) for n in properties)), "")


def _properties(value: Json) -> Mapping[str, Any] | None:
    if not isinstance(value, dict):
        return None
    properties = value.get("properties")
    if isinstance(properties, dict):
        return properties
    # A JSON object of an app's own making counts as a nested one; {"value"} and {"html"} are texts.
    return None if value.keys() & {"value", "html"} else value


def _first(properties: Mapping[str, Any], name: str) -> Json:
    values = properties.get(name)
    if isinstance(values, list):
        return values[0] if values else None
    return values


def _text(value: Json) -> str:
    """One line of plain text."""
    if isinstance(value, dict):
        found = value.get("html")
        nested = _properties(value)
        if nested is not None:
            return _text(_first(nested, "name")) if "name" in nested else ""
        value = html.plain(found) if isinstance(found, str) else value.get("value")
    if isinstance(value, bool):
        return str(value).lower()
    return one_line(printable(str(value))) if isinstance(value, (str, int, float)) else ""


def _host(url: str) -> str:
    """The host of an address; empty where the text is not a web address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in url:
        return ""
    return parts.netloc.rpartition("@")[2]


def _of(name: str) -> str:
    return f"{_humanised(name.removesuffix('-of'))} of"


def _humanised(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").strip().capitalize()


def _short(words: str) -> str:
    if len(words) <= _LENGTH:
        return words
    return f"{words[:_LENGTH].rpartition(' ')[0] or words[:_LENGTH]}…"
