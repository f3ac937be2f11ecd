"""Which posts there are at the site's newest version, by address: the index, kept fresh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from bridge.errors import BridgeError, SiteBroken, Unavailable
from bridge.posts.index import PostIndex
from bridge.site.current import CurrentSite
from bridge.site.messages import Entry, Page, SiteReport, Source, Unread
from bridge.site.protocol import SiteReader
from bridge.store import ContentStore, StoreError, Version

log = logging.getLogger(__name__)


class Catalogue:
    """The index of posts, brought to the store's newest version by :meth:`refresh`."""

    def __init__(
        self,
        store: ContentStore,
        site: CurrentSite,
        file: Path,
        *,
        folder: str,
        own: frozenset[str] = frozenset(),
        seconds: float = 30.0,
    ) -> None:
        """``file`` is what the index is kept in, ``folder`` the content folder, ``own`` are the
        host names of the site. A request waits ``seconds`` for the index."""
        self._store = store
        self._site = site
        self._seconds = seconds
        self._looking: asyncio.Task[Version] | None = None
        self._following: asyncio.Task[None] | None = None
        self.index = PostIndex(file, store, folder, own=own)

    def report(self) -> SiteReport:
        """What the owner should know of the site as the bridge reads it."""
        site = self._site.condition()
        unread = self.index.unread() if self.index.version is not None else []
        return msgspec.structs.replace(site, unread=tuple(unread), indexing=self.index.described)

    @property
    def site(self) -> SiteReader:
        """The site as the last :meth:`refresh` found it."""
        return self._site.reader

    async def refresh(self, *, patient: bool = False) -> Version:
        """Bring everything to the newest version, and return that.

        Costs nothing where there is no new commit. Raises :class:`~bridge.store.StoreError` where
        the repo cannot be read, :class:`SiteBroken` where the site's settings cannot be loaded;
        and, unless ``patient``, :class:`Unavailable` where that takes long, as it does while the
        posts of a large site are looked at for the first time.
        """
        if known := self._newest_known():
            return known
        # A look that is under way may have missed the newest commit; one that begins after it, for
        # this request or another, has not. It goes on when the request is cancelled.
        if self._looking is not None and not self._looking.done():
            await asyncio.wait({self._looking})
            if known := self._newest_known():
                return known
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="catalogue")
            self._looking.add_done_callback(_retrieved)
        limit = None if patient else self._seconds
        try:
            async with asyncio.timeout(limit):
                return await asyncio.shield(self._looking)
        except TimeoutError as error:
            if self._looking.done():
                raise
            raise Unavailable(
                "The bridge is looking at the posts of the site:"
                f" {self.index.described or 0} files so far. Try again in a moment.",
                retry_after=10,
            ) from error

    def changed(self, version: Version) -> None:
        """There is a new version: have it looked at beside the answer to the one who made it."""
        del version
        self._following = asyncio.create_task(self._follow(), name="catalogue")

    async def close(self) -> None:
        """Let go of the index, once nothing is at work on it."""
        under_way = {each for each in (self._following, self._looking) if each is not None}
        if under_way:
            await asyncio.wait(under_way)
        await asyncio.to_thread(self.index.close)

    def _newest_known(self) -> Version | None:
        """What the index has, if that is all there is."""
        known = self.index.version
        return known if known is not None and self._store.head() == known else None

    async def _follow(self) -> None:
        try:
            await self.refresh(patient=True)
        except (BridgeError, StoreError) as error:
            log.warning("%s", error)  # the next request looks again, and tells

    async def _look(self) -> Version:
        head = self._store.head()
        if head is None:
            raise SiteBroken("The site's branch has no commit yet: commit its Pelican settings.")
        await self._site.bring_to(head)
        site, loop = self._site.reader, asyncio.get_running_loop()

        def describe(files: Sequence[Source]) -> Future[list[Entry | Page | Unread | None]]:
            return asyncio.run_coroutine_threadsafe(site.describe(files), loop)

        await asyncio.to_thread(self.index.refresh, head, site.facts, describe)
        return head


def _retrieved(looking: asyncio.Task[Version]) -> None:
    """Every request that waits for a look may have been cancelled: then its error is no one's."""
    if not looking.cancelled():
        looking.exception()
