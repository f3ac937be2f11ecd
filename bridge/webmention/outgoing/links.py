"""Parses one of the site's own pages for the links to send webmentions to. Run as a program: page
in, JSON out.

The page is read as a receiver of its webmentions will read it, in a process of its own
(:mod:`bridge.net.sandboxed_parse`): a parser that builds the tree as browsers do takes memory that
the bridge does without. It needs nothing of the bridge.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import sys
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
#: Properties that point at what a post answers (``u-like-of``, ``u-tag-of``), or at people.
_RESPONSE = re.compile(r"u-(?:in-reply-to|[a-z]+-of|category|invitee|bridgy-fed)")
#: Parts of an entry that are not its author's words, or lead back to itself.
_APART = re.compile(
    r"[up]-(?:comment|like|repost|bookmark|rsvp-by|mention|syndication|url|uid|author)"
)
_OWN_URL = "a.u-url[href], link.u-url[href], data.u-url[value]"
_PICTURES = "img[src], video[src], audio[src], source[src]"
_WEB = re.compile(r"https?://[^\s<>\"'\\`{}|^]+", re.IGNORECASE)
_LENGTH = 2000
_MOST = 1000
_CPU_SECONDS = 20
_MEMORY = 1024**3


def read(html: bytes, url: str) -> dict[str, Any]:
    """What the page at ``url`` says.

    ``gone``: it is a tombstone. ``links`` are what its own entry links to, in order; ``replies``
    those of them that it answers; ``seen`` every link of the page. ``published`` and ``updated``
    are the entry's times as written, ``digest`` names everything that its readers see of it.
    ``entry``: whether there is one.
    """
    page = BeautifulSoup(html, "html5lib", from_encoding=_utf8(html))
    base = page.select_one("base[href]")
    at = urljoin(url, str(base["href"])) if base else url
    said = {
        "gone": _is_tombstone(page),
        "seen": [link for each in page.select("[href]") if (link := _link(each, at))][:_MOST],
        "entry": False,
        "links": [],
        "replies": [],
        "published": "",
        "updated": "",
        "digest": "",
    }
    entry = _entry(page, url, at)
    return said if entry is None else {**said, **_said(entry, at)}


def _said(entry: Tag, at: str) -> dict[str, Any]:
    responses = list(_responses(entry, at))
    content = [each for each in entry.select(".e-content") if _is_direct(each, entry)]
    written = [
        link
        for part in content
        for each in part.select("a[href]")
        if _is_own(each, entry) and (link := _link(each, at))
    ]
    links = _without_doubles([*(link for _, link in responses), *written])
    shown = [
        [_text(each) for each in entry.select(".p-name, .p-rsvp") if _is_direct(each, entry)],
        [_text(each) for each in content],
        [str(each["src"]) for each in entry.select(_PICTURES) if _is_direct(each, entry)],
        sorted(f"{name} {link}" for name, link in responses),
        sorted(written),
    ]
    return {
        "entry": True,
        "links": links[:_MOST],
        "replies": _without_doubles([link for name, link in responses if name == "u-in-reply-to"]),
        "published": _time(entry, ".dt-published"),
        "updated": _time(entry, ".dt-updated"),
        "digest": hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32],
    }


def _entry(page: BeautifulSoup, url: str, at: str) -> Tag | None:
    """The entry that the page is about: the one with its URL, or the only one on its top level."""
    found = page.select(_ANY_ENTRY)
    top = [each for each in found if not any(map(_is_root, each.parents))]
    for each in top:
        links = [_link(link, at) for link in each.select(_OWN_URL)]
        if _bare(url) in map(_bare, links):
            return each
    return top[0] if len(top) == 1 else None


def _responses(entry: Tag, at: str) -> Iterator[tuple[str, str]]:
    """Each property that points somewhere, with where: the page that it cites, not its author."""
    for each in entry.find_all(class_=_RESPONSE):
        names = [name for name in _classes(each) if _RESPONSE.fullmatch(name)]
        if not names or not _is_direct(each, entry):
            continue
        cited = each
        if not each.has_attr("href"):
            cited = each.select_one(_OWN_URL) or each.select_one("a[href]") or each
        # A tag's link leads to a list of the site; a person is told that they are named.
        if link := _link(cited, at):
            yield from ((name, link) for name in names)


def _is_own(each: Tag, entry: Tag) -> bool:
    """Whether a part of an entry is the author's own, and not shown in it by the theme."""
    is_frame = False
    for part in (each, *each.parents):
        if part is entry:
            return not is_frame
        names = _classes(part)
        if any(_APART.fullmatch(name) for name in names):
            return False
        # Menus and footers are the theme's; in the text they are the author's (of a quote, say).
        is_frame = "e-content" not in names and (is_frame or part.name in {"nav", "footer"})
    return False


def _is_direct(each: Tag, entry: Tag) -> bool:
    """Whether a part is the entry's own words, and not those of a page which is cited in it."""
    return not _is_nested(each, entry) and _is_own(each, entry)


def _is_nested(each: Tag, entry: Tag) -> bool:
    """Whether a part belongs to something inside of the entry that has properties of its own."""
    return any(map(_is_root, takewhile(lambda part: part is not entry, each.parents)))


def _is_root(each: Tag) -> bool:
    """Whether an element is something of its own, by microformats: no class of a style sheet's
    (``h-full``), and no list of entries."""
    return not _ROOTS.isdisjoint(_classes(each))


def _classes(each: Tag) -> list[str]:
    value = each.get("class") or []
    return value.split() if isinstance(value, str) else [str(name) for name in value]


def _link(each: Tag, at: str) -> str:
    """Where an element leads, as it is written; "" for what is not a page."""
    href = str(each.get("href") or each.get("value") or "").strip(" \t\n\f\r")
    try:
        if href and not _WEB.match(href):
            href = urljoin(at, href)
        usable = len(href) <= _LENGTH and _WEB.fullmatch(href) and urlsplit(href).hostname
    except ValueError:
        return ""
    return href if usable else ""


def _without_doubles(links: list[str]) -> list[str]:
    """Each page once, with the fragment of the first link to it."""
    found: dict[str, str] = {}
    for link in links:
        found.setdefault(urldefrag(link).url, link)
    return list(found.values())


def _is_tombstone(page: BeautifulSoup) -> bool:
    """``<meta http-equiv="Status" content="410 Gone">``."""
    for meta in page.select("meta[http-equiv]"):
        if str(meta["http-equiv"]).strip().lower() == "status":
            return str(meta.get("content", "")).strip().startswith("410")
    return False


def _time(entry: Tag, selector: str) -> str:
    for each in entry.select(selector):
        # Often in a footer, or in the link to the post itself.
        if not _is_nested(each, entry):
            value = each.get("datetime") or each.get("value") or each.get("title")
            return str(value or each.get_text()).strip()[:64]
    return ""


def _text(each: Tag) -> str:
    return " ".join(each.get_text(" ").split())


def _bare(url: str) -> str:
    return urldefrag(url)[0].partition("://")[2].rstrip("/")


def _utf8(html: bytes) -> str | None:
    """UTF-8, where the bytes can be nothing else; ``None`` leaves it to what the page says."""
    try:
        html.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


def main() -> None:
    """Read a page from standard input; the argument is its address."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    with contextlib.suppress(ValueError):  # macOS takes no limit on memory
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    json.dump(read(sys.stdin.buffer.read(), sys.argv[1]), sys.stdout)


if __name__ == "__main__":
    main()
