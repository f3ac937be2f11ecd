"""Wires the parts that communicate with other sites: webmentions in and out, WebSub, syndication.

Each is ``None`` where the settings have it off.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from bridge.core import Core
from bridge.desk.mentions import MentionPages
from bridge.desk.syndication import SyndicationPages
from bridge.indieauth.server import IndieAuthServer
from bridge.net.fetch import GuardedFetch
from bridge.syndication.connector import AccountConnector
from bridge.syndication.factory import make_backfeed, make_syndicator, make_vault
from bridge.syndication.syndicator import Syndicator
from bridge.webmention.incoming.factory import make_receiver
from bridge.webmention.incoming.handlers import WebmentionHandlers
from bridge.webmention.incoming.moderation import Moderation, commands_folder
from bridge.webmention.incoming.receiver import Receiver
from bridge.webmention.incoming.reverification import Reverification
from bridge.webmention.outgoing.factory import (
    make_sender,
    outbox_folder,
    own_hosts,
    own_pages,
)
from bridge.webmention.outgoing.outbox import forget_cursor
from bridge.webmention.outgoing.sender import Sender
from bridge.webmention.outgoing.websub import HubPing
from bridge.webmention.tombstones import TombstoneCommitter, Tombstones

RECEIVER = web.AppKey("receiver", Receiver)


@dataclass(frozen=True, slots=True)
class Social:
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
    site = own_pages(own_hosts(core.settings, core.public_url))
    core.lifetime.close_later(site.close)
    sender = await _start_sending(core, tombstones, site)
    _start_hub(core, site)
    copies = _start_syndication(core, server)
    receiver = await _start_receiving(app, core)
    if copies is not None:
        _start_backfeed(app, core, copies, receiver, with_pages=server is not None)
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
    await sender.start()
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
    receiver = make_receiver(
        core.settings,
        core.repo.store,
        core.repo.catalogue,
        core.repo.posts,
        core.committer,
        core.fetch,
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
    syndicator = make_syndicator(
        core.settings,
        core.repo.store,
        core.repo.catalogue,
        core.repo.posts,
        core.reservations,
        core.committer,
        core.repo.media,
        core.rebuilder,
        guarded=core.fetch,
        own=own,
        vault=vault,
    )
    core.lifetime.close_later(syndicator.close)
    core.follow(syndicator.changed)
    callback = f"{core.public_url}desk/syndication/callback"
    return syndicator, AccountConnector(own, core.fetch, vault, callback)


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
        backfeed = make_backfeed(syndicator, core.repo.catalogue, core.repo.posts, receiver)
        core.lifetime.run(backfeed.run(), "backfeed")
    if with_pages:
        SyndicationPages(syndicator, connecting, backfeed).add_to(app)
