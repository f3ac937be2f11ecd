"""Reads posts: takes files from ``store/`` and has ``content/`` decode them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from itertools import islice

from bridge.content.convert import read
from bridge.content.file import PelicanFile
from bridge.content.links import MediaUrls
from bridge.content.rules import PathTemplate, SiteRules, SiteView
from bridge.content.slugs import candidates
from bridge.errors import Conflict, InvalidRequest
from bridge.micropub.post import Post
from bridge.posts.addresses import canonical
from bridge.posts.catalogue import Catalogue
from bridge.settings import DEFAULT_CATEGORIES, Settings
from bridge.site.known import KnownSite, without_guesses
from bridge.site.messages import IndexedPost, Source
from bridge.store import BlobId, Change, ContentStore, Removal, Version

#: How many deleted posts are looked at at a time.
_AT_ONCE = 20


class PostReader:
    """Opens and reads posts by the rules of the site and of the bridge."""

    def __init__(
        self, store: ContentStore, catalogue: Catalogue, settings: Settings, *, public_url: str
    ) -> None:
        self._store = store
        self.catalogue = catalogue
        self._settings = settings
        self._public_url = public_url
        self._path = PathTemplate(settings.content.folder, settings.content.path)

    @property
    def media(self) -> MediaUrls:
        """The URLs of the site's uploads."""
        folder, siteurl = self._settings.media.folder, self.catalogue.site.facts.siteurl
        return MediaUrls(folder, (f"{self._public_url}media/", f"{siteurl}/{folder}/"))

    def rules(self, site: SiteView) -> SiteRules:
        """The rules for reading and writing files, given the site's settings."""
        content = self._settings.content
        named = {kind: name for kind, name in content.categories.items() if name}
        return SiteRules(
            site=site,
            media=self.media,
            path=self._path,
            html=content.html,
            categories={**DEFAULT_CATEGORIES, **named},
        )

    def open(self, entry: IndexedPost) -> tuple[PelicanFile, BlobId]:
        """The file of an indexed post in the newest version, and its blob id."""
        head = self._store.head()
        blob = self._store.read(entry.path, head) if head else None
        if blob is None:
            raise InvalidRequest(f"The post at {entry.url} has just been deleted.")
        try:
            return PelicanFile.parse(blob.data.decode("utf-8"), entry.path), blob.id
        except UnicodeDecodeError as error:
            raise Conflict(f"{entry.path} is not in UTF-8: convert it, then try again.") from error

    def find_or_none(self, url: str) -> IndexedPost | None:
        """The post at a URL, if there is one."""
        return self.catalogue.index.find(url)

    def find(self, url: str) -> IndexedPost:
        """The post at a URL. Raises :class:`InvalidRequest`."""
        entry = self.catalogue.index.find(url)
        if entry is None:
            raise InvalidRequest(f"There is no post at {url[:200]}.")
        return entry

    async def find_deleted(self, url: str, base: Version) -> Change | IndexedPost:
        """The change that restores the deleted post of ``url``: its last file in history, under a
        free name.

        If no post was deleted at that URL, the post that is there or has moved from there; failing
        that, the change that restores a post which had moved from there before it was deleted.
        Raises :class:`InvalidRequest` if there never was one.
        """
        index = self.catalogue.index
        wanted, there = canonical(url, index.own), index.find(url)
        if there is not None and canonical(there.url, index.own) == wanted:
            return there
        moved: Change | None = None
        removals = self._store.removals(self._settings.content.folder, base)
        while some := await asyncio.to_thread(lambda: list(islice(removals, _AT_ONCE))):
            files = await asyncio.to_thread(self._sources, some)
            described = await self.catalogue.site.describe(files)
            for gone, file, entry in zip(some, files, described, strict=True):
                if not (isinstance(entry, IndexedPost) and index.is_at(entry, url)):
                    continue
                change = Change(file.path, file.data, None, gone.executable)
                if canonical(entry.url, index.own) == wanted:
                    return await self._beside_others(change, base)
                moved = moved or change
        if there is not None:
            return there
        if moved is not None:
            return await self._beside_others(moved, base)
        raise InvalidRequest(f"There is no post at {url[:200]}, and there never was one.")

    async def _beside_others(self, change: Change, base: Version) -> Change:
        """The same change with a free path, as close to its own as possible."""
        stem, _, suffix = change.path.rpartition(".")
        for name in candidates(stem):
            path = f"{name}.{suffix}"
            if await asyncio.to_thread(self._store.read, path, base) is None:
                return dataclasses.replace(change, path=path)
        raise Conflict(f"There is a file at {change.path} by now, and at all the names like it.")

    def _sources(self, removals: Sequence[Removal]) -> list[Source]:
        blobs = self._store.blobs(each.blob for each in removals)
        return [
            Source(each.path, blob.id, blob.data)
            for each, blob in zip(removals, blobs, strict=True)
        ]

    async def read(self, file: PelicanFile, entry: IndexedPost | None = None) -> Post:
        """Decode a file; ``entry`` adds what Pelican knows about the post beyond its front
        matter.
        """
        (post,) = await self._read([(file, entry)])
        return post

    def read_without_asking(self, file: PelicanFile) -> Post:
        """Decode a file without the site's process, for uses where names of categories and tags
        do not matter.
        """
        return read(file, self.rules_without_asking)

    @property
    def rules_without_asking(self) -> SiteRules:
        """The rules as far as they are known without the site's process."""
        return self.rules(KnownSite(self.catalogue.site.facts))

    async def posts(self, entries: Sequence[IndexedPost]) -> list[Post]:
        """Decode the files of some indexed posts."""
        blobs = await asyncio.to_thread(
            lambda: list(self._store.blobs(BlobId(entry.blob) for entry in entries))
        )
        files = [
            (PelicanFile.parse(blob.data.decode("utf-8", errors="replace"), entry.path), entry)
            for entry, blob in zip(entries, blobs, strict=True)
        ]
        return await self._read(files)

    async def post(self, entry: IndexedPost) -> Post:
        """Decode the file of an indexed post."""
        file, _ = await asyncio.to_thread(self.open, entry)
        return await self.read(file, entry)

    async def _read(self, files: Sequence[tuple[PelicanFile, IndexedPost | None]]) -> list[Post]:
        def work(site: SiteView) -> list[Post]:
            rules = self.rules(site)
            return [read(file, rules, entry.found if entry else {}) for file, entry in files]

        return await without_guesses(self.catalogue.site, work)
