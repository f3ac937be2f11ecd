"""Answers questions about a Pelican site: where posts will be, and what HTML their texts give.

A file is read where it will be, below the content folder of the site's checkout, by the readers of
the site and with its plugins listening, as ``ArticlesGenerator.generate_context`` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pelican
from pelican.contents import Article, Content, Page

from bridge import __version__
from bridge.content import keys
from bridge.content.file import PelicanFile, label
from bridge.content.markup.links import IntrasiteLinks, MediaUrls
from bridge.content.rules import PathTemplate, Rendered, SiteRules
from bridge.content.titles_and_slugs import candidates, first_slug
from bridge.content.yaml_head import YamlSyntax
from bridge.errors import InvalidRequest, SiteBroken
from bridge.settings import Content as ContentSettings
from bridge.site import messages
from bridge.site.messages import Candidate, Listed, Location, SiteFacts, Sort
from bridge.site.pelican import loading
from bridge.site.pelican.addresses.addresses import Addresses
from bridge.site.pelican.addresses.listings import Listings
from bridge.site.pelican.addresses.quick import QuickLocator
from bridge.site.pelican.addresses.reserved_pages import ReservedPages
from bridge.site.pelican.addresses.subsites import subsites
from bridge.site.pelican.audit import record
from bridge.site.pelican.description import Describer, Description
from bridge.site.pelican.facts import (
    code_version,
    fingerprint,
    folder_inside,
    plain_values,
    whole_siteurl,
)
from bridge.site.pelican.reading import FileRead, Room, SiteReaders, stop_withholding
from bridge.site.pelican.sources import Sources

#: Number of candidates in one answer.
_CANDIDATES = 10
#: Nearly always the first of them is free.
_AT_FIRST = 1
#: A post that any site can read.
_PLAINEST = PelicanFile.parse("Title: x\nDate: 2000-01-01 00:00\nSlug: x\n\nx\n")
#: Replaces digits and separators in file names.
_LETTERS = str.maketrans("0123456789-_.~", "abcdefghijxxxx")


class PelicanSite:
    """One site, with its settings and plugins loaded.

    ``root`` stands for the repo's root: paths of posts are relative to it, and so is ``uploads``,
    the folder in which no post is.
    """

    def __init__(
        self,
        loaded: loading.LoadedSettings,
        *,
        root: Path,
        siteurl: str = "",
        uploads: str = "",
        template: str = "",
    ) -> None:
        record()
        settings = loaded.settings
        self._loaded = loaded
        self.settings = settings
        self.root = root.resolve()
        self.siteurl: str = whole_siteurl(str(settings.get("SITEURL") or ""), siteurl).rstrip("/")
        self.author = label(str(settings.get("AUTHOR") or ""))
        self.zone = ZoneInfo(str(settings.get("TIMEZONE") or "UTC"))
        self.content_folder = folder_inside(self.root, Path(str(settings["PATH"])))
        self.default_status = str(dict(settings["DEFAULT_METADATA"]).get("status", "published"))
        self.formatted_fields = frozenset(settings["FORMATTED_FIELDS"])
        self.links = IntrasiteLinks(str(settings["INTRASITE_LINK_REGEX"]))
        self._template = PathTemplate(self.content_folder, template or ContentSettings().path)
        self._readers = SiteReaders(settings, self.root, self.siteurl)
        self._listings = Listings(settings)
        languages = subsites(settings, self.siteurl)
        self._addresses = Addresses(settings, self.siteurl, self._listings, languages)
        self._reserved = ReservedPages(settings)
        self._sources = Sources(settings, self._source_path(uploads) or "")
        self._quick = QuickLocator(settings, elsewhere=languages)
        # Without links of the bridge's own media: an index needs none.
        self._rules = SiteRules(self, MediaUrls("", ()), self._template)
        self._describer = self._make_describer()

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
        # A link to the settings is not resolved: paths in them are relative to the link.
        settings_file = settings_file.parent.resolve() / settings_file.name
        root = (root or settings_file.parent).resolve()
        loaded = loading.load(settings_file, content=root / content if content else None)
        stop_withholding()
        with loading.unusable_settings(settings_file):
            site = cls(loaded, root=root, siteurl=siteurl, uploads=uploads, template=template)
            site._readers.try_markdown()
        return site

    def facts(self) -> SiteFacts:
        """What the bridge has to know about the settings."""
        settings, loaded = self.settings, self._loaded
        name = fingerprint(
            self.root,
            *(__version__, code_version(), pelican.__version__, self.siteurl, settings),
            sorted(self._readers.stock),
            loaded.drafts_until_due,
            # Names of months may be part of addresses.
            loaded.missing_locales,
        )
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
            suffixes=self._readers.suffixes,
            fingerprint=name,
            by_formatting=self._readers.by_headers and "md" in self._readers.stock,
            problems=loaded.problems,
            values=plain_values({**settings, "PLUGINS": loaded.plugins}),
            missing_locales=loaded.missing_locales,
            looks_at_posts=loaded.looks_at_posts,
            named_content=self._named_content(),
            drafts_until_due=loaded.drafts_until_due,
        )

    def _named_content(self) -> str:
        """The content folder that the settings name, where that is a folder of the repo."""
        named = self._loaded.named
        if named is None or not named.is_dir() or not named.resolve().is_relative_to(self.root):
            return ""
        return folder_inside(self.root, named)

    def _make_describer(self) -> Describer:
        return Describer(
            self._readers,
            self._sources,
            self._addresses,
            self._listings,
            self._rules,
            source_path=self._source_path,
            quick_locate=self.quick_locate,
            locate_page=self.locate_page,
            drafts_until_due=self._loaded.drafts_until_due,
        )

    def slugify(self, text: str) -> str:
        """What Pelican would make of a title."""
        return self._addresses.slug(text, "SLUG_REGEX_SUBSTITUTIONS")

    def category_slug(self, name: str) -> str:
        """The slug of a Pelican category."""
        return self._addresses.slug(name, "CATEGORY_REGEX_SUBSTITUTIONS")

    def can_be_category(self, name: str) -> bool:
        """Whether a category of this name can have pages at all."""
        return bool(self.slug_of_list("category", name))

    def tag_slug(self, name: str) -> str:
        """The slug of a tag; ``""`` where it can have no pages."""
        return self.slug_of_list("tag", name)

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages."""
        return bool(self.slug_of_list("author", name))

    def slug_of_list(self, sort: Sort, name: str) -> str:
        """The slug of a list of this name, ``""`` where it can have no pages."""
        return self._addresses.slug_of_list(sort, name)

    def render(self, text: str, suffix: str = "md") -> Rendered:
        """What the site's own reader makes of a body in the format of this suffix.

        Raises :class:`InvalidRequest` if it cannot.
        """
        return self._readers.render(text, suffix)

    def places(self, place: messages.Locate) -> tuple[tuple[Candidate, ...], Rendered]:
        """Where a post may be put, and what is made of its body.

        Raises :class:`InvalidRequest` if Pelican would not make a page of it, and says why;
        :class:`SiteBroken` if its settings let no new post have one.
        """
        file = PelicanFile.parse(place.text, place.path or "x.md")
        slug = first_slug(place.slug_from, self) if place.slug_from else file.get("Slug")
        room = self._readers.room()
        found: list[Candidate] = []
        article: Content | None = None
        whole = Rendered("")
        listed: tuple[Listed, ...] = ()
        new_path = None if place.path else self._new_paths(file, room)
        if new_path is not None:
            self._refuse_without_pages(new_path(slug or "x"))
        for wanted in _slugs(file, slug, place.first):
            named = file if wanted is None else file.with_header("Slug", wanted)
            path = new_path(wanted or "") if new_path else place.path
            location = self._without_reading(named, path, room)
            if location is None and article is None:
                named, read = self._read(named, path, is_new=new_path is not None)
                article = read.content
                location = self._addresses.location(article)
                if not found:
                    file, whole = named, read.shown
            elif location is None:
                location = self._addresses.location(self._readers.with_slug(article, named, path))
            elif not found:
                whole = self._readers.shown_by_headers(named.text(), path)
            if not found:
                # No list has another file because of the slug of a post.
                listed = self._listings.of_post(named, location, self._rules)
            reserved = location.save_as in self._reserved
            found.append(Candidate(wanted, path, location, reserved, file.is_in_yaml, listed))
        return tuple(found), whole

    def _without_reading(self, file: PelicanFile, path: str, room: Room) -> Location | None:
        """Where a post will be, if that needs no file: its headers alone decide, none of them is
        rendered, and a file can be where it is to be.
        """
        source = self._source_path(path)
        # A key without a value may be continued on the next line.
        is_rendered = any(line.value and line.key in self.formatted_fields for line in file.lines)
        if source is None or is_rendered:
            return None
        return self.quick_locate(file, path) if room.has(source) else None

    def _refuse_without_pages(self, path: str) -> None:
        """Raise :class:`SiteBroken` where the settings let no new post, in a file like this one,
        have a page: that is not for an app to change."""
        if not self.settings["ARTICLE_SAVE_AS"]:
            raise SiteBroken(
                "The site makes no pages of articles, so that a post would have no address: set"
                " ARTICLE_URL and ARTICLE_SAVE_AS in Pelican's settings."
            )
        if path.rpartition(".")[2] not in self._readers.suffixes:
            raise SiteBroken(
                f"The site reads no files like {path}, and new posts are written in Markdown: do"
                " not disable it in READERS of Pelican's settings."
            )
        if not self.is_article(path):
            raise SiteBroken(
                f"New posts would go to {path}, where the site's settings look for no articles"
                " (ARTICLE_PATHS, ARTICLE_EXCLUDES, IGNORE_FILES), or which is the folder of"
                " uploads: set [content] path in bridge.toml to a path where they do."
            )

    def locate(self, text: str, path: str) -> Location:
        """Where Pelican will put the post in the file ``path`` (relative to the repo's root).

        Raises :class:`InvalidRequest` if Pelican would not make a page of it, and says why.
        """
        return self._addresses.location(self._article(text.encode(), path).content)

    def locate_page(self, data: bytes, path: str) -> Location:
        """The same for one of the site's pages, which posts must not collide with.

        Raises :class:`InvalidRequest` for other files.
        """
        source = self._source_path(path)
        if source is None or not self._sources.is_page(source):
            raise InvalidRequest(f"{path} is not where the site's settings look for pages.")
        return self._addresses.location(self._readers.read(data, source, Page).content)

    def conflicting_lists(self, question: messages.LaterPages) -> messages.ConflictingLists:
        """The other lists with which a later page of this one would collide."""
        return self._listings.conflicting_lists(question.listing, question.posts)

    def describe(self, files: Sequence[messages.Source]) -> list[Description]:
        """What an index keeps of each file; ``None`` for what is neither a post nor a page."""
        return self._describer.describe(files)

    def absolute(self, url: str) -> str:
        """The URL of a page, from what Pelican calls its URL."""
        return self._addresses.absolute(url)

    def is_article(self, path: str) -> bool:
        """Whether Pelican looks for an article in this file (relative to the repo's root)."""
        source = self._source_path(path)
        return source is not None and self._sources.is_article(source)

    def is_reserved(self, save_as: str) -> bool:
        """Whether this output file is something else than a post: the index, a tag's page.

        No new post may go there: Pelican would abort the whole build.
        """
        return save_as in self._reserved

    def quick_locate(self, file: PelicanFile, path: str) -> Location | None:
        """The same as :meth:`locate` by formatting alone, for indexes over many posts.

        ``None`` where only Pelican can decide, or where it would make no page.
        """
        source = self._source_path(path)
        if (
            source is None
            or not self._readers.headers_decide(path)
            or not self._sources.is_article(source)
            # It says something else to a reader that knows no YAML.
            or isinstance(file.syntax, YamlSyntax)
        ):
            return None
        found = self._quick.locate(file, source)
        if found is None:
            return None
        return Location(self.absolute(found[0]), *found[1:])

    def _new_paths(self, file: PelicanFile, room: Room) -> Callable[[str], str]:
        """The path of a new post, for each slug.

        A category may be called like the folder of uploads or of pages, where no post is read, and
        a slug like a date that does not exist, or whatever else the site's settings look for in
        the names of files (``FILENAME_METADATA``, ``PATH_METADATA``), or like a folder that is
        there: then the folder or the file, which no reader ever sees, has another name.
        """
        published = keys.date_of(file, "Date", self._rules)
        if published is None:
            raise InvalidRequest("This post has no date.")
        category = self.category_slug(file.get("Category") or "")
        moment, stated = published, {*file.keys(), "slug"}

        def filled(slug: str, folder: str) -> str:
            return self._template.path(slug=slug, category=folder, published=moment)

        def meant(path: str) -> dict[str, Any] | None:
            """What this name says that the file itself does not; ``None`` if it cannot be read."""
            found = self._readers.metadata_in_name(path)
            return None if found is None else {key: found[key] for key in found.keys() - stated}

        usual = meant(filled("post", "posts"))

        def paths(slug: str) -> Iterator[str]:
            return (filled(name, folder) for name, folder in _names(slug, category))

        @cache
        def path(slug: str) -> str:
            readable = ""
            for each in paths(slug):
                found = meant(each) if self._may_be_new(each, room) else None
                if found is not None and found == usual:
                    return each
                if found is not None:
                    readable = readable or each
            return readable or next(filter(self.is_article, paths(slug)), filled(slug, category))

        return path

    def _may_be_new(self, path: str, room: Room) -> bool:
        """Whether Pelican would look for an article in a file that could be made here."""
        source = self._source_path(path)
        return source is not None and self._sources.is_article(source) and room.has(source)

    def _read(self, file: PelicanFile, path: str, *, is_new: bool) -> tuple[PelicanFile, FileRead]:
        """Read a post; a new one in YAML, if the site's own reader needs that.

        Raises :class:`InvalidRequest` if it cannot be read, :class:`SiteBroken` if not even the
        plainest post can: an app can do nothing about a plugin that fails.
        """
        try:
            return file, self._article(file.text().encode(), path)
        except InvalidRequest:
            if not is_new or file.is_in_yaml or not self._plainest(path).is_in_yaml:
                raise
        file = file.in_yaml()
        return file, self._article(file.text().encode(), path)

    def _plainest(self, path: str) -> PelicanFile:
        """A post of a word, in a form that the site reads. Raises :class:`SiteBroken`."""
        errors: list[InvalidRequest] = []
        for file in (_PLAINEST, _PLAINEST.in_yaml()):
            try:
                self._article(file.text().encode(), path)
            except InvalidRequest as error:
                errors.append(error)
            else:
                return file
        # A reader that needs YAML says so first, and then what keeps it from reading that.
        said = " ".join(dict.fromkeys(error.description for error in errors))
        raise SiteBroken(
            f"No new post can be read in {path}: {said} Check whether a"
            " plugin or a reader of the site fails, or needs another file name"
            " ([content] path in bridge.toml)."
        ) from errors[0]

    def _article(self, data: bytes, path: str) -> FileRead:
        source = self._source_path(path)
        if source is None or not self._sources.is_article(source):
            raise InvalidRequest(
                f"{path} is not where the site's settings look for articles "
                "(ARTICLE_PATHS, ARTICLE_EXCLUDES, IGNORE_FILES), or is in the folder of uploads."
            )
        return self._readers.read(data, source, Article)

    def _source_path(self, path: str) -> str | None:
        """The path below the content folder, as Pelican names it; ``None`` outside."""
        prefix = f"{self.content_folder}/" if self.content_folder else ""
        return path[len(prefix) :] if path.startswith(prefix) else None


def _slugs(file: PelicanFile, slug: str | None, first: int) -> Sequence[str | None]:
    """The slugs to try, from number ``first`` on. A post written by hand may leave its slug to
    Pelican: then there is one place for it."""
    if not slug:
        return [None]
    stamp = re.sub(r"\D", "", file.get("Date") or "")[:14]
    number = _AT_FIRST if first == 1 else _CANDIDATES
    return [*islice(candidates(slug, stamp), first - 1, first - 1 + number)]


def _names(slug: str, category: str) -> Iterator[tuple[str, str]]:
    """The names of a new post's file and folder, from the usual ones on."""
    for folder in (category, f"{category}-posts", f"posts-{category}"):
        for name in (slug, f"post-{slug}", f"{slug}-post", _in_letters(slug)):
            yield name, folder


def _in_letters(slug: str) -> str:
    """A name for the same slug in which nothing looks like a number or a part."""
    return "post" + slug.translate(_LETTERS)
