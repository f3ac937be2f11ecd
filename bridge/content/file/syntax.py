"""What the formats of Pelican's source files have in common: headers, then a body.

Each format knows how a file is taken apart, and how one header of it is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

_PHYSICAL_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?")


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of a file's head. ``key`` is lower case; empty for what is not a header.

    ``value`` is what Pelican gets to see of the header, on one line.
    """

    raw: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A file taken apart; put together again it is the same to the byte.

    ``gap`` ends the head, ``""`` if nothing does; ``tail`` follows the body.
    """

    lines: tuple[Line, ...] = ()
    gap: str = ""
    body: str = ""
    tail: str = ""


class Syntax(Protocol):
    """A format of source files."""

    @property
    def name(self) -> Literal["markdown", "rst", "html"]:
        """The format."""
        ...

    @property
    def suffix(self) -> str:
        """The usual suffix of its files."""
        ...

    def parse(self, text: str) -> Parts:
        """Take a file apart. Never fails."""
        ...

    def changed(self, line: Line, value: str) -> Line:
        """The line with another value, its spelling and spacing kept."""
        ...

    def added(self, key: str, value: str, newline: str) -> Line:
        """A new line."""
        ...

    def html_body(self, html: str) -> str:
        """A body that shows this HTML."""
        ...


def physical_line(text: str, position: int) -> str:
    """The line that begins at a position, with its end."""
    match = _PHYSICAL_LINE.match(text, position)
    return match.group() if match else ""


def physical_lines(text: str) -> list[str]:
    """All lines, with their ends."""
    return [line for line in _PHYSICAL_LINE.findall(text) if line]


def line_end(raw: str) -> str:
    """How a line ends: ``\\n``, ``\\r\\n``, ``\\r`` or not at all."""
    return raw[len(raw.rstrip("\r\n")) :]
