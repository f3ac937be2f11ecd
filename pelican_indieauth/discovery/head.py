"""Inserts the links into the head of a page, and changes nothing else."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape, unescape

from pelican_indieauth.discovery.endpoints import Link

_ATTRIBUTES = r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+"""
#: The markup of a document's beginning. Comments, and elements whose text is not markup, are one
#: piece each, so that a ``<head>`` inside them is none.
_PIECE = re.compile(
    r"<!--.*?(?:-->|\Z)"
    rf"|<(?P<raw>title|script|style|noscript|template)(?=[\s/>]){_ATTRIBUTES}>"
    r".*?(?:</(?P=raw)\s*>|\Z)"
    rf"|<(?P<tag>[!?/]?[a-z]+)(?=[\s/>]){_ATTRIBUTES}>",
    re.IGNORECASE | re.DOTALL,
)
#: Browsers look for the encoding in the first 1,024 bytes: it keeps its place before the links.
_CHARSET = re.compile(rf"\s*<meta\s(?=[^>]*charset){_ATTRIBUTES}>", re.IGNORECASE)
_END = re.compile(r"</head[\s>]|<body[\s>]", re.IGNORECASE)
_LINK = re.compile(rf"<!--.*?-->|<(?P<link>link)\s{_ATTRIBUTES}>", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


class HeadLinks:
    """The links of a site as they stand in heads: worked out once, and put into every page."""

    def __init__(self, links: tuple[Link, ...]) -> None:
        self._links = links
        # One rel and one absolute address each, rel first: some clients compare nothing but text.
        self._elements = "".join(map(_element, links))
        self._addresses = {form for link in links for form in (link.href, escape(link.href))}

    def put_into(self, page: str) -> str:
        """The page with each link that it does not have yet. A fragment stays as it is."""
        place = _place(page)
        if place is None:
            return page
        there = self._present(page, place)
        missing = (link for link in self._links if link not in there)
        elements = "".join(map(_element, missing)) if there else self._elements
        return f"{page[:place]}{elements}{page[place:]}"

    def _present(self, page: str, place: int) -> set[Link]:
        """The links that a head has by itself, one for each rel."""
        end = page.find("</head>", place)
        if end < 0:
            match = _END.search(page, place)
            end = match.start() if match else len(page)
        head = page[place:end]
        # Hardly a theme has any of them, and that is seen without parsing.
        if not any(map(head.__contains__, self._addresses)):
            return set()
        found = [match[0] for match in _LINK.finditer(head) if match["link"]]
        return {
            Link(rel.lower(), attributes["href"])
            for attributes in map(_attributes, found)
            if "href" in attributes
            for rel in attributes.get("rel", "").split()
        }


def _element(link: Link) -> str:
    kind = f' type="{link.type}"' if link.type else ""
    return f'<link rel="{link.rel}" href="{escape(link.href)}"{kind} />'


def _place(page: str) -> int | None:
    """Where links belong: at the start of the head, where nothing of the theme's can end it early.

    A page may leave out its ``<head>`` tag: then after the title, or else before the body. What
    comes before the title is the same on most pages of a site, and is looked at once.
    """
    title = page.find("<title", 0, 1000)
    place = _place_before_title(page[:title]) if title >= 0 else None
    return _place_in(page) if place is None else place


@lru_cache(maxsize=64)
def _place_before_title(beginning: str) -> int | None:
    return _place_in(beginning)


def _place_in(page: str) -> int | None:
    for piece in _PIECE.finditer(page):
        tag = (piece["tag"] or piece["raw"] or "").lower()
        if tag == "head":
            charset = _CHARSET.match(page, piece.end())
            return charset.end() if charset else piece.end()
        if tag == "title":
            return piece.end()
        if tag == "body":
            return piece.start()
    return None


def _attributes(element: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(element)
    return {name.lower(): unescape(a or b or c) for name, a, b, c in found}
