"""``/desk/share``: prefills the form of a new post with what a phone's share menu sends."""

from __future__ import annotations

from aiohttp import web

from bridge.desk.compose import post_form, values
from bridge.desk.compose.fields import kind_named
from bridge.desk.compose.post_form import Sheet
from bridge.desk.compose.values import FormValues, SubmittedForm
from bridge.desk.desk import DESK
from bridge.desk.owner import Owner
from bridge.errors import CsrfError
from bridge.indieauth.login.browser_session import CROSS_SITE
from bridge.micropub.body import File, RequestBody
from bridge.micropub.urls import is_web
from bridge.pages.render import redirect
from bridge.web.request import AUTHENTICATED, read_body

_ENDINGS = {
    "video": frozenset({"mp4", "m4v", "mov", "webm"}),
    "audio": frozenset({"mp3", "m4a", "ogg", "opus", "wav", "flac"}),
}
_MOST = 50_000


async def begin(owner: Owner) -> web.StreamResponse:
    """GET, as after signing in on the way: the same without files (``title text url``)."""
    query = owner.request.rel_url.raw_query_string
    return redirect(f"/desk/new?{query}" if query else "/desk/new")


async def receive(owner: Owner) -> web.StreamResponse:
    """POST of the manifest's share target (``title text url files``): the form, filled in.

    Nothing is published. The phone sends it, not a page of ours, so it has no CSRF token; browsers
    send no session with a request from another site. Requests by scripts and frames, which a site
    on this host name could make, are refused: they could read the page, and store files.
    """
    desk, headers = owner.request.app[DESK], owner.request.headers
    is_page = headers.get("Sec-Fetch-Dest", "document") == "document"
    # Read completely before it is refused: a browser that is still sending would see no response.
    body = await read_body(owner.request, max_bytes=desk.max_bytes, limits=AUTHENTICATED)
    if headers.get("Sec-Fetch-Site") in CROSS_SITE or not is_page:
        raise CsrfError
    await desk.catalogue.refresh()
    kind, typed, uploads = _shared(body)
    sheet = Sheet(kind_named(kind), typed, desk.new_name())
    filled = SubmittedForm(typed, {}, uploads)
    return await post_form.show(owner, desk, await post_form.store_files(desk, sheet, filled))


def _shared(body: RequestBody) -> tuple[str, FormValues, tuple[tuple[str, File, str], ...]]:
    """The kind of post, the values of its form, and its files."""
    title, text, url = (
        values.read_text(body.first(name) or "") for name in ("title", "text", "url")
    )
    # Android puts the address into the text.
    if not url.strip() and is_web(text.strip()):
        url, text = text, ""
    url = url.strip() if is_web(url.strip()) else ""
    files = tuple((_property(each), each, "") for each in body.files if each.data)
    if files:
        kind, texts = files[0][0], {"name": title, "content": _lines(text, url)}
    elif url:
        kind, texts = "bookmark", {"bookmark-of": url, "name": title, "content": text}
    else:
        kind, texts = "note", {"content": _lines(title, text)}
    given = {name: (value[:_MOST],) for name, value in texts.items() if value.strip()}
    return kind, FormValues(given), files


def _lines(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text.strip())


def _property(file: File) -> str:
    """The property for a file, by its name; its bytes are checked when it is stored."""
    ending = file.filename.rpartition(".")[2].lower()
    return next((name for name, endings in _ENDINGS.items() if ending in endings), "photo")
