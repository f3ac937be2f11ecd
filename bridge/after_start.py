"""Wires what is imported once the bridge answers: the pages of the owner and of the built-in
IndieAuth server, builds, and what communicates with other sites (``social.py``).

These are half of all modules. ``app.py`` has the rest.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web
from msgspec import Struct

from bridge.core import Core, Repo
from bridge.desk import routes as desk_routes
from bridge.desk.compose.context import Contexts
from bridge.desk.desk import Desk
from bridge.desk.owner import owner_form
from bridge.desk.status import StatusHandlers
from bridge.desk.used_files import UsedFiles
from bridge.errors import BridgeError
from bridge.http.connection import MAX_REQUEST
from bridge.indieauth import routes as indieauth_routes
from bridge.indieauth.server import IndieAuthServer
from bridge.publisher import Publisher
from bridge.rebuild import Rebuilder
from bridge.rebuild.local.checkout import SiteDates
from bridge.rebuild.output_folder import DeferredRebuilder
from bridge.rebuild.rebuilder import make_rebuilder
from bridge.site.sandbox import make_sandbox
from bridge.social import Social, start_social
from bridge.web.preview import PreviewPages
from bridge.web.previews import Previews
from bridge.web.queries import Queries
from bridge.web.request import Gate
from bridge.webmention.tombstones import Tombstones


class Started(Struct, frozen=True):
    """The parts that answer apps. ``server`` and ``previews`` are ``None`` where they are off."""

    core: Core
    gate: Gate
    publisher: Publisher
    queries: Queries
    tombstones: Tombstones
    server: IndieAuthServer | None
    previews: Previews | None


async def make_rest(app: web.Application, parts: Started) -> web.Application:
    """Start the rest, and return an application with its routes, and what ``app`` holds."""
    rest = web.Application()
    rest.update(app)
    core, server = parts.core, parts.server
    await _start_building(core)
    if server is not None:
        indieauth_routes.setup(rest)
    begin = len(core.committed)
    social = await start_social(rest, core, parts.tombstones, server)
    head = await asyncio.to_thread(core.repo.store.head)
    if head is not None and head != core.began:
        for listener in core.committed[begin:]:
            listener(head)
    status = _make_status(core, parts.gate, social, with_pages=server is not None)
    rest.router.add_get("/status", status.status)
    if urlsplit(core.settings.site.me).netloc != urlsplit(core.public_url).netloc:
        # On the site's own host name ``/`` is the site's home page.
        rest.router.add_get("/", desk_routes.begin if status.with_pages else status.begin)
    if parts.previews is not None:
        rest.router.add_get("/preview/{path:.+}", PreviewPages(core.rebuilder).get)
    if server is not None:
        _add_desk(rest, parts)
        if social.sender is not None:
            rest.router.add_post("/status/webmentions", owner_form(status.decide_webmentions))
    return rest


async def _start_building(core: Core) -> None:
    if isinstance(core.rebuilder, DeferredRebuilder):
        core.rebuilder.make_with(partial(_builder, core))
    await core.rebuilder.start()


def _builder(core: Core, output: Path) -> Rebuilder:
    """What builds the site into ``output`` on this machine."""
    repo = core.repo
    dates = partial(_dates_of_site, repo)
    return make_rebuilder(
        core.settings,
        repo.store,
        core.state,
        output=output,
        submodules=repo.submodules,
        dates=dates,
    )


def _dates_of_site(repo: Repo) -> SiteDates | None:
    """What the site's settings say of dates; ``None`` until they have been read."""
    try:
        facts = repo.site.reader.facts
        return SiteDates(ZoneInfo(facts.timezone), facts.drafts_until_due)
    except (BridgeError, ValueError, ZoneInfoNotFoundError):
        return None


def _make_status(core: Core, gate: Gate, social: Social, *, with_pages: bool) -> StatusHandlers:
    return StatusHandlers(
        gate,
        core.rebuilder,
        core.remote,
        core.repo.catalogue,
        social.sender,
        social.receiver,
        social.syndicator,
        is_beside_secrets=make_sandbox(core.settings, core.state).is_beside_secrets,
        with_pages=with_pages,
    )


def _add_desk(app: web.Application, parts: Started) -> None:
    """Add the desk's routes; the owner has to sign in for them."""
    core, repo = parts.core, parts.core.repo
    desk = Desk(
        store=repo.store,
        catalogue=repo.catalogue,
        posts=repo.posts,
        publisher=parts.publisher,
        queries=parts.queries,
        media=repo.media,
        rebuilder=core.rebuilder,
        previews=parts.previews,
        contexts=Contexts(core.fetch),
        used_files=UsedFiles(repo.store, repo.catalogue.index, core.settings.media.folder),
        committer=core.committer,
        settings=core.settings,
        public_url=core.public_url,
        max_bytes=app[MAX_REQUEST],
    )
    desk_routes.setup(app, desk)
