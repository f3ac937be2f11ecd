"""A sender of webmentions with a real repo, a site whose live pages a test controls, and
other sites.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from publishing_kit import Bench, bench
from webmention_kit import Elsewhere, elsewhere

from bridge.net.fetch import GuardedFetch
from bridge.posts.commits import CommitQueue, Committer
from bridge.posts.urls import hosts
from bridge.rebuild.webhook import NoRebuild
from bridge.webmention.outgoing import links, live_pages
from bridge.webmention.outgoing.changes import ChangedPosts, ReplyChangeFinder
from bridge.webmention.outgoing.delivery import Courier, DeliveryTiming
from bridge.webmention.outgoing.follower import MOST_AT_ONCE, Follower
from bridge.webmention.outgoing.live_pages import LivePages
from bridge.webmention.outgoing.outbox import Outbox
from bridge.webmention.outgoing.recipients import Recipients
from bridge.webmention.outgoing.sender import Sender, Timing
from bridge.webmention.tombstones import TombstoneCommitter, Tombstones

QUICK = Timing(looks=(0.02,) * 500, again=0.05, upstream=0.0)
HASTE = DeliveryTiming(again=(0.02,) * 5, refused=(0.02,), gap=0.0)
#: Far more than anything takes on a busy machine.
PATIENCE = 300


@dataclass
class Street:
    """The owner's live site, and another site."""

    bench: Bench
    other: Elsewhere
    own: Elsewhere
    folder: Path
    fetch: GuardedFetch
    senders: list[Sender] = field(default_factory=list)

    def url(self, slug: str) -> str:
        return f"{self.own.base}{slug}/"

    def show(self, slug: str, *hrefs: str, text: str = "", **times: str) -> str:
        """Make a page of a post live; returns its URL."""
        url = self.url(slug)
        anchors = "".join(f'<a href="{href}">x</a>' for href in hrefs)
        stamps = "".join(
            f'<time class="dt-{name}" datetime="{moment}">x</time>'
            for name, moment in times.items()
        )
        return self.own.page(
            f"/{slug}/",
            f'<article class="h-entry"><a class="u-url" href="{url}">#</a>{stamps}'
            f'<div class="e-content">{text} {anchors}</div></article>',
        )

    def hide(self, slug: str) -> None:
        """Remove a live page."""
        self.own.pages.pop(f"/{slug}/", None)

    async def write(self, slug: str, text: str | None, **headers: str) -> None:
        """Commit a post, or its removal, as the owner."""
        lines = {"Title": slug, "Date": "2026-01-02 10:00", "Slug": slug, **headers}
        head = "".join(f"{name}: {value}\n" for name, value in lines.items())
        body = None if text is None else f"{head}\n{text}\n"
        await self.bench.arrived({f"content/{slug}.md": body})
        for sender in self.senders:
            sender.changed(self.bench.store.head())  # type: ignore[arg-type] # there is one by now

    async def sender(
        self,
        *,
        outbox: Outbox | None = None,
        courier: Courier | None = None,
        timing: Timing = QUICK,
        most: int = MOST_AT_ONCE,
    ) -> Sender:
        """A started sender, with the outbox of the previous one."""
        store, catalogue = self.bench.store, self.bench.catalogue
        own = hosts(self.own.base)
        committer = Committer(self.queue, catalogue, self.bench.media, [])
        box = outbox or Outbox(self.folder / "outbox")
        pages = LivePages(self.fetch, NoRebuild(), own)
        recipients = Recipients(self.bench.posts, own)
        follower = Follower(
            store,
            catalogue,
            ChangedPosts(store, catalogue, "content"),
            pages,
            recipients,
            box,
            ReplyChangeFinder(store, "content/mentions"),
            TombstoneCommitter(
                Tombstones(store, "content/mentions", enabled=True), catalogue, committer
            ),
            time.time,
            most,
        )
        going = courier or Courier(self.fetch, HASTE, time.time)
        sender = Sender(store, follower, pages, recipients, going, box, timing=timing)
        self.senders.append(sender)
        await sender.start()
        return sender

    async def stop(self, sender: Sender) -> None:
        self.senders.remove(sender)
        await sender.close()

    async def idle(self, sender: Sender) -> None:
        """Wait until all commits are processed and nothing is left to send."""
        await until(lambda: sender.is_idle(self.bench.store.head()))

    queue: CommitQueue = field(init=False)

    def __post_init__(self) -> None:
        self.queue = CommitQueue(self.bench.store)


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _read_here(body: bytes, url: str) -> Mapping[str, Any]:
    """Parse in this process: a subprocess costs a third of a second each time."""
    return links.read(body, url)


@asynccontextmanager
async def street(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    """A site without posts, and another site."""
    monkeypatch.setattr(live_pages, "read_page", _read_here)
    async with elsewhere() as own, elsewhere() as other, GuardedFetch(allow_loopback=True) as fetch:
        conf = (
            f'SITEURL = "{own.base.rstrip("/")}"\nARTICLE_URL = "{{slug}}/"\n'
            'ARTICLE_SAVE_AS = "{slug}/index.html"\nTIMEZONE = "UTC"\n'
        )
        async with bench(folder, {"content/old.md": OLD}, conf, send=True) as made:
            found = Street(made, other, own, folder, fetch)
            try:
                yield found
            finally:
                for sender in list(found.senders):
                    await found.stop(sender)
                await found.queue.close()


OLD = "Title: Old\nDate: 2020-01-01 10:00\nSlug: old\n\n[x](https://b.example/old)\n"


def tombstone() -> web.Response:
    return web.Response(
        text='<meta http-equiv="Status" content="410 Gone"><p>gone</p>', content_type="text/html"
    )
