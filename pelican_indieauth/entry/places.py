"""Parses places, in all forms that clients send."""

from __future__ import annotations

import re
from typing import Any

from pelican_indieauth.entry.entry import Place
from pelican_indieauth.entry.mf2 import Mf2, plain
from pelican_indieauth.entry.urls import Urls

_NUMBER = re.compile(r"[-+]?\d{1,4}(\.\d{1,20})?")
_GEO = re.compile(
    r"geo:(?P<latitude>[-+.\d]+),(?P<longitude>[-+.\d]+)(?:,(?P<altitude>[-+.\d]+))?", re.IGNORECASE
)


def place(value: Any, urls: Urls) -> Place | None:
    """A place from an h-card, h-adr or h-geo, a ``geo:`` URI, a URL, or text."""
    found = Mf2.of(value)
    if found is None:
        return _written(plain(value), urls)
    point = Mf2.of(found.first("geo")) or found
    address = Mf2.of(found.first("adr")) or found
    known = Place(
        name=found.text("name"),
        url=urls.any(found.first("url")),
        latitude=_number(point.text("latitude")),
        longitude=_number(point.text("longitude")),
        altitude=_number(point.text("altitude")),
        # The accuracy of a ``geo:`` URI is its parameter ``u`` (RFC 5870 3.3).
        accuracy=_number(point.text("u") or point.text("accuracy")),
        street_address=address.text("street-address"),
        locality=address.text("locality"),
        region=address.text("region"),
        country=address.text("country-name"),
        postal_code=address.text("postal-code"),
    )
    return known if known.label or known.address or known.geo else None


def _written(text: str | None, urls: Urls) -> Place | None:
    if not text:
        return None
    point = _GEO.match(text)
    if point is None:
        url = urls.web(text)
        return Place(name=None if url else text, url=url)
    latitude, longitude = _number(point["latitude"]), _number(point["longitude"])
    if not (latitude and longitude):
        return None
    return Place(latitude=latitude, longitude=longitude, altitude=_number(point["altitude"]))


def _number(text: str | None) -> str | None:
    """A coordinate as it was written, or ``None`` where it is not a number."""
    return text if text and _NUMBER.fullmatch(text) else None
