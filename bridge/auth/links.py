"""The links by which a page says where its endpoints are (RFC 8288; IndieAuth 4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urljoin

from bs4 import BeautifulSoup

_LINK = re.compile(
    r"<([^<>]*)>((?:\s*;\s*[\w*!#$&+.^`|~-]+\s*(?:=\s*(?:\"[^\"]*\"|[^\s\",;]*))?)*)"
)
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]*))", re.IGNORECASE)


def header_links(values: Iterable[str], base: str, rel: str) -> list[str]:
    """The targets of a page's ``Link`` headers with this relation, absolute, in order."""
    found = []
    for value in values:
        for target, parameters in _LINK.findall(value):
            match = _REL.search(parameters)
            if match and rel in (match[1] or match[2] or "").lower().split():
                found.append(urljoin(base, target.strip()))
    return found


def html_links(html: bytes, base: str, rel: str) -> list[str]:
    """The targets of ``<link>`` elements in the page's head, absolute, in order.

    Only the head: a page's body may quote strangers. Never ``<a rel>``, for the same reason.
    """
    soup = BeautifulSoup(html, "html5lib")
    if soup.head is None:
        return []
    for element in soup.head.find_all("base", href=True)[:1]:
        base = urljoin(base, str(element["href"]).strip())
    return [
        urljoin(base, str(link["href"]).strip())
        for link in soup.head.find_all("link", href=True)
        if rel in [word.lower() for word in link.get_attribute_list("rel") if word]
    ]
