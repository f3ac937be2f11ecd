"""Inserts the links into the head of a page, leaving the rest unchanged."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape, unescape

from pelican_indieauth.discovery.endpoints import Link

_ATTRIBUTES = r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+"""
#: A piece of markup at the start of a document. Comments and raw text elements are one piece each,
#: so that a ``<head>`` inside them does not count.
_PIECE = re.compile(
    r"<!--.*?(?:-->|\Z)"
    rf"|<(?P<raw>title|script|style|noscript|template)(?=[\s/>]){_ATTRIBUTES}>"
    r".*?(?:</(?P=raw)\s*>|\Z)"
    rf"|<(?P<tag>[!?/]?[a-z]+)(?=[\s/>]){_ATTRIBUTES}>",
    re.IGNORECASE | re.DOTALL,
)
#: Browsers look for the encoding in the first 1,024 bytes, so the links come after it.
_CHARSET = re.compile(rf"\s*<meta\s(?=[^>]*charset){_ATTRIBUTES}>", re.IGNORECASE)
_END = re.compile(r"</head[\s>]|<body[\s>]", re.IGNORECASE)
_LINK = re.compile(rf"<!--.*?-->|<(?P<link>link)\s{_ATTRIBUTES}>", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


class HeadLinks:
    """The link elements of a site, rendered once and inserted into every page."""

    def __init__(self, links: tuple[Link, ...]) -> None:
        self._links = links
        # One rel and one absolute URL each, rel first: some clients search the text for just that.
        self._elements = "".join(map(_element, links))
        self._addresses = {form for link in links for form in (link.href, escape(link.href))}

    def put_into(self, page: str) -> str:
        """The page with each link that it lacks. A fragment without head and body is not
        changed.
        """
        place = _place(page)
        if place is None:
            return page
        there = self._present(page, place)
        missing = (link for link in self._links if link not in there)
        elements = "".join(map(_element, missing)) if there else self._elements
        return f"{page[:place]}{elements}{page[place:]}"

    def _present(self, page: str, place: int) -> set[Link]:
        """The links whose relation the head already has."""
        end = page.find("</head>", place)
        if end < 0:
            match = _END.search(page, place)
            end = match.start() if match else len(page)
        head = page[place:end]
        # A quick search without parsing; themes rarely have any of these links.
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
    """The offset for the links: at the start of the head, before anything of the theme's that could
    end it early.

    Where the ``<head>`` tag is omitted: after the title, or else before the body. The markup before
    the title is the same on most pages, so the result is cached.
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
