"""``geo:`` addresses (RFC 5870), with the parameters that Micropub clients add."""

from __future__ import annotations

import math
import re
from urllib.parse import unquote

from bridge.errors import InvalidRequest
from bridge.micropub.post import Json

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
