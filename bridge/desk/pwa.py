"""The desk as a progressive web app: only where it has an origin of its own, so that no script of
the site's can read what a browser stores for it.

A browser keeps drafts and posts that wait for a network, and a worker with our own files. These are
the endpoints that they use.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from aiohttp import hdrs, web

from bridge import pages
from bridge.desk.compose import new_post
from bridge.desk.compose.fields import kind_named
from bridge.desk.compose.micropub_request import Problems
from bridge.desk.compose.post_form import sheet_of
from bridge.desk.compose.submission import Submission
from bridge.desk.desk import DESK
from bridge.desk.icon import described
from bridge.desk.owner import Owner
from bridge.errors import BridgeError, Conflict
from bridge.indieauth.login.browser_session import browser_session
from bridge.pages.host import HOST
from bridge.pages.language import preferred, speak, translated
from bridge.pages.render import STATIC, STATIC_VERSION, public_page
from bridge.store import StoreError

#: More forms than a browser asks about at once; a name has 32 characters.
_MOST, _LONGEST = 100, 100
_NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}
_PAGES = Path(pages.__file__).parent


async def once(request: web.Request) -> web.Response:
    """GET ``/desk/once?once=…&once=…``: those of these forms that have been carried out, as JSON.

    401 for a browser that is not signed in, 503 where the repo cannot be read: then nothing is
    known of any.
    """
    if browser_session(request).session is None:
        return _answer({"error": "unauthorized"}, 401)
    names = [name for name in request.query.getall("once", []) if 0 < len(name) <= _LONGEST]
    try:
        done = await request.app[DESK].publisher.once.carried_out(names[:_MOST])
    except StoreError:
        return _answer({"error": "unavailable"}, 503)
    return _answer({"done": done}, 200)


async def outbox(owner: Owner) -> web.StreamResponse:
    """GET ``/desk/outbox``: what waits in this browser."""
    return owner.page("desk/outbox.html")


async def post_waiting(submission: Submission) -> web.StreamResponse:
    """POST ``/desk/outbox``: a post that has waited, from a script of ours; answered in JSON.

    ``url`` is where it is published, ``problem`` why it is not. ``again``: the script's CSRF token
    is outdated.
    """
    owner, desk, filled = submission.owner, submission.desk, submission.filled
    speak(preferred(owner.request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))
    if submission.doubt:
        return _answer({"problem": translated(submission.doubt), "again": True}, 403)
    sheet = sheet_of(filled, desk, kind_named(filled.controls.get("kind", "")))
    try:
        await desk.catalogue.refresh()
        action = new_post.creation_of(sheet, "published", desk)
        is_known = await desk.publisher.once.carried_out([sheet.once])
        if is_known and not await desk.publisher.once.has_done(action.once):
            raise Conflict("This form has been sent before, with another text. Look at your posts.")
        done = await desk.publisher.carry_out(action, desk.token)
    except (Problems, BridgeError, StoreError) as error:
        refused = sheet.refused(error)
        problem = " ".join(translated(text) for text in refused.problems.values())
        return _answer({"problem": problem}, refused.status)
    return _answer({"url": done.url}, 200)


async def manifest(request: web.Request) -> web.Response:
    """GET ``/desk/manifest.webmanifest`` (W3C Web Application Manifest): the desk as an app."""
    speak(preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))
    host = request.app[HOST]
    name = host.name or host.me
    body = {
        "id": "/desk/",
        "name": name,
        "short_name": name[:30],
        "start_url": "/desk/",
        "scope": "/desk/",
        "display": "standalone",
        "theme_color": "#0e6163",
        "background_color": "#fbf9f4",
        "icons": described(),
        "shortcuts": [
            {"name": translated("Note"), "url": "/desk/new"},
            {"name": translated("Photo"), "url": "/desk/new?kind=photo"},
            {"name": translated("Reply"), "url": "/desk/new?kind=reply"},
            {"name": translated("Drafts"), "url": "/desk/?show=drafts"},
        ],
        "share_target": {
            "action": "/desk/share",
            "method": "POST",
            "enctype": "multipart/form-data",
            "params": {
                "title": "title",
                "text": "text",
                "url": "url",
                "files": [{"name": "files", "accept": ["image/*", "video/*", "audio/*"]}],
            },
        },
    }
    headers = {hdrs.VARY: hdrs.ACCEPT_LANGUAGE, hdrs.CACHE_CONTROL: "no-cache"}
    return web.json_response(body, content_type="application/manifest+json", headers=headers)


async def worker(request: web.Request) -> web.Response:
    """GET ``/desk/sw.js``: its bytes change with every file that it caches."""
    del request
    names = f'const VERSION = "{_version()}", STATIC = "/auth/static/{STATIC_VERSION}";'
    script = f"{names}\n{(STATIC / 'sw.js').read_text()}"
    headers = {hdrs.CACHE_CONTROL: "no-cache", "X-Content-Type-Options": "nosniff"}
    return web.Response(text=script, content_type="text/javascript", headers=headers)


@cache
def _version() -> str:
    """A hash of everything that a browser may cache."""
    found = hashlib.sha256()
    for folder in ("static", "templates", "locale"):
        for file in sorted((_PAGES / folder).rglob("*")):
            if file.is_file():
                found.update(file.read_bytes())
    return found.hexdigest()[:16]


async def offline(request: web.Request) -> web.Response:
    """GET ``/desk/offline``: a page for writing that browsers may cache; it has no data of the
    owner."""
    return public_page(request, "desk/offline.html")


def _answer(body: dict[str, object], status: int) -> web.Response:
    return web.json_response(body, status=status, headers=_NO_STORE)
