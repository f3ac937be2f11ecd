"""Wires the parts together. Read this first, then ``publisher.py``.

``core.py`` opens the repo and starts what follows the branch, ``social.py`` what communicates with
other sites.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from datetime import UTC, tzinfo
from functools import partial
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp
from aiohttp import web

from bridge.auth.verifier import make_verifier
from bridge.core import Core, open_core
from bridge.desk import routes as desk_routes
from bridge.desk.compose.context import Contexts
from bridge.desk.desk import Desk
from bridge.desk.owner import owner_form
from bridge.desk.status import StatusHandlers
from bridge.desk.used_files import UsedFiles
from bridge.errors import SiteBroken
from bridge.http.connection import MAX_REQUEST, note_request, prepare_answer
from bridge.indieauth import routes as indieauth_routes
from bridge.indieauth.database import Database
from bridge.indieauth.server import IndieAuthServer
from bridge.micropub.post import unescape
from bridge.net.resolver import Resolver
from bridge.posts.attachments import Orphans
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Once
from bridge.posts.moved_by_hand import MovedByHand
from bridge.posts.reply_contexts import ReplyContexts
from bridge.publisher import Followers, Publisher
from bridge.rebuild import Rebuilder
from bridge.runtime.lifetime import Lifetime
from bridge.settings import Settings, prefix_of
from bridge.social import Social, start_social
from bridge.store import ContentStore
from bridge.syndication.jobs.planner import default_targets
from bridge.web.git_hook import GitHook
from bridge.web.media import MediaHandlers
from bridge.web.micropub import MicropubHandlers
from bridge.web.middleware import allow_browsers, harden, render_errors
from bridge.web.preview import Previews
from bridge.web.queries import Queries
from bridge.web.request import Gate
from bridge.webmention.tombstones import Tombstones

STORE = web.AppKey("store", ContentStore)
REBUILDER = web.AppKey("rebuilder", Rebuilder)

#: Number of full-size files for which a request's limit leaves room.
_FILES_IN_A_POST = 10


async def make_app(settings: Settings, *, public_url: str) -> web.Application:
    """Build the bridge as an aiohttp application, ready to be served.

    ``public_url`` is its public URL. Everything that is opened here is closed by the application's
    clean-up, last opened first. Raises :class:`~bridge.settings.SettingsError`, and what the store
    raises where the repo cannot be used.
    """
    public_url = public_url.rstrip("/") + "/"
    app = web.Application(
        middlewares=[
            note_request,
            allow_browsers(("/micropub", "/media", "/status", "/webmention")),
            harden,
            render_errors,
        ],
    )
    app[MAX_REQUEST] = settings.media.max_bytes * _FILES_IN_A_POST
    app.on_response_prepare.append(prepare_answer)
    stack = AsyncExitStack()
    app.on_cleanup.append(lambda _: stack.aclose())
    try:
        await _assemble(app, await open_core(settings, public_url, Lifetime(stack)))
    except BaseException:
        await stack.aclose()
        raise
    return app


async def _assemble(app: web.Application, core: Core) -> None:
    """Build everything on top of the core and add the routes."""
    tombstones = _tombstones(core)
    publisher = _start_publisher(core, tombstones)
    server = _start_identity(app, core)
    social = await start_social(app, core, tombstones, server)
    gate = await _make_gate(core, server)
    with_previews = server is not None and core.rebuilder.is_local
    previews = Previews(core.rebuilder, core.public_url) if with_previews else None
    status = _make_status(core, gate, social, with_pages=server is not None)
    queries = Queries(
        core.repo.catalogue, core.repo.posts, core.settings, f"{core.public_url}media"
    )
    _add_micropub(app, core, gate, publisher, queries, previews)
    _add_status(app, core, status)
    if previews is not None:
        app.router.add_get("/preview/{path:.+}", previews.get)
    if server is not None:
        _add_desk(app, core, publisher, queries, previews)
        if social.sender is not None:
            app.router.add_post("/status/webmentions", owner_form(status.decide_webmentions))
    app[STORE], app[REBUILDER] = core.repo.store, core.rebuilder


def _tombstones(core: Core) -> Tombstones:
    """The maker of tombstones."""
    wanted = core.settings.webmention
    folder = f"{prefix_of(core.settings.content.folder)}{wanted.folder}"
    return Tombstones(core.repo.store, folder, enabled=wanted.send)


def _start_publisher(core: Core, tombstones: Tombstones) -> Publisher:
    """Build the publisher and the background work on posts."""
    repo, lifetime = core.repo, core.lifetime
    reply_contexts = ReplyContexts(
        repo.catalogue, repo.posts, core.reservations, core.committer, core.fetch
    )
    lifetime.close_later(reply_contexts.close)
    # Reads the whole index first, which takes seconds while there is none.
    lifetime.run(reply_contexts.start(), "reply_contexts")
    moved = MovedByHand(repo.store, repo.posts, core.reservations, core.committer)
    core.follow(moved.changed)
    lifetime.run(moved.run(), "moved_by_hand")
    lifetime.run(Orphans(repo.media, core.committer).run(), "orphans")
    publisher = Publisher(
        repo.posts,
        core.reservations,
        repo.media,
        tombstones,
        core.committer,
        Followers(core.rebuilder, reply_contexts, core.settings.rebuild.wait_seconds),
        Once(repo.store),
        targets=partial(default_targets, core.settings.syndication.targets),
    )
    lifetime.close_later(publisher.close)
    return publisher


def _start_identity(app: web.Application, core: Core) -> IndieAuthServer | None:
    """Build the built-in IndieAuth server, if it is on."""
    settings = core.settings
    if not settings.indieauth.enabled:
        return None
    database = Database(settings.indieauth.database)
    server = IndieAuthServer(
        settings, public_url=core.public_url, database=database, fetch=core.fetch
    )
    core.lifetime.close_later(server.close)
    server.zone = partial(_site_zone, core.repo.catalogue)
    server.site_name = partial(_site_name, core.repo.catalogue)
    indieauth_routes.setup(app, server)
    return server


def _site_zone(catalogue: Catalogue) -> tzinfo:
    """The site's time zone; UTC until its settings could be read."""
    with suppress(SiteBroken, ZoneInfoNotFoundError):
        return ZoneInfo(catalogue.site.facts.timezone)
    return UTC


def _site_name(catalogue: Catalogue) -> str:
    """SITENAME; ``""`` until the site's settings could be read."""
    with suppress(SiteBroken):
        name = catalogue.site.facts.values.get("SITENAME", "")
        # Themes print SITENAME as HTML.
        return unescape(name) if isinstance(name, str) else ""
    return ""


async def _make_gate(core: Core, server: IndieAuthServer | None) -> Gate:
    """Build the authentication and authorization of requests."""
    session = await core.lifetime.enter(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Resolver()), cookie_jar=aiohttp.DummyCookieJar()
        )
    )
    builtin = server.verifier if server else None
    return Gate(await make_verifier(core.settings, session, builtin), core.settings)


def _make_status(core: Core, gate: Gate, social: Social, *, with_pages: bool) -> StatusHandlers:
    return StatusHandlers(
        gate,
        core.rebuilder,
        core.remote,
        core.repo.catalogue,
        social.sender,
        social.receiver,
        social.syndicator,
        with_pages=with_pages,
    )


def _add_micropub(
    app: web.Application,
    core: Core,
    gate: Gate,
    publisher: Publisher,
    queries: Queries,
    previews: Previews | None,
) -> None:
    """Add the routes ``/micropub`` and ``/media``."""
    repo, settings, router = core.repo, core.settings, app.router
    media = MediaHandlers(repo.media, gate, core.committer, max_bytes=settings.media.max_bytes)
    micropub = MicropubHandlers(
        gate, publisher, queries, media, previews, max_bytes=app[MAX_REQUEST]
    )
    # Owners may type the endpoint into an app with a slash at its end.
    for slash in ("", "/"):
        router.add_get(f"/micropub{slash}", micropub.get)
        router.add_post(f"/micropub{slash}", micropub.post)
        router.add_post(f"/micropub/media{slash}", media.post)
        router.add_get(f"/media{slash}", media.get)
        router.add_post(f"/media{slash}", media.post)
    router.add_get("/media/{path:.+}", media.serve)


def _add_status(app: web.Application, core: Core, status: StatusHandlers) -> None:
    """Add the routes ``/status``, ``/healthz`` and the git host's webhook."""
    app.router.add_get("/status", status.status)
    app.router.add_get("/healthz", status.health)
    if urlsplit(core.settings.site.me).netloc != urlsplit(core.public_url).netloc:
        # On the site's own host name ``/`` is the site's home page.
        app.router.add_get("/", desk_routes.begin if status.with_pages else status.begin)
    # Without a remote there is nothing for a git host to report.
    secret = core.settings.publish.hook_secret
    if secret and core.remote.status().state != "none":
        app.router.add_post("/hook/git", GitHook(secret, core.remote.fetch_now).post)


def _add_desk(
    app: web.Application,
    core: Core,
    publisher: Publisher,
    queries: Queries,
    previews: Previews | None,
) -> None:
    """Add the desk's routes; the owner has to sign in for them."""
    repo = core.repo
    desk = Desk(
        store=repo.store,
        catalogue=repo.catalogue,
        posts=repo.posts,
        publisher=publisher,
        queries=queries,
        media=repo.media,
        rebuilder=core.rebuilder,
        previews=previews,
        contexts=Contexts(core.fetch),
        used_files=UsedFiles(repo.store, repo.catalogue.index, core.settings.media.folder),
        committer=core.committer,
        settings=core.settings,
        public_url=core.public_url,
        max_bytes=app[MAX_REQUEST],
    )
    desk_routes.setup(app, desk)
