"""A post as the markup needs it: ``article.entry``, read from ``Mf2`` and Pelican's own keys.

Every text in these values is plain text, to be escaped where it is printed; every URL has been
checked (:mod:`pelican_indieauth.entry.urls`) and is absolute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
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
    """What the post speaks about, and what is known of it: a page, or a thing without an address.

    ``uid`` names it where that is not a web address: ``isbn:9780141439600``.
    """

    url: str | None
    name: str | None = None
    author: str | None = None
    author_url: str | None = None
    excerpt: str | None = None
    uid: str | None = None

    @property
    def label(self) -> str:
        """What a link to it says: its name, else its address without the scheme."""
        return self.name or without_scheme(self.url or "")


def without_scheme(url: str) -> str:
    """An address as people read it."""
    return url.partition("://")[2].rstrip("/")


@dataclass(frozen=True, slots=True)
class Place:
    """Where someone was: a venue, an address, a point, or any of them in part."""

    name: str | None = None
    url: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    altitude: str | None = None
    accuracy: str | None = None
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
class Value:
    """A value of a property that has no field of its own.

    It is one of: ``html`` (harmless, without attributes), a ``moment``, a ``duration`` (ISO 8601,
    with how to read it as ``text``), a nested object whose root class is ``type``, an address, a
    ``text`` (of several lines, perhaps). A nested object has its name as ``text``, a measure as
    ``number`` and ``unit``, and everything else as ``facts``.
    """

    text: str = ""
    url: str | None = None
    html: str = ""
    moment: date | datetime | None = None
    duration: str = ""
    type: str = ""
    number: str = ""
    unit: str = ""
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A property that has no field of its own, by its microformats2 name."""

    name: str
    values: tuple[Value, ...]


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
    ``review``, ``recipe``, ``product``, ``resume``, ``read``, ``watch``, ``listen``, ``play``,
    ``jam``, ``eat``, ``drink``); ``type`` is the root class. ``titled`` is false where the Title
    was made up for Pelican's sake; ``name`` is empty then. ``bodiless``: the post has no text, so
    that its summary is all there is to read. ``cited`` are further things that it speaks about
    (``jam-of``), by property; ``facts`` is all else that was said of it. ``guests`` are others whom
    the app that posted it names as its authors.
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
    start: date | datetime | None = None
    end: date | datetime | None = None
    item: Item | None = None
    rating: str | None = None
    best: str | None = None
    syndication: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    bodiless: bool = False
    featured: tuple[Media, ...] = ()
    cited: tuple[tuple[str, tuple[Cite, ...]], ...] = ()
    facts: tuple[Fact, ...] = ()
    guests: tuple[Person, ...] = ()
