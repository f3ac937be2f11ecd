"""Measures texts as the networks do, and cuts them. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, TypeAlias

import grapheme
from msgspec import Struct

from bridge.syndication.compose.text import Kind, RichText, Span, count, graphemes, spans, urls

Counts: TypeAlias = Literal["links", "raw", "larger"]

#: The length that Mastodon counts for a link.
URL_LENGTH = 23
_SPACE = re.compile(r"\s")
_DOMAIN = re.compile(
    r"(?<![\w@./-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}(?![\w@-])(?:/[^\s<>\"]*)?",
    re.IGNORECASE,
)


def has_known_ending(url: str) -> bool:
    """Whether a link's host ends in a known top-level domain; Mastodon counts other links in
    full.
    """
    host = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    host = host.partition(":")[0].rstrip(".")
    name, dot, last = host.rpartition(".")
    return bool(dot and name and len(last) > 1 and (last.isalpha() or last.startswith("xn--")))


def mastodon_length(text: str) -> int:
    """The length as Mastodon counts it: graphemes, links as 23, remote mentions without their
    host.
    """
    return sum(unit.cost for unit in _units(text, _mastodon_cost))


def _mastodon_cost(span: Span, text: str, url_length: int = URL_LENGTH) -> int:
    if span.kind == "link" and has_known_ending(span.value):
        return url_length
    if span.kind == "mention":
        return count(span.value.partition("@")[0]) + 1
    return count(text[span.start : span.end])


def _raw_cost(span: Span, text: str) -> int:
    return count(text[span.start : span.end])


def _larger_cost(span: Span, text: str, url_length: int = URL_LENGTH) -> int:
    return max(_mastodon_cost(span, text, url_length), span.end - span.start)


def _code_points(span: Span, text: str) -> int:
    del text
    return span.end - span.start


# Limits and cutting.


class Unit(Struct, frozen=True):
    """A part that is never cut: a link, hashtag or mention, or a single grapheme."""

    start: int
    end: int
    cost: int
    size: int
    kind: Kind | None = None


class Measure(Struct, frozen=True):
    """A network's way to count and its limits: ``most`` in its own unit, ``bytes`` in UTF-8."""

    most: int
    most_bytes: int
    cost: Callable[[Span, str], int]
    bare_domains: bool = False
    by_code_point: bool = False

    def units(self, text: str) -> list[Unit]:
        """Split a text into units."""
        return _units(
            text, self.cost, bare_domains=self.bare_domains, by_code_point=self.by_code_point
        )

    def size(self, text: str) -> tuple[int, int]:
        """The length of a text by the network's count, and in bytes."""
        units = self.units(text)
        return sum(unit.cost for unit in units), sum(unit.size for unit in units)

    def fits(self, text: str) -> bool:
        """Whether a text is within the limits."""
        length, size = self.size(text)
        return length <= self.most and size <= self.most_bytes


#: maxGraphemes and maxLength of app.bsky.feed.post. A link counts as it is written.
BLUESKY = Measure(300, 3_000, _raw_cost)


def mastodon(most: int = 500, *, counts: Counts = "links", url_length: int = URL_LENGTH) -> Measure:
    """The measure of a server with Mastodon's API.

    ``counts``: ``links`` as Mastodon does; ``raw`` for code points, in links and emoji, too;
    ``larger`` for the larger of both where it is not known.
    """
    if counts == "raw":
        return Measure(most, 10_000_000, _code_points, by_code_point=True)
    cost = partial(_mastodon_cost if counts == "links" else _larger_cost, url_length=url_length)
    return Measure(most, 10_000_000, cost, bare_domains=True, by_code_point=counts == "larger")


def _units(
    text: str,
    cost: Callable[[Span, str], int],
    *,
    bare_domains: bool = False,
    by_code_point: bool = False,
) -> list[Unit]:
    found = spans(text)
    units: list[Unit] = []
    at = 0
    for span in [*found, Span(len(text), len(text), "link", "")]:
        plain = text[at : span.start]
        units += _plain_units(plain, at, bare_domains=bare_domains, by_code_point=by_code_point)
        if span.end > span.start:
            size = len(text[span.start : span.end].encode("utf-8", "replace"))
            units.append(Unit(span.start, span.end, cost(span, text), size, span.kind))
        at = span.end
    return units


def _plain_units(
    text: str, offset: int, *, bare_domains: bool, by_code_point: bool
) -> Iterator[Unit]:
    # Mastodon's web client counts a bare domain as a link and its server does not; the larger count
    # is used.
    domains = {each.start(): each.end() for each in _DOMAIN.finditer(text)} if bare_domains else {}
    at = 0
    for each in grapheme.graphemes(text):
        end = domains.get(at, 0)
        extra = max(0, URL_LENGTH - (end - at)) if end else 0
        size = len(each.encode("utf-8", "replace"))
        cost = len(each) if by_code_point else 1
        yield Unit(offset + at, offset + at + len(each), cost + extra, size)
        at += len(each)


def cut(rich: RichText, measure: Measure, tail: str) -> RichText:
    """The text and ``tail`` if they fit, else as many whole words as fit, "…" and ``tail``.

    Graphemes, links, hashtags and mentions are kept or dropped as a whole. A word longer than a
    third of the limit, as in languages without spaces, is cut between graphemes.
    """
    whole = rich + tail
    if measure.fits(whole.text):
        return whole
    shortened = _shortened(rich, measure, tail)
    head = shortened.text if shortened is not None else ""
    if shortened is None or not head:
        return RichText(tail.lstrip("\n"))
    return shortened + tail


def shorten(rich: RichText, measure: Measure) -> RichText:
    """As many whole words as fit, followed by "…" if something was cut."""
    return cut(rich, measure, "")


def shorten_alt(alt: str, most: int) -> str:
    """As many whole words of an alt text as fit into ``most`` code points."""
    if len(alt) <= most:
        return alt
    units, at = graphemes(alt), 0
    for unit in units:
        if at + len(unit) > most - 1:
            break
        at += len(unit)
    head = re.sub(r"\s\S*$", "", alt[:at]) if not _SPACE.match(alt, at) else alt[:at]
    return f"{_without_loose_end(head or alt[:at])}…"


def _shortened(rich: RichText, measure: Measure, tail: str) -> RichText | None:
    length, size = measure.size(tail)
    room, room_bytes = measure.most - length - 1, measure.most_bytes - size - len("…".encode())
    text, units = rich.text, measure.units(rich.text)
    fit_photo = _fitting(units, room, room_bytes)
    end = _word_end(text, units, fit_photo, room)
    head = _without_loose_end(text[:end])
    if _ends_in_link(head):
        # Mastodon would take an ellipsis directly after a link as a part of it.
        if measure.size(head + " …" + tail)[0] > measure.most:
            head = _without_loose_end(re.sub(r"\S+$", "", head))
        else:
            return rich.head(len(head)) + " …"
    return rich.head(len(head)) + "…" if head else None


def _fitting(units: Sequence[Unit], room: int, room_bytes: int) -> int:
    """The number of units that fit."""
    for number, unit in enumerate(units):
        room, room_bytes = room - unit.cost, room_bytes - unit.size
        if room < 0 or room_bytes < 0:
            return number
    return len(units)


def _word_end(text: str, units: Sequence[Unit], count: int, room: int) -> int:
    """The index at which the last fitting word ends."""
    if count == len(units):
        return len(text)
    end = units[count].start
    if _SPACE.match(text, end) or end == 0 or _SPACE.match(text, end - 1):
        return end
    begin = max((found.end() for found in _SPACE.finditer(text, 0, end)), default=0)
    after = _SPACE.search(text, end)
    stop = after.start() if after else len(text)
    word = sum(unit.cost for unit in units if begin <= unit.start < stop)
    if word * 3 > room and units[count].kind is None:
        return end
    if word * 3 > room and units[count - 1].kind is None:
        # A link inside a word of a language without spaces does not fit.
        return end
    return begin


def _without_loose_end(text: str) -> str:
    """The text without trailing spaces, punctuation or an unclosed bracket, for an ellipsis
    to follow.
    """
    while True:
        trimmed = text.rstrip().rstrip("-,;:.…")
        if re.search(r"(?:^|\s)[(\[]$", trimmed):
            trimmed = trimmed[:-1]
        if trimmed == text:
            return text
        text = trimmed


def _ends_in_link(text: str) -> bool:
    found = list(urls(text))
    return bool(found) and found[-1].end == len(text)
