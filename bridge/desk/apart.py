"""What a browser keeps for the desk, where that has an origin of its own: what it asks of us."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.desk.desk import DESK
from bridge.indieauth.login.visit import visit
from bridge.store import StoreError

#: More forms than a browser asks for at once; a name is 32 characters.
_MOST, _LONGEST = 100, 100
_HEADERS = {hdrs.CACHE_CONTROL: "no-store"}


async def once(request: web.Request) -> web.Response:
    """GET ``/desk/once?once=…&once=…``: those of these forms that have been carried out, as JSON.

    401 for a browser that is not signed in, 503 where the repo cannot be read: then nothing is
    known of any.
    """
    if visit(request).session is None:
        return _answer({"error": "unauthorized"}, 401)
    asked = [name for name in request.query.getall("once", []) if 0 < len(name) <= _LONGEST]
    try:
        done = await request.app[DESK].publisher.carried_out(asked[:_MOST])
    except StoreError:
        return _answer({"error": "unavailable"}, 503)
    return _answer({"done": done}, 200)


def _answer(body: dict[str, object], status: int) -> web.Response:
    return web.json_response(body, status=status, headers=_HEADERS)
