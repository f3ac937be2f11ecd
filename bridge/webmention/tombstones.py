"""Tombstones of deleted public posts: the address of the page, and none of its text.

A host of files answers 404 for what is not there, and receivers of webmentions keep what they
were sent by a page that answers 404: it may be back tomorrow. The plugin makes a page that says
that it is gone for good (Webmention 3.1.5), of a file in the mentions folder for each such post.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.content.file.mf2 import Mf2Line
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer, commit_message, retry_on_conflict
from bridge.store import Change, ContentStore, Version
from bridge.webmention.outgoing.changes import PUBLIC, Seen


@dataclass(frozen=True, slots=True)
class Tombstones:
    """``folder`` is where received mentions are, in the repo. ``enabled``: deleted posts leave
    one; without it they only go, when their posts come back."""

    store: ContentStore
    folder: str
    enabled: bool
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def of_deleted(self, seen: Seen, at: Version) -> list[Change]:
        """What the commit that deletes a post changes besides, on top of the version ``at``."""
        entry, now = seen.entry, self.now()
        if not self.enabled or entry.status not in PUBLIC or entry.published > now.timestamp():
            return []
        path = self._path(entry.save_as)
        pages = dict.fromkeys([entry.save_as, *Mf2Line.of(seen.file).aliases])
        told = {"deleted": f"{now:%Y-%m-%dT%H:%M:%SZ}", "pages": list(pages), "url": entry.url}
        text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        there = self.store.read(path, at)
        return [Change(path, text.encode(), there.id if there else None)]

    def of_restored(self, save_as: str, at: Version) -> list[Change]:
        """What the commit that brings a post back changes besides."""
        path = self._path(save_as)
        there = self.store.read(path, at)
        return [Change(path, None, there.id)] if there else []

    def _path(self, save_as: str) -> str:
        digest = hashlib.sha256(save_as.encode()).hexdigest()[:12]
        return f"{self.folder}/gone/{digest}.json"


@dataclass(frozen=True, slots=True)
class TombstoneCommitter:
    """Commits the tombstones of posts that the owner has deleted by hand."""

    tombstones: Tombstones
    catalogue: Catalogue
    committer: Committer

    async def commit_missing(self, deleted: Sequence[Seen]) -> Version | None:
        """One commit for all of them; its version, or ``None`` where there is nothing to do."""

        async def attempt() -> Version | None:
            base = await self.catalogue.refresh(patient=True)
            changes = [
                change
                for seen in deleted
                if self.tombstones.store.read(seen.entry.path, base) is None
                for change in self.tombstones.of_deleted(seen, base)
                if change.expected is None
            ]
            if not changes:
                return None
            many = f"{len(changes)} posts that are" if len(changes) > 1 else "a post that is"
            message = commit_message(
                "gone", f"Tombstone of {many} gone", url=deleted[0].entry.url, client_id=None
            )
            return await self.committer.commit(changes, message, base)

        return await retry_on_conflict(attempt) if deleted else None
