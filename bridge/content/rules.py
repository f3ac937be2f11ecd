"""What converting a post to a file needs to know: the bridge's own settings, and the site's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from datetime import datetime
from string import Formatter
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from bridge.content.markup.links import IntrasiteLinks, MediaUrls
from bridge.settings import DEFAULT_CATEGORIES, SettingsError

#: What a path can be made of, and how many bytes a name in it may have.
_FIELDS = frozenset({"category", "published", "slug"})
_NAME_BYTES = 200


#: How the effect of a text that passes on raw HTML begins.
RAW_HTML = "raw HTML"


class Rendered(msgspec.Struct, frozen=True):
    """The HTML that the site makes of a text.

    ``effects`` name what else the text makes the site's code do: open a file or an address
    (``include``, ``csv-table``, a snippet), or pass on raw HTML.
    """

    html: str
    effects: frozenset[str] = frozenset()


class SiteView(Protocol):
    """What writing and reading a post needs from the site's settings.

    ``zone`` is the site's time zone; ``links`` knows Pelican's notation for files of the site.
    """

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        ...

    @property
    def author(self) -> str:
        """The site's author."""
        ...

    @property
    def default_status(self) -> str:
        """The status of a post that has none."""
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
        """Pelican's slug of a title."""
        ...

    def can_be_category(self, name: str) -> bool:
        """Whether a category of this name can have pages."""
        ...

    def tag_slug(self, name: str) -> str:
        """The slug of a tag; ``""`` if it can have no pages."""
        ...

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages."""
        ...

    def render(self, text: str, suffix: str = "md") -> Rendered:
        """The HTML that the site makes of a body in the format of this suffix."""
        ...


class PathTemplate(Struct, frozen=True):
    """``[content] path`` inside ``[content] folder``.

    Understands ``{category}``, ``{published:%Y}`` and ``{slug}``. Raises :class:`SettingsError` if
    the template has any other field, or if two posts would always share a file.
    """

    folder: str
    template: str

    def __post_init__(self) -> None:
        try:
            names = {name for _, name, _, _ in Formatter().parse(self.template) if name is not None}
        except ValueError as error:
            raise self._wrong(str(error)) from error
        if unknown := names - _FIELDS:
            raise self._wrong(f"it names {', '.join(sorted(unknown))}")
        if "slug" not in names:
            raise self._wrong("it lacks {slug}, so that posts would overwrite each other")
        if not self.template.endswith(".md"):
            raise self._wrong("posts are Markdown files and end in .md")

    def path(self, *, slug: str, category: str, published: datetime) -> str:
        """The path from the repo's root. ``category`` is a slug already."""
        filled = self.template.format(
            slug=_segment(slug), category=_segment(category), published=published
        )
        parts = [_segment(part) for part in filled.split("/") if part.strip(". ")]
        return "/".join([*filter(None, self.folder.strip("/").split("/")), *parts])

    def _wrong(self, problem: str) -> SettingsError:
        return SettingsError(
            "bridge.toml",
            "content.path",
            f"{self.template!r} cannot be used: {problem}",
            "Use {category}, {published:%Y} and {slug}, like "
            '"{category}/{published:%Y}/{published:%m}/{slug}.md".',
        )


class SiteRules(Struct, frozen=True):
    """``site`` are Pelican's settings; the rest is the bridge's ``[content]`` and ``[media]``.

    ``html``: whether a client's HTML is sanitised or trusted. ``categories``: the Pelican category
    for each post type.
    """

    site: SiteView
    media: MediaUrls
    path: PathTemplate
    html: Literal["sanitize", "trust"] = "sanitize"
    categories: Mapping[str, str] = field(default_factory=lambda: DEFAULT_CATEGORIES)


def _segment(part: str) -> str:
    """One safe segment of a path: no separators, not hidden, not ``..``, not too long."""
    name = re.sub(r"[/\\\x00-\x1f\x7f]+", "-", part).strip(" ").lstrip(".")
    stem, dot, end = name.rpartition(".")
    while len(name.encode()) > _NAME_BYTES:
        if not dot:
            name = name[:-1]
        else:
            stem = stem[:-1]
            name = f"{stem}{dot}{end}"
    return name or "-"
