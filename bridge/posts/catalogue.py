"""The index of the site's posts, kept at the newest version."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from bridge.errors import BridgeError, SiteBroken, Unavailable
from bridge.posts.index import PostIndex
from bridge.posts.unindexed import Unindexed
from bridge.site.current import CurrentSite
from bridge.site.messages import IndexedPost, Page, SiteReport, Source, Unread
from bridge.site.protocol import SiteReader
from bridge.store import ContentStore, StoreError, Version

log = logging.getLogger(__name__)

#: Seconds between two looks at how far the index has come.
_LOOK_EVERY = 0.25


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
        indexing: float = 8.0,
        brief: float = 2.0,
    ) -> None:
        """``file`` is what the index is kept in, ``folder`` the content folder, ``own`` are the
        host names of the site. A request waits ``seconds`` for the site and its index, no longer
        than ``indexing`` for posts to be described, or ``brief`` if it makes a new post."""
        self._store = store
        self._site = site
        self._seconds = seconds
        self._indexing = indexing
        self._brief = brief
        self._indexing_since: float | None = None
        self._looking: asyncio.Task[Version] | None = None
        self._following: asyncio.Task[None] | None = None
        self._describing: set[asyncio.Task[list[IndexedPost | Page | Unread | None]]] = set()
        self._closing = False
        self.index = PostIndex(file, store, folder, own=own)
        self.unindexed = Unindexed(store, folder)

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
        return await self._refreshed(None if patient else self._indexing)

    async def for_new_post(self) -> Version:
        """The newest version, with its site, for a post that is new.

        The index may not know all of its posts yet: :meth:`neighbours` tells of these. Raises as
        :meth:`refresh`, but does not wait for the posts of a large site.
        """
        try:
            return await self._refreshed(self._brief)
        except Unavailable:
            if self._indexing_since is None:
                raise  # it is the site itself that is waited for
        head = self._head()
        await self._site.bring_to(head)
        return head

    async def neighbours(self, slugs: Sequence[str]) -> list[IndexedPost | Page]:
        """The posts and pages that may be where a post with one of these slugs would be, of those
        that the index may not know yet."""
        if self._newest_known():
            self.unindexed.forget()
            return []
        head, site = self._head(), self._site.reader
        await asyncio.to_thread(self.unindexed.bring_to, head, site.facts.suffixes)
        await self.unindexed.slugify(site)
        near = await asyncio.to_thread(self.unindexed.near, slugs)
        found = await site.describe(near)
        return [each for each in found if isinstance(each, IndexedPost | Page)]

    def changed(self, version: Version) -> None:
        """There is a new version: have it looked at beside the answer to the one who made it."""
        del version
        self._following = asyncio.create_task(self._follow(), name="catalogue")

    async def close(self) -> None:
        """Let go of the index. One that is not complete keeps what it has: the next start goes on
        from there."""
        self._closing = True
        under_way = {each for each in (self._following, self._looking) if each is not None}
        if self._indexing_since is None:
            for task in under_way:
                task.cancel()
        else:
            # The index's own thread comes to its end when it is told nothing more.
            for asking in self._describing:
                asking.cancel()
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
            if not self._closing:
                log.warning("%s", error)  # the next request looks again, and tells

    async def _refreshed(self, indexing: float | None) -> Version:
        """:meth:`refresh`, which is done waiting ``indexing`` seconds after the index began to
        follow; ``None``: never."""
        begun = time.monotonic()
        if known := self._newest_known():
            return known
        # A look that is under way may have missed the newest commit; one that begins after it, for
        # this request or another, has not. It goes on when the request is cancelled.
        if self._looking is not None and not self._looking.done():
            await self._waited(self._looking, begun, indexing)
            if known := self._newest_known():
                return known
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="catalogue")
            self._looking.add_done_callback(_retrieved)
        looking = self._looking
        await self._waited(looking, begun, indexing)
        return looking.result()

    async def _waited(
        self, looking: asyncio.Task[Version], begun: float, indexing: float | None
    ) -> None:
        """Wait for a look. Raises :class:`Unavailable` where it takes long."""
        while not looking.done():
            left = math.inf
            if indexing is not None:
                left = begun + self._seconds - time.monotonic()
                if self._indexing_since is not None:
                    left = min(left, self._indexing_since + indexing - time.monotonic())
            if left <= 0:
                raise Unavailable(
                    "The bridge is looking at the posts of the site:"
                    f" {self.index.described or 0} files so far. Try again in a moment.",
                    retry_after=10,
                )
            await asyncio.wait({looking}, timeout=min(left, _LOOK_EVERY))

    def _head(self) -> Version:
        head = self._store.head()
        if head is None:
            raise SiteBroken("The site's branch has no commit yet: commit its Pelican settings.")
        return head

    async def _look(self) -> Version:
        if self._closing:
            raise _ending()
        head = self._head()
        await self._site.bring_to(head)
        site, loop = self._site.reader, asyncio.get_running_loop()

        def describe(files: Sequence[Source]) -> Future[list[IndexedPost | Page | Unread | None]]:
            return asyncio.run_coroutine_threadsafe(self._described(site, files), loop)

        self._indexing_since = time.monotonic()
        try:
            await asyncio.to_thread(self.index.refresh, head, site.facts, describe)
        finally:
            self._indexing_since = None
        return head

    async def _described(
        self, site: SiteReader, files: Sequence[Source]
    ) -> list[IndexedPost | Page | Unread | None]:
        """What the site says of files. Raises :class:`Unavailable` when the bridge ends."""
        if self._closing:
            raise _ending()
        asking = asyncio.create_task(site.describe(files), name="describe")
        self._describing.add(asking)
        try:
            return await asking
        except asyncio.CancelledError:
            if self._closing:
                raise _ending() from None
            raise
        finally:
            self._describing.discard(asking)


def _ending() -> Unavailable:
    return Unavailable("The bridge is ending. Try again in a moment.", retry_after=5)


def _retrieved(looking: asyncio.Task[Version]) -> None:
    """Retrieve the error of a task whose waiting requests may all have been cancelled."""
    if not looking.cancelled():
        looking.exception()
