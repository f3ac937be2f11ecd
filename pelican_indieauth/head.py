"""Puts the links into the head of a page, and leaves every other byte as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape, unescape

from pelican_indieauth.endpoints import Link

_ATTRIBUTES = rb"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+"""
#: The markup of a document's beginning. Comments, and elements whose text is not markup, are one
#: piece each, so that a ``<head>`` inside them is none.
_PIECE = re.compile(
    rb"<!--.*?-->"
    rb"|<(?P<raw>title|script|style|noscript|template)(?=[\s/>])" + _ATTRIBUTES + rb">"
    rb".*?</(?P=raw)\s*>"
    rb"|<(?P<tag>[!?/]?[a-z]+)(?=[\s/>])" + _ATTRIBUTES + rb">",
    re.IGNORECASE | re.DOTALL,
)
#: Browsers look for the encoding in the first 1,024 bytes: it keeps its place before the links.
_CHARSET = re.compile(rb"\s*<meta\s(?=[^>]*charset)" + _ATTRIBUTES + rb">", re.IGNORECASE)
_END = re.compile(rb"</head[\s>]|<body[\s>]", re.IGNORECASE)
_LINK = re.compile(
    rb"<!--.*?-->|<(?P<link>link)\s" + _ATTRIBUTES + rb">", re.IGNORECASE | re.DOTALL
)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


def with_links(page: bytes, links: Iterable[Link]) -> bytes:
    """The page with each link that it does not have yet. A fragment stays as it is."""
    place = _place(page)
    if place is None:
        return page
    end = _END.search(page, place)
    there = _present(page[place : end.start() if end else None], links)
    missing = [_element(link) for link in links if link not in there]
    return page[:place] + b"".join(missing) + page[place:]


def _element(link: Link) -> bytes:
    """One rel and one absolute address, rel first: some clients compare text, not attributes."""
    return f'<link rel="{link.rel}" href="{escape(link.href)}" />'.encode()


def _place(page: bytes) -> int | None:
    """Where links belong: at the start of the head, where nothing of the theme's can end it early.

    A page may leave out its ``<head>`` tag: then after the title, or else before the body.
    """
    for piece in _PIECE.finditer(page):
        tag = (piece["tag"] or piece["raw"] or b"").lower()
        if tag == b"head":
            charset = _CHARSET.match(page, piece.end())
            return charset.end() if charset else piece.end()
        if tag == b"title":
            return piece.end()
        if tag == b"body":
            return piece.start()
    return None


def _present(head: bytes, links: Iterable[Link]) -> set[Link]:
    """The links that a head has by itself, one for each rel."""
    if not any(escape(link.href).encode() in head or link.href.encode() in head for link in links):
        return set()
    found = [match[0] for match in _LINK.finditer(head) if match["link"]]
    attributes = [_attributes(element.decode("utf-8", "replace")) for element in found]
    return {
        Link(rel.lower(), link["href"])
        for link in attributes
        if "href" in link
        for rel in link.get("rel", "").split()
    }


def _attributes(element: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(element)
    return {name.lower(): unescape(a or b or c) for name, a, b, c in found}
