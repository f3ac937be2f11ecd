"""The links by which a page says where its endpoints are (RFC 8288; IndieAuth 4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urljoin

from bs4 import BeautifulSoup

#: A ``Link`` header piece by piece: the target of a link, or a parameter of the one before.
_PIECE = re.compile(
    r"<(?P<target>[^<>]*)>|;\s*(?P<name>[\w*!#$&+.^`|~-]+)\s*=\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>[^\s\",;]*))"
)


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
    soup = BeautifulSoup(html, "html5lib")
    if soup.head is None:
        return []
    bases = [str(element["href"]) for element in soup.head.find_all("base", href=True)]
    found = [
        str(link["href"])
        for link in soup.head.find_all("link", href=True)
        if rel in [word.lower() for word in link.get_attribute_list("rel") if word]
    ]
    for base_url in _absolute(base, bases[:1]):
        base = base_url
    return _absolute(base, found)


def _absolute(base: str, targets: Iterable[str]) -> list[str]:
    """Targets seen from their page; what is no URL at all is left out."""
    found = []
    for target in targets:
        try:
            found.append(urljoin(base, target.strip()))
        except ValueError:
            continue
    return found
