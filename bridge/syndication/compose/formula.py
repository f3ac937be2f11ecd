"""The text of a formula (MathML), for networks that show text only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bs4 import Tag

#: What is written between the parts of these elements.
_BETWEEN: Mapping[str, str] = {
    **dict.fromkeys(("msup", "mover"), "^"),
    **dict.fromkeys(("msub", "munder"), "_"),
    "mfrac": "/",
    "mtr": " ",
    "mtable": "; ",
}
_TOKENS = frozenset({"mi", "mn", "mo", "mtext", "ms"})
#: What is not shown: other forms of the formula, and the operators that only machines need.
_SILENT = frozenset({"annotation", "annotation-xml", "mphantom", "mprescripts", "mspace"})
_INVISIBLE = re.compile(r"[\u2061-\u2064]")
_DEEPEST = 50


def in_words(formula: Tag) -> str:
    """The formula on one line: ``x^2``, ``(a+b)/2``, ``√3``."""
    return _INVISIBLE.sub("", " ".join(_written(formula, 0).split()))


def _written(tag: Tag, depth: int) -> str:
    children = tag.find_all(recursive=False)
    if tag.name in _TOKENS or not children or depth > _DEEPEST:
        return tag.get_text()
    parts = [_written(each, depth + 1) for each in children if each.name not in _SILENT]
    if tag.name in {"msubsup", "munderover"} and len(parts) > 2:
        base, below, above = map(_bracketed, parts[:3])
        return f"{base}_{below}^{above}"
    if tag.name in {"msup", "mover", "msub", "munder", "mfrac"}:
        return _BETWEEN[tag.name].join(map(_bracketed, parts))
    if tag.name == "msqrt":
        return f"√{_bracketed(''.join(parts))}"
    if tag.name == "mroot" and len(parts) > 1:
        return f"{_bracketed(parts[0])}^(1/{parts[1]})"
    return _BETWEEN.get(tag.name, "").join(parts)


def _bracketed(part: str) -> str:
    """A part in brackets, if it is more than a name or a number."""
    part = part.strip()
    return part if part.isalnum() or len(part) < 2 else f"({part})"
