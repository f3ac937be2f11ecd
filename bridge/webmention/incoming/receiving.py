"""Receives webmentions: queue, verification, decision.

What was taken is on disk before it is answered; everything after that can be done again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bridge.errors import BridgeError
from bridge.posts.addresses import canonical, hosts
from bridge.posts.reader import PostReader
from bridge.runtime.backoff import next_pause
from bridge.store import StoreError
from bridge.webmention.files import MentionFiles, digest_of
from bridge.webmention.incoming.inbox import Inbox, Record, State, id_of
from bridge.webmention.incoming.publishing import ChangeRules, MentionCommits
from bridge.webmention.incoming.requests import UNKNOWN, Owner, RequestChecks
from bridge.webmention.incoming.rules import decide
from bridge.webmention.incoming.verification import Look, Verifier
from bridge.webmention.mention import Mention, Target, folder_of, mention_of
from bridge.webmention.targets import Targets

log = logging.getLogger(__name__)

_WORKERS = 4
#: Seconds until a source that did not answer is looked at again; after the last it is let be.
_RETRIES = (45.0, 3600.0)
#: A source that is shown and not there any more is looked at so often, over so long.
_MISSES = 3
_MISSING = 7 * 86400.0
#: Seconds until a commit that failed is tried again.
_AGAIN = 60.0
_BATCH = 100
#: A host that mentions so many posts within so many seconds is not shown unseen.
_FLOOD, _FLOOD_SECONDS = 3, 3600.0

_STRANGE = "The source could not be made sense of."
NOT_SHOWN = "The site's owner does not show it."


class Receiver:
    """Takes webmentions, verifies them, and hands on what may be shown."""

    def __init__(
        self,
        inbox: Inbox,
        files: MentionFiles,
        targets: Targets,
        verifier: Verifier,
        commits: MentionCommits,
        posts: PostReader,
        *,
        owner: Owner,
        approve: str,
        batch_seconds: float,
        retries: Sequence[float] = _RETRIES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.inbox = inbox
        self.files = files
        self._targets = targets
        self._verifier = verifier
        self.commits = commits
        self._posts = posts
        self._owner = owner
        self._approve = approve
        self._batch_seconds = batch_seconds
        self.checks = RequestChecks(targets, owner)
        self._retries = retries
        self._clock = clock
        self._queue = asyncio.Queue[str]()
        self._queued = set[str]()
        self._under_way = set[str]()
        self._later = set[asyncio.TimerHandle]()
        self._tasks: list[asyncio.Task[None]] = []
        self._flushing = asyncio.Lock()
        self._flush = asyncio.Event()

    async def start(self) -> None:
        """Begin to work, with what the last run has left."""
        await asyncio.to_thread(self.inbox.start, self._clock())
        for record in self.inbox.in_state("waiting"):
            self._look_later(record.id, record.due - self._clock())
        for record in self.inbox.in_state("shown"):
            if record.due:
                self._look_later(record.id, record.due - self._clock())
        if self.inbox.in_state("approved"):
            self._flush.set()
        works = [*(self._work() for _ in range(_WORKERS)), self._commit_batches()]
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in works]

    async def close(self) -> None:
        """Stop at once: what is not settled is on disk."""
        for handle in self._later:
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def receive(self, source: str, target: str, client: str) -> Record:
        """Take a webmention of ``client`` (an address): when this returns it is on disk.

        Raises what :meth:`~bridge.webmention.requests.RequestChecks.check` and the inbox raise.
        """
        await self.checks.check(source, target, client)
        record = await asyncio.to_thread(self.inbox.take, source, target, self._clock())
        self._look_later(record.id, 0.0)
        return record

    def look_again(self, source: str, target: str, received: float) -> None:
        """Have something that is shown verified once more."""
        record = Record(source=source, target=target, received=received, changed=self._clock())
        known = self.inbox.get(record.id)
        if known is None:
            record.state = "shown"
            self.inbox.write(record)
        self._look_later(record.id, 0.0)

    async def show(self, records: Sequence[Record], rules: ChangeRules) -> None:
        """Commit these at once, with a change of the rules; the owner has decided so.

        Raises what a commit raises; then they are committed with the next batch.
        """
        async with self._flushing:
            for record in records:
                record.settle("approved", now=self._clock())
                await asyncio.to_thread(self.inbox.write, record)
            self._flush.set()
            # One commit takes so many; without any there are the rules to be changed all the same.
            for start in range(0, max(1, len(records)), _BATCH):
                batch = records[start : start + _BATCH]
                await self.commits.add(batch, rules)
                for record in batch:
                    await self._note(record, "shown")

    async def refuse(self, records: Sequence[Record]) -> None:
        """Show none of these; the owner has decided so."""
        for record in records:
            await self._note(record, "refused", NOT_SHOWN)

    async def is_about_us(self, record: Record) -> bool:
        """Whether there is a page of the site that it is about."""
        return await self._targets.find(record.target) is not None

    async def look_once_more(self, record: Record) -> None:
        """Verify a record anew."""
        record.settle("waiting", now=self._clock())
        await asyncio.to_thread(self.inbox.write, record)
        self._look_later(record.id, 0.0)

    async def idle(self) -> None:
        """Wait until everything is verified and committed that can be now."""
        await self._queue.join()
        async with self._flushing:
            pass

    def _look_later(self, name: str, delay: float) -> None:
        if delay <= 0:
            self._enqueue(name)
            return

        def enqueue() -> None:
            self._later.discard(handle)
            self._enqueue(name)

        handle = asyncio.get_running_loop().call_later(delay, enqueue)
        self._later.add(handle)

    def _enqueue(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._queue.put_nowait(name)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("webmentions are not looked at any more")
            raise

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            self._queued.discard(name)
            try:
                record = self.inbox.get(name)
                if name in self._under_way:
                    # It has come again while it is looked at: after that it is looked at again.
                    self._look_later(name, 1.0)
                elif record is not None:
                    self._under_way.add(name)
                    await self._settle(record)
            except (BridgeError, StoreError, OSError) as error:
                # The site, the repo or the disk does not answer: that is not a fault of the source.
                log.warning("a webmention is looked at again later: %s", error)
                self._look_later(name, _AGAIN)
            except Exception:
                # Whatever is in it, it must not wait for ever, and take the place of others.
                log.exception("a webmention could not be verified")
                await self._give_up(name)
            finally:
                self._under_way.discard(name)
                self._queue.task_done()

    async def _settle(self, record: Record) -> None:
        """Look at a source, and do what follows."""
        sent = record.sent
        post = await self._targets.find(record.target)
        if post is None:
            await self._note(record, "refused", UNKNOWN)
            return
        look = await self._verifier.look(record.source, record.target)
        await asyncio.to_thread(self.files.refresh)
        shown = self.files.of(record.source, post)
        if record.sent != sent:
            # It has changed since: what was seen is not the newest.
            self._look_later(record.id, 0.0)
        elif look.outcome == "linked":
            await self._take_in(record, post, look)
        elif look.outcome in {"gone", "no link"}:
            await self.commits.remove(each.path for each in shown)
            await self._note(record, "gone" if look.outcome == "gone" else "no-link", look.why)
        elif look.outcome == "missing" and shown:
            await self._miss(record, look, [each.path for each in shown])
        elif look.outcome == "unreachable" and (pause := self._pause(record)) is not None:
            await self._try_again(record, pause)
        elif shown:
            await self._note(record, "shown")
        else:
            await self._note(record, "unreachable", look.why)

    def _pause(self, record: Record) -> float | None:
        return next_pause(self._retries, record.tries, jitter=0.0)

    async def _try_again(self, record: Record, delay: float) -> None:
        record.tries += 1
        record.due = self._clock() + delay
        await asyncio.to_thread(self.inbox.write, record)
        self._look_later(record.id, delay)

    async def _miss(self, record: Record, look: Look, shown: list[str]) -> None:
        """What is shown and was not found is deleted when it has not come back for a week."""
        now = self._clock()
        record.misses += 1
        record.missing = record.missing or now
        if record.misses >= _MISSES and now - record.missing >= _MISSING:
            await self.commits.remove(shown)
            record.misses, record.missing = 0, 0.0
            await self._note(record, "gone", look.why)
            return
        record.settle("shown", now=now)
        record.due = now + _MISSING / (_MISSES - 1)
        await asyncio.to_thread(self.inbox.write, record)
        self._look_later(record.id, record.due - now)

    async def hand_in(
        self, mention: Mention, source: str, target: str, *, own: bool = False
    ) -> State | None:
        """Take a response that was found in another way, at an account of the owner's say, and was
        verified there; what became of it, ``None`` where it is about no page of the site.

        The owner's rules and decisions hold for it like for any other. ``own``: the owner has
        written it, as an answer to the answers.
        """
        post = await self._targets.find(target)
        if post is None:
            return None
        await asyncio.to_thread(self.files.refresh)
        now = self._clock()
        known = self.inbox.get(id_of(source, target))
        record = known or Record(source=source, target=target, received=now, changed=now)
        await self._judge(record, post, mention, handed_in=True, own=own)
        return record.state

    async def take_back(self, sources: Iterable[str], target: str) -> None:
        """What was handed in is not there any more. Raises what a commit raises."""
        post = await self._targets.find(target)
        if post is None:
            return
        await asyncio.to_thread(self.files.refresh)
        sources = list(sources)
        kept = [each.path for source in sources for each in self.files.of(source, post)]
        await self.commits.remove(kept)
        for source in sources:
            record = self.inbox.get(id_of(source, target))
            if record is not None and record.state != "refused":
                await self._note(record, "gone")

    async def count(self, target: str, copy: str, counts: Mapping[str, int]) -> None:
        """Say how many likes and reposts a copy of a post has, where no more is to be shown of
        them. Raises what a commit raises."""
        post = await self._targets.find(target)
        if post is not None:
            await self.commits.count(post, copy, counts)

    async def sources_via(self, target: str, via: str) -> list[str]:
        """The responses to a post that are shown, and have come this way."""
        post = await self._targets.find(target)
        await asyncio.to_thread(self.files.refresh)
        every = await asyncio.to_thread(self.files.all)
        return [
            each.source for each in every if post and each.via == via and post.is_at(each.target)
        ]

    async def _take_in(self, record: Record, post: Target, look: Look) -> None:
        mention = mention_of(look.page, record.source, record.target, post, at=look.url)
        await self._judge(record, post, mention, at=look.url)

    async def _judge(
        self,
        record: Record,
        post: Target,
        mention: Mention,
        *,
        handed_in: bool = False,
        own: bool = False,
        at: str = "",
    ) -> None:
        """What becomes of a verified mention; ``at`` is where its source was found in the end."""
        record.misses, record.missing = 0, 0.0
        is_own = not own and self._is_own(mention, post)
        # A like at a copy has the copy's address; who hands in knows copies.
        if is_own or (not handed_in and await self._is_a_copy(mention, post)):
            await self._note(record, "refused", "It is the site owner's own.")
            return
        same = self.files.same(mention.key, post)
        rules, name = self.files.rules, mention.file_name(post.url)
        record.digest = digest_of(name)
        if same is None:
            removed, folder = self.files.was_removed_by_hand, folder_of(post.url)
            if record.digest in rules.refused or await asyncio.to_thread(removed, folder, name):
                await self._note(record, "refused", NOT_SHOWN)
                return
        known = await asyncio.to_thread(self.files.known)
        # All of Bluesky is one host: many mentions from there are not a flood.
        flood = not handed_in and self._is_a_flood(record)
        decision = decide(mention, record.source, self._approve, rules, known, flood=flood, at=at)
        if own and decision == "wait":
            decision = "show"
        if decision == "drop":
            paths = [each.path for each in self.files.of(record.source, post)]
            await self.commits.remove(paths)
            await self._note(record, "refused", NOT_SHOWN)
            return
        # What is shown already is brought up to date.
        state: State = "approved" if decision == "show" or same is not None else "pending"
        record.mention = asdict(mention)
        record.settle(state, now=self._clock())
        await asyncio.to_thread(self.inbox.write, record)
        if state == "approved":
            self._flush.set()

    def _is_own(self, mention: Mention, post: Target) -> bool:
        """Whether the owner has written it: their posts elsewhere are not answers to themselves."""
        author = mention.author_url
        own = any(hosts(url) & post.own for url in (mention.url, author) if url)
        return own or self._owner.is_them(author) or self._owner.is_them(mention.url)

    async def _is_a_copy(self, mention: Mention, post: Target) -> bool:
        """Whether it is one of the post's own copies elsewhere, which link to it."""
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
        host, since = hosts(record.source), self._clock() - _FLOOD_SECONDS
        late = self.inbox.in_state("waiting", "approved", "pending", "shown")
        targets = {
            each.target for each in late if each.received > since and hosts(each.source) == host
        }
        return len(targets | {record.target}) >= _FLOOD

    async def _note(self, record: Record, state: State, why: str = "") -> None:
        record.settle(state, why, now=self._clock())
        await asyncio.to_thread(self.inbox.write, record)

    async def _commit_batches(self) -> None:
        """Commit what is approved: some time after the first of it has come."""
        while True:
            await self._flush.wait()
            await self._wait_for_more()
            self._flush.clear()
            if not await self.commit_approved():
                await asyncio.sleep(_AGAIN)
                self._flush.set()

    async def _wait_for_more(self) -> None:
        while True:
            waiting = self.inbox.in_state("approved")
            first = min((each.changed for each in waiting), default=0.0)
            left = first + self._batch_seconds - self._clock()
            if left <= 0 or len(waiting) >= _BATCH:
                return
            self._flush.clear()
            try:
                async with asyncio.timeout(left):
                    await self._flush.wait()
            except TimeoutError:
                return

    async def commit_approved(self) -> bool:
        """Commit everything that is approved; whether that has worked."""
        async with self._flushing:
            while waiting := self.inbox.in_state("approved")[:_BATCH]:
                sent = [each.sent for each in waiting]
                try:
                    await self.commits.add(waiting)
                    for record, before in zip(waiting, sent, strict=True):
                        await self._note(record, "shown")
                        if record.sent != before:
                            self._look_later(record.id, 0.0)
                except (BridgeError, StoreError, OSError) as error:
                    log.warning("mentions could not be committed, and will be later: %s", error)
                    return False
                except Exception:
                    # One of which no file can be made must not keep the others waiting.
                    log.exception("mentions could not be committed, and are tried one by one")
                    if not await self._commit_one_by_one(waiting):
                        return False
        return True

    async def _commit_one_by_one(self, records: Sequence[Record]) -> bool:
        """Commit each for itself, and give up what is in none of the site's or the disk's power."""
        for record in records:
            try:
                await self.commits.add([record])
                await self._note(record, "shown")
            except (BridgeError, StoreError, OSError) as error:
                log.warning("mentions could not be committed, and will be later: %s", error)
                return False
            except Exception:
                log.exception("a mention of %r could not be committed", record.target)
                await self._note(record, "unreachable", _STRANGE)
        return True

    async def _give_up(self, name: str) -> None:
        record = self.inbox.get(name)
        if record is not None and record.state == "waiting":
            try:
                await self._note(record, "unreachable", _STRANGE)
            except (BridgeError, OSError) as error:
                log.warning("what became of a webmention could not be written down: %s", error)
