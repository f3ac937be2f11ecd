"""Recognises the blocks of CommonMark by their lines (numbers are its sections)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from bridge.content.markup.changes import ChangedText

MARKER = re.compile(r"(?P<mark>[-+*]|(?P<number>[0-9]{1,9})(?P<delimiter>[.)]))(?P<gap> +|\t|$)")
#: Numbers that are markers to Python-Markdown only (5.2: at most nine ASCII digits).
NO_MARKER = re.compile(r"(?![0-9]{1,9}\.)\d+(?=\.[ \t])")
RULE = re.compile(r"(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}")
FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)")
#: The info strings that Python-Markdown can read, and the first word of others.
_KNOWN_INFO = re.compile(r" *(?:\{[^\n]*\}|\.?[\w#.+-]* *(?:hl_lines=(?P<q>[\"']).*?(?P=q) *)?)")
_FIRST_WORD = re.compile(r" *[\w#.+-]+(?=\s|$)")
HEADING = re.compile(r"#{1,6}(?:\s|$)")
#: What ends a paragraph, and so cannot be a lazy continuation line (5.2).
BLOCK = re.compile(r"`{3,}|~{3,}|#{1,6}(?:\s|$)|>")
NO_HEADING = re.compile(r"#{7,}|#{1,6}[^\s#]")
#: The line below a heading (4.3), and a definition of a link, which cannot interrupt a paragraph
#: (4.7); ``[^1]:`` is a footnote of Python-Markdown's.
UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*")
DEFINITION = re.compile(r"\[(?!\^)[^\[\]]+\]:[ ]*\S")
#: HTML that Python-Markdown copies up to its end, blank lines included.
HTML = re.compile(
    r"<(?:(?P<comment>!--)|(?P<tag>address|article|aside|blockquote|body|canvas|center|dd|details"
    r"|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|hgroup|iframe|li"
    r"|main|math|menu|nav|noscript|object|ol|p|pre|script|section|style|summary|svg|table|tbody|td"
    r"|template|textarea|tfoot|th|thead|tr|ul|video)\b)",
    re.IGNORECASE,
)
_DELIMITER_ROW = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
#: Formulas, which are for plugins: no list begins in them.
_FORMULA = re.compile(r"(?P<start>\$\$|\\\[|\\begin\{\w+\*?\})")
_FORMULA_ENDS = {"$$": "$$", "\\[": "\\]"}
#: HTML in which Markdown may follow a blank line.
AROUND = re.compile(
    r"<(?:details|div|center|section|article|aside|figure|main)(?=[\s>])(?P<attributes>[^<>]*)>\s*"
    r"(?:<summary>.*</summary>\s*)?",
    re.IGNORECASE,
)
_LONGEST_HEADING = 20  # lines
_FAR = 500  # lines: a search for each of many must not take long
#: By how much Python-Markdown has the content of a list's item indented (its ``tab_length``).
TAB = 4


class ListItem(Struct):
    """An item of a list: where its marker stands, and where its content begins (in columns).

    ``mark``: its bullet, or what follows its number. ``has_further``: there is more in it after a
    blank line. ``is_empty``: there is nothing in it yet.
    """

    marker: int
    content: int
    mark: str
    has_further: bool = False
    is_empty: bool = False


class Fence(Struct):
    """A fenced code block; ``indented``: it is written as an indented one. ``content``: the column
    of the content of the item that it is in.
    """

    marks: str
    indent: int
    depth: int
    content: int = 0
    indented: bool = False

    def write(self, output: ChangedText, line: str) -> bool:
        """Write a line of the code; returns whether it is the last one."""
        ends = self._is_end(line[min(self.content, indent_of(line)) :])
        had = min(indent_of(line), self.indent)
        if ends:
            output.replace(line, "" if self.indented else self.marks)
        elif not self.indented:
            output.replace(line[:had], "")
            output.keep(line[had:])
        elif line.strip():
            output.replace(line[:had], " " * (TAB * (self.depth + 1)))
            output.keep(line[had:])
        else:
            output.keep(line)
        return ends

    def _is_end(self, line: str) -> bool:
        """Whether a line ends the code: "at least as many" marks as began it, indented by less than
        four (4.5)."""
        text = line.strip(" ")
        few = indent_of(line) < TAB
        return few and set(text) == {self.marks[0]} and len(text) >= len(self.marks)


def list_marker(text: str) -> re.Match[str] | None:
    """The marker of a list item, if the line begins with one."""
    return None if RULE.fullmatch(text) else MARKER.match(text)


def interrupts(text: str, marker: re.Match[str]) -> bool:
    """Whether an item may stand right below a paragraph: "In order for a list to interrupt a
    paragraph, it must start with 1", and not with an empty item (5.3)."""
    return marker["number"] in {None, "1"} and bool(text[marker.end() :].strip())


def rule(text: str) -> str:
    """A rule as Python-Markdown knows it: with at most two spaces between its marks."""
    return re.sub(r"[ \t]{3,}|\t", " ", text)


def ends_with_backslash(text: str) -> bool:
    """Whether a line ends with a hard line break (6.7) as a backslash, which is not escaped."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def raw_end(text: str) -> str | None:
    """The end of HTML, or of a formula, that begins with this line; ``""`` if that is in the line
    itself, ``None`` if neither begins.
    """
    if found := HTML.match(text):
        end = "-->" if found["comment"] else f"</{found['tag'].lower()}"
    elif found := _FORMULA.match(text):
        start = found["start"].lower()
        end = _FORMULA_ENDS.get(start) or start.replace("begin", "end")
    else:
        return None
    return "" if end in text[found.end() :].lower() else end


def info_string(info: str) -> str:
    """An info string as Python-Markdown reads it.

    "Info strings … can contain any" text (4.5); the first word is the language.
    """
    language = _FIRST_WORD.match(info)
    return info if _KNOWN_INFO.fullmatch(info) else language[0] if language else ""


def indent_of(line: str) -> int:
    """The number of spaces at the start of a line."""
    return len(line) - len(line.lstrip(" "))


def begins_marked_block(text: str) -> bool:
    """Whether a line begins a block that has a mark: a list item, a quotation, code and so on."""
    return bool(BLOCK.match(text) or RULE.fullmatch(text) or MARKER.match(text))


def begins_block(text: str) -> bool:
    """Whether a line begins something other than a paragraph: one of these, HTML and so on."""
    return (
        begins_marked_block(text)
        or HTML.match(text) is not None
        or text.startswith(("|", "$$", "\\["))
    )


def _ends_paragraph(text: str) -> bool:
    marker = list_marker(text)
    return interrupts(text, marker) if marker else begins_block(text)


def heading_end(text: str, lines: Sequence[str], below: int) -> int | None:
    """The number of the line that makes a heading of the paragraph that ``text`` begins (4.3), or
    ``None``. ``below`` is the number of the line after it in ``lines``.
    """
    if begins_block(text) or DEFINITION.match(text):
        return None
    for number in range(below, min(below + _LONGEST_HEADING - 1, len(lines))):
        line = lines[number]
        following = line.lstrip(" ")
        indent = len(line) - len(following)
        if indent < TAB and UNDERLINE.fullmatch(following):
            return number
        if not following.strip() or (indent < TAB and _ends_paragraph(following)):
            return None
    return None


def quoted(text: str) -> str:
    """A line of a quotation without its mark."""
    return text[1:].removeprefix(" ")


def quoted_lines(column: int, lines: Sequence[str], start: int) -> Sequence[str]:
    """The text of the next lines of a quotation, in the content of an item that begins in this
    column."""
    found = list[str]()
    for number in range(start, len(lines)):
        text = lines[number].lstrip(" ")
        if not text.startswith(">") or indent_of(lines[number]) < column:
            break
        found.append(quoted(text))
    return found


def lines_at(column: int, lines: Sequence[str], start: int) -> Sequence[str]:
    """The next lines of an item's content, which begins in this column; only as many as a heading
    can have."""
    found = list[str]()
    for line in lines[start : start + _LONGEST_HEADING]:
        if indent_of(line) < column:
            break
        found.append(line[column:])
    return found


def is_table(text: str, following: str) -> bool:
    """Whether a table begins with these two lines."""
    row = following.strip()
    return "|" in text and "|" in row and bool(_DELIMITER_ROW.fullmatch(row))


def has_blank_line(lines: Sequence[str], start: int, *, before: str) -> bool:
    """Whether a line from ``start`` on is blank, before the one with the end of HTML."""
    for line in lines[start : start + _FAR]:
        if not line.strip():
            return True
        if before in line.lower():
            break
    return False
