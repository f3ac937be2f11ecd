"""Converts Pelican articles to :class:`~pelican_indieauth.entry.entry.Entry`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from pelican_indieauth.entry import facts, mf2, places
from pelican_indieauth.entry.copies import ScaledCopies, Sizes
from pelican_indieauth.entry.entry import (
    AttachedFile,
    Cite,
    Entry,
    Person,
    Place,
    Subject,
    without_scheme,
)
from pelican_indieauth.entry.facts import FactReader
from pelican_indieauth.entry.kinds import BY_PRESENCE, BY_URL, ROOTS, RSVP, THING
from pelican_indieauth.entry.mf2 import Mf2, plain
from pelican_indieauth.entry.text import stripped
from pelican_indieauth.entry.urls import Urls

#: Post types by the field of an entry. Only valid URLs and RSVPs count.
_KINDS_AS_READ = {"rsvp": "rsvp"} | {name.replace("-", "_"): kind for name, kind in BY_URL.items()}
#: Root classes of a review's subject. An h-card, h-app or h-feed would describe the page itself.
_ITEMS = frozenset(
    {"h-item", "h-product", "h-event", "h-recipe", "h-adr", "h-geo", "h-listing", "h-cite"}
)
_NOTHING = Mf2()


@dataclass(frozen=True, slots=True)
class _PostContext:
    """What reading a property needs besides its values."""

    references: Mapping[str, Any]
    body: str
    facts: FactReader


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the articles of one site. ``owner`` is the site's author."""

    urls: Urls
    copies: ScaledCopies
    owner: Person | None

    def entry(self, article: Any) -> Entry:
        """The entry of an article. Without an ``Mf2`` line it has only Pelican's metadata."""
        post = mf2.read(article)
        if post is None:
            name = stripped(article.title)
            return Entry("article", self.urls.site(article.url), name=name, **self._common(article))
        titled = not mf2.is_made_up(article.title, post)
        type_ = post.type
        read = self._properties(post, article)
        # "If the post has an h-event root class, it is an event"; likewise for other classes but
        # h-entry.
        kind = ROOTS.get(type_) or (
            _kind(read, post.properties) if type_ in {"h-entry", ""} else None
        )
        common = self._common(article)
        return Entry(
            kind or ("article" if titled else "note"),
            self.urls.site(article.url),
            type_ if type_ in ROOTS else "h-entry",
            titled,
            name=stripped(article.title) if titled else "",
            aliases=tuple(filter(None, map(plain, mf2.listed(post.whole.get("aliases"))))),
            # An author in Pelican's metadata was set by the owner and excludes others.
            guests=self._guests(post) if common["author"] == self.owner else (),
            **common,
            **read,
        )

    def _common(self, article: Any) -> dict[str, Any]:
        """The fields from Pelican's metadata."""
        summary = article.metadata.get("summary")
        return {
            "author": self._author(article),
            "published": getattr(article, "date", None),
            "updated": getattr(article, "modified", None),
            "summary": stripped(summary) if summary else None,
            "categories": tuple([stripped(tag.name) for tag in getattr(article, "tags", ())]),
            "bodiless": not (article._content or "").strip(),
        }

    def _author(self, article: Any) -> Person | None:
        """The site's owner, unless the post names someone else."""
        author = getattr(article, "author", None)
        if author is None:
            return self.owner
        name = stripped(author.name)
        if self.owner and name == self.owner.name:
            return self.owner
        return Person(name, self.urls.site(author.url) if author.save_as else None)

    def _guests(self, post: Mf2) -> tuple[Person, ...]:
        """Further authors that an app named.

        The post's author remains the site's: an app must not be able to change that.
        """
        found: dict[str, Person] = {}
        for value in post.all("author"):
            card = Mf2.of(value) or (Mf2(value) if isinstance(value, dict) else None)
            said = card.text("name") if card else plain(value)
            written = self.urls.web(mf2.value_of(card.first("url")) if card else said)
            name = without_scheme(written) if written and (not card or not said) else said
            url = self.urls.elsewhere(written)
            owners = (written and not url) or (self.owner and name == self.owner.name)
            if name and not owners:
                found.setdefault(name, Person(name, url))
        return tuple(found.values())

    def _properties(self, post: Mf2, article: Any) -> dict[str, Any]:
        """The fields from the ``Mf2`` line; properties without a field become ``facts``."""
        references = post.whole.get("references")
        context = _PostContext(
            references if isinstance(references, dict) else {},
            article._content or "",
            FactReader(self.urls, getattr(article, "timezone", None)),
        )
        read: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, values in post.properties.items():
            if name in _READERS:
                read[_FIELDS[name]] = _READERS[name](self, mf2.listed(values), context)
            elif name not in facts.WITH_A_FIELD and facts.name_of(name) not in facts.THE_SITES:
                others[name] = values
        here, there = read.get("location"), read.get("checkin")
        if here and there and here.is_implied_by(there):
            read["location"] = replace(here, repeated=True)
        if documents := _sort_by_extension(read):
            others["file"] = [*mf2.listed(others.get("file")), *documents]
        if post.type not in {"h-entry", ""}:
            others |= self._website(post)
        others |= _leftover_values(read, post)
        tags = {str(tag) for tag in getattr(article, "tags", ())}
        people = [
            value
            for value in post.all("category")
            if isinstance(value, dict)
            or ("://" in str(value) and self.urls.web(value) and value not in tags)
        ]
        others |= {"category": people} if people else {}
        if others:
            cited = ((name, self._cites(mf2.listed(v), context)) for name, v in _of(others))
            read["cited"] = tuple([(name, cites) for name, cites in cited if cites])
            shown = {name: v for name, v in others.items() if name not in dict(read["cited"])}
            read["facts"] = context.facts.of_post(shown)
        return read

    def _website(self, post: Mf2) -> dict[str, Any]:
        """The website of an event or product. (``url`` is the entry's own.)"""
        url = self.urls.elsewhere(self.urls.web(post.first("url")))
        return {facts.WEBSITE: [url]} if url else {}

    def _cites(self, values: list[Any], context: _PostContext) -> tuple[Cite, ...]:
        found = [self._cite(value, context) for value in values]
        return tuple([cite for cite in found if cite])

    def _cite(self, value: Any, context: _PostContext) -> Cite | None:
        """A citation from a URL or h-cite, completed from the post's references.

        Something without a web URL, such as a book, is identified by its name, or by what was sent.
        """
        cite = Mf2.of(value)
        address = cite.first("url") if cite else mf2.value_of(value)
        url = self.urls.web(address)
        if url is None:
            return self._unaddressed(cite, value, context)
        noted = Mf2.of(context.references.get(address))
        if cite is None and noted is None:
            return Cite(url)
        cite, noted = cite or _NOTHING, noted or _NOTHING
        author = cite.first("author") or noted.first("author")
        card = Mf2.of(author) or _NOTHING
        photo = self.urls.web(mf2.value_of(cite.first("photo")))
        type_, further = context.facts.of_thing(cite)
        return Cite(
            url,
            name=cite.text("name") or noted.text("name"),
            author=plain(author),
            author_url=self.urls.elsewhere(self.urls.web(card.first("url"))),
            excerpt=mf2.excerpt(cite.first("content") or noted.first("content")),
            # A photo found on a fetched page is not the post's own.
            photo=photo,
            type=type_,
            facts=further,
            pictured=self.urls.is_file(photo),
        )

    def _unaddressed(self, cite: Mf2 | None, value: Any, context: _PostContext) -> Cite | None:
        """A cited thing without a URL; ``None`` where nothing is known of it."""
        if cite is None:
            words = plain(value)
            return Cite(None, name=words) if words else None
        author = plain(cite.first("author"))
        card = Mf2.of(cite.first("author")) or _NOTHING
        website = self.urls.elsewhere(self.urls.web(card.first("url")))
        uid = plain(cite.first("uid"))
        excerpt = mf2.excerpt(cite.first("content") or cite.first("summary"))
        name = cite.text("name") or (None if excerpt else uid or author or plain(cite.first("url")))
        photo = self.urls.web(mf2.value_of(cite.first("photo")))
        known = name or excerpt
        if not known:
            return None
        type_, further = context.facts.of_thing(cite)
        return Cite(
            None,
            name,
            author,
            author_url=website,
            excerpt=excerpt,
            uid=uid,
            photo=photo,
            type=type_,
            facts=further,
            pictured=self.urls.is_file(photo),
        )

    def _files(self, values: list[Any], context: _PostContext) -> tuple[AttachedFile, ...]:
        found = [self._media(value, context.body) for value in values]
        return tuple([media for media in found if media])

    def _media(self, value: Any, body: str) -> AttachedFile | None:
        """A media file from ``"url"``, ``{"value", "alt"}`` and more, or an object of
        microformats2 with a URL.
        """
        known = value if isinstance(value, dict) else {"value": value}
        if (nested := Mf2.of(value)) is not None:
            address = mf2.value_of(nested.first("value") or nested.first("url"))
            known = {name: nested.text(name) for name in ("alt", *_CAPTIONS)}
            known |= {"value": address, "poster": nested.first("photo")}
        value = known.get("value")
        # A browser reads a blank inside of an address as %20.
        url = self.urls.web(value.strip().replace(" ", "%20") if isinstance(value, str) else None)
        if url is None:
            return None
        caption = _caption(known)
        alternative = plain(known.get("alt")) or (caption if nested else "")
        # The body links to the site's own files by path, with various prefixes.
        shown = url.removeprefix(self.urls.root) in body
        if shown and caption and " ".join(caption.split()) in _words(body):
            caption = ""
        sizes = self.copies.of(self.urls.own(known.get("value")))
        return AttachedFile(
            url,
            alt=alternative,
            width=sizes.width if sizes else _pixels(known.get("width")),
            height=sizes.height if sizes else _pixels(known.get("height")),
            srcset=self._srcset(url, sizes) if sizes else self.urls.srcset(known.get("srcset")),
            shown=shown,
            poster=self.urls.web(mf2.value_of(known.get("poster"))),
            caption=caption,
        )

    def _srcset(self, url: str, sizes: Sizes) -> str:
        smaller = [
            f"{self.urls.web(f'{{static}}/{path}')} {width}w" for width, path in sizes.copies
        ]
        return ", ".join([*smaller, f"{url} {sizes.width}w"])

    def _item(self, values: list[Any], context: _PostContext) -> Subject | None:
        """The subject of a review: from an object, a URL or a name."""
        value = values[0] if values else None
        item = Mf2.of(value)
        if item is None:
            text = plain(value)
            return Subject(name=text, url=self.urls.web(text)) if text else None
        photo = self.urls.web(mf2.value_of(item.first("photo")))
        return Subject(
            item.type if item.type in _ITEMS else "h-item",
            name=item.text("name"),
            url=self.urls.web(item.first("url")),
            photo=photo,
            pictured=self.urls.is_file(photo),
            facts=context.facts.of_subject(item),
        )

    def _syndication(self, values: list[Any], _: _PostContext) -> tuple[str, ...]:
        cites = ((Mf2.of(value), value) for value in values)
        urls = (cite.first("url") if cite else mf2.value_of(value) for cite, value in cites)
        return tuple(filter(None, map(self.urls.web, urls)))

    def _place(self, values: list[Any], _: _PostContext) -> Place | None:
        place = places.place(values[0], self.urls) if values else None
        if place is None or place.url is None:
            return place
        return replace(place, url=self.urls.elsewhere(place.url))

    def _text(self, values: list[Any], _: _PostContext) -> str | None:
        return plain(values[0]) if values else None

    def _status(self, values: list[Any], context: _PostContext) -> str | None:
        status = self._text(values, context)
        return status.lower() if status else None

    def _moment(self, values: list[Any], context: _PostContext) -> date | datetime | None:
        return mf2.moment(values[0], context.facts.zone) if values else None

    def _flag(self, values: list[Any], _: _PostContext) -> bool:
        # In JSON it may be true or 1.
        said = str(mf2.value_of(values[0])) if values else ""
        return said.strip().lower() in {"true", "1", "yes"}

    def _answer(self, values: list[Any], context: _PostContext) -> str | None:
        answer = (self._text(values, context) or "").lower()
        return answer if answer in RSVP else None


#: The method that reads each property.
_READERS: Mapping[str, Callable[[Reader, list[Any], _PostContext], Any]] = {
    **dict.fromkeys(("in-reply-to", "like-of", "repost-of", "bookmark-of"), Reader._cites),
    **dict.fromkeys(("read-of", "watch-of", "listen-of"), Reader._cites),
    **dict.fromkeys(("photo", "video", "audio", "featured"), Reader._files),
    **dict.fromkeys(("rating", "best"), Reader._text),
    "read-status": Reader._status,
    **dict.fromkeys(("checkin", "location"), Reader._place),
    **dict.fromkeys(("start", "end"), Reader._moment),
    "rsvp": Reader._answer,
    "sensitive": Reader._flag,
    "item": Reader._item,
    "syndication": Reader._syndication,
}
#: Where apps put the caption of a file.
_CAPTIONS = ("caption", "summary", "description", "content", "name", "title")
#: Names that a disk or a camera gave a file.
_FILE_NAMES = re.compile(
    r"^\S+\.[a-z0-9]{2,5}$|^(?:IMG|DSC[NF]?|PXL|VID|MVI|GOPR|DJI)[-_ ]?\d[\w() -]*$"
    r"|\.(?:jpe?g|png|gif|webp|avif|hei[cf]|mp4|m4[av]|mov|webm|og[gav]|mp3|wav|flac)$",
    re.IGNORECASE,
)
#: The field of attached files by the extension of their names.
_BY_EXTENSION = {
    "photos": frozenset({"jpg", "jpeg", "png", "gif", "webp", "avif"}),
    "videos": frozenset({"mp4", "m4v", "mov", "webm", "ogv"}),
    "audios": frozenset({"mp3", "m4a", "wav", "flac", "weba", "opus"}),
}
#: The field of an entry for each property.
_FIELDS = {name: name.replace("-", "_") for name in _READERS} | {
    name: f"{name}s" for name in ("photo", "video", "audio")
}


def _sort_by_extension(read: dict[str, Any]) -> list[str]:
    """Move each attached file to the field that matches its extension: some apps send a video as
    ``photo``, which no browser shows in ``<img>``. Returns the URLs of PDF files, which have no
    field.

    Audio and video stay where they are: either may be in MP4, WebM or Ogg.
    """
    fields: dict[str, list[AttachedFile]] = {field: [] for field in _BY_EXTENSION}
    documents: list[str] = []
    for field in fields:
        for file in read.get(field, ()):
            extension = re.split(r"[?#]", file.url)[0].rpartition(".")[2].lower()
            said = next((f for f, known in _BY_EXTENSION.items() if extension in known), field)
            if extension == "pdf":
                documents.append(file.url)
            else:
                fields[said if "photos" in {field, said} else field].append(file)
    read |= {field: tuple(files) for field, files in fields.items() if files or field in read}
    return documents


def _kind(read: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """The post type that the properties make; invalid URLs and RSVPs do not count."""
    for name, kind in _KINDS_AS_READ.items():
        value = read.get(name)
        if any(cite.url for cite in value) if isinstance(value, tuple) else value:
            return kind
    for name, kind in BY_URL.items():
        if any(map(_is_thing, mf2.listed(properties.get(name)))):
            return kind
    return next((kind for name, kind in BY_PRESENCE.items() if properties.get(name)), None)


def _is_thing(value: Any) -> bool:
    """Whether the value cites something that is no person or place, maybe without a URL."""
    cite = Mf2.of(value)
    return bool(cite and cite.type != "h-card" and any(map(cite.properties.get, THING)))


def _of(others: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The ``*-of`` properties that have no field, such as ``jam-of`` and ``follow-of``."""
    for name, values in others.items():
        if facts.NAME.fullmatch(name) and name.endswith("-of"):
            yield name, values


def _leftover_values(read: Mapping[str, Any], post: Mf2) -> dict[str, Any]:
    """Values that fit no field, such as an unknown RSVP, a second start or place, a time
    in words, or a read status without a book.
    """
    left: dict[str, Any] = {}
    if post.all("rsvp") and not read.get("rsvp"):
        left["rsvp"] = post.all("rsvp")
    for name in ("start", "end", "checkin", "location", "item", "rating"):
        values = post.all(name)[1 if read.get(name) else 0 :]
        left |= {name: values} if values else {}
    if read.get("read_status") and not read.get("read_of"):
        left["read-status"] = post.all("read-status")
    return left


def _caption(known: Mapping[str, Any]) -> str:
    """The caption of a file: neither its alternative text nor its file name."""
    words = (plain(known.get(name)) or "" for name in _CAPTIONS)
    others = ("", plain(known.get("alt")))
    return next((each for each in words if each not in others and not _FILE_NAMES.search(each)), "")


@lru_cache(maxsize=1)  # A body may have many files with captions.
def _words(html: str) -> str:
    """The words of HTML on one line."""
    return " ".join((plain({"html": html}) or "").split())


def _pixels(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 100_000 else None
