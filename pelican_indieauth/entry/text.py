"""Plain text from HTML."""

from __future__ import annotations

import html
import re

from markupsafe import Markup

_TEXT = {
    *("p", "br", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre", "code"),
    *("em", "strong", "b", "i", "sub", "sup"),
}

_BLOCKS = re.compile(
    r"<(?:/?(?:p|div|li|h[1-6]|blockquote|pre|table|tr|t[dh]|[uod]l|d[td]|section|article|figure|figcaption"
    r"|summary|details)|[bh]r)\b",
    re.IGNORECASE,
)


def stripped(markup: str) -> str:
    """The visible text of a title or summary, which Pelican keeps as HTML.

    It is unescaped, so it must be escaped when printed.
    """
    if "<" not in markup and "&" not in markup:
        return markup
    return Markup(markup).striptags()  # noqa: S704  (taken apart, never printed as it is)


def without_attributes(markup: str) -> str:
    """Sanitised HTML of paragraphs, lists and emphasis only: nothing that links or loads."""
    import nh3  # noqa: PLC0415  (as below)

    return nh3.clean(markup, tags=_TEXT, attributes={}).strip()


def sanitised(markup: str) -> str:
    """Sanitised HTML of another site's page, without scripts and styles."""
    import nh3  # noqa: PLC0415  (rarely needed, and a build pays for every import)

    # Words of two blocks are two words.
    return html.unescape(nh3.clean(_BLOCKS.sub(r" \g<0>", markup), tags=set()))
