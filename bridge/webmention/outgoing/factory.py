"""Constructs the sender of webmentions and its parts."""

from __future__ import annotations

import time
from pathlib import Path

from bridge.net.fetch import GuardedFetch, OwnPages
from bridge.posts.addresses import hosts
from bridge.posts.catalogue import Catalogue
from bridge.posts.post_files import PostReader
from bridge.rebuild import Rebuilder
from bridge.settings import Settings, prefix_of
from bridge.store.git import GitStore
from bridge.webmention.outgoing.changes import ChangedPosts, ReplyChangeFinder
from bridge.webmention.outgoing.delivery import Courier, DeliveryTiming
from bridge.webmention.outgoing.follower import Follower
from bridge.webmention.outgoing.live_pages import LivePages
from bridge.webmention.outgoing.outbox import Outbox
from bridge.webmention.outgoing.recipients import Recipients
from bridge.webmention.outgoing.sender import Sender
from bridge.webmention.tombstones import TombstoneCommitter


def outbox_folder(state: Path) -> Path:
    """The folder of the outbox. Like everything in ``keep/`` it must not be deleted
    (``docs/settings.md``).
    """
    return state / "keep" / "webmention" / "outbox"


def own_hosts(settings: Settings, public_url: str) -> frozenset[str]:
    """The host names of the site and the bridge, which get no webmentions."""
    return hosts(settings.site.me, *settings.site.aliases, public_url)


def own_pages(hosts: frozenset[str]) -> OwnPages:
    """A fetcher for the site's own pages, which may be on a private address or on this machine."""
    return OwnPages(hosts)


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
