"""Adapts CommonMark, which apps write, so that Python-Markdown shows the same; and back.

Python-Markdown follows the original Markdown: a list or a table has to be separated from the text
before it, the content of an item is indented by four, ``#hashtag`` is a heading, and lists contain
no fenced code; nor does it know ``~~struck~~`` words, which most apps show. Blank lines, spaces and
backslashes are inserted where CommonMark (numbers below are its sections) reads the text
differently; to CommonMark, the result means the same as the original. The list of changes
(:class:`~bridge.content.markup.changes.TextChange`) is enough to undo them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct, field

from bridge.content.markup import blocks
from bridge.content.markup.blocks import TAB, Fence, ListItem
from bridge.content.markup.changes import ChangedText, TextChanges
from bridge.content.markup.inline import write_line


@lru_cache(maxsize=8)  # a post is written several times until nothing about it is guessed
def adapt(sent: str) -> tuple[str, TextChanges]:
    """A text (with ``\\n``) as Python-Markdown needs it, and the changes made."""
    lines = sent.split("\n")
    defines = any(blocks.DEFINITION.match(line.lstrip(" ")) for line in lines)
    writer = _Writer(lines, defines=defines)
    for number, line in enumerate(lines):
        writer.number = number
        following = lines[number + 1] if number + 1 < len(lines) else ""
        writer.line(line, following)
        if number + 1 < len(lines):
            writer.end_line()
    writer.close()
    return "".join(writer.output.written), tuple(writer.output.changes)


#: How deep quotations may be nested; each level is a recursive call.
_MOST_QUOTATIONS = 20


class _Writer(Struct):
    """Writes a text line by line. The content of a quotation has a writer of its own: ``prefix``
    precedes each of its lines, ``level`` is its depth.
    """

    lines: Sequence[str]
    output: ChangedText = field(default_factory=ChangedText)
    prefix: str = ""
    level: int = 0
    #: Whether the text defines links.
    defines: bool = False
    number: int = 0
    items: list[ListItem] = field(default_factory=list)
    fence: Fence | None = None
    in_paragraph: bool = False
    #: An item that continued after a blank line has ended before this line.
    ended_further: bool = False
    #: A list has ended before this line, or a quotation in an item.
    ended_list: bool = False
    #: The end of the HTML, or of the formula, that this line is in.
    end: str = ""
    after_blank: bool = True
    #: The quotation of the last line, and whether the last block was one.
    quotation: _Writer | None = None
    after_quotation: bool = False
    #: By how much the lines of a quotation or a table in an item are moved to the right.
    moved: int = 0
    in_table: bool = False
    #: What the last line that is not blank was the end of, and what the one before this.
    ended: Literal["", "definition", "code", "indented"] = ""
    before: Literal["", "definition", "code", "indented"] = ""
    #: The last line of the heading that this line is in.
    heading_ends: int = -1
    #: It is written with a leading ``#``.
    heading_marked: bool = False

    def end_line(self) -> None:
        """The end of a line. A heading of several lines becomes one line: "the heading content is
        … parsed … as CommonMark inline content" (4.3)."""
        self._replace("\n", self._line_end())

    def _line_end(self) -> str:
        if self.quotation:
            return self.quotation._line_end()
        if self.heading_marked and self.number + 1 == self.heading_ends:
            return ""
        return " " if self.number + 1 < self.heading_ends else "\n"

    def line(self, line: str, following: str) -> None:
        """Write one line."""
        if self.fence:
            if self.fence.write(self.output, line):
                self.after_blank = self.fence.indented
                self.ended = "code"
                self.fence = None
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
            self.in_table = False
            return
        self.ended_further = self.ended_list = False
        self.before, self.ended = self.ended, ""
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        if self.number <= self.heading_ends:
            self._heading(text, indent)
            return
        if self.quotation and not text.startswith(">") and self._ends_quotation(line, following):
            return
        if text.startswith("\t") or not self._opens(text, indent):
            self._code_or_words(line, text, following)
        elif marker := blocks.list_marker(text):
            self._item(text, indent, marker, following)
        else:
            self._block(text, indent, following)
        self.after_blank = False

    def _code_or_words(self, line: str, text: str, following: str) -> None:
        """A line that begins no block: one of indented code, or of a paragraph."""
        if self.in_table:
            # "The table is broken at the first empty line, or beginning of another block-level
            # structure" (GitHub's extension 4.10): of code.
            self._insert("\n")
            self.in_table = self.in_paragraph = False
            self.after_blank = True
        if self.in_paragraph:
            self._keep(line[: -len(text)])
            self._go_on(text, following, lazy=bool(self.items))
        else:
            if self.before == "code" and (self.items or self.prefix):
                self._separate()
            elif self.items and self.ended_list and not self.after_blank:
                self._insert("\n")
                self.after_blank = True
            self.ended = "indented"
            self._insert(" " * self._shift())
            self._go_on_after_blank()
            self._keep(line)

    def _opens(self, text: str, indent: int) -> bool:
        """Whether the line begins a block, and is no code and no continuation line."""
        starts = blocks.begins_marked_block(text)
        while self.items and indent < self.items[-1].content:
            if self.in_paragraph and not starts:
                return False
            parent = self.items[-2].content if len(self.items) > 1 else 0
            if starts and indent >= parent and blocks.list_marker(text):
                break
            self._end_item()
            self.in_paragraph = self.in_paragraph and not self.items
        base = self.items[-1].content if self.items else 0
        return indent - base < TAB

    def _heading(self, text: str, indent: int) -> None:
        """A line of a setext heading, which its last line makes one (4.3)."""
        if self.number < self.heading_ends:
            self._replace(" " * indent, "" if self.heading_marked else " " * indent)
            broken = self.number + 1 < self.heading_ends and blocks.ends_with_backslash(text)
            self._text(text[:-1] if broken else text, "")
            if broken:
                self._replace("\\", "<br />")
        else:
            self._replace(" " * indent + text, "" if self.heading_marked else text.rstrip())
            self.heading_marked = False
        self.in_paragraph = self.after_blank = self.after_quotation = False

    def _heading_in_item(self, text: str) -> bool:
        """Write a line as the first of a heading with a leading ``#``, the only kind that
        Python-Markdown knows in lists; returns whether it is one."""
        content = self.items[-1].content
        below = blocks.lines_at(content, self.lines, self.number + 1)
        end = blocks.heading_end(text, below, 0)
        if end is not None:
            self._insert("# " if below[end].lstrip().startswith("=") else "## ")
            self.heading_ends, self.heading_marked = self.number + 1 + end, True
            self._heading(text, 0)
        return end is not None

    def _go_on(self, text: str, following: str, *, lazy: bool) -> None:
        """A continuation line of a paragraph; a ``lazy`` one lacks a list's or quotation's mark."""
        if blocks.DEFINITION.match(text):
            # "A link reference definition cannot interrupt a paragraph" (4.7).
            self._insert("\\")
        elif lazy and text.startswith("=") and blocks.UNDERLINE.fullmatch(text):
            # "The setext heading underline cannot be a lazy continuation line" (4.3).
            self._replace("=", "&#61;")
            text = text[1:]
        self._text(text, following)

    def _item(
        self,
        text: str,
        indent: int,
        marker: re.Match[str],
        following: str,
        *,
        beside: bool = False,
    ) -> None:
        """A line with a marker: an item, or a continuation line of a paragraph. ``beside``: it
        stands beside the marker of another item."""
        mark, in_list = marker["delimiter"] or marker["mark"], bool(self.items)
        goes_on = self.in_paragraph or (self.before == "definition" and not self.after_blank)
        if self.items and indent < self.items[-1].content:
            self._end_item_before(mark)
        elif self.in_paragraph and not (self.in_table or blocks.interrupts(text, marker)):
            self._no_item(text, indent, marker, following)
            return
        elif (goes_on or self.in_table or self.ended_list) and (
            not self.items or self.items[-1].has_further
        ):
            self._insert("\n")
        self._go_on_after_blank()
        rest = text[marker.end() :]
        is_empty = in_list and not rest.strip() and not following.startswith((" ", "\t"))
        gap, deeper = marker["gap"], ""
        if rest and not gap.strip(" ") and len(gap) > TAB:
            # "If the first block in the list item is an indented code block, then … the contents
            # must be indented one space after the list marker" (5.2).
            gap, deeper = gap[:1], gap[1:]
        width = len(gap) if 1 <= len(gap) <= TAB and gap != "\t" else 1
        content = indent + len(marker["mark"]) + width
        self.items.append(ListItem(indent, content, mark, is_empty=not rest.strip()))
        self._write_marker(marker, 0 if beside else indent, gap)
        if is_empty:
            # "A list item may begin with at most one blank line", and be empty (5.2).
            self._insert("&nbsp;" if marker["gap"] else " &nbsp;")
        self.after_quotation = self.in_table = False
        self._first_line_of_item(deeper + rest, following)

    def _end_item_before(self, mark: str) -> None:
        """End the innermost item before one with this ``mark``."""
        other = self.items[-1].mark != mark
        self._end_item()
        self.ended_list = other
        if other:
            # "Changing the bullet or ordered list delimiter starts a new list" (5.3).
            self._separate()
        elif self.ended_further and not self.after_blank:
            self._insert("\n")

    def _no_item(self, text: str, indent: int, marker: re.Match[str], following: str) -> None:
        """A continuation line that begins like an item."""
        self._keep(" " * indent)
        if self.items:
            # Python-Markdown would read it as another item.
            self._keep(marker["number"] or "")
            self._insert("\\")
            text = text[len(marker["number"] or "") :]
        self._text(text, following)

    def _first_line_of_item(self, text: str, following: str) -> None:
        """The text after an item's marker."""
        if fence := blocks.FENCE.fullmatch(text):
            # In Python-Markdown, an item cannot begin with code.
            self._insert("<!-- -->")
            self.after_blank = False
            self._open_indented(text, self.items[-1].content, fence["fence"])
            return
        item, column = self.items[-1], TAB * len(self.items)
        if marker := blocks.list_marker(text):
            self._leave_first_line(0)
            self.after_blank, self.in_paragraph = True, False
            self._item(text, item.content, marker, following, beside=True)
            return
        if text.startswith(" " * TAB):
            self._leave_first_line(column)
            self._keep(text)
            self.in_paragraph, self.ended = False, "indented"
            return
        self.moved = column - TAB - item.marker
        if text.startswith(">") and self.level < _MOST_QUOTATIONS:
            if item.content - item.marker >= TAB and self._is_quoted_further():
                self._leave_first_line(column)
                self.moved = self._shift()
            self._quote(text, 0, following)
            return
        self.in_table = blocks.is_table(text, following)
        is_marked = self.in_table or blocks.HEADING.match(text) or blocks.RULE.fullmatch(text)
        self.in_paragraph = bool(text.strip()) and not is_marked
        if self.in_table:
            self._table_head(text, following)
        elif not (self.in_paragraph and self._heading_in_item(text)):
            self._text(text, following)

    def _leave_first_line(self, column: int) -> None:
        """Begin the content of an item below its marker, in this column: Python-Markdown knows
        few blocks beside one."""
        self._insert(f"<!-- -->\n\n{' ' * column}")
        self.items[-1].has_further = True

    def _write_marker(self, marker: re.Match[str], indent: int, gap: str) -> None:
        """The marker of the innermost item, indented as Python-Markdown wants it."""
        column = TAB * (len(self.items) - 1)
        self._insert(" " * (column - indent))
        self._keep(" " * indent)
        self._keep(marker["number"] or marker["mark"])
        if marker["delimiter"]:
            self._replace(marker["delimiter"], ".")
        self._keep(gap)

    def _end_item(self) -> None:
        has_further = self.items.pop().has_further
        self.quotation = None
        self.in_table = False
        self.ended_further |= has_further
        self.ended_list = True
        if self.items:
            self.items[-1].has_further |= has_further

    def _go_on_after_blank(self) -> None:
        if self.items and self.after_blank:
            self.items[-1].has_further = True

    def _block(self, text: str, indent: int, following: str) -> None:
        begins = bool(blocks.BLOCK.match(text) or blocks.RULE.fullmatch(text))
        if self.items:
            self._block_in_item(text, indent, following, begins=begins)
        elif self.ended_list and not self.after_blank:
            self._insert("\n")
        elif self.in_table and begins:
            # "The table is broken at the first empty line, or beginning of another block-level
            # structure" (GitHub's extension 4.10).
            self._insert("\n")
            self.in_table = self.in_paragraph = False
        if fence := blocks.FENCE.fullmatch(text):
            self._open_fence(text, indent, fence["fence"])
            return
        if text.startswith(">") and self.level < _MOST_QUOTATIONS:
            self._quote(text, indent, following)
            return
        if not (self.items or self.in_table) and blocks.is_table(text, following):
            self._insert("\n" if self.in_paragraph else "")
            self.in_table = True
        if not (self.items or self.after_blank or self.ended_list or self.in_paragraph):
            # A rule is no line below a heading, where no paragraph is above it (4.3).
            self._insert("\n" if blocks.RULE.fullmatch(text) else "")
        self.after_quotation = False
        self._heading_or_plain(text, indent, following)

    def _block_in_item(self, text: str, indent: int, following: str, *, begins: bool) -> None:
        """What precedes a line in an item."""
        item = self.items[-1]
        if self.quotation or (self.in_table and not begins):
            self._insert(" " * self.moved)
            return
        if self.after_quotation and self.after_blank and text.startswith(">"):
            # Quotations with a blank line between them are two (5.1).
            self._separate()
        is_table = blocks.is_table(text, following)
        if text.startswith(">"):
            # Python-Markdown knows a quotation below a paragraph if it is hardly indented.
            begins = len(self.items) > 1 or item.content >= TAB
        was_empty, item.is_empty = item.is_empty, False
        if not self.after_blank and (begins or is_table or not (self.in_paragraph or was_empty)):
            self._insert("\n")
            self.after_blank = True
            self.in_paragraph = False
        self.in_table = is_table
        self._go_on_after_blank()
        if item.has_further and not self.in_paragraph and not blocks.FENCE.fullmatch(text):
            self.moved = max(TAB * len(self.items) - indent, 0)
            self._insert(" " * self.moved)

    def _heading_or_plain(self, text: str, indent: int, following: str) -> None:
        depth = len(self.items)
        goes_on = self.in_paragraph or (depth and self.in_table)
        if not (depth or goes_on) and (
            end := blocks.heading_end(text, self.lines, self.number + 1)
        ):
            if self.before == "definition" and not self.after_blank:
                self._insert("\n")
            self.heading_ends = end
            self._heading(text, indent)
        elif blocks.HEADING.match(text):
            # "The opening # character may be preceded by up to three spaces" (4.2).
            self._replace(" " * indent, " " * indent if depth else "")
            self._words(text.rstrip())
            self._replace(text[len(text.rstrip()) :], "")
            self.in_paragraph = False
        else:
            self._keep(" " * indent)
            if not depth or goes_on or not self._heading_in_item(text):
                self._plain_block(text, following)

    def _plain_block(self, text: str, following: str) -> None:
        """HTML, a formula, a rule or a paragraph."""
        if self._opens_raw(text):
            self._raw(text)
            self.in_paragraph = not self.end and not blocks.HTML.match(text)
        elif blocks.RULE.fullmatch(text):
            self._replace(text, blocks.rule(text))
            self.in_paragraph = False
        elif self.in_table and blocks.is_table(text, following):
            self._table_head(text, following)
            self.in_paragraph = not self.items
        elif self.in_paragraph:
            self._go_on(text, "" if self.in_table else following, lazy=bool(self.items))
        elif self.items and self.in_table:
            self._text(text, "")
        else:
            self._text(text, following)
            # A definition is not continued by the next line.
            self.in_paragraph = not blocks.DEFINITION.match(text)
            self.ended = "" if self.in_paragraph else "definition"

    def _table_head(self, text: str, following: str) -> None:
        """The head of a table, with the outer pipes that the row below it has: Python-Markdown
        goes by the head, and counts the columns of that row."""
        below, row = following.strip(), text.rstrip()
        if below.startswith("|") and not row.startswith("|"):
            self._insert("|")
        self._words(row)
        if below.endswith("|") and not row.endswith("|"):
            self._insert("|")
        self._keep(text[len(row) :])

    def _quote(self, text: str, indent: int, following: str) -> None:
        """A line of a quotation, whose content is processed like any other text."""
        if self.after_quotation and self.after_blank and not self.items:
            # Quotations with a blank line between them are two (5.1).
            self._separate()
        if self.quotation is None:
            column = self.items[-1].content if self.items else 0
            prefix = (
                f"{self.prefix}{' ' * (column + self.moved)}> "
                if self.items
                else f"{self.prefix}> "
            )
            inner = blocks.quoted_lines(column, self.lines, self.number + 1)
            inner = [blocks.quoted(text), *inner]
            self.quotation = _Writer(inner, self.output, prefix, self.level + 1, self.defines)
            self.quotation.number = -1
        content, after = blocks.quoted(text), following.lstrip(" ")
        mark = " " * indent + text[: len(text) - len(content)]
        if self._line_end() != "\n":
            self._replace(mark, "")
        else:
            self._keep(mark)
            if content.strip() and not text.startswith("> "):
                self._insert(" ")
        self.quotation.number += 1
        self.quotation.line(content, blocks.quoted(after) if after.startswith(">") else following)
        self.in_paragraph = self.quotation.in_paragraph
        self.after_quotation = True

    def _ends_quotation(self, line: str, following: str) -> bool:
        """End the quotation before this line, or write it as a lazy continuation line of a
        paragraph in it (5.1); returns whether it is one.
        """
        text = line.lstrip(" ")
        quotation, self.quotation = self.quotation, None
        begins = blocks.begins_marked_block(text)
        if quotation and self.in_paragraph and not (begins or quotation.in_table):
            self.quotation = quotation
            self._replace(line[: -len(text)], "")
            quotation._go_on(text, following, lazy=True)
            return True
        if self.items:
            self.ended_list = True
        else:
            self._insert("\n")
        self.in_paragraph = False
        return False

    def _is_quoted_further(self) -> bool:
        """Whether the next line belongs to the quotation that begins in the innermost item."""
        return bool(blocks.quoted_lines(self.items[-1].content, self.lines, self.number + 1))

    def _shift(self) -> int:
        """The additional indentation of the innermost item's content."""
        return max(TAB * len(self.items) - self.items[-1].content, 0) if self.items else 0

    def _text(self, text: str, following: str) -> None:
        if blocks.NO_HEADING.match(text):
            # "The opening sequence of # characters must be followed by spaces or tabs" (4.2).
            self._insert("\\")
        elif number := blocks.NO_MARKER.match(text):
            self._keep(number[0])
            self._insert("\\")
            text = text[number.end() :]
        end = len(text) - len(text.rstrip("\\"))
        if end % 2 and self._goes_on(following):
            # A backslash at the end of a line is a hard line break (6.7).
            self._words(text[:-1])
            self._replace("\\", "  ")
        else:
            self._words(text)

    def _goes_on(self, following: str) -> bool:
        """Whether the next line continues the paragraph."""
        text = following.strip()
        if not text or blocks.BLOCK.match(text) or blocks.RULE.fullmatch(text):
            return False
        marker = blocks.MARKER.match(text)
        return not (marker and (self.items or blocks.interrupts(text, marker)))

    def _words(self, text: str) -> None:
        write_line(self.output, text, defines_links=self.defines)

    def _opens_raw(self, text: str) -> bool:
        """Whether HTML or a formula begins here, which is copied up to its end."""
        end = None if self.in_paragraph else blocks.raw_end(text)
        if end is not None:
            self.end = end
        return end is not None

    def _raw(self, text: str) -> None:
        """The first line of HTML, or of a formula."""
        around = blocks.AROUND.fullmatch(text)
        if (
            around
            and "markdown" not in around["attributes"]
            and blocks.has_blank_line(self.lines, self.number + 1, before=self.end)
        ):
            # "HTML blocks continue until … a blank line" (4.6). Python-Markdown's continue to their
            # end tag, unless an attribute changes that.
            self._keep(text[: around.start("attributes")])
            self._insert(' markdown="1"')
            text, self.end = text[around.start("attributes") :], ""
        self._keep(text)

    def _open_fence(self, text: str, indent: int, marks: str) -> None:
        self.in_paragraph = self.after_quotation = False
        if self.items or self.prefix:
            if self.before in {"code", "indented"}:
                self._separate()
            self._open_indented(" " * indent + text, indent, marks)
            return
        self.fence = Fence(marks, indent, 0)
        self._replace(" " * indent, "")
        self._keep(marks)
        info = text[len(marks) :]
        self._replace(info, blocks.info_string(info))

    def _separate(self) -> None:
        """Write something between two pieces of code, which would be one otherwise."""
        before = "" if self.after_blank else "\n"
        self._insert(before + " " * TAB * len(self.items) + "<!-- -->\n\n")
        self.after_blank = True

    def _open_indented(self, line: str, indent: int, marks: str) -> None:
        """Begin code that is written as an indented block: Python-Markdown knows fences neither in
        lists nor in quotations."""
        self.in_paragraph = False
        content = 0
        if self.items:
            self.items[-1].has_further = True
            content = self.items[-1].content
        self.fence = Fence(marks, indent, len(self.items), content, indented=True)
        if not self.after_blank:
            self._insert("\n")
        if self.ended_list:
            # Otherwise the indented text would belong to the list's last item.
            self._insert(" " * TAB * len(self.items) + "<!-- -->\n\n")
        self._replace(line, "")

    def close(self) -> None:
        """Close an open code block: "the closing code fence … is optional" (4.5)."""
        if self.fence and not self.fence.indented:
            line_end = "\n" if self.lines[-1] else ""
            self._insert(f"{line_end}{self.fence.marks}")

    def _keep(self, text: str) -> None:
        self.output.keep(text)

    def _insert(self, text: str) -> None:
        self._replace("", text)

    def _replace(self, sent: str, text: str) -> None:
        self.output.replace(sent, text if sent == text else text.replace("\n", f"\n{self.prefix}"))
