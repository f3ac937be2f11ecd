"""Keeps the index of the site's posts at the newest version, and searches posts that are not yet in
it.

Having Pelican read 100,000 posts takes minutes on a site with plugins. A new post does not wait for
that: a URL nearly always comes from a slug, a title or a file name, so these are searched at once,
and only files that may conflict are read (:class:`Unindexed`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import threading
import time
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bridge.errors import BridgeError, SiteBroken, Unavailable
from bridge.micropub.post import unescape
from bridge.posts.index import PostIndex, ReadableFiles
from bridge.posts.linked import found_differences, found_files
from bridge.posts.separate import SeparatePosts
from bridge.site.current import CurrentSite, retrieved
from bridge.site.messages import (
    IndexedPost,
    PostQuestions,
    ReservedPage,
    SiteReport,
    Source,
    Unread,
)
from bridge.site.site_reader import HANDFUL, SiteReader
from bridge.store import BlobId, ContentStore, StoreBroken, StoreError, Version

log = logging.getLogger(__name__)

#: Seconds between two checks of the progress of indexing.
_LOOK_EVERY = 0.25
#: How many files :class:`Unindexed` reads at a time.
_BATCH = 500
#: How many bytes of a file may be front matter, and how many characters of a title or a name count.
_HEAD = 16_384
_LONGEST = 500
#: How many files are read for one post, beginning with the likeliest to conflict.
_MOST = 200
_KEY = re.compile(
    r"^[ \t]*(?::|<meta\s+name=[\"'])?(title|slug|url|save_as)(?:[\"']\s+content=[\"']|:)\s*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_ALIASES = re.compile(r'"aliases":\s*\[([^\]]*)\]')
_HTML_TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_OTHER = re.compile(r"[^a-z0-9]+")


class Catalogue:
    """The index of posts; :meth:`refresh` brings it to the store's newest version."""

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
        """``file`` is the index's database, ``folder`` the content folder, ``own`` the host
        names of the site. A request waits at most ``seconds`` for the site and its index, of
        which at most ``indexing`` for posts to be described, or ``brief`` if it creates a post.
        """
        self._store = store
        self._site = site
        self._seconds = seconds
        self._indexing = indexing
        self._brief = brief
        self._indexing_since: float | None = None
        #: The running or last refresh, which all requests share; what waits for it after a commit.
        self._looking: asyncio.Task[Version] | None = None
        self._following: asyncio.Task[None] | None = None
        self._describing: set[asyncio.Task[list[IndexedPost | ReservedPage | Unread | None]]] = (
            set()
        )
        self._closing = False
        self.index = PostIndex(file, store, folder, own=own)
        self.unindexed = Unindexed(store, folder)
        self.separate = SeparatePosts(store, folder, own)

    def report(self) -> SiteReport:
        """What the owner should know about the site as the bridge reads it."""
        site = self._site.condition()
        unread = self.index.unread() if self.index.version is not None else []
        return msgspec.structs.replace(
            site,
            unread=tuple(unread),
            indexing=self.index.described,
            in_submodules=self.separate.count,
        )

    @property
    def site(self) -> SiteReader:
        """The site as of the last :meth:`refresh`."""
        return self._site.reader

    async def refresh(self, *, patient: bool = False) -> Version:
        """Bring everything to the newest version and return that version.

        Costs nothing if there is no new commit. Raises :class:`~bridge.store.StoreError` if the
        repo cannot be read and :class:`SiteBroken` if the site's settings cannot be loaded; unless
        ``patient``, also :class:`Unavailable` if it takes long, as it does while a large site is
        indexed for the first time.
        """
        return await self._refreshed(None if patient else self._indexing)

    def expect_post(self) -> None:
        """Prepare for creating a post, which may follow; returns at once."""
        with suppress(SiteBroken):  # not loaded yet
            self._site.reader.expect()

    async def for_new_post(self) -> Version:
        """The newest version, with its site loaded, for creating a post.

        The index may not have all posts yet: :meth:`neighbours` finds the others. Raises as
        :meth:`refresh`, but does not wait for a large site to be indexed.
        """
        if known := await self._indexed():
            return known
        head = self._head()
        await self._site.bring_to(head)
        return head

    async def neighbours(self, slugs: Sequence[str]) -> list[IndexedPost | ReservedPage]:
        """The posts and pages not yet in the index that may have the URL of a post with one of
        these slugs. Raises as :meth:`for_new_post`.
        """
        # Another client may have posted a moment ago: the index learns one post sooner than all
        # files are read.
        if await self._indexed():
            self.unindexed.forget()
            return []
        head, site = self._head(), self._site.reader
        await asyncio.to_thread(self.unindexed.bring_to, head, site.facts.suffixes)
        await self.unindexed.slugify(site)
        near = await asyncio.to_thread(self.unindexed.near, slugs)
        return [
            each
            for start in range(0, len(near), HANDFUL)
            for each in await site.describe(near[start : start + HANDFUL])
            if isinstance(each, IndexedPost | ReservedPage)
        ]

    def changed(self, version: Version) -> None:
        """Start a refresh for a new version. Returns at once."""
        del version
        self._following = asyncio.create_task(self._follow(), name="catalogue")

    async def close(self) -> None:
        """Close the index. If it is not complete yet, the next start continues from there."""
        self._closing = True
        under_way = {each for each in (self._following, self._looking) if each is not None}
        if self._indexing_since is None:
            for task in under_way:
                task.cancel()
        else:
            # The index's thread ends when it gets no more answers.
            for asking in self._describing:
                asking.cancel()
        if under_way:
            await asyncio.wait(under_way)
        await self.separate.close()
        await asyncio.to_thread(self.index.close)

    async def _indexed(self) -> Version | None:
        """The version that the index has, at least as new as the branch was; ``None`` if that takes
        long. Raises as :meth:`refresh`.
        """
        try:
            return await self._refreshed(self._brief)
        except Unavailable:
            if self._indexing_since is None:
                raise  # the site itself takes that long, not its index
            return None

    def _newest_known(self) -> Version | None:
        """The index's version, if it is the newest one, and what it needs is on disk."""
        known = self.index.version
        if known is None or self._store.head() != known:
            return None
        return None if self.index.is_lost or self._site.is_lost else known

    async def _follow(self) -> None:
        try:
            await self.refresh(patient=True)
        except (BridgeError, StoreError) as error:
            if not self._closing:
                log.warning("%s", error)  # the next request looks again, and raises it

    async def _refreshed(self, indexing: float | None) -> Version:
        """As :meth:`refresh`, but waits at most ``indexing`` seconds from when indexing began;
        ``None``: no limit.
        """
        begun = time.monotonic()
        if known := self._newest_known():
            return known
        # A refresh that is running may have missed the newest commit; one that starts now, for this
        # request or another, has not. It goes on if the request is cancelled.
        if self._looking is not None and not self._looking.done():
            await self._waited(self._looking, begun, indexing)
            if known := self._newest_known():
                return known
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="catalogue")
            self._looking.add_done_callback(retrieved)
        looking = self._looking
        await self._waited(looking, begun, indexing)
        return looking.result()

    async def _waited(
        self, looking: asyncio.Task[Version], begun: float, indexing: float | None
    ) -> None:
        """Wait for a refresh. Raises :class:`Unavailable` if it takes too long."""
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
        if self.index.is_lost:
            # Before others make folders in it that everybody may read.
            await asyncio.to_thread(self.index.make_folder)
        early = await self._load(head)
        site, loop = self._site.reader, asyncio.get_running_loop()

        def describe(
            files: Sequence[Source],
        ) -> Future[list[IndexedPost | ReservedPage | Unread | None]]:
            return asyncio.run_coroutine_threadsafe(self._described(site, files), loop)

        self._indexing_since = time.monotonic()
        try:
            await asyncio.to_thread(self.index.refresh, head, site.facts, describe, early)
        finally:
            self._indexing_since = None
        self.separate.follow(head, site, self._site.checkout)
        return head

    async def _load(self, head: Version) -> ReadableFiles | None:
        """Load the site. Returns the files that an empty index will ask about; the first of them
        are read while the site is being loaded.
        """
        if self.index.version is not None:
            await self._site.bring_to(head)
            return None
        stop = threading.Event()
        reading = asyncio.create_task(asyncio.to_thread(self.index.read_ahead, head, stop))
        reading.add_done_callback(retrieved)
        try:
            await self._site.bring_to(head)
        finally:
            stop.set()
        return await reading

    async def _described(
        self, site: SiteReader, files: Sequence[Source]
    ) -> list[IndexedPost | ReservedPage | Unread | None]:
        """The site's description of some files. Raises :class:`Unavailable` while the bridge
        shuts down.
        """
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
    return Unavailable("The bridge is shutting down. Try again in a moment.", retry_after=5)


class _Known(Struct, frozen=True):
    """A file: its blob id, the words of its name and front matter, and the title that becomes
    its slug.
    """

    blob: BlobId
    words: str
    title: str = ""


class Unindexed:
    """File names and front matter of every file that may be a post. One call at a time."""

    def __init__(self, store: ContentStore, folder: str) -> None:
        """``folder`` is the content folder."""
        self._store = store
        self._folder = folder
        self._version: Version | None = None
        self._files: dict[str, _Known] = {}
        # The thread of a cancelled request may still be running.
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Drop everything, because the index is complete."""
        with self._lock:
            self._version = None
            self._files = {}

    def bring_to(self, head: Version, suffixes: Iterable[str]) -> None:
        """Read the files of a version that have these suffixes. Raises what the store raises."""
        with self._lock:
            self._bring_to(head, suffixes)

    def _bring_to(self, head: Version, suffixes: Iterable[str]) -> None:
        if self._version == head:
            return
        endings = tuple(f".{suffix}" for suffix in suffixes)
        new = {path: blob for path, blob in self._new(head) if path.endswith(endings)}
        waiting = iter(new.items())
        while batch := list(islice(waiting, _BATCH)):
            blobs = self._store.blobs(blob for _, blob in batch)
            for (path, _), blob in zip(batch, blobs, strict=True):
                self._files[path] = _known(path, blob.id, blob.data)
        self._version = head

    async def slugify(self, site: SiteReader) -> None:
        """Have the site turn the titles into slugs where files have no slug of their own."""
        titled = await asyncio.to_thread(self._titled)
        for start in range(0, len(titled), _BATCH):
            batch = titled[start : start + _BATCH]
            answer = await site.ask(PostQuestions(slugs=tuple(each.title for _, each in batch)))
            for (path, each), slug in zip(batch, answer.slugs, strict=True):
                self._files[path] = replace(each, words=f"{each.words}{_words(slug)}-", title="")

    def near(self, slugs: Sequence[str]) -> list[Source]:
        """The files that may have one of these slugs."""
        wanted = {f"-{words}-" for words in map(_words, slugs) if words}
        with self._lock:
            found = [
                (len(each.words), path, each.blob)
                for path, each in self._files.items()
                if any(words in each.words for words in wanted)
            ]
        # The fewer other words a file has, the likelier it is that this is its slug.
        chosen = sorted(found)[:_MOST]
        blobs = self._store.blobs(blob for _, _, blob in chosen)
        return [
            Source(path, blob.id, blob.data)
            for (_, path, _), blob in zip(chosen, blobs, strict=True)
        ]

    def _titled(self) -> list[tuple[str, _Known]]:
        with self._lock:
            return [(path, each) for path, each in self._files.items() if each.title]

    def _new(self, head: Version) -> Iterable[tuple[str, BlobId]]:
        """The files to be read; those that have been deleted are dropped."""
        if self._version is not None:
            try:
                changes = found_differences(self._store, self._folder, self._version, head)
            except StoreBroken:
                pass
            else:
                for each in changes:
                    self._files.pop(each.path, None)
                return [(each.path, each.new) for each in changes if each.new]
        self._version, self._files = None, {}
        return found_files(self._store, self._folder, head)


def _known(path: str, blob: BlobId, data: bytes) -> _Known:
    head = data[:_HEAD].decode("utf-8", "replace").lstrip("\ufeff\n")
    if path.endswith((".html", ".htm")):
        title = "".join(_HTML_TITLE.findall(head)[:1])
    else:
        head = head.partition("\n\n")[0] if _KEY.search(head.partition("\n\n")[0]) else head
        title = head.partition("\n")[0]
    headers = {key.lower(): value for key, value in _KEY.findall(head)}
    title = unescape(headers.pop("title", title)).strip()[:_LONGEST]
    aliases = "".join(_ALIASES.findall(head)[:1])
    name = path.rpartition("/")[2].rpartition(".")[0]
    parts = [name, *headers.values(), aliases]
    words = "-".join(filter(None, (_words(part)[:_LONGEST] for part in parts)))
    return _Known(blob, f"-{words}-", "" if "slug" in headers else title)


def _plain(text: str) -> str:
    """The text without accents."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    return "".join(each for each in apart if not unicodedata.combining(each))


def _words(text: str) -> str:
    """The words of a text as most sites write them in addresses, joined by hyphens."""
    return _OTHER.sub("-", _plain(text).lower()).strip("-")
