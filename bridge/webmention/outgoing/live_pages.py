"""Checks whether a version of a post is live, and reads its page."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.net.sandboxed_parse import parse_in_subprocess
from bridge.posts.urls import canonical
from bridge.rebuild import Rebuilder
from bridge.runtime import beneath
from bridge.store import Version
from bridge.webmention.outgoing.delivery import AGENT
from bridge.webmention.outgoing.outbox import Outgoing

_READ = "bridge.webmention.outgoing.links:read"
_READ_SECONDS = 40.0
_BUILD_SECONDS = 20.0
_PAGE_BYTES = 4 * 1024 * 1024
_PAGE_SECONDS = 20.0
#: Some minutes: a static host may answer 404 before it has the tombstone.
_CHECKS_FOR_A_TOMBSTONE = 9
#: Length of a date in ISO 8601; a theme may show no time of day.
_DAY = 10


class LivePage(Struct, frozen=True):
    """The result of one check of a post's URL.

    Unless ``is_live``, ``reason`` says what is missing. ``is_certain`` is false where an older
    version would look the same. ``moved_without_redirect``: the post has moved, and its former URL
    does not redirect to it. The rest is as :func:`bridge.webmention.outgoing.links.read` returns
    it.
    """

    is_live: bool
    reason: str = ""
    is_certain: bool = True
    moved_without_redirect: bool = False
    links: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    digest: str = ""


class LivePages(Struct, frozen=True):
    """Fetches the site's pages from outside, as their readers do.

    ``fetch`` may reach private addresses, since the site's URL is the owner's setting. ``own`` are
    the site's host names.
    """

    fetch: GuardedFetch
    rebuilder: Rebuilder
    own: frozenset[str]

    @property
    def is_local(self) -> bool:
        """Whether the site is built on this machine."""
        return self.rebuilder.is_local

    async def look(self, out: Outgoing) -> LivePage:
        """Fetch the post's URL once, as soon as its version is built."""
        built = await self.rebuilder.live(Version(out.version), out.save_as, _BUILD_SECONDS)
        try:
            if out.gone:
                return await self._check_gone(out)
            if self.is_local and not built:
                return LivePage(False, "its page is not built yet")
            page = await self._get(out.source)
            moved_without_redirect = not self._is_at(page, out.url)
            if moved_without_redirect:
                # The post moved, and its former URL has no HTTP redirect.
                page = await self._get(out.url)
            found = await self._check(out, page)
            return replace(found, moved_without_redirect=moved_without_redirect)
        except FetchError as error:
            return LivePage(False, f"{out.url} cannot be fetched: {error}")

    async def _check(self, out: Outgoing, page: Fetched) -> LivePage:
        if page.status != 200:
            return LivePage(False, f"{out.url} answers {page.status}")
        if not self._is_at(page, out.url):
            return LivePage(False, f"{out.url} redirects to {page.url}")
        parsed = await read_page(page.body, out.url)
        if parsed is None:
            return LivePage(False, f"{out.url} cannot be parsed")
        if parsed["gone"]:
            return LivePage(False, f"{out.url} is still the tombstone of a deleted post")
        if reason := await self._mismatch(out, page, parsed):
            return LivePage(False, reason)
        tells = self.is_local or bool(out.updated and parsed["updated"])
        return LivePage(
            True,
            is_certain=tells,
            links=tuple(parsed["links"]),
            replies=tuple(parsed["replies"]),
            digest=parsed["digest"],
        )

    async def _check_gone(self, out: Outgoing) -> LivePage:
        """Check that a deleted post answers 410 or has a tombstone; a lasting 404 is accepted."""
        page = await self._get(out.source)
        if page.status == 410:
            return LivePage(True)
        if page.status == 404:
            settled = self.is_local or out.looks >= _CHECKS_FOR_A_TOMBSTONE
            return LivePage(settled, f"{out.source} answers 404, and not 410")
        parsed = await read_page(page.body, out.source)
        if parsed is not None and parsed["gone"]:
            return LivePage(True)
        return LivePage(False, f"{out.source} is still there")

    async def _mismatch(self, out: Outgoing, page: Fetched, parsed: dict[str, Any]) -> str:
        """Why a page does not show the expected version; ``""`` if it does."""
        if self.is_local:
            built = await self._built(out, page, parsed)
            if built is None or built["digest"] != parsed["digest"]:
                return f"{out.url} does not show the latest build yet"
            # A link that is not on the built page either is left out by the theme.
            missing = [link for link in out.links if link in built["seen"]]
        else:
            missing = out.links
            for what in ("updated", "published"):
                wanted, shown = getattr(out, what), parsed[what]
                if wanted and shown:
                    if not same_time(wanted, shown):
                        return f"{out.url} shows an older version"
                    break
        missing = [link for link in missing if link not in parsed["seen"]]
        return f"{out.url} does not link to {missing[0]} yet" if missing else ""

    async def _built(
        self, out: Outgoing, page: Fetched, parsed: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The same page as this machine built it, parsed."""
        if (output := self.rebuilder.output) is None:
            raise RuntimeError("the site is not built on this machine")
        try:
            body = await asyncio.to_thread(beneath.read, output, out.save_as, _PAGE_BYTES)
        except OSError:
            return None
        return parsed if body == page.body else await read_page(body, out.url)

    def _is_at(self, page: Fetched, url: str) -> bool:
        return canonical(page.url, self.own) == canonical(url, self.own)

    async def _get(self, url: str) -> Fetched:
        # Asks caches for a fresh copy.
        return await self.fetch.fetch(
            url,
            max_bytes=_PAGE_BYTES,
            timeout=_PAGE_SECONDS,
            agent=AGENT,
            cut=True,
            headers={"Cache-Control": "no-cache"},
        )


async def read_page(body: bytes, url: str) -> dict[str, Any] | None:
    """Parse a page of the site in a subprocess (see
    :func:`bridge.webmention.outgoing.links.read`).
    """
    parsed: dict[str, Any] | None = await parse_in_subprocess(
        _READ, url, page=body, seconds=_READ_SECONDS
    )
    return parsed


def same_time(one: str, other: str) -> bool:
    """Whether two ISO 8601 times are equal to the precision of the coarser one: a second, or
    a day.
    """
    try:
        first, second = datetime.fromisoformat(one), datetime.fromisoformat(other)
        if len(one) > _DAY < len(other) and first.tzinfo and second.tzinfo:
            return abs((first - second).total_seconds()) < 1
    except ValueError:
        return True  # not ISO 8601, so it proves nothing
    return one[:_DAY] == other[:_DAY]
