"""What the site has at its newest version: its own Pelican settings, and its posts by address.

Joins ``content/``, which can read a post, to ``store/``, which has its bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bridge import __version__
from bridge.content import keys
from bridge.content.categories import DEFAULT_CATEGORIES
from bridge.content.headers import PelicanFile
from bridge.content.links import MediaUrls
from bridge.content.listings import Listing
from bridge.content.location import Location, Site
from bridge.content.mf2 import Mf2Line
from bridge.content.path import PathTemplate
from bridge.content.read import read
from bridge.content.rules import SiteRules
from bridge.errors import (
    BridgeError,
    Conflict,
    InvalidRequest,
    Unavailable,
)
from bridge.micropub.post import Post
from bridge.micropub.post_type import discover
from bridge.rebuild.checkout import Checkout
from bridge.settings import Settings, SettingsError
from bridge.store import BlobId, ContentStore, StoreError, Version
from bridge.store.post_index import Entry, Page, PostIndex

log = logging.getLogger(__name__)

#: How much of a post ``filter`` looks through.
_TEXT_LENGTH = 4000
#: Where an object is in memory says nothing about the settings.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class Catalogue:
    """The site's rules and posts, kept at the store's newest version.

    :attr:`rules` and :attr:`index` are what the last :meth:`refresh` found.
    """

    rules: SiteRules

    def __init__(
        self, store: ContentStore, state: Path, settings: Settings, *, public_url: str
    ) -> None:
        """``state`` is a folder for what is derived."""
        self.folder = settings.content.folder
        self._store = store
        self._settings = settings
        self._public_url = public_url
        self._path = PathTemplate(settings.content.folder, settings.content.path)
        # What the site's settings may rest on: every file but the posts.
        posts = f"{self.folder}/"
        self._surroundings = Checkout(
            store, state / "settings", exclude=lambda path: path.startswith(posts)
        )
        self._fingerprint = ""
        self._one_at_a_time = threading.Lock()
        self._looking: asyncio.Future[Version] | None = None
        self._following: asyncio.Task[None] | None = None
        self.index = PostIndex(state / "index.sqlite", store, self.folder, self.describe)

    async def output_path(self) -> Path:
        """Pelican's own ``OUTPUT_PATH``; one inside the repo as a relative path.

        Looks at the settings alone, not at the posts. Raises :class:`Unavailable`.
        """
        await asyncio.to_thread(self._look_at_settings, self._head())
        root = self._surroundings.folder
        # As Pelican does: relative to the settings, which may be in a folder of the repo.
        beside = (root / self._settings.site.settings).parent
        path = beside / str(self.rules.site.settings["OUTPUT_PATH"])
        return path.relative_to(root) if path.is_relative_to(root) else path

    async def refresh(self) -> Version:
        """Bring everything to the newest version, and return that.

        Costs nothing where nobody has committed. Raises :class:`~bridge.store.StoreError` where
        the repo cannot be read, :class:`Unavailable` where Pelican's settings cannot.
        """
        if known := self._newest_known():
            return known
        # A look that is under way may have missed the newest commit; one that begins after it, for
        # this request or another, has not. Its thread goes on when the request is cancelled.
        if self._looking is not None and not self._looking.done():
            await asyncio.wait({self._looking})
            if known := self._newest_known():
                return known
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(self.look))
            self._looking.add_done_callback(_retrieved)
        return await asyncio.shield(self._looking)

    def _newest_known(self) -> Version | None:
        """What the index has, if that is all there is."""
        known = self.index.version
        return known if known is not None and self._store.head() == known else None

    def changed(self, version: Version) -> None:
        """There is a new version: have it looked at beside the answer to whoever made it."""
        if version != self.index.version and (self._following is None or self._following.done()):
            self._following = asyncio.create_task(self._follow(), name="catalogue")

    async def _follow(self) -> None:
        try:
            await self.refresh()
        except (BridgeError, StoreError) as error:
            log.warning("%s", error)  # the next request looks again, and tells

    def open(self, entry: Entry) -> tuple[PelicanFile, BlobId]:
        """The file behind an entry, as it is in the newest version, and the id of its bytes."""
        head = self._store.head()
        blob = self._store.read(entry.path, head) if head else None
        if blob is None:
            raise InvalidRequest(f"The post at {entry.url} has just been deleted.")
        try:
            return PelicanFile.parse(blob.data.decode("utf-8"), entry.path), blob.id
        except UnicodeDecodeError as error:
            raise Conflict(f"{entry.path} is not in UTF-8: convert it, then try again.") from error

    def read(self, file: PelicanFile, path: str) -> Post:
        """What a file says."""
        return read(file, self.rules, path)

    def posts(self, entries: Sequence[Entry]) -> list[Post]:
        """What the files behind some entries say."""
        blobs = self._store.blobs(entry.blob for entry in entries)
        return [
            self.read(_parsed(blob.data, entry.path), entry.path)
            for entry, blob in zip(entries, blobs, strict=True)
        ]

    def post(self, entry: Entry) -> Post:
        """What the file behind an entry says."""
        return self.read(self.open(entry)[0], entry.path)

    async def close(self) -> None:
        """Let go of the index, once no thread is at work on it."""
        under_way = {each for each in (self._following, self._looking) if each is not None}
        if under_way:
            await asyncio.wait(under_way)
        await asyncio.to_thread(self.index.close)

    def look(self) -> Version:
        """The same as :meth:`refresh`, for callers that may block."""
        head = self._head()
        if self._may_have_other_settings(head):
            self._look_at_settings(head)
        version = self.index.refresh(self._fingerprint)
        assert version is not None  # noqa: S101 - a branch does not lose its last commit
        return version

    def _head(self) -> Version:
        head = self._store.head()
        if head is None:
            raise Unavailable("The site's branch has no commit yet: commit its Pelican settings.")
        return head

    def _may_have_other_settings(self, head: Version) -> bool:
        known = self.index.version
        if known is None or not self._fingerprint:
            return True
        posts = f"{self.folder}/"
        return any(not each.path.startswith(posts) for each in self._store.diff(known, head))

    def _look_at_settings(self, head: Version) -> None:
        """Load the site anew if a file has changed that it may rest on; never a broken one."""
        with self._one_at_a_time:
            if not self._surroundings.bring_to(head) and self._fingerprint:
                return
            try:
                self._load_site()
            except SettingsError as error:
                if not self._fingerprint:
                    raise Unavailable(str(error)) from error
                log.error("the site's settings of before stay in use: %s", error)  # noqa: TRY400 - no trace

    def _load_site(self) -> None:
        """Read the site's settings: some file that they may rest on has changed."""
        folder = self._surroundings.folder
        me = self._settings.site.me
        media = self._settings.media.folder
        uploads = f"{self.folder}/{media}"
        file = folder / self._settings.site.settings
        site = Site.load(file, root=folder, siteurl=me, uploads=uploads)
        self.rules = SiteRules(
            site=site,
            media=MediaUrls(media, (f"{self._public_url}media/", f"{site.siteurl}/{media}/")),
            path=self._path,
            html=self._settings.content.html,
            categories={**DEFAULT_CATEGORIES, **self._settings.content.categories},
        )
        known = json.dumps(
            [__version__, site.siteurl, uploads, site.settings], default=repr, sort_keys=True
        )
        known = _ADDRESS.sub("", known)
        self._fingerprint = hashlib.sha256(known.encode()).hexdigest()

    def listings(self, file: PelicanFile, place: Location) -> tuple[Listing, ...]:
        """The lists that a post is on and whose file another list may want."""
        if place.status != "published":
            return ()
        site, rules = self.rules.site, self.rules
        author = str(site.settings.get("AUTHOR") or "")
        names = {
            "category": [place.category],
            "author": keys.AUTHOR.decode(file, rules).get("author") or [author],
            "tag": keys.TAGS.decode(file, rules).get("category") or [],
        }
        contested = site.listings.contested
        return tuple(found for sort in names for found in contested(sort, map(str, names[sort])))

    def describe(self, path: str, blob: BlobId, data: bytes) -> Entry | Page | None:
        """What the index keeps of a file; ``None`` for what is neither a post nor a page."""
        site = self.rules.site
        try:
            if site.is_page(path):
                return Page(path, site.locate_page(data.decode("utf-8", "replace"), path).save_as)
            file = _parsed(data, path)
            place = site.quick_locate(file, path) or site.locate(file.text(), path)
        except BridgeError as error:
            log.debug("%s is no post: %s", path, error)
            return None
        post = self.read(file, path)
        return Entry(
            path=path,
            blob=blob,
            url=place.url,
            save_as=place.save_as,
            status=place.status,
            type=discover(post),
            published=(place.date or _LONG_AGO).timestamp(),
            channel=place.category,
            categories=tuple(str(each) for each in post.all("category")),
            aliases=tuple(site.absolute(_address(each)) for each in Mf2Line.of(file).aliases),
            listings=self.listings(file, place),
            text=f"{file.get('Title')}\n{file.body[:_TEXT_LENGTH]}".casefold(),
        )


def _retrieved(looking: asyncio.Future[Version]) -> None:
    """Every request that waits for a look may have been cancelled: then its error is no one's."""
    if not looking.cancelled():
        looking.exception()


def _parsed(data: bytes, path: str) -> PelicanFile:
    return PelicanFile.parse(data.decode("utf-8", errors="replace"), path)


def _address(save_as: str) -> str:
    """The URL path of a page in the output folder."""
    return save_as.removesuffix("index.html")
