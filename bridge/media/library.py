"""The media library: stores uploads, finds them, and adds them to commits.

An upload is on disk before it is answered, and served at once. It is committed with the post that
uses it (``pending``), or by itself if no post does (``orphans``). Pages link to the site's own
copy; the bridge serves the file until that is live.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from bridge.errors import Conflict, InvalidRequest, PayloadTooLarge
from bridge.media.formats.picture import PhotoRules
from bridge.media.formats.sniff import sniff
from bridge.media.names import (
    MEDIA,
    MOST_ALIKE,
    UploadUrls,
    candidates,
    is_face,
    is_scaled,
    is_source,
    scaled,
)
from bridge.media.spool import Spool
from bridge.media.stored_file import (
    Incoming,
    MediaFile,
    OpenUpload,
    blob_id,
    from_path,
    opened,
    recovered,
)
from bridge.media.worker import Cleaner
from bridge.settings import Settings
from bridge.store import BlobId, Change, ContentStore, StoreBroken, Version


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

    async def refuse_missing(
        self, properties: Mapping[str, object], before: Mapping[str, object] | None = None
    ) -> None:
        """Raise :class:`InvalidRequest` if a property of a post, or its text, has the URL of a
        file that is not there; not for one that it had ``before``.
        """
        known = set(self._uploads_in(before or {}))
        for url in dict.fromkeys(self._uploads_in(properties)):
            if url not in known and await self.find(url) is None:
                raise InvalidRequest(
                    f"There is no upload at {url[:200]}: upload the file first, and send the URL"
                    " that the media endpoint answers."
                )

    def _uploads_in(self, properties: Mapping[str, object]) -> Iterator[str]:
        """The URLs of this library's in some properties."""
        for name, value in properties.items():
            for text in _texts(value):
                if MEDIA in text:
                    in_text = name == "content"
                    urls = self._addresses.in_text(text) if in_text else (text,)
                    yield from (url for url in urls if self.path_of(url) is not None)

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


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


class FileStore:
    """Files by path (``media/2026/11/sea.jpg``), whether pending or committed. Methods block."""

    def __init__(self, spool: Spool, committed: Committed, folder: str) -> None:
        self._spool = spool
        self._committed = committed
        self._folder = folder
        self._known: dict[str, MediaFile] = {}
        self._lock = threading.RLock()

    def start(self) -> None:
        """Load what the previous run left; remove files committed since then from the spool."""
        with self._lock:
            self._known = self._spool.start()
            waiting = self._spool.paths()
            for path in waiting:
                if path not in self._known and not is_scaled(path):
                    data, stored = self._spool.read(path), self._spool.modified(path)
                    self._known[path] = recovered(path, data, stored, waiting)
            self.settle(waiting)

    def same_upload(self, digest: str, now: datetime) -> MediaFile | None:
        """The existing file of an earlier upload of the same bytes, with ``now`` as its
        upload time; or ``None``.
        """
        with self._lock:
            same = (file for file in self._known.values() if file.digest == digest)
            found = next((file for file in same if self._is_there(file)), None)
            return None if found is None else self._renewed(found, now)

    def place(self, incoming: Incoming, now: datetime) -> MediaFile:
        """Store a file under a free path, or return the existing file with the same bytes."""
        with self._lock:
            same = self._same_bytes(incoming.data)
            if same is None:
                return self._added(incoming, now)
            # A file that was committed by hand had no record of its original.
            known = replace(same, digest=same.digest or incoming.digest)
            return self._renewed(replace(known, blob=blob_id(incoming.data)), now)

    def _renewed(self, file: MediaFile, now: datetime) -> MediaFile:
        """Record the same upload again: it becomes the newest, and a pending file waits from now
        on."""
        return self._record(replace(file, published=now))

    def describe(self, file: MediaFile, alt: str) -> MediaFile:
        """Set a file's alternative text, if ``alt`` is not empty and different."""
        if not alt or alt == file.alt:
            return file
        with self._lock:
            return self._record(replace(file, alt=alt))

    def _record(self, file: MediaFile) -> MediaFile:
        self._spool.remember(file)
        self._known[file.path] = file
        return file

    def pending(self, paths: Iterable[str]) -> tuple[Change, ...]:
        """The changes that commit the pending ones of these files, with their scaled copies."""
        with self._lock:
            parts = [
                part for path in paths if (file := self._known.get(path)) for part in file.paths
            ]
            return tuple(
                Change(self._committed.in_repo(path), self._spool.read(path), expected=None)
                for path in dict.fromkeys(parts)
                if self._spool.has(path) and not self._is_committed(path)
            )

    def media_among(self, changes: Iterable[Change]) -> list[str]:
        """The paths of those changed files that are media."""
        paths = (self._committed.from_repo(change.path) for change in changes)
        return [path for path in paths if path is not None]

    def settle(self, paths: Iterable[str]) -> None:
        """Remove those of these files from the spool that are committed now."""
        with self._lock:
            for path in paths:
                if self._spool.has(path) and self._is_committed(path):
                    self._name_blob(path, self._committed.blobs()[path])
                    self._spool.remove(path)

    def orphans(self, before: datetime) -> tuple[MediaFile, ...]:
        """The files that have been pending since before ``before``."""
        with self._lock:
            waiting = (self._known.get(path) for path in self._spool.paths())
            return tuple(file for file in waiting if file and file.published <= before)

    def open(self, path: str) -> OpenUpload | None:
        """Open a file; ``None`` where there is none."""
        with self._lock:
            known = self._known.get(path)
            waiting = self._spool.open(path)
            if waiting is not None:
                return opened(waiting, known.blob if known else None)
            blob = self._committed.blobs().get(path)
        if blob is None:
            return None
        cached = self._spool.open_cached(blob)
        if cached is None:
            data = self._committed.read(path)
            cached = None if data is None else self._spool.cache(blob, data)
        return None if cached is None else opened(cached, blob)

    def all(self) -> list[MediaFile]:
        """Every file, newest first, without scaled copies and author pictures of mentions."""
        with self._lock:
            paths = {*self._spool.paths(), *self._committed.blobs()}
            shown = (path for path in paths if not (is_scaled(path) or is_face(path)))
            files = [self._described(path) for path in shown]
        return sorted(files, key=lambda file: (file.published, file.path), reverse=True)

    def find(self, path: str) -> MediaFile | None:
        """The file at a path, or ``None``."""
        with self._lock:
            return self._described(path) if self._exists(path) else None

    def delete(self, path: str) -> tuple[Change, ...] | None:
        """Delete a pending file, or return the changes that delete a committed one.

        ``None`` where there is no such file.
        """
        with self._lock:
            file = self.find(path)
            if file is None or is_scaled(path):
                return None
            blobs = self._committed.blobs()
            for part in file.paths:
                self._spool.remove(part)
            return tuple(
                Change(self._committed.in_repo(part), None, expected=blobs[part])
                for part in file.paths
                if part in blobs
            )

    def _exists(self, path: str) -> bool:
        return self._spool.has(path) or path in self._committed.blobs()

    def _is_there(self, file: MediaFile) -> bool:
        """Whether the file's bytes are still those that were uploaded."""
        path = file.path
        return self._spool.has(path) or self._committed.blobs().get(path) == file.blob

    def _is_committed(self, path: str) -> bool:
        """Whether the newest commit has the same bytes as the pending file."""
        is_there = path in self._committed.blobs()
        return is_there and self._committed.read(path) == self._spool.read(path)

    def _name_blob(self, path: str, blob: str) -> None:
        """Record the store's blob id of a file; in a SHA-256 repo it differs from the
        computed one.
        """
        known = self._known.get(path)
        if known is not None and known.blob != blob:
            self._record(replace(known, blob=blob))

    def _same_bytes(self, data: bytes) -> MediaFile | None:
        blob = blob_id(data)
        same = (file for file in self._known.values() if file.blob == blob)
        known = next((file for file in same if self._is_there(file)), None)
        path = self._committed.path_of(blob)
        return known or (None if path is None else self._described(path))

    def _added(self, incoming: Incoming, now: datetime) -> MediaFile:
        names = candidates(
            self._folder, incoming.filename, incoming.digest, incoming.kind.extension, now
        )
        # The name of a deleted file is not used again, since browsers may have it cached.
        free = (name for name in names if name not in self._known and not self._exists(name))
        path = next(free, None)
        if path is None:
            raise Conflict(
                f"{MOST_ALIKE:,} files with this name and content were uploaded this month:"
                " upload it under another name."
            )
        file = MediaFile(
            path=path,
            type=incoming.kind.type,
            published=now,
            size=len(incoming.data),
            digest=incoming.digest,
            blob=blob_id(incoming.data),
            width=incoming.width,
            height=incoming.height,
            alt=incoming.alt,
            copies=tuple(width for width, _ in incoming.copies),
        )
        copies = {scaled(path, width): data for width, data in incoming.copies}
        self._spool.add(file, {path: incoming.data, **copies})
        self._known[path] = file
        return file

    def _described(self, path: str) -> MediaFile:
        """The record of an existing file, or else one derived from its path."""
        known = self._known.get(path)
        if known is None:
            return from_path(path)
        blob = self._committed.blobs().get(path, known.blob)
        # If the owner has replaced the bytes, the record no longer applies.
        return known if blob == known.blob else replace(from_path(path), blob=blob)


class Committed:
    """The committed media files, updated whenever the branch has moved.

    Sources of posts in the media folder are not included: they may be drafts, which must not be
    served, and they are not deleted like media files.

    The methods block and are called under the library's lock. Paths are relative to the content
    folder, as everywhere in this package. Errors of the store propagate.
    """

    def __init__(self, store: ContentStore, root: str, folder: str) -> None:
        self._store = store
        self._root = root
        self._folder = folder
        self._version: Version | None = None
        self._blobs: dict[str, BlobId] = {}
        self._paths: dict[BlobId, str] = {}

    def blobs(self) -> dict[str, BlobId]:
        """The blob id of every committed file, by path. Read-only."""
        version = self._store.head()
        if version != self._version:
            if version is None:
                self._blobs.clear()
            elif self._version is None or not self._followed(self._version, version):
                self._blobs = self._listed(version)
            self._paths = {blob: path for path, blob in self._blobs.items() if not is_scaled(path)}
            self._version = version
        return self._blobs

    def path_of(self, blob: str) -> str | None:
        """The path under which these bytes are committed, or ``None``."""
        self.blobs()
        return self._paths.get(BlobId(blob))

    def read(self, path: str) -> bytes | None:
        """The bytes of a committed file, or ``None``."""
        version = self._store.head()
        blob = None if version is None else self._store.read(self.in_repo(path), version)
        return None if blob is None else blob.data

    def in_repo(self, path: str) -> str:
        """A path relative to the repo."""
        return f"{self._root}{path}"

    def from_repo(self, path: str) -> str | None:
        """A repo path relative to the content folder; ``None`` for a file that is not media, or
        that has no URL since its name is not UTF-8.
        """
        try:
            path.encode()
        except UnicodeEncodeError:
            return None
        inside = path.startswith(f"{self._root}{self._folder}/")
        return path.removeprefix(self._root) if inside and not is_source(path) else None

    def _listed(self, version: Version) -> dict[str, BlobId]:
        files = self._store.files(self.in_repo(self._folder), version)
        found = ((self.from_repo(path), blob) for path, blob in files)
        return {path: blob for path, blob in found if path is not None}

    def _followed(self, old: Version, new: Version) -> bool:
        """Apply the changes since a commit; false where that commit is no longer in the repo."""
        try:
            differences = self._store.diff(old, new)
        except StoreBroken:
            return False
        for each in differences:
            path = self.from_repo(each.path)
            if path is not None and each.new is not None:
                self._blobs[path] = each.new
            elif path is not None:
                self._blobs.pop(path, None)
        return True
