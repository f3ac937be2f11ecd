"""Parses ``Content-Disposition`` of a form's parts, as clients send it (RFC 7578 4.2)."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: A quoted value ends at the first unescaped quote that is followed by the end of the parameter, so
#: that ``filename="my "best" photo.jpg"`` is read as meant.
_END = re.compile(r'(?<!\\)"[ \t]{0,8}(?:;|$)')

#: Largest number of parameters: a name and a file name, each maybe in two encodings.
_MOST = 8

#: Browsers' escapes for characters that are not allowed in a quoted value (HTML 4.10.21.8).
_ESCAPED = {r"\"": '"', "%22": '"', "%0D": "\r", "%0A": "\n"}


def parameters(header: str) -> dict[str, str]:
    """The parameters by lower-case name, unquoted; of duplicates the first counts.

    Accepts unescaped quotes, missing quotes and ``filename*=UTF-8''...``; never raises.
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
    """The file's name; ``None`` where there is no such parameter, ``""`` where it is empty."""
    return given.get("filename*") or given.get("filename")


def _value(text: str) -> tuple[str, str]:
    """The value at the start of ``text``, and what follows it."""
    if not text.startswith('"'):
        value, _, rest = text.partition(";")
        return value.strip(), rest
    end = _END.search(text, 1)
    value, rest = (text[1 : end.start()], text[end.end() :]) if end else (text[1:], "")
    for escaped, character in _ESCAPED.items():
        value = value.replace(escaped, character)
    return value, rest


def _extended(value: str) -> str:
    """Decode ``UTF-8''na%C3%AFve.jpg``; ``""`` for another encoding."""
    charset, _, encoded = value.split("'", 2) if value.count("'") >= 2 else ("", "", "")
    # RFC 8187 allows UTF-8 only, RFC 5987 before it ISO-8859-1, too. Python knows many more, some
    # of which raise errors of their own.
    if charset.lower() not in {"", "utf-8", "iso-8859-1"}:
        return ""
    try:
        return unquote(encoded, charset or "utf-8", "strict")
    except UnicodeDecodeError:
        return ""
