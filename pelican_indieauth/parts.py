"""The HTML of an entry, part by part: what the macros print, and what goes around a post's body.

Every value passes through :func:`html.escape`, and no other HTML comes in. These are plain
functions and no template, as a build calls them for every post (``benchmarks/plugin.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape as e

from pelican_indieauth.entries import Cite, Entry, Media, Person, Place

#: A phone's photo is wider than any page, and not every theme thinks of that.
_NOT_WIDER = 'style="max-width: 100%"'
_FITTING = 'style="max-width: 100%; height: auto"'
#: Kinds of posts that speak about nothing else (post type discovery looks for targets first).
_ALONE = frozenset({"note", "article", "photo", "video", "audio"})
_TARGETS = (
    ("like_of", "like-of"),
    ("repost_of", "repost-of"),
    ("bookmark_of", "bookmark-of"),
    ("watch_of", "watch-of"),
    ("listen_of", "listen-of"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """An entry's HTML, without the element around it. ``words`` are in the site's language."""

    entry: Entry
    words: Mapping[str, str]

    def opening(self) -> str:
        """How a whole entry begins: root class, and what machines read of every post.

        An event or a review is an entry besides, for readers that know nothing else.
        """
        classes = "h-entry" if self.entry.type == "h-entry" else f"h-entry {self.entry.type}"
        return f'<div class="{classes}">{self.facts()}{self.author()}{self.categories()}'

    def facts(self) -> str:
        """Address, dates, name where there is one, summary: for machines."""
        entry = self.entry
        found = _data("u-url u-uid", entry.url)
        if entry.name:
            found += _data("p-name", entry.name)
        if entry.published:
            found += _data("dt-published", entry.published.isoformat())
        if entry.updated:
            found += _data("dt-updated", entry.updated.isoformat())
        if entry.summary:
            found += _data("p-summary", entry.summary)
        return found

    def author(self, *, visible: bool = False) -> str:
        """Who wrote it (p-author), for machines alone or for people too."""
        person = self.entry.author
        if person is None:
            return ""
        return _visible_author(person) if visible else _author(person)

    def categories(self) -> str:
        """The tags, for machines (p-category)."""
        return "".join(map(_category, self.entry.categories))

    def context(self) -> str:
        """Why the post was written: what it replies to, likes, reposts, attends, reads, reviews."""
        entry, words = self.entry, self.words
        if entry.kind in _ALONE and not entry.rating:
            return ""
        answer = _data("p-rsvp", entry.rsvp) if entry.rsvp else ""
        word = words[f"rsvp-{entry.rsvp}" if entry.rsvp else "in-reply-to"]
        found = [_cited(cite, "in-reply-to", word, self, answer) for cite in entry.in_reply_to]
        if entry.rsvp and not found:
            found.append(_sentence(f"{e(words['rsvp'])}: {e(entry.rsvp)}{answer}"))
        for field, name in _TARGETS:
            found += [_cited(cite, name, words[name], self) for cite in getattr(entry, field)]
        if entry.read_of:
            status = entry.read_status or ""
            marked = _data("p-read-status", status) if status else ""
            word = words.get(status, words["read-of"])
            found += [_cited(cite, "read-of", word, self, marked) for cite in entry.read_of]
        return "".join((*found, self._review(), self._schedule()))

    def media(self) -> str:
        """Photos with their alternative texts, videos, sounds."""
        entry = self.entry
        if not (entry.photos or entry.videos or entry.audios):
            return ""
        return "".join(
            (
                *map(_photo, entry.photos),
                *(_played("video", video) for video in entry.videos),
                *(_played("audio", audio) for audio in entry.audios),
            )
        )

    def place(self) -> str:
        """The place that it checks in at (u-checkin), and where it was written (p-location)."""
        found = ""
        if self.entry.checkin:
            word = e(self.words["checkin"])
            found += _sentence(f"{word} {_placed(self.entry.checkin, 'u-checkin h-card')}", "place")
        location = self.entry.location
        if location:
            root = "h-card" if location.name else "h-adr" if location.address else "h-geo"
            found += _sentence(_placed(location, f"p-location {root}"), "place")
        return found

    def syndication(self) -> str:
        """Copies of the post elsewhere (u-syndication)."""
        if not self.entry.syndication:
            return ""
        links = [
            f'<a class="u-syndication" rel="syndication" href="{e(url)}">'
            f"{e(url.partition('://')[2].partition('/')[0])}</a>"
            for url in self.entry.syndication
        ]
        word = e(self.words["syndication"])
        return _sentence(f"{word} {', '.join(links)}", "syndication")

    def _review(self) -> str:
        entry, words, found = self.entry, self.words, ""
        if entry.item:
            item = entry.item
            photo = _data("u-photo", item.photo) if item.photo else ""
            link = _named(item.name or item.url or "", item.url)
            subject = f'<span class="p-item {e(item.type)}">{link}{photo}</span>'
            found += _sentence(f"{e(words['item'])} {subject}")
        if entry.rating:
            best = f'<span class="p-best">{e(entry.best)}</span>' if entry.best else ""
            of = f" {e(words['best'])} {best}" if best else ""
            rating = f'<span class="p-rating">{e(entry.rating)}</span>'
            found += _sentence(f"{e(words['rating'])}: {rating}{of}")
        return found

    def _schedule(self) -> str:
        times = [
            f'<time class="{name}" datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M}</time>'
            for name, moment in (("dt-start", self.entry.start), ("dt-end", self.entry.end))
            if moment
        ]
        return _sentence(" – ".join(times)) if times else ""


def _data(name: str, value: str) -> str:
    """A property for machines: an element that shows nothing, with or without a style sheet."""
    return f'<data class="{name}" value="{e(value)}"></data>'


def _sentence(html: str, name: str = "context") -> str:
    """A paragraph. Where a theme strips the tags, the end of its line keeps words apart."""
    return f'<p class="indieauth-{name}">{html}</p>\n'


def _named(name: str, url: str | None) -> str:
    """A name, as a link where there is one to follow."""
    if url is None:
        return f'<span class="p-name">{e(name)}</span>'
    return f'<a class="p-name u-url" href="{e(url)}">{e(name)}</a>'


def _cited(cite: Cite, name: str, word: str, parts: Parts, before: str = "") -> str:
    """A page that the post speaks about: a link, or an h-cite where more is known of it."""
    link = f'href="{e(cite.url)}">{e(cite.label)}</a>'
    if not (cite.name or cite.author or cite.excerpt):
        return _sentence(f'{before}{e(word)} <a class="u-{name}" {link}')
    author = quoted = ""
    if cite.author:
        card = f'<span class="p-author h-card">{_named(cite.author, cite.author_url)}</span>'
        author = f" {e(parts.words['author'])} {card}"
    if cite.excerpt:
        quoted = f'<blockquote class="p-content">{e(cite.excerpt)}</blockquote>'
    classes = "u-url p-name" if cite.name else "u-url"
    return (
        f'<div class="indieauth-context">{before}<div class="u-{name} h-cite">'
        f'<p>{e(word)} <a class="{classes}" {link}{author}</p>\n{quoted}</div></div>\n'
    )


def _photo(photo: Media) -> str:
    """A photo; hidden where the body shows it already, as its alternative text belongs here too."""
    size = ""
    if photo.srcset:
        size += f' srcset="{e(photo.srcset)}"'
    if photo.width and photo.height:
        size += f' width="{photo.width}" height="{photo.height}"'
    words = f'alt="{e(photo.alt)}" loading="lazy" {_FITTING}{size}'
    image = f'<img class="u-photo" src="{e(photo.url)}" {words}>'
    return f'<p class="indieauth-media"{" hidden" if photo.shown else ""}>{image}</p>\n'


def _played(kind: str, media: Media) -> str:
    """A video or a sound."""
    if media.shown:
        return _data(f"u-{kind}", media.url)
    # A player of sounds has no height of its own that a browser could find.
    style = _FITTING if kind == "video" else _NOT_WIDER
    return _sentence(
        f'<{kind} class="u-{kind}" src="{e(media.url)}" controls preload="metadata" {style}>'
        f"</{kind}>",
        "media",
    )


def _placed(place: Place, classes: str) -> str:
    """A place, with as much of it as is known."""
    shown = []
    if place.name:
        shown.append(_named(place.name, place.url))
    elif place.url:
        shown.append(f'<a class="u-url" href="{e(place.url)}">{e(place.url)}</a>')
    shown += [f'<span class="p-{name}">{e(text)}</span>' for name, text in place.address]
    point = ""
    if place.geo and place.latitude and place.longitude:
        if not shown:
            words = e(f"{place.latitude}, {place.longitude}")
            shown.append(f'<a href="{e(place.geo)}">{words}</a>')
        point = _data("p-latitude", place.latitude) + _data("p-longitude", place.longitude)
    return f'<span class="{classes}">{", ".join(shown)}{point}</span>'


@lru_cache(maxsize=1024)
def _category(name: str) -> str:
    return _data("p-category", name)


@lru_cache(maxsize=64)
def _author(person: Person) -> str:
    values = (("p-name", person.name), ("u-url", person.url), ("u-photo", person.photo))
    data = "".join(_data(name, value) for name, value in values if value)
    return f'<span class="p-author h-card">{data}</span>'


def _visible_author(person: Person) -> str:
    photo = ""
    if person.photo:
        photo = f'<img class="u-photo" src="{e(person.photo)}" alt="" width="48" height="48"> '
    return f'<span class="p-author h-card">{photo}{_named(person.name, person.url)}</span>'
