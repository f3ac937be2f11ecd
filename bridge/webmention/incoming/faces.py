"""Thumbnails of the author pictures of mentions, stored in the site, so that readers' browsers load
nothing from other hosts.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from datetime import UTC, datetime, timedelta

from bridge.errors import BridgeError
from bridge.media.formats.picture import PhotoRules
from bridge.media.formats.sniff import sniff
from bridge.media.names import undated
from bridge.media.worker import Cleaner
from bridge.net.fetch import FetchError, GuardedFetch
from bridge.store import Change
from bridge.webmention.files import MentionFiles
from bridge.webmention.mention import Mention

log = logging.getLogger(__name__)

#: The folder of the thumbnails, inside the media folder.
FOLDER = "faces"
_SIDE = 96
_BYTES = 2 * 1024 * 1024
_SECONDS = 10.0
_RENEWED = timedelta(days=30)
_AT_ONCE = 2
_PIXELS = 16_000_000


class Faces:
    """Fetches author pictures and scales them down in a subprocess (:mod:`bridge.media`)."""

    def __init__(
        self, fetch: GuardedFetch, files: MentionFiles, *, content: str, media: str, store: bool
    ) -> None:
        """``content`` and ``media`` are the folders of the settings; ``store`` is whether pictures
        are kept at all (``[webmention] faces``).
        """
        self._fetch = fetch
        self._files = files
        self._media = media.strip("/")
        content = content.strip("/")
        self._root = f"{content}/" if content not in {"", "."} else ""
        self._store = store
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._cleaner = Cleaner(PhotoRules(max_pixels=_PIXELS, square=_SIDE), processor_seconds=20)

    async def face(self, mention: Mention) -> tuple[str, Change | None]:
        """The picture's path for the mention's file, and the change that adds the picture if it is
        new.

        The path is ``""`` where the author has no usable picture.
        """
        if not self._store or not mention.photo:
            return "", None
        author = mention.author_url
        known = await asyncio.to_thread(self._files.face_of, author) if author else None
        if known is not None and _is_young(known.received):
            return known.photo, None
        data = await self._picture(mention.photo)
        if data is None:
            return (known.photo if known else ""), None
        digest = hashlib.sha256(data).hexdigest()[:24]
        # Earlier versions stored it by its digest alone.
        for name in dict.fromkeys((undated(digest), digest)):
            path = f"{self._media}/{FOLDER}/{name}.webp"
            if await asyncio.to_thread(self._files.blob, f"{self._root}{path}"):
                return f"{{static}}/{path}", None
        path = f"{self._media}/{FOLDER}/{undated(digest)}.webp"
        return f"{{static}}/{path}", Change(f"{self._root}{path}", data, None)

    def unused(self, photo: str, gone: int) -> Change | None:
        """The change that removes a picture once its last ``gone`` mentions are removed; ``None``
        while other mentions use it.
        """
        start = f"{{static}}/{self._media}/{FOLDER}/"
        if not photo.startswith(start) or self._files.count_with_photo(photo) > gone:
            return None
        path = f"{self._root}{photo.removeprefix('{static}/')}"
        there = self._files.blob(path)
        return Change(path, None, there.id) if there else None

    async def _picture(self, url: str) -> bytes | None:
        async with self._turns:
            try:
                found = await self._fetch.fetch(
                    url, max_bytes=_BYTES, timeout=_SECONDS, accept="image/*"
                )
                if found.status != 200:
                    return None
                kind = sniff(found.body)
                if kind.family != "image":
                    return None
                return (await self._cleaner.clean(found.body, kind)).data
            except (FetchError, BridgeError) as error:
                log.info("no picture from %r: %s", url, error)
                return None


def _is_young(received: str) -> bool:
    try:
        moment = datetime.fromisoformat(received)
    except ValueError:
        return False
    return moment.tzinfo is not None and datetime.now(UTC) - moment < _RENEWED
