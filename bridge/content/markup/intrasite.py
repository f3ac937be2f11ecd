"""Links in Pelican's notation for files of the site: ``{static}``, ``{attach}``, ``{filename}``."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ATTRIBUTE = re.compile(
    r"""(?:href|src|poster|data|cite|formaction|action|content)\s*=\s*(?P<quote>["'])"""
)
#: No word between the brackets that Pelican knows is nearly as long.
_LONGEST_NOTATION = 200
#: One that nothing closes is not a link, but has Pelican look for its end: see below.
_BRACKETS = ("{", "|")


class IntrasiteLinks:
    """Finds in HTML what Pelican would replace (``Content._get_intrasite_link_regex``).

    Pelican's own expression takes hours for some kilobytes that are made for that. This reads once,
    and also finds what Pelican would only come to after another replacement in the same tag.
    """

    def __init__(self, notation: str) -> None:
        """``notation`` is the site's INTRASITE_LINK_REGEX."""
        self._notation = re.compile(notation, re.VERBOSE)

    def find(self, html: str) -> Iterator[str]:
        """The values of such attributes, like ``{static}/x``.

        Also those that only begin like it (``{x``, see :data:`_BRACKETS`), as far as they may be
        told from others.
        """
        for quote, value in _values(html):
            link = self._begins(html, value)
            end = html.find(quote, link.end()) if link else -1
            if link and end >= 0 and "\n" not in html[link.end() : end]:
                yield html[value:end]
            elif html.startswith(_BRACKETS, value):
                yield html[value : value + _LONGEST_NOTATION].partition(quote)[0]

    def neutralise(self, html: str) -> str:
        """Escape the HTML such that Pelican finds no intrasite link in it."""
        pieces, position = list[str](), 0
        for _, value in _values(html):
            if html.startswith(_BRACKETS, value) or self._begins(html, value):
                # The first character as a character reference.
                pieces += html[position:value], f"&#{ord(html[value])};"
                position = value + 1
        return "".join([*pieces, html[position:]])

    def _begins(self, html: str, position: int) -> re.Match[str] | None:
        return self._notation.match(html, position, position + _LONGEST_NOTATION)


def _values(html: str) -> Iterator[tuple[str, int]]:
    """Quote and beginning of each value that could be a link, in the order of the HTML."""
    read, tag = 0, -1
    for match in _ATTRIBUTE.finditer(html):
        start, value = match.span()
        ended = html.rfind(">", read, start)
        if ended >= 0 or tag < 0:
            tag = html.find("<", max(ended, read), start)
        read = start
        # Something has to stand between the tag's bracket and the attribute.
        if 0 <= tag < start - 1:
            yield match["quote"], value
