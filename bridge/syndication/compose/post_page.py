"""The result of parsing a post's page (:mod:`bridge.syndication.compose.page`).

A module of its own, so that importing the types does not load the HTML libraries.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from bridge.syndication.compose.text import RichText


class PagePhoto(Struct, frozen=True):
    """A photo: its URL and alt text."""

    url: str
    alt: str = ""


class PostPage(Struct, frozen=True):
    """The content of a post's own page.

    ``stamps`` are its times (``dt-published``, ``dt-updated``), ``language`` is a BCP 47 tag,
    ``pictures`` are those in the text.
    """

    content: RichText = field(default_factory=RichText)
    language: str = ""
    summary: str = ""
    stamps: frozenset[datetime] = frozenset()
    photos: tuple[PagePhoto, ...] = ()
    pictures: tuple[PagePhoto, ...] = ()
