"""People and places named in the site's posts, for ``q=contact`` and ``q=geo``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from bridge.micropub.post import Json, Post

Object: TypeAlias = dict[str, Json]

#: Properties whose h-cards are places, not people.
_PLACES = frozenset({"checkin", "location"})
_MOST = 50
_DEEPEST = 5
#: A place this close to a point, in metres, counts as being there.
_NEAR = 1000.0
_EARTH = 6_371_000.0


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
    return {"contacts": people[:_MOST]}


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
    near = [place for _, place in sorted(found.values(), key=lambda each: each[0])][:_MOST]
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
