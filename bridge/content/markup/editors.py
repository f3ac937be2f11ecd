"""Converts the styles of rich text editors to HTML elements with the same meaning.

A post has no styles of its own. Google Docs pastes everything within ``<b style="font-weight:
normal">`` and has bold words in a ``<span>``; to Quill, a list of bullets is an ``<ol>``, and what
is nested a class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

#: Possessive, here and below: backtracking would take hundreds of bytes for each character.
_ATTRIBUTES = r"(?P<attributes>(?:[^<>\"']++|\"[^\"]*\"|'[^']*')*+)"
#: An element that may have a style; or any other, whose alt text may contain something like one.
_STYLED = re.compile(
    r"<(?:/(?P<end>b|strong|i|em|span|font)\s*"
    rf"|(?:(?P<tag>b|strong|i|em|span|font)(?=[\s/>])|[a-z]){_ATTRIBUTES})>",
    re.IGNORECASE,
)
_STYLE = re.compile(r"""\sstyle\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_LINES = ("text-decoration", "text-decoration-line")
_WORD = re.compile(r"[\w-]+")


def _values(name: str, *values: str) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for value in values)


#: The elements with the meaning of these words in a style's properties.
_MEANINGS = {
    "strong": _values("font-weight", "bold", "bolder", "600", "700", "800", "900"),
    "em": _values("font-style", "italic", "oblique"),
    "s": frozenset((name, "line-through") for name in _LINES),
    "u": frozenset((name, "underline") for name in _LINES),
    "sup": _values("vertical-align", "super"),
    "sub": _values("vertical-align", "sub"),
}
_NOT_BOLD = _values("font-weight", "normal", "lighter", "100", "200", "300", "400")
_NOT_SLANTED = _values("font-style", "normal")

_BLOCK = re.compile(rf"<(?P<tag>p|h[1-6]|div)(?=[\s/>]){_ATTRIBUTES}>", re.IGNORECASE)
_ALIGNED = re.compile(
    r"text-align\s*:\s*(center|right)\b|\b(?:ql-align|has-text-align)-(center|right)\b"
)

_ITEM = r"<li\b(?P<attributes>[^<>]*)>(?P<content>(?:[^<]++|<(?!/?(?:li|ol|ul)\b))*+)</li>\s*"
_ITEMS = re.compile(_ITEM, re.IGNORECASE)
_LIST = re.compile(
    rf"<(?P<kind>ol|ul)\b[^<>]*>\s*(?P<items>(?:{re.sub('[?]P<[a-z]+>', '?:', _ITEM)})+)"
    r"</(?P=kind)\s*>",
    re.IGNORECASE,
)
_INDENT = re.compile(r"\bql-indent-([1-8])\b")
_KIND = re.compile(r"\bdata-list\s*=\s*[\"']?(ordered|bullet|checked|unchecked)\b")
_BOXES = {"checked": "☑ ", "unchecked": "☐ "}


def with_elements(html: str) -> str:
    """HTML whose styles, classes and data that mean something are elements and ``align``.

    What it returns is not sanitised.
    """
    if "<li" in html and ("ql-indent-" in html or "data-list" in html):
        html = _LIST.sub(_list, html)
    if "text-align" in html or "ql-align" in html:
        html = _BLOCK.sub(_block, html)
    return "".join(_styled(html)) if _STYLE.search(html) else html


def _styled(html: str) -> Iterator[str]:
    """The HTML in pieces, with an element around the text of each style that has one."""
    opened = dict[str, list[str]]()
    end = 0
    for match in _STYLED.finditer(html):
        yield html[end : match.start()]
        end = match.end()
        if match["tag"]:
            start, closing = _elements(match)
            opened.setdefault(match["tag"].lower(), []).append(closing)
            yield start
            continue
        closings = opened.get((match["end"] or "").lower())
        yield closings.pop() if closings else match[0]
    yield html[end:]


def _elements(match: re.Match[str]) -> tuple[str, str]:
    """The start tags for an element with a style, and their end tags."""
    tag = match["tag"].lower()
    found = _STYLE.search(match["attributes"])
    declared = frozenset(_declarations(found[1] or found[2] or "")) if found else frozenset()
    is_plain = (tag in {"b", "strong"} and declared & _NOT_BOLD) or (
        tag in {"i", "em"} and declared & _NOT_SLANTED
    )
    if is_plain:
        tag = "span"
    added = [name for name, ways in _MEANINGS.items() if declared & ways]
    if tag in {"b", "strong"}:
        added = [name for name in added if name != "strong"]
    if tag in {"i", "em"}:
        added = [name for name in added if name != "em"]
    first = f"<{tag}{match['attributes']}>" if added or is_plain else match[0]
    starts = "".join(f"<{name}>" for name in added)
    return first + starts, "".join(f"</{name}>" for name in reversed(added)) + f"</{tag}>"


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    """The properties of a style, with each word of their values."""
    for declaration in style.lower().split(";"):
        name, _, value = declaration.partition(":")
        yield from ((name.strip(), word) for word in _WORD.findall(value))


def _block(match: re.Match[str]) -> str:
    found = _ALIGNED.search(match["attributes"].lower())
    if not found or re.search(r"\salign\s*=", match["attributes"], re.IGNORECASE):
        return match[0]
    return f'<{match["tag"]} align="{found[1] or found[2]}"{match["attributes"]}>'


class _Item(Struct, frozen=True):
    """An item of one of Quill's lists, which are flat."""

    level: int
    kind: str
    html: str


def _list(match: re.Match[str]) -> str:
    usual = match["kind"].lower()
    items = [_item(found, usual) for found in _ITEMS.finditer(match["items"])]
    if all(item.kind == usual and not item.level for item in items):
        return match[0]
    return "".join(_nested(items))


def _item(match: re.Match[str], usual: str) -> _Item:
    indent, kind = _INDENT.search(match["attributes"]), _KIND.search(match["attributes"])
    box = _BOXES.get(kind[1], "") if kind else ""
    named = usual if not kind else "ol" if kind[1] == "ordered" else "ul"
    return _Item(int(indent[1]) if indent else 0, named, f"<li>{box}{match['content']}")


def _nested(items: Sequence[_Item]) -> Iterator[str]:
    """The items as lists within lists."""
    opened = list[str]()
    least = min(item.level for item in items)
    for item in items:
        level = item.level - least
        while len(opened) > level + 1:
            yield f"</li></{opened.pop()}>"
        if len(opened) <= level:
            # One level deeper than the item before, even if a level was skipped.
            yield f"<{item.kind}>"
            opened.append(item.kind)
        elif opened[-1] == item.kind:
            yield "</li>"
        else:
            yield f"</li></{opened.pop()}><{item.kind}>"
            opened.append(item.kind)
        yield item.html
    while opened:
        yield f"</li></{opened.pop()}>"
