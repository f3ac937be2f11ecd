"""Text as Mastodon and Bluesky count it, find links in it, and show it: no I/O, no state."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import grapheme

Kind: TypeAlias = Literal["link", "tag", "mention"]
Counts: TypeAlias = Literal["links", "raw", "larger"]

#: Mastodon counts each link as this many characters, however long it is.
URL_LENGTH = 23
_TAG_LENGTH = 64
#: What a grapheme cannot be told for cheaply is cut here: nothing that long is ever sent.
_LONGEST = 100_000

_SPACE = re.compile(r"\s")
#: A link begins where a word does, and ends before a space or a quote.
_URL = re.compile(r"(?<![A-Za-z0-9@＠$#＃])https?://[^\s<>\"“”«»「」『』]+", re.IGNORECASE)
#: What a sentence has after a link, which is not the link's.
_AFTER_URL = ".,;:!?…'’*_~、。，．！？：；）】》〉"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
#: Invisible characters that end a tag at Bluesky.
_BREAKS = "\u00ad\u2060\u200a\u200b\u200c\u200d\u20e2"
_TAG = re.compile(rf"(?:(?<=\s)|(?<![\s\S]))[#＃](?!\ufe0f)([^\s{_BREAKS}]+)")
#: A remote account, in full: what Mastodon counts without the host.
_REMOTE = re.compile(r"(?<![=/\w@])@(\w+(?:[\w.-]*\w)?)@(\w+(?:[.-]\w+)*\.\w{2,}(?::\d+)?)")
#: What Mastodon takes for a local account, no matter who that is.
_LOCAL = re.compile(r"(?<![=/\w@])@(?=\w)")
_HANDLE = re.compile(
    r"(?<![\w@./-])@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63})(?![\w@-])"
)
_DOMAIN = re.compile(
    r"(?<![\w@./-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}(?![\w@-])(?:/[^\s<>\"]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text with a meaning, by characters; ``end`` is exclusive."""

    start: int
    end: int
    kind: Kind
    value: str


@dataclass(frozen=True, slots=True)
class Rich:
    """A text, and the links that lie under its words (not those that are written out)."""

    text: str = ""
    links: tuple[Span, ...] = ()

    def __add__(self, other: Rich | str) -> Rich:
        if isinstance(other, str):
            return Rich(self.text + other, self.links)
        shift = len(self.text)
        moved = tuple(
            replace(each, start=each.start + shift, end=each.end + shift) for each in other.links
        )
        return Rich(self.text + other.text, self.links + moved)

    def head(self, end: int) -> Rich:
        """The first so many characters, with what of the links lies in them."""
        links = (replace(each, end=min(each.end, end)) for each in self.links if each.start < end)
        return Rich(self.text[:end], tuple(links))


@dataclass(frozen=True, slots=True)
class Facet:
    """A part of a text with a meaning, by bytes of UTF-8, as AT protocol wants it."""

    start: int
    end: int
    kind: Kind
    value: str

    def as_json(self) -> dict[str, object]:
        """``app.bsky.richtext.facet``."""
        name = {"link": "uri", "tag": "tag", "mention": "did"}[self.kind]
        feature = {"$type": f"app.bsky.richtext.facet#{self.kind}", name: self.value}
        return {
            "index": {"byteStart": self.start, "byteEnd": self.end},
            "features": [feature],
        }


def graphemes(text: str) -> list[str]:
    """What people take for single characters (Unicode, annex 29)."""
    return list(grapheme.graphemes(text[:_LONGEST]))


def _count(text: str) -> int:
    return sum(1 for _ in grapheme.graphemes(text))


def urls(text: str) -> Iterator[Span]:
    """The http(s) links that are written out, without what a sentence has after them."""
    for match in _URL.finditer(text):
        found = _trimmed(match.group())
        rest = found.partition("://")[2]
        if rest and (rest[0].isalnum() or rest[0] == "["):
            yield Span(match.start(), match.start() + len(found), "link", found)


def _trimmed(url: str) -> str:
    """A link ends before punctuation, and before a bracket that was not opened in it."""
    while url:
        last = url[-1]
        opening = _BRACKETS.get(last)
        if last in _AFTER_URL or (opening and url.count(opening) < url.count(last)):
            url = url[:-1]
        else:
            break
    return url


def tags(text: str) -> Iterator[Span]:
    """The hashtags as Bluesky finds them: at most 64 graphemes, and not only digits."""
    for match in _TAG.finditer(text):
        name = match[1]
        while name and unicodedata.category(name[-1])[0] == "P":
            name = name[:-1]
        if not name or all(_is_digit_or_mark(char) for char in name):
            continue
        if _count(name) <= _TAG_LENGTH:
            yield Span(match.start(), match.start(1) + len(name), "tag", name)


def _is_digit_or_mark(char: str) -> bool:
    return char.isdigit() or unicodedata.category(char)[0] == "P"


def handles(text: str) -> Iterator[Span]:
    """What may be an account at Bluesky (``@alice.example``); only asking tells."""
    taken = list(urls(text))
    for match in _HANDLE.finditer(text):
        if not any(each.start <= match.start() < each.end for each in taken):
            yield Span(match.start(), match.end(), "mention", match[1])


def accounts(text: str) -> Iterator[Span]:
    """The remote accounts at Mastodon (``@alice@social.example``)."""
    for match in _REMOTE.finditer(text):
        yield Span(match.start(), match.end(), "mention", match.group()[1:])


def spans(text: str) -> list[Span]:
    """Links, tags and accounts, none over another; what comes first counts."""
    found = sorted([*urls(text), *tags(text), *accounts(text)], key=lambda each: each.start)
    kept: list[Span] = []
    for each in found:
        if not kept or kept[-1].end <= each.start:
            kept.append(each)
    return kept


def facets(rich: Rich, mentions: Iterable[Span] = ()) -> tuple[Facet, ...]:
    """What Bluesky shows as links, tags and accounts: sorted, none over another, none past the end.

    ``mentions`` have DIDs as their values. A link under words goes before what the words look like.
    """
    given = [each for each in (*rich.links, *mentions) if each.start < each.end <= len(rich.text)]
    kept: list[Span] = []
    for each in (*given, *urls(rich.text), *tags(rich.text)):
        if all(each.end <= other.start or other.end <= each.start for other in kept):
            kept.append(each)
    kept.sort(key=lambda each: each.start)
    at = _byte_offsets(rich.text)
    return tuple(Facet(at[each.start], at[each.end], each.kind, each.value) for each in kept)


def _byte_offsets(text: str) -> list[int]:
    offsets = [0]
    for char in text:
        offsets.append(offsets[-1] + len(char.encode("utf-8", "replace")))
    return offsets


# ---- counting -------------------------------------------------------------------------------


def has_known_ending(url: str) -> bool:
    """Whether a link's host ends as domain names do: Mastodon counts others in full."""
    host = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    host = host.partition(":")[0].rstrip(".")
    name, dot, last = host.rpartition(".")
    return bool(dot and name and len(last) > 1 and (last.isalpha() or last.startswith("xn--")))


def mastodon_length(text: str) -> int:
    """How long a text is for Mastodon: graphemes, links as 23, remote accounts without hosts."""
    return sum(unit.cost for unit in _units(text, _mastodon_cost))


def _mastodon_cost(span: Span, text: str, url_length: int = URL_LENGTH) -> int:
    if span.kind == "link" and has_known_ending(span.value):
        return url_length
    if span.kind == "mention":
        return _count(span.value.partition("@")[0]) + 1
    return _count(text[span.start : span.end])


def _raw_cost(span: Span, text: str) -> int:
    return _count(text[span.start : span.end])


def _larger_cost(span: Span, text: str, url_length: int = URL_LENGTH) -> int:
    return max(_mastodon_cost(span, text, url_length), span.end - span.start)


def _code_points(span: Span, text: str) -> int:
    del text
    return span.end - span.start


# ---- limits and cutting ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """What is never cut in two: a link, a tag, an account, or one grapheme of the rest."""

    start: int
    end: int
    cost: int
    size: int
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """How a network counts, and how much it takes: ``most`` of its own, ``bytes`` of UTF-8."""

    most: int
    most_bytes: int
    cost: Callable[[Span, str], int]
    bare_domains: bool = False
    by_code_point: bool = False

    def units(self, text: str) -> list[Unit]:
        """The text in parts that stay whole."""
        return _units(
            text, self.cost, bare_domains=self.bare_domains, by_code_point=self.by_code_point
        )

    def size(self, text: str) -> tuple[int, int]:
        """How long a text is, by the network's count and in bytes."""
        units = self.units(text)
        return sum(unit.cost for unit in units), sum(unit.size for unit in units)

    def fits(self, text: str) -> bool:
        """Whether the network takes it."""
        length, size = self.size(text)
        return length <= self.most and size <= self.most_bytes


#: app.bsky.feed.post: maxGraphemes and maxLength. A link counts by what is written.
BLUESKY = Measure(300, 3_000, _raw_cost)


def mastodon(most: int = 500, *, counts: Counts = "links", url_length: int = URL_LENGTH) -> Measure:
    """How a server with Mastodon's API counts: ``raw`` where it counts each code point, of links
    and of emoji, too; ``larger`` where that is not known."""
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
    # The newest clients of Mastodon count a bare domain as a link, its servers do not: the more.
    domains = {each.start(): each.end() for each in _DOMAIN.finditer(text)} if bare_domains else {}
    at = 0
    for each in grapheme.graphemes(text):
        end = domains.get(at, 0)
        extra = max(0, URL_LENGTH - (end - at)) if end else 0
        size = len(each.encode("utf-8", "replace"))
        cost = len(each) if by_code_point else 1
        yield Unit(offset + at, offset + at + len(each), cost + extra, size)
        at += len(each)


def cut(rich: Rich, measure: Measure, tail: str) -> Rich:
    """The text and ``tail``, or as many of its whole words as fit, "…" and ``tail``.

    Never cut are a grapheme, a link, a tag, an account: the whole goes. A word that takes more than
    a third of the room, as in languages without spaces, is cut between graphemes.
    """
    whole = rich + tail
    if measure.fits(whole.text):
        return whole
    shortened = _shortened(rich, measure, tail)
    head = shortened.text if shortened is not None else ""
    if shortened is None or not head:
        return Rich(tail.lstrip("\n"))
    return shortened + tail


def shorten(rich: Rich, measure: Measure) -> Rich:
    """As many whole words as fit, with "…" where that is not all."""
    return cut(rich, measure, "")


def shorten_alt(alt: str, most: int) -> str:
    """As many whole words of an alt text as fit: servers count its code points."""
    if len(alt) <= most:
        return alt
    units, at = graphemes(alt), 0
    for unit in units:
        if at + len(unit) > most - 1:
            break
        at += len(unit)
    head = re.sub(r"\s\S*$", "", alt[:at]) if not _SPACE.match(alt, at) else alt[:at]
    return f"{_without_loose_end(head or alt[:at])}…"


def _shortened(rich: Rich, measure: Measure, tail: str) -> Rich | None:
    length, size = measure.size(tail)
    room, room_bytes = measure.most - length - 1, measure.most_bytes - size - len("…".encode())
    text, units = rich.text, measure.units(rich.text)
    fitting = _fitting(units, room, room_bytes)
    end = _word_end(text, units, fitting, room)
    head = _without_loose_end(text[:end])
    if _ends_in_link(head):
        # Mastodon's servers would take an ellipsis that follows at once for a part of the link.
        if measure.size(head + " …" + tail)[0] > measure.most:
            head = _without_loose_end(re.sub(r"\S+$", "", head))
        else:
            return rich.head(len(head)) + " …"
    return rich.head(len(head)) + "…" if head else None


def _fitting(units: Sequence[Unit], room: int, room_bytes: int) -> int:
    """How many units there is room for."""
    for count, unit in enumerate(units):
        room, room_bytes = room - unit.cost, room_bytes - unit.size
        if room < 0 or room_bytes < 0:
            return count
    return len(units)


def _word_end(text: str, units: Sequence[Unit], count: int, room: int) -> int:
    """Where the words that fit end, by characters."""
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
        # What does not fit is a link amid a word of a language without spaces.
        return end
    return begin


def _without_loose_end(text: str) -> str:
    """Without spaces and punctuation that an ellipsis would follow oddly, and no open bracket."""
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


# ---- for Mastodon, where links lie open ------------------------------------------------------


def without_stray_mentions(text: str) -> str:
    """``@word`` would call an account of that name on the server: a word joiner keeps it from that.

    Full addresses (``@user@host``) are meant, and stay.
    """
    meant = [each.start for each in accounts(text)]

    def shield(match: re.Match[str]) -> str:
        return "@" if match.start() in meant else "@\u2060"

    return _LOCAL.sub(shield, text)


def with_links_written_out(rich: Rich) -> str:
    """The text with ``words (https://…)`` for each link under words that does not say it itself."""
    parts, at = [], 0
    for link in sorted(rich.links, key=lambda each: each.start):
        if link.start < at:
            continue
        words = rich.text[link.start : link.end]
        parts += [rich.text[at : link.start], _written_out(words, link.value)]
        at = link.end
    return "".join([*parts, rich.text[at:]])


def _written_out(words: str, url: str) -> str:
    shown = words.strip()
    if _same_address(shown, url):
        return words.replace(shown, url)
    if not shown:
        return words
    if re.fullmatch(r"[#＃]\w+", shown) or re.fullmatch(r"@\w[\w.-]*@\w[\w.-]*", shown):
        # A tag or an account is a link there by itself.
        return words
    space = words[len(words.rstrip()) :]
    return f"{words.rstrip()} ({url}){space}"


def _same_address(words: str, url: str) -> bool:
    def bare(text: str) -> str:
        return re.sub(r"^https?://(?:www\.)?", "", text, flags=re.IGNORECASE).rstrip("/…")

    return bool(words) and (bare(words) == bare(url) or words == url)


def hashtags(names: Iterable[str], text: str) -> Iterator[str]:
    """``#CamelCase`` of each tag that the text does not have: letters, digits and ``_`` only."""
    present = {each.value.casefold() for each in tags(text)}
    for name in names:
        words = re.findall(r"\w+", unicodedata.normalize("NFC", name))
        made = "".join(word[0].upper() + word[1:] for word in words)
        if not made or re.fullmatch(r"[\d_]+", made) or made.casefold() in present:
            continue
        present.add(made.casefold())
        yield f"#{made}"
