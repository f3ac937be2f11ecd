"""Puts the parts together; nothing else does. Read this first, then ``publisher.py``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp
from aiohttp import web

from bridge.auth.factory import make_verifier
from bridge.desk import routes as desk_routes
from bridge.desk.context import Contexts
from bridge.desk.desk import Desk
from bridge.desk.mentions import MentionPages
from bridge.desk.owner import owner_form
from bridge.desk.status import StatusHandlers
from bridge.desk.syndication import SyndicationPages
from bridge.desk.used_files import UsedFiles
from bridge.errors import BridgeError, SiteBroken
from bridge.http.connection import MAX_REQUEST, note_request, prepare_answer
from bridge.indieauth import routes
from bridge.indieauth.database import Database
from bridge.indieauth.server import IndieAuthServer
from bridge.media.library import MediaLibrary
from bridge.net.fetch import GuardedFetch
from bridge.posts.addresses import hosts
from bridge.posts.attachments import Attachments, Orphans
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer, is_ours
from bridge.posts.once import Once
from bridge.posts.reader import PostReader
from bridge.posts.reply_contexts import ReplyContexts
from bridge.posts.reservations import Reservations
from bridge.publisher import Publisher
from bridge.rebuild import Rebuilder
from bridge.rebuild.deferred import DeferredRebuilder
from bridge.rebuild.factory import make_rebuilder
from bridge.runtime import private
from bridge.settings import Settings
from bridge.settings_file import LOOPBACK
from bridge.site.current import CurrentSite
from bridge.site.factory import make_current_site, make_sandbox
from bridge.store import ContentStore, StoreError, Version
from bridge.store.checkout import Checkout, Submodules
from bridge.store.git import GitStore
from bridge.store.queue import CommitQueue
from bridge.store.submodules import submodules_of
from bridge.store.sync.remote import Remote
from bridge.syndication.connecting import Connecting
from bridge.syndication.factory import (
    default_targets,
    make_backfeed,
    make_syndicator,
    make_vault,
)
from bridge.syndication.syndicator import Syndicator
from bridge.web.gate import Gate
from bridge.web.git_hook import GitHook
from bridge.web.media import MediaHandlers
from bridge.web.micropub import MicropubHandlers
from bridge.web.middleware import allow_browsers, harden, render_errors
from bridge.web.preview import Previews
from bridge.web.queries import Queries
from bridge.webmention.incoming.factory import make_receiver
from bridge.webmention.incoming.handlers import WebmentionHandlers
from bridge.webmention.incoming.moderation import Moderation, orders_folder
from bridge.webmention.incoming.receiving import Receiver
from bridge.webmention.incoming.reverification import Reverification
from bridge.webmention.outgoing.build import make_sender, outbox_folder, own_pages
from bridge.webmention.outgoing.outbox import begin_anew
from bridge.webmention.outgoing.sending import Sender
from bridge.webmention.outgoing.websub import HubPing
from bridge.webmention.tombstones import TombstoneCommitter, Tombstones

log = logging.getLogger(__name__)

STORE = web.AppKey("store", ContentStore)
REBUILDER = web.AppKey("rebuilder", Rebuilder)
RECEIVER = web.AppKey("receiver", Receiver)

#: Seconds for each part to close. Most take none; :mod:`bridge.runtime.shutdown` bounds all of them
#: together.
_CLOSE_SECONDS = 4.0
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
        await _Assembly(app, stack, settings, public_url).assemble()
    except BaseException:
        await stack.aclose()
        raise
    return app


@dataclass(frozen=True, slots=True)
class _Repo:
    """Where the files are, and what is known of them."""

    store: GitStore
    submodules: Submodules
    queue: CommitQueue
    site: CurrentSite
    catalogue: Catalogue
    posts: PostReader
    media: MediaLibrary


@dataclass(frozen=True, slots=True)
class _Followers:
    """Who wants to know of a new version."""

    rebuilder: Rebuilder
    remote: Remote
    #: Who is told of versions that others made; more may be added.
    moved: list[Callable[[Version], None]]

    async def close(self) -> None:
        """End both, side by side: each may wait for a program of its own."""
        await asyncio.gather(self.rebuilder.close(), self.remote.close())


@dataclass(frozen=True, slots=True)
class _Assembly:
    """Makes every part from those before it; ``stack`` closes them in the other direction."""

    app: web.Application
    stack: AsyncExitStack
    settings: Settings
    public_url: str

    async def assemble(self) -> None:
        """Put everything together, from the files up to the addresses."""
        repo = await self._open_repo()
        followers = await self._start_followers(repo)
        # On loopback there is no one but the owner: the demo's own apps and pages live there, too.
        fetch = GuardedFetch(allow_loopback=urlsplit(self.public_url).hostname in LOOPBACK)
        self._close_later(fetch.close)
        listeners: list[Callable[[Version], None]] = [
            *(repo.catalogue.changed, followers.rebuilder.changed, followers.remote.changed)
        ]
        committer = Committer(repo.queue, repo.catalogue, repo.media, listeners)
        self._close_later(committer.close)
        reservations = Reservations(repo.catalogue, repo.store)
        tombstones = self._tombstones(repo)
        publisher = self._make_publisher(
            repo, reservations, followers, committer, tombstones, fetch
        )
        site = own_pages()
        self._close_later(site.close)
        sender = await self._start_sending(repo, followers, committer, tombstones, fetch, site)
        for part in (sender, self._start_hub(repo, followers, fetch, site)):
            if part is not None:
                listeners.append(part.changed)
                followers.moved.append(part.changed)
        server = self._start_identity(fetch)
        if server is not None:
            server.zone = partial(_clock, repo.catalogue)
        gate = await self._make_gate(server)
        media = MediaHandlers(repo.media, gate, committer, max_bytes=self.settings.media.max_bytes)
        is_local = followers.rebuilder.is_local
        previews = Previews(followers.rebuilder, self.public_url) if server and is_local else None
        queries = Queries(repo.catalogue, repo.posts, self.settings, f"{self.public_url}media")
        micropub = MicropubHandlers(
            gate,
            publisher,
            queries,
            media,
            previews,
            max_bytes=self.app[MAX_REQUEST],
        )
        copies = self._start_syndication(repo, reservations, followers, committer, fetch, server)
        syndicator = copies[0] if copies else None
        if syndicator is not None:
            listeners.append(syndicator.changed)
            followers.moved.append(syndicator.changed)
        receiver = await self._start_receiving(repo, committer, fetch)
        if copies is not None:
            self._start_backfeed(copies, repo, receiver, with_pages=server is not None)
        status = StatusHandlers(
            gate,
            followers.rebuilder,
            followers.remote,
            repo.catalogue,
            sender,
            receiver,
            syndicator,
            with_pages=server is not None,
        )
        self._add_routes(micropub, media, status, previews, followers.remote)
        if server is not None:
            self._open_desk(repo, followers, publisher, committer, previews, fetch)
            if sender is not None:
                self.app.router.add_post(
                    "/status/webmentions", owner_form(status.decide_webmentions)
                )
        self.app[STORE], self.app[REBUILDER] = repo.store, followers.rebuilder

    def _open_desk(
        self,
        repo: _Repo,
        followers: _Followers,
        publisher: Publisher,
        committer: Committer,
        previews: Previews | None,
        fetch: GuardedFetch,
    ) -> None:
        """The owner's own pages, for which the owner has to sign in."""
        desk = Desk(
            store=repo.store,
            catalogue=repo.catalogue,
            posts=repo.posts,
            publisher=publisher,
            media=repo.media,
            rebuilder=followers.rebuilder,
            previews=previews,
            contexts=Contexts(fetch),
            used_files=UsedFiles(repo.store, repo.catalogue.index, self.settings.media.folder),
            committer=committer,
            settings=self.settings,
            public_url=self.public_url,
            max_bytes=self.app[MAX_REQUEST],
        )
        desk_routes.setup(self.app, desk)

    async def _open_repo(self) -> _Repo:
        site, author = self.settings.site, self.settings.publish.author
        store = GitStore(site.repo, branch=site.branch, author=author)
        self._close_later(partial(asyncio.to_thread, store.close))
        private.make_folder(site.state)
        queue = CommitQueue(store)
        self._close_later(queue.close)
        state, objects = site.state, store.bare_repo.common / "objects"
        sandbox = make_sandbox(self.settings, state, objects=objects)
        submodules = submodules_of(store, self.settings)
        checkout = Checkout(
            objects,
            state / "site" / "checkout",
            submodules=submodules,
            may_read=sandbox.may_read,
        )
        current = make_current_site(self.settings, store, checkout, sandbox)
        self._close_later(current.close)
        catalogue = Catalogue(
            store,
            current,
            state / "index.sqlite",
            folder=self.settings.content.folder,
            own=hosts(site.me, *site.aliases),
        )
        self._close_later(catalogue.close)
        posts = PostReader(store, catalogue, self.settings, public_url=self.public_url)
        media = MediaLibrary(
            store,
            state / "keep" / "media",
            self.settings,
            public_url=self.public_url,
            cache=state / "media",
        )
        await media.start()
        return _Repo(store, submodules, queue, current, catalogue, posts, media)

    async def _start_followers(self, repo: _Repo) -> _Followers:
        store, publish = repo.store, self.settings.publish
        state = self.settings.site.state
        make = partial(make_rebuilder, self.settings, store, state, submodules=repo.submodules)
        rebuilder: Rebuilder
        if (output := self._output_folder()) is not None:
            rebuilder = make(output=output)
        else:
            rebuilder = DeferredRebuilder(
                partial(self._output_of_site, repo), lambda output: make(output=output)
            )
        moved: list[Callable[[Version], None]] = [rebuilder.changed]

        def tell(version: Version) -> None:
            for listener in moved:
                listener(version)

        remote = Remote(
            store,
            publish.remote,
            state=state,
            on_moved=tell,
            token=publish.token,
            poll=publish.poll_seconds,
            # The owner may take back commits of their own by force; posts are kept all the same.
            is_post=is_ours,
        )
        followers = _Followers(rebuilder, remote, moved)
        self._close_later(followers.close)
        await rebuilder.start()
        await remote.start()
        return followers

    def _output_folder(self) -> Path | None:
        """Where pages go; ``None`` where only the site's settings say that."""
        if self.settings.rebuild.output:
            return Path(self.settings.rebuild.output)
        if self.settings.rebuild.mode in {"webhook", "none"}:
            # No page comes to this machine.
            return self.settings.site.state / "output"
        return None

    async def _output_of_site(self, repo: _Repo) -> Path:
        """Pelican's ``OUTPUT_PATH``; a relative one is in the state folder."""
        base = self.settings.site.state
        try:
            if (head := repo.store.head()) is not None:
                await repo.site.bring_to(head)
            return base / repo.site.reader.facts.output
        except (BridgeError, StoreError) as error:
            log.warning("pages go to %s for now: %s", base / "output", error)
            return base / "output"

    def _make_publisher(
        self,
        repo: _Repo,
        reservations: Reservations,
        followers: _Followers,
        committer: Committer,
        tombstones: Tombstones,
        fetch: GuardedFetch,
    ) -> Publisher:
        """The publisher, and what works on posts beside it."""
        reply_contexts = ReplyContexts(repo.catalogue, repo.posts, reservations, committer, fetch)
        self._close_later(reply_contexts.close)
        # Looks at the whole site first, which takes seconds where nothing is known of it yet.
        self._run_beside(reply_contexts.start(), "reply_contexts")
        self._run_beside(Orphans(repo.media, committer).run(), "orphans")
        publisher = Publisher(
            catalogue=repo.catalogue,
            posts=repo.posts,
            reservations=reservations,
            attachments=Attachments(repo.media),
            committer=committer,
            reply_contexts=reply_contexts,
            tombstones=tombstones,
            rebuilder=followers.rebuilder,
            once=Once(repo.store),
            wait_seconds=self.settings.rebuild.wait_seconds,
            targets=partial(default_targets, self.settings.syndication.targets),
        )
        self._close_later(publisher.close)
        return publisher

    def _start_identity(self, fetch: GuardedFetch) -> IndieAuthServer | None:
        """The owner's own IndieAuth server, where the settings want it."""
        if not self.settings.indieauth.enabled:
            return None
        database = Database(self.settings.indieauth.database)
        server = IndieAuthServer(
            self.settings, public_url=self.public_url, database=database, fetch=fetch
        )
        self._close_later(server.close)
        routes.setup(self.app, server)
        return server

    async def _make_gate(self, server: IndieAuthServer | None) -> Gate:
        session = await self.stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        )
        builtin = server.verifier if server else None
        return Gate(await make_verifier(self.settings, session, builtin), self.settings)

    def _add_routes(
        self,
        micropub: MicropubHandlers,
        media: MediaHandlers,
        status: StatusHandlers,
        previews: Previews | None,
        remote: Remote,
    ) -> None:
        router = self.app.router
        # What an owner types into an app may end in a slash.
        for slash in ("", "/"):
            router.add_get(f"/micropub{slash}", micropub.get)
            router.add_post(f"/micropub{slash}", micropub.post)
            router.add_post(f"/micropub/media{slash}", media.post)
            router.add_get(f"/media{slash}", media.get)
            router.add_post(f"/media{slash}", media.post)
        router.add_get("/media/{path:.+}", media.serve)
        router.add_get("/status", status.status)
        if urlsplit(self.settings.site.me).netloc != urlsplit(self.public_url).netloc:
            # On the site's own host name it is the site's home page.
            router.add_get("/", desk_routes.begin if status.with_pages else status.begin)
        router.add_get("/healthz", status.health)
        if previews:
            router.add_get("/preview/{path:.+}", previews.get)
        # Without a remote there is nothing that a git host could tell.
        if self.settings.publish.hook_secret and remote.status().state != "none":
            hook = GitHook(self.settings.publish.hook_secret, remote.fetch_now)
            router.add_post("/hook/git", hook.post)

    async def _start_receiving(
        self, repo: _Repo, committer: Committer, fetch: GuardedFetch
    ) -> Receiver | None:
        """``/webmention``: what other sites say of posts."""
        if not self.settings.webmention.receive:
            return None
        receiver = make_receiver(
            self.settings,
            repo.store,
            repo.catalogue,
            repo.posts,
            committer,
            fetch,
            public_url=self.public_url,
        )
        await receiver.start()
        self._close_later(receiver.close)
        handlers = WebmentionHandlers(receiver, self.public_url)
        for slash in ("", "/"):
            self.app.router.add_get(f"/webmention{slash}", handlers.get)
            self.app.router.add_post(f"/webmention{slash}", handlers.post)
        self.app.router.add_get("/webmention/{id}", handlers.state)
        self.app[RECEIVER] = receiver
        moderation = Moderation(receiver, orders_folder(self.settings.site.state))
        self._run_beside(moderation.run(), "moderation")
        checked = self.settings.site.state / "mentions" / "checked.json"
        self._run_beside(Reverification(receiver, checked).run(), "reverification")
        if self.settings.indieauth.enabled:
            MentionPages(moderation).add_to(self.app)
        return receiver

    def _tombstones(self, repo: _Repo) -> Tombstones:
        """What deleted posts leave behind."""
        wanted = self.settings.webmention
        folder = f"{self.settings.content.folder}/{wanted.folder}"
        return Tombstones(repo.store, folder, enabled=wanted.send)

    async def _start_sending(
        self,
        repo: _Repo,
        followers: _Followers,
        committer: Committer,
        tombstones: Tombstones,
        fetch: GuardedFetch,
        site: GuardedFetch,
    ) -> Sender | None:
        """Webmentions to the sites that posts link to."""
        if not self.settings.webmention.send:
            begin_anew(outbox_folder(self.settings.site.state))
            return None
        sender = make_sender(
            self.settings,
            repo.store,
            repo.catalogue,
            repo.posts,
            followers.rebuilder,
            TombstoneCommitter(tombstones, repo.catalogue, committer),
            fetch=fetch,
            site=site,
            public_url=self.public_url,
        )
        self._close_later(sender.close)
        await sender.start()
        return sender

    def _start_syndication(
        self,
        repo: _Repo,
        reservations: Reservations,
        followers: _Followers,
        committer: Committer,
        fetch: GuardedFetch,
        server: IndieAuthServer | None,
    ) -> tuple[Syndicator, Connecting] | None:
        """Copies at the targets that have a type, and what lets the bridge into the accounts."""
        if not any(target.type for target in self.settings.syndication.targets):
            return None
        # The settings' own servers may be anywhere; what they lead to may not.
        own = GuardedFetch(admits=lambda _: True, any_port=True)
        self._close_later(own.close)
        vault = make_vault(self.settings, server.db if server else None)
        syndicator = make_syndicator(
            self.settings,
            repo.store,
            repo.catalogue,
            repo.posts,
            reservations,
            committer,
            repo.media,
            followers.rebuilder,
            guarded=fetch,
            own=own,
            vault=vault,
        )
        self._close_later(syndicator.close)
        callback = f"{self.public_url}desk/syndication/callback"
        return syndicator, Connecting(own, fetch, vault, callback)

    def _start_backfeed(
        self,
        copies: tuple[Syndicator, Connecting],
        repo: _Repo,
        receiver: Receiver | None,
        *,
        with_pages: bool,
    ) -> None:
        """Answers to copies, where mentions are taken; and the owner's page of both."""
        syndicator, connecting = copies
        backfeed = None
        if receiver is not None:
            backfeed = make_backfeed(syndicator, repo.catalogue, repo.posts, receiver)
            self._run_beside(backfeed.run(), "backfeed")
        if with_pages:
            SyndicationPages(syndicator, connecting, backfeed).add_to(self.app)

    def _start_hub(
        self, repo: _Repo, followers: _Followers, fetch: GuardedFetch, site: GuardedFetch
    ) -> HubPing | None:
        """WebSub: a hub hears of feeds that are built here."""
        if not followers.rebuilder.is_local:
            return None
        note = self.settings.site.state / "webmention" / "feeds.json"
        hub = HubPing(repo.catalogue, followers.rebuilder, note, site=site, fetch=fetch)
        self._run_beside(hub.run(), "websub")
        return hub

    def _close_later(self, close: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Have a part closed at the end of the application, which no part may hold up."""
        self.stack.push_async_callback(_closed, close)

    def _run_beside(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Run something for as long as the application does."""
        task = asyncio.create_task(work, name=name)

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self._close_later(end)


def _clock(catalogue: Catalogue) -> tzinfo:
    """The zone of the site's clock; UTC until its settings could be read."""
    with suppress(SiteBroken, ZoneInfoNotFoundError):
        return ZoneInfo(catalogue.site.facts.timezone)
    return UTC


async def _closed(close: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Close a part; one that does not come to its end is left behind.

    Not by a timeout, which would wait until the part has heeded it.
    """
    closing = asyncio.create_task(close())
    await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
    if not closing.done():
        log.warning("%s takes too long: left behind", getattr(close, "__qualname__", close))
        return
    closing.result()
