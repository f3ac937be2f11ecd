"""Follows the branch and puts changed posts into the outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import islice, pairwise, takewhile

from msgspec import Struct

from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import is_ours
from bridge.posts.linked import found_differences
from bridge.store import Difference, StoreBroken, Version
from bridge.store.git import GitStore
from bridge.webmention.outgoing.changes import (
    PUBLIC,
    ChangedPosts,
    PostChange,
    PublicPost,
    ReplyChangeFinder,
    ReplyChanges,
)
from bridge.webmention.outgoing.live_pages import LivePages
from bridge.webmention.outgoing.outbox import MOST_TARGETS, Outbox, Outgoing
from bridge.webmention.outgoing.recipients import Recipients
from bridge.webmention.tombstones import TombstoneCommitter

log = logging.getLogger(__name__)

#: If more posts than this are changed by hand at once, their webmentions are held until the owner
#: releases them.
MOST_AT_ONCE = 20
#: Largest number of commits that are searched for those made by hand.
_LOG = 2_000


class Follower(Struct, frozen=True):
    """Puts the posts that changed since the outbox's cursor into the outbox, then moves the cursor.

    If more than ``most_at_once`` posts were changed by hand, they are held for the owner.
    """

    store: GitStore
    catalogue: Catalogue
    changes: ChangedPosts
    pages: LivePages
    recipients: Recipients
    outbox: Outbox
    reply_changes: ReplyChangeFinder
    tombstones: TombstoneCommitter
    now: Callable[[], float]
    most_at_once: int = MOST_AT_ONCE

    async def follow(self) -> None:
        """Put everything that has changed since the cursor into the outbox, then move the
        cursor.
        """
        head = await self.catalogue.refresh(patient=True)
        cursor = self.outbox.cursor
        if cursor is None or cursor == head:
            return await self.outbox.move_cursor(head)
        try:
            differences = await asyncio.to_thread(self._differences, Version(cursor), head)
        except StoreBroken:
            log.warning(
                "the last commit that webmentions were sent for is not in the repo any more:"
                " none are sent for the changes since then"
            )
            return await self.outbox.move_cursor(head)
        changed = await self.changes.posts(differences)
        held = await self._exceeds_manual_limit(changed, Version(cursor), head)
        deleted = [each.old for each in changed if each.new is None and each.old is not None]
        tombstones_at = None if held else await self.tombstones.commit_missing(deleted)
        for each in changed:
            await self._put(each, tombstones_at or head, held=held)
        replies = await self.reply_changes.find(differences)
        for url, changes in replies.items():
            await self._put_reply_changes(url, changes, head)
        await self.outbox.move_cursor(head)
        return None

    async def _exceeds_manual_limit(
        self, changed: Sequence[PostChange], cursor: Version, head: Version
    ) -> bool:
        """Whether more posts were changed by hand than an edit would: an import, a new URL scheme,
        a search and replace.
        """
        most = self.most_at_once
        if len(changed) <= most:
            return False
        by_hand = await asyncio.to_thread(self._changed_by_hand, cursor, head)
        paths = [seen.entry.path for each in changed if (seen := each.new or each.old)]
        return sum(path in by_hand for path in paths) > most

    def _changed_by_hand(self, cursor: Version, head: Version) -> set[str]:
        """The paths that were changed by commits the bridge did not make."""
        found = set[str]()
        newer = islice(takewhile(lambda each: each.version != cursor, self.store.log(head)), _LOG)
        commits = [(each.version, is_ours(each.message)) for each in newer]
        for (version, ours), (older, _) in pairwise([*commits, (cursor, True)]):
            if not ours:
                found.update(each.path for each in self._differences(older, version))
        return found

    def _differences(self, old: Version, new: Version) -> Sequence[Difference]:
        return found_differences(self.store, self.changes.folder, old, new)

    async def _put(self, changed: PostChange, head: Version, *, held: bool) -> None:
        out = await self._entry_of(changed)
        if changed.new is None and not (out.deliveries or out.before):
            # It was never sent to anyone, so nothing has to be updated.
            return await self.outbox.forget(out.source)
        if out.gone and changed.new is not None:
            # It was restored: targets notified of the deletion are notified again if it links to
            # them.
            out.deliveries = [each for each in out.deliveries if each.state == "waiting"]
        now = self.now()
        out.version, out.since, out.next, out.looks = head, now, now, 0
        out.state, out.reason = "held" if held else "waiting", ""
        out.gone, out.only_upstream = changed.new is None, False
        if (new := changed.new) is not None:
            entry = new.entry
            out.url, out.path, out.save_as = entry.url, entry.path, entry.save_as
            # A scheduled post is checked when it is published.
            out.since = out.next = max(now, entry.published)
            out.published, out.updated = await asyncio.to_thread(self.recipients.times, new.file)
            out.links = [] if self.pages.is_local else await self._external_links(new)
        await self.outbox.put(out)
        return None

    async def _entry_of(self, changed: PostChange) -> Outgoing:
        """The outbox entry of a post, under its present or any former URL, or a new one."""
        seen = changed.new or changed.old
        if seen is None:
            raise ValueError("a change without an old or a new post")
        urls = dict.fromkeys((seen.entry.url, *seen.entry.aliases))
        if changed.old is not None:
            urls.setdefault(changed.old.entry.url)
        for url in urls:
            if (out := await asyncio.to_thread(self.outbox.find, url)) is not None:
                return out
        old = changed.old
        source = seen.entry.url if old is None else old.entry.url
        before = [] if old is None else (await self._external_links(old))[:MOST_TARGETS]
        return Outgoing(source, seen.entry.url, save_as=seen.entry.save_as, before=before)

    async def _external_links(self, seen: PublicPost) -> list[str]:
        return self.recipients.external_links(await self.changes.links(seen))

    async def _put_reply_changes(self, url: str, changes: ReplyChanges, head: Version) -> None:
        """Put a post whose replies changed into the outbox, for the pages it replies to itself."""
        entry = self.catalogue.index.find_linked(url)
        if entry is None or entry.status not in PUBLIC:
            return
        out = await asyncio.to_thread(self.outbox.find, entry.url)
        if out is None:
            out = Outgoing(entry.url, entry.url, entry.path, entry.save_as, only_upstream=True)
        if out.gone or out.state == "held":
            return
        now = self.now()
        out.version = head
        out.answered = [*dict.fromkeys([*out.answered, *changes.hosts])]
        # A reply that was removed before the page was checked is not expected on it.
        gone = frozenset(changes.hidden)
        links = dict.fromkeys([*out.links, *changes.shown])
        out.links = [link for link in links if link not in gone]
        if out.state != "waiting" or out.only_upstream:
            out.state, out.since, out.next, out.looks = "waiting", now, now, 0
        await self.outbox.put(out)
