"""``/desk/files``: every upload, the posts that use it, and its actions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import hdrs, web
from msgspec import Struct

from bridge.desk.compose.submission import Submission
from bridge.desk.compose.values import shown_url
from bridge.desk.desk import DESK, Desk
from bridge.desk.owner import Owner
from bridge.desk.used_files import Uses
from bridge.errors import BridgeError
from bridge.http.form import Form
from bridge.media.stored_file import MediaFile
from bridge.pages.language import counted, figure, translated
from bridge.pages.navigation import Notice
from bridge.web.media import delete_file

_A_PAGE = 48


class ListedFile(Struct, frozen=True):
    """One file of the page."""

    url: str
    name: str
    is_picture: bool
    published: float
    size: str
    alt: str
    markdown: str
    posts: Sequence[tuple[str, str]]


async def show(owner: Owner) -> web.StreamResponse:
    """GET: the newest files first."""
    desk, number = owner.request.app[DESK], owner.number("page", 1)
    await desk.catalogue.refresh()
    files = await desk.media.list(_A_PAGE + 1, (number - 1) * _A_PAGE)
    uses = await asyncio.to_thread(desk.used_files.now)
    return owner.page(
        "desk/files.html",
        files=[_shown(desk, file, uses) for file in files[:_A_PAGE]],
        number=number,
        is_more=len(files) > _A_PAGE,
    )


def _shown(desk: Desk, file: MediaFile, uses: Uses) -> ListedFile:
    url = desk.media.url_of(file)
    alt = " ".join(file.alt.replace("[", "(").replace("]", ")").split())
    return ListedFile(
        url=url,
        name=file.path.rpartition("/")[2],
        is_picture=file.type.startswith("image/"),
        published=file.published.timestamp(),
        size=f"{figure(max(1, round(file.size / 1000)))} kB" if file.size else "",
        alt=file.alt,
        markdown=f"![{alt}]({url})" if file.type.startswith("image/") else f"[{alt or url}]({url})",
        posts=[(post, shown_url(post)) for post in _posts_with(file, uses)],
    )


def _posts_with(file: MediaFile, uses: Uses) -> list[str]:
    """The posts that use a file, or one of its scaled copies."""
    return list(dict.fromkeys(post for path in file.paths for post in uses.get(path, ())))


async def upload(submission: Submission) -> web.StreamResponse:
    """POST with files: store them. The response to a script is JSON with the addresses."""
    owner, desk = submission.owner, submission.desk
    wants_json = "application/json" in owner.request.headers.get(hdrs.ACCEPT, "")
    if submission.doubt:
        return owner.back("/desk/files", Notice(submission.doubt))
    taken, problems = list[str](), list[str]()
    for _, file, alt in submission.filled.uploads:
        try:
            stored = await desk.media.accept(file.data, file.filename, alt=alt)
        except BridgeError as error:
            name = file.filename or translated("A file")
            problems.append(f"{name}: {translated(error.description)}")
        else:
            taken.append(desk.media.url_of(stored))
    if wants_json:
        body = {"urls": taken, "problems": problems}
        return web.json_response(body, status=201 if taken else 400)
    count = counted("{count} file added.", "{count} files added.", len(taken)) if taken else ""
    summary = " ".join(filter(None, [count, *problems])) or translated("Choose a file first.")
    return owner.back("/desk/files", Notice(summary))


async def change(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST: change a file's alt text, or delete it (``do=delete``)."""
    desk, url = owner.request.app[DESK], sent.get("url") or ""
    file = await desk.media.find(url)
    if file is None:
        return owner.back("/desk/files", Notice("This file is not there any more."))
    if sent.get("do") != "delete":
        await desk.media.describe(file, sent.get("alt") or "")
        return owner.back("/desk/files", Notice("The description is kept."))
    await desk.catalogue.refresh()
    uses = await asyncio.to_thread(desk.used_files.now)
    if posts := _posts_with(file, uses):
        named = ", ".join(map(shown_url, posts[:5]))
        if (more := len(posts) - 5) > 0:
            named += counted(", and {count} more", ", and {count} more", more)
        notice = f"This file is in use, and stays: take it out of {named} first."
        return owner.back("/desk/files", Notice(notice))
    await delete_file(desk.media, desk.committer, url, desk.token)
    return owner.back("/desk/files", Notice("Deleted."))
