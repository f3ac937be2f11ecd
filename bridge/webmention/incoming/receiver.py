"""Receives webmentions: queues, verifies and moderates them.

A webmention is on disk before its request is answered; every later step can be repeated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import asdict

from bridge.errors import BridgeError
from bridge.posts.post_files import PostReader
from bridge.posts.urls import canonical, hosts, one_spelling
from bridge.runtime.backoff import next_pause, seconds_until
from bridge.store import StoreError
from bridge.webmention.files import MentionFiles, digest_of
from bridge.webmention.incoming.commits import UNUSABLE, Batches, ChangeRules, MentionCommits
from bridge.webmention.incoming.inbox import Inbox, Record, State, VerificationQueue, id_of
from bridge.webmention.incoming.moderation.rules import Decision, decide
from bridge.webmention.incoming.request_checks import UNKNOWN_TARGET, OwnerUrls, RequestChecks
from bridge.webmention.incoming.verification.verifier import Verification, Verifier
from bridge.webmention.mention import Mention, MentionTarget, domain_of, folder_of, mention_of
from bridge.webmention.targets import Targets

log = logging.getLogger(__name__)

#: Most of a verification is waiting for the source's server.
_WORKERS = 6
#: Pauses before retries of a source that could not be fetched, in seconds.
_RETRIES = (45.0, 3600.0)
#: A mention is removed when its source was missing this many times, over at least this many
#: seconds.
_MISSES = 3
_MISSING = 7 * 86400.0
#: Pause after an error of the site, the repo or the disk, in seconds.
_RETRY_SECONDS = 60.0
#: A domain whose hosts mention this many posts within this many seconds needs the owner's approval.
_FLOOD, _FLOOD_SECONDS = 3, 3600.0

NOT_SHOWN = "The site’s owner does not show it."
_OWN = "It is the site owner’s own."


class Receiver:
    """Accepts webmentions, verifies them, and has those committed that may be shown."""

    def __init__(
        self,
        inbox: Inbox,
        files: MentionFiles,
        targets: Targets,
        verifier: Verifier,
        commits: MentionCommits,
        posts: PostReader,
        *,
        owner: OwnerUrls,
        approve: str,
        batch_seconds: float,
        retries: Sequence[float] = _RETRIES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.inbox = inbox
        self.files = files
        self.commits = commits
        self.checks = RequestChecks(targets, owner)
        self._targets = targets
        self._verifier = verifier
        self._posts = posts
        self._owner = owner
        self._approve = approve
        self._retries = retries
        self._clock = clock
        self._queue = VerificationQueue(self._verify, self._site_of)
        self.batches = Batches(
            inbox, commits, seconds=batch_seconds, clock=self._now, resent=self._queue.add
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the workers, beginning with what the previous run left."""
        await asyncio.to_thread(self.inbox.start, self._now())
        shown = (record for record in self.inbox.in_state("shown") if record.due)
        for record in (*self.inbox.in_state("waiting"), *shown):
            pause = seconds_until(record.due, self._now(), _MISSING)
            self._queue.add(record.id, delay=pause)
        if self.inbox.in_state("approved"):
            self.batches.added()
        works = [*(self._queue.work() for _ in range(_WORKERS)), self.batches.run()]
        self._tasks = [asyncio.create_task(self._logged(work)) for work in works]

    async def close(self) -> None:
        """Stop at once; everything unfinished is on disk."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._queue.close()

    async def receive(self, source: str, target: str, client: str) -> Record:
        """Accept a webmention sent by the IP address ``client``; on disk when this returns.

        Spellings of one source are one webmention: each would wait for the owner's decision, and
        a refused one would come back. Raises what :meth:`RequestChecks.check` and
        :meth:`Inbox.receive` raise.
        """
        await self.checks.check(source, target, client)
        source = one_spelling(source)
        record = await asyncio.to_thread(self.inbox.receive, source, target, self._now())
        self._queue.add(record.id, client)
        return record

    def reverify_shown(self, source: str, target: str, received: float) -> None:
        """Queue a stored mention for another verification."""
        record = Record(source=source, target=target, received=received, changed=self._now())
        known = self.inbox.get(record.id)
        if known is None:
            record.state = "shown"
            self.inbox.write(record)
        self._queue.add(record.id)

    async def verify_again(self, record: Record) -> None:
        """Reset a record to ``waiting`` and queue it, as the owner decided."""
        record.restored = True
        record.set_state("waiting", now=self._now())
        await asyncio.to_thread(self.inbox.write, record)
        self._queue.add(record.id)

    async def show(self, records: Sequence[Record], rules: ChangeRules) -> None:
        """Commit these at once, with a change of the rules, as the owner decided.

        Raises what a commit raises; the records then go with the next batch.
        """
        await self.batches.commit_now(records, rules)

    async def commit_approved(self) -> bool:
        """Commit all approved mentions at once; false where that failed and is tried again."""
        return await self.batches.commit_approved()

    async def refuse(self, records: Sequence[Record]) -> None:
        """Refuse these, as the owner decided."""
        for record in records:
            await self._set_state(record, "refused", NOT_SHOWN)

    async def has_target(self, record: Record) -> bool:
        """Whether the record's target is a page of this site."""
        return await self._targets.find(record.target) is not None

    async def idle(self) -> None:
        """Wait until everything that is due is verified, and no commit is in progress."""
        await self._queue.join()
        await self.batches.idle()

    async def receive_verified(
        self, mention: Mention, source: str, target: str, *, own: bool = False
    ) -> State | None:
        """Accept a response that was found through one of the owner's accounts (backfeed).

        It is not fetched, but the rules and the owner's decisions apply as to any other mention.
        ``own``: the owner wrote it, in reply to a response. Returns the resulting state, or
        ``None`` where ``target`` is not a page of this site.
        """
        post = await self._targets.find(target)
        if post is None:
            return None
        await asyncio.to_thread(self.files.refresh)
        now = self._now()
        known = self.inbox.get(id_of(source, target))
        record = known or Record(source=source, target=target, received=now, changed=now)
        await self._moderate(record, post, mention, backfed=True, own=own)
        return record.state

    async def retract(self, sources: Iterable[str], target: str) -> None:
        """Remove responses from :meth:`receive_verified` that no longer exist.

        Raises what a commit raises.
        """
        post = await self._targets.find(target)
        if post is None:
            return
        await asyncio.to_thread(self.files.refresh)
        sources = list(sources)
        stored = [each.path for source in sources for each in self.files.of(source, post)]
        await self.commits.remove(stored)
        for source in sources:
            record = self.inbox.get(id_of(source, target))
            if record is not None and record.state != "refused":
                await self._set_state(record, "gone")

    async def count(self, target: str, copy: str, counts: Mapping[str, int]) -> None:
        """Store the like and repost counts of the copy at the URL ``copy`` of a post.

        Raises what a commit raises.
        """
        post = await self._targets.find(target)
        if post is not None:
            await self.commits.count(post, copy, counts)

    async def sources_via(self, target: str, via: str) -> list[str]:
        """The sources of the shown mentions of a post whose ``wm-via`` is ``via``."""
        post = await self._targets.find(target)
        await asyncio.to_thread(self.files.refresh)
        every = await asyncio.to_thread(self.files.all)
        return [
            each.source for each in every if post and each.via == via and post.is_at(each.target)
        ]

    def _now(self) -> float:
        return self._clock()

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a worker for webmentions has stopped")
            raise

    def _site_of(self, name: str) -> str:
        """The registered domain of a record's source."""
        record = self.inbox.get(name)
        return _domain(record) if record else name

    async def _verify(self, name: str, sender: str) -> None:
        """Verify the record with this id and act on the result. Raises nothing."""
        record = self.inbox.get(name)
        if record is None:
            return
        try:
            await self._verify_record(record, sender)
        except (BridgeError, StoreError, OSError) as error:
            # The site, the repo or the disk failed, not the source.
            log.warning("a webmention could not be verified, next try later: %s", error)
            self._queue.add(name, sender, _RETRY_SECONDS)
        except Exception:
            # It must not stay in the queue for ever, in the place of others.
            log.exception("a webmention could not be verified")
            await self._give_up(record)

    async def _verify_record(self, record: Record, sender: str) -> None:
        sent = record.sent
        post = await self._targets.find(record.target)
        if post is None:
            await self._set_state(record, "refused", UNKNOWN_TARGET)
            return
        result = await self._verifier.verify(record.source, record.target, sender)
        await asyncio.to_thread(self.files.refresh)
        shown = self.files.of(record.source, post)
        if record.sent != sent:
            # Sent again during the fetch, so the source may have changed since.
            self._queue.add(record.id, sender)
        elif result.outcome == "linked":
            mention = mention_of(result.page, record.source, record.target, post, at=result.url)
            await self._moderate(record, post, mention, at=result.url)
        elif result.outcome in {"gone", "no link"}:
            if result.outcome == "no link":
                # What the source says of the post by another address is verified by that address.
                named = one_spelling(record.target)
                shown = [each for each in shown if one_spelling(each.target) == named]
            await self.commits.remove(each.path for each in shown)
            await self._set_state(
                record, "gone" if result.outcome == "gone" else "no-link", result.why
            )
        elif result.outcome == "missing" and shown:
            await self._count_miss(record, result, [each.path for each in shown])
        elif result.outcome == "unreachable" and (pause := self._pause(record)) is not None:
            await self._retry(record, sender, pause)
        elif shown:
            await self._set_state(record, "shown")
        else:
            await self._set_state(record, "unreachable", result.why)

    def _pause(self, record: Record) -> float | None:
        return next_pause(self._retries, record.tries, jitter=0.0)

    async def _retry(self, record: Record, sender: str, delay: float) -> None:
        record.tries += 1
        record.due = self._now() + delay
        await asyncio.to_thread(self.inbox.write, record)
        self._queue.add(record.id, sender, delay)

    async def _count_miss(self, record: Record, result: Verification, shown: list[str]) -> None:
        """Remove a shown mention whose source has been missing for a week; else check again."""
        now = self._now()
        record.misses += 1
        # A time in the future was stored while the clock was ahead.
        record.missing = min(record.missing or now, now)
        if record.misses >= _MISSES and now - record.missing >= _MISSING:
            await self.commits.remove(shown)
            record.misses, record.missing = 0, 0.0
            await self._set_state(record, "gone", result.why)
            return
        record.set_state("shown", now=now)
        record.due = now + _MISSING / (_MISSES - 1)
        await asyncio.to_thread(self.inbox.write, record)
        self._queue.add(record.id, delay=record.due - now)

    async def _moderate(
        self,
        record: Record,
        post: MentionTarget,
        mention: Mention,
        *,
        backfed: bool = False,
        own: bool = False,
        at: str = "",
    ) -> None:
        """Decide about a verified mention; ``at`` is the URL of its source after redirects."""
        record.misses, record.missing = 0, 0.0
        is_own = not own and self._is_own(mention, post)
        # A backfed like has the URL of the copy itself.
        if is_own or (not backfed and await self._is_a_copy(mention, post)):
            await self._set_state(record, "refused", _OWN)
            return
        existing = self.files.same(mention.key, post)
        name = mention.file_name(post.url)
        record.digest = digest_of(name)
        is_new = existing is None and not record.restored
        if is_new and await self._was_refused(record.digest, post, name):
            await self._set_state(record, "refused", NOT_SHOWN)
            return
        decision = await self._decide(record, mention, backfed=backfed, own=own, at=at)
        if decision == "drop":
            await self.commits.remove(each.path for each in self.files.of(record.source, post))
            await self._set_state(record, "refused", NOT_SHOWN)
            return
        # A mention that is shown already is updated without asking again.
        state: State = "approved" if decision == "show" or existing is not None else "pending"
        record.mention = asdict(mention)
        await self._set_state(record, state)
        if state == "approved":
            self.batches.added()

    async def _decide(
        self, record: Record, mention: Mention, *, backfed: bool, own: bool, at: str
    ) -> Decision:
        """Apply the rules and the setting; the owner's own reply does not wait for them."""
        rules = self.files.rules
        known = await asyncio.to_thread(self.files.known)
        # All of Bluesky is one host, so many backfed mentions are no flood.
        flood = not backfed and self._is_a_flood(record)
        decision = decide(mention, record.source, self._approve, rules, known, flood=flood, at=at)
        return "show" if own and decision == "wait" else decision

    async def _was_refused(self, digest: str, post: MentionTarget, name: str) -> bool:
        """Whether the owner has refused a mention, or removed its file by hand."""
        if digest in self.files.rules.refused:
            return True
        removed = self.files.was_removed_by_hand
        return await asyncio.to_thread(removed, folder_of(post.url), name)

    def _is_own(self, mention: Mention, post: MentionTarget) -> bool:
        """Whether the owner wrote it: the owner's own posts elsewhere are not responses."""
        author = mention.author_url
        own = any(hosts(url) & post.own for url in (mention.url, author) if url)
        return own or self._owner.is_them(author) or self._owner.is_them(mention.url)

    async def _is_a_copy(self, mention: Mention, post: MentionTarget) -> bool:
        """Whether it is one of the post's syndicated copies, which link to the post."""
        entry = self._posts.find_or_none(post.url)
        if entry is None:
            return False
        copies = (await self._posts.post(entry)).all("syndication")
        return any(
            isinstance(copy, str) and canonical(copy, frozenset()) == canonical(url, frozenset())
            for copy in copies
            for url in (mention.url, mention.entry["wm-source"])
        )

    def _is_a_flood(self, record: Record) -> bool:
        domain, now = _domain(record), self._now()
        late = self.inbox.in_state("waiting", "approved", "pending", "shown")
        targets = {
            each.target
            for each in late
            if 0 <= now - each.received < _FLOOD_SECONDS and _domain(each) == domain
        }
        return len(targets | {record.target}) >= _FLOOD

    async def _set_state(self, record: Record, state: State, why: str = "") -> None:
        record.set_state(state, why, now=self._now())
        await asyncio.to_thread(self.inbox.write, record)

    async def _give_up(self, record: Record) -> None:
        if record.state == "waiting":
            try:
                await self._set_state(record, "unreachable", UNUSABLE)
            except (BridgeError, OSError) as error:
                log.warning("the state of a webmention could not be stored: %s", error)


def _domain(record: Record) -> str:
    """The registered domain that a mention comes from."""
    return domain_of(urlsplit(record.source).netloc)
