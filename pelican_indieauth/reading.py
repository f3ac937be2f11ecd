"""From an article of Pelican's to an :class:`~pelican_indieauth.entries.Entry`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pelican_indieauth import mf2
from pelican_indieauth.entries import Cite, Entry, Item, Media, Person, Place
from pelican_indieauth.mf2 import Mf2, plain
from pelican_indieauth.text import stripped
from pelican_indieauth.urls import Urls

T = TypeVar("T")

#: Post type discovery: the first property that is there names the kind.
_KINDS = {
    "rsvp": "rsvp",
    "in-reply-to": "reply",
    "repost-of": "repost",
    "like-of": "like",
    "bookmark-of": "bookmark",
    "checkin": "checkin",
    "read-of": "read",
    "watch-of": "watch",
    "listen-of": "listen",
    "video": "video",
    "audio": "audio",
    "photo": "photo",
}
_ROOTS = {"h-event": "event", "h-review": "review"}
_RSVP = frozenset({"yes", "no", "maybe", "interested"})
_NUMBER = re.compile(r"[-+]?\d{1,4}(\.\d{1,12})?")
_GEO = re.compile(r"geo:(?P<lat>[-+.\d]+),(?P<lon>[-+.\d]+)")
_SRCSET = re.compile(r"(?P<url>\S+)(?P<size>\s+\d+(?:\.\d+)?[wx])?")
_NOTHING = Mf2()


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the articles of one site. ``owner`` is the person behind it."""

    urls: Urls
    owner: Person | None

    def entry(self, article: Any) -> Entry:
        """The whole post. An article without an ``Mf2`` line has only what Pelican's keys say."""
        post = mf2.read(article)
        common = self._common(article, synthetic=_synthetic(post))
        if post is None:
            return Entry(kind="article", **common)
        references = post.commands.get("references")
        known = references if isinstance(references, dict) else {}
        return Entry(
            kind=_kind(post),
            type=post.type if post.type in _ROOTS else "h-entry",
            **common,
            **self._targets(post, known),
            **self._files(post, article._content or ""),
            **self._details(post),
        )

    def _common(self, article: Any, *, synthetic: bool) -> dict[str, Any]:
        """What Pelican's own keys hold, for every post alike."""
        summary = article.metadata.get("summary")
        return {
            "url": self.urls.site(article.url),
            "titled": not synthetic,
            "name": "" if synthetic else stripped(article.title),
            "author": self._author(article),
            "published": getattr(article, "date", None),
            "updated": getattr(article, "modified", None),
            "summary": stripped(summary) if summary else None,
            "categories": tuple(stripped(str(tag)) for tag in getattr(article, "tags", ())),
        }

    def _targets(self, post: Mf2, known: dict[str, Any]) -> dict[str, Any]:
        """The pages that the post speaks about (h-cite)."""
        names = (
            *("in-reply-to", "like-of", "repost-of", "bookmark-of"),
            *("read-of", "watch-of", "listen-of"),
        )
        return {
            name.replace("-", "_"): _each(post.all(name), lambda value: self._cite(value, known))
            for name in names
            if name in post.properties
        }

    def _files(self, post: Mf2, body: str) -> dict[str, Any]:
        """Photos, videos and sounds."""
        return {
            f"{name}s": _each(post.all(name), lambda value: self._media(value, body))
            for name in ("photo", "video", "audio")
            if name in post.properties
        }

    def _details(self, post: Mf2) -> dict[str, Any]:
        """Everything else."""
        rsvp = (post.text("rsvp") or "").lower()
        aliases = post.commands.get("aliases")
        return {
            "rsvp": rsvp if rsvp in _RSVP else None,
            "read_status": post.text("read-status"),
            "checkin": self._place(post.first("checkin")),
            "location": self._place(post.first("location")),
            "start": mf2.moment(post.first("start")),
            "end": mf2.moment(post.first("end")),
            "item": self._item(post.first("item")),
            "rating": post.text("rating"),
            "best": post.text("best"),
            "syndication": _each(post.all("syndication"), self.urls.web),
            "aliases": _each(aliases if isinstance(aliases, list) else [], plain),
        }

    def _author(self, article: Any) -> Person | None:
        """The site's owner, unless the post names somebody else."""
        author = getattr(article, "author", None)
        if author is None:
            return self.owner
        name = stripped(str(author))
        if self.owner and name == self.owner.name:
            return self.owner
        return Person(name, self.urls.site(author.url) if author.save_as else None)

    def _cite(self, value: Any, known: dict[str, Any]) -> Cite | None:
        """A URL, or an h-cite that stands in its place; what is missing comes from ``known``."""
        cite = Mf2.of(value) or _NOTHING
        address = value if isinstance(value, str) else cite.first("url") or _value(value)
        url = self.urls.web(address)
        if url is None:
            return None
        noted = Mf2.of(known.get(address)) or _NOTHING
        author = cite.first("author") or noted.first("author")
        card = Mf2.of(author) or _NOTHING
        return Cite(
            url,
            name=cite.text("name") or noted.text("name"),
            author=plain(author),
            author_url=self.urls.web(card.first("url")),
            excerpt=mf2.excerpt(cite.first("content") or noted.first("content")),
        )

    def _media(self, value: Any, body: str = "") -> Media | None:
        """``"url"``, or ``{"value", "alt"}`` with what else is known of the file."""
        known = value if isinstance(value, dict) else {"value": value}
        url = self.urls.web(known.get("value"))
        if url is None:
            return None
        return Media(
            url,
            alt=plain(known.get("alt")) or "",
            width=_pixels(known.get("width")),
            height=_pixels(known.get("height")),
            srcset=self._srcset(known.get("srcset")),
            # The body names the site's own files by their path, whatever stands before it.
            shown=url.removeprefix(self.urls.root) in body,
        )

    def _srcset(self, value: Any) -> str | None:
        """A list of candidates, each of its URLs checked; ``None`` when one is not in order."""
        if not isinstance(value, str):
            return None
        candidates = [_SRCSET.fullmatch(part.strip()) for part in value.split(", ")]
        checked = [self.urls.web(match["url"]) if match else None for match in candidates]
        if not all(checked):
            return None
        sizes = [match["size"] or "" for match in candidates if match]
        return ", ".join(f"{url}{size}" for url, size in zip(checked, sizes, strict=True))

    def _place(self, value: Any) -> Place | None:
        """An h-card, h-adr or h-geo, a ``geo:`` address, a URL, or just words."""
        place = Mf2.of(value)
        if place is None:
            return self._written_place(plain(value))
        point = Mf2.of(place.first("geo")) or place
        address = Mf2.of(place.first("adr")) or place
        found = Place(
            name=place.text("name"),
            url=self.urls.any(place.first("url")),
            latitude=_number(point.text("latitude")),
            longitude=_number(point.text("longitude")),
            street_address=address.text("street-address"),
            locality=address.text("locality"),
            region=address.text("region"),
            country=address.text("country-name"),
        )
        return found if found != Place() else None

    def _written_place(self, text: str | None) -> Place | None:
        if not text:
            return None
        point = _GEO.match(text)
        if point:
            latitude, longitude = _number(point["lat"]), _number(point["lon"])
            return Place(latitude=latitude, longitude=longitude) if latitude else None
        url = self.urls.web(text)
        return Place(name=text, url=url)

    def _item(self, value: Any) -> Item | None:
        """What a review is about: an object, or its address or name."""
        item = Mf2.of(value)
        if item is None:
            text = plain(value)
            return Item(name=text, url=self.urls.web(text)) if text else None
        photo = self._media(item.first("photo"))
        return Item(
            item.type or "h-item",
            name=item.text("name"),
            url=self.urls.web(item.first("url")),
            photo=photo.url if photo else None,
        )


def _kind(post: Mf2) -> str:
    if post.type in _ROOTS:
        return _ROOTS[post.type]
    found = next((kind for name, kind in _KINDS.items() if post.all(name)), None)
    return found or ("note" if _synthetic(post) else "article")


def _synthetic(post: Mf2 | None) -> bool:
    """Whether the Title was made up, because Pelican needs one and the post has none."""
    return post is not None and post.commands.get("title") == "synthetic"


def _each(values: Iterable[Any], read: Callable[[Any], T | None]) -> tuple[T, ...]:
    return tuple(found for found in map(read, values) if found is not None)


def _value(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else value


def _number(text: str | None) -> str | None:
    """A coordinate, kept as it was written."""
    return text if text and _NUMBER.fullmatch(text) else None


def _pixels(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 100_000 else None
