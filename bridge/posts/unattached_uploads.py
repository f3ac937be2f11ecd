"""Commits uploads that no post has used for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from bridge.errors import BridgeError
from bridge.media.library import MediaLibrary
from bridge.posts.commit_message import commit_message
from bridge.store import Change, StoreError

log = logging.getLogger(__name__)

#: How long a file may wait for the post that it was uploaded for.
PATIENCE = timedelta(minutes=10)
_EVERY = 60.0


class MediaCommitter(Protocol):
    """What can commit media that no post carries."""

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        """Make one commit of these changes; when this returns it is on disk.

        ``message`` is the whole commit message. Raises :class:`bridge.errors.BridgeError`.
        """
        ...


class Orphans:
    """Looks after what waits."""

    def __init__(self, library: MediaLibrary, committer: MediaCommitter) -> None:
        self._library = library
        self._committer = committer

    async def run(self) -> None:
        """Commit what has waited for too long, from now on until cancelled."""
        while True:
            try:
                await self.commit(PATIENCE)
            except (BridgeError, StoreError, OSError) as error:
                log.warning("uploads could not be looked through: %s", error)
            await asyncio.sleep(_EVERY)

    async def commit(self, older_than: timedelta) -> None:
        """Commit, each on its own, what has waited for as long. One that fails goes on waiting."""
        for file in await self._library.orphans(older_than):
            changes = await self._library.pending([file.path])
            url = self._library.url_of(file)
            message = commit_message("upload", f"Add {file.path}", url=url, client_id=None)
            try:
                if changes:
                    await self._committer.commit_media(changes, message)
            except (BridgeError, StoreError) as error:
                log.warning("%s could not be committed: %s", file.path, error)
