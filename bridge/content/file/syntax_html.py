"""HTML files: ``<title>`` and ``<meta name content>`` in the head, as Pelican's reader has them."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Literal

from bridge.content.file.syntax import Line, Parts

_FILE = re.compile(
    r"(?P<head>.*?)(?P<gap>[ \t]*</head\s*>.*?<body\b[^>]*>)(?P<body>.*)(?P<tail></body\s*>.*)",
    re.DOTALL | re.IGNORECASE,
)
_HEADER = re.compile(
    r"""<title\b[^>]*>(?P<title>.*?)</title\s*>
      | <meta\b(?=[^>]*?\bname\s*=\s*["']?(?P<name>[\w-]+))
        (?=[^>]*?\bcontents?\s*=\s*(?P<quote>["'])(?P<content>.*?)(?P=quote))[^>"']*
        (?:(?:"[^"]*"|'[^']*')[^>"']*)*>""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
#: Pelican writes such a value between single quotes, whatever else is in it.
_BOTH_QUOTES = re.compile(r"""="[^"<>]*&quot;[^"<>]*\"""")
_CONTENT = re.compile(r"""(\bcontents?\s*=\s*)(["']).*?\2""", re.DOTALL | re.IGNORECASE)


class HtmlSyntax:
    """``.html``: headers of posts written by hand can be changed one by one."""

    name: Literal["html"] = "html"
    suffix = "html"

    def parse(self, text: str) -> Parts:
        """A file without head and body is a body without headers."""
        match = _FILE.fullmatch(text)
        if match is None:
            return Parts(body=text)
        return Parts(tuple(_lines(match["head"])), match["gap"], match["body"], match["tail"])

    def changed(self, line: Line, value: str) -> Line:
        """The element with another value, its other attributes kept."""
        if line.key == "title":
            raw = re.sub(r"(?<=>)[^<]*(?=<)", lambda _: value, line.raw, count=1)
        else:
            shown = f'"{escape(value)}"'
            raw = _CONTENT.sub(lambda match: match[1] + shown, line.raw, count=1)
        return Line(raw, line.key, value)

    def added(self, key: str, value: str, newline: str) -> Line:
        """``<meta name="key" content="value">``."""
        raw = f'<meta name="{key.lower()}" content="{escape(value)}">{newline}'
        return Line(raw, key.lower(), value)

    def html_body(self, html: str) -> str:
        """HTML is what the body is."""
        written = _BOTH_QUOTES.sub(lambda match: match[0].replace("'", "’"), html)
        return f"\n{written}\n"


def _lines(head: str) -> list[Line]:
    """The head's elements that are headers, and what stands between them."""
    lines: list[Line] = []
    position = 0
    for match in _HEADER.finditer(head):
        if match.start() > position:
            lines.append(Line(head[position : match.start()], "", ""))
        if match["name"]:
            key = match["name"].lower()
            value = " ".join(unescape(match["content"]).split())
            lines.append(Line(match.group(), "tags" if key == "keywords" else key, value))
        else:
            lines.append(Line(match.group(), "title", " ".join(match["title"].split())))
        position = match.end()
    return [*lines, Line(head[position:], "", "")] if position < len(head) else lines
