"""``/desk/new``: a new post of any kind that the site shows."""

from __future__ import annotations

import time
from urllib.parse import quote

from aiohttp import hdrs, web
from msgspec.structs import asdict, replace

from bridge.desk.compose import micropub_request, post_form
from bridge.desk.compose.fields import KINDS, kind_named
from bridge.desk.compose.micropub_request import Problems
from bridge.desk.compose.post_form import Sheet, sheet_of
from bridge.desk.compose.preview import look_of
from bridge.desk.compose.submission import Submission
from bridge.desk.compose.values import Attached, FormValues
from bridge.desk.desk import DESK, Desk
from bridge.desk.owner import Owner
from bridge.desk.posts import title_of
from bridge.errors import BridgeError, InvalidRequest
from bridge.http.form import Form
from bridge.micropub.action import Create
from bridge.micropub.body import RequestBody
from bridge.micropub.dates import parse_date
from bridge.micropub.parse import parse_action
from bridge.micropub.post import Json
from bridge.micropub.urls import is_web
from bridge.pages.language import decimal, translated
from bridge.pages.navigation import Notice
from bridge.publisher import Published
from bridge.store import StoreError

#: The longest prefilled value: longer than browsers allow for an address.
_MOST = 50_000
LOOK = "Look at it"
#: The number of tags to suggest from, the most used first.
_MOST_TAGS = 1000


async def show(owner: Owner) -> web.StreamResponse:
    """GET: an empty form, or one with what the address says (``kind url title text tags photo``).

    Nothing is ever published by it.
    """
    desk, query = owner.request.app[DESK], owner.request.query
    await desk.catalogue.refresh()
    url, problems = query.get("url", "").strip(), dict[str, str]()
    if url and not is_web(url):
        problems[""] = "The address in this link is not that of a web page, and was left out."
        url = ""
    name = query.get("kind", "")
    kind = kind_named(name if name in KINDS or not url else "bookmark")
    texts = {
        "name": query.get("title", ""),
        "content": query.get("text", ""),
        "category": query.get("tags", ""),
        "in-reply-to": url,
    }
    given = {name: (text[:_MOST],) for name, text in texts.items() if text.strip()}
    typed = post_form.with_target(FormValues(given), kind)
    if (photo := query.get("photo")) and (file := await desk.media.find(photo)):
        typed = typed.with_files("photo", [Attached(desk.media.url_of(file), file.alt)])
    sheet = Sheet(kind, typed, desk.new_name(), problems=problems)
    return await post_form.show(owner, desk, sheet)


async def create(submission: Submission) -> web.StreamResponse:
    """POST: publish, save as a draft, or show the form again, according to the button."""
    owner, desk, filled = submission.owner, submission.desk, submission.filled
    begun = time.monotonic()
    await desk.catalogue.refresh()
    chosen = owner.request.query.get("kind") if submission.does == "kind" else None
    kind = kind_named(chosen or filled.controls.get("kind", ""))
    sheet = sheet_of(filled, desk, kind)
    sheet = replace(sheet, typed=post_form.with_target(sheet.typed, kind))
    sheet, is_to_be_sent = await post_form.with_stored_files(submission, sheet)
    if not is_to_be_sent:
        sheet = replace(sheet, address=await _address(sheet, desk) if sheet.looks else "")
        return await post_form.show(owner, desk, sheet)
    status = filled.controls.get("post-status", "published")
    try:
        action = creation_of(sheet, status, desk)
        done = await desk.publisher.carry_out(action, desk.token)
    except (Problems, BridgeError, StoreError) as error:
        return await post_form.show(owner, desk, sheet.refused(error))
    return _after(submission, action, done, time.monotonic() - begun)


def creation_of(sheet: Sheet, status: str, desk: Desk) -> Create:
    """The Micropub action of the form. Raises Problems, InvalidRequest."""
    found = micropub_request.read_values(sheet.fields, sheet.typed, desk.zone)
    if status != "draft" and (lacking := micropub_request.missing(sheet.kind, found)):
        raise Problems(lacking)
    return _create(sheet, found, status)


def _create(sheet: Sheet, found: dict[str, list[Json]], status: str) -> Create:
    request = micropub_request.creation(sheet.kind, found, sheet.typed, status)
    match parse_action(RequestBody("json", json=request)):
        case Create() as action:
            return replace(action, once=micropub_request.named_once(sheet.once, request))
    raise InvalidRequest("This form makes a new post, and nothing else.")


async def address(submission: Submission) -> web.StreamResponse:
    """POST ``/desk/address``, by a script of the desk: the ``url`` that the form's post would have,
    as JSON; empty as long as the form makes no post."""
    desk, filled = submission.desk, submission.filled
    sheet = sheet_of(filled, desk, kind_named(filled.controls.get("kind", "")))
    url, status = ("", 403) if submission.doubt else (await _address(sheet, desk), 200)
    return web.json_response({"url": url}, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})


async def _address(sheet: Sheet, desk: Desk) -> str:
    """The address that the form's post would have; empty as long as the form makes no post."""
    try:
        found = micropub_request.read_values(sheet.fields, sheet.typed, desk.zone)
        if not found and not sheet.typed.text("mp-slug").strip():
            return ""
        return await desk.publisher.address_of(_create(sheet, found, "published"))
    except (Problems, BridgeError, StoreError):
        # Its errors are shown when it is submitted.
        return ""


def _after(submission: Submission, action: Create, done: Published, seconds: float) -> web.Response:
    """Redirect to the post, or to a page that shows its progress."""
    owner, desk = submission.owner, submission.desk
    if action.post.first("post-status") == "draft":
        if "look" in owner.request.query and desk.previews:
            return owner.back(look_of(done.url))
        link = (look_of(done.url), LOOK) if desk.previews else None
        return owner.back(
            f"/desk/edit?url={quote(done.url, safe='')}", Notice("Draft saved.", link=link)
        )
    date = action.post.first("published")
    if date and parse_date(date, desk.zone).timestamp() > desk.now():
        return owner.back(
            "/desk/?show=scheduled", Notice("It will be published when its time comes.")
        )
    if done.live:
        # It is shown on the next page of the desk: the post's own is the site's.
        took = translated("Live in {seconds} seconds:").format(seconds=decimal(seconds))
        return owner.back(done.url, Notice(took, link=(done.url, title_of(action.post))))
    if done.again:
        return owner.back(done.url)
    return owner.back(
        "/desk/", Notice("Published. Its page is being built.", link=(done.url, LOOK))
    )


async def look_up(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST ``/desk/context`` (``url``): a summary of that page, as JSON; empty for anything but a
    page's address."""
    found = await owner.request.app[DESK].contexts.of((sent.get("url") or "").strip())
    context = {} if found is None else asdict(found) | {"problem": translated(found.problem)}
    return web.json_response(context, headers={hdrs.CACHE_CONTROL: "no-store"})


async def tags(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST ``/desk/tags``: ``categories`` are the tags in use, as in ``q=category``."""
    del sent
    desk = owner.request.app[DESK]
    await desk.catalogue.refresh()
    found = desk.catalogue.index.categories()[:_MOST_TAGS]
    return web.json_response({"categories": found}, headers={hdrs.CACHE_CONTROL: "no-store"})


async def places(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST ``/desk/places`` (``lat lon``, or neither): places of posts, the nearest first, as in
    ``q=geo``."""
    here = [(name, text) for name in ("lat", "lon") if (text := sent.get(name))]
    found = await owner.request.app[DESK].queries.answer([("q", "geo"), *here])
    return web.json_response(found, headers={hdrs.CACHE_CONTROL: "no-store"})
