"""reStructuredText: a title, then fields (``:date: 2010-12-03``), as docutils reads them."""

from __future__ import annotations

import re
import unicodedata
from html import escape, unescape
from typing import Literal

from bridge.content.file.syntax import Line, Parts, line_end, physical_lines

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\s*")
_FIELD = re.compile(r":(?P<key>[A-Za-z0-9_-]+):(?P<space>\s*)(?P<value>.*)", re.DOTALL)
#: A comment, which may be before the title; no directive, target, substitution or footnote.
_COMMENT = re.compile(r"\.\.(?:\s+(?![_|\[]|\S+::).*)?$", re.DOTALL)
#: Fields that only Pelican's headers have.
_OF_PELICAN = {"date", "modified", "slug", "tags", "category", "author", "authors", "status"}
#: What docutils would not take for text: markup; a scheme, of which it makes a link (of
#: ``javascript:`` too); at the end, what announces a literal block.
_MARKUP = re.compile(r"[\\*`|_]|(?<=[A-Za-z])(?<!http)(?<!https):(?=\S)|:(?=:$)")
#: At the start, lists and directives: ``.. include::`` would bring any file into the site.
_BLOCK = re.compile(r"\W|(?:\d+|[A-Za-z]|[ivxlcdmIVXLCDM]+)[.)](?=\s|$)")
#: Headers whose value Pelican gets as HTML; the others it gets as text.
_AS_HTML = frozenset({"title", "summary"})


class RstSyntax:
    """``.rst``: headers of posts written by hand can be changed one by one."""

    name: Literal["rst"] = "rst"
    suffix = "rst"

    def parse(self, text: str) -> Parts:
        """The title block and the field list; the rest is body."""
        pieces = physical_lines(text)
        lines, used = _title_block(pieces)
        used += _fields(pieces[used:], lines)
        gap = ""
        if used < len(pieces) and not pieces[used].strip():
            gap, used = pieces[used], used + 1
        return Parts(tuple(lines), gap, "".join(pieces[used:]))

    def changed(self, line: Line, value: str) -> Line:
        """The line with another value; a title with adornments as long as it is."""
        written = _escaped(line.key, value)
        if not line.raw.startswith(":"):
            return Line(_adorned(line.raw, written), line.key, value)
        match = _FIELD.match(line.raw)
        space = match["space"].strip("\r\n") if match and line.value else " "
        name = line.raw.split(":", 2)[1]
        raw = f":{name}:{space}{written}".rstrip() + line_end(line.raw)
        return Line(raw, line.key, value)

    def added(self, key: str, value: str, newline: str) -> Line:
        """``:key: value``."""
        written = f":{key.lower()}: {_escaped(key.lower(), value)}".rstrip() + newline
        return Line(written, key.lower(), value)

    def html_body(self, html: str) -> str:
        """HTML goes past reStructuredText in a ``raw`` directive."""
        # Docutils ends a line at more characters than others do; the block must not end there.
        lines = html.splitlines()
        return ".. raw:: html\n\n" + "".join(f"   {line}\n" for line in lines)


def _title_block(pieces: list[str]) -> tuple[list[Line], int]:
    """What is before the fields: comments, the title, and a subtitle where there is one."""
    start = _before_title(pieces)
    before = [Line(piece, "", "") for piece in pieces[:start]]
    size = _title_size(pieces[start:])
    if not size:
        blank = next((n for n, piece in enumerate(pieces) if piece.strip()), len(pieces))
        return before[:blank], blank
    block, end = pieces[start : start + size], _past_blank(pieces, start + size)
    title = Line("".join(block), "title", _plain("title", block[-2].strip()))
    # docutils takes the title of the only section, if it comes at once, for a subtitle: fields
    # come after it.
    further = _title_size(pieces[end:])
    if further and pieces[end + further - 1][0] != block[-1][0]:
        after, fields = _past_blank(pieces, end + further), list[Line]()
        _fields(pieces[after:], fields)
        if any(field.key in _OF_PELICAN for field in fields):
            end = after
    return [*before, title, *(Line(piece, "", "") for piece in pieces[start + size : end])], end


def _before_title(pieces: list[str]) -> int:
    """How many lines are blank or of comments, which docutils passes over."""
    at = used = _past_blank(pieces, 0)
    while at < len(pieces) and _COMMENT.match(pieces[at]):
        at += 1
        while at < len(pieces) and (not pieces[at].strip() or pieces[at][:1] in {" ", "\t"}):
            at += 1
        used = at
    return used


def _past_blank(pieces: list[str], at: int) -> int:
    return next((n for n in range(at, len(pieces)) if pieces[n].strip()), len(pieces))


def _title_size(pieces: list[str]) -> int:
    """Of how many lines the title is with which this begins; 0 for none."""
    sizes = (size for size in (3, 2) if len(pieces) >= size and _is_title(pieces[:size]))
    return next(sizes, 0)


def _is_title(block: list[str]) -> bool:
    text, adornments = block[-2], [block[-1], *block[:-2]]
    return bool(text.strip()) and all(
        _ADORNMENT.fullmatch(adornment) and adornment.strip() for adornment in adornments
    )


def _fields(pieces: list[str], lines: list[Line]) -> int:
    """Append the field list's lines; how many pieces it took."""
    used = 0
    for piece in pieces:
        match = _FIELD.match(piece)
        if match:
            key = match["key"].lower()
            lines.append(Line(piece, key, _plain(key, match["value"].strip())))
        elif used and piece[:1] in {" ", "\t"} and piece.strip():
            begun = lines.pop()
            value = f"{begun.value} {_plain(begun.key, piece.strip())}".strip()
            lines.append(Line(begun.raw + piece, begun.key, value))
        else:
            break
        used += 1
    return used


def _plain(key: str, written: str) -> str:
    text = re.sub(r"\\(.)", lambda match: match[1].strip(), written)
    return escape(text, quote=False).replace('"', "&quot;") if key in _AS_HTML else text


def _escaped(key: str, value: str) -> str:
    """A value as docutils gives it back: a backslash before whatever could be markup."""
    text = unescape(value) if key in _AS_HTML else value
    # A backslash and a space are nothing at all, and then no block begins.
    start = "\\ " if _BLOCK.match(text) else ""
    return start + _MARKUP.sub(r"\\\g<0>", text)


def _adorned(block: str, title: str) -> str:
    """A title block with another text and adornments of its length."""
    pieces = physical_lines(block)
    width = max(_columns(title), 1)
    pieces[-2] = title + line_end(pieces[-2])
    for place in {len(pieces) - 1, *range(len(pieces) - 2)}:
        pieces[place] = pieces[place][0] * width + line_end(pieces[place])
    return "".join(pieces)


def _columns(text: str) -> int:
    """How wide docutils takes a text to be: East Asian characters are two columns wide, and
    combining ones none."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) != 0 for each in text)
