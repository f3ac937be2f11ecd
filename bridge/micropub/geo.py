"""``geo:`` addresses (RFC 5870), with the ``name`` and ``url`` that Micropub clients add."""

from __future__ import annotations

import math
from urllib.parse import unquote

from bridge.errors import InvalidRequest
from bridge.micropub.post import Json


def from_geo(uri: str) -> dict[str, Json]:
    """``geo:45.52,-122.68,30;name=Los%20Gorditos`` as an h-geo, or as an h-card if it has a name.

    The numbers stay the texts that they were. Raises :class:`InvalidRequest` for anything that is
    no place on earth.
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
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    described: dict[str, Json] = {
        key: [unquote(given[key])] for key in ("name", "url") if given.get(key)
    }
    return {"type": ["h-card" if described else "h-geo"], "properties": described | properties}


def _on_earth(numbers: list[str]) -> bool:
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        return False
    return abs(values[0]) <= 90 and abs(values[1]) <= 180 and all(map(math.isfinite, values))
