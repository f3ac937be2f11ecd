"""Answers questions about a Pelican site: where posts will be, and what HTML their texts give.

A file is read where it will be, below the content folder of the site's checkout, by the readers of
the site and with its plugins listening, as ``ArticlesGenerator.generate_context`` reads it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime
from functools import lru_cache
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin
from zoneinfo import ZoneInfo

import blinker
import pelican
from pelican import Pelican, contents
from pelican.contents import Article, Content, Page
from pelican.generators import ArticlesGenerator
from pelican.plugins import signals
from pelican.readers import HTMLReader, MarkdownReader, Readers, RstReader
from pelican.urlwrappers import Author, Category, Tag, URLWrapper
from pelican.utils import sanitised_join, slugify

from bridge import __version__
from bridge.content import dates, keys
from bridge.content.characters import label
from bridge.content.file import Mf2Line, PelicanFile
from bridge.content.links import IntrasiteLinks, MediaUrls
from bridge.content.read import read
from bridge.content.rules import PathTemplate, Rendered, SiteRules
from bridge.content.slugs import candidates, first_slug
from bridge.errors import BridgeError, InvalidRequest, SiteBroken
from bridge.micropub.post import Post
from bridge.micropub.post_type import discover
from bridge.settings import Content as ContentSettings
from bridge.settings import SettingsError
from bridge.site import messages
from bridge.site.messages import Candidate, IndexedPost, Listed, Location, SiteFacts, Sort, Unread
from bridge.site.pelican import loading
from bridge.site.pelican.effects import effects_of, record
from bridge.site.pelican.listings import Listings
from bridge.site.pelican.quick import QuickLocator
from bridge.site.pelican.reserved_pages import ReservedPages
from bridge.site.pelican.sources import Sources

log = logging.getLogger(__name__)

#: How many places are told of at once.
_CANDIDATES = 10
#: Files to lock by, and tries to write where folders come and go.
_LOCKS, _TRIES = 4096, 100
_NAME_BYTES = 150
_ODD_SLUG = re.compile(r"[\x00-\x1f\\]|(?:^|/)\.*(?:/|$)")
_KEPT_IN_URLS = "/%:@!$&'()*+,;=~-._"
#: How much of a post ``filter`` looks through.
_TEXT_LENGTH = 4000
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
#: Where an object is in memory says nothing about the settings.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SORTS: Mapping[Sort, type[URLWrapper]] = {"category": Category, "author": Author, "tag": Tag}
#: What stands for a file with the status "skip", which Pelican knows since 4.10.
_SKIPPED: tuple[type, ...] = tuple(filter(None, [getattr(contents, "SkipStub", None)]))
_STOCK = (MarkdownReader, RstReader, HTMLReader)
#: What may change what a reader has read.
_CONTENT_SIGNALS = (
    signals.article_generator_preread,
    signals.article_generator_context,
    signals.page_generator_preread,
    signals.page_generator_context,
    signals.content_object_init,
)
#: A file of a format in which headers need something around them.
_EMPTY = {"html": "<html><head><title>x</title></head><body></body></html>"}
_TAG = re.compile(r"<[^<>]*>")
#: Extensions of these packages turn text into HTML and leave the headers alone.
_KNOWN_EXTENSIONS = ("markdown.extensions.", "pymdownx.")


@dataclass(frozen=True, slots=True)
class _Read:
    """What Pelican makes of a file, and what its reader gave, before plugins saw it."""

    content: Content
    shown: Rendered


class PelicanSite:
    """One site, with its settings and plugins loaded.

    ``root`` stands for the repo's root: paths of posts are relative to it, and so is ``uploads``,
    the folder in which no post is.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        root: Path,
        siteurl: str = "",
        uploads: str = "",
        template: str = "",
        problems: tuple[str, ...] = (),
        missing_locales: tuple[str, ...] = (),
        plugins: object = None,
    ) -> None:
        """``plugins`` is PLUGINS as the owner's file has it: loading puts names in its place."""
        record()
        self.settings = settings
        self.root = root.resolve()
        self.siteurl: str = _whole(str(settings.get("SITEURL") or ""), siteurl).rstrip("/")
        self.author = label(str(settings.get("AUTHOR") or ""))
        self.zone = ZoneInfo(str(settings.get("TIMEZONE") or "UTC"))
        self.content_folder = _inside(self.root, Path(str(settings["PATH"])))
        self.default_status = str(dict(settings["DEFAULT_METADATA"]).get("status", "published"))
        self.formatted_fields = frozenset(settings["FORMATTED_FIELDS"])
        self.links = IntrasiteLinks(str(settings["INTRASITE_LINK_REGEX"]))
        self._template = PathTemplate(self.content_folder, template or ContentSettings().path)
        self._problems = problems
        self._missing_locales = missing_locales
        self._plugins = plugins
        self._generator = _generator(settings, self.siteurl)
        self._readers = self._generator.readers
        self._raw = _keep_what_is_read(self._readers)
        self._listings = Listings(settings)
        self._reserved = ReservedPages(settings)
        self._loaded: Pelican | None = None
        self._sources = Sources(settings, self._source_path(uploads) or "")
        self._quick = QuickLocator(settings)
        self._stock = {
            suffix for suffix, reader in self._readers.readers.items() if type(reader) in _STOCK
        }
        markdown = dict(settings["MARKDOWN"] or {})
        extensions = [
            *markdown.get("extensions", ()),
            *dict(markdown.get("extension_configs") or {}),
        ]
        self._plain = (
            all(str(name).startswith(_KNOWN_EXTENSIONS) for name in extensions)
            and not settings.get("TYPOGRIFY")
            and not any(signal.receivers for signal in _CONTENT_SIGNALS)
        )
        # Without links of the bridge's own media: an index needs none.
        self._rules = SiteRules(self, MediaUrls("", ()), self._template)

    @classmethod
    def load(
        cls,
        settings_file: Path,
        *,
        root: Path | None = None,
        content: str = "",
        siteurl: str = "",
        uploads: str = "",
        template: str = "",
    ) -> PelicanSite:
        """Load a site's settings and plugins.

        ``content`` is the folder of posts, ``""`` for the one that the settings say. ``siteurl``
        stands in for a SITEURL that is empty, as it is where sites are developed. Raises
        :class:`SettingsError` if something cannot be read, or names what is not installed.
        """
        settings_file = settings_file.resolve()
        root = (root or settings_file.parent).resolve()
        problems: list[str] = []
        with loading.logged_errors(problems.append):
            folder = root / content if content else None
            settings = loading.load_settings(settings_file, content=folder)
            missing_locales = loading.missing_locales(settings)
            plugins = settings.get("PLUGINS")
            loaded: Pelican | None = None
            try:
                loaded = loading.load_plugins(settings)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - plugins raise what they like
                # Pelican itself would stop here, and the build says so; posts can go on.
                problems.append(f"a plugin fails: {' '.join(str(error).split())}")
            _let_posts_of_the_future_be_read()
            try:
                site = cls(
                    settings,
                    root=root,
                    siteurl=siteurl,
                    uploads=uploads,
                    template=template,
                    problems=tuple(problems),
                    missing_locales=missing_locales,
                    plugins=plugins,
                )
                # Signals hold their receivers weakly, and only this holds the plugins' modules.
                site._loaded = loaded
                site._try_markdown()
            except SettingsError:
                raise
            except (Exception, SystemExit) as error:
                raise SettingsError(
                    str(settings_file),
                    "the file",
                    f"these settings cannot be used here ({type(error).__name__}: {error})",
                    "Install what they name into the bridge's environment, too.",
                ) from error
        return site

    def facts(self) -> SiteFacts:
        """What the bridge has to know."""
        settings = self.settings
        known = json.dumps(
            [
                *(__version__, pelican.__version__, self.siteurl, settings, sorted(self._stock)),
                # Names of months may be part of addresses.
                self._missing_locales,
            ],
            default=repr,
            sort_keys=True,
        ).replace(str(self.root), "")
        fingerprint = hashlib.sha256(_ADDRESS.sub("", known).encode()).hexdigest()
        output = Path(str(settings["OUTPUT_PATH"]))
        if output.is_relative_to(self.root):
            output = output.relative_to(self.root)
        return SiteFacts(
            siteurl=self.siteurl,
            author=self.author,
            timezone=str(self.zone),
            content=self.content_folder,
            default_status=self.default_status,
            formatted_fields=tuple(sorted(map(str, self.formatted_fields))),
            intrasite=str(settings["INTRASITE_LINK_REGEX"]),
            output=str(output),
            suffixes=tuple(sorted(self._readers.readers)),
            fingerprint=fingerprint,
            by_formatting=self._plain and "md" in self._stock,
            problems=self._problems,
            values=_plain_values({**settings, "PLUGINS": self._plugins}),
            missing_locales=self._missing_locales,
        )

    def slugify(self, text: str) -> str:
        """What Pelican would make of a title."""
        return self._slug(text, "SLUG_REGEX_SUBSTITUTIONS")

    def category_slug(self, name: str) -> str:
        """The slug of a Pelican category."""
        return self._slug(name, "CATEGORY_REGEX_SUBSTITUTIONS")

    def can_be_category(self, name: str) -> bool:
        """Whether a category of this name can have pages at all."""
        return bool(self.slug_of_list("category", name))

    def tag_slug(self, name: str) -> str:
        """The slug of a tag; ``""`` where it can have no pages."""
        return self.slug_of_list("tag", name)

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages."""
        return bool(self.slug_of_list("author", name))

    @lru_cache(maxsize=4096)  # noqa: B019 - one site lives as long as its settings do
    def slug_of_list(self, sort: Sort, name: str) -> str:
        """The slug of a list of this name, ``""`` where it can have no pages: one without a slug,
        or with a slug that leaves the output folder, is longer than a file name, or gives it a
        file of the whole site's (``feeds/all.atom.xml``), would break or litter the site."""
        slug = self._slug(name, f"{sort.upper()}_REGEX_SUBSTITUTIONS")
        if not slug or len(slug.encode()) > _NAME_BYTES or _ODD_SLUG.search(slug):
            return ""
        if self._listings.is_of_the_site(sort, slug):
            return ""
        try:
            save_as = _SORTS[sort](name, self.settings).save_as
            sanitised_join(str(self.settings["OUTPUT_PATH"]), str(save_as or "x"))
        except (RuntimeError, ValueError, KeyError, IndexError, AttributeError):
            return ""
        return slug

    def render(self, text: str, suffix: str = "md") -> Rendered:
        """What the site's own reader makes of a body in the format of this suffix.

        Raises :class:`InvalidRequest` if it cannot.
        """
        reader = self._readers.readers.get(suffix)
        if suffix == "md" and type(reader) is MarkdownReader:
            return self._markdown(text)
        file = PelicanFile.parse(_EMPTY.get(suffix, ""), f"x.{suffix}").with_body(text)
        for key, value in (("Title", "x"), ("Date", "2000-01-01"), ("Slug", "x")):
            file = file.with_header(key, value)
        return self._read(file.text().encode(), f".bridge-text.{suffix}", Article).shown

    def _try_markdown(self) -> None:
        """Have Markdown's extensions loaded. Raises :class:`InvalidRequest` if one is not there.

        A reader of the site's own is not tried: it may want more of a file than a text, and reads
        files, where ``init`` may write none.
        """
        if type(self._readers.readers.get("md")) is MarkdownReader:
            self._markdown("")

    def places(self, place: messages.Locate) -> tuple[tuple[Candidate, ...], Rendered]:
        """Where a post may be put, and what is made of its body.

        Raises :class:`InvalidRequest` if Pelican would not make a page of it, and says why.
        """
        file = PelicanFile.parse(place.text, place.path or "x.md")
        slug = first_slug(place.wishes, self) if place.wishes else file.get("Slug")
        # A post written by hand may leave its slug to Pelican: then there is one place for it.
        slugs: list[str | None] = [None]
        if slug:
            stamp = re.sub(r"\D", "", file.get("Date") or "")[:14]
            first = place.first - 1
            slugs = [*islice(candidates(slug, stamp), first, first + _CANDIDATES)]
        found: list[Candidate] = []
        article: _Read | None = None
        listed: tuple[Listed, ...] = ()
        new_path = None if place.path else self._new_paths(file)
        for wanted in slugs:
            named = file if wanted is None else file.with_header("Slug", wanted)
            path = new_path(wanted or "") if new_path else place.path
            if article is None:
                article = self._article(named.text().encode(), path)
                location = self._location(article.content)
                # No list has another file because of the slug of a post.
                listed = self._listed(named, location)
            else:
                quick = self.quick_locate(named, path)
                location = quick or self._moved(article.content, wanted or "", path)
            reserved = location.save_as in self._reserved and not place.path
            found.append(Candidate(wanted, path, location, reserved, listed))
        return tuple(found), article.shown if article else Rendered("")

    def locate(self, text: str, path: str) -> Location:
        """Where Pelican will put the post in the file ``path`` (relative to the repo's root).

        Raises :class:`InvalidRequest` if Pelican would not make a page of it, and says why.
        """
        return self._location(self._article(text.encode(), path).content)

    def locate_page(self, data: bytes, path: str) -> Location:
        """The same for one of the site's pages, which posts must not collide with."""
        source = self._source_path(path)
        if source is None or not self._sources.is_page(source):
            raise InvalidRequest(f"{path} is not where the site's settings look for pages.")
        return self._location(self._read(data, source, Page).content)

    def rivals(self, question: messages.LaterPages) -> messages.Rivals:
        """Which other lists would want a later page of this one."""
        return self._listings.rivals(question.listing, question.posts)

    def describe(self, source: messages.Source) -> IndexedPost | messages.Page | Unread | None:
        """What an index keeps of a file; ``None`` for what is neither a post nor a page."""
        path = source.path
        inside = self._source_path(path)
        if inside is None or path.rpartition(".")[2] not in self._readers.readers:
            return None
        try:
            if self._sources.is_page(inside):
                return messages.Page(path, self.locate_page(source.data, path).save_as)
            if not self._sources.is_article(inside):
                return None
            return self._entry(source, inside)
        except BridgeError as error:
            return Unread(path, error.description)

    def absolute(self, url: str) -> str:
        """The URL of a page, from what Pelican calls its URL."""
        return f"{self.siteurl}/{quote(url.lstrip('/'), safe=_KEPT_IN_URLS)}"

    def date_in_path(self, path: str) -> datetime | None:
        """The date that a post has from its file's name alone (FILENAME_METADATA)."""
        source = self._source_path(path)
        return self._quick.date_in_path(source) if source else None

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

    def quick_locate(self, file: PelicanFile, path: str) -> Location | None:
        """The same as :meth:`locate` by formatting alone, for indexes over many posts.

        ``None`` where only Pelican can tell, or where it would make no page.
        """
        source = self._source_path(path)
        if source is None or not self._is_stock(path) or not self._sources.is_article(source):
            return None
        found = self._quick.locate(file, source)
        if found is None:
            return None
        return Location(self.absolute(found[0]), *found[1:])

    def _is_stock(self, path: str) -> bool:
        """Whether headers alone tell what Pelican makes of a file: its own Markdown reader, and
        no one listening."""
        return (
            self._plain
            and path.rpartition(".")[2] in self._stock
            and path.endswith(tuple(MarkdownReader.file_extensions))
        )

    def _entry(self, source: messages.Source, inside: str) -> IndexedPost:
        path = source.path
        text = source.data.decode("utf-8", "replace")
        file = PelicanFile.parse(text, path)
        found: dict[str, list[str]] = {}
        post = read(file, self._rules)
        # A title that is not in the file is in its name; what is not UTF-8, Pelican passes over.
        is_plain = file.get("Title") is not None and "\ufffd" not in text
        place = self.quick_locate(file, path) if is_plain else None
        if place is None:
            content = self._read(source.data, inside, Article).content
            place = self._location(content)
            found = _found_beside(content, post, Mf2Line.of(file))
        elif "published" not in post.properties and place.date:
            found = {"published": [dates.form(place.date)]}
        if found:
            post = post.with_properties({name: tuple(each) for name, each in found.items()})
        title = post.text("name") or file.get("Title") or ""
        return IndexedPost(
            path=path,
            blob=source.blob,
            url=place.url,
            save_as=place.save_as,
            status=place.status,
            type=discover(post),
            published=(place.date or _LONG_AGO).timestamp(),
            channel=place.category,
            categories=tuple(str(each) for each in post.all("category")),
            aliases=tuple(
                self.absolute(url)
                for each in Mf2Line.of(file).aliases
                for url in self._urls_of_page(each)
            ),
            listings=tuple(each.listing for each in self._listed(file, place)),
            text=f"{title}\n{_about(post)}\n{file.body[:_TEXT_LENGTH]}".casefold(),
            found=found,
        )

    def _urls_of_page(self, save_as: str) -> list[str]:
        """What an article's page may be called: many sites leave out what it ends with."""
        urls = [save_as.removesuffix("index.html")]
        stem, dot, suffix = save_as.rpartition(".")
        if dot and not str(self.settings["ARTICLE_URL"]).endswith((f".{suffix}", "/")):
            urls.append(stem)
        return urls

    def _new_paths(self, file: PelicanFile) -> Callable[[str], str]:
        """The path of a new post, for each slug.

        A category may be called like the folder of uploads or of pages, where no post is read:
        then its folder, which no reader ever sees, has another name.
        """
        published = keys.date_of(file, "Date", self._rules)
        if published is None:
            raise InvalidRequest("This post has no date.")
        category = self.category_slug(file.get("Category") or "")
        moment = published

        def path(slug: str) -> str:
            paths = [
                self._template.path(slug=slug, category=folder, published=moment)
                for folder in (category, f"{category}-posts")
            ]
            return next(filter(self.is_article, paths), paths[0])

        return path

    def _listed(self, file: PelicanFile, place: Location) -> tuple[Listed, ...]:
        """The lists that a post is on and whose file another list may want."""
        if place.status != "published":
            return ()
        author = (str(self.settings.get("AUTHOR") or ""),)
        names: dict[Sort, Iterable[object]] = {
            "category": [place.category],
            "author": keys.AUTHOR.decode(file, self._rules).get("author") or author,
            "tag": keys.TAGS.decode(file, self._rules).get("category") or (),
        }
        contested = self._listings.contested
        return tuple(
            each for sort, found in names.items() for each in contested(sort, [*map(str, found)])
        )

    def _article(self, data: bytes, path: str) -> _Read:
        source = self._source_path(path)
        if source is None or not self._sources.is_article(source):
            raise InvalidRequest(
                f"{path} is not where the site's settings look for articles "
                "(ARTICLE_PATHS, ARTICLE_EXCLUDES, IGNORE_FILES), or is in the folder of uploads."
            )
        return self._read(data, source, Article)

    def _moved(self, article: Content, slug: str, path: str) -> Location:
        """Where the same post would be with another slug."""
        try:
            moved = Article(
                "",
                metadata={**article.metadata, "slug": slug},
                settings=self.settings,
                source_path=str(self.root / path),
                context=self._generator.context,
            )
        except Exception as error:
            raise InvalidRequest(f"Pelican cannot read this post: {error}.") from error
        return self._location(moved)

    def _source_path(self, path: str) -> str | None:
        """The path below the content folder, as Pelican names it; ``None`` outside."""
        prefix = f"{self.content_folder}/" if self.content_folder else ""
        return path[len(prefix) :] if path.startswith(prefix) else None

    def _read(self, data: bytes, source: str, kind: type[Content]) -> _Read:
        """What the site's readers and plugins make of these bytes in this file."""
        preread, context = signals.article_generator_preread, signals.article_generator_context
        listening: dict[str, Any] = {}
        if kind is Article:
            listening = {
                "preread_signal": preread,
                "preread_sender": self._generator,
                "context_signal": context,
                "context_sender": self._generator,
            }
        self._raw.clear()
        base = Path(str(self.settings["PATH"]))
        try:
            with (
                in_place(base, source, data),
                effects_of(data.decode("utf-8", "replace"), str(base / source)) as effects,
            ):
                content = self._readers.read_file(
                    base_path=str(base),
                    path=source,
                    content_class=kind,
                    context=self._generator.context,
                    **listening,
                )
        except ImportError as error:
            # Whatever the text: the owner has to install it.
            raise SiteBroken(f"Pelican cannot read this post: {error}.") from error
        except (Exception, SystemExit) as error:
            told = str(error).replace(f"{self.root}/", "") or type(error).__name__
            raise InvalidRequest(f"Pelican cannot read this post: {told}.") from error
        html = self._raw[-1] if self._raw else str(content._content or "")
        return _Read(content, Rendered(html, frozenset(effects)))

    def _markdown(self, text: str) -> Rendered:
        reader = self._readers.readers["md"]
        if not hasattr(reader, "_bridge_markdown"):
            from markdown import Markdown  # noqa: PLC0415 - a site may do without

            reader._bridge_markdown = Markdown(**reader.settings["MARKDOWN"])
        try:
            reader._bridge_markdown.reset()
            with effects_of(text, "") as effects:
                # The header keeps Python-Markdown from reading the body's first lines as metadata.
                html = str(reader._bridge_markdown.convert(f"Title: x\n\n{text}"))
            return Rendered(html, frozenset(effects))
        except Exception as error:
            raise InvalidRequest(
                f"The site's Markdown cannot read this content: {error}."
            ) from error

    def _location(self, content: Content) -> Location:
        """Where a content object goes. Raises :class:`InvalidRequest` if it goes nowhere."""
        # Any other spelling of "skip" than this one even ends the whole build.
        if isinstance(content, _SKIPPED) or content.status == "skip":
            raise InvalidRequest("Pelican would skip this post: its status is 'skip'.")
        try:
            sanitised_join(str(self.settings["OUTPUT_PATH"]), content.save_as)
            with _quiet():
                valid = content.is_valid()
            url = self.absolute(content.url)
        except Exception as error:
            raise InvalidRequest(
                f"The site's URL settings cannot hold this post: {error}."
            ) from error
        if not valid:
            raise InvalidRequest(f"Pelican would skip this post: {_why_invalid(content)}.")
        category = str(getattr(content, "category", ""))
        return Location(url, str(content.save_as), str(content.status), _date_of(content), category)

    def _slug(self, name: str, substitutions: str) -> str:
        settings = self.settings
        slug: str = slugify(
            name,
            regex_subs=settings.get(substitutions, settings["SLUG_REGEX_SUBSTITUTIONS"]),
            preserve_case=settings["SLUGIFY_PRESERVE_CASE"],
            use_unicode=settings["SLUGIFY_USE_UNICODE"],
        )
        return slug


def _whole(siteurl: str, me: str) -> str:
    """The site's address with its scheme and host: SITEURL may be ``//example.com`` or ``/blog``.

    ``me`` has what it lacks, and stands in for one that is empty.
    """
    if "://" in siteurl or not me:
        return siteurl or me
    return urljoin(me, siteurl) if siteurl.startswith("/") else me


def _let_posts_of_the_future_be_read() -> None:
    """The bridge's own plugin holds posts back until their time; here they have addresses."""
    for signal in _CONTENT_SIGNALS:
        for receiver in [*signal.receivers_for(blinker.ANY)]:
            if receiver.__module__.startswith("pelican_indieauth"):
                signal.disconnect(receiver)


def _generator(settings: dict[str, Any], siteurl: str) -> ArticlesGenerator:
    """The generator whose readers read articles, as ``Pelican.run`` makes it."""
    context = {
        **settings,
        "generated_content": {},
        "static_links": set(),
        "static_content": {},
        "localsiteurl": siteurl,
    }
    return ArticlesGenerator(
        context=context,
        settings=settings,
        path=settings["PATH"],
        theme=settings["THEME"],
        output_path=settings["OUTPUT_PATH"],
    )


def _keep_what_is_read(readers: Readers) -> list[str]:
    """Have the HTML of the last file kept as its reader gave it.

    ``Readers.read_file`` hands it to the cache before typography and plugins come to it.
    """
    kept: list[str] = []

    def cache_data(path: str, data: tuple[str | None, dict[str, Any]]) -> None:
        del path
        kept[:] = [str(data[0] or "")]

    readers.cache_data = cache_data
    return kept


@contextmanager
def in_place(base: Path, source: str, data: bytes) -> Iterator[None]:
    """Have a file hold these bytes for the time of the block, as it would in a build.

    Relative names in it (an include, a picture beside it) mean there what they mean for Pelican.
    """
    file = base / source
    folder = file.parent
    with _locked(str(file)):
        if not folder.resolve().is_relative_to(base.resolve()):
            raise InvalidRequest(f"{source} is in a folder outside of the site.")
        before = file.read_bytes() if file.is_file() else None
        if before == data and not file.is_symlink():
            yield
            return
        _write(file, data)
        try:
            yield
        finally:
            if before is None:
                file.unlink(missing_ok=True)
            else:
                _write(file, before)
            # Settings may list the folders of posts. git has none that is empty, so that an empty
            # one was made here, or by another copy.
            with suppress(OSError):
                for each in file.relative_to(base).parents[:-1]:
                    (base / each).rmdir()


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Keep other copies of this process from the same file: each reads its own bytes there."""
    bucket = int.from_bytes(hashlib.sha256(name.encode(errors="replace")).digest()[:2]) % _LOCKS
    with (Path(tempfile.gettempdir()) / f"reading-{bucket}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(file: Path, data: bytes) -> None:
    for _ in range(_TRIES):
        # Another copy takes away the folders that it has made once they are empty.
        with suppress(FileNotFoundError, FileExistsError):
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{os.getpid()}.bridge")
            temporary.write_bytes(data)
            temporary.replace(file)
            return
    raise FileNotFoundError(f"{file.parent} cannot be made")


@contextmanager
def _quiet() -> Iterator[None]:
    """Pelican logs why it skips a post; here the answer says it."""
    logger = logging.getLogger("pelican.contents")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _inside(root: Path, folder: Path) -> str:
    """The content folder relative to the repo's root, ``""`` if they are the same."""
    try:
        relative = folder.resolve().relative_to(root).as_posix()
    except ValueError as error:
        raise SettingsError(
            "Pelican's settings",
            "PATH",
            f"the content folder {folder} is outside the repo {root}",
            "Posts can only be committed inside the repo.",
        ) from error
    return "" if relative == "." else relative


def _about(post: Post) -> str:
    """The addresses and names of what a post is about: all that some posts have to be found by."""
    said: list[str] = []
    for name, values in post.properties.items():
        if name != "in-reply-to" and not name.endswith("-of"):
            continue
        for value in values:
            inner = value.get("properties") if isinstance(value, dict) else None
            parts = [*inner.values()] if isinstance(inner, dict) else [[value]]
            said += [
                text
                for part in parts
                if isinstance(part, list)
                for text in part
                if isinstance(text, str)
            ]
    return " ".join(said)[:_TEXT_LENGTH]


def _found_beside(content: Content, post: Post, mf2: Mf2Line) -> dict[str, list[str]]:
    """What Pelican knows of a post that its headers do not say."""
    found: dict[str, list[str]] = {}
    title = _TAG.sub("", unescape(str(getattr(content, "title", ""))))
    if title and "name" not in post.properties and not mf2.synthetic_title:
        found["name"] = [title]
    date = _date_of(content)
    if date and "published" not in post.properties:
        found["published"] = [dates.form(date)]
    tags = [str(tag) for tag in getattr(content, "tags", None) or ()]
    if tags and "category" not in post.properties:
        found["category"] = tags
    return found


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


def _plain_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are texts, numbers, or lists of such."""
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, str | int | float | bool):
            plain[name] = value
        elif isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
            plain[name] = list(value)
    return plain
