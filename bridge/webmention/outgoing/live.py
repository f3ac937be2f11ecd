"""Checks whether a version of a post is live, and what its page says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.net.sandboxed_parse import parse_in_subprocess
from bridge.posts.addresses import canonical
from bridge.rebuild import Rebuilder
from bridge.store import Version
from bridge.webmention.outgoing.discovery import AGENT
from bridge.webmention.outgoing.outbox import Outgoing

_PROGRAM = Path(__file__).with_name("links.py")
_READ_SECONDS = 40.0
_BUILD_SECONDS = 20.0
_PAGE_BYTES = 4 * 1024 * 1024
_PAGE_SECONDS = 20.0
#: Some minutes: a host that builds elsewhere may answer 404 before the tombstone is there.
_LOOKS_FOR_A_TOMBSTONE = 9
#: A day as it is written: what a theme shows of a time.
_DAY = 10


@dataclass(frozen=True, slots=True)
class Page:
    """What was found at a post's address. Unless it ``is_live`` the ``reason`` says what is not
    as it is to be; ``is_certain`` is false where an older version would look the same.
    ``parted``: the post has moved, and its old address does not lead there. The rest is as
    :func:`bridge.webmention.outgoing.links.read` tells it."""

    is_live: bool
    reason: str = ""
    is_certain: bool = True
    parted: bool = False
    links: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class LivePages:
    """Looks at the site as the world does.

    ``fetch`` reaches the site wherever it is, since its address is the owner's word. ``own`` are
    the site's hosts.
    """

    fetch: GuardedFetch
    rebuilder: Rebuilder
    own: frozenset[str]

    @property
    def is_local(self) -> bool:
        """Whether the pages are built on this machine."""
        return self.rebuilder.is_local

    async def look(self, out: Outgoing) -> Page:
        """Look at the post's address once, as soon as the version is built."""
        built = await self.rebuilder.live(Version(out.version), out.save_as, _BUILD_SECONDS)
        try:
            if out.gone:
                return await self._look_gone(out)
            if self.is_local and not built:
                return Page(False, "its page is not built yet")
            page = await self._get(out.source)
            parted = not self._is_at(page, out.url)
            if parted:
                # It moved, and the old address does not redirect as a program understands it.
                page = await self._get(out.url)
            found = await self._look_at(out, page)
            return replace(found, parted=parted)
        except FetchError as error:
            return Page(False, f"{out.url} cannot be looked at: {error}")

    async def _look_at(self, out: Outgoing, page: Fetched) -> Page:
        if page.status != 200:
            return Page(False, f"{out.url} answers {page.status}")
        if not self._is_at(page, out.url):
            return Page(False, f"{out.url} leads to {page.url}")
        said = await read_page(page.body, out.url)
        if said is None:
            return Page(False, f"{out.url} cannot be read")
        if said["gone"]:
            return Page(False, f"{out.url} is a page of a deleted post")
        if reason := await self._why_old(out, page, said):
            return Page(False, reason)
        tells = self.is_local or bool(out.updated and said["updated"])
        return Page(
            True,
            is_certain=tells,
            links=tuple(said["links"]),
            replies=tuple(said["replies"]),
            digest=said["digest"],
        )

    async def _look_gone(self, out: Outgoing) -> Page:
        """A deleted post answers 410, or shows a tombstone; 404 will do where it stays at that."""
        page = await self._get(out.source)
        if page.status == 410:
            return Page(True)
        if page.status == 404:
            settled = self.is_local or out.looks >= _LOOKS_FOR_A_TOMBSTONE
            return Page(settled, f"{out.source} answers 404, and not 410")
        said = await read_page(page.body, out.source)
        if said is not None and said["gone"]:
            return Page(True)
        return Page(False, f"{out.source} is still there")

    async def _why_old(self, out: Outgoing, page: Fetched, said: dict[str, Any]) -> str:
        """Why a page is not that of the wanted version; "" where it is."""
        if self.is_local:
            built = await self._built(out, page, said)
            if built is None or built["digest"] != said["digest"]:
                return f"{out.url} is not as it was built yet"
            # What the page as it was built does not show, a theme leaves out.
            missing = [link for link in out.links if link in built["seen"]]
        else:
            missing = out.links
            for what in ("updated", "published"):
                wanted, shown = getattr(out, what), said[what]
                if wanted and shown:
                    if not same_time(wanted, shown):
                        return f"{out.url} shows an older version"
                    break
        missing = [link for link in missing if link not in said["seen"]]
        return f"{out.url} does not link to {missing[0]} yet" if missing else ""

    async def _built(
        self, out: Outgoing, page: Fetched, said: dict[str, Any]
    ) -> dict[str, Any] | None:
        """What the page says as it was built on this machine."""
        if (output := self.rebuilder.output) is None:
            raise RuntimeError("asked for pages that are built elsewhere")
        try:
            body = await asyncio.to_thread((output / out.save_as).read_bytes)
        except OSError:
            return None
        return said if body == page.body else await read_page(body, out.url)

    def _is_at(self, page: Fetched, url: str) -> bool:
        return canonical(page.url, self.own) == canonical(url, self.own)

    async def _get(self, url: str) -> Fetched:
        # Hosts that keep copies of pages are asked for what is there now.
        return await self.fetch.fetch(
            url,
            max_bytes=_PAGE_BYTES,
            timeout=_PAGE_SECONDS,
            agent=AGENT,
            cut=True,
            headers={"Cache-Control": "no-cache"},
        )


async def read_page(body: bytes, url: str) -> dict[str, Any] | None:
    """What a page of the site says (:func:`bridge.webmention.outgoing.links.read`)."""
    said: dict[str, Any] | None = await parse_in_subprocess(
        _PROGRAM, url, page=body, seconds=_READ_SECONDS
    )
    return said


def same_time(one: str, other: str) -> bool:
    """Whether two times are the same, as far as both say it: to the second, or the day."""
    try:
        first, second = datetime.fromisoformat(one), datetime.fromisoformat(other)
        if len(one) > _DAY < len(other) and first.tzinfo and second.tzinfo:
            return abs((first - second).total_seconds()) < 1
    except ValueError:
        return True  # written for people: it tells us nothing
    return one[:_DAY] == other[:_DAY]
