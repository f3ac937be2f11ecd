"""The ``Mf2:`` header: one line of ASCII JSON for what Pelican's own keys cannot hold."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from html import unescape
from types import MappingProxyType
from typing import Any, Literal, cast

from bridge.content.file.front_matter import PelicanFile
from bridge.content.markup.commonmark import Change, Changes
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json, Properties

#: How a body encodes the content.
Form = Literal["text", "markdown", "html"]

_FORMS: tuple[Form, ...] = ("text", "markdown", "html")
_OWN_KEYS = frozenset(
    {"type", "properties", "title", "content", "digest", "aliases", "syndicate-to", "references"}
    | {"draft", "title-digest", "changes"}
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TAG = re.compile(r"<[^>]*>")


def title_digest(title: str) -> str:
    """A name for the letters and digits of a Title, which typographers of the site leave alone."""
    letters = filter(str.isalnum, unescape(_TAG.sub("", title)))
    return hashlib.sha256("".join(letters).encode(errors="surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Mf2Line:
    """What the ``Mf2:`` line says. A file without it is a hand-written post.

    ``properties`` are mf2 properties beyond Pelican's keys, or the exact value behind one of them.
    ``synthetic_title``: the Title was made up; ``title_digest`` names that one (earlier versions
    did not): another is the owner's. ``form``: how the body encodes the content, ``None`` for
    hand-written Markdown; ``digest`` names the body that ``properties["content"]`` was written
    as, or that was written with ``changes``. ``aliases``: output paths where the post once lived.
    ``draft``: it is a draft that an app has made, for which the plugin makes no page. ``rest``:
    keys of someone else.
    """

    type: str = "entry"
    properties: Properties = field(default_factory=lambda: _NOTHING)
    synthetic_title: bool = False
    title_digest: str | None = None
    form: Form | None = None
    digest: str | None = None
    changes: Changes = ()
    aliases: tuple[str, ...] = ()
    draft: bool = False
    syndicate_to: tuple[str, ...] = ()
    references: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)
    rest: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)

    @classmethod
    def of(cls, file: PelicanFile) -> Mf2Line:
        """What a file's line says; empty where there is none or a hand edit has broken it."""
        text = file.get("Mf2")
        line = _line(text) if text else cls()
        made = line.title_digest
        if made is not None and made != title_digest(file.get("Title") or ""):
            return line.with_changes(synthetic_title=False, title_digest=None)
        return line

    @staticmethod
    def is_broken(file: PelicanFile) -> bool:
        """Whether there is a line that cannot be read: it must not be overwritten unseen."""
        text = file.get("Mf2")
        return bool(text) and _load(text or "") is None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Mf2Line:
        """What the line's JSON object says; whatever has another shape counts as not there."""
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
            aliases=_strings(data.get("aliases")),
            draft=data.get("draft") == "app",
            syndicate_to=_strings(data.get("syndicate-to")),
            references=_mapping(data.get("references")),
            rest={key: value for key, value in data.items() if key not in _OWN_KEYS},
        )

    def text(self) -> str:
        """The line's value. Raises :class:`InvalidRequest` for what JSON cannot hold."""
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
        """A copy that says which Title was made up; ``None``: none was."""
        digest = None if title is None else title_digest(title)
        return replace(self, synthetic_title=title is not None, title_digest=digest)

    def with_changes(self, **changes: Any) -> Mf2Line:
        """A copy with some fields replaced."""
        return replace(self, **changes)


@lru_cache(maxsize=1024)
def _line(text: str) -> Mf2Line:
    """The same line stands in most notes of a site."""
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


def _changes(data: object) -> Changes:
    """In order and apart, as they were written; none where that is not so."""
    found, end = [], 0
    for each in data if isinstance(data, list) else ():
        match each:
            case [int(place), int(length), str(sent)] if place >= end and length >= 0:
                found.append(Change(place, length, sent))
                end = place + length
            case _:
                return ()
    return tuple(found)


def _mapping(data: object) -> Mapping[str, Json]:
    return MappingProxyType(dict(data)) if isinstance(data, dict) else _NOTHING


def _strings(data: object) -> tuple[str, ...]:
    listed = data if isinstance(data, list) else [data]
    return tuple(item for item in listed if isinstance(item, str))
