"""Where Pelican will put a post: asked of Pelican's own settings, readers and classes.

One :class:`Site` per version of the settings. Loading runs the owner's settings file, as every
Pelican run does, and sets the process' locale to the site's (month names in URLs depend on it);
the site's plugins are not loaded.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from markdown import Markdown
from pelican import settings as pelican_settings
from pelican.contents import Article
from pelican.readers import MarkdownReader, Readers
from pelican.urlwrappers import Author, Category, Tag, URLWrapper
from pelican.utils import sanitised_join, slugify

from bridge.content.headers import PelicanFile
from bridge.content.quick import QuickLocator
from bridge.errors import InvalidRequest
from bridge.settings import SettingsError

_LOADING = threading.Lock()
_USUAL_NAMES = {"pelicanconf", "publishconf"}
_NAME_BYTES = 150
_ODD_SLUG = re.compile(r"[\x00-\x1f\\]|(?:^|/)\.*(?:/|$)")
_KEPT_IN_URLS = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a post lives. ``url`` is absolute where the site knows its SITEURL.

    ``save_as`` is the path in the output folder, ``status`` Pelican's (``published``, ``draft``,
    ``hidden``), ``date`` with its zone, ``None`` for a draft without one.
    """

    url: str
    save_as: str
    status: str
    date: datetime | None


class Site:
    """A Pelican site's settings, as far as posts need them. Every method is thread-safe.

    ``root`` is the folder that stands for the repo's root: paths of posts are relative to it.
    """

    def __init__(self, settings: Mapping[str, Any], *, root: Path, siteurl: str = "") -> None:
        self.settings: dict[str, Any] = dict(settings)
        self.root = root.resolve()
        self.siteurl: str = (siteurl or str(settings.get("SITEURL") or "")).rstrip("/")
        self.zone = ZoneInfo(str(settings.get("TIMEZONE") or "UTC"))
        self.content_folder = _inside(self.root, Path(str(settings["PATH"])))
        self.default_status = str(dict(settings["DEFAULT_METADATA"]).get("status", "published"))
        self.formatted_fields = frozenset(settings["FORMATTED_FIELDS"])
        self._intrasite = _intrasite_links(str(settings["INTRASITE_LINK_REGEX"]))
        self._using_pelican = threading.Lock()
        self._readers: Readers | None = None
        self._markdown: Markdown | None = None
        self._quick = QuickLocator(self.settings)

    @classmethod
    def load(cls, settings_file: Path, *, root: Path | None = None, siteurl: str = "") -> Site:
        """Read a site's settings file; content folder and theme need not be there.

        ``siteurl`` stands in for (and goes before) the settings' SITEURL. Raises
        :class:`SettingsError` if the file cannot be read or names what is not installed.
        """
        settings_file = settings_file.resolve()
        root = root or settings_file.parent
        site = cls(_read_settings(settings_file), root=root, siteurl=siteurl)
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
        leaves the output folder or is longer than a file name, would break or litter the site."""
        return self._can_have_pages(Tag, name)

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages."""
        return self._can_have_pages(Author, name)

    def render(self, markdown: str) -> str:
        """The HTML that the site's own Markdown makes of a body."""
        with self._using_pelican:
            if self._markdown is None:
                # The reader completes the settings' list of extensions.
                self._markdown = Markdown(**MarkdownReader(self.settings).settings["MARKDOWN"])
            self._markdown.reset()
            # The header keeps Python-Markdown from reading the body's first lines as metadata.
            try:
                return self._markdown.convert(f"Title: x\n\n{markdown}")
            except Exception as error:
                raise InvalidRequest(
                    f"The site's Markdown cannot read this content: {error}."
                ) from error

    def intrasite_links(self, html: str) -> Iterator[str]:
        """What Pelican would replace in HTML: the values of attributes like ``{static}/x``."""
        return (match["path"] for match in self._intrasite.finditer(html))

    def locate(self, text: str, path: str) -> Location:
        """Where Pelican will put the post in the file ``path`` (relative to the repo's root).

        Raises :class:`InvalidRequest` if Pelican would not make a page of it, and says why.
        """
        if not self.is_article(path):
            raise InvalidRequest(
                f"{path} is not where the site's settings look for articles "
                "(ARTICLE_PATHS, ARTICLE_EXCLUDES, IGNORE_FILES)."
            )
        article = self._read(text, path)
        try:
            location = Location(
                self.absolute(article.url), article.save_as, article.status, _date_of(article)
            )
            sanitised_join(str(self.settings["OUTPUT_PATH"]), article.save_as)
            valid = article.is_valid()
        except Exception as error:
            raise InvalidRequest(
                f"The site's URL settings cannot hold this post: {error}."
            ) from error
        if not valid:
            raise InvalidRequest(f"Pelican would skip this post: {_why_invalid(article)}.")
        return location

    def quick_locate(self, file: PelicanFile, path: str) -> Location | None:
        """The same as :meth:`locate` by formatting alone, for indexes over many posts.

        ``None`` where only the slow way can tell, or where Pelican would make no page.
        """
        if not self.is_article(path) or not path.endswith((".md", ".markdown", ".mkd", ".mdown")):
            return None
        found = self._quick.locate(file, self._source_path(path))
        if found is None:
            return None
        url, save_as, status, date = found
        return Location(self.absolute(url), save_as, status, date)

    def absolute(self, url: str) -> str:
        """The URL of a page, from what Pelican calls its URL."""
        return f"{self.siteurl}/{quote(url.lstrip('/'), safe=_KEPT_IN_URLS)}"

    def is_article(self, path: str) -> bool:
        """Whether Pelican looks for articles in this file."""
        source = self._source_path(path)
        parts = PurePosixPath(source).parts
        if not parts or ".." in parts or PurePosixPath(source).is_absolute():
            return False
        folders = {"/".join(parts[:depth]) for depth in range(len(parts) + 1)}
        return (
            any(str(place).strip("/") in folders for place in self.settings["ARTICLE_PATHS"])
            and not any(
                str(place).strip("/") in folders
                for place in self.settings["ARTICLE_EXCLUDES"]
                if str(place).strip("/")
            )
            and not self._is_ignored(parts)
        )

    def _is_ignored(self, parts: tuple[str, ...]) -> bool:
        patterns = [str(pattern) for pattern in self.settings["IGNORE_FILES"]]
        return any(
            fnmatch(part, pattern.removeprefix("**/")) for part in parts for pattern in patterns
        )

    def _source_path(self, path: str) -> str:
        """The path below the content folder; the path itself where it is not in there."""
        prefix = f"{self.content_folder}/" if self.content_folder else ""
        return path[len(prefix) :] if path.startswith(prefix) else f"../{path}"

    def _read(self, text: str, path: str) -> Article:
        """The article that Pelican's own reader makes of this text at this path."""
        with self._using_pelican, tempfile.TemporaryDirectory(prefix="bridge-") as folder:
            file = Path(folder, self._source_path(path))
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text.encode())
                self.settings["PATH"] = folder
                if self._readers is None:
                    self._readers = Readers(self.settings)
                return self._readers.read_file(
                    base_path=folder,
                    path=self._source_path(path),
                    content_class=Article,
                    context={"localsiteurl": self.siteurl},
                )
            except Exception as error:
                raise InvalidRequest(f"Pelican cannot read this post: {error}.") from error

    @lru_cache(maxsize=4096)  # noqa: B019 - one Site lives as long as its settings do
    def _can_have_pages(self, kind: type[URLWrapper], name: str) -> bool:
        slug = self._slug(name, f"{kind.__name__.upper()}_REGEX_SUBSTITUTIONS")
        if not slug or len(slug.encode()) > _NAME_BYTES or _ODD_SLUG.search(slug):
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


def _read_settings(settings_file: Path) -> dict[str, Any]:
    """The settings as ``pelican -s`` has them, for a folder that may lack content and theme."""
    with _LOADING, _importing_from(settings_file.parent):
        try:
            found = pelican_settings.get_settings_from_file(str(settings_file))
            folder = Path(str(found.get("PATH") or "."))
            override = {
                "PATH": str(settings_file.parent),
                "THEME": pelican_settings.DEFAULT_THEME,
                "CACHE_CONTENT": False,
                "LOAD_CONTENT_CACHE": False,
                "TYPOGRIFY": False,
            }
            settings: dict[str, Any] = pelican_settings.read_settings(
                override={**found, **override}
            )
        except (Exception, SystemExit) as error:
            raise SettingsError(
                str(settings_file),
                "the file",
                f"Pelican's settings cannot be read ({type(error).__name__}: {error})",
                "See that `pelican -s` accepts it.",
            ) from error
    settings["PATH"] = str((settings_file.parent / folder).resolve())
    return settings


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let ``from pelicanconf import *`` find this folder's file, and forget it afterwards.

    Without the second half the next version of the settings would be mixed with this one.
    """
    before = set(sys.modules)
    stale = {name: sys.modules.pop(name) for name in _USUAL_NAMES & before}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before | set(stale):
            origin = getattr(sys.modules.get(name), "__file__", None)
            if origin and Path(origin).is_relative_to(folder):
                del sys.modules[name]
        for name, module in stale.items():
            sys.modules[name] = module


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


def _intrasite_links(notation: str) -> re.Pattern[str]:
    """What Pelican replaces (``Content._get_intrasite_link_regex``), with the value's group."""
    return re.compile(
        rf"""<[^\>]+(?:href|src|poster|data|cite|formaction|action|content)\s*=\s*
            (?P<quote>["\'])(?P<path>{notation}(?P<value>.*?))(?P=quote)""",
        re.VERBOSE,
    )


def _date_of(article: Article) -> datetime | None:
    date = getattr(article, "date", None)
    # Pelican dates a draft without a date to the end of time.
    return date if isinstance(date, datetime) and date.year < MAXYEAR else None


def _why_invalid(article: Article) -> str:
    for name in article.mandatory_properties:
        if not hasattr(article, name):
            return f"it has no {name}"
    if article.status not in article.allowed_statuses:
        return f"its status is {article.status!r}"
    return f"its page would be {article.save_as!r}"
