"""``micropub-bridge webmention URL``: sends the webmentions of one post now, again if they were
sent before.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit

from bridge.errors import Refused
from bridge.net.fetch import Fetched, FetchError, GuardedFetch, OwnPages
from bridge.posts.urls import hosts
from bridge.runtime.command_name import doc
from bridge.settings import Settings
from bridge.settings_file import LOOPBACK
from bridge.webmention.outgoing.delivery import AGENT, AttemptResult, Courier, DeliveryTiming
from bridge.webmention.outgoing.live_pages import read_page
from bridge.webmention.outgoing.outbox import MOST_TARGETS, Delivery, Outbox, outbox_folder
from bridge.webmention.outgoing.recipients import external_links, own_hosts

_PAGE_BYTES = 4 * 1024 * 1024
_PAGE_SECONDS = 20.0


def resend(settings: Settings, url: str) -> int:
    """Send webmentions to every page that the post at ``url`` links to or has notified before, and
    print the result for each. Returns the exit status: 1 if any failed.

    Raises :class:`~bridge.errors.Refused` if ``url`` is not a live post of this site.
    """
    public_url = settings.server.public_url or (
        f"http://127.0.0.1:{settings.server.port}/" if settings.server.port else settings.site.me
    )
    own = own_hosts(settings, public_url)
    with suppress(ValueError):
        if hosts(url) & own:
            return asyncio.run(_send(settings, url, own, public_url))
    raise Refused(f"{url!r} is not on your site, {settings.site.me}. Give a post's full URL.")


async def _send(settings: Settings, url: str, own: frozenset[str], public_url: str) -> int:
    async with (
        OwnPages(own) as site,
        GuardedFetch(allow_loopback=urlsplit(public_url).hostname in LOOPBACK) as fetch,
    ):
        try:
            page = await site.fetch(
                url, max_bytes=_PAGE_BYTES, timeout=_PAGE_SECONDS, agent=AGENT, cut=True
            )
        except FetchError as error:
            raise Refused(f"{url} cannot be fetched: {error}.") from error
        notified = _notified_before(settings, url)
        linked = external_links(
            await _links(page, url), own, bridgy_fed=settings.webmention.bridgy_fed
        )
        targets = list(dict.fromkeys([*linked, *notified]))[:MOST_TARGETS]
        if not targets:
            print(f"{url} links to no other site in its text, so no webmention is sent.")
        courier = Courier(fetch, DeliveryTiming(), time.time)
        failed = False
        for target in targets:
            outcome = await courier.deliver(url, Delivery(target))
            failed |= outcome.state in {"failed", "waiting"}
            print(_line(target, outcome))
        return 1 if failed else 0


async def _links(page: Fetched, url: str) -> list[str]:
    """The URLs that the page links to; none if it is a tombstone.

    Raises :class:`Refused` if it is not the page of a post.
    """
    if page.status == 410:
        return []
    if page.status != 200:
        raise Refused(
            f"{url} answers {page.status}: the post is not live. The webmentions of a post that"
            " is not live yet are sent by themselves once it is."
        )
    parsed = await read_page(page.body, page.url)
    if parsed is None or not (parsed["entry"] or parsed["gone"]):
        raise Refused(
            f"{url} has no h-entry, so the bridge cannot tell which of its links"
            f" belong to the post. See {doc('themes.md')}."
        )
    return [str(link) for link in parsed["links"]]


def _notified_before(settings: Settings, url: str) -> list[str]:
    """The pages that the post has notified before, from the outbox."""
    outbox = Outbox(outbox_folder(settings.site.state))
    try:
        known = outbox.find(url)
    finally:
        outbox.close()
    return [each.target for each in known.deliveries] if known else []


def _line(target: str, outcome: AttemptResult) -> str:
    match outcome.state:
        case "sent":
            return f"sent      {target}"
        case "none":
            return f"skipped   {target}: {outcome.reason}"
        case _:
            return f"failed    {target}: {outcome.reason}"
