"""Plain text from HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from markupsafe import Markup

from pelican_indieauth.entry.elements import SHOWN

_TEXT = {
    *("p", "br", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre", "code"),
    *("em", "strong", "b", "i", "sub", "sup"),
}

_BLOCKS = re.compile(
    r"<(?:/?(?:p|div|li|h[1-6]|blockquote|pre|table|tr|t[dh]|[uod]l|d[td]|section|article|figure|figcaption"
    r"|summary|details)|[bh]r)\b",
    re.IGNORECASE,
)

#: A formula in MathML with its attributes and content, and an element without elements in it.
_FORMULA = re.compile(r"<math\b([^<>]*)>((?:(?!<math\b).)*?)</math\s*>", re.IGNORECASE | re.DOTALL)
_INNERMOST = re.compile(r"<([a-z-]++)\b[^<>]*>([^<>]*)</\1\s*>", re.IGNORECASE)
_SAID = re.compile(r"""\balttext\s*=\s*(?:"([^"]+)"|'([^']+)')""", re.IGNORECASE)
#: A picture as the sanitiser writes it, with its attributes; an attribute with its value.
_IMAGE = re.compile(r'<img((?: [a-z]+="[^"]*")*+)>')
_ATTRIBUTE = re.compile(r' ([a-z]+)="([^"]*)"')
#: What is written between the parts of these elements; what is not shown at all.
_BETWEEN = {"msup": "^", "mover": "^", "msub": "_", "munder": "_", "mfrac": "/"}
_SILENT = {"annotation", "annotation-xml", "mphantom", "script", "style"}
_DEEPEST_FORMULA = 50
_PART = "\x00"

#: Characters that are invalid in XML, and so in a feed, but line ends and tabs.
_INVALID = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def stripped(markup: str) -> str:
    """The visible text of a title or summary, which Pelican keeps as HTML.

    It is unescaped, so it must be escaped when printed.
    """
    if "<" not in markup and "&" not in markup:
        return markup
    return Markup(markup).striptags()  # noqa: S704  (taken apart, never printed as it is)


def simplified(markup: str, picture: Callable[[str], str | None]) -> str:
    """Sanitised HTML of paragraphs, lists, emphasis and pictures only: nothing that links.

    ``picture`` returns the URL of a picture that may be loaded, for its source; of others, the
    alternative text is shown.
    """

    def attribute(_: str, name: str, value: str) -> str | None:
        return picture(value) if name == "src" else value

    clean = _clean(markup, {*_TEXT, "img"}, {"img": {"src", "alt"}}, attribute)
    return _IMAGE.sub(_shown_picture, clean).strip()


def _shown_picture(image: re.Match[str]) -> str:
    values = dict(_ATTRIBUTE.findall(image[1]))
    # Between quotation marks both may stand as they are.
    alternative = values.get("alt", "").replace("<", "&lt;").replace(">", "&gt;")
    if source := values.get("src"):
        return f'<img src="{source}" alt="{alternative}" loading="lazy" {SHOWN}>'
    return f" {alternative} " if alternative else ""


def on_a_line(markup: str) -> str:
    """The words of :func:`simplified` HTML; of a picture, its alternative text."""
    words = _IMAGE.sub(lambda image: f" {dict(_ATTRIBUTE.findall(image[1]))['alt']} ", markup)
    return sanitised(words).strip()


def sanitised(markup: str) -> str:
    """Sanitised HTML of another site's page, without scripts and styles."""
    # Words of two blocks are two words.
    return html.unescape(_clean(_BLOCKS.sub(r" \g<0>", markup), set()))


def _clean(
    markup: str,
    tags: set[str],
    attributes: dict[str, set[str]] | None = None,
    attribute: Callable[[str, str, str], str | None] | None = None,
) -> str:
    import nh3  # noqa: PLC0415  (rarely needed, and a build pays for every import)

    markup = _FORMULA.sub(_formula_in_words, _INVALID.sub(" ", markup))
    allowed = attributes or {}
    clean = nh3.clean(markup, tags=tags, attributes=allowed, attribute_filter=attribute)
    # Again, because a reference may have stood for such a character.
    return _INVALID.sub(" ", clean)


def _formula_in_words(formula: re.Match[str]) -> str:
    """A formula on one line, as its author says it or as ``x^2``, ``(a+b)/2``, ``√3``."""
    if said := _SAID.search(formula[1]):
        return said[1] or said[2]
    words = formula[2]
    for _ in range(_DEEPEST_FORMULA):
        words, found = _INNERMOST.subn(_element_in_words, words)
        if not found:
            break
    return words.replace(_PART, "")


def _element_in_words(element: re.Match[str]) -> str:
    name = element[1].lower()
    if name in _SILENT:
        return ""
    parts = [part.strip() for part in element[2].split(_PART) if part.strip()]
    if name in _BETWEEN:
        parts = [_BETWEEN[name].join(map(_bracketed, parts))]
    elif name in {"msubsup", "munderover"} and len(parts) == 3:
        base, below, above = map(_bracketed, parts)
        parts = [f"{base}_{below}^{above}"]
    elif name == "msqrt":
        parts = [f"√{_bracketed(''.join(parts))}"]
    elif name == "mroot" and len(parts) == 2:
        parts = [f"{_bracketed(parts[0])}^(1/{parts[1]})"]
    return "".join(parts) + _PART


def _bracketed(part: str) -> str:
    """A part in brackets, if it is more than a name or a number."""
    shown = html.unescape(part)
    return part if shown.isalnum() or len(shown) < 2 else f"({part})"
