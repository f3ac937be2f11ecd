"""A form of the desk: its values, how a post fills them in, and the properties they stand for.

The names of the fields are Micropub's own, so that what a form says can be read as any app's
request: :func:`asked` makes it, for :func:`~bridge.micropub.parse.parse_action`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from urllib.parse import urlsplit

from bridge.content.file import dates
from bridge.desk.fields import FIELDS, Field
from bridge.errors import InvalidRequest
from bridge.micropub.address import is_web
from bridge.micropub.body import Field as Sent
from bridge.micropub.body import File, split_name
from bridge.micropub.commands import ALT_TEXTS
from bridge.micropub.post import Json, Post
from bridge.micropub.post_type import PostType
from bridge.micropub.values import normalise

#: What a form says beside the post.
CONTROLS = frozenset({"csrf", "once", "was", "kind", "do", "url", "h", "post-status"})
_PLACE = ("name", "latitude", "longitude")
_MOST_FILES = 100


@dataclass(frozen=True, slots=True)
class Attached:
    """A file of a post: where it is, and what is to be seen on it."""

    url: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class FormValues:
    """The values of a form: texts by field name, files by property."""

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, tuple[Attached, ...]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """What stands in one field."""
        return next(iter(self.texts.get(name, ())), "")

    def with_files(self, name: str, files: Iterable[Attached]) -> FormValues:
        """The same with other files."""
        return replace(self, files={**self.files, name: tuple(files)})

    def with_text(self, name: str, *values: str) -> FormValues:
        """The same with other words in one field."""
        return replace(self, texts={**self.texts, name: values})


@dataclass(frozen=True, slots=True)
class SubmittedForm:
    """A submitted form: its values, its controls (which are not part of the post), and its new
    files.
    """

    typed: FormValues
    controls: Mapping[str, str]
    uploads: tuple[tuple[str, File, str], ...]


def read(fields: Sequence[Sent]) -> SubmittedForm:
    """Sort what a browser has sent. New files come with their property and their alt text."""
    texts: dict[str, list[str]] = {}
    files: dict[str, list[Attached | File]] = {}
    controls: dict[str, str] = {}
    alts: dict[int, str] = {}
    for full_name, value in fields:
        name = split_name(full_name)
        if isinstance(value, File):
            if value.filename or value.data:
                files.setdefault(name.base, []).append(value)
        elif name.base in CONTROLS:
            controls[name.base] = value
        elif name.base == ALT_TEXTS:
            alts[len(alts) if name.index is None else name.index] = read_text(value)
        elif (known := FIELDS.get(name.base)) and known.widget == "files":
            # An empty one says that the form has the field, though no file may be in it.
            there = files.setdefault(name.base, [])
            if value.strip():
                there.append(Attached(value.strip()))
        else:
            key = (
                full_name if name.keys and name.index is None and name.keys != ("",) else name.base
            )
            texts.setdefault(key, []).append(read_text(value))
    attached, uploads = _described(files, alts)
    given = {name: tuple(values) for name, values in texts.items()}
    return SubmittedForm(FormValues(given, attached), controls, uploads)


def read_text(text: str) -> str:
    """Forms send line ends as CRLF, whatever was typed (HTML, "normalize newlines")."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _described(
    files: Mapping[str, Sequence[Attached | File]], alts: Mapping[int, str]
) -> tuple[dict[str, tuple[Attached, ...]], tuple[tuple[str, File, str], ...]]:
    """Files with their alt texts, which say by their number which photo they mean."""
    attached: dict[str, tuple[Attached, ...]] = {}
    uploads: list[tuple[str, File, str]] = []
    for name, given in files.items():
        described = alts if name == "photo" else {}
        # Photos that are there already come first: the form numbers them so.
        old = [each for each in given if isinstance(each, Attached)]
        new = [each for each in given if isinstance(each, File)]
        attached[name] = tuple(
            replace(each, alt=described.get(place, "")) for place, each in enumerate(old)
        )
        uploads += [
            (name, each, described.get(place, "")) for place, each in enumerate(new, len(old))
        ]
    return attached, tuple(uploads)


def moved(files: Sequence[Attached], place: int, by: int) -> tuple[Attached, ...]:
    """The files with one of them further up or down; as they are where that cannot be."""
    there = place + by
    if not (0 <= place < len(files) and 0 <= there < len(files)):
        return tuple(files)
    changed = list(files)
    changed.insert(there, changed.pop(place))
    return tuple(changed)


# --- from a post to a form ---------------------------------------------------------------------


def typed_of(post: Post, zone: tzinfo, *, channel: str = "") -> FormValues:
    """What stands in the form of a post."""
    texts: dict[str, tuple[str, ...]] = {"mp-channel": (channel,)} if channel else {}
    files: dict[str, tuple[Attached, ...]] = {}
    for name, values in post.properties.items():
        known = FIELDS.get(name)
        if known is None or not values:
            continue
        match known.widget:
            case "files":
                files[name] = tuple(_attached(name, each) for each in values)
            case "tags":
                texts[name] = (_joined([each for each in values if isinstance(each, str)]),)
            case "lines":
                texts[name] = ("\n".join(map(words_of, values)),)
            case "moment":
                texts[name] = (_shown_moment(values[0], zone),)
            case "place":
                texts.update(_shown_place(name, values[0]))
            case _:
                html = values[0].get("html") if isinstance(values[0], dict) else None
                if name == "content" and isinstance(html, str):
                    texts["content[html]"] = (read_text(html),)
                elif known.widget == "text":
                    texts[name] = (read_text(words_of(values[0])),)
                else:
                    texts[name] = (_in_a_line(words_of(values[0])),)
    return FormValues(texts, files)


def words_of(value: Json) -> str:
    """A value in words: a text, the address of what is cited, a name."""
    if isinstance(value, dict):
        inner = value.get("properties")
        properties = inner if isinstance(inner, dict) else value
        for name in ("url", "value", "name", "content"):
            found = properties.get(name)
            found = found[0] if isinstance(found, list) and found else found
            if found:
                return words_of(found)
        return ""
    return "" if value is None else str(value)


def _in_a_line(text: str) -> str:
    """As a field of one line has it: a browser takes line ends out, and that is not a change."""
    return " ".join(text.split())


def _attached(name: str, value: Json) -> Attached:
    """A file as the form has it: only photos have a field for their alt text."""
    alt = value.get("alt") if isinstance(value, dict) and name == "photo" else None
    return Attached(words_of(value).strip(), read_text(alt) if isinstance(alt, str) else "")


def _joined(tags: Sequence[str]) -> str:
    """Tags in one line; with semicolons where one has a comma in it."""
    tags = list(map(_in_a_line, tags))
    if any("," in tag for tag in tags):
        return "; ".join(tags) + ";"
    return ", ".join(tags)


def _split(line: str) -> list[str]:
    parts = line.split(";" if ";" in line else ",")
    return list(dict.fromkeys(filter(None, (part.strip() for part in parts))))


def _shown_moment(value: Json, zone: tzinfo) -> str:
    """As ``<input type=datetime-local>`` wants it, on the site's clock."""
    try:
        return f"{dates.parse(value, zone).astimezone(zone):%Y-%m-%dT%H:%M}"
    except InvalidRequest:
        return words_of(value)


def _shown_place(name: str, value: Json) -> dict[str, tuple[str, ...]]:
    properties = _properties(value)
    found = {key: _first(properties.get(key)) for key in _PLACE}
    if isinstance(value, str):
        found["name"] = value
    return {f"{name}[{key}]": (_in_a_line(text),) for key, text in found.items() if text}


def _properties(value: Json) -> dict[str, Json]:
    inner = value.get("properties") if isinstance(value, dict) else None
    return dict(inner) if isinstance(inner, dict) else {}


def _first(values: Json) -> str:
    value = values[0] if isinstance(values, list) and values else values
    return "" if value is None or isinstance(value, list) else words_of(value)


# --- from a form to what it asks for -----------------------------------------------------------


class Problems(Exception):
    """What is wrong with what was typed: a sentence by the name of its field, ``""`` for all."""

    def __init__(self, by_field: Mapping[str, str], status: int = 400) -> None:
        super().__init__(*by_field.values())
        self.by_field = by_field
        self.status = status


def values_of(
    asked: Field, typed: FormValues, zone: tzinfo, old: Sequence[Json] = ()
) -> list[Json]:
    """The values of one property. What of ``old`` no form shows is kept. Raises InvalidRequest."""
    name = asked.name
    text = typed.text(name)
    match asked.widget:
        case "files":
            return [_file(name, each, old) for each in typed.files.get(name, ())]
        case "tags":
            tags = dict.fromkeys(tag for line in typed.texts.get(name, ()) for tag in _split(line))
            return [*tags, *(each for each in old if not isinstance(each, str))]
        case "lines":
            known = {words_of(each).strip(): each for each in old}
            lines = filter(None, map(str.strip, text.split("\n")))
            return [known.get(line, line) for line in lines]
        case "moment":
            return [dates.form(dates.parse(text, zone))] if text.strip() else []
        case "place":
            place = _place(name, typed, old[0] if old else None)
            return [*([] if place is None else [place]), *old[1:]]
        case "url":
            if text.strip() and not is_web(text.strip()):
                raise InvalidRequest(
                    "This is not the address of a page. Write it whole, like https://example.com/a-page."
                )
            return [*filter(None, [text.strip()]), *old[1:]]
    if name == "content" and (html := typed.text("content[html]")).strip():
        return [{"html": html}]
    shown = text if asked.widget == "text" else _in_a_line(text)
    return [*([shown] if text.strip() else []), *old[1:]]


def _file(name: str, attached: Attached, old: Sequence[Json]) -> Json:
    """A file as the post has it already, else its address with its alt text."""
    same = (each for each in old if _attached(name, each) == attached)
    new: Json = {"value": attached.url, "alt": attached.alt} if attached.alt else attached.url
    return next(same, new)


def _place(name: str, typed: FormValues, old: Json) -> Json:
    """Where something is: what is known of the place stays, but for what the form shows."""
    shown = {key: typed.text(f"{name}[{key}]").strip() for key in _PLACE}
    numbers = [shown["latitude"].replace(",", "."), shown["longitude"].replace(",", ".")]
    if any(numbers) and not _on_earth(numbers):
        raise InvalidRequest(
            "Latitude and longitude are degrees, like 48.85 and 2.35: write both, or none."
        )
    shown["latitude"], shown["longitude"] = numbers
    if not any(shown.values()):
        return None
    kept = {key: value for key, value in _properties(old).items() if key not in _PLACE}
    given: dict[str, Json] = {key: [text] for key, text in shown.items() if text}
    type_ = old.get("type") if isinstance(old, dict) else None
    if not type_ or type_ == ["h-geo"]:
        type_ = ["h-card" if "name" in given else "h-geo"]
    return {"type": type_, "properties": {**given, **kept}}


def _on_earth(numbers: Sequence[str]) -> bool:
    if not all(re.fullmatch(r"[+-]?[0-9]{1,3}(\.[0-9]{1,20})?", number) for number in numbers):
        return False
    return abs(float(numbers[0])) <= 90 and abs(float(numbers[1])) <= 180


def read_values(fields: Iterable[Field], typed: FormValues, zone: tzinfo) -> dict[str, list[Json]]:
    """Every property that a form gives. Raises :class:`Problems`."""
    found: dict[str, list[Json]] = {}
    problems: dict[str, str] = {}
    for asked in fields:
        try:
            values = values_of(asked, typed, zone)
            normalise(asked.name, values)
        except InvalidRequest as error:
            problems[asked.name] = error.description
        else:
            if values:
                found[asked.name] = values
    if problems:
        raise Problems(problems)
    return found


def missing(kind: PostType, found: Mapping[str, Sequence[Json]]) -> dict[str, str]:
    """What a kind cannot do without and the form does not say."""
    return {
        name: _WANTED.get(name, "Fill this in.") for name in kind.required if not found.get(name)
    }


_WANTED = {
    "content": "Write something first.",
    "name": "Give it a title.",
    "photo": "Choose a photo.",
    "video": "Choose a video.",
    "audio": "Choose a file with sound.",
    "rsvp": "Choose one of these.",
    "rating": "Choose a rating.",
    "start": "Say when it begins.",
    "checkin": "Say where you are.",
}


def creation(
    kind: PostType, found: Mapping[str, list[Json]], typed: FormValues, status: str
) -> dict[str, Json]:
    """A new post, as an app would ask for it in JSON (Micropub 3.3.2)."""
    properties: dict[str, Json] = dict(found)
    if status == "draft":
        properties["post-status"] = ["draft"]
    for name in ("mp-slug", "mp-channel"):
        if text := typed.text(name).strip():
            properties[name] = [text]
    if "mp-syndicate-to" in typed.texts:
        properties["mp-syndicate-to"] = list(filter(None, typed.texts["mp-syndicate-to"]))
    return {"type": [f"h-{kind.h}"], "properties": properties}


def update(
    url: str,
    fields: Iterable[Field],
    old: Post,
    was: FormValues,
    typed: FormValues,
    zone: tzinfo,
) -> dict[str, Json]:
    """The change that a form asks for, as an app would (Micropub 3.4): what differs, and no more.

    ``old`` is the post that the form showed, ``was`` what stood in the form then. Raises
    :class:`Problems`.
    """
    replaced: dict[str, Json] = {}
    deleted: list[Json] = []
    problems: dict[str, str] = {}
    for asked in fields:
        if not differs(asked, was, typed):
            continue
        try:
            values = values_of(asked, typed, zone, old.all(asked.name))
            normalise(asked.name, values)
        except InvalidRequest as error:
            problems[asked.name] = error.description
            continue
        if values:
            replaced[asked.name] = values
        else:
            deleted.append(asked.name)
    if problems:
        raise Problems(problems)
    for name in ("mp-slug", "mp-channel"):
        if (text := typed.text(name).strip()) and text != was.text(name):
            replaced[name] = [text]
    change: dict[str, Json] = {"action": "update", "url": url}
    if replaced:
        change["replace"] = replaced
    if deleted:
        change["delete"] = deleted
    return change


def differs(asked: Field, was: FormValues, typed: FormValues) -> bool:
    """Whether another thing stands in a field than did before. What was not sent was not changed:
    not every form has every field."""
    if asked.widget == "files":
        new = typed.files.get(asked.name)
        return new is not None and new != was.files.get(asked.name, ())
    if asked.widget == "tags":
        sent = typed.texts.get(asked.name)
        return sent is not None and _split(was.text(asked.name)) != _split(", ".join(sent))
    names = {name for name in typed.texts if split_name(name).base == asked.name}
    default = "public" if asked.name == "visibility" else ""
    return any((was.text(name) or default) != typed.text(name) for name in names)


def named_once(word: str, asked: Mapping[str, Json]) -> str:
    """The name of a request: that of its form, and what it asks for.

    A form that is sent again with other words, after a step back in the browser, is another.
    """
    return f"{word} {json.dumps(asked, sort_keys=True)}"


def shown_url(url: str) -> str:
    """An address as people say it."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}".rstrip("/") or url
