"""Extracts an h-cite from another site's page.

Only runs in :mod:`bridge.net.parser_process`, like
:mod:`bridge.webmention.incoming.verification.parser`, which uses parts of it: a hostile page can
keep an HTML parser busy for minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urldefrag

import mf2py
from bs4 import BeautifulSoup

NAME_LENGTH = 200
AUTHOR_LENGTH = 100
EXCERPT_LENGTH = 300
URL_LENGTH = 2000

_ENTRIES = frozenset(
    {"h-entry", "h-event", "h-review", "h-recipe", "h-product", "h-cite", "h-resume", "h-item"}
)
#: Runs of white space, control characters and bidirectional controls.
_NO_TEXT = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+"
)
_WEB_URL = re.compile(r"https?://[^\s<>\"'\\`]+", re.IGNORECASE)


def cite(html: bytes, url: str, charset: str | None = None) -> dict[str, Any] | None:
    """The h-cite of a page, or ``None`` if there is nothing to cite.

    Made from the page's microformats, else from Open Graph and similar metadata, else from its
    title.
    """
    page = BeautifulSoup(html, "html5lib", from_encoding=charset or utf8(html))
    items: list[dict[str, Any]] = mf2py.parse(doc=page, url=url, metaformats=True)["items"]
    proper = [item for item in items if item.get("source") != "metaformats"]
    found = entry_of(proper, url) or next((item for item in items if item not in proper), None)
    if found is None:
        return None
    cited: dict[str, list[Any]] = {
        "name": [_name(found)],
        "author": [author_of(found, proper)],
        "content": [_excerpt(found)],
    }
    properties = {name: values for name, values in cited.items() if values[0]}
    return {"type": ["h-cite"], "properties": properties} if properties else None


def utf8(html: bytes) -> str | None:
    """The bytes as text if they are valid UTF-8; ``None`` leaves the encoding to the page's
    own declaration.
    """
    try:
        html.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


def entry_of(items: list[dict[str, Any]], url: str) -> dict[str, Any] | None:
    """The entry that a page is about: the one with its URL, or the only one at the top level."""
    entries = [item for item in flat(items) if _ENTRIES & set(item["type"])]
    mine = [item for item in entries if _same(url, _urls(item))]
    top = [item for item in items if _ENTRIES & set(item["type"])]
    if mine:
        return mine[0]
    return top[0] if len(top) == 1 else None


def flat(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All items, each followed by the ones nested in it."""
    for item in items:
        yield item
        yield from flat(item.get("children", []))


def _urls(item: dict[str, Any]) -> list[str]:
    properties = item["properties"]
    values = [plain(value) for name in ("url", "uid") for value in properties.get(name, [])]
    return [value for value in values if value]


def plain(value: Any) -> str:
    """A property's value as text, plain or from an object."""
    text = value.get("value") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _same(url: str, others: list[str]) -> bool:
    return _bare(url) in map(_bare, others)


def _bare(url: str) -> str:
    return urldefrag(url)[0].partition("://")[2].rstrip("/")


def _name(entry: dict[str, Any]) -> str:
    """The title; ``""`` for a note, whose implied name only repeats its text."""
    name = line_of(entry, "name", NAME_LENGTH)
    content = line_of(entry, "content", EXCERPT_LENGTH)
    begin = name.rstrip("….").strip()
    return "" if begin and content.startswith(begin) else name


def _excerpt(entry: dict[str, Any]) -> str:
    return line_of(entry, "summary", EXCERPT_LENGTH) or line_of(entry, "content", EXCERPT_LENGTH)


def author_of(entry: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The author as an h-card (indieweb.org/authorship-spec, without following links), or
    ``None``.
    """
    cards = [item for item in flat(items) if "h-card" in item["type"]]
    named = next(iter(entry["properties"].get("author", [])), None)
    if named is None and len(cards) == 1:
        named = cards[0]
    if isinstance(named, str):
        name = "url" if is_url(named) else "name"
        mine = (card for card in cards if name == "url" and _same(named, _urls(card)))
        named = next(mine, {"properties": {name: [named]}})
    if not isinstance(named, dict) or "properties" not in named:
        return None
    facts = {
        "name": [line_of(named, "name", AUTHOR_LENGTH)],
        "url": [first_url(named, "url")],
        "photo": [first_url(named, "photo")],
    }
    known = {name: values for name, values in facts.items() if values[0]}
    return {"type": ["h-card"], "properties": known} if known else None


def line_of(item: dict[str, Any], name: str, length: int) -> str:
    """The first value of a property as one line of plain text, at most ``length`` characters."""
    value = plain(next(iter(item["properties"].get(name, [])), ""))
    line = _NO_TEXT.sub(" ", value[: length * 20]).strip()
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def first_url(item: dict[str, Any], name: str) -> str:
    """The first value of a property that is a valid http(s) URL, else ``""``."""
    urls = (plain(value) for value in item["properties"].get(name, []))
    return next((url for url in urls if is_url(url)), "")


def is_url(value: str) -> bool:
    """Whether a value is an http(s) URL that is safe in an ``href``."""
    return (
        len(value) <= URL_LENGTH and value.isprintable() and _WEB_URL.fullmatch(value) is not None
    )
