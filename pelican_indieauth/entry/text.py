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


#: Characters that are invalid in XML, and so in a feed, but line ends and tabs.
_INVALID = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def stripped(markup: str) -> str:
    """The visible text of a title or summary, which Pelican keeps as HTML.

    It is unescaped, so it must be escaped when printed.
    """
    if "<" not in markup and "&" not in markup:
        return markup
    return Markup(markup).striptags()  # noqa: S704  (taken apart, never printed as it is)


def without_attributes(markup: str) -> str:
    """Sanitised HTML of paragraphs, lists and emphasis only: nothing that links or loads."""
    return _clean(markup, _TEXT).strip()


def sanitised(markup: str) -> str:
    """Sanitised HTML of another site's page, without scripts and styles."""
    # Words of two blocks are two words.
    return html.unescape(_clean(_BLOCKS.sub(r" \g<0>", markup), set()))


def _clean(markup: str, tags: set[str]) -> str:
    import nh3  # noqa: PLC0415  (rarely needed, and a build pays for every import)

    clean = nh3.clean(_INVALID.sub(" ", markup), tags=tags, attributes={})
    # Again, because a reference may have stood for such a character.
    return _INVALID.sub(" ", clean)
