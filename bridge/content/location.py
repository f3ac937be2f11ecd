"""Where Pelican will put a post: asked of Pelican's own settings, readers and classes.

One :class:`Site` per version of the settings. The site's plugins are not loaded.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pelican.contents import Article, Content, Page, SkipStub
from pelican.readers import Readers
from pelican.urlwrappers import Author, Category, Tag, URLWrapper
from pelican.utils import sanitised_join, slugify

from bridge.content.effort import is_quick
from bridge.content.headers import PelicanFile
from bridge.content.intrasite import IntrasiteLinks
from bridge.content.labels import label
from bridge.content.listings import Listings
from bridge.content.quick import QuickLocator
from bridge.content.rendering import SiteMarkdown
from bridge.content.reserved import ReservedPages
from bridge.content.site_settings import read_settings
from bridge.content.sources import Sources
from bridge.errors import InvalidRequest
from bridge.settings import SettingsError

_MARKDOWN = (".md", ".markdown", ".mkd", ".mdown")
_NAME_BYTES = 150
_ODD_SLUG = re.compile(r"[\x00-\x1f\\]|(?:^|/)\.*(?:/|$)")
_KEPT_IN_URLS = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a post lives. ``url`` is absolute where the site knows its SITEURL.

    ``save_as`` is the path in the output folder, ``status`` Pelican's (``published``, ``draft``,
    ``hidden``), ``date`` with its zone, ``None`` for a draft without one, ``category`` the name of
    the Pelican category, which may come from the folder.
    """

    url: str
    save_as: str
    status: str
    date: datetime | None
    category: str = ""


class Site:
    """A Pelican site's settings, as far as posts need them. Every method is thread-safe.

    ``author`` is who writes the site, ``zone`` its time zone,
    ``links`` knows Pelican's notation for files of the site,
    ``listings`` the files of its categories, authors and tags,
    ``content_folder`` is relative to the repo's root. ``root`` is the folder that stands for that:
    paths of posts are relative to it, and so is ``uploads``, the folder in which no post is.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        settings_file: Path,
        *,
        root: Path,
        siteurl: str = "",
        uploads: str = "",
    ) -> None:
        self.settings: dict[str, Any] = dict(settings)
        self.root = root.resolve()
        self.siteurl: str = str(settings.get("SITEURL") or siteurl).rstrip("/")
        self.author = label(str(settings.get("AUTHOR") or ""))
        self.zone = ZoneInfo(str(settings.get("TIMEZONE") or "UTC"))
        self.content_folder = _inside(self.root, Path(str(settings["PATH"])))
        self.default_status = str(dict(settings["DEFAULT_METADATA"]).get("status", "published"))
        self.formatted_fields = frozenset(settings["FORMATTED_FIELDS"])
        self.links = IntrasiteLinks(str(settings["INTRASITE_LINK_REGEX"]))
        self.listings = Listings(self.settings)
        self._using_pelican = threading.Lock()
        self._readers: Readers | None = None
        self._scratch_folder: Path | None = None
        self._markdown = SiteMarkdown(self.settings, settings_file, self._using_pelican)
        self._quick = QuickLocator(self.settings)
        self._sources = Sources(self.settings, self._source_path(uploads) or "")
        self._reserved = ReservedPages(self.settings)

    @classmethod
    def load(
        cls, settings_file: Path, *, root: Path | None = None, siteurl: str = "", uploads: str = ""
    ) -> Site:
        """Read a site's settings file; content folder and theme need not be there.

        ``siteurl`` stands in for a SITEURL that is empty, as it is where sites are developed.
        Raises :class:`SettingsError` if the file cannot be read or names what is not installed.
        """
        settings_file = settings_file.resolve()
        root = root or settings_file.parent
        settings = read_settings(settings_file)
        site = cls(settings, settings_file, root=root, siteurl=siteurl, uploads=uploads)
        site._check_markdown(settings_file)
        return site

    def slugify(self, text: str) -> str:
        """What Pelican would make of a title."""
        return self._slug(text, "SLUG_REGEX_SUBSTITUTIONS")

    def category_slug(self, name: str) -> str:
        """The slug of a Pelican category."""
        return self._slug(name, "CATEGORY_REGEX_SUBSTITUTIONS")

    def can_be_category(self, name: str) -> bool:
        """Whether a category of this name can have pages at all."""
        return self._can_have_pages(Category, name)

    def can_be_tag(self, name: str) -> bool:
        """Whether a tag of this name can have pages: one without a slug, or with a slug that
        leaves the output folder, is longer than a file name, or gives it a file of the whole
        site's (``feeds/all.atom.xml``), would break or litter the site."""
        return self._can_have_pages(Tag, name)

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages."""
        return self._can_have_pages(Author, name)

    def render(self, markdown: str) -> str:
        """The HTML that the site's own Markdown makes of a body.

        Raises :class:`InvalidRequest` where it cannot, or not within some seconds.
        """
        return self._markdown.render(markdown)

    def locate(self, text: str, path: str) -> Location:
        """Where Pelican will put the post in the file ``path`` (relative to the repo's root).

        Raises :class:`InvalidRequest` if Pelican would not make a page of it, and says why.
        """
        source = self._source_path(path)
        if source is None or not self._sources.is_article(source):
            raise InvalidRequest(
                f"{path} is not where the site's settings look for articles "
                "(ARTICLE_PATHS, ARTICLE_EXCLUDES, IGNORE_FILES), or is in the folder of uploads."
            )
        return self._location(self._read(_without_slow_body(text, source), source, Article))

    def locate_page(self, text: str, path: str) -> Location:
        """The same for one of the site's pages, which posts must not collide with."""
        source = self._source_path(path)
        if source is None or not self._sources.is_page(source):
            raise InvalidRequest(f"{path} is not where the site's settings look for pages.")
        return self._location(self._read(_without_slow_body(text, source), source, Page))

    def read_back(self, text: str, suffix: str) -> str:
        """The HTML that Pelican's own reader makes of a post in a format with this suffix.

        Raises :class:`InvalidRequest` if it cannot.
        """
        return str(self._read(text, f"post.{suffix}", Article)._content)

    def quick_locate(self, file: PelicanFile, path: str) -> Location | None:
        """The same as :meth:`locate` by formatting alone, for indexes over many posts.

        ``None`` where only the slow way can tell, or where Pelican would make no page.
        """
        source = self._source_path(path)
        if source is None or not source.endswith(_MARKDOWN) or not self._sources.is_article(source):
            return None
        found = self._quick.locate(file, source)
        if found is None:
            return None
        return Location(self.absolute(found[0]), *found[1:])

    def date_in_path(self, path: str) -> datetime | None:
        """The date that a post has from its file's name alone (FILENAME_METADATA)."""
        source = self._source_path(path)
        return self._quick.date_in_path(source) if source else None

    def absolute(self, url: str) -> str:
        """The URL of a page, from what Pelican calls its URL."""
        return f"{self.siteurl}/{quote(url.lstrip('/'), safe=_KEPT_IN_URLS)}"

    def is_article(self, path: str) -> bool:
        """Whether Pelican looks for an article in this file (relative to the repo's root)."""
        source = self._source_path(path)
        return source is not None and self._sources.is_article(source)

    def is_page(self, path: str) -> bool:
        """Whether Pelican looks for a page in this file."""
        source = self._source_path(path)
        return source is not None and self._sources.is_page(source)

    def is_reserved(self, save_as: str) -> bool:
        """Whether this output file is something else than a post: the index, a tag's page.

        No new post may go there: Pelican would abort the whole build.
        """
        return save_as in self._reserved

    def _source_path(self, path: str) -> str | None:
        """The path below the content folder, as Pelican names it; ``None`` outside."""
        prefix = f"{self.content_folder}/" if self.content_folder else ""
        return path[len(prefix) :] if path.startswith(prefix) else None

    def _read(self, text: str, source: str, kind: type[Content]) -> Content:
        """The article or page that Pelican's own reader makes of this text at this path."""
        with self._using_pelican:
            try:
                file = self._scratch() / source
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text.encode())
                try:
                    if self._readers is None:
                        self._readers = Readers(self.settings)
                    return self._readers.read_file(
                        base_path=self.settings["PATH"],
                        path=source,
                        content_class=kind,
                        context={"localsiteurl": self.siteurl},
                    )
                finally:
                    file.unlink()
            except Exception as error:
                raise InvalidRequest(f"Pelican cannot read this post: {error}.") from error

    def _scratch(self) -> Path:
        """The folder in which Pelican finds what it is to read, gone with the process.

        One for all posts: making and removing folders costs more than the reading.
        """
        if self._scratch_folder is None:
            self._scratch_folder = Path(tempfile.mkdtemp(prefix="bridge-"))
            self.settings["PATH"] = str(self._scratch_folder)
            weakref.finalize(self, shutil.rmtree, self._scratch_folder, ignore_errors=True)
        return self._scratch_folder

    def _location(self, content: Content) -> Location:
        """Where a content object goes. Raises :class:`InvalidRequest` if it goes nowhere."""
        # Any other spelling of "skip" than this one even ends the whole build.
        if isinstance(content, SkipStub) or content.status == "skip":
            raise InvalidRequest("Pelican would skip this post: its status is 'skip'.")
        try:
            sanitised_join(str(self.settings["OUTPUT_PATH"]), content.save_as)
            valid = content.is_valid()
            url = self.absolute(content.url)
        except Exception as error:
            raise InvalidRequest(
                f"The site's URL settings cannot hold this post: {error}."
            ) from error
        if not valid:
            raise InvalidRequest(f"Pelican would skip this post: {_why_invalid(content)}.")
        category = str(getattr(content, "category", ""))
        return Location(url, content.save_as, content.status, _date_of(content), category)

    @lru_cache(maxsize=4096)  # noqa: B019 - one Site lives as long as its settings do
    def _can_have_pages(self, kind: type[URLWrapper], name: str) -> bool:
        sort = kind.__name__
        slug = self._slug(name, f"{sort.upper()}_REGEX_SUBSTITUTIONS")
        if not slug or len(slug.encode()) > _NAME_BYTES or _ODD_SLUG.search(slug):
            return False
        if self.listings.is_of_the_site(sort.lower(), slug):
            return False
        try:
            save_as = kind(name, self.settings).save_as
            sanitised_join(str(self.settings["OUTPUT_PATH"]), str(save_as or "x"))
        except (RuntimeError, ValueError, KeyError, IndexError, AttributeError):
            return False
        return True

    def _slug(self, name: str, substitutions: str) -> str:
        settings = self.settings
        slug: str = slugify(
            name,
            regex_subs=settings.get(substitutions, settings["SLUG_REGEX_SUBSTITUTIONS"]),
            preserve_case=settings["SLUGIFY_PRESERVE_CASE"],
            use_unicode=settings["SLUGIFY_USE_UNICODE"],
        )
        return slug

    def _check_markdown(self, settings_file: Path) -> None:
        try:
            self.render("")
            Readers(self.settings)
        except Exception as error:
            raise SettingsError(
                str(settings_file),
                "MARKDOWN",
                f"these settings cannot be used here ({error.__cause__ or error})",
                "Install what they name into the bridge's environment, too.",
            ) from error


def _without_slow_body(text: str, source: str) -> str:
    """A file that has the same place, and that Pelican reads at once."""
    if not source.endswith(_MARKDOWN):
        return text
    file = PelicanFile.parse(text, source)
    return text if is_quick(file.body) else file.with_body("").text()


def _inside(root: Path, folder: Path) -> str:
    """The content folder relative to the repo's root, ``""`` if they are the same."""
    try:
        relative = folder.relative_to(root).as_posix()
    except ValueError as error:
        raise SettingsError(
            "Pelican's settings",
            "PATH",
            f"the content folder {folder} is outside the repo {root}",
            "Posts can only be committed inside the repo.",
        ) from error
    return "" if relative == "." else relative


def _date_of(article: Content) -> datetime | None:
    date = getattr(article, "date", None)
    # Pelican dates a draft without a date to the end of time.
    return date if isinstance(date, datetime) and date.year < MAXYEAR else None


def _why_invalid(article: Content) -> str:
    for name in article.mandatory_properties:
        if not hasattr(article, name):
            return f"it has no {name}"
    if article.status not in article.allowed_statuses:
        return f"its status is {article.status!r}"
    return f"its page would be {article.save_as!r}"
