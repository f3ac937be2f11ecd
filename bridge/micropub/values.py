"""Validates and normalises property values, for create and update alike."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote

from bridge.errors import InvalidRequest
from bridge.micropub.body import File, Slot
from bridge.micropub.dates import event_date
from bridge.micropub.post import Json
from bridge.micropub.urls import (
    LINKS,
    check_object,
    file_url,
    link,
    linked_object,
    refuse_placeholder,
)

#: Properties that are files, or links to files.
MEDIA = frozenset({"photo", "video", "audio", "featured"})

#: How much one post may hold. A tag has pages and feeds of its own on every site, a property is a
#: part of a page: without limits, one small request would fill the disk.
MOST_PROPERTIES = 300
MOST_FILES = 100
MOST_CHARACTERS = 100_000
#: A novel. Writing a longer text would delay all other requests for seconds.
MOST_OF_A_TEXT = 500_000
MOST_VALUES = 300
#: So many can be checked at once.
_FAR_TOO_MANY = 10_000
_MOST_OF = {
    **dict.fromkeys(MEDIA | {"file"}, MOST_FILES),
    **dict.fromkeys(("syndication", "mp-syndicate-to", "syndicate-to"), 50),
}
#: Properties with long texts. All others are short: they become headers or links, appear in lists
#: of posts, or have pages of their own.
_LONG_TEXTS = frozenset({"content", "children", "comment"})

_NAME = re.compile(r"[^\s\[\]{}\"<>\x00-\x1f\x7f]{1,100}")


def property_name(name: str) -> str:
    """The name, if a property can have it. Raises :class:`InvalidRequest`."""
    if not _NAME.fullmatch(name):
        if name.lstrip().startswith(("{", "[")):
            raise InvalidRequest(
                f"'{name[:40]}' is not a property name. If this is JSON, send it as"
                " application/json."
            )
        raise InvalidRequest(
            f"'{name[:40]}' is not a property name. If it belongs to a text, send the '&' before it"
            " as '%26' (with curl: --data-urlencode)."
        )
    return name


def is_empty(slot: Slot) -> bool:
    """Whether a value is empty: ``null``, no text, an empty list or object, an object of
    microformats2 that says only its type."""
    if isinstance(slot, dict) and slot.keys() & {"type", "properties"}:
        return all(key == "type" or _says_nothing(value) for key, value in slot.items())
    return slot is None or slot in ([], {}) or (isinstance(slot, str) and not slot.strip())


def _says_nothing(value: Json) -> bool:
    """Whether an object of microformats2 contains no value at any depth."""
    if isinstance(value, dict) and "type" not in value:
        return all(map(_says_nothing, value.values()))
    if isinstance(value, list):
        return all(map(_says_nothing, value))
    return is_empty(value)


def normalise(name: str, slots: Iterable[Slot]) -> tuple[Slot, ...]:
    """The values of one property, in the one form on which everything else relies.

    Empty values are dropped, files are passed on. Raises :class:`InvalidRequest` for invalid
    values, and for more values than a post may have.
    """
    if isinstance(slots, list):
        refuse_oversized(name, slots)
    rule = _RULES.get(name, _of_something if name.endswith("-of") else _anything)
    given = _full(_unnumbered(slots))
    refuse_many(name, len(given))
    kept = [slot if isinstance(slot, File) else rule(name, slot) for slot in given]
    values = tuple(_full(kept))
    refuse_long(name, values)
    return _one_content(values) if name == "content" else values


def _unnumbered(slots: Iterable[Slot]) -> Iterator[Slot]:
    """The values without the numbers that PHP's and Ruby's forms give to a list.

    Micropublish sends ``[["0", {"value": ...}]]`` for a photo, PHP ``[{"0": {"value": ...}}]``.
    """
    for slot in slots:
        if isinstance(slot, list) and len(slot) == 2 and _is_number(slot[0]):
            yield slot[1]
        elif isinstance(slot, dict) and slot and all(map(_is_number, slot)):
            yield from slot.values()
        else:
            yield slot


def _is_number(value: Json) -> bool:
    """Whether this is the number of a position in a list."""
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4


def refuse_many(name: str, count: int) -> None:
    """Raise :class:`InvalidRequest` for more values of a property than a post may have."""
    most = _MOST_OF.get(name, MOST_VALUES)
    if count > most:
        raise InvalidRequest(f"'{name}' has {count:,} values; a post may have {most}. Send fewer.")


def refuse_oversized(name: str, slots: Sequence[Slot]) -> None:
    """Refuse at once what would take long to check, whether or not some are empty."""
    if len(slots) > _FAR_TOO_MANY:
        refuse_many(name, len(slots))


def refuse_long(name: str, values: Iterable[Slot]) -> None:
    """Raise :class:`InvalidRequest` for a text, a title, a list of tags or the like that is too
    long.
    """
    length = sum(map(_length, values))
    most = MOST_OF_A_TEXT if name in _LONG_TEXTS else MOST_CHARACTERS
    if length > most:
        raise InvalidRequest(
            f"'{name}' has {length:,} characters; a post may have {most:,}. Shorten it."
        )


def _length(value: Slot) -> int:
    """The number of characters of a value; files have limits of their own."""
    if isinstance(value, File):
        return 0
    if isinstance(value, dict) and "html" in value and not value.keys() - {"html", "value"}:
        # In two forms it is still one text.
        return max(map(_length, value.values()))
    return len(
        value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    )


def refuse_many_files(counts: Mapping[str, int]) -> None:
    """Raise :class:`InvalidRequest` for more photos, videos and sounds together than a post may
    have. ``counts`` is the number of values of each property.
    """
    files = sum(counts.get(name, 0) for name in (*MEDIA, "file"))
    if files > MOST_FILES:
        raise InvalidRequest(
            f"The post has {files:,} photos or other files; {MOST_FILES} is the most. Send fewer."
        )


def refuse_many_properties(count: int) -> None:
    """Raise :class:`InvalidRequest` for more properties than a post may have."""
    if count > MOST_PROPERTIES:
        raise InvalidRequest(
            f"This names {count:,} properties; a post may have {MOST_PROPERTIES}. Send fewer."
        )


def _full(slots: Iterable[Slot]) -> list[Slot]:
    return [slot for slot in slots if not is_empty(slot)]


def _anything(name: str, value: Json) -> Json:
    """Strings, numbers and nested objects are kept whole. A list inside the list has no meaning."""
    if isinstance(value, list):
        raise InvalidRequest(f"'{name}' must be a list of values, not a list of lists.")
    return value


def _text(name: str, value: Json) -> Json:
    """A text. Numbers become one, ``{"value": ...}`` is unwrapped; an h-card (a person) stays."""
    if isinstance(value, dict):
        if "type" in value or "properties" in value:
            return value
        if "value" not in value:
            raise InvalidRequest(f"'{name}' must be text: send its words, without HTML.")
        return _plain(name, value["value"])
    return _plain(name, value)


def _plain(name: str, value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        raise InvalidRequest(f"'{name}' must be text.")
    return json.dumps(value)


def _content(name: str, value: Json) -> Json:
    """Text, byte for byte; or an object with ``html``, and with ``value`` if that was sent, or
    with ``text``, its name in JF2, which a plugin of Obsidian's uses."""
    if not isinstance(value, dict):
        return _plain(name, value)
    if not {"html", "value", "text"} & value.keys():
        raise InvalidRequest("'content' must be text, or an object with 'html' or 'value'.")
    sent = {"html": value.get("html"), "value": value.get("value", value.get("text"))}
    parts = {key: _plain(name, _only(part)) for key, part in sent.items()}
    given: dict[str, Json] = {key: part for key, part in parts.items() if not is_empty(part)}
    return given if "html" in given else given.get("value")


def _only(value: Json) -> Json:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _one_content(values: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """HTML and plain text of one post may come as two values; any more have no meaning."""
    html = [value for value in values if isinstance(value, dict)]
    plain = [value for value in values if isinstance(value, str)]
    if len(html) == 1 and len(plain) == 1 and "value" not in html[0]:
        return ({**html[0], "value": plain[0]},)
    if len(values) > 1:
        raise InvalidRequest("A post has one 'content'; this request has several.")
    return values


def _media(name: str, value: Json) -> Json:
    """A URL, or ``{"value": URL, "alt": text}`` (3.3.2)."""
    if isinstance(value, dict):
        given = {key: _only(item) for key, item in value.items() if item is not None}
        if "properties" in given:
            return _nested_file(name, value)
        url = given.pop("value", None) or given.pop("url", None)
        if is_empty(url) and is_empty(given.get("alt")):
            return None
        if not isinstance(url, str) or not isinstance(given.get("alt", ""), str):
            raise InvalidRequest(f"'{name}' must be a URL, or an object with 'value' and 'alt'.")
        # An alt text may come without its photo's address, which is then another of the values.
        address = file_url(name, url) if url.strip() else ""
        return {"value": address, **given} if given else address
    if not isinstance(value, str):
        raise InvalidRequest(f"'{name}' must be a URL, or an object with 'value' and 'alt'.")
    return file_url(name, value)


def _nested_file(name: str, value: dict[str, Json]) -> Json:
    """A file as an object of microformats2, which has its address in ``value`` or ``url``."""
    properties = value["properties"]
    given = properties if isinstance(properties, dict) else {}
    sent = (_only(given.get("value")), _only(given.get("url")), _only(value.get("value")))
    address = next(filter(None, sent), None)
    if not isinstance(address, str):
        raise InvalidRequest(f"'{name}' must be a URL, or an object with 'value' and 'alt'.")
    found = file_url(name, address)
    if found == address:
        return value
    return {**value, "properties": {**given, "value": [found]}}


def _link(name: str, value: Json) -> Json:
    """An address, or an object with one (h-cite)."""
    if isinstance(value, str):
        return link(name, value)
    if isinstance(value, dict):
        return linked_object(name, value)
    _anything(name, value)
    raise InvalidRequest(
        f"'{name}' must be an address, or an h-cite. Send an absolute URL, like"
        " https://example.com/a-page."
    )


def _of_something(name: str, value: Json) -> Json:
    """What was read, heard, played and so on: an object, an address, or a title."""
    if isinstance(value, str):
        refuse_placeholder(name, value)
    elif isinstance(value, dict):
        check_object(name, value)
    return _anything(name, value)


def _event_date(name: str, value: Json) -> Json:
    """When an event begins or ends."""
    text = _text(name, value)
    return event_date(text) if isinstance(text, str) and text.strip() else text


def _place(name: str, value: Json) -> Json:
    """A location; a ``geo:`` address becomes the object that it stands for."""
    if isinstance(value, str) and value.strip().lower().startswith("geo:"):
        return from_geo(value.strip())
    return _anything(name, value)


def _post_status(name: str, value: Json) -> Json:
    status = _word(name, value)
    status = "published" if status == "publish" else status
    if status not in {"published", "draft"}:
        raise InvalidRequest(f"'post-status' is 'published' or 'draft', not '{status[:40]}'.")
    return status


def _visibility(name: str, value: Json) -> Json:
    visibility = _word(name, value)
    if visibility == "private":
        raise InvalidRequest(
            "This site is public, it cannot keep a post private."
            " Send 'visibility' 'unlisted' to keep it off the lists, or 'post-status' 'draft'."
        )
    if visibility not in VISIBILITIES:
        raise InvalidRequest(f"'visibility' is 'public' or 'unlisted', not '{visibility[:40]}'.")
    return visibility


def _place_visibility(name: str, value: Json) -> Json:
    """Indigenous asks for a place that only some people see."""
    visibility = _word(name, value)
    if visibility != "public":
        raise InvalidRequest(
            f"'location-visibility' is 'public', not '{visibility[:40]}': every page of this site"
            " is public, with the place that a post names. Send the post without 'location' and"
            " 'location-visibility'."
        )
    return visibility


def _word(name: str, value: Json) -> str:
    return (_plain(name, value) or "").strip().lower()


#: The values of ``visibility``; a private post is refused, never published by mistake.
VISIBILITIES = ("public", "unlisted")

_RULES: dict[str, Callable[[str, Json], Json]] = {
    **dict.fromkeys(("name", "summary", "category", "published", "updated", "rsvp"), _text),
    **dict.fromkeys(MEDIA, _media),
    **dict.fromkeys(LINKS, _link),
    "content": _content,
    **dict.fromkeys(("start", "end"), _event_date),
    **dict.fromkeys(("location", "checkin"), _place),
    "post-status": _post_status,
    "visibility": _visibility,
    "location-visibility": _place_visibility,
}


_PARAMETER = re.compile(r"[A-Za-z0-9-]{1,100}")


def from_geo(uri: str) -> dict[str, Json]:
    """``geo:45.52,-122.68,30;name=Los%20Gorditos`` as an h-geo, or as an h-card if it has a name.

    The numbers stay the texts that they were, and every parameter (``u=35``: the uncertainty in
    metres, RFC 5870 3.4.3) is a property of its name. Raises :class:`InvalidRequest` for anything
    that is not a place on earth.
    """
    path, *parameters = uri[len("geo:") :].split(";")
    numbers = [number.strip() for number in path.split(",")]
    if len(numbers) not in {2, 3} or not _on_earth(numbers):
        raise InvalidRequest(
            "The location cannot be read: write geo:LATITUDE,LONGITUDE in decimal degrees."
        )
    places = ("latitude", "longitude", "altitude")
    properties: dict[str, Json] = {
        place: [number] for place, number in zip(places, numbers, strict=False)
    }
    described: dict[str, Json] = {}
    for name, _, value in (parameter.strip().partition("=") for parameter in parameters):
        # "pnumeric and pname are case-insensitive" (RFC 5870 3.3).
        if _PARAMETER.fullmatch(name) and value:
            described.setdefault(name.lower(), [unquote(value)])
    kind = "h-card" if described.keys() & {"name", "url"} else "h-geo"
    return {"type": [kind], "properties": described | properties}


def _on_earth(numbers: list[str]) -> bool:
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        return False
    return abs(values[0]) <= 90 and abs(values[1]) <= 180 and all(map(math.isfinite, values))
