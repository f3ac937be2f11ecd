"""``micropub-bridge webmention URL``: sends the webmentions of one post now, even if they were
sent before.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit

from bridge.errors import Refused
from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.posts.addresses import hosts
from bridge.runtime.command_name import doc
from bridge.settings import Settings
from bridge.settings_file import LOOPBACK
from bridge.webmention.outgoing.build import outbox_folder, own_hosts, own_pages
from bridge.webmention.outgoing.delivery import Courier, DeliveryTiming, Outcome
from bridge.webmention.outgoing.discovery import AGENT
from bridge.webmention.outgoing.live import read_page
from bridge.webmention.outgoing.outbox import MOST_TARGETS, Delivery, Outbox
from bridge.webmention.outgoing.recipients import foreign

_PAGE_BYTES = 4 * 1024 * 1024
_PAGE_SECONDS = 20.0


def send_by_hand(settings: Settings, url: str) -> int:
    """Tell everyone that the page at ``url`` links to, and who was told of it before, and print
    what came of it. Returns 1 where one of them could not be told.

    Raises :class:`~bridge.errors.Refused` for what is not a post that the world sees.
    """
    public_url = settings.server.public_url or (
        f"http://127.0.0.1:{settings.server.port}/" if settings.server.port else settings.site.me
    )
    own = own_hosts(settings, public_url)
    with suppress(ValueError):
        if hosts(url) & own:
            return asyncio.run(_send(settings, url, own, public_url))
    raise Refused(f"{url!r} is not on your site, {settings.site.me}. Write a post's whole address.")


async def _send(settings: Settings, url: str, own: frozenset[str], public_url: str) -> int:
    async with (
        own_pages() as site,
        GuardedFetch(allow_loopback=urlsplit(public_url).hostname in LOOPBACK) as fetch,
    ):
        try:
            page = await site.fetch(
                url, max_bytes=_PAGE_BYTES, timeout=_PAGE_SECONDS, agent=AGENT, cut=True
            )
        except FetchError as error:
            raise Refused(f"{url} cannot be looked at: {error}.") from error
        told = _told_before(settings, url)
        linked = foreign(await _links(page, url), own, bridgy_fed=settings.webmention.bridgy_fed)
        targets = list(dict.fromkeys([*linked, *told]))[:MOST_TARGETS]
        if not targets:
            print(f"{url} links to no other site in its text, so there is no one to tell.")
        courier = Courier(fetch, DeliveryTiming(), time.time)
        failed = False
        for target in targets:
            outcome = await courier.deliver(url, Delivery(target))
            failed |= outcome.state in {"failed", "waiting"}
            print(_line(target, outcome))
        return 1 if failed else 0


async def _links(page: Fetched, url: str) -> list[str]:
    """What the page links to; nothing where it is the tombstone of a post.

    Raises :class:`Refused` where it is not a page of a post.
    """
    if page.status == 410:
        return []
    if page.status != 200:
        raise Refused(
            f"{url} answers {page.status}: the world sees no such post. One that is not live yet"
            " is sent by itself as soon as it is."
        )
    said = await read_page(page.body, page.url)
    if said is None or not (said["entry"] or said["gone"]):
        raise Refused(
            f"{url} shows no post of its own (no h-entry), so it is not known which of its links"
            f" are the post's. See {doc('themes.md')}."
        )
    return [str(link) for link in said["links"]]


def _told_before(settings: Settings, url: str) -> list[str]:
    """Who has heard of a post, as the outbox remembers it."""
    outbox = Outbox(outbox_folder(settings.site.state))
    try:
        known = outbox.find(url)
    finally:
        outbox.close()
    return [each.target for each in known.deliveries] if known else []


def _line(target: str, outcome: Outcome) -> str:
    match outcome.state:
        case "sent":
            return f"sent      {target}"
        case "none":
            return f"skipped   {target}: {outcome.reason}"
        case _:
            return f"failed    {target}: {outcome.reason}"
