"""The media library: stores uploads, finds them, and adds them to commits.

An upload is on disk before it is answered, and served at once. It is committed with the post that
uses it (``pending``), or by itself if no post does (``orphans``). Pages link to the site's own
copy; the bridge serves the file until that is live.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.errors import InvalidRequest, PayloadTooLarge
from bridge.media.file_store import Committed, FileStore
from bridge.media.formats.picture import PhotoRules
from bridge.media.formats.sniff import sniff
from bridge.media.names import UploadUrls
from bridge.media.spool import Spool
from bridge.media.stored_file import Incoming, MediaFile, OpenUpload
from bridge.media.worker import Cleaner
from bridge.settings import Settings
from bridge.store import Change, ContentStore


class MediaLibrary:
    """All uploads, pending and committed.

    A ``path`` is relative to the content folder (``media/2026/11/sea.jpg``), a ``url`` is the
    file's URL at the bridge (``https://bridge.example/media/2026/11/sea.jpg``). Errors of the store
    (:class:`bridge.store.StoreError`) propagate.
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
        """``spool`` is the folder for pending files, ``cache`` the one for committed files
        that were served; it defaults to a folder in the spool.
        """
        folder = settings.media.folder.strip("/")
        content = settings.content.folder.strip("/")
        root = f"{content}/" if content not in {"", "."} else ""
        rules = PhotoRules(
            keep_exif=settings.media.keep_exif,
            max_pixels=settings.media.max_pixels,
            max_side=settings.media.max_side,
            sizes=settings.media.sizes,
        )
        self._cleaner = cleaner or Cleaner(rules)
        self._addresses = UploadUrls(folder, public_url)
        waiting = Spool(spool, cache or spool / "cache")
        self._file_store = FileStore(waiting, Committed(store, root, folder), folder)
        self._max_bytes = settings.media.max_bytes
        self._now = now

    async def start(self) -> None:
        """Load what the previous run left. Await this before anything else."""
        await asyncio.to_thread(self._file_store.start)

    async def accept(self, data: bytes, filename: str, *, alt: str = "") -> MediaFile:
        """Store an upload; on disk and served when this returns.

        If the same bytes exist, that file is returned, as the newest upload. Raises InvalidRequest,
        UnsupportedMediaType, PayloadTooLarge, InsufficientStorage, Unavailable.
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
        """The changes that commit the pending ones of the files that a post uses.

        ``uses`` are URLs or paths; others than this library's are ignored.
        """
        paths = [path for use in uses if (path := self._path(use)) is not None]
        return await asyncio.to_thread(self._file_store.pending, paths) if paths else ()

    async def committed(self, changes: Iterable[Change]) -> None:
        """Called after these changes were committed: removes their files from the spool."""
        if paths := self._file_store.media_among(changes):
            await asyncio.to_thread(self._file_store.settle, paths)

    async def orphans(self, older_than: timedelta) -> tuple[MediaFile, ...]:
        """Pending uploads that no post has used for this long; each gets a commit of its own."""
        return await asyncio.to_thread(self._file_store.orphans, self._now() - older_than)

    async def open(self, tail: str) -> OpenUpload | None:
        """Open the file served at ``/media/`` + ``tail``, which may be any string; or ``None``."""
        path = self._addresses.path_at(tail)
        return None if path is None else await asyncio.to_thread(self._file_store.open, path)

    async def list(self, limit: int | None = None, offset: int = 0) -> builtins.list[MediaFile]:
        """All files, newest first, without scaled copies."""
        files = await asyncio.to_thread(self._file_store.all)
        return files[offset:] if limit is None else files[offset : offset + limit]

    async def last(self) -> MediaFile | None:
        """The newest file, or ``None``."""
        return next(iter(await self.list(1)), None)

    async def find(self, url: str) -> MediaFile | None:
        """The file with this URL; ``None`` where it is not one of this library's."""
        path = self._path(url)
        return None if path is None else await asyncio.to_thread(self._file_store.find, path)

    async def describe(self, file: MediaFile, alt: str) -> MediaFile:
        """Set a file's alternative text; an empty one changes nothing."""
        return await asyncio.to_thread(self._file_store.describe, file, alt)

    async def delete(self, url: str) -> tuple[Change, ...]:
        """Delete a file; returns the changes to commit, ``()`` if it was only pending.

        Raises InvalidRequest for a URL that is not of this library.
        """
        path = self._addresses.path_of(url)
        changes = None if path is None else await asyncio.to_thread(self._file_store.delete, path)
        if changes is None:
            raise InvalidRequest(f"{url!r} is not a file of this media endpoint.")
        return changes

    def url_of(self, file: MediaFile | str) -> str:
        """The URL of a file, or of a path, at the bridge."""
        return self._addresses.url_of(file if isinstance(file, str) else file.path)

    def path_of(self, url: str) -> str | None:
        """The path for a URL of the bridge; ``None`` for any other URL. The file need not exist."""
        return self._addresses.path_of(url)

    def _path(self, use: str) -> str | None:
        return use if self._addresses.is_media(use) else self._addresses.path_of(use)
