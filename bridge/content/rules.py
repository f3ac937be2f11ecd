"""Everything about the site that turning a post into a file depends on."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from bridge.content.markup.intrasite import IntrasiteLinks
from bridge.content.markup.media_links import MediaUrls
from bridge.content.names.categories import DEFAULT_CATEGORIES
from bridge.content.names.path import PathTemplate
from bridge.site.messages import Rendered


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


@dataclass(frozen=True, slots=True)
class SiteRules:
    """``site`` knows Pelican's settings; the rest is the bridge's ``[content]`` and ``[media]``.

    ``html``: whether a client's HTML is sanitised or trusted. ``categories``: post type to the
    name of the Pelican category.
    """

    site: SiteView
    media: MediaUrls
    path: PathTemplate
    html: Literal["sanitize", "trust"] = "sanitize"
    categories: Mapping[str, str] = field(default_factory=lambda: DEFAULT_CATEGORIES)
