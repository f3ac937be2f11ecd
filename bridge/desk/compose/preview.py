"""Previews: ``/desk/preview`` at once, ``/desk/look`` in the site's own theme."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from aiohttp import web

from bridge.content.body import encode
from bridge.content.convert import is_markdown
from bridge.content.markup import html
from bridge.desk.compose import micropub_request, post_form
from bridge.desk.compose.fields import kind_named
from bridge.desk.compose.micropub_request import Problems
from bridge.desk.compose.post_form import sheet_of
from bridge.desk.compose.submission import Submission
from bridge.desk.compose.values import Attached
from bridge.desk.desk import DESK, Desk
from bridge.desk.owner import Owner
from bridge.errors import BridgeError
from bridge.http.form import Form
from bridge.micropub.action import Create, Update, Upload
from bridge.micropub.body import RequestBody
from bridge.micropub.embedded import put_back
from bridge.micropub.parse import parse_action
from bridge.micropub.post import Post
from bridge.micropub.values import is_empty
from bridge.pages.navigation import Notice
from bridge.pages.render import PageError, frame
from bridge.site.current import KnownSite, without_guesses
from bridge.store import StoreError


async def at_once(submission: Submission) -> web.StreamResponse:
    """POST: the text as the site's Markdown renders it, in the desk's style. No post is written;
    attached files are stored as uploads, so that the preview can show them.
    """
    desk, filled = submission.desk, submission.filled
    await desk.catalogue.refresh()
    sheet = sheet_of(filled, desk, kind_named(filled.controls.get("kind", "")))
    problem, post, shown = submission.doubt, Post(), ""
    pasted: tuple[Upload, ...] = ()
    photos: tuple[Attached, ...] = ()
    if not problem:
        try:
            sheet = await post_form.store_files(desk, sheet, filled)
            photos = sheet.typed.files.get("photo", ())
            found = micropub_request.read_values(sheet.fields, sheet.typed, desk.zone)
            if found and not all(map(is_empty, found.values())):
                request = micropub_request.creation(sheet.kind, found, sheet.typed, "draft")
                action = parse_action(RequestBody("json", json=request))
                if isinstance(action, Create):
                    post, pasted = action.post, action.uploads
            sources = {each.placeholder: escape(each.source) for each in pasted}
            shown = str(put_back(await _rendered(desk, post), sources))
        except (Problems, BridgeError, StoreError) as error:
            problem = str(error)
    own = f"{desk.public_url}media/"
    return frame(
        submission.owner.request,
        "desk/preview.html",
        problem=problem,
        title=post.text("name") or "",
        shown=shown,
        photos=[each for each in photos if each.url.startswith((own, "https://"))],
        target=next((sheet.typed.text(name) for name in post_form.TARGETS
                     if sheet.typed.text(name)), ""),
    )  # fmt: skip


async def _rendered(desk: Desk, post: Post) -> str:
    """The HTML of a post's text, rendered by the site's own Markdown and sanitised."""
    content = post.first("content")
    if is_empty(content):
        return ""

    def work(site: KnownSite) -> str:
        rules = desk.posts.rules(site)
        return site.render(encode(content, markdown=is_markdown(post), rules=rules).text).html

    shown = await without_guesses(desk.catalogue.site, work)
    return html.sanitise(desk.posts.media.externalise_text(shown))


async def in_theme(owner: Owner) -> web.StreamResponse:
    """GET: a draft's page as Pelican has built it, below the actions for it."""
    desk, url = owner.request.app[DESK], owner.request.query.get("url", "")
    await desk.catalogue.refresh()
    entry = desk.catalogue.index.find(url)
    if entry is None or entry.status != "draft" or desk.previews is None:
        raise PageError(
            "There is no such draft",
            "A post that is published is seen at its own address.",
            status=404,
            link=("/desk/?show=drafts", "Drafts"),
        )
    return owner.page(
        "desk/look.html", url=entry.url, preview=desk.previews.path(entry.save_as), here="posts"
    )


async def publish(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST: publish a draft as it is, dated now unless its date is in the future."""
    desk, url = owner.request.app[DESK], sent.get("url") or ""
    await desk.catalogue.refresh()
    entry = desk.posts.find(url)
    replaced = {"post-status": ("published",)}
    if entry.published <= desk.now():
        now = datetime.fromtimestamp(desk.now(), UTC).isoformat(timespec="seconds")
        replaced["published"] = (now,)
    done = await desk.publisher.carry_out(Update(entry.url, replace=replaced), desk.token)
    return owner.back("/desk/", Notice("Published.", link=(done.url, "Look at it")))


def look_of(url: str) -> str:
    """The page that shows a draft in the site's own theme."""
    return f"/desk/look?url={quote(url, safe='')}"
