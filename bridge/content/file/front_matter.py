"""A Pelican source file as headers and a body, with every byte kept.

One header is changed at a time, so that a diff shows nothing but what was meant: unknown keys,
their order and spelling, spacing, continuation lines, a byte order mark and line ends all stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from bridge.content.file.syntax import Line, Syntax
from bridge.content.file.syntax_html import HtmlSyntax
from bridge.content.file.syntax_markdown import MarkdownSyntax
from bridge.content.file.syntax_rst import RstSyntax
from bridge.content.markup.characters import is_one_clean_line
from bridge.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BOM = "\ufeff"
_MARKDOWN = MarkdownSyntax()
_HTML = HtmlSyntax()
_FORMATS = frozenset({"md", "markdown", "mkd", "mdown", "rst", "html", "htm"})
_SYNTAXES: dict[str, Syntax] = {"rst": RstSyntax(), "html": _HTML, "htm": _HTML}


def refuse_other_formats(path: str) -> None:
    """Raise :class:`InvalidRequest` for a file in a format that only the site's own reader knows:
    what a change would do to it cannot be told."""
    suffix = path.rpartition(".")[2].lower()
    if suffix not in _FORMATS:
        raise InvalidRequest(
            f"{path} is in a format of the site's own (.{suffix}): edit it in the file itself."
            " Posts in Markdown, reStructuredText and HTML can be edited here."
        )


@dataclass(frozen=True, slots=True)
class PelicanFile:
    """The text of a post's file.

    ``lines`` are its head, ``gap`` is what ends that (``""`` if nothing does), ``tail`` what
    follows the body. ``newline`` is how the file's lines end.
    """

    lines: tuple[Line, ...] = ()
    gap: str = "\n"
    body: str = ""
    tail: str = ""
    bom: str = ""
    newline: str = "\n"
    syntax: Syntax = field(default=_MARKDOWN, repr=False)

    @classmethod
    def parse(cls, text: str, path: str = "") -> PelicanFile:
        """Take a file's text apart, by the suffix of its path. Never fails."""
        syntax = _SYNTAXES.get(path.rpartition(".")[2].lower(), _MARKDOWN)
        bom = _BOM if text.startswith(_BOM) else ""
        parts = syntax.parse(text[len(bom) :])
        newline = _newline_of(text)
        return cls(parts.lines, parts.gap, parts.body, parts.tail, bom, newline, syntax)

    def text(self) -> str:
        """The file, byte for byte what was parsed apart from what was changed since."""
        head = "".join(line.raw for line in self.lines)
        return f"{self.bom}{head}{self.gap}{self.body}{self.tail}"

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

        Raises ``ValueError`` for a value that would not stay on its line: the caller has to
        clean what a client sent.
        """
        wanted = key.lower()
        if not _NAME.fullmatch(key) or not is_one_clean_line(value or ""):
            raise ValueError(f"not a header: {key!r}: {value!r}")
        kept: list[Line] = []
        written = value is None
        for line in self.lines:
            if line.key != wanted:
                kept.append(line)
            elif not written and value is not None:
                same = line.value == value
                kept.append(line if same else self.syntax.changed(line, value))
                written = True
        if written:
            return self if tuple(kept) == self.lines else replace(self, lines=tuple(kept))
        return self._with_new_line(kept, self.syntax.added(key, value or "", self.newline))

    def with_body(self, body: str) -> PelicanFile:
        """A copy with another body (written with ``\\n``, stored with the file's line ends)."""
        stored = body if self.newline == "\n" else body.replace("\n", self.newline)
        return replace(self, body=stored, gap=self.gap or self.newline)

    def _with_new_line(self, kept: list[Line], new: Line) -> PelicanFile:
        """Add a line at the end, but before the long ``Mf2`` line, which stays last."""
        elements = [index for index, line in enumerate(kept) if line.key]
        if self.syntax.name == "html" and elements:
            # Where the head's own elements are, indented as the last of them.
            last = (
                elements[-2] if kept[elements[-1]].key == "mf2" and elements[1:] else elements[-1]
            )
            before = kept[last - 1].raw if last else ""
            indent = before[before.rfind("\n") :] if "\n" in before else ""
            raw = new.raw.rstrip("\r\n")
            indented = indent.replace("\n", self.newline) if not indent.strip() else ""
            kept.insert(last + 1, replace(new, raw=indented + raw))
            return replace(self, lines=tuple(kept))
        place = len(kept)
        if kept and kept[-1].key == "mf2":
            place = next(index for index, line in enumerate(kept) if line.key == "mf2")
        if kept and not kept[-1].raw.endswith(("\n", "\r")):
            kept[-1] = replace(kept[-1], raw=kept[-1].raw + self.newline)
        kept.insert(place, new)
        return replace(self, lines=tuple(kept), gap=self.gap or self.newline)


def _newline_of(text: str) -> str:
    match = re.search(r"\r\n|\n|\r", text)
    return match.group() if match else "\n"
