"""What the networks need from the bridge: live pages, photos, link cards, and stored secrets."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from bridge.context.fetcher import read_cite
from bridge.indieauth.database import Database
from bridge.media.library import MediaLibrary
from bridge.net.fetch import FetchError, GuardedFetch
from bridge.posts.post_files import PostReader
from bridge.rebuild import Rebuilder
from bridge.runtime import private
from bridge.site.messages import IndexedPost
from bridge.store import ContentStore
from bridge.syndication.bluesky.session import Sessions
from bridge.syndication.compose.composer import Card
from bridge.syndication.compose.post_page import PostPage
from bridge.syndication.jobs.ledger import Job
from bridge.syndication.networks import CopyRefused

log = logging.getLogger(__name__)

_PAGE_BYTES = 4 * 1024 * 1024
_PHOTO_BYTES = 60 * 1024 * 1024
_PAGE_SECONDS = 10.0
_BUILD_SECONDS = 20.0
_DESCRIPTION = 300


class PostPages:
    """Fetches posts' pages.

    Where the site's host is this machine, which may not be able to reach its own public address,
    the built file is read instead.
    """

    def __init__(self, store: ContentStore, rebuilder: Rebuilder, fetch: GuardedFetch) -> None:
        self._store = store
        self._rebuilder = rebuilder
        self._fetch = fetch

    async def page(self, entry: IndexedPost, stamps: Sequence[datetime]) -> PostPage | None:
        """The parsed page of a post; ``None`` while this version of the post is not live.

        ``stamps`` are the times that the page must show to be this version.
        """
        built = await self._built(entry)
        try:
            found = await self._fetch.fetch(
                entry.url,
                max_bytes=_PAGE_BYTES,
                timeout=_PAGE_SECONDS,
                headers={"Cache-Control": "no-cache"},
            )
        except FetchError as error:
            log.info("%s cannot be fetched: %s", entry.url, error)
            body = built
        else:
            body = found.body if found.status == 200 else None
        if body is None:
            return None
        page = await asyncio.to_thread(_read_page, body, entry.url)
        if page is None:
            # The theme has no microformats: the page is live, but its text is not marked up.
            return PostPage() if built is not None or not self._rebuilder.is_local else None
        wanted = {each.astimezone(UTC).replace(microsecond=0) for each in stamps}
        known = {each.astimezone(UTC).replace(microsecond=0) for each in page.stamps}
        if not known or wanted <= known or body == built:
            return page
        if built is None or len(known) > 1:
            return None
        # A theme need not show when a post was updated, so the built file is used instead.
        return await asyncio.to_thread(_read_page, built, entry.url)

    async def _built(self, entry: IndexedPost) -> bytes | None:
        """The page's output file, once the newest commit is built."""
        head = self._store.head()
        if head is None or not await self._rebuilder.live(head, entry.save_as, _BUILD_SECONDS):
            return None
        if (output := self._rebuilder.output) is None:
            return None
        with suppress(OSError):
            return await asyncio.to_thread((output / entry.save_as).read_bytes)
        return None


def _read_page(html: bytes, url: str) -> PostPage | None:
    """See :mod:`bridge.syndication.compose.page`; imported when first needed."""
    from bridge.syndication.compose.page import read_page  # noqa: PLC0415 - takes a while

    return read_page(html, url)


class BridgeEnvironment:
    """:class:`~bridge.syndication.networks.Environment` of a running bridge."""

    def __init__(
        self,
        posts: PostReader,
        media: MediaLibrary,
        fetch: GuardedFetch,
        save: Callable[[Job], None],
        is_taken: Callable[[str], bool],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._posts = posts
        self._media = media
        self._fetch = fetch
        self.save = save
        self.is_taken = is_taken
        self.now = now

    async def picture(self, url: str) -> bytes:
        """The bytes of a photo: read from the site's files, or fetched from another site.

        Raises :class:`CopyRefused` if they cannot be had or are too many.
        """
        if tail := self._posts.media.path_of(url):
            opened = await self._media.open(tail)
            if opened is not None:
                with opened.file as file:
                    data = await asyncio.to_thread(file.read, _PHOTO_BYTES + 1)
                if len(data) > _PHOTO_BYTES:
                    raise CopyRefused(f"the photo {url} is larger than {_PHOTO_BYTES:,} bytes")
                return data
        try:
            found = await self._fetch.fetch(
                url, max_bytes=_PHOTO_BYTES, timeout=30.0, accept="image/*"
            )
        except FetchError as error:
            raise CopyRefused(f"the photo {url} cannot be fetched: {error}") from error
        if found.status != 200:
            raise CopyRefused(
                f"the photo {url} cannot be fetched: its server answered {found.status}"
            )
        return found.body

    async def card(self, card: Card) -> Card:
        """The card completed from the linked page's metadata, where it can be fetched."""
        if card.own:
            return card
        name, content = "", ""
        with suppress(FetchError):
            page = await self._fetch.fetch(card.url, max_bytes=_PAGE_BYTES // 4, cut=True)
            cite = await read_cite(page) if page.status == 200 else None
            properties = (cite or {}).get("properties", {})
            name = _first(properties.get("name"))
            content = _first(properties.get("content"))
        return replace(
            card, title=name or card.title or card.url, description=content[:_DESCRIPTION]
        )


def _first(values: object) -> str:
    value = values[0] if isinstance(values, list) and values else ""
    if isinstance(value, dict):
        value = value.get("value", "")
    return value if isinstance(value, str) else ""


class Vault(Protocol):
    """Stores secrets of accounts, each under a target's uid and a name."""

    def get(self, uid: str, name: str) -> str:
        """The stored value, or ``""``."""
        ...

    def put(self, uid: str, name: str, value: str) -> None:
        """Store a value; ``""`` deletes it."""
        ...


class DatabaseVault:
    """Stores secrets in the built-in server's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, uid: str, name: str) -> str:
        """See :class:`Vault`."""
        row = self._database.one(
            "SELECT value FROM syndication WHERE uid = ? AND name = ?", uid, name
        )
        return "" if row is None else str(row["value"])

    def put(self, uid: str, name: str, value: str) -> None:
        """See :class:`Vault`."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM syndication WHERE uid = ? AND name = ?", (uid, name))
            if value:
                row = (uid, name, value)
                connection.execute("INSERT INTO syndication VALUES (?, ?, ?)", row)


class FileVault:
    """Stores secrets in a file with mode 0600, where there is no built-in server."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, uid: str, name: str) -> str:
        """See :class:`Vault`."""
        found = self._load().get(f"{name} {uid}")
        return found if isinstance(found, str) else ""

    def put(self, uid: str, name: str, value: str) -> None:
        """See :class:`Vault`."""
        kept = self._load()
        kept.pop(f"{name} {uid}", None)
        if value:
            kept[f"{name} {uid}"] = value
        half = self._file.with_name(f".{self._file.name}")
        private.write(half, json.dumps(kept))
        half.replace(self._file)

    def _load(self) -> dict[str, object]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


class VaultSessions(Sessions):
    """Stores a target's Bluesky session in the vault."""

    def __init__(self, vault: Vault, uid: str) -> None:
        self._vault = vault
        self._uid = uid

    def load(self) -> dict[str, str]:
        """See :class:`~bridge.syndication.bluesky.session.Sessions`."""
        try:
            found = json.loads(self._vault.get(self._uid, "session") or "{}")
        except ValueError:
            return {}
        return {str(key): str(value) for key, value in found.items()} if found else {}

    def save(self, session: Mapping[str, str]) -> None:
        """See :class:`~bridge.syndication.bluesky.session.Sessions`."""
        self._vault.put(self._uid, "session", json.dumps(dict(session)))
