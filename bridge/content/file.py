"""A post's file, parsed: its front matter, its body, and the ``Mf2:`` line.

That line is one header of ASCII JSON for what Pelican's own keys cannot hold.

Everything that a client sends passes through :func:`printable`, :func:`one_line`, :func:`title` or
:func:`label`, because Pelican, Markdown, a feed and a theme have to handle it: a control character
in a body aborts the whole build once a feed is on; in a header, a carriage return starts a new key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, cast

import grapheme
from msgspec import Struct, field
from msgspec.structs import replace

from bridge.content.formats import (
    HtmlSyntax,
    Line,
    MarkdownSyntax,
    RstSyntax,
    Syntax,
    definitions,
)
from bridge.content.markup.changes import TextChange, TextChanges
from bridge.content.yaml_head import YamlSyntax, has_yaml_head
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json, Properties, unescape, without_endless_references

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BOM = "\ufeff"
_LINE_END = re.compile(r"\r\n|\n|\r")
_MARKDOWN = MarkdownSyntax()
_YAML = YamlSyntax()
_HTML = HtmlSyntax()
_FORMATS = frozenset({"md", "markdown", "mkd", "mdown", "rst", "html", "htm"})
_SYNTAXES: dict[str, Syntax] = {"rst": RstSyntax(), "html": _HTML, "htm": _HTML}


def has_other_format(path: str) -> bool:
    """Whether a file is in a format that only a reader of the site's own can read."""
    return path.rpartition(".")[2].lower() not in _FORMATS


def refuse_other_formats(path: str) -> None:
    """Raise :class:`InvalidRequest` for such a file, because the effect of a change is unknown."""
    if has_other_format(path):
        suffix = path.rpartition(".")[2].lower()
        raise InvalidRequest(
            f"{path} is in a format of the site's own (.{suffix}): edit it in the file itself."
            " Posts in Markdown, reStructuredText and HTML can be edited here."
        )


class PelicanFile(Struct, frozen=True):
    """The text of a post's file.

    ``lines`` are its head, ``gap`` is the line that ends the head (``""`` if there is none),
    ``tail`` follows the body. ``newline`` is how the file's lines end.
    """

    lines: tuple[Line, ...] = ()
    gap: str = "\n"
    body: str = ""
    tail: str = ""
    bom: str = ""
    newline: str = "\n"
    syntax: Syntax = _MARKDOWN

    @classmethod
    def parse(cls, text: str, path: str = "") -> PelicanFile:
        """Parse a file's text in the format that the suffix of its path names. Never fails."""
        syntax = _SYNTAXES.get(path.rpartition(".")[2].lower(), _MARKDOWN)
        bom = _BOM if text.startswith(_BOM) else ""
        if syntax is _MARKDOWN and has_yaml_head(text[len(bom) :]):
            syntax = _YAML
        parts = syntax.parse(text[len(bom) :])
        newline = _newline_of(text)
        return cls(parts.lines, parts.gap, parts.body, parts.tail, bom, newline, syntax)

    def text(self) -> str:
        """The file's text: byte for byte what was parsed, except for what was changed since."""
        head = "".join(line.raw for line in self.lines)
        return f"{self.bom}{head}{self.gap}{self.body}{self.tail}"

    def in_yaml(self) -> PelicanFile:
        """The same Markdown with its front matter in YAML, for a reader that reads no other."""
        if self.syntax is not _MARKDOWN:
            return self
        fence = f"---{self.newline}"
        file = replace(self, lines=(Line(fence, "", ""),), gap=fence, syntax=_YAML)
        for line in self.lines:
            if line.key:
                file = file.with_header(line.key, line.value)
        return file

    @property
    def text_to_render(self) -> str:
        """The body, with what its head defines for it: a role, say, in reStructuredText."""
        if self.syntax.name != "rst":
            return self.body
        return definitions(self.lines) + self.body

    @property
    def is_in_yaml(self) -> bool:
        """Whether the front matter is in YAML."""
        return self.syntax is _YAML

    def values(self, key: str) -> tuple[str, ...]:
        """Every value of a key, from repeated keys and continuation lines, as Pelican reads
        them.
        """
        lowered = key.lower()
        return tuple(line.value for line in self.lines if line.key == lowered)

    def get(self, key: str) -> str | None:
        """The first value of a key, which counts if Pelican allows only one, or ``None``."""
        lowered = key.lower()
        # A plain loop, since this is called ten times for each file of a site.
        for line in self.lines:
            if line.key == lowered:
                return line.value
        return None

    def keys(self) -> tuple[str, ...]:
        """The keys that occur, in lower case and in order, each once."""
        return tuple(dict.fromkeys(line.key for line in self.lines if line.key))

    def with_header(self, key: str, value: str | None) -> PelicanFile:
        """A copy in which ``key`` has exactly this value; ``None`` removes the key.

        Raises ``ValueError`` for a value that would not stay on one line: callers must clean what a
        client sent.
        """
        lowered = key.lower()
        if not _NAME.fullmatch(key) or not is_one_clean_line(value or ""):
            raise ValueError(f"not a header: {key!r}: {value!r}")
        kept: list[Line] = []
        written = value is None
        for line in self.lines:
            if line.key != lowered:
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
            # Among the head's own elements, indented like the last of them.
            last = (
                elements[-2] if kept[elements[-1]].key == "mf2" and elements[1:] else elements[-1]
            )
            # One that was added just before has its white space with it.
            raw = kept[last].raw
            before = raw[: len(raw) - len(raw.lstrip())] or (kept[last - 1].raw if last else "")
            indent = before[before.rfind("\n") :] if "\n" in before else ""
            raw = new.raw.rstrip("\r\n")
            indented = indent.replace("\n", self.newline) if not indent.strip() else ""
            kept.insert(last + 1, new._replace(raw=indented + raw))
            return replace(self, lines=tuple(kept))
        place = len(kept)
        if kept and kept[-1].key == "mf2":
            place = next(index for index, line in enumerate(kept) if line.key == "mf2")
        if kept and not kept[-1].raw.endswith(("\n", "\r")):
            kept[-1] = kept[-1]._replace(raw=kept[-1].raw + self.newline)
        kept.insert(place, new)
        return replace(self, lines=tuple(kept), gap=self.gap or self.newline)


def _newline_of(text: str) -> str:
    match = _LINE_END.search(text)
    return match.group() if match else "\n"


#: How a body encodes the content.
Form = Literal["text", "markdown", "html"]

_FORMS: tuple[Form, ...] = ("text", "markdown", "html")
_OWN_KEYS = frozenset(
    {"type", "properties", "title", "content", "digest", "aliases", "syndicate-to", "references"}
    | {"draft", "title-digest", "changes", "line-ends"}
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TAG = re.compile(r"<[^>]*>")


@lru_cache(maxsize=1024)
def title_digest(title: str) -> str:
    """A hash of the letters and digits of a Title, which typography plugins do not change."""
    letters = filter(str.isalnum, unescape(_TAG.sub("", title)))
    return hashlib.sha256("".join(letters).encode(errors="surrogatepass")).hexdigest()[:12]


class Mf2Line(Struct, frozen=True):
    """The contents of the ``Mf2:`` line. A file without one was written by hand.

    ``properties`` are mf2 properties beyond Pelican's keys, or the exact value behind such a key.
    ``synthetic_title``: the bridge made the Title; ``title_digest`` identifies it (earlier versions
    wrote none), and any other Title is the owner's. ``form``: how the body encodes the content,
    ``None`` for Markdown written by hand; ``digest`` identifies the body that belongs to
    ``properties["content"]`` or ``changes``. ``crlf``: the content was sent with the line ends of
    forms (HTML 4.10.22.8). ``aliases``: output paths of the post's earlier pages. ``draft``: the
    draft was made by an app, and the plugin makes no page for it. ``rest``: unknown keys, which are
    kept.
    """

    type: str = "entry"
    properties: Properties = field(default_factory=lambda: _NOTHING)
    synthetic_title: bool = False
    title_digest: str | None = None
    form: Form | None = None
    digest: str | None = None
    changes: TextChanges = ()
    crlf: bool = False
    aliases: tuple[str, ...] = ()
    draft: bool = False
    syndicate_to: tuple[str, ...] = ()
    references: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)
    rest: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)

    @classmethod
    def of(cls, file: PelicanFile) -> Mf2Line:
        """The contents of a file's line; empty if there is none, or if a hand edit has broken
        it.
        """
        text = file.get("Mf2")
        line = _line(text) if text else cls()
        made = line.title_digest
        if made is not None and made != title_digest(file.get("Title") or ""):
            return line.with_changes(synthetic_title=False, title_digest=None)
        return line

    @staticmethod
    def is_broken(file: PelicanFile) -> bool:
        """Whether there is a line that cannot be parsed: it must not be overwritten."""
        text = file.get("Mf2")
        return bool(text) and _load(text or "") is None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Mf2Line:
        """The contents of the line's JSON object; values of an unexpected type are ignored."""
        types, form = _strings(data.get("type")), data.get("content")
        synthetic, made = data.get("title") == "synthetic", data.get("title-digest")
        return cls(
            type=next(iter(types), "h-entry").removeprefix("h-"),
            properties=MappingProxyType(_properties(data.get("properties"))),
            synthetic_title=synthetic,
            title_digest=made if synthetic and isinstance(made, str) else None,
            form=cast("Form", form) if form in _FORMS else None,
            digest=data["digest"] if isinstance(data.get("digest"), str) else None,
            changes=_changes(data.get("changes")),
            crlf=data.get("line-ends") == "crlf",
            aliases=_strings(data.get("aliases")),
            draft=data.get("draft") == "app",
            syndicate_to=_strings(data.get("syndicate-to")),
            references=_mapping(data.get("references")),
            rest={key: value for key, value in data.items() if key not in _OWN_KEYS},
        )

    def text(self) -> str:
        """The line as text. Raises :class:`InvalidRequest` for what JSON cannot hold."""
        data: dict[str, Any] = {
            "type": [f"h-{self.type}"],
            "properties": {name: list(values) for name, values in self.properties.items()},
        }
        optional: dict[str, Any] = {
            "title": "synthetic" if self.synthetic_title else None,
            "title-digest": self.title_digest,
            "content": self.form,
            "digest": self.digest,
            "changes": [[each.place, each.length, each.sent] for each in self.changes],
            "line-ends": "crlf" if self.crlf else None,
            "aliases": list(self.aliases),
            "draft": "app" if self.draft else None,
            "syndicate-to": list(self.syndicate_to),
            "references": dict(self.references),
        }
        data.update({key: value for key, value in optional.items() if value})
        data.update(self.rest)
        try:
            line = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"A property cannot be stored as JSON: {error}.") from error
        except RecursionError as error:
            raise InvalidRequest("A property is nested too deeply to be stored.") from error
        return line.replace("\x7f", "\\u007f")

    def made_up(self, title: str | None) -> Mf2Line:
        """A copy that records which Title is synthetic; ``None``: none is."""
        digest = None if title is None else title_digest(title)
        return replace(self, synthetic_title=title is not None, title_digest=digest)

    def with_changes(self, **changes: Any) -> Mf2Line:
        """A copy with some fields replaced."""
        return replace(self, **changes)


@lru_cache(maxsize=1024)
def _line(text: str) -> Mf2Line:
    """Parse a line. Cached, because most notes of a site have the same line."""
    data = _load(text)
    return Mf2Line.from_json(data) if data else Mf2Line()


def _load(text: str) -> dict[str, Any] | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _properties(data: object) -> dict[str, tuple[Json, ...]]:
    if not isinstance(data, dict):
        return {}
    listed = {name: value if isinstance(value, list) else [value] for name, value in data.items()}
    return {name: tuple(values) for name, values in listed.items() if values}


def _changes(data: object) -> TextChanges:
    """The changes, if they are well-formed: in order and not overlapping."""
    found, end = [], 0
    for each in data if isinstance(data, list) else ():
        match each:
            case [int(place), int(length), str(sent)] if place >= end and length >= 0:
                found.append(TextChange(place, length, sent))
                end = place + length
            case _:
                return ()
    return tuple(found)


def _mapping(data: object) -> Mapping[str, Json]:
    return MappingProxyType(dict(data)) if isinstance(data, dict) else _NOTHING


def _strings(data: object) -> tuple[str, ...]:
    listed = data if isinstance(data, list) else [data]
    return tuple(item for item in listed if isinstance(item, str))


#: Not allowed in XML 1.0, or invisible and harmful: C0 but tab and newline, DEL, C1, surrogates,
#: noncharacters. U+FEFF is only harmful at the start of a file, but never useful.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
#: White space, control characters, and what Unicode leaves invisible
#: (Default_Ignorable_Code_Point); so is the blank of Braille.
_UNSEEN = (
    r"\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SEEN = re.compile(f"[^{_UNSEEN}]")
_PIECE = 64 * 1024
_SPACES = re.compile(r"[\s\u2028\u2029]+")
_REFERENCE = re.compile(r"&#?\w+;?")
#: Tags cannot contain entities (``;`` separates tags), so characters of markup get look-alikes.
_LOOK_ALIKES = str.maketrans({"<": "‹", ">": "›", '"': "”", ";": ","})


def printable(text: str) -> str:
    """The text with ``\\n`` line ends, a space for each character that no file may hold, and U+FFFD
    for references that no program can read.
    """
    text = without_endless_references(text).replace("\r\n", "\n").replace("\r", "\n")
    # In pieces, since no other thread runs until a call has replaced millions of characters.
    pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    return "".join(_UNPRINTABLE.sub(" ", piece) for piece in pieces)


def one_line(text: str) -> str:
    """The text on one line: any run of white space or unprintable characters is one space."""
    return _SPACES.sub(" ", printable(text)).strip()


def beginning(text: str, length: int) -> str:
    """At most so many characters of a text, without cutting a grapheme such as a flag in two."""
    # A single grapheme that is longer than that is cut.
    return text[: grapheme.safe_split_index(text[: 2 * length], length) or length]


def is_seen(text: str) -> bool:
    """Whether any character of the text can be seen."""
    return _SEEN.search(text) is not None


def is_one_clean_line(value: str) -> bool:
    """Whether a header can hold this value as it is."""
    return (
        value == value.strip()
        and not re.search(r"[\n\r\t\x0b\x0c\x85\u2028\u2029]", value)
        and not _UNPRINTABLE.search(value)
    )


def title(name: str) -> str:
    """A text as a Title, escaped, because themes print titles as HTML."""
    escaped = _REFERENCE.sub(_escaped_reference, one_line(name))
    for character, reference in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        escaped = escaped.replace(character, reference)
    # An attribute needs "="; without it, an apostrophe stays readable.
    return escaped.replace("'", "&#39;") if "=" in escaped else escaped


def label(name: str) -> str:
    """A text as the name of a tag, a category or an author, which are printed as HTML, too."""
    shown = _REFERENCE.sub(_parted_reference, one_line(name)).translate(_LOOK_ALIKES)
    return one_line(shown.replace("'", "’") if "=" in shown else shown)


def _escaped_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"&amp;{found[1:]}"


def _parted_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"& {found[1:]}"
