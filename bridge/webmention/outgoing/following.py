"""Follows the commits, and puts changed posts into the outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile

from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import is_ours
from bridge.store import StoreBroken, Version
from bridge.store.git import GitStore
from bridge.webmention.outgoing.changes import PUBLIC, Changed, Changes, Seen
from bridge.webmention.outgoing.conversation import Answered, Conversation
from bridge.webmention.outgoing.live import LivePages
from bridge.webmention.outgoing.outbox import MOST_TARGETS, Outbox, Outgoing
from bridge.webmention.outgoing.recipients import Recipients
from bridge.webmention.tombstones import TombstoneCommitter

log = logging.getLogger(__name__)

#: More posts changed by the owner at once are not told of without a word.
MOST_AT_ONCE = 20
#: So many commits are looked through for those of the owner.
_LOG = 2_000


@dataclass(frozen=True, slots=True)
class Follower:
    """Puts into the outbox what has changed for readers since its cursor, then moves that.

    ``most_at_once``: more posts that the owner has changed by hand wait for a word.
    """

    store: GitStore
    catalogue: Catalogue
    changes: Changes
    pages: LivePages
    recipients: Recipients
    outbox: Outbox
    conversation: Conversation
    graves: TombstoneCommitter
    now: Callable[[], float]
    most_at_once: int = MOST_AT_ONCE

    async def follow(self) -> None:
        """Put everything that has changed since the cursor into the outbox, then move that."""
        head = await self.catalogue.refresh(patient=True)
        cursor = self.outbox.cursor
        if cursor is None or cursor == head:
            return await self.outbox.move_cursor(head)
        try:
            differences = await asyncio.to_thread(self.store.diff, Version(cursor), head)
        except StoreBroken:
            log.warning("the last version that webmentions were sent of is gone: none are sent")
            return await self.outbox.move_cursor(head)
        changed = await self.changes.posts(differences)
        held = await self._are_too_many(changed, Version(cursor), head)
        deleted = [each.old for each in changed if each.new is None and each.old is not None]
        buried = None if held else await self.graves.commit_missing(deleted)
        for each in changed:
            await self._put(each, buried or head, held=held)
        answered = await self.conversation.changed(differences)
        for url, what in answered.items():
            await self._put_answered(url, what, head)
        await self.outbox.move_cursor(head)
        return None

    async def _are_too_many(
        self, changed: Sequence[Changed], cursor: Version, head: Version
    ) -> bool:
        """Whether the owner has changed so many posts by hand that it may not be for readers: a
        new theme of addresses, an import, a search and replace."""
        most = self.most_at_once
        if len(changed) <= most:
            return False
        by_hand = await asyncio.to_thread(self._changed_by_hand, cursor, head)
        paths = [seen.entry.path for each in changed if (seen := each.new or each.old)]
        return sum(path in by_hand for path in paths) > most

    def _changed_by_hand(self, cursor: Version, head: Version) -> set[str]:
        """The paths that commits of the owner changed, and not the bridge."""
        found = set[str]()
        newer = islice(takewhile(lambda each: each.version != cursor, self.store.log(head)), _LOG)
        commits = [(each.version, is_ours(each.message)) for each in newer]
        for (version, ours), (older, _) in pairwise([*commits, (cursor, True)]):
            if not ours:
                found.update(each.path for each in self.store.diff(older, version))
        return found

    async def _put(self, changed: Changed, head: Version, *, held: bool) -> None:
        out = await self._known(changed)
        if changed.new is None and not (out.deliveries or out.before):
            # No one was told of it, and no one is.
            return await self.outbox.forget(out.source)
        if out.gone and changed.new is not None:
            # It is back: those who have heard that it was gone hear of it if it links to them.
            out.deliveries = [each for each in out.deliveries if each.state == "waiting"]
        now = self.now()
        out.version, out.since, out.next, out.looks = head, now, now, 0
        out.state, out.reason = "held" if held else "waiting", ""
        out.gone, out.only_upstream = changed.new is None, False
        if (new := changed.new) is not None:
            entry = new.entry
            out.url, out.path, out.save_as = entry.url, entry.path, entry.save_as
            # One whose time has not come is looked for when it has.
            out.since = out.next = max(now, entry.published)
            out.published, out.updated = self.recipients.times(new.file)
            out.links = [] if self.pages.is_local else await self._foreign_links(new)
        await self.outbox.put(out)
        return None

    async def _known(self, changed: Changed) -> Outgoing:
        """What was written down of a post, under any address that it ever had, or a new page."""
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
        before = [] if old is None else (await self._foreign_links(old))[:MOST_TARGETS]
        return Outgoing(source, seen.entry.url, save_as=seen.entry.save_as, before=before)

    async def _foreign_links(self, seen: Seen) -> list[str]:
        return self.recipients.foreign(await self.changes.links(seen))

    async def _put_answered(self, url: str, answered: Answered, head: Version) -> None:
        """A page shows other replies than before: who it replies to may want to know."""
        entry = self.catalogue.index.find(url)
        if entry is None or entry.status not in PUBLIC:
            return
        out = await asyncio.to_thread(self.outbox.find, entry.url)
        if out is None:
            out = Outgoing(entry.url, entry.url, entry.path, entry.save_as, only_upstream=True)
        if out.gone or out.state == "held":
            return
        now = self.now()
        out.version = head
        out.answered = [*dict.fromkeys([*out.answered, *answered.hosts])]
        # What was taken away again before anyone has seen it is not waited for.
        gone = frozenset(answered.hidden)
        links = dict.fromkeys([*out.links, *answered.shown])
        out.links = [link for link in links if link not in gone]
        if out.state != "waiting" or out.only_upstream:
            out.state, out.since, out.next, out.looks = "waiting", now, now, 0
        await self.outbox.put(out)
