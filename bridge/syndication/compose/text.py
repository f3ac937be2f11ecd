"""Text as Mastodon and Bluesky count it, detect links in it, and display it. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import grapheme
from msgspec import Struct
from msgspec.structs import replace

Kind: TypeAlias = Literal["link", "tag", "mention"]

_TAG_LENGTH = 64
#: Longer texts are cut here before they are split into graphemes; no network accepts so much.
_LONGEST = 100_000

#: A link starts at a word boundary and ends before a space or a quotation mark.
_URL = re.compile(r"(?<![A-Za-z0-9@＠$#＃])https?://[^\s<>\"“”«»「」『』]+", re.IGNORECASE)
#: Punctuation after a link that belongs to the sentence.
_AFTER_URL = ".,;:!?…'’*_~、。，．！？：；）】》〉"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
#: Invisible characters that end a hashtag at Bluesky.
_BREAKS = "\u00ad\u2060\u200a\u200b\u200c\u200d\u20e2"
_TAG = re.compile(rf"(?:(?<=\s)|(?<![\s\S]))[#＃](?!\ufe0f)([^\s{_BREAKS}]+)")
#: A remote mention, which Mastodon counts without the host.
_REMOTE = re.compile(r"(?<![=/\w@])@(\w+(?:[\w.-]*\w)?)@(\w+(?:[.-]\w+)*\.\w{2,}(?::\d+)?)")
#: What Mastodon takes for a local mention.
_LOCAL = re.compile(r"(?<![=/\w@])@(?=\w)")
_HANDLE = re.compile(
    r"(?<![\w@./-])@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63})(?![\w@-])"
)


class Span(Struct, frozen=True):
    """A part of a text with a meaning; ``start`` and ``end`` count characters, ``end`` is
    exclusive.
    """

    start: int
    end: int
    kind: Kind
    value: str


class RichText(Struct, frozen=True):
    """A text with links under some of its words; links that are written out are not among them."""

    text: str = ""
    links: tuple[Span, ...] = ()

    def __add__(self, other: RichText | str) -> RichText:
        if isinstance(other, str):
            return RichText(self.text + other, self.links)
        shift = len(self.text)
        moved = tuple(
            replace(each, start=each.start + shift, end=each.end + shift) for each in other.links
        )
        return RichText(self.text + other.text, self.links + moved)

    def head(self, end: int) -> RichText:
        """The first ``end`` characters, with the links in them."""
        links = (replace(each, end=min(each.end, end)) for each in self.links if each.start < end)
        return RichText(self.text[:end], tuple(links))


class Facet(Struct, frozen=True):
    """A part of a text with a meaning, counted in bytes of UTF-8 as AT Protocol requires."""

    start: int
    end: int
    kind: Kind
    value: str

    def as_json(self) -> dict[str, object]:
        """The facet as JSON (``app.bsky.richtext.facet``)."""
        name = {"link": "uri", "tag": "tag", "mention": "did"}[self.kind]
        feature = {"$type": f"app.bsky.richtext.facet#{self.kind}", name: self.value}
        return {
            "index": {"byteStart": self.start, "byteEnd": self.end},
            "features": [feature],
        }


def graphemes(text: str) -> list[str]:
    """Split a text into grapheme clusters (UAX 29)."""
    return list(grapheme.graphemes(text[:_LONGEST]))


def count(text: str) -> int:
    """The number of grapheme clusters."""
    return sum(1 for _ in grapheme.graphemes(text))


def urls(text: str) -> Iterator[Span]:
    """The http(s) links that are written out, without trailing punctuation."""
    for match in _URL.finditer(text):
        found = _trimmed(match.group())
        rest = found.partition("://")[2]
        if rest and (rest[0].isalnum() or rest[0] == "["):
            yield Span(match.start(), match.start() + len(found), "link", found)


def _trimmed(url: str) -> str:
    """A link without trailing punctuation, and without a closing bracket that it did not open."""
    while url:
        last = url[-1]
        opening = _BRACKETS.get(last)
        if last in _AFTER_URL or (opening and url.count(opening) < url.count(last)):
            url = url[:-1]
        else:
            break
    return url


def tags(text: str) -> Iterator[Span]:
    """The hashtags as Bluesky detects them: at most 64 graphemes, and not only digits."""
    for match in _TAG.finditer(text):
        name = match[1]
        while name and unicodedata.category(name[-1])[0] == "P":
            name = name[:-1]
        if not name or all(_is_digit_or_mark(char) for char in name):
            continue
        if count(name) <= _TAG_LENGTH:
            yield Span(match.start(), match.start(1) + len(name), "tag", name)


def _is_digit_or_mark(char: str) -> bool:
    return char.isdigit() or unicodedata.category(char)[0] == "P"


def handles(text: str) -> Iterator[Span]:
    """Possible Bluesky mentions (``@alice.example``), which may not resolve."""
    taken = list(urls(text))
    for match in _HANDLE.finditer(text):
        if not any(each.start <= match.start() < each.end for each in taken):
            yield Span(match.start(), match.end(), "mention", match[1])


def accounts(text: str) -> Iterator[Span]:
    """The remote Mastodon mentions (``@alice@social.example``)."""
    for match in _REMOTE.finditer(text):
        yield Span(match.start(), match.end(), "mention", match.group()[1:])


def spans(text: str) -> list[Span]:
    """Links, hashtags and mentions without overlaps; the first one counts."""
    found = sorted([*urls(text), *tags(text), *accounts(text)], key=lambda each: each.start)
    kept: list[Span] = []
    for each in found:
        if not kept or kept[-1].end <= each.start:
            kept.append(each)
    return kept


def facets(rich: RichText, mentions: Iterable[Span] = ()) -> tuple[Facet, ...]:
    """The facets for Bluesky: sorted, without overlaps, within the text.

    The values of ``mentions`` are DIDs. A link under words takes precedence over what the words
    look like.
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


# For Mastodon, which has no links under words.


def without_stray_mentions(text: str) -> str:
    """Put a word joiner into ``@word``, which would otherwise mention a local account.

    Full addresses (``@user@host``) are kept.
    """
    meant = [each.start for each in accounts(text)]

    def shield(match: re.Match[str]) -> str:
        return "@" if match.start() in meant else "@\u2060"

    return _LOCAL.sub(shield, text)


def with_links_written_out(rich: RichText) -> str:
    """The text with ``words (https://…)`` for each link whose words do not already show its URL."""
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
        # A hashtag or mention becomes a link at the server.
        return words
    space = words[len(words.rstrip()) :]
    return f"{words.rstrip()} ({url}){space}"


def _same_address(words: str, url: str) -> bool:
    def bare(text: str) -> str:
        return re.sub(r"^https?://(?:www\.)?", "", text, flags=re.IGNORECASE).rstrip("/…")

    return bool(words) and (bare(words) == bare(url) or words == url)


def hashtags(names: Iterable[str], text: str) -> Iterator[str]:
    """``#CamelCase`` for each tag that the text lacks; letters, digits and ``_`` only."""
    present = {each.value.casefold() for each in tags(text)}
    for name in names:
        words = re.findall(r"\w+", unicodedata.normalize("NFC", name))
        made = "".join(word[0].upper() + word[1:] for word in words)
        if not made or re.fullmatch(r"[\d_]+", made) or made.casefold() in present:
            continue
        present.add(made.casefold())
        yield f"#{made}"
