"""The formats of Pelican's source files: Markdown, which the bridge writes, reST and HTML.

Each has headers followed by a body, and can parse a file and write single headers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from bridge.micropub.post import unescape

_PHYSICAL_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?")


class Line(NamedTuple):
    """A piece of a file's head. ``key`` is in lower case; empty if the piece is not a header.

    ``value`` is the header's value as Pelican sees it, on one line.
    """

    raw: str
    key: str
    value: str


class FileParts(Struct, frozen=True):
    """A parsed file; its parts joined again are the same bytes.

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

    def parse(self, text: str) -> FileParts:
        """Parse a file. Never fails."""
        ...

    def changed(self, line: Line, value: str) -> Line:
        """The line with another value, keeping its spelling and spacing."""
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


#: Matches nearly every line of nearly every head: faster than parsing it, with the same result.
_PLAIN = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):([^\t\r\n\x02\x03]*)\n")
_KEY = re.compile(r"[ ]{0,3}(?P<key>[A-Za-z0-9_-]+):(?P<space>\s*)(?P<value>.*)")
_MORE = re.compile(r"[ ]{4,}(?P<value>.*)")
#: Whatever follows on the line, as Python-Markdown's ``meta`` has it.
_OPENING_FENCE = re.compile(r"-{3}")
_CLOSING_FENCE = re.compile(r"-{3}|\.{3}")


class MarkdownSyntax:
    """``.md`` and its other suffixes: what the bridge itself writes."""

    name: Literal["markdown"] = "markdown"
    suffix = "md"

    def parse(self, text: str) -> FileParts:
        """Everything that is not a header is body."""
        lines: list[Line] = []
        position, gap = 0, ""
        while position < len(text):
            if match := _PLAIN.match(text, position):
                key, value = match.groups()
                lines.append(Line(match[0], key.lower(), value.strip()))
                position = match.end()
                continue
            if text[position] == "\n":
                gap, position = "\n", position + 1
                break
            raw = physical_line(text, position)
            seen = _as_markdown_sees(raw)
            line = _read(raw, seen, lines)
            if line is None:
                if _ends_head(seen):
                    gap, position = raw, position + len(raw)
                break
            lines.append(line)
            position += len(raw)
        return FileParts(tuple(lines), gap, text[position:])

    def changed(self, line: Line, value: str) -> Line:
        """The line with another value, keeping the key's spelling, the spacing and the line end."""
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
    """Parse ``raw`` as the header line after these others; ``None`` if the head has ended."""
    if not before and _OPENING_FENCE.match(seen):
        return Line(raw, "", "")
    if _ends_head(seen):
        return None
    if match := _KEY.match(seen):
        return Line(raw, match["key"].lower(), match["value"].strip())
    if before and before[-1].key and (match := _MORE.match(seen)):
        return Line(raw, before[-1].key, match["value"].strip())
    return None


_FILE = re.compile(
    r"(?P<head>.*?)(?P<gap>(?<![ \t])[ \t]*</head\s*>.*?<body\b[^>]*>)(?P<body>.*)"
    r"(?P<tail></body\s*>.*)",
    re.DOTALL | re.IGNORECASE,
)
_HEADER = re.compile(
    r"""<title\b[^<>]*>(?P<title>(?:[^<]|<(?!/?title))*?)</title\s*>
      | <meta\b(?=[^<>]*?\bname\s*=\s*["']?(?P<name>[\w-]+))
        (?=[^<>]*?\bcontents?\s*=\s*(?P<quote>["'])(?P<content>.*?)(?P=quote))[^>"']*
        (?:(?:"[^"]*"|'[^']*')[^>"']*)*>""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
#: Pelican puts such a value between single quotes, whatever else it contains.
_BOTH_QUOTES = re.compile(r"""="[^"<>]*&quot;[^"<>]*\"""")
_CONTENT = re.compile(r"""(\bcontents?\s*=\s*)(["']).*?\2""", re.DOTALL | re.IGNORECASE)


class HtmlSyntax:
    """``.html``: single headers of posts written by hand can be changed."""

    name: Literal["html"] = "html"
    suffix = "html"

    def parse(self, text: str) -> FileParts:
        """A file without head and body is a body without headers."""
        match = _FILE.fullmatch(text)
        if match is None:
            return FileParts(body=text)
        return FileParts(tuple(_lines(match["head"])), match["gap"], match["body"], match["tail"])

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
        """The HTML itself."""
        written = _BOTH_QUOTES.sub(lambda match: match[0].replace("'", "’"), html)
        return f"\n{written}\n"


def _lines(head: str) -> list[Line]:
    """The head's elements that are headers, and the text between them."""
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


_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\s*")
_FIELD = re.compile(r":(?P<key>[A-Za-z0-9_-]+):(?P<space>\s*)(?P<value>.*)", re.DOTALL)
#: Explicit markup: a directive, a footnote, or else a comment, a target or a substitution.
_EXPLICIT = re.compile(
    r"""\.\.(?:\s+(?:
      (?P<directive>[^\W_]+(?:[-._+:][^\W_]+)*)[ ]?::(?:\s|$)
    | (?P<footnote>\[(?:\#|\*|\#?[^\W_]+(?:[-._+:][^\W_]+)*)\](?:\s|$))
    ) | (?=\s|$)) | __(?:\s|$)""",
    re.VERBOSE,
)
#: Directives that docutils skips before the title and before its fields, and those of them that
#: have an effect on the body.
_DEFINING = frozenset({"role", "default-role", "meta", "sectnum", "section-numbering"})
_UNSEEN = (
    _DEFINING
    | {"class", "title", "raw", "header", "footer", "target-notes"}
    # These two, in Pelican, are raw HTML.
    | {"code-block", "sourcecode"}
)
#: Fields that only Pelican's headers have.
_OF_PELICAN = {
    *("title", "date", "modified", "slug", "tags", "category", "author", "authors"),
    *("summary", "status"),
}
#: What docutils would not read as text: markup; a scheme, which it turns into a link
#: (``javascript:``, too); at the end, the mark of a literal block.
_MARKUP = re.compile(r"[\\*`|_]|(?<=[A-Za-z])(?<!http)(?<!https):(?=\S)|:(?=:$)")
#: At the start, lists and directives: ``.. include::`` would bring any file into the site.
_BLOCK = re.compile(r"\W|(?:\d+|[A-Za-z]|[ivxlcdmIVXLCDM]+)[.)](?=\s|$)")
#: Headers whose value Pelican gets as HTML; the others it gets as text.
_AS_HTML = frozenset({"title", "summary"})


class RstSyntax:
    """``.rst``: single headers of posts written by hand can be changed."""

    name: Literal["rst"] = "rst"
    suffix = "rst"

    def parse(self, text: str) -> FileParts:
        """The title block and the field list; the rest is body."""
        pieces = physical_lines(text)
        lines, used = _title_block(pieces)
        used += _fields(pieces[used:], lines)
        gap = ""
        if used < len(pieces) and not pieces[used].strip():
            gap, used = pieces[used], used + 1
        return FileParts(tuple(lines), gap, "".join(pieces[used:]))

    def changed(self, line: Line, value: str) -> Line:
        """The line with another value; a title's adornments get its new length."""
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
        """HTML in a ``raw`` directive."""
        # Docutils ends lines at more characters than other programs; the block must not end there.
        lines = html.splitlines()
        return ".. raw:: html\n\n" + "".join(f"   {line}\n" for line in lines)


def _title_block(pieces: list[str]) -> tuple[list[Line], int]:
    """Everything before the fields: comments and the like, the title, and a subtitle if there is
    one.
    """
    start = _past_unseen(pieces, 0)
    before = [Line(piece, "", "") for piece in pieces[:start]]
    size = _title_size(pieces[start:])
    if not size:
        end = start if _has_fields(pieces[start:]) else _past_blank(pieces, 0)
        return before[:end], end
    block, end = pieces[start : start + size], _past_blank(pieces, start + size)
    title = Line("".join(block), "title", _plain("title", block[-2].strip()))
    # docutils reads the title of the only section, if it follows at once, as a subtitle; fields
    # come after it, and after what is not shown.
    starts, further = [end], _title_size(pieces[end:])
    if further and pieces[end + further - 1][0] != block[-1][0]:
        starts.append(_past_blank(pieces, end + further))
    for after in [_past_unseen(pieces, place) for place in starts]:
        if _has_fields(pieces[after:]):
            end = after
            break
    return [*before, title, *(Line(piece, "", "") for piece in pieces[start + size : end])], end


def _has_fields(pieces: list[str]) -> bool:
    """Whether Pelican's metadata begins here."""
    fields: list[Line] = []
    _fields(pieces, fields)
    return any(field.key in _OF_PELICAN for field in fields)


def _past_unseen(pieces: list[str], at: int) -> int:
    """Where the blank lines, comments and definitions end that begin here."""
    used = _past_blank(pieces, at)
    while used < len(pieces) and _is_unseen(pieces, used, _UNSEEN):
        used = _past_block(pieces, used)
    return used


def _is_unseen(pieces: list[str], at: int, directives: frozenset[str]) -> bool:
    """Whether a block of explicit markup begins here that docutils skips before the fields; of
    directives, only these do."""
    match = _EXPLICIT.match(pieces[at])
    if match is None or match["footnote"]:
        return False
    name = (match["directive"] or "").lower()
    if name == "class":
        # What is indented below it is shown.
        return not "".join(pieces[at + 1 : _past_block(pieces, at)]).strip()
    return not name or name in directives


def _past_block(pieces: list[str], at: int) -> int:
    """Where the block of explicit markup ends that begins here, with the blank lines after it."""
    is_empty = pieces[at].strip() == ".." and not "".join(pieces[at + 1 : at + 2]).strip()
    at += 1
    if is_empty:
        # What is indented below it does not belong to it.
        return _past_blank(pieces, at)
    while at < len(pieces) and (not pieces[at].strip() or pieces[at][:1] in {" ", "\t"}):
        at += 1
    return at


def definitions(lines: Sequence[Line]) -> str:
    """The roles, targets and substitutions that the head of a file in reST defines for its body."""
    pieces = [line.raw for line in lines if not line.key]
    starts = [at for at in range(len(pieces)) if _is_unseen(pieces, at, _DEFINING)]
    return "".join("".join(pieces[at : _past_block(pieces, at)]) for at in starts)


def _past_blank(pieces: list[str], at: int) -> int:
    return next((n for n in range(at, len(pieces)) if pieces[n].strip()), len(pieces))


def _title_size(pieces: list[str]) -> int:
    """The number of lines of the title at the start; 0 if there is none."""
    sizes = (size for size in (3, 2) if len(pieces) >= size and _is_title(pieces[:size]))
    return next(sizes, 0)


def _is_title(block: list[str]) -> bool:
    text, adornments = block[-2], [block[-1], *block[:-2]]
    return bool(text.strip()) and all(
        _ADORNMENT.fullmatch(adornment) and adornment.strip() for adornment in adornments
    )


def _fields(pieces: list[str], lines: list[Line]) -> int:
    """Append the field list's lines; returns how many pieces were used."""
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
    """A value escaped so that docutils returns it: with a backslash before anything that could
    be markup.
    """
    text = unescape(value) if key in _AS_HTML else value
    # A backslash and a space produce nothing, but keep a block from beginning.
    start = "\\ " if _BLOCK.match(text) else ""
    return start + _MARKUP.sub(r"\\\g<0>", text)


def _adorned(block: str, title: str) -> str:
    """A title block with another text and adornments of the same width."""
    pieces = physical_lines(block)
    width = max(_columns(title), 1)
    pieces[-2] = title + line_end(pieces[-2])
    for place in {len(pieces) - 1, *range(len(pieces) - 2)}:
        pieces[place] = pieces[place][0] * width + line_end(pieces[place])
    return "".join(pieces)


def _columns(text: str) -> int:
    """The width of a text as docutils counts it: East Asian characters are two columns wide,
    combining ones none.
    """
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) != 0 for each in text)
