"""The result of parsing a post's page (:mod:`bridge.syndication.compose.page`).

A module of its own, so that importing the types does not load the HTML libraries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bridge.syndication.compose.text import RichText


@dataclass(frozen=True, slots=True)
class PagePhoto:
    """A photo: its URL and alt text."""

    url: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class PostPage:
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
