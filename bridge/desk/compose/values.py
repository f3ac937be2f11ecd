"""The values of a post's form, read from a submission or from a post.

The names of the fields are Micropub's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from bridge.desk.compose.fields import FIELDS
from bridge.errors import InvalidRequest
from bridge.micropub.body import ALT_TEXTS, File, split_name
from bridge.micropub.body import Field as Sent
from bridge.micropub.dates import parse_date
from bridge.micropub.post import Json, Post

#: The controls of a form, which are not part of the post.
CONTROLS = frozenset({"csrf", "once", "was", "kind", "do", "url", "h", "post-status"})
PLACE = ("name", "latitude", "longitude")


class Attached(Struct, frozen=True):
    """A file of a post: its URL and its alt text."""

    url: str
    alt: str = ""


class FormValues(Struct, frozen=True):
    """The values of a form: texts by field name, files by property."""

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, tuple[Attached, ...]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The value of one field."""
        return next(iter(self.texts.get(name, ())), "")

    def with_files(self, name: str, files: Iterable[Attached]) -> FormValues:
        """A copy with other files."""
        return replace(self, files={**self.files, name: tuple(files)})

    def with_text(self, name: str, *values: str) -> FormValues:
        """A copy with another value in one field."""
        return replace(self, texts={**self.texts, name: values})


class SubmittedForm(Struct, frozen=True):
    """A submitted form: its values, its controls (which are not part of the post), and its new
    files.
    """

    typed: FormValues
    controls: Mapping[str, str]
    uploads: tuple[tuple[str, File, str], ...]


def read(fields: Sequence[Sent]) -> SubmittedForm:
    """Sort the submitted fields into values, controls and files."""
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
            # An empty one shows that the form has the field, even without a file.
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
    """Files with their alt texts, which belong to the photo of the same number."""
    attached: dict[str, tuple[Attached, ...]] = {}
    uploads: list[tuple[str, File, str]] = []
    for name, given in files.items():
        described = alts if name == "photo" else {}
        # Existing photos come first, in the numbering of the form.
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
    """The files with one of them moved up or down, if that is possible."""
    there = place + by
    if not (0 <= place < len(files) and 0 <= there < len(files)):
        return tuple(files)
    changed = list(files)
    changed.insert(there, changed.pop(place))
    return tuple(changed)


# --- from a post to a form ---------------------------------------------------------------------


def typed_of(post: Post, zone: tzinfo, *, channel: str = "") -> FormValues:
    """The form's values for a post."""
    texts: dict[str, tuple[str, ...]] = {"mp-channel": (channel,)} if channel else {}
    files: dict[str, tuple[Attached, ...]] = {}
    for name, values in post.properties.items():
        known = FIELDS.get(name)
        if known is None or not values:
            continue
        match known.widget:
            case "files":
                files[name] = tuple(attached_of(name, each) for each in values)
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
                    texts[name] = (in_a_line(words_of(values[0])),)
    return FormValues(texts, files)


def words_of(value: Json) -> str:
    """A value as text: the text itself, the URL of a citation, or a name."""
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


def in_a_line(text: str) -> str:
    """The text in a field of one line: browsers remove line ends, which is not a change."""
    return " ".join(text.split())


def attached_of(name: str, value: Json) -> Attached:
    """A file as the form has it: only photos have a field for their alt text."""
    alt = None
    if isinstance(value, dict) and name == "photo":
        inner = value.get("properties")
        alt = inner.get("alt") if isinstance(inner, dict) else value.get("alt")
        alt = alt[0] if isinstance(alt, list) and alt else alt
    return Attached(words_of(value).strip(), read_text(alt) if isinstance(alt, str) else "")


def described(file: dict[str, Json], alt: str) -> Json:
    """A file's value with this alt text, and all else that is said of it, such as its caption."""
    inner = file.get("properties")
    if isinstance(inner, dict):
        others: dict[str, Json] = {key: value for key, value in inner.items() if key != "alt"}
        return {**file, "properties": others | ({"alt": [alt]} if alt else {})}
    kept = {key: value for key, value in file.items() if key != "alt"} | (
        {"alt": alt} if alt else {}
    )
    return kept["value"] if kept.keys() == {"value"} else kept


def _joined(tags: Sequence[str]) -> str:
    """Tags in one line; with semicolons where one has a comma in it."""
    tags = list(map(in_a_line, tags))
    if any("," in tag for tag in tags):
        return "; ".join(tags) + ";"
    return ", ".join(tags)


def split_tags(line: str) -> list[str]:
    """The tags of one line."""
    parts = line.split(";" if ";" in line else ",")
    return list(dict.fromkeys(filter(None, (part.strip() for part in parts))))


def _shown_moment(value: Json, zone: tzinfo) -> str:
    """A time for ``<input type=datetime-local>``, in the site's zone."""
    try:
        return f"{parse_date(value, zone).astimezone(zone):%Y-%m-%dT%H:%M}"
    except InvalidRequest:
        return words_of(value)


def _shown_place(name: str, value: Json) -> dict[str, tuple[str, ...]]:
    properties = properties_of(value)
    found = {key: _first(properties.get(key)) for key in PLACE}
    if isinstance(value, str):
        found["name"] = value
    return {f"{name}[{key}]": (in_a_line(text),) for key, text in found.items() if text}


def properties_of(value: Json) -> dict[str, Json]:
    """The properties of a nested object; none of another value."""
    inner = value.get("properties") if isinstance(value, dict) else None
    return dict(inner) if isinstance(inner, dict) else {}


def _first(values: Json) -> str:
    value = values[0] if isinstance(values, list) and values else values
    return "" if value is None or isinstance(value, list) else words_of(value)


def shown_url(url: str) -> str:
    """An address as people write it."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}".rstrip("/") or url
