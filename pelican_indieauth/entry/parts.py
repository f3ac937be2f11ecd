"""The HTML of an entry's parts, for the macros and for wrapping a post's content.

All values are escaped with :func:`html.escape`; no HTML of others is included. These are functions
and not templates, since every build calls them for every post (``benchmarks/plugin.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from html import escape as e

from pelican.utils import strftime

from pelican_indieauth.entry.elements import (
    FITTING,
    SHOWN,
    anchor,
    class_attribute,
    hidden,
    invisible,
    linked_name,
    paragraph,
    placed,
    timed,
    with_breaks,
)
from pelican_indieauth.entry.entry import (
    AttachedFile,
    Cite,
    Entry,
    Fact,
    Person,
    Subject,
    Value,
    without_scheme,
)
from pelican_indieauth.entry.facts import NAME
from pelican_indieauth.entry.text import on_a_line

#: Phone photos are wider than pages, and not every theme limits their width.
_NOT_WIDER = 'style="max-width: 100%"'
#: Notmyidea hides pictures in lists, where a post of a photo alone would be empty.
SHOWN_IN_TEXT = 'style="display: inline-block; max-width: 100%; height: auto"'
#: Properties that need no label.
_ADDRESS = frozenset(
    {"street-address", "extended-address", "locality", "region", "postal-code", "country-name"}
)
#: Properties of an object that need no colon behind their word, or no word: "by Ann, Well said."
_WORDED = frozenset({"author"})
_WORDLESS = _ADDRESS | {"content"}
#: An object with more values is for machines, such as what a film service knows of a film.
_MOST_VALUES = 15
_TARGETS = (
    ("like_of", "like-of"),
    ("repost_of", "repost-of"),
    ("bookmark_of", "bookmark-of"),
    ("watch_of", "watch-of"),
    ("listen_of", "listen-of"),
)
#: The invisible link by which Bridgy Fed accepts a post (fed.brid.gy/docs).
_BRIDGY_FED = '<a class="u-bridgy-fed" href="https://fed.brid.gy/" hidden="from-humans"></a>'


@dataclass(frozen=True, slots=True)
class EntryParts:
    """The HTML of an entry, without the element around it.

    ``words`` are in the site's language; dates are formatted with ``DEFAULT_DATE_FORMAT``.
    ``bridgy_fed``: add the link to Bridgy Fed.
    """

    entry: Entry
    words: Mapping[str, str]
    date_format: str = "%Y-%m-%d"
    bridgy_fed: bool = False

    def opening(self) -> str:
        """The start of a whole entry: root classes, and the invisible values of every post.

        An event, review or recipe is also an h-entry, for readers that support nothing else.
        """
        classes = "h-entry" if self.entry.type == "h-entry" else f"h-entry {self.entry.type}"
        return f'<div class="{classes}">{self.facts()}{self.author()}{self.categories()}'

    def facts(self) -> str:
        """Invisible values: URL, dates, name if there is one, and summary unless it is shown."""
        entry = self.entry
        found = invisible("u-url u-uid", entry.url)
        if entry.name:
            found += invisible("p-name", entry.name)
        if entry.published:
            found += invisible("dt-published", entry.published.isoformat())
        if entry.updated:
            found += invisible("dt-updated", entry.updated.isoformat())
        if entry.summary and (not entry.bodiless or entry.repeats):
            found += invisible("p-summary", entry.summary)
        return found + (_BRIDGY_FED if self.bridgy_fed else "")

    def author(self, *, visible: bool = False) -> str:
        """The author (p-author), invisible or ``visible``."""
        person = self.entry.author
        if person is None:
            return ""
        return _visible_author(person) if visible else _author(person)

    def categories(self) -> str:
        """The tags (p-category), invisible."""
        return "".join(map(_category, self.entry.categories))

    def context(self) -> str:
        """The context of the post: what it replies to, likes, reposts, attends, reads or
        reviews, and :meth:`details`.
        """
        about = self._targets() + self._review() + self._schedule()
        return about + self.details() + self._summary()

    def details(self) -> str:
        """Everything without a place of its own: further authors, other ``*-of`` properties,
        other properties.
        """
        found = self._guests()
        for name, cites in self.entry.cited:
            found += "".join(_cited(cite, name, self._word(name), self) for cite in cites)
        return found + "".join(map(self._fact, self.entry.facts))

    def _guests(self) -> str:
        """Further authors beside the owner: names and links, without h-cards, which could be
        taken for the page's author.
        """
        if not self.entry.guests:
            return ""
        names = (
            anchor(' class="p-author"', guest.url, guest.name)
            if guest.url
            else f'<span class="p-author">{e(guest.name)}</span>'
            for guest in self.entry.guests
        )
        return paragraph(f"{e(self.words['guests'])} {', '.join(names)}")

    def _targets(self) -> str:
        entry, words = self.entry, self.words
        answer = invisible("p-rsvp", entry.rsvp) if entry.rsvp else ""
        word = words[f"rsvp-{entry.rsvp}" if entry.rsvp else "in-reply-to"]
        found = [_cited(cite, "in-reply-to", word, self, answer) for cite in entry.in_reply_to]
        if entry.rsvp and not found:
            found.append(paragraph(f"{e(words['rsvp'])}: {e(entry.rsvp)}{answer}"))
        for field, name in _TARGETS:
            found += [_cited(cite, name, words[name], self) for cite in getattr(entry, field)]
        if entry.read_of:
            status = entry.read_status or ""
            marked = invisible("p-read-status", status) if status else ""
            word = self._word(status) if NAME.fullmatch(status) else words["read-of"]
            found += [_cited(cite, "read-of", word, self, marked) for cite in entry.read_of]
        return "".join(found)

    def _summary(self) -> str:
        """The summary, where the post has no content."""
        if not (self.entry.bodiless and self.entry.summary) or self.entry.repeats:
            return ""
        return f'<p class="indieauth-summary p-summary">{e(self.entry.summary)}</p>\n'

    def media(self) -> str:
        """Photos with alt texts, videos, sounds; to be opened where they are sensitive."""
        entry, shown = self.entry, self._media()
        files = (*entry.featured, *entry.photos, *entry.videos, *entry.audios)
        # What the body shows is open.
        if not entry.sensitive or all(file.shown for file in files):
            return shown
        label = e(self.words["sensitive"])
        return f"<details><summary>{label}</summary>\n{shown}</details>\n"

    def _media(self) -> str:
        entry = self.entry
        if not (entry.photos or entry.videos or entry.audios or entry.featured):
            return ""
        photos = {photo.url for photo in entry.photos}
        return "".join(
            (
                *(_photo(p, "featured") for p in entry.featured if p.url not in photos),
                *map(_photo, entry.photos),
                *(_played("video", video) for video in entry.videos),
                *(_played("audio", audio) for audio in entry.audios),
            )
        )

    def place(self) -> str:
        """The place of a check-in (u-checkin), and where the post was written (p-location)."""
        found = ""
        if self.entry.checkin:
            word = e(self.words["checkin"])
            # Without a URL it is a p- property: a parser would resolve a name as a relative URL.
            name = "u-checkin" if self.entry.checkin.url else "p-checkin"
            found += paragraph(f"{word} {placed(self.entry.checkin, f'{name} h-card')}", "place")
        location = self.entry.location
        if location:
            root = "h-card" if location.label else "h-adr" if location.address else "h-geo"
            shown = placed(location, f"p-location {root}")
            found += hidden(shown, "place") if location.repeated else paragraph(shown, "place")
        return found

    def syndication(self) -> str:
        """Links to copies of the post (u-syndication)."""
        if not self.entry.syndication:
            return ""
        links = [
            f'<a class="u-syndication" rel="syndication" href="{e(url)}">'
            f"{e(url.partition('://')[2].partition('/')[0])}</a>"
            for url in self.entry.syndication
        ]
        word = e(self.words["syndication"])
        return paragraph(f"{word} {', '.join(links)}", "syndication")

    def _review(self) -> str:
        entry, words, found = self.entry, self.words, ""
        if entry.item:
            item = entry.item
            photo = _pictured(item.photo, shown=item.pictured)
            told, pictures = self.facts_of(item)
            shown = f"{e(words['item'])} {linked_name(item.label, item.url)}"
            if self.tells_much_of(item):
                shown = f"<details><summary>{shown}{photo}</summary>{told}{pictures}</details>"
            else:
                shown += f"{told}{photo}{pictures}"
            found += f'<div class="indieauth-context p-item {e(item.type)}">{shown}</div>\n'
        if entry.rating:
            best = f'<span class="p-best">{e(entry.best)}</span>' if entry.best else ""
            of = f" {e(words['best'])} {best}" if best else ""
            rating = f'<span class="p-rating">{e(entry.rating)}</span>'
            found += paragraph(f"{e(words['rating'])}: {rating}{of}")
        return found

    def _schedule(self) -> str:
        start, end = self.entry.start, self.entry.end
        times = []
        if start:
            times.append(timed(' class="dt-start"', start.isoformat(), self._readable(start)))
        if end and end == start:
            times[-1] += invisible("dt-end", end.isoformat())
        elif end:
            times.append(timed(' class="dt-end"', end.isoformat(), self._readable(end, start)))
        return paragraph(" – ".join(times)) if times else ""

    def _readable(self, moment: date | datetime, after: date | datetime | None = None) -> str:
        """A moment as people write it; without its date where it is that of the one before."""
        if not isinstance(moment, datetime):
            return str(strftime(moment, self.date_format))
        time = f"{moment:%H:%M}"
        if isinstance(after, datetime) and after.date() == moment.date():
            return time
        return f"{strftime(moment, self.date_format)}, {time}"

    def _word(self, name: str) -> str:
        """What the site calls a property."""
        return self.words.get(name) or name.replace("-", " ").capitalize()

    def _fact(self, fact: Fact) -> str:
        """One property: a line, or a list of its values."""
        label = e(self._word(fact.name))
        values = [self._value(fact.name, value) for value in fact.values]
        if any(_size(value) > _MOST_VALUES for value in fact.values):
            told = "".join(f"<div>{value}</div>\n" for value in values)
            return f"<details><summary>{label}</summary>\n{told}</details>\n"
        if len(values) == 1 and not fact.values[0].html:
            return paragraph(f"{label}: {values[0]}", "fact")
        shown = values[0] if len(values) == 1 else f"<ul><li>{'</li><li>'.join(values)}</li></ul>"
        return f'<div class="indieauth-fact"><p>{label}:</p>\n{shown}</div>\n'

    def _value(self, name: str, value: Value) -> str:
        # What cannot be a class of microformats2 is there for people alone; children have none.
        name = name if NAME.fullmatch(name) and name != "children" else ""
        if value.html:
            return f"<div{class_attribute('e', name)}>{value.html}</div>"
        if value.type:
            return f"<span{class_attribute('p', name, value.type)}>{self._nested(value)}</span>"
        if value.duration:
            return timed(class_attribute("dt", name), value.duration, value.text)
        if value.moment:
            readable = self._readable(value.moment)
            return timed(class_attribute("dt", name), value.moment.isoformat(), readable)
        if value.url and value.picture:
            return _picture(class_attribute("u", name), value.url, value.text)
        if value.url:
            return anchor(class_attribute("u", name), value.url, value.text)
        return f"<span{class_attribute('p', name)}>{with_breaks(value.text)}</span>"

    def _nested(self, value: Value) -> str:
        """An object by its name, its number and unit, or its URL, with its other facts."""
        shown = measure = ""
        if value.number:
            measure = f'<span class="p-num">{e(value.number)}</span>'
            if value.unit:
                measure += f' <span class="p-{value.unit_name}">{e(value.unit)}</span>'
        if value.text:
            shown = linked_name(value.text, value.url)
        elif value.number:
            shown, measure = measure, ""
        elif value.url:
            shown = anchor(' class="u-url"', value.url, without_scheme(value.url))
        facts, pictures = self._in_words(value.facts)
        facts = ", ".join(filter(None, (measure, facts)))
        return (f"{shown} ({facts})" if shown and facts else shown or facts) + pictures

    def _in_words(self, facts: tuple[Fact, ...]) -> tuple[str, str]:
        """The facts of an object as words, and its pictures. An object with pictures in it comes
        with those, on a line of its own: they would tear the words apart.
        """
        words, pictures = [], ""
        for fact in facts:
            plain = [one for one in fact.values if not _has_picture(one)]
            values = [self._inside(fact.name, one) for one in plain]
            colon = "" if fact.name in _WORDED else ":"
            label = "" if fact.name in _WORDLESS else f"{e(self._word(fact.name))}{colon} "
            words += [label + ", ".join(values)] if values else []
            for one in fact.values:
                if _has_picture(one):
                    pictures += "" if one.picture else f"<br>\n{label}"
                    pictures += self._value(fact.name, one)
        return ", ".join(words), pictures

    def facts_of(self, cite: Cite | Subject) -> tuple[str, str]:
        """What else is known of a cited thing, with a space before it, and its further pictures."""
        facts, pictures = self._in_words(cite.facts)
        return f" ({facts})" if facts else "", pictures

    def tells_much_of(self, cite: Cite | Subject) -> bool:
        """Whether so much is known of a cited thing that the reader should open it. Themes call it,
        too: the sample site's does.
        """
        return sum(map(_count_values, cite.facts)) > _MOST_VALUES

    def _inside(self, name: str, value: Value) -> str:
        """A value inside a line: its HTML becomes text."""
        if value.html:
            return self._value(name, Value(on_a_line(value.html)))
        return self._value(name, value)


def _size(value: Value) -> int:
    """How many values an object has, with those of the objects in it."""
    return sum(map(_count_values, value.facts)) or 1


def _count_values(fact: Fact) -> int:
    """How many values a property has, with those of the objects in it."""
    return sum(map(_size, fact.values))


def _has_picture(value: Value) -> bool:
    """Whether a picture is shown for a value, or for one in it."""
    return value.picture or any(_has_picture(one) for fact in value.facts for one in fact.values)


def _cited(cite: Cite, name: str, word: str, parts: EntryParts, before: str = "") -> str:
    """The target of a response: a link, or an h-cite where more is known."""
    facts, pictures = parts.facts_of(cite)
    if cite.url and not (cite.name or cite.author or cite.excerpt or facts or pictures):
        link = anchor(f' class="u-{name}"', cite.url, cite.label)
        return paragraph(f"{before}{e(word)} {link}")
    author = quoted = ""
    if cite.author:
        card = f'<span class="p-author h-card">{linked_name(cite.author, cite.author_url)}</span>'
        author = f" {e(parts.words['author'])} {card}"
    if cite.excerpt:
        quoted = f'<blockquote class="p-content">{e(cite.excerpt)}</blockquote>'
    named = ""
    if cite.url:
        classes = "u-url p-name" if cite.name else "u-url"
        named = anchor(f' class="{classes}"', cite.url, cite.label)
    elif cite.name:
        named = f'<span class="p-name">{e(cite.name)}</span>'
    uid = invisible("p-uid", cite.uid) if cite.uid else ""
    uid += _pictured(cite.photo, shown=cite.pictured)
    # A name as the value of a u- property would be taken for a relative URL.
    prefix = "u" if cite.url else "p"
    line = f"{e(word)} {named}{author}"
    if parts.tells_much_of(cite):
        shown = f"<details><summary>{line}{uid}</summary>{facts}{pictures}</details>\n"
    else:
        shown = f"<p>{line}{facts}{uid}{pictures}</p>\n"
    return (
        f'<div class="indieauth-context">{before}<div class="{prefix}-{name} {cite.type}">'
        f"{shown}{quoted}</div></div>\n"
    )


def _pictured(photo: str | None, *, shown: bool) -> str:
    """The photo of a thing: shown, or invisible where it is another site's."""
    if photo is None:
        return ""
    return _picture(' class="u-photo"', photo) if shown else invisible("u-photo", photo)


def _picture(attribute: str, url: str, alternative: str = "") -> str:
    """A picture within a line."""
    return f'<br><img{attribute} src="{e(url)}" alt="{e(alternative)}" loading="lazy" {FITTING}>'


def _photo(photo: AttachedFile, name: str = "photo") -> str:
    """A photo; hidden where the body shows it, since its alt text belongs here, too."""
    size = ""
    if photo.srcset:
        size += f' srcset="{e(photo.srcset)}"'
    if photo.width and photo.height:
        size += f' width="{photo.width}" height="{photo.height}"'
    words = f'alt="{e(photo.alt)}" loading="lazy" {SHOWN}{size}'
    image = f'<img class="u-{name}" src="{e(photo.url)}" {words}>'
    return (
        _of_body(hidden(image, "media"), photo) if photo.shown else _captioned(image, photo.caption)
    )


def _of_body(parsed: str, media: AttachedFile) -> str:
    """A file that the body shows, for parsers; its caption is for people."""
    return parsed + (paragraph(e(media.caption), "caption") if media.caption else "")


def _captioned(media: str, caption: str) -> str:
    if not caption:
        return paragraph(media, "media")
    # Browsers indent figures, which a phone has no room for.
    return (
        f'<figure class="indieauth-media" style="margin: 1em 0">{media}'
        f"<figcaption>{e(caption)}</figcaption></figure>\n"
    )


def _played(kind: str, media: AttachedFile) -> str:
    """A video or audio player."""
    if media.shown:
        return _of_body(invisible(f"u-{kind}", media.url), media)
    # An audio player has no intrinsic height for browsers to compute.
    style = FITTING if kind == "video" else _NOT_WIDER
    poster = f' poster="{e(media.poster)}"' if kind == "video" and media.poster else ""
    label = f' aria-label="{e(media.alt)}"' if media.alt else ""
    words = f'controls preload="metadata"{poster}{label} {style}'
    player = f'<{kind} class="u-{kind}" src="{e(media.url)}" {words}></{kind}>'
    return _captioned(player, media.caption)


@lru_cache(maxsize=1024)
def _category(name: str) -> str:
    return invisible("p-category", name)


@lru_cache(maxsize=64)
def _author(person: Person) -> str:
    values = (("p-name", person.name), ("u-url", person.url), ("u-photo", person.photo))
    data = "".join(invisible(name, value) for name, value in values if value)
    return f'<span class="p-author h-card">{data}</span>'


def _visible_author(person: Person) -> str:
    photo = ""
    if person.photo:
        photo = f'<img class="u-photo" src="{e(person.photo)}" alt="" width="48" height="48"> '
    return f'<span class="p-author h-card">{photo}{linked_name(person.name, person.url)}</span>'
