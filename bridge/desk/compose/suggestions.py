"""What the desk's scripts request while a post is being written: JSON for the owner's browser."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import hdrs, web

from bridge.desk.desk import DESK
from bridge.desk.owner import Owner
from bridge.http.form import Form
from bridge.pages.language import translated


async def look_up(owner: Owner, sent: Form) -> web.StreamResponse:
    """POST ``/desk/context`` (``url``): a summary of that page, as JSON; empty for anything but a
    page's address."""
    found = await owner.request.app[DESK].contexts.of((sent.get("url") or "").strip())
    context = {} if found is None else asdict(found) | {"problem": translated(found.problem)}
    return web.json_response(context, headers={hdrs.CACHE_CONTROL: "no-store"})


#: The number of tags to suggest from, the most used first.
_MOST_TAGS = 1000


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
