"""The JSON of query responses (Micropub 3.7 and its extensions)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from bridge.micropub.post import POST_TYPES, Json, Post
from bridge.micropub.query import QUERIES, Cursor, page_name
from bridge.micropub.values import VISIBILITIES
from bridge.settings import Badge, Target

Object: TypeAlias = dict[str, Json]

#: Properties whose h-cards are places, not people.
_PLACES = frozenset({"checkin", "location"})
_MOST_LISTED = 50
_DEEPEST = 5
#: A place this close to a point, in metres, counts as being there.
_NEAR = 1000.0
_EARTH = 6_371_000.0


class Channel(Struct, frozen=True):
    """A channel: a Pelican category, or, as a destination, the site itself."""

    uid: str
    name: str


class ListedPost(Struct, frozen=True):
    """A post of a list, with its URL."""

    url: str
    post: Post
    channel: str = ""


class Paging(Struct, frozen=True):
    """Cursors of the neighbouring pages: ``after`` with older posts, ``before`` with newer ones."""

    after: Cursor | None = None
    before: Cursor | None = None


def config(
    *,
    media_endpoint: str,
    targets: Iterable[Target] = (),
    channels: Iterable[Channel] = (),
    categories: Sequence[str] = (),
    destinations: Iterable[Channel] = (),
) -> Object:
    """``q=config``: the configuration for clients (3.7.1)."""
    return {
        "media-endpoint": media_endpoint,
        **syndicate_to(targets),
        **channel(channels),
        **category(categories),
        **post_types(),
        "q": list(QUERIES),
        "visibility": list(VISIBILITIES),
        "destination": [_named(each) for each in destinations],
    }


def source(
    post: Post, names: Sequence[str] = (), *, url: str = "", slug: str = "", channel: str = ""
) -> Object:
    """``q=source`` for one post: all of it, or only the properties in ``names`` (3.7.2).

    ``url`` is where the post lives, ``slug`` the one in its file, ``channel`` its Pelican
    category. Sending them back in an update changes nothing.
    """
    commands = {"url": url, "mp-slug": slug or slug_of(url), "mp-channel": channel}
    properties = _properties(post)
    for name, value in commands.items():
        # Anything but an entry may have a URL of its own.
        if value and not (name == "url" and "url" in properties):
            properties[name] = [value]
    if not names:
        return {"type": [f"h-{post.type}"], "properties": properties, **_children(properties)}
    return {"properties": {name: properties[name] for name in names if name in properties}}


def _children(properties: Object) -> Object:
    """The nested objects without a property, which microformats2 JSON has beside the properties.
    They are removed from ``properties``.
    """
    return {"children": properties.pop("children")} if "children" in properties else {}


def _properties(post: Post) -> Object:
    return {name: list(values) for name, values in post.properties.items()}


def slug_of(url: str) -> str:
    """The slug in a post's URL: the last segment of its path."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    for ending in (".html", ".htm"):
        name = name.removesuffix(ending)
    return name


def source_list(
    items: Iterable[ListedPost], paging: Paging | None = None, names: Sequence[str] = ()
) -> Object:
    """``q=source`` without a URL: posts, newest first, each with its ``url``."""
    return {"items": [_item(item, names) for item in items], "paging": _paging(paging or Paging())}


def _item(item: ListedPost, names: Sequence[str]) -> Object:
    """A post of a list. Its ``url`` is always included, because a list is useless without it."""
    post = item.post.with_properties({"url": (item.url,)})
    properties = _properties(post)
    found: Object = {"type": [f"h-{post.type}"], "properties": properties}
    if not names:
        return found | _children(properties)
    return found | source(post, (*names, "url"), url=item.url, channel=item.channel)


def syndicate_to(targets: Iterable[Target]) -> Object:
    """``q=syndicate-to``: an empty list where there are none (3.7.3)."""
    return {"syndicate-to": [_target(target) for target in targets]}


def category(names: Sequence[str]) -> Object:
    """``q=category``: the tags in use."""
    return {"categories": list(names)}


def channel(channels: Iterable[Channel]) -> Object:
    """``q=channel``: the Pelican categories."""
    return {"channels": [_named(each) for each in channels]}


def post_types() -> Object:
    """``q=post-types``: the supported post types and their properties."""
    return {
        "post-types": [
            {
                "type": each.type,
                "name": each.name,
                "h": each.h,
                "properties": list(each.properties),
                "required-properties": list(each.required),
            }
            for each in POST_TYPES
        ]
    }


def _named(thing: Channel) -> Object:
    return {"uid": thing.uid, "name": thing.name}


def _target(target: Target) -> Object:
    badges = {"service": target.service, "user": target.user}
    described: Object = {name: _badge(badge) for name, badge in badges.items() if badge}
    if target.default:
        # Apps that support this show the target as selected.
        described["checked"] = True
    return {"uid": target.uid, "name": target.name, **described}


def _badge(badge: Badge) -> Object:
    given = {"name": badge.name, "url": badge.url, "photo": badge.photo}
    return {name: text for name, text in given.items() if text}


def _paging(paging: Paging) -> Object:
    pages = {"after": paging.after, "before": paging.before}
    return {name: page_name(cursor) for name, cursor in pages.items() if cursor is not None}


def contacts(posts: Iterable[Post], text: str = "") -> Object:
    """``q=contact``: people named in posts, each with a card; only those containing ``text``, if
    given.
    """
    found: dict[str, Object] = {}
    for post in posts:
        for name, values in post.properties.items():
            if name in _PLACES:
                continue
            for card in _objects(values, "h-card"):
                person = _first_texts(card, ("name", "nickname", "url", "photo"))
                key = str(person.get("url") or person.get("name") or "")
                if key and _has(person, text):
                    found.setdefault(key, person)
    people: list[Json] = [*found.values()]
    return {"contacts": people[:_MOST_LISTED]}


def places(
    posts: Iterable[Post], point: tuple[float, float] | None = None, text: str = ""
) -> Object:
    """``q=geo``: places of posts, nearest to ``point`` first and at most a kilometre away.
    ``geo`` is the point, with the name of the nearest place.
    """
    found: dict[tuple[str, str], tuple[float, Object]] = {}
    for post in posts:
        for name in _PLACES:
            for kind in ("h-card", "h-adr", "h-geo"):
                for card in _objects(post.all(name), kind):
                    place = _place(card)
                    label = str(place.get("name", ""))
                    away = _distance(place, point)
                    if label and away <= _NEAR and _has(place, text):
                        found.setdefault((label, str(place.get("url", ""))), (away, place))
    near = [place for _, place in sorted(found.values(), key=lambda each: each[0])][:_MOST_LISTED]
    answer: Object = {"places": [*near]}
    if point is not None:
        label = str(near[0]["name"]) if near else f"{point[0]:.5f}, {point[1]:.5f}"
        answer["geo"] = {"label": label, "latitude": point[0], "longitude": point[1]}
    return answer


def _objects(values: Iterable[Json], kind: str, depth: int = 0) -> Iterator[Mapping[str, Json]]:
    """The properties of every object of this kind, at any meaningful depth."""
    for value in values:
        if not isinstance(value, dict) or depth > _DEEPEST:
            continue
        types, properties = value.get("type"), value.get("properties")
        if not isinstance(properties, dict):
            continue
        if isinstance(types, list) and kind in types:
            yield properties
        for inner in properties.values():
            if isinstance(inner, list):
                yield from _objects(inner, kind, depth + 1)


def _first_texts(card: Mapping[str, Json], names: Iterable[str]) -> Object:
    """The first text of each property."""
    found: Object = {}
    for name in names:
        given = card.get(name)
        values = given if isinstance(given, list) else [given]
        texts = (each.get("value") if isinstance(each, dict) else each for each in values)
        text = next((each for each in texts if isinstance(each, str) and each.strip()), None)
        if text is not None:
            found[name] = text.strip()
    return found


def _place(card: Mapping[str, Json]) -> Object:
    place = _first_texts(
        card, ("name", "url", "street-address", "locality", "region", "country-name")
    )
    if "name" not in place and "locality" in place:
        place["name"] = place["locality"]
    for name in ("latitude", "longitude"):
        given = card.get(name)
        value = given[0] if isinstance(given, list) and given else given
        try:
            degrees = float(value) if isinstance(value, str | int | float) else math.nan
        except ValueError:
            degrees = math.nan
        if math.isfinite(degrees):
            place[name] = degrees
    return place


def _distance(place: Mapping[str, Json], point: tuple[float, float] | None) -> float:
    """The distance in metres: infinite for a place without coordinates, 0 without a point."""
    if point is None:
        return 0.0
    latitude, longitude = place.get("latitude"), place.get("longitude")
    if not isinstance(latitude, float) or not isinstance(longitude, float):
        return math.inf
    north, south = math.radians(latitude), math.radians(point[0])
    east = math.radians(longitude - point[1])
    chord = (
        math.sin((north - south) / 2) ** 2
        + math.cos(north) * math.cos(south) * math.sin(east / 2) ** 2
    )
    return 2 * _EARTH * math.asin(min(1.0, math.sqrt(chord)))


def _has(thing: Mapping[str, Json], text: str) -> bool:
    return any(text.casefold() in str(value).casefold() for value in thing.values())
