"""Tombstones: what remains at the URL of a deleted public post, without any of its text.

A static host answers 404 for a missing file, and receivers may treat 404 as temporary and keep the
mention. For each file in the mentions folder's ``gone/`` the plugin writes a page that reports
``410 Gone`` in a meta element (Webmention 3.1.5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from bridge.content.file import Mf2Line
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer, commit_message, retry_on_conflict
from bridge.store import Change, ContentStore, Version
from bridge.webmention.outgoing.changes import PUBLIC, PublicPost


class Tombstones(Struct, frozen=True):
    """Makes the changes that add and remove tombstones.

    ``folder`` is the mentions folder, relative to the repo. Unless ``enabled`` no tombstones are
    added; existing ones are still removed when their posts are restored.
    """

    store: ContentStore
    folder: str
    enabled: bool
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def of_deleted(self, seen: PublicPost, at: Version) -> list[Change]:
        """The changes to add to the commit that deletes ``seen``, made on top of version ``at``."""
        entry, now = seen.entry, self.now()
        if not self.enabled or entry.status not in PUBLIC or entry.published > now.timestamp():
            return []
        path = self._path(entry.save_as)
        pages = dict.fromkeys([entry.save_as, *Mf2Line.of(seen.file).aliases])
        content = {"deleted": f"{now:%Y-%m-%dT%H:%M:%SZ}", "pages": list(pages), "url": entry.url}
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        there = self.store.read(path, at)
        return [Change(path, text.encode(), there.id if there else None)]

    def of_restored(self, save_as: str, at: Version) -> list[Change]:
        """The changes to add to the commit that restores the post at ``save_as``."""
        path = self._path(save_as)
        there = self.store.read(path, at)
        return [Change(path, None, there.id)] if there else []

    def _path(self, save_as: str) -> str:
        digest = hashlib.sha256(save_as.encode()).hexdigest()[:12]
        return f"{self.folder}/gone/{digest}.json"


class TombstoneCommitter(Struct, frozen=True):
    """Commits tombstones for posts that were deleted by hand."""

    tombstones: Tombstones
    catalogue: Catalogue
    committer: Committer

    async def commit_missing(self, deleted: Sequence[PublicPost]) -> Version | None:
        """Commit the missing tombstones of ``deleted`` in one commit.

        Returns its version, or ``None`` where there was nothing to commit.
        """

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
