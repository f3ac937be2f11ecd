"""The form of one post, new or existing: reads the submitted fields, stores its files, renders
the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from aiohttp import web
from msgspec import Struct, field
from msgspec.structs import replace

from bridge.desk.compose import values
from bridge.desk.compose.fields import COMMON, FIELDS, KINDS, MORE, FormField, fields_of
from bridge.desk.compose.micropub_request import Problems
from bridge.desk.compose.submission import Submission
from bridge.desk.compose.values import Attached, FormValues, SubmittedForm
from bridge.desk.desk import Desk
from bridge.desk.history import Revision
from bridge.desk.owner import Owner
from bridge.errors import BridgeError
from bridge.micropub.post import Json, Post, PostType
from bridge.pages.language import translated
from bridge.store import StoreError
from bridge.syndication.compose.measure import BLUESKY, mastodon

#: Fields for the page that a post is about, which each kind has under a name of its own.
TARGETS = tuple(name for name in FIELDS if name == "in-reply-to" or name.endswith("-of"))
_NAMED = re.compile(r"'([a-z0-9-]+)'")
_MOVES = {"up": -1, "down": 1}

Step: TypeAlias = tuple[str, str, int]


class Edited(Struct, frozen=True):
    """The post that a form is about, as it is now. ``others`` are properties without a field,
    ``changed`` is the last version of its file."""

    url: str
    path: str
    status: str
    editable: bool
    others: Sequence[tuple[str, str]] = ()
    preview: str = ""
    changed: Revision | None = None


class Sheet(Struct, frozen=True):
    """Everything that the page of a form shows.

    ``theirs`` are the conflicts, where both sides have changed the post: label, mine, theirs.
    ``looks``: whether the page that the post is about is to be looked up. ``address`` is where the
    post would live.
    """

    kind: PostType
    typed: FormValues
    once: str
    problems: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    was: str = ""
    edited: Edited | None = None
    theirs: Sequence[tuple[str, str, str]] = ()
    also: Sequence[str] = ()
    looks: bool = False
    address: str = ""

    @property
    def fields(self) -> list[FormField]:
        """The form's fields."""
        return fields_of(self.kind, self.also)

    def refused(self, error: Problems | BridgeError | StoreError) -> Sheet:
        """The same page with errors at their fields, and all values kept."""
        found = _explained(error)
        return replace(self, problems={**self.problems, **found.by_field}, status=found.status)


def _explained(error: Problems | BridgeError | StoreError) -> Problems:
    match error:
        case Problems():
            return error
        case StoreError():
            text = f"Nothing was written: {error}. Try again in a moment."
            return Problems({"": text}, status=503)
        case BridgeError():
            named = _NAMED.search(error.description)
            name = named[1] if named and named[1] in FIELDS else ""
            return Problems({name: error.description}, status=error.status)


async def show(owner: Owner, desk: Desk, sheet: Sheet) -> web.Response:
    """Render the page with the form."""
    index = desk.catalogue.index
    first = [each for each in sheet.fields if each.name not in (*MORE, *_OWN_PLACE)]
    more = [each for each in sheet.fields if each.name in MORE]
    own = f"{desk.public_url}media/"
    target = next((text for name in TARGETS if (text := sheet.typed.text(name).strip())), "")
    return owner.page(
        "desk/compose.html",
        status=sheet.status,
        sheet=sheet,
        common=COMMON,
        others=[each for each in KINDS.values() if each not in COMMON],
        first=first,
        fields={each.name: each for each in sheet.fields},
        more=more,
        file_fields=[each.name for each in sheet.fields if each.widget == "files"],
        more_is_open=_says_more(sheet, more),
        typed=sheet.typed,
        problems=sheet.problems,
        edited=sheet.edited,
        has_theme=desk.previews is not None,
        context=await desk.contexts.of(target) if sheet.looks else None,
        channels=index.channels(),
        tags=index.recent_categories(10),
        targets=desk.settings.syndication.targets,
        room=_ROOM,
        clock=desk.clock,
        is_own=lambda url: url.startswith(own),
        all_fields=FIELDS,
    )


#: The length of a copy in characters, by the type of its target; a server may allow more.
_ROOM = {"mastodon": mastodon().most, "bluesky": BLUESKY.most}
#: Properties with a place of their own on the page.
_OWN_PLACE = ("content", "photo", "video", "audio", "category")


def _says_more(sheet: Sheet, more: Sequence[FormField]) -> bool:
    """Whether a field hidden behind "More" has a value or an error."""
    names = {each.name for each in more} | {"mp-slug", "mp-channel"}
    if names & sheet.problems.keys():
        return True
    plain = {"public", ""}
    if sheet.edited is not None:
        names -= {"published", "mp-channel"}
    given = sheet.typed.texts.items()
    return any(
        name.partition("[")[0] in names and not set(values) <= plain for name, values in given
    )


def sheet_of(filled: SubmittedForm, desk: Desk, kind: PostType) -> Sheet:
    """The page of a submitted form."""
    once = filled.controls.get("once", "")[:100] or desk.new_name()
    return Sheet(kind, filled.typed, once, was=filled.controls.get("was", "")[:64])


def with_target(typed: FormValues, kind: PostType) -> FormValues:
    """The values for another post type, with the URL that the post refers to carried over."""
    mine = next((name for name in kind.properties if name in TARGETS), None)
    given = next((text for name in TARGETS if (text := typed.text(name).strip())), "")
    if mine is None or not given or typed.text(mine).strip():
        return typed
    return typed.with_text(mine, given)


async def with_stored_files(submission: Submission, sheet: Sheet) -> tuple[Sheet, bool]:
    """The submitted form with its new files stored, and whether it is to be sent.

    Otherwise it is shown again: because of a doubt or a problem, or since its button only moves a
    file or refreshes the page.
    """
    if submission.doubt:
        problems = {"": submission.doubt}
        return replace(sheet, problems=problems, status=submission.status), False
    sheet = await store_files(submission.desk, sheet, submission.filled)
    if step := _step_of(submission.does):
        return _with_step(sheet, step), False
    if submission.does or sheet.problems:
        return replace(sheet, looks=True), False
    return sheet, True


async def store_files(desk: Desk, sheet: Sheet, filled: SubmittedForm) -> Sheet:
    """Store the form's new files in the media library, and name their URLs in the form."""
    for name, upload, alt in filled.uploads:
        try:
            file = await desk.media.accept(upload.data, upload.filename, alt=alt)
        except BridgeError as error:
            named = upload.filename or translated("A file")
            problem = f"{named}: {translated(error.description)}"
            sheet = sheet.refused(Problems({name: problem}, error.status))
            continue
        there = sheet.typed.files.get(name, ())
        attached = Attached(desk.media.url_of(file), alt)
        sheet = replace(sheet, typed=sheet.typed.with_files(name, (*there, attached)))
    return sheet


def _step_of(word: str) -> Step | None:
    """Parse the action of a button beside a file: ``up:photo:1``."""
    what, _, rest = word.partition(":")
    name, _, place = rest.partition(":")
    if what not in {"up", "down", "remove"} or not (place.isascii() and place.isdigit()):
        return None
    return what, name, int(place[:4])


def _with_step(sheet: Sheet, step: Step) -> Sheet:
    """The page with one of its files moved or removed."""
    what, name, place = step
    files = sheet.typed.files.get(name, ())
    if what in _MOVES:
        changed: Sequence[Attached] = values.moved(files, place, _MOVES[what])
    else:
        changed = [each for number, each in enumerate(files) if number != place]
    return replace(sheet, typed=sheet.typed.with_files(name, changed))


def others_of(post: Post) -> list[tuple[str, str]]:
    """The properties of a post that no form shows; they are kept."""
    shown = {*FIELDS, "post-status"}
    return [
        (name, ", ".join(filter(None, map(_brief, values))))
        for name, values in post.properties.items()
        if name not in shown
    ]


def _brief(value: Json) -> str:
    words = " ".join(values.words_of(value).split())
    return words if len(words) <= 200 else f"{words[:199]}…"
