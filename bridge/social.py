"""Wires the parts that communicate with other sites: webmentions in and out, WebSub, syndication.

Each is ``None`` where the settings have it off.
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct

from bridge.core import Core
from bridge.desk.mentions import MentionPages
from bridge.desk.syndication import SyndicationPages, add_page_without_targets
from bridge.indieauth.server import IndieAuthServer
from bridge.net.fetch import GuardedFetch, OwnPages
from bridge.net.resolver import Resolver
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer
from bridge.posts.post_files import PostReader
from bridge.posts.urls import canonical, hosts
from bridge.rebuild import Rebuilder
from bridge.settings import Settings, prefix_of
from bridge.settings_file import LOOPBACK
from bridge.store.git import GitStore
from bridge.syndication.accounts import make_account, make_vault
from bridge.syndication.backfeed.search import Backfeed
from bridge.syndication.connector import AccountConnector
from bridge.syndication.environment import BridgeEnvironment, PostPages, Vault
from bridge.syndication.jobs.ledger import Ledger
from bridge.syndication.syndicator import Syndicator
from bridge.webmention.files import MentionFiles
from bridge.webmention.incoming.commits import MentionCommits
from bridge.webmention.incoming.faces import Faces
from bridge.webmention.incoming.handlers import WebmentionHandlers
from bridge.webmention.incoming.inbox import Inbox
from bridge.webmention.incoming.moderation.decisions import Moderation, commands_folder
from bridge.webmention.incoming.receiver import Receiver
from bridge.webmention.incoming.request_checks import OwnerUrls
from bridge.webmention.incoming.verification.reverification import Reverification
from bridge.webmention.incoming.verification.verifier import Verifier
from bridge.webmention.outgoing.changes import ChangedPosts, ReplyChangeFinder
from bridge.webmention.outgoing.delivery import Courier, DeliveryTiming
from bridge.webmention.outgoing.follower import Follower
from bridge.webmention.outgoing.live_pages import LivePages
from bridge.webmention.outgoing.outbox import Outbox, forget_cursor, outbox_folder
from bridge.webmention.outgoing.recipients import Recipients, own_hosts
from bridge.webmention.outgoing.sender import Sender
from bridge.webmention.outgoing.websub import HubPing
from bridge.webmention.targets import Targets
from bridge.webmention.tombstones import TombstoneCommitter, Tombstones

RECEIVER = web.AppKey("receiver", Receiver)
#: Concurrent lookups of the hosts of webmentions' sources. One may go on for half a minute or more
#: after its fetch has ended: six workers leave up to three each behind, on most systems.
_LOOKUPS = 64


class Social(Struct, frozen=True):
    """These parts, for ``/status``."""

    sender: Sender | None
    receiver: Receiver | None
    syndicator: Syndicator | None


async def start_social(
    app: web.Application, core: Core, tombstones: Tombstones, server: IndieAuthServer | None
) -> Social:
    """Start all of them and add their routes to ``app``.

    ``server`` is the built-in server; without it the owner has no pages here.
    """
    site = OwnPages(own_hosts(core.settings, core.public_url))
    core.lifetime.close_later(site.close)
    sender = await _start_sending(core, tombstones, site)
    _start_hub(core, site)
    copies = _start_syndication(core, server)
    receiver = await _start_receiving(app, core)
    if copies is not None:
        _start_backfeed(app, core, copies, receiver, with_pages=server is not None)
    elif server is not None:
        add_page_without_targets(app)
    return Social(sender, receiver, copies[0] if copies else None)


async def _start_sending(core: Core, tombstones: Tombstones, site: GuardedFetch) -> Sender | None:
    """Start sending webmentions, if it is on."""
    if not core.settings.webmention.send:
        forget_cursor(outbox_folder(core.state))
        return None
    sender = make_sender(
        core.settings,
        core.repo.store,
        core.repo.catalogue,
        core.repo.posts,
        core.rebuilder,
        TombstoneCommitter(tombstones, core.repo.catalogue, core.committer),
        fetch=core.fetch,
        site=site,
        public_url=core.public_url,
    )
    core.lifetime.close_later(sender.close)
    await sender.start(core.began)
    core.follow(sender.changed)
    return sender


def _start_hub(core: Core, site: GuardedFetch) -> None:
    """Start notifying a WebSub hub of feeds built here."""
    if not core.rebuilder.is_local:
        return
    note = core.state / "webmention" / "feeds.json"
    hub = HubPing(core.repo.catalogue, core.rebuilder, note, site=site, fetch=core.fetch)
    core.lifetime.run(hub.run(), "websub")
    core.follow(hub.changed)


async def _start_receiving(app: web.Application, core: Core) -> Receiver | None:
    """Start ``/webmention``, if receiving is on."""
    if not core.settings.webmention.receive:
        return None
    # Names that strangers choose, whose servers may never answer, keep no others waiting.
    sources = GuardedFetch(
        allow_loopback=urlsplit(core.public_url).hostname in LOOPBACK,
        resolver=Resolver(most=_LOOKUPS),
    )
    core.lifetime.close_later(sources.close)
    receiver = make_receiver(
        core.settings,
        core.repo.store,
        core.repo.catalogue,
        core.repo.posts,
        core.committer,
        core.fetch,
        sources,
        public_url=core.public_url,
    )
    await receiver.start()
    core.lifetime.close_later(receiver.close)
    handlers = WebmentionHandlers(receiver, core.public_url)
    for slash in ("", "/"):
        app.router.add_get(f"/webmention{slash}", handlers.get)
        app.router.add_post(f"/webmention{slash}", handlers.post)
    app.router.add_get("/webmention/{id}", handlers.state)
    app[RECEIVER] = receiver
    moderation = Moderation(receiver, commands_folder(core.state))
    core.lifetime.run(moderation.run(), "moderation")
    checked = core.state / "mentions" / "checked.json"
    core.lifetime.run(Reverification(receiver, checked).run(), "reverification")
    if core.settings.indieauth.enabled:
        MentionPages(moderation).add_to(app)
    return receiver


def _start_syndication(
    core: Core, server: IndieAuthServer | None
) -> tuple[Syndicator, AccountConnector] | None:
    """Start syndication to the targets with a type, and the connection of accounts."""
    if not any(target.type for target in core.settings.syndication.targets):
        return None
    # Servers named in the settings may be on any network; what they refer to may not.
    own = GuardedFetch(admits=lambda _: True, any_port=True)
    core.lifetime.close_later(own.close)
    vault = make_vault(core.settings, server.db if server else None)
    syndicator = _make_syndicator(core, vault, own)
    core.lifetime.close_later(syndicator.close)
    core.follow(syndicator.changed)
    callback = f"{core.public_url}desk/syndication/callback"
    return syndicator, AccountConnector(own, core.fetch, vault, callback)


def _make_syndicator(core: Core, vault: Vault, own: GuardedFetch) -> Syndicator:
    """The syndicator with the accounts in the settings; ``own`` may reach their servers."""
    repo, settings = core.repo, core.settings
    ledger = Ledger(core.state / "keep" / "syndication")
    syndicator = Syndicator(
        repo.store,
        repo.catalogue,
        repo.posts,
        core.reservations,
        core.committer,
        ledger,
        PostPages(repo.store, core.rebuilder, core.fetch),
        folder=settings.content.folder,
    )
    environment = BridgeEnvironment(
        repo.posts, repo.media, core.fetch, ledger.save, syndicator.is_taken
    )
    accounts = {
        target.uid: make_account(target, vault, environment, own, core.fetch)
        for target in settings.syndication.targets
        if target.type
    }
    syndicator.start(accounts)
    return syndicator


def _start_backfeed(
    app: web.Application,
    core: Core,
    copies: tuple[Syndicator, AccountConnector],
    receiver: Receiver | None,
    *,
    with_pages: bool,
) -> None:
    """Start importing responses, where webmentions are received; add the owner's page of both."""
    syndicator, connecting = copies
    backfeed = None
    if receiver is not None:
        backfeed = Backfeed(
            core.repo.catalogue,
            core.repo.posts,
            syndicator.ledger,
            receiver,
            syndicator.accounts,
        )
        core.lifetime.run(backfeed.run(), "backfeed")
    if with_pages:
        SyndicationPages(syndicator, connecting, backfeed).add_to(app)


def make_sender(
    settings: Settings,
    store: GitStore,
    catalogue: Catalogue,
    posts: PostReader,
    rebuilder: Rebuilder,
    tombstones: TombstoneCommitter,
    *,
    fetch: GuardedFetch,
    site: GuardedFetch,
    public_url: str,
) -> Sender:
    """The sender with everything it needs; it is not started. ``fetch`` reaches other sites,
    ``site`` the site itself.
    """
    own = own_hosts(settings, public_url)
    content = settings.content.folder
    pages = LivePages(site, rebuilder, own)
    recipients = Recipients(posts, own, settings.webmention.bridgy_fed)
    outbox = Outbox(outbox_folder(settings.site.state))
    follower = Follower(
        store,
        catalogue,
        ChangedPosts(store, catalogue, content),
        pages,
        recipients,
        outbox,
        ReplyChangeFinder(store, f"{prefix_of(content)}{settings.webmention.folder}"),
        tombstones,
        time.time,
    )
    return Sender(
        store, follower, pages, recipients, Courier(fetch, DeliveryTiming(), time.time), outbox
    )


def make_receiver(
    settings: Settings,
    store: GitStore,
    catalogue: Catalogue,
    posts: PostReader,
    committer: Committer,
    fetch: GuardedFetch,
    sources: GuardedFetch,
    *,
    public_url: str,
) -> Receiver:
    """The receiver with everything it needs; it is not started. ``sources`` fetches the pages that
    are said to mention a post.
    """
    ours = settings.webmention
    content = settings.content.folder
    files = MentionFiles(store, content, ours.folder)
    targets = Targets(catalogue, settings.site.me)
    faces = Faces(
        fetch, files, content=content, media=settings.media.folder, store=ours.faces == "store"
    )
    commits = MentionCommits(files, targets, faces, committer, catalogue)
    return Receiver(
        Inbox(settings.site.state / "keep" / "mentions"),
        files,
        targets,
        Verifier(sources),
        commits,
        posts,
        owner=OwnerUrls(
            frozenset(canonical(each, frozenset()) for each in _accounts(settings)),
            hosts(public_url),
            on_loopback=urlsplit(public_url).hostname in LOOPBACK,
        ),
        approve=ours.approve,
        batch_seconds=ours.batch_seconds,
    )


def _accounts(settings: Settings) -> list[str]:
    """The URLs of the owner's accounts elsewhere, from the settings."""
    found = [settings.site.me, *settings.site.aliases]
    for target in settings.syndication.targets:
        found.append(target.uid)
        if target.user is not None and target.user.url:
            found.append(target.user.url)
    return found
