"""``article.entry``: a post's data for markup, from ``Mf2`` and Pelican's own metadata.

All texts are plain text, to be escaped when printed; all URLs are validated
(:mod:`pelican_indieauth.entry.urls`) and absolute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import NamedTuple

#: What apps say in a summary of a post that has only a target: "Liked: https://a.example/".
_SAID_BY_APPS = frozenset(
    {
        *("like", "liked", "repost", "reposted", "bookmark", "bookmarked", "listened", "listening"),
        *("watched", "watching", "read", "reading", "finished", "want", "wants", "played"),
        *("playing", "to", "of", "by"),
    }
)


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A photo, video or sound. ``shown``: the body already contains it; ``poster`` is the URL of
    a video's picture before it plays; the ``caption`` is shown below it.
    """

    url: str
    alt: str = ""
    width: int | None = None
    height: int | None = None
    srcset: str | None = None
    shown: bool = False
    poster: str | None = None
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Cite:
    """The target of a response with what is known of it: a page, or a thing without a URL.

    ``uid`` is an identifier that is not a web URL, such as ``isbn:9780141439600``. ``type`` is its
    root class; ``facts`` is what else is known of a thing that is no page, such as its price.
    ``pictured``: ``photo`` is one of the site's own files, which the page shows.
    """

    url: str | None
    name: str | None = None
    author: str | None = None
    author_url: str | None = None
    excerpt: str | None = None
    uid: str | None = None
    photo: str | None = None
    type: str = "h-cite"
    facts: tuple[Fact, ...] = ()
    pictured: bool = False

    @property
    def label(self) -> str:
        """The text of a link to it: its name, else its URL without the scheme."""
        return self.name or without_scheme(self.url or "")


def without_scheme(url: str) -> str:
    """A URL without its scheme, for display; the path of a file of a site without ``SITEURL``."""
    return url if url.startswith("/") else url.partition("://")[2].rstrip("/")


@dataclass(frozen=True, slots=True)
class Place:
    """A place: venue, address, coordinates, or some of these.

    ``repeated``: the check-in says all of it already.
    """

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
    postal_code: str | None = None
    repeated: bool = False

    @property
    def label(self) -> str:
        """Its name, else its URL for display."""
        return self.name or without_scheme(self.url or "")

    def is_implied_by(self, other: Place) -> bool:
        """Whether all that is known of this place is known of another, too."""
        return all(
            getattr(self, each.name) in {None, getattr(other, each.name)} for each in fields(self)
        )

    @property
    def address(self) -> tuple[tuple[str, str], ...]:
        """The known parts of the address, each with its microformats2 property."""
        parts = (
            ("street-address", self.street_address),
            ("postal-code", self.postal_code),
            ("locality", self.locality),
            ("region", self.region),
            ("country-name", self.country),
        )
        return tuple((name, text) for name, text in parts if text)

    @property
    def geo(self) -> str | None:
        """The coordinates as a ``geo:`` URI (RFC 5870), or ``None``."""
        if self.latitude is None or self.longitude is None:
            return None
        return f"geo:{self.latitude},{self.longitude}"


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a review. ``type`` is its root class; ``pictured`` as for :class:`Cite`;
    ``facts`` is what else is known of it, such as its author or price.
    """

    type: str = "h-item"
    name: str | None = None
    url: str | None = None
    photo: str | None = None
    pictured: bool = False
    facts: tuple[Fact, ...] = ()

    @property
    def label(self) -> str:
        """Its name, else its URL without the scheme."""
        if self.url and self.name in {None, self.url}:
            return without_scheme(self.url)
        return self.name or ""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a property without a field of its own.

    It has one of: ``html`` (sanitised, without attributes), a ``moment``, a ``duration`` (ISO 8601,
    with a readable form in ``text``), a nested object with root class ``type``, a URL (that of a
    ``picture`` among the site's own files has its alternative text in ``text``), or a ``text``,
    maybe of several lines. A nested object has its name in ``text``, a measure in
    ``number`` and ``unit`` (by the property ``unit_name``), and the rest in ``facts``.
    """

    text: str = ""
    url: str | None = None
    html: str = ""
    moment: date | datetime | None = None
    duration: str = ""
    type: str = ""
    number: str = ""
    unit: str = ""
    unit_name: str = ""
    facts: tuple[Fact, ...] = ()
    picture: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """A property without a field of its own, by its microformats2 name."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """An author."""

    name: str
    url: str | None = None
    photo: str | None = None


class Entry(NamedTuple):
    """One post. (A NamedTuple, since every build creates one per post and frozen dataclasses are
    slow to create.)

    ``kind`` is the post type by post type discovery (``note``, ``article``, ``reply``, ``like``,
    ``repost``, ``bookmark``, ``rsvp``, ``photo``, ``video``, ``audio``, ``checkin``, ``event``,
    ``review``, ``recipe``, ``product``, ``resume``, ``read``, ``watch``, ``listen``, ``play``,
    ``jam``, ``eat``, ``drink``); ``type`` is the root class. ``titled`` is false where the title
    exists only because Pelican requires one; then ``name`` is empty. ``bodiless``: the post has no
    content, so its summary is shown. ``cited`` are targets of further ``*-of`` properties
    (``jam-of``), by property; ``facts`` are all other properties. ``guests`` are further authors
    that the posting app named. ``sensitive``: not everybody wants to see its pictures.
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
    photos: tuple[AttachedFile, ...] = ()
    videos: tuple[AttachedFile, ...] = ()
    audios: tuple[AttachedFile, ...] = ()
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
    item: Subject | None = None
    rating: str | None = None
    best: str | None = None
    syndication: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    bodiless: bool = False
    featured: tuple[AttachedFile, ...] = ()
    cited: tuple[tuple[str, tuple[Cite, ...]], ...] = ()
    facts: tuple[Fact, ...] = ()
    guests: tuple[Person, ...] = ()
    sensitive: bool = False

    @property
    def repeats(self) -> bool:
        """Whether the summary only says what the post does with its target, which the page shows
        as a link.
        """
        left = self.summary or ""
        targets = (self.like_of, self.repost_of, self.bookmark_of, self.read_of, self.watch_of)
        for cite in (cite for cites in (*targets, self.listen_of) for cite in cites):
            for said in (cite.url, cite.label, cite.name, cite.author):
                left = left.replace(said, " ") if said else left
        return left != (self.summary or "") and _SAID_BY_APPS.issuperset(
            re.findall(r"\w+", left.lower())
        )
