"""What a post's page shows, as :mod:`bridge.syndication.compose.page` parses it.

Apart from that, since the libraries that read HTML take a while to load, and no start of the bridge
waits for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bridge.syndication.compose.text import Rich


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo: where it is, and what is said of it for those who do not see it."""

    url: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class PostPage:
    """What a post's own page says of it.

    ``stamps`` are its dates (``dt-published``, ``dt-updated``), ``language`` is a tag of BCP 47,
    ``pictures`` are those in the text.
    """

    content: Rich = field(default_factory=Rich)
    language: str = ""
    summary: str = ""
    stamps: frozenset[datetime] = frozenset()
    photos: tuple[Picture, ...] = ()
    pictures: tuple[Picture, ...] = ()
    has_content: bool = False
