"""What converting a post to a file needs to know about the site: a protocol."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from bridge.content.markup.intrasite import IntrasiteLinks


class Rendered(msgspec.Struct, frozen=True):
    """What the site makes of a text.

    ``effects`` name what the text has the site's code do besides: open a file or an address
    (``include``, ``csv-table``, a snippet), pass raw HTML on.
    """

    html: str
    effects: frozenset[str] = frozenset()


class SiteView(Protocol):
    """What writing and reading a post asks of the site's settings.

    ``zone`` is the site's time zone, ``links`` knows Pelican's notation for files of the site.
    """

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        ...

    @property
    def author(self) -> str:
        """Who writes the site."""
        ...

    @property
    def default_status(self) -> str:
        """The status of a post that says none."""
        ...

    @property
    def formatted_fields(self) -> Set[str]:
        """The header keys whose values go through Markdown."""
        ...

    @property
    def links(self) -> IntrasiteLinks:
        """Pelican's notation for files of the site."""
        ...

    def slugify(self, text: str) -> str:
        """What Pelican makes of a title."""
        ...

    def can_be_category(self, name: str) -> bool:
        """Whether a category of this name can have pages."""
        ...

    def tag_slug(self, name: str) -> str:
        """The slug of a tag; ``""`` where it can have no pages."""
        ...

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages."""
        ...

    def render(self, text: str, suffix: str = "md") -> Rendered:
        """What the site makes of a body in the format of this suffix."""
        ...
