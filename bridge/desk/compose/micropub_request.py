"""The request that a post's form makes, as an app would send it.

:func:`creation` and :func:`update` give it as JSON, for
:func:`~bridge.micropub.parse.parse_action`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo

from bridge.content.keys import LANGUAGE, date_form
from bridge.desk.compose.fields import FormField
from bridge.desk.compose.values import (
    PLACE,
    Attached,
    FormValues,
    attached_of,
    described,
    in_a_line,
    properties_of,
    split_tags,
    words_of,
)
from bridge.errors import InvalidRequest
from bridge.micropub.body import split_name
from bridge.micropub.dates import parse_date
from bridge.micropub.post import Json, Post, PostType
from bridge.micropub.urls import is_web
from bridge.micropub.values import normalise


class Problems(Exception):
    """Errors in a form: a sentence by field name, ``""`` for the whole form."""

    def __init__(self, by_field: Mapping[str, str], status: int = 400) -> None:
        super().__init__(*by_field.values())
        self.by_field = by_field
        self.status = status


def values_of(
    field: FormField, typed: FormValues, zone: tzinfo, old: Sequence[Json] = ()
) -> list[Json]:
    """The values of one property. What the form does not show of ``old`` is kept. Raises
    InvalidRequest."""
    name = field.name
    text = typed.text(name)
    match field.widget:
        case "files":
            return [_file(name, each, old) for each in typed.files.get(name, ())]
        case "tags":
            tags = dict.fromkeys(
                tag for line in typed.texts.get(name, ()) for tag in split_tags(line)
            )
            return [*tags, *(each for each in old if not isinstance(each, str))]
        case "lines":
            known = {words_of(each).strip(): each for each in old}
            each_line = filter(None, map(str.strip, text.split("\n")))
            return [known.get(line, line) for line in each_line]
        case "moment":
            return [date_form(parse_date(text, zone))] if text.strip() else []
        case "place":
            place = _place(name, typed, old[0] if old else None)
            return [*([] if place is None else [place]), *old[1:]]
        case "url":
            if text.strip() and not is_web(text.strip()):
                raise InvalidRequest(
                    "This is not the address of a page. Write the full address, such as"
                    " https://example.com/a-page."
                )
            return [*filter(None, [text.strip()]), *old[1:]]
    if name == "lang" and text.strip() and not LANGUAGE.fullmatch(text.strip()):
        raise InvalidRequest("Write the language as a code, like de or pt-BR.")
    if name == "content" and (html := typed.text("content[html]")).strip():
        return [{"html": html}]
    shown = text if field.widget == "text" else in_a_line(text)
    return [*([shown] if text.strip() else []), *old[1:]]


def _file(name: str, attached: Attached, old: Sequence[Json]) -> Json:
    """The file's value in the post, if it has one, else its address with its alt text."""
    for each in old:
        was = attached_of(name, each)
        if was == attached:
            return each
        if was.url == attached.url and isinstance(each, dict):
            return described(each, attached.alt)
    return {"value": attached.url, "alt": attached.alt} if attached.alt else attached.url


def _place(name: str, typed: FormValues, old: Json) -> Json:
    """A place: its old values, with those that the form shows replaced."""
    shown = {key: typed.text(f"{name}[{key}]").strip() for key in PLACE}
    numbers = [shown["latitude"].replace(",", "."), shown["longitude"].replace(",", ".")]
    if any(numbers) and not _on_earth(numbers):
        raise InvalidRequest(
            "Latitude and longitude are degrees, like 48.85 and 2.35: write both, or none."
        )
    shown["latitude"], shown["longitude"] = numbers
    if not any(shown.values()):
        return None
    kept = {key: value for key, value in properties_of(old).items() if key not in PLACE}
    given: dict[str, Json] = {key: [text] for key, text in shown.items() if text}
    type_ = old.get("type") if isinstance(old, dict) else None
    if not type_ or type_ == ["h-geo"]:
        type_ = ["h-card" if "name" in given else "h-geo"]
    return {"type": type_, "properties": {**given, **kept}}


def _on_earth(numbers: Sequence[str]) -> bool:
    if not all(re.fullmatch(r"[+-]?[0-9]{1,3}(\.[0-9]{1,20})?", number) for number in numbers):
        return False
    return abs(float(numbers[0])) <= 90 and abs(float(numbers[1])) <= 180


def read_values(
    fields: Iterable[FormField], typed: FormValues, zone: tzinfo
) -> dict[str, list[Json]]:
    """Every property that a form gives. Raises :class:`Problems`."""
    found: dict[str, list[Json]] = {}
    problems: dict[str, str] = {}
    for field in fields:
        try:
            values = values_of(field, typed, zone)
            normalise(field.name, values)
        except InvalidRequest as error:
            problems[field.name] = error.description
        else:
            if values:
                found[field.name] = values
    _check_order_of_times(typed, zone, problems)
    if problems:
        raise Problems(problems)
    return found


def _check_order_of_times(typed: FormValues, zone: tzinfo, problems: dict[str, str]) -> None:
    """Report an event that ends before it begins, unless one of its times is a problem already."""
    start, end = typed.text("start").strip(), typed.text("end").strip()
    if not (start and end) or {"start", "end"} & {*problems}:
        return
    if parse_date(end, zone) < parse_date(start, zone):
        problems["end"] = "This is before the beginning."


def missing(kind: PostType, found: Mapping[str, Sequence[Json]]) -> dict[str, str]:
    """Errors for required fields without a value."""
    return {name: _WANTED.get(name, _EMPTY) for name in kind.required if not found.get(name)}


_EMPTY = "Fill this in."
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
    """The Micropub create request of a form (3.3.2)."""
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
    fields: Iterable[FormField],
    old: Post,
    was: FormValues,
    typed: FormValues,
    zone: tzinfo,
) -> dict[str, Json]:
    """The Micropub update request of a form (3.4): only what differs.

    ``old`` is the post that the form showed, ``was`` the form's values at that time. Raises
    :class:`Problems`.
    """
    replaced, deleted = _differing_values(fields, old, was, typed, zone)
    for name in ("mp-slug", "mp-channel"):
        if (text := typed.text(name).strip()) and text != was.text(name):
            replaced[name] = [text]
    change: dict[str, Json] = {"action": "update", "url": url}
    if replaced:
        change["replace"] = replaced
    if deleted:
        change["delete"] = deleted
    return change


def _differing_values(
    fields: Iterable[FormField], old: Post, was: FormValues, typed: FormValues, zone: tzinfo
) -> tuple[dict[str, Json], list[Json]]:
    """The new values of the properties that have changed, and the names of those without any.

    Raises :class:`Problems`.
    """
    replaced: dict[str, Json] = {}
    deleted: list[Json] = []
    problems: dict[str, str] = {}
    for field in fields:
        if not differs(field, was, typed):
            continue
        try:
            values = values_of(field, typed, zone, old.all(field.name))
            normalise(field.name, values)
        except InvalidRequest as error:
            problems[field.name] = error.description
            continue
        if values:
            replaced[field.name] = values
        else:
            deleted.append(field.name)
    if {"start", "end"} & {*replaced}:
        _check_order_of_times(typed, zone, problems)
    if problems:
        raise Problems(problems)
    return replaced, deleted


def differs(field: FormField, was: FormValues, typed: FormValues) -> bool:
    """Whether a field's value has changed. A field that was not sent has not: not every form has
    every field.
    """
    if field.widget == "files":
        new = typed.files.get(field.name)
        return new is not None and new != was.files.get(field.name, ())
    if field.widget == "tags":
        sent = typed.texts.get(field.name)
        return sent is not None and split_tags(was.text(field.name)) != split_tags(", ".join(sent))
    names = {name for name in typed.texts if split_name(name).base == field.name}
    default = "public" if field.name == "visibility" else ""
    return any((was.text(name) or default) != typed.text(name) for name in names)


def named_once(word: str, request: Mapping[str, Json]) -> str:
    """The name of a request (``once``): that of its form, and a hash of its action.

    A form that is sent again with another text, after "Back" in the browser, has another name.
    """
    return f"{word} {json.dumps(request, sort_keys=True)}"
