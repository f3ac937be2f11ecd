"""Plain text out of HTML."""

from __future__ import annotations

import html

from markupsafe import Markup

_TEXT = {
    *("p", "br", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre", "code"),
    *("em", "strong", "b", "i", "sub", "sup"),
}


def stripped(markup: str) -> str:
    """What a reader sees of a title or a summary, which Pelican keeps as HTML.

    It is bare text again: to be escaped where it is printed.
    """
    if "<" not in markup and "&" not in markup:
        return markup
    return Markup(markup).striptags()  # noqa: S704  (taken apart, never printed as it is)


def without_attributes(markup: str) -> str:
    """Harmless HTML that is no more than paragraphs, lists and stress: nothing links or loads."""
    import nh3  # noqa: PLC0415  (as below)

    return nh3.clean(markup, tags=_TEXT, attributes={}).strip()


def sanitised(markup: str) -> str:
    """The same for a page of someone else's: scripts and styles go with all that they hold."""
    import nh3  # noqa: PLC0415  (rarely needed, and a build pays for every import)

    return html.unescape(nh3.clean(markup, tags=set()))
