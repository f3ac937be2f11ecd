"""YAML front matter, which some sites' own readers expect: between two fences.

Pelican's reader would parse the first lines of such a file as headers, and the rest of the YAML as
text. A site has such files only together with a reader that understands them, so they are
recognised by their shape. This parses the part of YAML that front matter is written in; a value of
any other shape is kept as it is, and is read as empty.
"""

from __future__ import annotations

import json
import re

from bridge.content.formats import FileParts, Line, MarkdownSyntax, line_end, physical_lines

_FENCE = re.compile(r"---[ \t]*(?:\r\n|\n|\r)")
_END = re.compile(r"(?:---|\.\.\.)[ \t]*(?:\r\n|\n|\r|\Z)")
_KEY = re.compile(r"(?P<key>[A-Za-z0-9_-]+)[ \t]*:(?:[ \t]+(?P<value>.*))?$")
#: A header of Pelican's own reader. Below a key with a value, it cannot belong to a YAML mapping.
_PELICAN_KEY = re.compile(r" {0,3}[A-Za-z0-9_-]+:")
_ITEM = re.compile(r"\s*-(?:\s+(?P<value>.*))?$")
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
#: Without backtracking: a part that may be a quoted text is not tried in another way as well.
_FLOW = re.compile(rf"\[(?P<items>(?>{_QUOTED.pattern}|[^\[\]])*+)\]")
_FLOW_ITEM = re.compile(rf"\s*({_QUOTED.pattern}|[^,]+)")
_PLAIN = re.compile(r"[^\W\d_][\w-]*(?: [\w-]+)*")
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
        pieces = physical_lines(line.raw)
        item = _ITEM.match(pieces[1].rstrip("\r\n")) if len(pieces) > 1 else None
        if item is not None and value.endswith(";"):
            indent = pieces[1][: len(pieces[1]) - len(pieces[1].lstrip())]
            before = [each["value"] or "" for each in map(_ITEM.match, pieces[1:]) if each]
            items = "".join(f"{indent}- {each}{end}" for each in _spelt(value, before))
            return Line(f"{key}:{end}{items}", line.key, value)
        flow = _FLOW.fullmatch(line.raw.partition(":")[2].strip())
        if flow and value.endswith(";"):
            items = ", ".join(_spelt(value, _FLOW_ITEM.findall(flow["items"])))
            return Line(f"{key}: [{items}]{end}", line.key, value)
        return Line(f"{key}: {_written(line.key, value)}{end}", line.key, value)

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
        elif last and (raw[0] in " \t" or _ITEM.match(seen)):
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
    value, more = _first_and_more(raw)
    items = [_ITEM.match(each) for each in more if each.strip()]
    if not value and items and all(items):
        return _joined([_read(each["value"] or "") for each in items if each])
    if value.startswith("["):
        flow = _FLOW.match(" ".join([value, *more]))
        return _joined([_read(each) for each in _FLOW_ITEM.findall(flow["items"])]) if flow else ""
    if _BLOCK.fullmatch(value):
        return " ".join(filter(None, map(str.strip, more)))
    return _read(" ".join(filter(None, [value, *map(str.strip, more)])))


def _joined(items: list[str]) -> str:
    return "".join(f"{each.replace(';', ',')}; " for each in items if each).rstrip(" ")


def _items(value: str) -> list[str]:
    return [each.strip() for each in value.split(";") if each.strip()]


def _spelt(value: str, before: list[str]) -> list[str]:
    """The items of a list in YAML; those of ``before``, which it had, as they are there."""
    spelling = {_joined([_read(each)]).rstrip(";"): each.strip() for each in before}
    return [spelling.get(each) or _scalar(each) for each in _items(value)]


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
    plain = re.sub(r"\s+#.*", "", written).strip()
    return "" if plain in {"~", "null"} or _NOT_PLAIN.match(plain) else plain


def _written(key: str, value: str) -> str:
    if key in _LISTS and value.endswith(";"):
        return f"[{', '.join(map(_scalar, _items(value)))}]"
    # JSON is full of what double quotes would have escaped.
    if key == "mf2":
        return "'" + value.replace("'", "''") + "'"
    # Elsewhere what looks like a time would be one to YAML: the name of a file, as a title.
    return value if key in _TIMES and _TIME.fullmatch(value) else _scalar(value)


def _scalar(value: str) -> str:
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if is_plain else json.dumps(value, ensure_ascii=False)
