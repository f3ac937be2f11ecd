"""``Key: value`` lines up to the first blank line, as Python-Markdown's ``meta`` reads them."""

from __future__ import annotations

import re
from typing import Literal

from bridge.content.file.syntax import Line, Parts, line_end, physical_line

#: Nearly every line of nearly every head: read at once, with the same result.
_PLAIN = re.compile(r"(?P<key>[A-Za-z][A-Za-z0-9_-]*):(?P<value>[^\t\r\n\x02\x03]*)\n")
_KEY = re.compile(r"[ ]{0,3}(?P<key>[A-Za-z0-9_-]+):(?P<space>\s*)(?P<value>.*)")
_MORE = re.compile(r"[ ]{4,}(?P<value>.*)")
_OPENING_FENCE = re.compile(r"-{3}(\s.*)?$")
_CLOSING_FENCE = re.compile(r"(-{3}|\.{3})(\s.*)?$")


class MarkdownSyntax:
    """``.md`` and its relatives: what the bridge itself writes."""

    name: Literal["markdown"] = "markdown"
    suffix = "md"

    def parse(self, text: str) -> Parts:
        """Whatever is not a header is body."""
        lines: list[Line] = []
        position, gap = 0, ""
        while position < len(text):
            if match := _PLAIN.match(text, position):
                lines.append(Line(match.group(), match["key"].lower(), match["value"].strip()))
                position = match.end()
                continue
            raw = physical_line(text, position)
            seen = _as_markdown_sees(raw)
            line = _read(raw, seen, lines)
            if line is None:
                if _ends_head(seen):
                    gap, position = raw, position + len(raw)
                break
            lines.append(line)
            position += len(raw)
        return Parts(tuple(lines), gap, text[position:])

    def changed(self, line: Line, value: str) -> Line:
        """The line with its own key spelling, spacing and line end."""
        key, _, rest = line.raw.partition(":")
        space = rest[: len(rest) - len(rest.lstrip(" \t"))] if line.value else " "
        raw = f"{key}:{space}{value}".rstrip(" \t") + line_end(line.raw)
        return Line(raw, line.key, value)

    def added(self, key: str, value: str, newline: str) -> Line:
        """``Key: value``."""
        return Line(f"{key}: {value}".rstrip(" ") + newline, key.lower(), value)

    def html_body(self, html: str) -> str:
        """HTML in Markdown."""
        return html


def _as_markdown_sees(raw: str) -> str:
    return raw.rstrip("\r\n").replace("\x02", "").replace("\x03", "").expandtabs(4)


def _ends_head(seen: str) -> bool:
    """A blank line or a closing fence ends the head; anything else belongs to the body."""
    return not seen.strip() or _CLOSING_FENCE.match(seen) is not None


def _read(raw: str, seen: str, before: list[Line]) -> Line | None:
    """The header line that ``raw`` is after these others, or ``None`` if the head is over."""
    if not before and _OPENING_FENCE.match(seen):
        return Line(raw, "", "")
    if _ends_head(seen):
        return None
    if match := _KEY.match(seen):
        return Line(raw, match["key"].lower(), match["value"].strip())
    if before and before[-1].key and (match := _MORE.match(seen)):
        return Line(raw, before[-1].key, match["value"].strip())
    return None
