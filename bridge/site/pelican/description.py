"""Describes files for the index: what it stores of each post."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pelican.contents import Article, Content

from bridge.content.convert import outline, read
from bridge.content.file import Mf2Line, PelicanFile
from bridge.content.keys import date_form
from bridge.content.rules import SiteRules
from bridge.errors import BridgeError, InsufficientStorage
from bridge.micropub.post import Post, discover, is_tag, nested, unescape
from bridge.site.messages import IndexedPost, Location, ReservedPage, Source, Unread
from bridge.site.pelican.addresses.addresses import Addresses, date_of
from bridge.site.pelican.addresses.listings import Listings
from bridge.site.pelican.reading import SiteReaders
from bridge.site.pelican.sources import Sources

#: Number of characters of a post that a search (``filter``) covers.
_TEXT_LENGTH = 4000
_TAG = re.compile(r"<[^<>]*>")
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_LONGEST_REASON = 300
#: Batch size: more files would not fit into a processor's cache.
_TOGETHER = 100

Description = IndexedPost | ReservedPage | Unread | None


@dataclass(frozen=True, slots=True)
class Describer:
    """Describes the files of a site for an index.

    ``source_path`` gives the path of a file below the content folder, ``quick_locate`` the place of
    a post if its headers decide it, ``locate_page`` that of a page. ``drafts_until_due``: Pelican
    makes drafts of posts with a date in the future.
    """

    readers: SiteReaders
    sources: Sources
    addresses: Addresses
    listings: Listings
    rules: SiteRules
    source_path: Callable[[str], str | None]
    quick_locate: Callable[[PelicanFile, str], Location | None]
    locate_page: Callable[[bytes, str], Location]
    drafts_until_due: bool = False

    def describe(self, files: Sequence[Source]) -> list[Description]:
        """What an index keeps of each file; ``None`` for what is neither a post nor a page."""
        found: list[Description] = []
        for start in range(0, len(files), _TOGETHER):
            some = files[start : start + _TOGETHER]
            try:
                quick = self.by_headers(some)
            except Exception:  # noqa: BLE001 - each by itself then says which it is
                quick = [None] * len(some)
            found += [
                self._if_it_has_an_address(known or self._described(each))
                for known, each in zip(quick, some, strict=True)
            ]
        return found

    def _if_it_has_an_address(self, found: Description) -> Description:
        """``None`` for a post of a site without pages of articles and URLs for them: all its posts
        would be at the URL of the home page, and an app that deletes one might delete another.
        """
        if not isinstance(found, IndexedPost) or found.save_as:
            return found
        return None if found.url == self.addresses.absolute("") else found

    def by_headers(self, files: Sequence[Source]) -> list[IndexedPost | None]:
        """The posts whose headers contain all that the index stores; ``None`` for other files.

        Each step is taken for all files before the next one, which a processor does half as fast
        again as all steps for one file: it finds the same instructions in its cache.
        """
        parsed = [(n, each, self._plain_file(each)) for n, each in enumerate(files)]
        placed = [
            (n, each, file, self.quick_locate(file, each.path)) for n, each, file in parsed if file
        ]
        located = [
            (n, each, file, place)
            for n, each, file, place in placed
            if place and not self._is_draft_until_due(place)
        ]
        posts = [outline(file, self.rules) for _, _, file, _ in located]
        found: list[IndexedPost | None] = [None] * len(files)
        for (n, each, file, place), post in zip(located, posts, strict=True):
            # A date in the file can be parsed: otherwise its place would not be clear.
            by_pelican = place.date is not None and not file.get("Date")
            more = {"published": [date_form(place.date)]} if by_pelican and place.date else {}
            found[n] = self._indexed(each, file, post, place, more)
        return found

    def _plain_file(self, source: Source) -> PelicanFile | None:
        """The file, if its headers may decide everything."""
        inside = self.source_path(source.path)
        if (
            inside is None
            or not self.readers.headers_decide(source.path)
            or self.sources.is_page(inside)
        ):
            return None
        text = source.data.decode("utf-8", "replace")
        file = PelicanFile.parse(text, source.path)
        # A title that is not in the file is in its name; Pelican skips what is not UTF-8.
        return file if file.get("Title") is not None and "\ufffd" not in text else None

    def _described(self, source: Source) -> Description:
        """What the index stores of one file, read by the site's own readers."""
        path = source.path
        inside = self.source_path(path)
        if inside is None or path.rpartition(".")[2] not in self.readers.suffixes:
            return None
        try:
            if self.sources.is_page(inside):
                return ReservedPage(path, self.locate_page(source.data, path).save_as)
            if not self.sources.is_article(inside):
                return None
            return self._entry(source, inside)
        except (InsufficientStorage, MemoryError):
            raise  # another time the file can be read
        except BridgeError as error:
            return Unread(path, error.description)
        except Exception as error:  # noqa: BLE001 - plugins and posts may hold anything
            # One bad file must not hide all others from apps.
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
            return Unread(path, f"The bridge cannot tell what it is ({reason}).")

    def _entry(self, source: Source, inside: str) -> IndexedPost:
        file = PelicanFile.parse(source.data.decode("utf-8", "replace"), source.path)
        post = read(file, self.rules)
        content = self.readers.read(source.data, inside, Article).content
        if found := _found_beside(content, post, Mf2Line.of(file)):
            post = post.with_properties({name: tuple(each) for name, each in found.items()})
        place = self.addresses.location(content)
        drafted: tuple[str, ...] = ()
        if self._is_draft_until_due(place):
            # Links to the page that it has until then go on leading to the post.
            content.status = "draft"
            drafted = (self.addresses.location(content).url,)
        return self._indexed(source, file, post, place, found, drafted)

    def _is_draft_until_due(self, place: Location) -> bool:
        """Whether Pelican makes a draft of a post that is not one, until its time comes."""
        if not self.drafts_until_due or place.status == "draft" or place.date is None:
            return False
        return place.date > datetime.now(UTC)

    def _indexed(
        self,
        source: Source,
        file: PelicanFile,
        post: Post,
        place: Location,
        found: dict[str, list[str]],
        elsewhere: tuple[str, ...] = (),
    ) -> IndexedPost:
        """The entry for a post whose page is at ``place``; ``found`` are properties that are not
        in the file, ``elsewhere`` further addresses of the post.
        """
        absolute, of_page = self.addresses.absolute, self.addresses.urls_of_page
        earlier = Mf2Line.of(file).aliases
        return IndexedPost(
            path=source.path,
            blob=source.blob,
            url=place.url,
            save_as=place.save_as,
            status=place.status,
            type=discover(post),
            published=(place.date or _LONG_AGO).timestamp(),
            channel=place.category,
            categories=tuple(each for each in post.all("category") if is_tag(each)),
            aliases=(*(absolute(url) for each in earlier for url in of_page(each)), *elsewhere),
            listings=tuple(each.listing for each in self.listings.of_post(file, place, self.rules)),
            text=_searched_text(post, file),
            found=found,
        )


def _searched_text(post: Post, file: PelicanFile) -> str:
    """The text that a search for posts looks through."""
    title = post.text("name") or file.get("Title") or ""
    return f"{title}\n{_about(post)}\n{file.body[:_TEXT_LENGTH]}".casefold()


def _about(post: Post) -> str:
    """The addresses and names of what a post is about, and of the people whom it is tagged with:
    all that some posts have to be found by.
    """
    words: list[str] = []
    for name, values in post.properties.items():
        people = name == "category"
        if not people and name != "in-reply-to" and not name.endswith("-of"):
            continue
        for value in values:
            if people and is_tag(value):
                continue
            inner = nested(value)
            parts = [value] if inner is None else inner.values()
            words += [
                text
                for part in parts
                for text in (part if isinstance(part, list) else [part])
                if isinstance(text, str)
            ]
    return " ".join(words)[:_TEXT_LENGTH]


def _found_beside(content: Content, post: Post, mf2: Mf2Line) -> dict[str, list[str]]:
    """The properties of a post that Pelican knows and its headers lack."""
    found: dict[str, list[str]] = {}
    title = _TAG.sub("", unescape(str(getattr(content, "title", ""))))
    if title and "name" not in post.properties and not mf2.synthetic_title:
        found["name"] = [title]
    date = date_of(content)
    if date and "published" not in post.properties:
        found["published"] = [date_form(date)]
    tags = [str(tag) for tag in getattr(content, "tags", None) or ()]
    if tags and "category" not in post.properties:
        found["category"] = tags
    return found
