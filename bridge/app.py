"""Wires the parts together. Read this first, then ``publisher.py``.

``core.py`` opens the repo and starts what follows the branch. Only what apps need to post is here:
``after_start.py`` adds the owner's pages and what communicates with other sites, which are imported
once the bridge answers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, tzinfo
from functools import partial
from importlib import import_module
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp
from aiohttp import web

from bridge.auth.verifier import make_verifier
from bridge.core import Core, open_core
from bridge.errors import SiteBroken
from bridge.http.connection import MAX_REQUEST, note_request, prepare_answer
from bridge.http.later import LATER, Later
from bridge.indieauth.database import Database
from bridge.indieauth.login.browser_session import hold_server
from bridge.indieauth.server import IndieAuthServer
from bridge.micropub.post import Post, unescape
from bridge.net.resolver import Resolver
from bridge.posts.attachments import Orphans
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Once
from bridge.posts.moved_by_hand import MovedByHand
from bridge.posts.reply_contexts import ReplyContexts
from bridge.publisher import Followers, Publisher
from bridge.rebuild import Rebuilder
from bridge.runtime.lifetime import Lifetime
from bridge.settings import Settings, Target, prefix_of
from bridge.store import ContentStore
from bridge.web.git_hook import GitHook
from bridge.web.media import MediaHandlers
from bridge.web.micropub import MicropubHandlers
from bridge.web.middleware import ERROR_PAGE, allow_browsers, harden, render_errors
from bridge.web.previews import Previews
from bridge.web.queries import Queries
from bridge.web.request import Gate
from bridge.webmention.tombstones import Tombstones

STORE = web.AppKey("store", ContentStore)
REBUILDER = web.AppKey("rebuilder", Rebuilder)

#: Seconds after which a thread lets others run while the rest is imported.
_TURN_SECONDS = 0.0005

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
    """Build what answers apps on top of the core; the rest follows once it answers."""
    tombstones = _tombstones(core)
    server = _start_identity(app, core)
    gate = await _make_gate(core, server)
    queries = Queries(
        core.repo.catalogue, core.repo.posts, core.settings, f"{core.public_url}media"
    )
    with_previews = server is not None and core.rebuilder.is_local
    previews = Previews(core.public_url) if with_previews else None

    async def import_and_make() -> web.Application:
        await asyncio.to_thread(_import_rest)
        from bridge.after_start import Started, make_rest

        started = Started(core, gate, publisher, queries, tombstones, server, previews)
        return await make_rest(app, started)

    later = app[LATER] = Later(import_and_make)
    publisher = _start_publisher(core, tombstones, later)
    _add_micropub(app, core, gate, publisher, queries, previews)
    if server is not None:
        app[ERROR_PAGE] = partial(_error_page, later)
    app[STORE], app[REBUILDER] = core.repo.store, core.rebuilder
    later.mount(app)


def _import_rest() -> None:
    """Import :mod:`bridge.after_start`, in a thread.

    Meanwhile requests are answered: threads take turns ten times as often as they usually do.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        import_module("bridge.after_start")
    finally:
        sys.setswitchinterval(usual)


async def _error_page(
    later: Later, request: web.Request, headline: str, text: str, status: int
) -> web.Response | None:
    if await later.made_or_none() is None:
        return None
    from bridge.pages.render import PageError, error_page

    return error_page(request, PageError(headline, text, status=status))


async def _default_targets(later: Later, targets: Sequence[Target], post: Post) -> tuple[str, ...]:
    """The targets of a post whose app names none."""
    if not any(target.default for target in targets):
        return ()
    await later.made()
    from bridge.syndication.jobs.planner import default_targets

    return default_targets(targets, post)


def _tombstones(core: Core) -> Tombstones:
    """The maker of tombstones."""
    wanted = core.settings.webmention
    folder = f"{prefix_of(core.settings.content.folder)}{wanted.folder}"
    return Tombstones(core.repo.store, folder, enabled=wanted.send)


def _start_publisher(core: Core, tombstones: Tombstones, later: Later) -> Publisher:
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
        targets=partial(_default_targets, later, core.settings.syndication.targets),
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
    hold_server(app, server)
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


def _add_micropub(
    app: web.Application,
    core: Core,
    gate: Gate,
    publisher: Publisher,
    queries: Queries,
    previews: Previews | None,
) -> None:
    """Add the routes ``/micropub``, ``/media``, ``/healthz``, and the git host's webhook."""
    repo, settings, router = core.repo, core.settings, app.router
    media = MediaHandlers(repo.media, gate, core.committer, max_bytes=settings.media.max_bytes)
    micropub = MicropubHandlers(
        gate, publisher, queries, media, previews, max_bytes=app[MAX_REQUEST]
    )
    # Owners may type the endpoint into an app with a slash at its end.
    for slash in ("", "/"):
        router.add_get(f"/micropub{slash}", micropub.get)
        router.add_post(f"/micropub{slash}", micropub.post)
        # Some apps look for the media endpoint below the other one.
        for path in (f"/media{slash}", f"/micropub/media{slash}"):
            router.add_get(path, media.get)
            router.add_post(path, media.post)
    router.add_get("/media/{path:.+}", media.serve)
    router.add_get("/healthz", _health)
    # Without a remote there is nothing for a git host to report.
    secret = settings.publish.hook_secret
    if secret and core.remote.status().state != "none":
        router.add_post("/hook/git", GitHook(secret, core.remote.fetch_now).post)


async def _health(request: web.Request) -> web.Response:
    """200 without details: the bridge is up."""
    del request
    return web.json_response({"status": "ok"})
