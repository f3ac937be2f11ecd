"""What a script of ours asks for while a post is being written: JSON for the owner's browser."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import hdrs, web

from bridge.desk.desk import DESK
from bridge.desk.owner import Owner
from bridge.http.form import Form
from bridge.pages.language import translated


async def look_up(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST ``/desk/context`` (``url``), from a script of ours: what that page says, as JSON; empty
    for what is no address of a page."""
    found = await owner.request.app[DESK].contexts.of((sent.get("url") or "").strip())
    context = {} if found is None else asdict(found) | {"problem": translated(found.problem)}
    return web.json_response(context, headers={hdrs.CACHE_CONTROL: "no-store"})


#: So many tags are suggested from while one is typed, those of most posts first.
_MOST_TAGS = 1000


async def tags(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST ``/desk/tags``, from a script of ours: ``categories`` are the tags in use, as
    ``q=category`` has them."""
    del sent
    desk = owner.request.app[DESK]
    await desk.catalogue.refresh()
    found = desk.catalogue.index.categories()[:_MOST_TAGS]
    return web.json_response({"categories": found}, headers={hdrs.CACHE_CONTROL: "no-store"})


async def places(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST ``/desk/places`` (``lat lon``, or neither), from a script of ours: places that posts
    were made at, the nearest first, as ``q=geo`` has them."""
    here = [(name, text) for name in ("lat", "lon") if (text := sent.get(name))]
    found = await owner.request.app[DESK].queries.answer([("q", "geo"), *here])
    return web.json_response(found, headers={hdrs.CACHE_CONTROL: "no-store"})
