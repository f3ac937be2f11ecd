"""Commits approved mentions in batches: one commit per batch, one file per mention."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from bridge.errors import BridgeError
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer, retry_on_conflict
from bridge.posts.urls import one_spelling
from bridge.runtime.backoff import seconds_until
from bridge.store import Change, StoreError
from bridge.webmention.files import COPY_COUNTS, MentionFiles, StoredMention
from bridge.webmention.incoming.faces import Faces
from bridge.webmention.incoming.inbox import Inbox, Record, State
from bridge.webmention.incoming.moderation.rules import FILE as RULES
from bridge.webmention.incoming.moderation.rules import Rules
from bridge.webmention.mention import PROXIES, Mention, MentionTarget, folder_of, to_file
from bridge.webmention.targets import Targets

log = logging.getLogger(__name__)

#: Largest number of mention files in one commit.
_MAX_PER_COMMIT = 100
_WORDS: Mapping[str, tuple[str, str]] = {
    "in-reply-to": ("a reply", "replies"),
    "like-of": ("a like", "likes"),
    "repost-of": ("a repost", "reposts"),
    "bookmark-of": ("a bookmark", "bookmarks"),
    "rsvp": ("an RSVP", "RSVPs"),
    "mention-of": ("a mention", "mentions"),
}
#: Keys that each verification overwrites, unless the owner has edited them by hand. Other keys of
#: a file are preserved.
_VERIFIED_KEYS = frozenset({"name", "content", "published", "rsvp", "author", "wm-children", "url"})

#: Makes the new rules from the present ones.
ChangeRules = Callable[[Rules], Rules]


class MentionChanges(Struct):
    """The content of one commit: changes by path, and how many of what, for its message."""

    changes: dict[str, Change] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    removed: int = 0
    counted: dict[str, Counter[str]] = field(default_factory=dict)
    #: Records that are counted in ``more.json`` for the first time.
    newly_counted: list[Record] = field(default_factory=list)

    def add(self, change: Change) -> None:
        """Add the change of one file."""
        self.changes[change.path] = change


class MentionCommits:
    """Adds mentions to the site's repo and removes them."""

    def __init__(
        self,
        files: MentionFiles,
        targets: Targets,
        faces: Faces,
        committer: Committer,
        catalogue: Catalogue,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._files = files
        self._targets = targets
        self._faces = faces
        self._committer = committer
        self._catalogue = catalogue
        self._now = now

    async def add(self, records: Sequence[Record], rules: ChangeRules | None = None) -> None:
        """Commit the mentions of ``records``, and the rules as ``rules`` changes them.

        Raises what a commit raises; then nothing was written and the call can be repeated.
        """
        found = [
            (each, await self._targets.find(each.target)) for each in records[:_MAX_PER_COMMIT]
        ]
        wanted = [(record, post) for record, post in found if post is not None]
        faces = await asyncio.gather(*(self._faces.face(each.of_mention()) for each, _ in wanted))

        async def attempt() -> None:
            changes = MentionChanges()

            def build() -> None:
                self._files.refresh()
                for (record, post), (photo, picture) in zip(wanted, faces, strict=True):
                    if self._store(record, post, photo, changes) and picture is not None:
                        changes.add(picture)
                for folder, kinds in changes.counted.items():
                    changes.add(self._files.counts_change(folder, kinds))
                self._with_rules(rules, changes)

            await self._commit(build, changes)

        await retry_on_conflict(attempt)

    async def remove(self, paths: Iterable[str], rules: ChangeRules | None = None) -> None:
        """Commit the removal of the mention files at ``paths``, and of author pictures that no
        other mention uses. Raises what a commit raises.
        """
        paths = frozenset(paths)

        async def attempt() -> None:
            changes = MentionChanges()

            def build() -> None:
                self._files.refresh()
                removed = [each for path in sorted(paths) if (each := self._files.get(path))]
                self._remove(removed, changes)
                self._with_rules(rules, changes)

            await self._commit(build, changes)

        await retry_on_conflict(attempt)

    async def count(self, post: MentionTarget, copy: str, counts: Mapping[str, int]) -> None:
        """Commit the like and repost counts of the copy at the URL ``copy``."""

        async def attempt() -> None:
            changes = MentionChanges()

            def build() -> None:
                change = self._files.copy_counts_change(post, copy, counts)
                if change is not None:
                    changes.add(change)

            await self._commit(build, changes)

        await retry_on_conflict(attempt)

    async def _commit(self, build: Callable[[], None], changes: MentionChanges) -> None:
        base = await self._catalogue.refresh()
        await asyncio.to_thread(build)
        if not changes.changes:
            return
        message = f"{_subject(changes)}\n\nMicropub-Action: mentions\n"
        await self._committer.commit([*changes.changes.values()], message, base)
        for record in changes.newly_counted:
            record.counted = True
        await asyncio.to_thread(self._files.refresh)

    def _store(
        self, record: Record, post: MentionTarget, photo: str, changes: MentionChanges
    ) -> bool:
        """Add the changes for one mention; false where its file does not use ``photo`` anew."""
        mention, files = record.of_mention(), self._files
        folder = folder_of(post.url)
        same = files.same(mention.key, post)
        path = same.path if same else f"{files.folder}/{folder}/{mention.file_name(post.url)}"
        others = [each for each in files.of(record.source, post) if each.path != path]
        is_other = same is not None and one_spelling(same.source) != one_spelling(record.source)
        if same is not None and is_other and not _is_better(record, same):
            self._remove(others, changes)
            return False
        if same is None and path not in changes.changes and files.is_full(folder, mention.kind):
            if not record.counted:
                changes.counted.setdefault(folder, Counter())[mention.kind] += 1
                changes.newly_counted.append(record)
            return False
        old = files.read(path) if same else None
        entry = self._entry(record, mention, photo, old[0] if old else {})
        self._remove([each for each in others if each.path not in changes.changes], changes)
        if old is not None and not _says_the_same(old[0], entry):
            for key in files.edited_by_hand(path) & _VERIFIED_KEYS:
                entry.pop(key, None)
                entry |= {key: old[0][key]} if key in old[0] else {}
        if old is not None and _says_the_same(old[0], entry):
            return False
        there = files.blob(path)
        changes.add(Change(path, to_file(entry), there.id if there else None))
        changes.kinds[mention.kind] += 1
        author = entry.get("author")
        return isinstance(author, dict) and author.get("photo") == photo

    def _entry(
        self, record: Record, mention: Mention, photo: str, old: Mapping[str, Any]
    ) -> dict[str, Any]:
        received = datetime.fromtimestamp(record.received, UTC)
        entry = {key: value for key, value in old.items() if key not in _VERIFIED_KEYS}
        entry |= mention.entry
        author = dict(mention.entry["author"])
        if photo:
            author["photo"] = photo
        return entry | {
            "author": author,
            "wm-received": old.get("wm-received") or _time(received),
            "wm-checked": _time(self._now()),
        }

    def _remove(self, stored: Sequence[StoredMention], changes: MentionChanges) -> None:
        photos = Counter(each.photo for each in stored if each.photo)
        for each in stored:
            changes.add(Change(each.path, None, each.blob))
            changes.removed += 1
        for photo, gone in photos.items():
            if (change := self._faces.unused(photo, gone)) is not None:
                changes.add(change)

    def _with_rules(self, change: ChangeRules | None, changes: MentionChanges) -> None:
        before = self._files.rules
        rules = before if change is None or before.broken else change(before)
        if rules != before:
            path = f"{self._files.folder}/{RULES}"
            changes.add(Change(path, rules.to_file(), self._files.rules_blob))


def _is_better(record: Record, same: StoredMention) -> bool:
    """Whether the new source replaces the stored one for the same response: the response's own page
    is preferred to a proxy's.
    """
    mention = record.of_mention()
    proxied = any(f"//{host}/" in same.source for host in PROXIES)
    return proxied and not any(f"//{host}/" in record.source for host in PROXIES) and bool(mention)


def _says_the_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two entries differ only in the time of verification."""
    bare = [{**each, "wm-checked": ""} for each in (old, new)]
    return bare[0] == bare[1]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _subject(changes: MentionChanges) -> str:
    """The subject line, such as ``Mentions: 2 replies and a like``."""
    parts = [
        one if changes.kinds[kind] == 1 else f"{changes.kinds[kind]} {many}"
        for kind, (one, many) in _WORDS.items()
        if changes.kinds[kind]
    ]
    if changes.removed:
        parts.append("one removed" if changes.removed == 1 else f"{changes.removed} removed")
    if not parts:
        counted = any(path.endswith(COPY_COUNTS) for path in changes.changes)
        return "Mentions: likes and reposts elsewhere" if counted else "Mentions: rules"
    *most, last = parts
    return f"Mentions: {', '.join(most)} and {last}" if most else f"Mentions: {last}"


#: Pause before a failed commit is tried again, in seconds.
_RETRY_SECONDS = 60.0
_BATCH = 100
UNUSABLE = "The source could not be processed."


class Batches:
    """Commits the records in the state ``approved``, ``seconds`` after the first of them.

    ``resent`` is called with the id of a record that was received again during its commit.
    """

    def __init__(
        self,
        inbox: Inbox,
        commits: MentionCommits,
        *,
        seconds: float,
        clock: Callable[[], float],
        resent: Callable[[str], None],
    ) -> None:
        self._inbox = inbox
        self._commits = commits
        self._clock = clock
        self._resent = resent
        self._lock = asyncio.Lock()
        self._added = asyncio.Event()
        #: How long to wait for more mentions; 0 commits each at once.
        self.seconds = seconds

    def added(self) -> None:
        """Called after a record was approved."""
        self._added.set()

    async def run(self) -> None:
        """Commit batches, until cancelled."""
        while True:
            await self._added.wait()
            await self._wait_for_more()
            self._added.clear()
            if not await self.commit_approved():
                await asyncio.sleep(_RETRY_SECONDS)
                self._added.set()

    async def commit_now(self, records: Sequence[Record], rules: ChangeRules) -> None:
        """Commit these records at once, with the rules as ``rules`` changes them.

        Raises what a commit raises; the records then go with the next batch.
        """
        async with self._lock:
            for record in records:
                record.set_state("approved", now=self._clock())
                await asyncio.to_thread(self._inbox.write, record)
            self._added.set()
            # Without any records, too: the rules still change.
            for start in range(0, max(1, len(records)), _BATCH):
                batch = records[start : start + _BATCH]
                await self._commits.add(batch, rules)
                for record in batch:
                    await self._set_state(record, "shown")

    async def commit_approved(self) -> bool:
        """Commit all approved records; false where that failed and must be tried again."""
        async with self._lock:
            while waiting := self._inbox.in_state("approved")[:_BATCH]:
                sent = [each.sent for each in waiting]
                try:
                    await self._commits.add(waiting)
                    for record, before in zip(waiting, sent, strict=True):
                        await self._set_state(record, "shown")
                        if record.sent != before:
                            self._resent(record.id)
                except (BridgeError, StoreError, OSError) as error:
                    log.warning("mentions could not be committed, next try later: %s", error)
                    return False
                except Exception:
                    # A record that cannot be stored must not hold up the others.
                    log.exception("mentions could not be committed, trying them one by one")
                    if not await self._commit_one_by_one(waiting):
                        return False
        return True

    async def idle(self) -> None:
        """Wait until no commit is in progress."""
        async with self._lock:
            pass

    async def _commit_one_by_one(self, records: Sequence[Record]) -> bool:
        """Commit each record separately and give up those that raise an unexpected error."""
        for record in records:
            try:
                await self._commits.add([record])
                await self._set_state(record, "shown")
            except (BridgeError, StoreError, OSError) as error:
                log.warning("mentions could not be committed, next try later: %s", error)
                return False
            except Exception:
                log.exception("a mention of %r could not be committed", record.target)
                await self._set_state(record, "unreachable", UNUSABLE)
        return True

    async def _wait_for_more(self) -> None:
        while True:
            waiting = self._inbox.in_state("approved")
            first = min((each.changed for each in waiting), default=0.0)
            left = seconds_until(first + self.seconds, self._clock(), self.seconds)
            if left <= 0 or len(waiting) >= _BATCH:
                return
            self._added.clear()
            try:
                async with asyncio.timeout(left):
                    await self._added.wait()
            except TimeoutError:
                return

    async def _set_state(self, record: Record, state: State, why: str = "") -> None:
        record.set_state(state, why, now=self._clock())
        await asyncio.to_thread(self._inbox.write, record)
