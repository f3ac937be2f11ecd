"""The links by which a page says where its endpoints are (RFC 8288; IndieAuth 4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from html.parser import HTMLParser
from urllib.parse import urljoin

#: A ``Link`` header piece by piece: the target of a link, or a parameter of the one before.
_PIECE = re.compile(
    r"<(?P<target>[^<>]*)>|;\s*(?P<name>[\w*!#$&+.^`|~-]+)\s*=\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>[^\s\",;]*))"
)
#: What may stand in a head (HTML 13.2.6.4.4); anything else opens the body.
_EMPTY = frozenset({"link", "base", "meta", "basefont", "bgsound"})
_FULL = frozenset({"title", "style", "script", "noscript", "template", "noframes"})
_FRAME = frozenset({"html", "head"})


def header_links(values: Iterable[str], base: str, rel: str) -> list[str]:
    """The targets of a page's ``Link`` headers with this relation, absolute, in order."""
    found = []
    for value in values:
        target = None
        for piece in _PIECE.finditer(value):
            if piece["name"] is None:
                target = piece["target"]
                continue
            words = (piece["quoted"] or piece["plain"] or "").lower().split()
            if target is not None and piece["name"].lower() == "rel" and rel in words:
                found.append(target)
    return _absolute(base, found)


def html_links(html: bytes, base: str, rel: str) -> list[str]:
    """The targets of ``<link>`` elements in the page's head, absolute, in order.

    Only the head: a page's body may quote strangers. Never ``<a rel>``, for the same reason.
    """
    head = _Head()
    # What Python's parser cannot make sense of ends the reading; what came before counts.
    with suppress(AssertionError):
        head.feed(html.decode("utf-8", "replace"))
    for base_url in _absolute(base, head.bases[:1]):
        base = base_url
    return _absolute(base, [target for words, target in head.links if rel in words])


class _Head(HTMLParser):
    """Reads a page's head, in one pass whose cost grows with its length alone.

    A parser that builds the tree as browsers do can be made to build millions of elements from
    some kilobytes, and these pages are strangers'.
    """

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[list[str], str]] = []
        self.bases: list[str] = []
        self._inside: str | None = None
        self._over = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._over or self._inside:
            return
        given = {name: value or "" for name, value in reversed(attrs)}
        if tag == "link" and "href" in given:
            self.links.append((given.get("rel", "").lower().split(), given["href"]))
        elif tag == "base" and "href" in given:
            self.bases.append(given["href"])
        elif tag in _FULL:
            self._inside = tag
        elif tag not in _EMPTY | _FRAME:
            self._over = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        # Text of its own opens the body, too.
        if not self._inside and data.strip():
            self._over = True


def _absolute(base: str, targets: Iterable[str]) -> list[str]:
    """Targets seen from their page; what is no URL at all is left out."""
    found = []
    for target in targets:
        try:
            found.append(urljoin(base, target.strip()))
        except ValueError:
            continue
    return found
