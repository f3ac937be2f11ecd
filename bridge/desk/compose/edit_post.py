"""``/desk/edit``: sends what differs as an update; ``/desk/delete`` and ``/desk/restore``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from bridge.content.file import PelicanFile, refuse_other_formats
from bridge.desk.compose import micropub_request, post_form, values
from bridge.desk.compose.fields import FIELDS, FormField, fields_of, kind_named
from bridge.desk.compose.micropub_request import Problems
from bridge.desk.compose.post_form import Edited, Sheet, sheet_of
from bridge.desk.compose.preview import look_of
from bridge.desk.compose.submission import Submission
from bridge.desk.compose.values import FormValues
from bridge.desk.desk import DESK, Desk
from bridge.desk.history import file_at, last_change
from bridge.desk.owner import Owner
from bridge.errors import BridgeError, Conflict, InvalidRequest
from bridge.http.form import Form
from bridge.micropub.action import Delete, Undelete, Update
from bridge.micropub.body import RequestBody
from bridge.micropub.parse import parse_action
from bridge.micropub.post import Json, Post
from bridge.pages.navigation import Notice
from bridge.pages.render import PageError
from bridge.site.messages import IndexedPost
from bridge.store import BlobId, StoreError

_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: How often a post is read again if it changes while an edit of it is being committed.
_LOOKS = 3
_CHANGED = (
    "This post was changed elsewhere since you opened it, and nothing was written. What you typed"
    " is in the form; what the post says now is above it. Press the button again to keep yours."
)


class _Opened(Struct, frozen=True):
    """A post as it is now: its index entry, its content, and the form's values."""

    entry: IndexedPost
    post: Post
    typed: FormValues
    fields: Sequence[FormField]

    @property
    def sheet(self) -> Sheet:
        """The form of this post, before the owner has changed anything."""
        also = [name for name in self.post.properties if name in FIELDS]
        return Sheet(kind_named(self.entry.type), self.typed, "", was=self.entry.blob, also=also)


async def show(owner: Owner) -> web.StreamResponse:
    """GET: the form of the post at ``url``; ``from`` names an earlier version whose text it has."""
    desk, query = owner.request.app[DESK], owner.request.query
    opened = await _open(desk, query.get("url", ""))
    sheet = replace(_about(desk, opened, opened.sheet), once=desk.new_name())
    if (head := desk.store.head()) is not None and sheet.edited is not None:
        changed = await asyncio.to_thread(last_change, desk, opened.entry, head)
        sheet = replace(sheet, edited=replace(sheet.edited, changed=changed))
    if at := query.get("from"):
        sheet = await _as_it_was(desk, opened, sheet, at)
    return await post_form.show(owner, desk, sheet)


async def _as_it_was(desk: Desk, opened: _Opened, sheet: Sheet, at: str) -> Sheet:
    """The sheet with the text of an earlier version of the post; only the button writes it."""
    text = await file_at(desk, opened.entry, at)
    if text is None:
        return replace(sheet, problems={"": "The post had no such version."}, status=404)
    post = await desk.posts.read(PelicanFile.parse(text, opened.entry.path), opened.entry)
    typed = _typed(post, opened.entry, desk)
    # A field that it did not have then is empty in the form, and is submitted as such.
    blank = dict.fromkeys(opened.typed.texts, ("",))
    none = dict.fromkeys(opened.typed.files, ())
    shown = FormValues({**blank, **typed.texts}, {**none, **typed.files})
    problems = {"": "This is an earlier version. Press the button to have it back."}
    return replace(sheet, typed=shown, problems=problems)


async def change(submission: Submission) -> web.StreamResponse:
    """POST: commit what differs from what the form showed, and no more."""
    owner, desk, filled = submission.owner, submission.desk, submission.filled
    opened = await _open(desk, filled.controls.get("url", ""))
    sheet = sheet_of(filled, desk, kind_named(opened.entry.type))
    sheet = _about(desk, opened, replace(sheet, also=opened.sheet.also))
    sheet, is_to_be_sent = await post_form.with_stored_files(submission, sheet)
    if not is_to_be_sent:
        return await post_form.show(owner, desk, sheet)
    for _ in range(_LOOKS):
        try:
            return await _write(submission, sheet, opened)
        except Conflict:
            # The post has changed between our read and the commit, perhaps in nothing that the form
            # shows: the addresses of its copies are committed moments after it.
            opened = await _open(desk, opened.entry.url)
        except (Problems, BridgeError, StoreError) as error:
            return await post_form.show(owner, desk, sheet.refused(error))
    seen = await _as_seen(desk, opened.entry, sheet.was)
    return await _conflict(submission, sheet, opened, seen)


async def _write(submission: Submission, sheet: Sheet, opened: _Opened) -> web.StreamResponse:
    desk, owner, status = (
        submission.desk,
        submission.owner,
        submission.filled.controls.get("post-status"),
    )
    if sheet.was != opened.entry.blob:
        seen = await _as_seen(desk, opened.entry, sheet.was)
        if seen is None or _differing(opened.fields, seen, opened.typed):
            return await _conflict(submission, sheet, opened, seen)
    request = micropub_request.update(
        opened.entry.url, opened.fields, opened.post, opened.typed, sheet.typed, desk.zone
    )
    _set_status(request, opened, status, desk)
    if request.keys() == {"action", "url"} and "look" in owner.request.query and desk.previews:
        return owner.back(look_of(opened.entry.url))
    if request.keys() == {"action", "url"}:
        return owner.back(_form_of(opened.entry.url), Notice("Nothing was changed."))
    action = parse_action(RequestBody("json", json=request))
    if not isinstance(action, Update):
        raise InvalidRequest("This form changes a post, and nothing else.")
    named = micropub_request.named_once(f"{sheet.once} {sheet.was}", request)
    done = await desk.publisher.carry_out(
        replace(action, once=named, seen=opened.entry.blob), desk.token
    )
    if done.draft:
        if "look" in owner.request.query and desk.previews:
            return owner.back(look_of(done.url))
        link = (look_of(done.url), "Look at it") if desk.previews else None
        return owner.back(_form_of(done.url), Notice("Draft saved.", link=link))
    text = "Published." if status == "published" and opened.entry.status == "draft" else "Saved."
    return owner.back(_form_of(done.url), Notice(text, link=(done.url, "Look at it")))


def _set_status(request: dict[str, Json], opened: _Opened, status: str | None, desk: Desk) -> None:
    """Publish a draft, or unpublish a post, according to the button."""
    is_draft = opened.entry.status == "draft"
    if status not in {"published", "draft"} or (status == "draft") == is_draft:
        return
    replaced = request.setdefault("replace", {})
    if not isinstance(replaced, dict):
        return
    replaced["post-status"] = [status]
    if is_draft and not opened.typed.text("published"):
        # A draft without a future date is dated when it is published.
        now = datetime.fromtimestamp(desk.now(), UTC).isoformat(timespec="seconds")
        replaced.setdefault("published", [now])


async def _conflict(
    submission: Submission, sheet: Sheet, opened: _Opened, seen: FormValues | None
) -> web.StreamResponse:
    """409: show both versions. Where only one side has changed a field, the form has that one."""
    typed, theirs = sheet.typed, list[tuple[str, str, str]]()
    for field in opened.fields:
        mine, now = _words(field, typed), _words(field, opened.typed)
        if mine == now:
            continue
        if seen is not None and _words(field, seen) == mine:
            typed = _taken_from(field, opened.typed, typed)
        elif seen is None or _words(field, seen) != now:
            theirs.append((field.label, mine, now))
    shown = replace(
        sheet,
        typed=typed,
        was=opened.entry.blob,
        problems={"": _CHANGED},
        status=409,
        theirs=theirs,
    )
    return await post_form.show(submission.owner, submission.desk, shown)


def _words(field: FormField, typed: FormValues) -> str:
    """All values of one field."""
    files = [f"{each.url} {each.alt}".strip() for each in typed.files.get(field.name, ())]
    texts = [
        " ".join(values)
        for name, values in sorted(typed.texts.items())
        if name.partition("[")[0] == field.name and any(values)
    ]
    default = ["public"] if field.name == "visibility" and not texts else []
    return "\n".join([*files, *texts, *default])


def _taken_from(field: FormField, source: FormValues, into: FormValues) -> FormValues:
    """A form with one field's values taken from another form."""

    others = {
        name: values for name, values in into.texts.items() if name.partition("[")[0] != field.name
    }
    mine = {
        name: values
        for name, values in source.texts.items()
        if name.partition("[")[0] == field.name
    }
    files = {**into.files, field.name: source.files.get(field.name, ())}
    return FormValues({**others, **mine}, files)


def _differing(fields: Sequence[FormField], one: FormValues, other: FormValues) -> list[FormField]:
    return [field for field in fields if _words(field, one) != _words(field, other)]


async def _as_seen(desk: Desk, entry: IndexedPost, blob: str) -> FormValues | None:
    """The values that the form showed, by the blob id of its file; ``None`` if that no longer
    exists.
    """
    if not _BLOB.fullmatch(blob):
        return None
    try:
        found = await asyncio.to_thread(lambda: list(desk.store.blobs([BlobId(blob)])))
    except StoreError:
        return None
    file = PelicanFile.parse(found[0].data.decode(errors="replace"), entry.path)
    return _typed(await desk.posts.read(file, entry), entry, desk)


async def _open(desk: Desk, url: str) -> _Opened:
    """The post at a URL. Raises :class:`PageError`, what the site and the store do."""
    await desk.catalogue.refresh()
    entry = desk.catalogue.index.find(url)
    if entry is None:
        raise PageError(
            "There is no such post",
            "There is no post at this address. Perhaps it was deleted.",
            status=404,
            link=("/desk/", "All posts"),
        )
    file, blob = await asyncio.to_thread(desk.posts.open, entry)
    if blob != entry.blob:
        raise Conflict("The post has just changed. Try again.")
    post = await desk.posts.read(file, entry)
    fields = fields_of(kind_named(entry.type), [name for name in post.properties if name in FIELDS])
    return _Opened(entry, post, _typed(post, entry, desk), fields)


def _typed(post: Post, entry: IndexedPost, desk: Desk) -> FormValues:
    typed = values.typed_of(post, desk.zone, channel=entry.channel)
    if entry.status == "draft" and entry.published <= desk.now():
        # It is dated when it is published, unless the owner sets a date.
        return typed.with_text("published", "")
    return typed


def _about(desk: Desk, opened: _Opened, sheet: Sheet) -> Sheet:
    """The sheet with what the page shows about its post."""
    entry = opened.entry
    try:
        refuse_other_formats(entry.path)
        editable = True
    except InvalidRequest as error:
        editable = False
        sheet = replace(sheet, problems={**sheet.problems, "": error.description})
    is_draft = entry.status == "draft"
    preview = look_of(entry.url) if is_draft and desk.previews else ""
    others = post_form.others_of(opened.post)
    edited = Edited(entry.url, entry.path, entry.status, editable, others, preview)
    return replace(sheet, edited=edited)


def _form_of(url: str) -> str:
    return f"/desk/edit?url={quote(url, safe='')}"


async def delete(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST: delete a post. It can be restored at once, or from the bin."""
    desk, url = owner.request.app[DESK], sent.get("url") or ""
    done = await desk.publisher.carry_out(Delete(url), desk.token)
    undo = Notice("Deleted.", "Undo", "/desk/restore", {"url": done.url})
    return owner.back("/desk/", undo)


async def restore(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST: bring a deleted post back as it was."""
    desk, url = owner.request.app[DESK], sent.get("url") or ""
    done = await desk.publisher.carry_out(Undelete(url), desk.token)
    return owner.back("/desk/", Notice("The post is restored.", link=(done.url, "Look at it")))
