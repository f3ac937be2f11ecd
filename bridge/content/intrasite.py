"""Links in Pelican's notation for files of the site: ``{static}``, ``{attach}``, ``{filename}``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bridge.errors import InvalidRequest

_LINKS_INSIDE_LINKS = 50


class IntrasiteLinks:
    """Finds in HTML what Pelican would replace (``Content._get_intrasite_link_regex``)."""

    def __init__(self, notation: str) -> None:
        """``notation`` is the site's INTRASITE_LINK_REGEX."""
        self._pattern = re.compile(
            rf"""<[^\>]+(?:href|src|poster|data|cite|formaction|action|content)\s*=\s*
                (?P<quote>["\'])(?P<path>{notation}(?P<value>.*?))(?P=quote)""",
            re.VERBOSE,
        )

    def find(self, html: str) -> Iterator[str]:
        """The values of such attributes, like ``{static}/x``."""
        return (match["path"] for match in self._pattern.finditer(html))

    def disarm(self, html: str) -> str:
        """The HTML with the same meaning, in which Pelican sees no such link."""
        # One link may hide another, in the text of an attribute.
        for _ in range(_LINKS_INSIDE_LINKS):
            if not self._pattern.search(html):
                return html
            html = self._pattern.sub(_with_reference, html)
        raise InvalidRequest("The content hides links to files of the site in each other.")


def _with_reference(match: re.Match[str]) -> str:
    """The tag with the first character of the link as a character reference."""
    start = match.start("path") - match.start()
    tag = match.group()
    return f"{tag[:start]}&#{ord(tag[start])};{tag[start + 1 :]}"
