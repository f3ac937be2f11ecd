"""Parses one of the site's own pages for the links to send webmentions to.

It reads the page as a receiver of the webmentions will, in a subprocess
(:mod:`bridge.net.parser_process`), since a parser that builds the tree as browsers do needs much
memory. It imports nothing of the bridge.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

_ENTRIES = (".h-entry", ".h-event", ".h-review", ".h-recipe", ".h-resume", ".h-product", ".h-item")
_ANY_ENTRY = ",".join(_ENTRIES)
_ROOTS = frozenset(
    {name.removeprefix(".") for name in _ENTRIES}
    | {"h-cite", "h-card", "h-adr", "h-geo", "h-app", "h-listing", "h-news", "h-measure"}
)
#: Properties that link to what a post responds to (``u-like-of``, ``u-tag-of``), or to people.
_RESPONSE = re.compile(r"u-(?:in-reply-to|[a-z]+-of|category|invitee|bridgy-fed)")
#: Parts of an entry that its author did not write, or that link back to the entry.
_NOT_AUTHORED = re.compile(
    r"[up]-(?:comment|like|repost|bookmark|rsvp-by|mention|syndication|url|uid|author)"
)
_OWN_URL = "a.u-url[href], link.u-url[href], data.u-url[value]"
_PICTURES = "img[src], video[src], audio[src], source[src]"
_WEB = re.compile(r"https?://[^\s<>\"'\\`{}|^]+", re.IGNORECASE)
_URL_LENGTH = 2000
_MAX_LINKS = 1000


def read(html: bytes, url: str) -> dict[str, Any]:
    """Parse the page at ``url``.

    The result has ``entry``: whether the page has an h-entry; ``gone``: whether it is a tombstone;
    ``links``: the URLs that its entry links to, in order; ``replies``: those of them that it
    responds to; ``seen``: every link of the page; ``published`` and ``updated`` as written;
    ``digest``: a hash of everything in it that readers see.
    """
    page = BeautifulSoup(html, "html5lib", from_encoding=_utf8(html))
    base = page.select_one("base[href]")
    at = urljoin(url, str(base["href"])) if base else url
    result = {
        "gone": _is_tombstone(page),
        "seen": [link for each in page.select("[href]") if (link := _link(each, at))][:_MAX_LINKS],
        "entry": False,
        "links": [],
        "replies": [],
        "published": "",
        "updated": "",
        "digest": "",
    }
    entry = _entry(page, url, at)
    return result if entry is None else {**result, **_of_entry(entry, at)}


def _of_entry(entry: Tag, at: str) -> dict[str, Any]:
    responses = list(_responses(entry, at))
    content = [each for each in entry.select(".e-content") if _is_direct(each, entry)]
    written = [
        link
        for part in content
        for each in part.select("a[href]")
        if _is_own(each, entry) and (link := _link(each, at))
    ]
    links = _unique([*(link for _, link in responses), *written])
    shown = [
        [_text(each) for each in entry.select(".p-name, .p-rsvp") if _is_direct(each, entry)],
        [_text(each) for each in content],
        [str(each["src"]) for each in entry.select(_PICTURES) if _is_direct(each, entry)],
        sorted(f"{name} {link}" for name, link in responses),
        sorted(written),
    ]
    return {
        "entry": True,
        "links": links[:_MAX_LINKS],
        "replies": _unique([link for name, link in responses if name == "u-in-reply-to"]),
        "published": _time(entry, ".dt-published"),
        "updated": _time(entry, ".dt-updated"),
        "digest": hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32],
    }


def _entry(page: BeautifulSoup, url: str, at: str) -> Tag | None:
    """The page's own entry: the one with its URL, or the only one at the top level."""
    found = page.select(_ANY_ENTRY)
    top = [each for each in found if not any(map(_is_root, each.parents))]
    for each in top:
        links = [_link(link, at) for link in each.select(_OWN_URL)]
        if _bare(url) in map(_bare, links):
            return each
    return top[0] if len(top) == 1 else None


def _responses(entry: Tag, at: str) -> Iterator[tuple[str, str]]:
    """The response properties and the URL each links to: of the cited page, not of its author."""
    for each in entry.find_all(class_=_RESPONSE):
        names = [name for name in _classes(each) if _RESPONSE.fullmatch(name)]
        if not names or not _is_direct(each, entry):
            continue
        cited = each
        if not each.has_attr("href"):
            cited = each.select_one(_OWN_URL) or each.select_one("a[href]") or each
        # The link of a tag leads to a list on the site; a tagged person is notified.
        if link := _link(cited, at):
            yield from ((name, link) for name in names)


def _is_own(each: Tag, entry: Tag) -> bool:
    """Whether an element of an entry was written by its author, and not added by the theme."""
    is_frame = False
    for part in (each, *each.parents):
        if part is entry:
            return not is_frame
        names = _classes(part)
        if any(_NOT_AUTHORED.fullmatch(name) for name in names):
            return False
        # ``nav`` and ``footer`` are the theme's, except inside the content (a quotation's footer,
        # say).
        is_frame = "e-content" not in names and (is_frame or part.name in {"nav", "footer"})
    return False


def _is_direct(each: Tag, entry: Tag) -> bool:
    """Whether an element belongs to the entry itself, and not to a page that it cites."""
    return not _is_nested(each, entry) and _is_own(each, entry)


def _is_nested(each: Tag, entry: Tag) -> bool:
    """Whether an element belongs to a nested microformat inside the entry."""
    return any(map(_is_root, takewhile(lambda part: part is not entry, each.parents)))


def _is_root(each: Tag) -> bool:
    """Whether an element is the root of a microformat; CSS classes such as ``h-full`` and feeds are
    not.
    """
    return not _ROOTS.isdisjoint(_classes(each))


def _classes(each: Tag) -> list[str]:
    value = each.get("class") or []
    return value.split() if isinstance(value, str) else [str(name) for name in value]


def _link(each: Tag, at: str) -> str:
    """The URL that an element links to, as written; ``""`` if it is not a page's."""
    href = str(each.get("href") or each.get("value") or "").strip(" \t\n\f\r")
    try:
        if href and not _WEB.match(href):
            href = urljoin(at, href)
        usable = len(href) <= _URL_LENGTH and _WEB.fullmatch(href) and urlsplit(href).hostname
    except ValueError:
        return ""
    return href if usable else ""


def _unique(links: list[str]) -> list[str]:
    """Each page once, with the fragment of the first link to it."""
    found: dict[str, str] = {}
    for link in links:
        found.setdefault(urldefrag(link).url, link)
    return list(found.values())


def _is_tombstone(page: BeautifulSoup) -> bool:
    """Whether the page has ``<meta http-equiv="Status" content="410 Gone">``."""
    for meta in page.select("meta[http-equiv]"):
        if str(meta["http-equiv"]).strip().lower() == "status":
            return str(meta.get("content", "")).strip().startswith("410")
    return False


def _time(entry: Tag, selector: str) -> str:
    for each in entry.select(selector):
        # The time is often in a footer, or in the link to the post itself.
        if not _is_nested(each, entry):
            value = each.get("datetime") or each.get("value") or each.get("title")
            return str(value or each.get_text()).strip()[:64]
    return ""


def _text(each: Tag) -> str:
    return " ".join(each.get_text(" ").split())


def _bare(url: str) -> str:
    return urldefrag(url)[0].partition("://")[2].rstrip("/")


def _utf8(html: bytes) -> str | None:
    """The bytes as text if they are valid UTF-8; ``None`` leaves the encoding to the page's own
    declaration.
    """
    try:
        html.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"
