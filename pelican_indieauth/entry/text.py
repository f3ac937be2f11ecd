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

#: A formula in MathML with its attributes and content, and an element without elements in it.
_FORMULA = re.compile(r"<math\b([^<>]*)>((?:(?!<math\b).)*?)</math\s*>", re.IGNORECASE | re.DOTALL)
_INNERMOST = re.compile(r"<([a-z-]++)\b[^<>]*>([^<>]*)</\1\s*>", re.IGNORECASE)
_SAID = re.compile(r"""\balttext\s*=\s*(?:"([^"]+)"|'([^']+)')""", re.IGNORECASE)
#: A picture with its attributes, whose values may have ``>``, and an attribute with its value.
_IMAGE = re.compile(r"""<img(?=[\s/>])((?:[^<>"']|"[^"]*"|'[^']*')*+)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s=<>"'/]++)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
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


def without_attributes(markup: str) -> str:
    """Sanitised HTML of paragraphs, lists and emphasis only: nothing that links or loads. Of a
    picture, its alternative text.
    """
    return _clean(_IMAGE.sub(_alternative, markup), _TEXT).strip()


def _alternative(image: re.Match[str]) -> str:
    for name, *values in _ATTRIBUTE.findall(image[1]):
        if name.lower() == "alt":
            # Between quotation marks both may stand as they are.
            return "".join(values).replace("<", "&lt;").replace(">", "&gt;")
    return ""


def sanitised(markup: str) -> str:
    """Sanitised HTML of another site's page, without scripts and styles."""
    # Words of two blocks are two words.
    return html.unescape(_clean(_BLOCKS.sub(r" \g<0>", markup), set()))


def _clean(markup: str, tags: set[str]) -> str:
    import nh3  # noqa: PLC0415  (rarely needed, and a build pays for every import)

    markup = _FORMULA.sub(_formula_in_words, _INVALID.sub(" ", markup))
    clean = nh3.clean(markup, tags=tags, attributes={})
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
