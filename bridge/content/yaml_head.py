"""YAML front matter, which some sites' own readers expect: between two fences.

Pelican's reader would parse the first lines of such a file as headers, and the rest of the YAML as
text. A site has such files only together with a reader that understands them, so they are
recognised by their shape. This parses the part of YAML that front matter is written in; a value of
any other shape is kept as it is, and is read as empty. A change leaves comments, spaces and quotes
as they are, and what a list has besides texts.
"""

from __future__ import annotations

import json
import re

from msgspec import Struct

from bridge.content.formats import FileParts, Line, MarkdownSyntax, line_end, physical_lines
from bridge.errors import Conflict

_FENCE = re.compile(r"---[ \t]*(?:\r\n|\n|\r)")
_END = re.compile(r"(?:---|\.\.\.)[ \t]*(?:\r\n|\n|\r|\Z)")
_KEY = re.compile(r"(?P<key>[A-Za-z0-9_-]+)[ \t]*:(?:[ \t]+(?P<value>.*))?$")
#: A header of Pelican's own reader. Below a key with a value, it cannot belong to a YAML mapping.
_PELICAN_KEY = re.compile(r" {0,3}[A-Za-z0-9_-]+:")
_ITEM = re.compile(r"(?P<mark>\s*-)(?:(?P<gap>\s+)(?P<value>.*))?$")
#: What may stand between the lines of a value: a comment, or nothing.
_BETWEEN = re.compile(r"\s*(?:#.*)?$")
#: A key whose value begins on the next line.
_EMPTY = re.compile(r"[^:]*:[ \t]*(?:[ \t]#[^\r\n]*)?$")
#: How a value begins that is not plain text in YAML.
_NOT_PLAIN = re.compile(r"""["'\[{|>&*!]""")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'')
#: A whole value that is a string, a list or a mapping to YAML only. A title may begin with a quoted
#: word, and begin and end with brackets: "[Draft] About [x]".
_ONLY_YAML = re.compile(
    rf"(?:{_QUOTED.pattern}|\[(?>{_QUOTED.pattern}|[^\[\]]|\[[^\[\]]*\])*+\]"
    rf"|\{{(?>{_QUOTED.pattern}|[^{{}}]|\{{[^{{}}]*\}})*+\}})(?:\s+#.*)?"
)
_BLOCK = re.compile(r"[|>][+-]?")
#: A comment, a quoted text, or less: a quote within a word is an apostrophe.
_PIECE = re.compile(
    rf"(?P<comment>(?<!\S)#[^\r\n]*)|(?<![^\s\[{{,:])(?:{_QUOTED.pattern})|\s+|.", re.DOTALL
)
_OPENING, _CLOSING = frozenset("[{"), frozenset("]}")
#: Values that are none.
_NULLS = frozenset({"", "~", "null"})
_PLAIN = re.compile(r"[^\W\d_][\w-]*(?: [\w-]+)*")
#: Text that is plain outside of brackets only.
_SENTENCE = re.compile(r"[^\W\d_][\w-]*(?:,? [\w-]+)+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[\dT:.+Z -]*")
#: Words that YAML does not read as strings.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_TIMES = frozenset({"date", "modified"})
_LISTS = frozenset({"tags", "authors"})


class YamlSyntax(MarkdownSyntax):
    """Markdown below headers in YAML."""

    def parse(self, text: str) -> FileParts:
        """Parse a file for which :func:`has_yaml_head` is true."""
        return _parse(text) or super().parse(text)

    def changed(self, line: Line, value: str) -> Line:
        """The header with another value, its key as it was; a list stays one, and what stays in it
        is written as before."""
        key, end = line.raw.partition(":")[0], line_end(line.raw) or "\n"
        written = _List.of(line.raw)
        if written is not None and value.endswith(";"):
            return Line(written.with_items(_items(value)), line.key, value)
        first, *more = physical_lines(line.raw)
        shown = [each.group() for each in _PIECE.finditer(first) if not each["comment"]]
        own = "".join(shown).partition(":")[2].strip()
        if line.key in _LISTS and not line.value and own not in _NULLS:
            raise Conflict(
                f"'{key}' in the file's head is written in a way that the bridge cannot change:"
                " change it in the file."
            )
        comment = first[len("".join(shown).rstrip()) :].rstrip("\r\n")
        is_one_line = all(_BETWEEN.match(each.rstrip("\r\n")) for each in more)
        is_one_line = is_one_line and not own.startswith(("|", ">"))
        kept = "".join(more) if is_one_line else ""
        return Line(f"{key}: {_written(line.key, value)}{comment}{end}{kept}", line.key, value)

    def added(self, key: str, value: str, newline: str) -> Line:
        """``key: value``."""
        name = key.lower()
        return Line(f"{name}: {_written(name, value)}".rstrip(" ") + newline, name, value)


def has_yaml_head(text: str) -> bool:
    """Whether a Markdown file has headers that only a reader of YAML understands."""
    if not _FENCE.match(text):
        return False
    parts = _parse(text)
    if parts is None:
        return False
    headers = parts.lines[1:]
    # Beside the bridge's own line as Pelican's reader needs it, values are meant for that reader.
    plain = any(map(_is_plain_mf2, headers))
    return any(map(_has_yaml_lines if plain else _is_only_yaml, headers))


def _is_plain_mf2(line: Line) -> bool:
    """Whether this is the bridge's own line as in a file without YAML; in YAML it is quoted."""
    return line.key == "mf2" and line.raw.partition(":")[2].lstrip().startswith("{")


def _parse(text: str) -> FileParts | None:
    """Parse the YAML between two fences; ``None`` for anything else."""
    opening, *pieces = physical_lines(text)
    # Each key with its lines; what belongs to none has an empty one.
    found: list[tuple[str, list[str]]] = [("", [opening])]
    last = 0  # the last key
    for number, raw in enumerate(pieces, 1):
        seen = raw.rstrip("\r\n")
        if _END.fullmatch(raw):
            lines = tuple(_line(key, "".join(own)) for key, own in found)
            return FileParts(lines, raw, "".join(pieces[number:]))
        if match := _KEY.match(seen):
            last = len(found)
            found.append((match["key"].lower(), [raw]))
        elif not seen.strip() or seen.startswith("#"):
            found.append(("", [raw]))
        elif last and (raw[0] in " \t" or _ITEM.match(seen) or seen[0] in _CLOSING):
            # It belongs to the last key, with all that has come since.
            found[last][1].extend(each for _, own in found[last + 1 :] for each in own)
            found[last][1].append(raw)
            del found[last + 1 :]
        else:
            return None
    return None


def _is_only_yaml(line: Line) -> bool:
    """Whether Pelican's own reader would read it differently."""
    value, more = _first_and_more(line.raw)
    whole = " ".join([value, *map(str.strip, more)])
    only_yaml = _ONLY_YAML.fullmatch(whole) or _BLOCK.fullmatch(value)
    return bool(only_yaml) or _has_yaml_lines(line)


def _has_yaml_lines(line: Line) -> bool:
    """Whether it has lines that would be no headers to Pelican's own reader."""
    if not line.key:
        return True
    value, more = _first_and_more(line.raw)
    return any(
        _ITEM.match(each) or not (each.startswith("    ") or (value and _PELICAN_KEY.match(each)))
        for each in (each.expandtabs(4) for each in more)
    )


def _first_and_more(raw: str) -> tuple[str, list[str]]:
    """The value in a header's first line, and its further lines."""
    first, *more = (each.rstrip("\r\n") for each in physical_lines(raw))
    match = _KEY.match(first)
    return (match["value"] or "").strip() if match else "", more


def _line(key: str, raw: str) -> Line:
    line = Line(raw, key, _value(raw) if key else "")
    # Unquoted, it is a mapping to YAML.
    return Line(raw, key, _first_and_more(raw)[0]) if _is_plain_mf2(line) else line


def _value(raw: str) -> str:
    """A header's value in the notation of Pelican's own: a list with ``;`` after each item."""
    if written := _List.of(raw):
        return _joined([each.text for each in written.items])
    value, more = _first_and_more(raw)
    if _BLOCK.fullmatch(value):
        return " ".join(filter(None, map(str.strip, more)))
    return _read(" ".join(filter(None, [value, *map(str.strip, more)])))


class _Item(Struct, frozen=True):
    """An item of a list: where it is in the text, and what it says; ``""`` if it is no text."""

    start: int
    end: int
    text: str


class _List(Struct, frozen=True):
    """A header that is a list, in brackets or with a line for each item. ``place``: where the first
    item may begin; ``gap``: what is written before an added one, and ``end`` after it.
    """

    raw: str
    items: tuple[_Item, ...]
    place: int
    gap: str
    end: str = ""

    @classmethod
    def of(cls, raw: str) -> _List | None:
        """The list that a header is; ``None`` for anything else."""
        first = physical_lines(raw)[0]
        if _EMPTY.match(first.rstrip("\r\n")):
            return cls._on_lines(raw, len(first))
        start = raw.index(":") + 1
        start += len(raw[start:]) - len(raw[start:].lstrip(" \t"))
        return cls._in_brackets(raw, start + 1) if raw.startswith("[", start) else None

    @classmethod
    def _in_brackets(cls, raw: str, start: int) -> _List | None:
        items: list[_Item] = []
        parts: list[re.Match[str]] = []
        depth = 0
        for piece in _PIECE.finditer(raw, start):
            sign = piece.group()
            if depth or sign not in {",", "]"}:
                depth += (sign in _OPENING) - (sign in _CLOSING)
                parts += [piece] if sign.strip() and not piece["comment"] else []
                continue
            if parts:
                written = raw[parts[0].start() : parts[-1].end()]
                items.append(_Item(parts[0].start(), parts[-1].end(), _text(written)))
            parts = []
            if sign == "]":
                ends = all(map(_BETWEEN.match, raw[piece.end() :].splitlines()))
                between = raw[items[-2].end : items[-1].start] if items[1:] else ""
                gap = between if re.fullmatch(r",\s*", between) else ", "
                return cls(raw, tuple(items), start, gap) if ends else None
        return None

    @classmethod
    def _on_lines(cls, raw: str, start: int) -> _List | None:
        items: list[_Item] = []
        place, mark, gap = start, "", " "
        for line in physical_lines(raw[start:]):
            seen = line.rstrip("\r\n")
            found = _ITEM.match(seen)
            end = place + len(line)
            if found and found["mark"] == (mark or found["mark"]):
                mark, gap = found["mark"], found["gap"] or gap
                items.append(_Item(place, end, _text(found["value"] or "")))
            elif not _BETWEEN.match(seen):
                if not items or len(seen) - len(seen.lstrip()) < len(mark):
                    return None
                first, *more = raw[items[-1].start : end].strip()[1:].splitlines()
                whole = [] if _BLOCK.fullmatch(first.strip()) else [first]
                text = _text(" ".join(map(str.strip, [*whole, *more])).strip())
                items[-1] = _Item(items[-1].start, end, text)
            place = end
        end_of_line = line_end(physical_lines(raw)[0])
        return cls(raw, tuple(items), start, mark + gap, end_of_line) if items else None

    def with_items(self, wanted: list[str]) -> str:
        """The header with these texts. What is no text stays, and so does what was there in the
        same order."""
        kept = [each for each in self.items if each.text in wanted]
        if [each.text for each in kept] != wanted[: len(kept)]:
            kept = []
        spelt = {each.text: self._spelling(each) for each in self.items}
        added = [
            f"{self.gap}{spelt.get(each) or _scalar(each)}{self.end}"
            for each in wanted[len(kept) :]
        ]
        pieces: list[str] = []
        last, end = 0, self.place
        for item in self.items:
            before, written = self.raw[end : item.start], self.raw[item.start : item.end]
            end = item.end
            stays = item in kept or not item.text
            if self.end:
                # A comment stays where it is.
                pieces += [before, written] if stays else [before]
            elif stays:
                pieces.append((before if pieces else self._start) + written)
            last = len(pieces) if stays or not last else last
        if added and not (self.end or pieces):
            added[0] = self._start + added[0].removeprefix(self.gap)
        pieces[last:last] = added
        return self.raw[: self.place] + "".join(pieces) + self.raw[end:]

    @property
    def _start(self) -> str:
        """What is before the first item in brackets."""
        return self.raw[self.place : self.items[0].start] if self.items else ""

    def _spelling(self, item: _Item) -> str:
        """How an item is written; ``""`` where that would not do in another place."""
        written = self.raw[item.start : item.end].rstrip("\r\n")
        if not self.end:
            return written
        found = _ITEM.match(written)
        return (found["value"] or "") if found else ""


def _text(written: str) -> str:
    """An item in Pelican's notation, where ``;`` ends one; ``""`` if it is no text."""
    is_quoted = _QUOTED.match(written)
    if not is_quoted and (written.startswith("- ") or re.search(r":(?:\s|$)", written)):
        return ""
    return _read(written).replace(";", ",").strip()


def _joined(items: list[str]) -> str:
    return "".join(f"{each}; " for each in items if each).rstrip(" ")


def _items(value: str) -> list[str]:
    return [each.strip() for each in value.split(";") if each.strip()]


def _read(written: str) -> str:
    """A scalar; ``""`` for anything else."""
    if quoted := _QUOTED.match(written):
        text = quoted.group()
        if text.startswith("'"):
            return " ".join(text[1:-1].replace("''", "'").split())
        try:
            return " ".join(str(json.loads(text)).split())
        except ValueError:
            return text[1:-1]
    plain = re.sub(r"(?<!\S)#.*", "", written).strip()
    return "" if plain in {"~", "null"} or _NOT_PLAIN.match(plain) else plain


def _written(key: str, value: str) -> str:
    if key in _LISTS and value.endswith(";"):
        return f"[{', '.join(map(_scalar, _items(value)))}]"
    # JSON is full of what double quotes would have escaped.
    if key == "mf2":
        return "'" + value.replace("'", "''") + "'"
    # Elsewhere what looks like a time would be one to YAML: the name of a file, as a title.
    is_plain = _TIME if key in _TIMES else _SENTENCE
    return value if is_plain.fullmatch(value) else _scalar(value)


def _scalar(value: str) -> str:
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if is_plain else json.dumps(value, ensure_ascii=False)
