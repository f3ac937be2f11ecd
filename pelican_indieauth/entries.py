"""A post as the markup needs it: ``article.entry``, read from ``Mf2`` and Pelican's own keys.

Every text in these values is plain text, to be escaped where it is printed; every URL has been
checked (:mod:`pelican_indieauth.urls`) and is absolute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Media:
    """A photo, a video or a sound. ``shown``: the body has it already, where it belongs."""

    url: str
    alt: str = ""
    width: int | None = None
    height: int | None = None
    srcset: str | None = None
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Cite:
    """A page that the post speaks about, and what is known of it."""

    url: str
    name: str | None = None
    author: str | None = None
    author_url: str | None = None
    excerpt: str | None = None

    @property
    def label(self) -> str:
        """What a link to it says: its name, else its address without the scheme."""
        return self.name or self.url.partition("://")[2].rstrip("/")


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody was: a venue, an address, a point, or any of them in part."""

    name: str | None = None
    url: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    street_address: str | None = None
    locality: str | None = None
    region: str | None = None
    country: str | None = None

    @property
    def address(self) -> tuple[tuple[str, str], ...]:
        """The parts of the address that are known, each with its microformats2 property."""
        parts = (
            ("street-address", self.street_address),
            ("locality", self.locality),
            ("region", self.region),
            ("country-name", self.country),
        )
        return tuple((name, text) for name, text in parts if text)

    @property
    def geo(self) -> str | None:
        """A ``geo:`` address of the point (RFC 5870)."""
        if self.latitude is None or self.longitude is None:
            return None
        return f"geo:{self.latitude},{self.longitude}"


@dataclass(frozen=True, slots=True)
class Item:
    """What a review is about. ``type`` is its root class."""

    type: str = "h-item"
    name: str | None = None
    url: str | None = None
    photo: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Who wrote it."""

    name: str
    url: str | None = None
    photo: str | None = None


class Entry(NamedTuple):
    """One post. (A build makes one for each; a frozen dataclass of this size takes long to make.)

    ``kind`` is what post type discovery finds (``note``, ``article``, ``reply``, ``like``,
    ``repost``, ``bookmark``, ``rsvp``, ``photo``, ``video``, ``audio``, ``checkin``, ``event``,
    ``review``, ``read``, ``watch``, ``listen``); ``type`` is the root class. ``titled`` is false
    where the Title was made up for Pelican's sake; ``name`` is empty then.
    """

    kind: str
    url: str
    type: str = "h-entry"
    titled: bool = True
    name: str = ""
    author: Person | None = None
    published: datetime | None = None
    updated: datetime | None = None
    summary: str | None = None
    categories: tuple[str, ...] = ()
    photos: tuple[Media, ...] = ()
    videos: tuple[Media, ...] = ()
    audios: tuple[Media, ...] = ()
    in_reply_to: tuple[Cite, ...] = ()
    like_of: tuple[Cite, ...] = ()
    repost_of: tuple[Cite, ...] = ()
    bookmark_of: tuple[Cite, ...] = ()
    read_of: tuple[Cite, ...] = ()
    watch_of: tuple[Cite, ...] = ()
    listen_of: tuple[Cite, ...] = ()
    rsvp: str | None = None
    read_status: str | None = None
    checkin: Place | None = None
    location: Place | None = None
    start: datetime | None = None
    end: datetime | None = None
    item: Item | None = None
    rating: str | None = None
    best: str | None = None
    syndication: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
