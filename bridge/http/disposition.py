"""``Content-Disposition`` of a part of a form, as clients really write it (RFC 7578 4.2)."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: A quoted value ends at the first quote that is not escaped and after which a parameter ends. So
#: ``filename="my "best" photo.jpg"`` is read as it was meant.
_END = re.compile(r'(?<!\\)"[ \t]{0,8}(?:;|$)')

#: A part has a name and perhaps a file name, both perhaps in two ways.
_MOST = 8

#: What browsers write for the characters that a quoted value cannot hold (HTML, 4.10.21.8).
_ESCAPED = {r"\"": '"', "%22": '"', "%0D": "\r", "%0A": "\n"}


def parameters(header: str) -> dict[str, str]:
    """The parameters by their lower-case names, unquoted; the first of two with one name counts.

    Understands unescaped quotes, no quotes at all and ``filename*=UTF-8''...``; never fails.
    """
    found: dict[str, str] = {}
    _, _, rest = header.partition(";")
    for _ in range(_MOST):
        key, equals, rest = rest.partition("=")
        if not equals:
            break
        value, rest = _value(rest.lstrip())
        name = key.strip(" \t;").lower()
        if name.endswith("*"):
            value = _extended(value)
        found.setdefault(name, value)
    return found


def file_name(given: dict[str, str]) -> str | None:
    """The file's name; ``None`` where the part has none at all, ``""`` where it is empty."""
    return given.get("filename*") or given.get("filename")


def _value(text: str) -> tuple[str, str]:
    """A value at the beginning of ``text``, and what follows it."""
    if not text.startswith('"'):
        value, _, rest = text.partition(";")
        return value.strip(), rest
    end = _END.search(text, 1)
    value, rest = (text[1 : end.start()], text[end.end() :]) if end else (text[1:], "")
    for escaped, character in _ESCAPED.items():
        value = value.replace(escaped, character)
    return value, rest


def _extended(value: str) -> str:
    """Decode ``UTF-8''na%C3%AFve.jpg``; ``""`` for an encoding that no one has to know."""
    charset, _, encoded = value.split("'", 2) if value.count("'") >= 2 else ("", "", "")
    # RFC 8187 has UTF-8 alone, RFC 5987 before it ISO-8859-1, too. Python knows many more, of
    # which some raise errors of their own.
    if charset.lower() not in {"", "utf-8", "iso-8859-1"}:
        return ""
    try:
        return unquote(encoded, charset or "utf-8", "strict")
    except UnicodeDecodeError:
        return ""
