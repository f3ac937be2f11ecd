"""The media library: stores uploads, finds them, and hands them to a commit.

An upload is on disk before it is answered, and served at once. It becomes part of the site with
the commit of the post that uses it (``pending``), or with a commit of its own if no post comes
(``orphans``). Pages show the site's own copy; the bridge's is there for the time until then.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.errors import InvalidRequest, PayloadTooLarge
from bridge.media.file_store import Committed, FileStore, Incoming, OpenFile
from bridge.media.formats.picture import Rules
from bridge.media.formats.sniff import sniff
from bridge.media.spool import Spool
from bridge.media.stored_file import MediaFile
from bridge.media.urls import Addresses
from bridge.media.worker import Cleaner
from bridge.settings import Settings
from bridge.store import Change, ContentStore


class MediaLibrary:
    """Every upload, waiting or committed.

    A ``path`` is relative to the content folder (``media/2026/11/sea.jpg``), a ``url`` is where
    the bridge serves it (``https://bridge.example/media/2026/11/sea.jpg``). What the store raises
    (:class:`bridge.store.StoreError`) goes through.
    """

    def __init__(
        self,
        store: ContentStore,
        spool: Path,
        settings: Settings,
        *,
        public_url: str,
        cache: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        cleaner: Cleaner | None = None,
    ) -> None:
        """``spool`` is the folder of what is not committed yet; ``cache``, by default inside of
        it, that of committed files as they are served."""
        folder = settings.media.folder.strip("/")
        content = settings.content.folder.strip("/")
        root = f"{content}/" if content not in {"", "."} else ""
        rules = Rules(
            keep_exif=settings.media.keep_exif,
            max_pixels=settings.media.max_pixels,
            max_side=settings.media.max_side,
            sizes=settings.media.sizes,
        )
        self._cleaner = cleaner or Cleaner(rules)
        self._addresses = Addresses(folder, public_url)
        waiting = Spool(spool, cache or spool / "cache")
        self._file_store = FileStore(waiting, Committed(store, root, folder), folder)
        self._max_bytes = settings.media.max_bytes
        self._now = now

    async def start(self) -> None:
        """Pick up what the last run left. To be awaited before anything else."""
        await asyncio.to_thread(self._file_store.start)

    async def accept(self, data: bytes, filename: str, *, alt: str = "") -> MediaFile:
        """Take an upload; when this returns it is safe on disk and served.

        The same bytes again give the file that is there already, as the last upload. Raises
        InvalidRequest, UnsupportedMediaType, PayloadTooLarge, InsufficientStorage, Unavailable.
        """
        if len(data) > self._max_bytes:
            raise PayloadTooLarge(
                f"The file is larger than {self._max_bytes:,} bytes ([media] max_bytes)."
            )
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        file = await asyncio.to_thread(self._file_store.same_upload, digest, self._now())
        if file is None:
            kind = sniff(data)
            clean = await self._cleaner.clean(data, kind)
            size = (clean.width or None, clean.height or None)
            incoming = Incoming(filename, alt, digest, kind, clean.data, *size, clean.copies)
            file = await asyncio.to_thread(self._file_store.place, incoming, self._now())
        return await asyncio.to_thread(self._file_store.describe, file, alt)

    async def pending(self, uses: Iterable[str]) -> tuple[Change, ...]:
        """What of the files that a post uses is not committed yet, to go into the post's commit.

        ``uses`` are URLs or paths; what is not a file of this library is passed over.
        """
        paths = [path for use in uses if (path := self._path(use)) is not None]
        return await asyncio.to_thread(self._file_store.pending, paths) if paths else ()

    async def committed(self, changes: Iterable[Change]) -> None:
        """Say that these changes are in the store now; their files need not wait any more."""
        if paths := self._file_store.media_among(changes):
            await asyncio.to_thread(self._file_store.settle, paths)

    async def orphans(self, older_than: timedelta) -> tuple[MediaFile, ...]:
        """Uploads that no post came for, each to get a commit of its own (see ``pending``)."""
        return await asyncio.to_thread(self._file_store.orphans, self._now() - older_than)

    async def open(self, tail: str) -> OpenFile | None:
        """What is served at ``/media/`` + ``tail`` (any string of a stranger's), if anything."""
        path = self._addresses.path_at(tail)
        return None if path is None else await asyncio.to_thread(self._file_store.open, path)

    async def list(self, limit: int | None = None, offset: int = 0) -> builtins.list[MediaFile]:
        """Every file, the newest first; scaled copies are not listed."""
        files = await asyncio.to_thread(self._file_store.all)
        return files[offset:] if limit is None else files[offset : offset + limit]

    async def last(self) -> MediaFile | None:
        """The newest file."""
        return next(iter(await self.list(1)), None)

    async def find(self, url: str) -> MediaFile | None:
        """The file behind a URL; ``None`` where it is not one of this library's."""
        path = self._path(url)
        return None if path is None else await asyncio.to_thread(self._file_store.find, path)

    async def describe(self, file: MediaFile, alt: str) -> MediaFile:
        """Keep another alternative text for a file; an empty one leaves it as it is."""
        return await asyncio.to_thread(self._file_store.describe, file, alt)

    async def delete(self, url: str) -> tuple[Change, ...]:
        """Take a file away: the changes to commit, none where it only waited.

        Raises InvalidRequest for a URL that is not that of a file of this library.
        """
        path = self._addresses.path_of(url)
        changes = None if path is None else await asyncio.to_thread(self._file_store.delete, path)
        if changes is None:
            raise InvalidRequest(f"{url!r} is not a file of this media endpoint.")
        return changes

    def url_of(self, file: MediaFile | str) -> str:
        """Where the bridge serves a file (or a path)."""
        return self._addresses.url_of(file if isinstance(file, str) else file.path)

    def path_of(self, url: str) -> str | None:
        """The reverse of :meth:`url_of`; ``None`` for any other URL. Nothing is looked up."""
        return self._addresses.path_of(url)

    def _path(self, use: str) -> str | None:
        return use if self._addresses.is_media(use) else self._addresses.path_of(use)
