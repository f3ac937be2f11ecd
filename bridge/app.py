"""Puts the parts together; nothing else does. Read this first, then ``publisher.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from bridge.annotating import Annotator
from bridge.auth.build import make_verifier
from bridge.catalogue import Catalogue
from bridge.committing import Committer
from bridge.fetch import GuardedFetch
from bridge.illustrating import Illustrator
from bridge.indieauth import routes
from bridge.indieauth.database import Database
from bridge.indieauth.server import IndieAuthServer
from bridge.media.library import MediaLibrary
from bridge.media.orphans import Orphans
from bridge.placing import Placing
from bridge.publisher import Publisher
from bridge.rebuild import Rebuilder
from bridge.rebuild.factory import make_rebuilder
from bridge.settings import Settings
from bridge.settings_file import LOOPBACK
from bridge.store import ContentStore
from bridge.store.git import GitStore
from bridge.store.queue import CommitQueue
from bridge.store.remote import Remote
from bridge.web.gate import Gate
from bridge.web.hook import GitHook
from bridge.web.media import MediaHandlers
from bridge.web.micropub import MicropubHandlers
from bridge.web.middleware import allow_browsers, harden, render_errors
from bridge.web.preview import Previews
from bridge.web.queries import Queries
from bridge.web.status import StatusHandlers

STORE = web.AppKey("store", ContentStore)
REBUILDER = web.AppKey("rebuilder", Rebuilder)

#: A post with a handful of photos comes in one request.
_FILES_IN_A_POST = 10


async def make_app(settings: Settings, *, public_url: str) -> web.Application:
    """The whole bridge as an aiohttp application, ready to be served.

    ``public_url`` is where the world reaches it. Everything that is opened here is closed by the
    application's clean-up, last opened first. Raises :class:`~bridge.settings.SettingsError`, and
    what the store raises where the repo cannot be used.
    """
    public_url = public_url.rstrip("/") + "/"
    app = web.Application(
        middlewares=[allow_browsers(("/micropub", "/media", "/status")), harden, render_errors],
        client_max_size=settings.media.max_bytes * _FILES_IN_A_POST,
    )
    stack = AsyncExitStack()
    app.on_cleanup.append(lambda _: stack.aclose())
    try:
        await _assemble(app, stack, settings, public_url)
    except BaseException:
        await stack.aclose()
        raise
    return app


async def _assemble(
    app: web.Application, stack: AsyncExitStack, settings: Settings, public_url: str
) -> None:
    """Every part, each made from those above it; the stack closes them in the other direction."""
    # Where the files are.
    store = GitStore(
        settings.site.repo, branch=settings.site.branch, author=settings.publish.author
    )
    stack.callback(store.close)
    queue = CommitQueue(store)
    stack.push_async_callback(queue.close)
    catalogue = Catalogue(store, store.state, settings, public_url=public_url)
    stack.callback(catalogue.close)
    media = MediaLibrary(store, store.state / "media", settings, public_url=public_url)
    await media.start()

    # Who wants to know of a new version.
    rebuilder = await asyncio.to_thread(make_rebuilder, settings, store, store.state)
    await rebuilder.start()
    stack.push_async_callback(rebuilder.close)
    remote = Remote(
        store,
        settings.publish.remote,
        on_moved=rebuilder.changed,
        token=settings.publish.token,
        poll=settings.publish.poll_seconds,
    )
    await remote.start()
    stack.push_async_callback(remote.close)

    # From an action to a commit.
    committer = Committer(queue, catalogue, media, [rebuilder.changed, remote.changed])
    # On loopback there is nobody but the owner: the demo's own apps and pages live there, too.
    fetch = GuardedFetch(allow_loopback=urlsplit(public_url).hostname in LOOPBACK)
    stack.push_async_callback(fetch.close)
    annotator = Annotator(catalogue, committer, fetch)
    stack.push_async_callback(annotator.close)
    publisher = Publisher(
        store=store,
        catalogue=catalogue,
        placing=Placing(catalogue, store),
        illustrator=Illustrator(media),
        committer=committer,
        annotator=annotator,
        rebuilder=rebuilder,
        wait_seconds=settings.rebuild.wait_seconds,
    )
    orphans = Orphans(media, committer)
    _run_beside(stack, orphans.run(), "orphans")
    # Looks at the whole site first, which takes seconds where nothing is known of it yet.
    _run_beside(stack, annotator.start(), "annotator")

    # Who asks.
    session = await stack.enter_async_context(
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    )
    server = _identity(app, stack, settings, public_url, fetch)
    gate = Gate(
        await make_verifier(settings, session, server.verifier if server else None), settings
    )

    # What is answered.
    media_handlers = MediaHandlers(media, gate, committer, max_bytes=settings.media.max_bytes)
    queries = Queries(catalogue, settings, f"{public_url}media")
    previews = Previews(rebuilder.output, public_url) if server and rebuilder.output else None
    micropub = MicropubHandlers(
        gate,
        publisher,
        queries,
        media_handlers,
        previews,
        max_bytes=settings.media.max_bytes * _FILES_IN_A_POST,
    )
    status = StatusHandlers(gate, rebuilder, remote, with_pages=server is not None)
    app.router.add_routes(
        [
            web.get("/micropub", micropub.get),
            web.post("/micropub", micropub.post),
            web.post("/micropub/media", media_handlers.post),
            web.get("/media", media_handlers.get),
            web.post("/media", media_handlers.post),
            web.get("/media/{path:.+}", media_handlers.serve),
            web.get("/status", status.status),
            web.get("/healthz", status.health),
        ]
    )
    if settings.publish.hook_secret:
        hook = GitHook(settings.publish.hook_secret, remote.fetch_now)
        app.router.add_post("/hook/git", hook.post)
    if previews:
        app.router.add_get("/preview/{path:.+}", previews.get)
    app[STORE], app[REBUILDER] = store, rebuilder


def _identity(
    app: web.Application,
    stack: AsyncExitStack,
    settings: Settings,
    public_url: str,
    fetch: GuardedFetch,
) -> IndieAuthServer | None:
    """The owner's own IndieAuth server, where the settings want it."""
    if not settings.indieauth.enabled:
        return None
    database = Database(settings.indieauth.database)
    stack.callback(database.close)
    server = IndieAuthServer(settings, public_url=public_url, database=database, fetch=fetch)
    routes.setup(app, server)
    return server


def _run_beside(stack: AsyncExitStack, work: Coroutine[Any, Any, object], name: str) -> None:
    """Run something for as long as the application does."""
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
