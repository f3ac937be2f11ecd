"""A Pelican Markdown file as header lines and a body, with every byte kept.

Pelican reads ``Key: value`` lines up to the first blank line (Python-Markdown's ``meta``
extension). This module reads by the same rules and changes one line at a time, so that a diff
shows nothing but what was meant: unknown keys, their order and spelling, spacing, continuation
lines, a byte order mark and line ends all stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bridge.content.characters import is_one_clean_line

_PHYSICAL_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?")
_KEY = re.compile(r"[ ]{0,3}(?P<key>[A-Za-z0-9_-]+):(?P<space>\s*)(?P<value>.*)")
_MORE = re.compile(r"[ ]{4,}(?P<value>.*)")
_OPENING_FENCE = re.compile(r"-{3}(\s.*)?$")
_CLOSING_FENCE = re.compile(r"(-{3}|\.{3})(\s.*)?$")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_IGNORED_BY_MARKDOWN = str.maketrans("", "", "\x02\x03")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Line:
    """One physical header line; ``key`` is lower case, empty for an opening fence."""

    raw: str
    key: str
    value: str
    continues: bool = False


@dataclass(frozen=True, slots=True)
class PelicanFile:
    """The text of a post's file. ``gap`` is the line that ends the header, ``""`` if none does."""

    lines: tuple[_Line, ...] = ()
    gap: str = "\n"
    body: str = ""
    bom: str = ""
    newline: str = "\n"

    @classmethod
    def parse(cls, text: str) -> PelicanFile:
        """Split a file's text. Never fails: what is no header is body."""
        bom = _BOM if text.startswith(_BOM) else ""
        position, gap = len(bom), ""
        lines: list[_Line] = []
        while position < len(text):
            raw = _physical_line(text, position)
            line = _read_line(raw, lines)
            if line is None:
                if _ends_header(raw):
                    gap, position = raw, position + len(raw)
                break
            lines.append(line)
            position += len(raw)
        return cls(tuple(lines), gap, text[position:], bom, _newline_of(text))

    def text(self) -> str:
        """The file, byte for byte what was parsed apart from what was changed since."""
        return f"{self.bom}{''.join(line.raw for line in self.lines)}{self.gap}{self.body}"

    def values(self, key: str) -> tuple[str, ...]:
        """Every value of a key: repeated keys and continuation lines, as Pelican reads."""
        wanted = key.lower()
        return tuple(line.value for line in self.lines if line.key == wanted)

    def get(self, key: str) -> str | None:
        """The value that counts where Pelican allows one (the first), or ``None``."""
        wanted = key.lower()
        return next((line.value for line in self.lines if line.key == wanted), None)

    def keys(self) -> tuple[str, ...]:
        """The keys that are there, lower case, each once, in order."""
        return tuple(dict.fromkeys(line.key for line in self.lines if line.key))

    def with_header(self, key: str, value: str | None) -> PelicanFile:
        """A copy in which ``key`` has exactly this value; ``None`` takes the key away.

        Raises ``ValueError`` for a value that would not stay on its line: whoever calls has to
        clean what a client sent.
        """
        wanted = key.lower()
        if not _NAME.fullmatch(key) or not is_one_clean_line(value or ""):
            raise ValueError(f"not a header: {key!r}: {value!r}")
        kept: list[_Line] = []
        written = value is None
        for line in self.lines:
            if line.key != wanted:
                kept.append(line)
            elif not written and value is not None:
                kept.append(_with_value(line, value))
                written = True
        if written:
            return self if tuple(kept) == self.lines else replace(self, lines=tuple(kept))
        return self._with_new_line(kept, f"{key}: {value}".rstrip(" "), wanted, value or "")

    def with_body(self, body: str) -> PelicanFile:
        """A copy with another body (written with ``\\n``, stored with the file's line ends)."""
        stored = body if self.newline == "\n" else body.replace("\n", self.newline)
        return replace(self, body=stored, gap=self.gap or self.newline)

    def _with_new_line(self, kept: list[_Line], shown: str, key: str, value: str) -> PelicanFile:
        """Add a line at the end, but before the long ``Mf2`` line, which stays last."""
        place = len(kept)
        if kept and kept[-1].key == "mf2":
            place = next(index for index, line in enumerate(kept) if line.key == "mf2")
        if kept and not kept[-1].raw.endswith(("\n", "\r")):
            kept[-1] = replace(kept[-1], raw=kept[-1].raw + self.newline)
        kept.insert(place, _Line(shown + self.newline, key, value))
        return replace(self, lines=tuple(kept), gap=self.gap or self.newline)


def _physical_line(text: str, position: int) -> str:
    match = _PHYSICAL_LINE.match(text, position)
    return match.group() if match else ""


def _as_markdown_sees(raw: str) -> str:
    return raw.rstrip("\r\n").translate(_IGNORED_BY_MARKDOWN).expandtabs(4)


def _ends_header(raw: str) -> bool:
    """A blank line or a closing fence ends the header; anything else belongs to the body."""
    seen = _as_markdown_sees(raw)
    return not seen.strip() or _CLOSING_FENCE.match(seen) is not None


def _read_line(raw: str, before: list[_Line]) -> _Line | None:
    """The header line that ``raw`` is after these others, or ``None`` if the header is over."""
    seen = _as_markdown_sees(raw)
    if not before and _OPENING_FENCE.match(seen):
        return _Line(raw, "", "")
    if _ends_header(raw):
        return None
    if match := _KEY.match(seen):
        return _Line(raw, match["key"].lower(), match["value"].strip())
    if before and before[-1].key and (match := _MORE.match(seen)):
        return _Line(raw, before[-1].key, match["value"].strip(), continues=True)
    return None


def _with_value(line: _Line, value: str) -> _Line:
    """The line with its own key spelling, spacing and line end, and another value."""
    if line.value == value:
        return line
    end = line.raw[len(line.raw.rstrip("\r\n")) :]
    key, _, rest = line.raw.partition(":")
    space = rest[: len(rest) - len(rest.lstrip(" \t"))] if line.value else " "
    return replace(line, raw=f"{key}:{space}{value}".rstrip(" \t") + end, value=value)


def _newline_of(text: str) -> str:
    match = re.search(r"\r\n|\n|\r", text)
    return match.group() if match else "\n"
