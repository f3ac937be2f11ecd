"""Adapts CommonMark, which apps write, so that Python-Markdown shows the same; and back.

Python-Markdown follows the original Markdown: a list or a table has to be separated from the text
before it, the content of an item is indented by four, ``#hashtag`` is a heading, and lists contain
no fenced code; nor does it know ``~~struck~~`` words, which most apps show. Blank lines, spaces and
backslashes are inserted where CommonMark (numbers below are its sections) reads the text
differently; to CommonMark, the result means the same as the original. The list of changes
(:class:`Change`) is enough to undo them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

_MARKER = re.compile(r"(?P<mark>[-+*]|(?P<number>\d{1,9})(?P<delimiter>[.)]))(?P<gap> +|\t|$)")
_RULE = re.compile(r"(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}")
_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)")
#: What Python-Markdown reads of the text behind a fence; and else what it can.
_KNOWN_INFO = re.compile(r" *(?:\{[^\n]*\}|\.?[\w#.+-]* *(?:hl_lines=(?P<q>[\"']).*?(?P=q) *)?)")
_FIRST_WORD = re.compile(r" *[\w#.+-]+(?=\s|$)")
_HEADING = re.compile(r"#{1,6}(?:\s|$)")
#: What ends a paragraph, and so is no further line of one in a list (5.2, "laziness").
_BLOCK = re.compile(r"`{3,}|~{3,}|#{1,6}(?:\s|$)|>")
_NO_HEADING = re.compile(r"#{7,}|#{1,6}[^\s#]")
#: The line below a heading (4.3), and a definition of a link, which cannot interrupt a paragraph
#: (4.7); ``[^1]:`` is a footnote of Python-Markdown's.
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*")
_DEFINITION = re.compile(r"\[(?!\^)[^\[\]]+\]:[ ]*\S")
_LONGEST_HEADING = 20  # lines
#: HTML that Python-Markdown takes as it is until its end, blank lines and all.
_HTML = re.compile(
    r"<(?:(?P<comment>!--)|(?P<tag>address|article|aside|blockquote|body|canvas|center|dd|details"
    r"|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|hgroup|iframe|li"
    r"|main|math|menu|nav|noscript|object|ol|p|pre|script|section|style|summary|svg|table|tbody|td"
    r"|template|textarea|tfoot|th|thead|tr|ul|video)\b)",
    re.IGNORECASE,
)
_DELIMITER_ROW = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
#: Formulas, which plugins read: no list begins in them.
_FORMULA = re.compile(r"(?P<start>\$\$|\\\[|\\begin\{\w+\*?\})")
#: HTML in which there may be Markdown, behind a blank line.
_FAR = 500  # lines: a search for each of many must not take long
_AROUND = re.compile(
    r"<(?:details|div|center|section|article|aside|figure|main)(?=[\s>])(?P<attributes>[^<>]*)>\s*"
    r"(?:<summary>.*</summary>\s*)?",
    re.IGNORECASE,
)
#: Backslashes in formulas are theirs.
_IN_FORMULA = re.compile(r"(?<!\\)\$|\\[(\[]")
_FORMULA_ENDS = {"$$": "$$", "\\[": "\\]"}
#: Code, which stays as it is; struck words (GitHub's extension of CommonMark, 6.5); a star
#: between letters in bold words, as in Autor*innen, which CommonMark shows (6.2, rules 9 and 10);
#: and what it takes a backslash away from (2.4) and Python-Markdown does not.
_CODE_OR_STRUCK = re.compile(
    r"(?<!`)(?P<marks>`+)(?!`).*?(?<!`)(?P=marks)(?!`)"
    r"|(?<![\w\\~/<=\"'`])~~(?=[^\s~])(?P<struck>[^~`<>]+)(?<!\s)~~(?![\w~])"
    r"|(?<![\w\\*])\*\*(?P<first>[^\W_](?:[^*`<>\\]*[^\W_])?)\*(?=[^\W_][^*`<>\\]*(?<!\s)\*\*(?![\w*]))"
    r"|\\(?P<escaped>[<&~$\"'@=?%:;,/^])"
    r"|(?<=\])(?P<between>[ ])(?=\[[^\[\]]+\](?!\())"
)
#: Where there may be any of these.
_MARKS = re.compile(r"~~|\*\*|\\[<&~$\"'@=?%:;,/^]|\] \[")
#: By how much Python-Markdown has the content of a list's item indented (its ``tab_length``).
_TAB = 4


@dataclass(frozen=True, slots=True)
class Change:
    """What was inserted at a place of the result, and what it replaced."""

    place: int
    length: int
    sent: str = ""


Changes: TypeAlias = tuple[Change, ...]


def restore(written: str, changes: Iterable[Change]) -> str:
    """The original text, from the result of :func:`adapt`."""
    parts, end = [], 0
    for change in changes:
        parts += [written[end : change.place], change.sent]
        end = change.place + change.length
    return "".join([*parts, written[end:]])


@lru_cache(maxsize=8)  # a post is written several times until nothing about it is guessed
def adapt(sent: str) -> tuple[str, Changes]:
    """A text (with ``\\n``) as Python-Markdown needs it, and the changes made."""
    lines = sent.split("\n")
    writer = _Writer(lines, defines=any(_DEFINITION.match(line.lstrip(" ")) for line in lines))
    for number, line in enumerate(lines):
        writer.number = number
        following = lines[number + 1] if number + 1 < len(lines) else ""
        writer.line(line, following)
        if number + 1 < len(lines):
            writer.end_line()
    writer.close()
    return "".join(writer.output.written), tuple(writer.output.changes)


@dataclass(slots=True)
class _Item:
    """An item of a list: where its marker stands, and where its content begins (in columns).

    ``has_further``: there is more in it after a blank line. ``mark``: its bullet, or what follows
    its number.
    """

    marker: int
    content: int
    mark: str
    has_further: bool = False


@dataclass(slots=True)
class _Fence:
    """A block of code between fences; ``indented``: it is written as an indented one. ``content``:
    where the content of the item begins that it is in.
    """

    marks: str
    indent: int
    depth: int
    content: int = 0
    indented: bool = False


@dataclass(slots=True)
class _Output:
    """What was written so far, and how it differs from what was sent."""

    written: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    length: int = 0


@dataclass(slots=True)
class _Writer:
    """Writes a text line by line; ``prefix`` is what stands before each line of a quotation, whose
    content has a writer of its own.
    """

    lines: Sequence[str]
    output: _Output = field(default_factory=_Output)
    prefix: str = ""
    #: Whether the text defines links.
    defines: bool = False
    number: int = 0
    items: list[_Item] = field(default_factory=list)
    fence: _Fence | None = None
    in_paragraph: bool = False
    #: An item that has more after a blank line has ended with this line.
    ended_further: bool = False
    #: A list has ended with this line.
    ended_list: bool = False
    #: The end of HTML, or of a formula, that goes on.
    end: str = ""
    after_blank: bool = True
    #: The quotation that the last line was in, and whether one was the last block.
    quotation: _Writer | None = None
    after_quotation: bool = False
    #: The last line of the heading that this line is in.
    heading_ends: int = -1

    def end_line(self) -> None:
        """The end of a line. A heading of several lines becomes one line: "the heading content is
        … parsed … as CommonMark inline content" (4.3)."""
        self._replace("\n", " " if self.number + 1 < self.heading_ends else "\n")

    def line(self, line: str, following: str) -> None:
        """One line, with the state after those before it."""
        if self.fence:
            self._in_fence(line, self.fence)
            return
        if self.end:
            self._keep(line)
            self.end = "" if self.end in line.lower() else self.end
            return
        if not line.strip():
            self._keep(line)
            self.in_paragraph = False
            self.after_blank = True
            self.quotation = None
            return
        self.ended_further = self.ended_list = False
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        if self.number <= self.heading_ends:
            self._heading(text, indent)
            return
        if self.quotation and not text.startswith(">") and self._ends_quotation(text, following):
            return
        if text.startswith("\t") or not self._opens(text, indent):
            if self.in_paragraph:
                self._keep(" " * indent)
                self._go_on(text, following, lazy=bool(self.items))
            else:
                self._insert(" " * self._shift())
                self._go_on_after_blank()
                self._keep(line)
        elif marker := self._marker(text):
            self._item(text, indent, marker, following)
        else:
            self._block(text, indent, following)
        self.after_blank = False

    def _opens(self, text: str, indent: int) -> bool:
        """Whether the line is in a list, or at the left; ``False`` for code and what goes on."""
        starts = bool(_BLOCK.match(text) or _RULE.fullmatch(text) or self._marker(text))
        while self.items and indent < self.items[-1].content:
            if self.in_paragraph and not starts:
                return False
            if starts and indent >= self.items[-1].marker and self._marker(text):
                break
            self._end_item()
            self.in_paragraph = self.in_paragraph and not self.items
        base = self.items[-1].content if self.items else 0
        return indent - base < _TAB

    def _heading(self, text: str, indent: int) -> None:
        """A line of a heading that the last of its lines makes one (4.3)."""
        if self.number < self.heading_ends:
            self._keep(" " * indent)
            self._text(text, "")
        else:
            self._replace(" " * indent + text, text.rstrip())
        self.in_paragraph = self.after_blank = self.after_quotation = False

    def _begins_heading(self, text: str) -> bool:
        """Whether a paragraph begins with this line, of which a line below makes a heading."""
        if _begins_block(text) or _DEFINITION.match(text):
            return False
        for number in range(self.number + 1, min(self.number + _LONGEST_HEADING, len(self.lines))):
            line = self.lines[number]
            following = line.lstrip(" ")
            indent = len(line) - len(following)
            if indent < _TAB and _UNDERLINE.fullmatch(following):
                self.heading_ends = number
                return True
            if not following.strip() or (indent < _TAB and _begins_block(following)):
                return False
        return False

    def _go_on(self, text: str, following: str, *, lazy: bool) -> None:
        """A further line of a paragraph; ``lazy``: one in a list or quotation without its mark."""
        if _DEFINITION.match(text):
            # "A link reference definition cannot interrupt a paragraph" (4.7).
            self._insert("\\")
        elif lazy and text.startswith("=") and _UNDERLINE.fullmatch(text):
            # "The setext heading underline cannot be a lazy continuation line" (4.3).
            self._replace("=", "&#61;")
            text = text[1:]
        self._text(text, following)

    def _marker(self, text: str) -> re.Match[str] | None:
        return None if _RULE.fullmatch(text) else _MARKER.match(text)

    def _item(self, text: str, indent: int, marker: re.Match[str], following: str) -> None:
        mark, in_list = marker["delimiter"] or marker["mark"], bool(self.items)
        if self.items and indent < self.items[-1].content:
            other = self.items[-1].mark != mark
            self._end_item()
            if not self.items and other:
                # "Changing the bullet or ordered list delimiter starts a new list" (5.3).
                self._insert("<!-- -->\n\n" if self.after_blank else "\n<!-- -->\n\n")
            elif self.ended_further and not self.after_blank:
                self._insert("\n")
        elif self.in_paragraph and not self._interrupts(text, marker):
            self._keep(" " * indent + text)
            return
        elif self.in_paragraph and (not self.items or self.items[-1].has_further):
            self._insert("\n")
        self._go_on_after_blank()
        rest = text[marker.end() :]
        is_empty = in_list and not rest.strip() and not following.startswith((" ", "\t"))
        gap = len(marker["gap"])
        if not 1 <= gap <= _TAB or marker["gap"] == "\t":
            gap = 1
        self.items.append(_Item(indent, indent + len(marker["mark"]) + gap, mark))
        wanted = _TAB * (len(self.items) - 1)
        self._insert(" " * (wanted - indent))
        self._keep(" " * indent)
        self._keep(marker["number"] or marker["mark"])
        if marker["delimiter"]:
            self._replace(marker["delimiter"], ".")
        self._keep(marker["gap"])
        if is_empty:
            # "A list item may begin with at most one blank line", and be empty (5.2).
            self._insert("&nbsp;" if marker["gap"] else " &nbsp;")
        self.after_quotation = False
        if fence := _FENCE.fullmatch(rest):
            # Python-Markdown has no item that begins with code.
            self._insert("<!-- -->")
            self.after_blank = False
            self._open_indented(rest, self.items[-1].content, fence["fence"])
            return
        if rest.startswith(">"):
            self._quote(rest, 0, following)
            return
        self.in_paragraph = bool(rest.strip())
        self._text(rest, following)

    def _end_item(self) -> None:
        has_further = self.items.pop().has_further
        self.ended_further |= has_further
        if self.items:
            self.items[-1].has_further |= has_further
        else:
            self.ended_list = True

    def _go_on_after_blank(self) -> None:
        if self.items and self.after_blank:
            self.items[-1].has_further = True

    def _interrupts(self, text: str, marker: re.Match[str]) -> bool:
        """ "In order for a list to interrupt a paragraph, it must start with 1", and not with an
        empty item (5.3)."""
        return marker["number"] in {None, "1"} and bool(text[marker.end() :].strip())

    def _block(self, text: str, indent: int, following: str) -> None:
        depth = len(self.items)
        if self.ended_list and not self.after_blank:
            self._insert("\n")
        if fence := _FENCE.fullmatch(text):
            self._open_fence(text, indent, fence["fence"])
            return
        if depth and self.after_blank:
            self._insert(" " * self._shift())
            self._go_on_after_blank()
        if text.startswith(">"):
            self._quote(text, indent, following)
            return
        if self.in_paragraph and not depth and _is_table(text, following):
            self._insert("\n")
        if not (depth or self.after_blank or self.ended_list or self.in_paragraph):
            # A rule is no line below a heading, where no paragraph is above it (4.3).
            self._insert("\n" if _RULE.fullmatch(text) else "")
        self.after_quotation = False
        if not (depth or self.in_paragraph) and self._begins_heading(text):
            self._heading(text, indent)
        elif _HEADING.match(text):
            # "The opening # character may be preceded by up to three spaces" (4.2).
            self._replace(" " * indent, " " * indent if depth else "")
            self._words(text.rstrip())
            self._replace(text[len(text.rstrip()) :], "")
            self.in_paragraph = False
        else:
            self._keep(" " * indent)
            self._plain_block(text, following)

    def _plain_block(self, text: str, following: str) -> None:
        """HTML, a formula, a rule or a paragraph."""
        if self._opens_raw(text):
            self._raw(text)
            self.in_paragraph = not self.end and not _HTML.match(text)
        elif _RULE.fullmatch(text):
            self._words(text)
            self.in_paragraph = False
        elif self.in_paragraph:
            self._go_on(text, following, lazy=bool(self.items))
        else:
            self._text(text, following)
            # What follows a definition is no further line of a paragraph.
            self.in_paragraph = not _DEFINITION.match(text)

    def _quote(self, text: str, indent: int, following: str) -> None:
        """A line of a quotation, whose content is read like any other text."""
        if self.after_quotation and self.after_blank and not self.items:
            # Quotations with a blank line between them are two (5.1).
            self._insert("<!-- -->\n\n")
        if self.quotation is None:
            prefix = f"{self.prefix}{' ' * _TAB * len(self.items)}> "
            self.quotation = _Writer((), self.output, prefix, self.defines)
        content, after = _quoted(text), following.lstrip(" ")
        self._keep(" " * indent + text[: len(text) - len(content)])
        if content.strip() and not text.startswith("> "):
            self._insert(" ")
        self.quotation.line(content, _quoted(after) if after.startswith(">") else following)
        self.in_paragraph = self.quotation.in_paragraph
        self.after_quotation = True

    def _ends_quotation(self, text: str, following: str) -> bool:
        """End the quotation before this line, or write it as a further line of a paragraph in it
        (5.1, "laziness"); whether it is that.
        """
        quotation, self.quotation = self.quotation, None
        marker = self._marker(text)
        begins = _BLOCK.match(text) or _RULE.fullmatch(text)
        if marker and self._interrupts(text, marker):
            begins = marker
        if quotation and self.in_paragraph and not begins:
            self.quotation = quotation
            quotation._go_on(text, following, lazy=True)
            return True
        if not self.items:
            self._insert("\n")
        self.in_paragraph = False
        return False

    def _shift(self) -> int:
        """By how much the content of the innermost item has to be indented further."""
        return max(_TAB * len(self.items) - self.items[-1].content, 0) if self.items else 0

    def _text(self, text: str, following: str) -> None:
        if _NO_HEADING.match(text):
            # "The opening sequence of # characters must be followed by spaces or tabs" (4.2).
            self._insert("\\")
        end = len(text) - len(text.rstrip("\\"))
        if end % 2 and self._goes_on(following):
            # A backslash at the end of a line is a hard line break (6.7).
            self._words(text[:-1])
            self._replace("\\", "  ")
        else:
            self._words(text)

    def _goes_on(self, following: str) -> bool:
        """Whether the next line is more of the same paragraph."""
        text = following.strip()
        if not text or _BLOCK.match(text) or _RULE.fullmatch(text):
            return False
        marker = _MARKER.match(text)
        return not (marker and (self.items or self._interrupts(text, marker)))

    def _words(self, text: str) -> None:
        """Text with its struck words; the same where code may go on to another line."""
        if not _MARKS.search(text) or "`" in _CODE_OR_STRUCK.sub("", text):
            self._keep(text)
            return
        end, has_formula = 0, bool(_IN_FORMULA.search(text))
        for match in _CODE_OR_STRUCK.finditer(text):
            if match["struck"]:
                self._keep(text[end : match.start()])
                self._replace("~~", "<del>")
                self._keep(match["struck"])
                self._replace("~~", "</del>")
                end = match.end()
            elif match["escaped"] and not has_formula:
                self._keep(text[end : match.start()])
                self._replace(match[0], f"&#{ord(match['escaped'])};")
                end = match.end()
            elif match["between"] and self.defines:
                self._keep(text[end : match.start()])
                self._replace(" ", "&#32;")
                end = match.end()
            elif match["first"]:
                self._keep(text[end : match.end() - 1])
                self._insert("\\")
                end = match.end() - 1
        self._keep(text[end:])

    def _opens_raw(self, text: str) -> bool:
        """Whether HTML or a formula begins here, which stays as it is until its end."""
        if self.in_paragraph:
            return False
        if found := _HTML.match(text):
            self.end = "-->" if found["comment"] else f"</{found['tag'].lower()}"
        elif found := _FORMULA.match(text):
            start = found["start"].lower()
            self.end = _FORMULA_ENDS.get(start) or start.replace("begin", "end")
        else:
            return False
        if self.end in text[found.end() :].lower():
            self.end = ""
        return True

    def _raw(self, text: str) -> None:
        """The first line of HTML, or of a formula."""
        around = _AROUND.fullmatch(text)
        if around and "markdown" not in around["attributes"] and self._has_blank_line():
            # "HTML blocks continue until … a blank line" (4.6). Python-Markdown's go on to their
            # end, unless they say otherwise.
            self._keep(text[: around.start("attributes")])
            self._insert(' markdown="1"')
            text, self.end = text[around.start("attributes") :], ""
        self._keep(text)

    def _has_blank_line(self) -> bool:
        """Whether there is one before the end of the HTML that begins with this line."""
        for line in self.lines[self.number + 1 : self.number + _FAR]:
            if not line.strip():
                return True
            if self.end in line.lower():
                break
        return False

    def _open_fence(self, text: str, indent: int, marks: str) -> None:
        self.in_paragraph = self.after_quotation = False
        if self.items or self.prefix:
            self._open_indented(" " * indent + text, indent, marks)
            return
        self.fence = _Fence(marks, indent, 0)
        self._replace(" " * indent, "")
        self._keep(marks)
        # "Info strings … can contain any" text (4.5); the first word is the language.
        info = text[len(marks) :]
        known = _KNOWN_INFO.fullmatch(info)
        language = _FIRST_WORD.match(info)
        self._replace(info, info if known else language[0] if language else "")

    def _open_indented(self, line: str, indent: int, marks: str) -> None:
        """Begin code that is written as an indented block: Python-Markdown knows fences neither in
        lists nor in quotations."""
        self.in_paragraph = False
        content = 0
        if self.items:
            self.items[-1].has_further = True
            content = self.items[-1].content
        self.fence = _Fence(marks, indent, len(self.items), content, indented=True)
        if not self.after_blank:
            self._insert("\n")
        self._replace(line, "")

    def close(self) -> None:
        """End what the text has left open: "the closing code fence … is optional" (4.5)."""
        if self.fence and not self.fence.indented:
            line_end = "\n" if self.lines[-1] else ""
            self._insert(f"{line_end}{self.fence.marks}")

    def _in_fence(self, line: str, fence: _Fence) -> None:
        closes = _closes(line[min(fence.content, _indent(line)) :], fence.marks)
        if closes:
            self.fence = None
            self.after_blank = fence.indented
        if not fence.indented:
            had = min(len(line) - len(line.lstrip(" ")), fence.indent)
            if closes:
                self._replace(line, fence.marks)
            else:
                self._replace(line[:had], "")
                self._keep(line[had:])
        elif closes:
            self._replace(line, "")
        elif line.strip():
            had = min(len(line) - len(line.lstrip(" ")), fence.indent)
            self._replace(line[:had], " " * (_TAB * (fence.depth + 1)))
            self._keep(line[had:])
        else:
            self._keep(line)

    def _keep(self, text: str) -> None:
        self.output.written.append(text)
        self.output.length += len(text)

    def _insert(self, text: str) -> None:
        self._replace("", text)

    def _replace(self, sent: str, text: str) -> None:
        if sent == text:
            self._keep(text)
            return
        text = text.replace("\n", f"\n{self.prefix}")
        self.output.changes.append(Change(self.output.length, len(text), sent))
        self._keep(text)


def _closes(line: str, marks: str) -> bool:
    """Whether a line ends the code that began with these marks: "at least as many" of them, and
    indented by less than four (4.5)."""
    text = line.strip(" ")
    few = len(line) - len(line.lstrip(" ")) < _TAB
    return few and set(text) == {marks[0]} and len(text) >= len(marks)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _begins_block(text: str) -> bool:
    """Whether a line is none of a paragraph: it begins a list, code, HTML or anything else."""
    found = _BLOCK.match(text) or _RULE.fullmatch(text) or _MARKER.match(text) or _HTML.match(text)
    return bool(found) or text.startswith(("|", "$$", "\\["))


def _quoted(text: str) -> str:
    """What stands behind the mark of a quotation."""
    return text[1:].removeprefix(" ")


def _is_table(text: str, following: str) -> bool:
    row = following.strip()
    return "|" in text and "|" in row and bool(_DELIMITER_ROW.fullmatch(row))
