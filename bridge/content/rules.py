"""Every setting that affects how a post becomes a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bridge.content.markup.media_links import MediaUrls
from bridge.content.names.path import PathTemplate
from bridge.content.site_view import SiteView
from bridge.settings import DEFAULT_CATEGORIES


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
