"""Makes the sender of webmentions."""

from __future__ import annotations

import time
from pathlib import Path

from bridge.net.fetch import GuardedFetch
from bridge.posts.addresses import hosts
from bridge.posts.catalogue import Catalogue
from bridge.posts.reader import PostReader
from bridge.rebuild import Rebuilder
from bridge.settings import Settings
from bridge.store.git import GitStore
from bridge.webmention.outgoing.changes import Changes
from bridge.webmention.outgoing.conversation import Conversation
from bridge.webmention.outgoing.delivery import Courier, DeliveryTiming
from bridge.webmention.outgoing.following import Follower
from bridge.webmention.outgoing.live import LivePages
from bridge.webmention.outgoing.outbox import Outbox
from bridge.webmention.outgoing.recipients import Recipients
from bridge.webmention.outgoing.sending import Sender
from bridge.webmention.tombstones import TombstoneCommitter


def outbox_folder(state: Path) -> Path:
    """Where the outbox is. It must not be deleted, as all in ``keep`` (``docs/settings.md``)."""
    return state / "keep" / "webmention" / "outbox"


def own_hosts(settings: Settings, public_url: str) -> frozenset[str]:
    """The hosts that are the site itself, which is told of nothing."""
    return hosts(settings.site.me, *settings.site.aliases, public_url)


def own_pages() -> GuardedFetch:
    """What looks at the site's own pages: wherever the owner says that they are, which often is
    this very machine."""
    return GuardedFetch(admits=lambda _: True, any_port=True)


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
    """What sends, not started yet. ``fetch`` reaches others, ``site`` the site itself."""
    own = own_hosts(settings, public_url)
    content = settings.content.folder
    pages = LivePages(site, rebuilder, own)
    recipients = Recipients(posts, own, settings.webmention.bridgy_fed)
    outbox = Outbox(outbox_folder(settings.site.state))
    follower = Follower(
        store,
        catalogue,
        Changes(store, catalogue, content),
        pages,
        recipients,
        outbox,
        Conversation(store, f"{content}/{settings.webmention.folder}"),
        tombstones,
        time.time,
    )
    return Sender(
        store, follower, pages, recipients, Courier(fetch, DeliveryTiming(), time.time), outbox
    )
