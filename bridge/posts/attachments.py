"""A post's uploads: stored when they arrive, and committed with the post that uses them.

Uploads that no post ever uses get a commit of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from msgspec.structs import replace

from bridge.errors import BridgeError
from bridge.media.formats.sniff import sniff
from bridge.media.library import MediaLibrary
from bridge.micropub.action import Update, Upload
from bridge.micropub.embedded import put_back, refuse_unreadable
from bridge.micropub.post import Json, Post, Properties
from bridge.posts.commits import commit_message
from bridge.store import Change, StoreError

log = logging.getLogger(__name__)

_PROPERTIES = {"image": "photo", "video": "video", "audio": "audio"}
#: How long a file may wait for the post that it was uploaded for.
PATIENCE = timedelta(minutes=10)
_EVERY = 60.0


async def store_uploads(library: MediaLibrary, post: Post, uploads: Sequence[Upload]) -> Post:
    """Store the uploads and return the post with their URLs among its properties, in the order
    of the request, and within its texts.

    Raises UnsupportedMediaType before any file is stored.
    """
    _check(uploads)
    properties: dict[str, list[Json]] = {}
    urls = await _store_embedded(library, uploads)
    separate = (each for each in uploads if not each.placeholder)
    for upload in sorted(separate, key=lambda each: each.index):
        file = await library.accept(upload.data, upload.filename, alt=upload.alt)
        url = library.url_of(file)
        # The property of a file that was sent as ``file`` follows from its contents.
        family = file.type.partition("/")[0]
        name = _PROPERTIES.get(family, "file") if upload.property == "file" else upload.property
        values = properties.setdefault(name, list(post.all(name)))
        values.insert(upload.index, {"value": url, "alt": upload.alt} if upload.alt else url)
    stored = {name: tuple(values) for name, values in properties.items()}
    return post.with_properties({**_with_urls(post.properties, urls), **stored})


async def store_embedded(library: MediaLibrary, update: Update) -> Update:
    """Store the pictures within the texts of an update, and return it with their URLs.

    Raises as :func:`store_uploads`.
    """
    _check(update.uploads)
    return _with_pictures(update, await _store_embedded(library, update.uploads), ())


def without_known(update: Update, text: str) -> Update:
    """The update with the pictures as sent that are in the post's file already, whose ``text`` is
    given: its owner put them there, whatever they are."""
    new = tuple(each for each in update.uploads if each.source not in text)
    known = {each.placeholder: each.source for each in update.uploads if each not in new}
    return _with_pictures(update, known, new) if known else update


def _with_pictures(update: Update, urls: dict[str, str], uploads: tuple[Upload, ...]) -> Update:
    return replace(
        update,
        replace=_with_urls(update.replace, urls),
        add=_with_urls(update.add, urls),
        uploads=uploads,
    )


def _check(uploads: Sequence[Upload]) -> None:
    refuse_unreadable(uploads)
    for upload in uploads:
        sniff(upload.data)


async def _store_embedded(library: MediaLibrary, uploads: Sequence[Upload]) -> dict[str, str]:
    """The URL of each picture within a text, by its placeholder."""
    return {
        each.placeholder: library.url_of(await library.accept(each.data, each.filename))
        for each in uploads
        if each.placeholder
    }


def _with_urls(properties: Properties, urls: dict[str, str]) -> Properties:
    if not urls:
        return properties
    return {
        name: tuple(put_back(value, urls) for value in values)
        for name, values in properties.items()
    }


class MediaCommitter(Protocol):
    """Commits media that no post uses."""

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        """Make one commit of these changes; when this returns, it is on disk.

        ``message`` is the whole commit message. Raises :class:`bridge.errors.BridgeError`.
        """
        ...


class Orphans:
    """Commits uploads that have been waiting for a post for too long."""

    def __init__(self, library: MediaLibrary, committer: MediaCommitter) -> None:
        self._library = library
        self._committer = committer

    async def run(self) -> None:
        """Check for such uploads periodically, until cancelled."""
        while True:
            try:
                await self.commit(PATIENCE)
            except (BridgeError, StoreError, OSError) as error:
                log.warning("unused uploads could not be checked: %s", error)
            await asyncio.sleep(_EVERY)

    async def commit(self, older_than: timedelta) -> None:
        """Commit each upload that is older than this, one by one. One that fails is tried again
        later.
        """
        for file in await self._library.orphans(older_than):
            changes = await self._library.pending([file.path])
            url = self._library.url_of(file)
            message = commit_message("upload", f"Add {file.path}", url=url, client_id=None)
            try:
                if changes:
                    await self._committer.commit_media(changes, message)
            except (BridgeError, StoreError) as error:
                log.warning("%s could not be committed: %s", file.path, error)
