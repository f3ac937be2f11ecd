"""Sends webmentions: follows the commits, waits until they are live, and delivers.

Everything is written to the outbox before it is done, so that a process that is killed at any
moment goes on where it was. What may happen then is that a mention is sent twice, which receivers
take for one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from bridge.errors import BridgeError
from bridge.store import ContentStore, StoreError, Version
from bridge.webmention.outgoing.delivery import Courier, Outcome, host_of
from bridge.webmention.outgoing.following import Follower
from bridge.webmention.outgoing.live import LivePages, Page
from bridge.webmention.outgoing.outbox import MOST_TARGETS, Delivery, Outbox, Outgoing
from bridge.webmention.outgoing.recipients import Recipients

log = logging.getLogger(__name__)

#: Pauses between looks for a page, in seconds; then each minute, then each ten minutes for a day.
_LOOKS = (2.0, 5.0, 10.0, 20.0, 40.0)
_MINUTES, _LATER = 30, 144
_AT_ONCE = 4
_LOOKS_FOR_A_CHANGE = 15
_AT_REST = frozenset({"held", "unseen"})
_UPSTREAM_SECONDS = 3600.0
_LONGEST_SLEEP = 600.0
_AGAIN = 30.0
_CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Delays and pauses, in seconds; tests use shorter ones."""

    looks: tuple[float, ...] = (*_LOOKS, *(60.0,) * _MINUTES, *(600.0,) * _LATER)
    again: float = _AGAIN
    upstream: float = _UPSTREAM_SECONDS


@dataclass(frozen=True, slots=True)
class Report:
    """What the owner should know of the outbox, the newest first."""

    sent: Sequence[tuple[Outgoing, Delivery]]
    waiting: Sequence[tuple[Outgoing, Delivery]]
    failed: Sequence[tuple[Outgoing, Delivery]]
    held: Sequence[Outgoing]
    unseen: Sequence[Outgoing]
    coming: Sequence[Outgoing]


class Sender:
    """Tells other sites of the posts that link to them."""

    def __init__(
        self,
        store: ContentStore,
        follower: Follower,
        pages: LivePages,
        recipients: Recipients,
        courier: Courier,
        outbox: Outbox,
        *,
        timing: Timing | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._follower = follower
        self._pages = pages
        self._recipients = recipients
        self._courier = courier
        self._outbox = outbox
        self._timing = timing or Timing()
        self._now = now
        self._moved = asyncio.Event()
        self._due = asyncio.Event()
        self._looking = set[str]()
        self._visited = set[str]()
        self._work = set[asyncio.Task[None]]()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to work, on what an earlier process left over first.

        At the very first start everything that is there is old: no one is told of it.
        """
        await asyncio.to_thread(self._outbox.load)
        head = await asyncio.to_thread(self._store.head)
        if self._outbox.cursor is None and head is not None:
            await self._outbox.move_cursor(head)
        self._tasks = [
            asyncio.create_task(self._follow_always(), name="webmention changes"),
            asyncio.create_task(self._send_always(), name="webmention outbox"),
        ]
        self._moved.set()

    def changed(self, version: Version) -> None:
        """There is a new version, by whom ever. Returns at once."""
        del version
        self._moved.set()

    async def close(self) -> None:
        """Stop; what is on its way to a host may come to its end for a moment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._work:
            _, late = await asyncio.wait(set(self._work), timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.to_thread(self._outbox.close)

    # What the owner sees and decides

    def report(self) -> Report:
        """What was sent, what waits, what failed and why."""
        known = (*self._outbox.active.values(), *self._outbox.recent.values())
        each = [(out, one) for out in known for one in out.deliveries]
        each.sort(key=lambda pair: pair[1].at, reverse=True)

        def those(state: str) -> list[tuple[Outgoing, Delivery]]:
            return [pair for pair in each if pair[1].state == state]

        waiting = [(out, one) for out, one in those("waiting") if out.state == "live"]
        return Report(
            sent=those("sent"),
            waiting=waiting,
            failed=those("failed"),
            held=[out for out in known if out.state == "held"],
            unseen=[out for out in known if out.state == "unseen"],
            coming=[out for out in known if out.state == "waiting"],
        )

    def is_idle(self, head: Version | None) -> bool:
        """Whether everything up to a version is told, or held."""
        left = [each for each in self._outbox.active.values() if each.state not in _AT_REST]
        return self._outbox.cursor == head and not left and not self._moved.is_set()

    async def release(self) -> int:
        """Send what was held, as the owner has decided; how many posts that are."""
        held = [out for out in self._outbox.active.values() if out.state == "held"]
        for out in held:
            out.state, out.since, out.next, out.looks = "waiting", self._now(), self._now(), 0
            await self._outbox.put(out)
        self._due.set()
        return len(held)

    async def try_again(self) -> int:
        """Try once more what has failed, and look again for what was never seen live; how many
        posts that are."""
        now = self._now()
        known = (*self._outbox.active.values(), *self._outbox.recent.values())
        failed = [
            out
            for out in known
            if out.state == "unseen" or any(each.state == "failed" for each in out.deliveries)
        ]
        for out in failed:
            if out.state == "unseen":
                out.state, out.since, out.next, out.looks = "waiting", now, now, 0
            for each in out.deliveries:
                if each.state == "failed":
                    each.state, each.tries, each.next, each.reason = "waiting", 0, now, ""
            await self._outbox.put(out)
        self._due.set()
        return len(failed)

    async def discard(self) -> int:
        """Do not send what was held; how many posts that are."""
        held = [out for out in self._outbox.active.values() if out.state == "held"]
        for out in held:
            out.state = "live"
            for each in out.deliveries:
                if each.state == "waiting":
                    each.state, each.reason = "none", "you have decided not to send it"
            await self._outbox.put(out)
        return len(held)

    async def _follow_always(self) -> None:
        failures = 0
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                await self._follower.follow()
            except (BridgeError, StoreError, OSError) as error:
                log.warning("webmentions of the last changes wait: %s", error)
            except Exception:
                # A file that nothing was prepared for must not end the sending for all others.
                log.exception("webmentions of the last changes wait")
            else:
                failures = 0
                self._due.set()
                continue
            pause = min(self._timing.again * 2**failures, _LONGEST_SLEEP)
            failures += 1
            asyncio.get_running_loop().call_later(pause, self._moved.set)

    # From the outbox to other sites

    async def _send_always(self) -> None:
        while True:
            self._due.clear()
            soonest = self._begin_what_is_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(0.0, soonest - self._now()), _LONGEST_SLEEP)):
                    await self._due.wait()

    def _begin_what_is_due(self) -> float:
        """Start what can be done now; when there is more to do."""
        now, soonest = self._now(), self._now() + _LONGEST_SLEEP
        free = self._courier.free_at()
        for out in list(self._outbox.active.values()):
            if out.state == "waiting":
                if out.next > now:
                    soonest = min(soonest, out.next)
                else:
                    self._begin(self._looking, out.source, out, partial(self._look, out))
            for each in out.deliveries if out.state == "live" else ():
                if each.state != "waiting":
                    continue
                when = max(each.next, free)
                if when > now:
                    soonest = min(soonest, when)
                else:
                    self._begin(
                        self._visited, host_of(each.target), out, partial(self._deliver, out, each)
                    )
        return soonest

    def _begin(
        self, busy: set[str], key: str, out: Outgoing, work: Callable[[], Awaitable[None]]
    ) -> None:
        """One thing at a time for each post and host, and a handful in all."""
        if key in busy or len(busy) >= _AT_ONCE:
            return
        busy.add(key)
        task = asyncio.create_task(self._guarded(busy, key, out, work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _guarded(
        self, busy: set[str], key: str, out: Outgoing, work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await work()
        except Exception:
            # Whatever is wrong with one post, the others go on; this one comes again later.
            log.exception("webmentions of %s wait", out.source)
            out.next = self._now() + self._timing.again
            for each in out.deliveries:
                if each.state == "waiting":
                    each.next = max(each.next, out.next)
        finally:
            busy.discard(key)
            self._due.set()

    async def _look(self, out: Outgoing) -> None:
        """Whether the world sees the post as it is to be; if so, who is to hear of it."""
        version = out.version
        page = await self._pages.look(out)
        if out.version != version or out.state != "waiting":
            return None  # another commit came in the meantime, and is looked for anew
        if page.is_live and not page.is_certain and self._looks_as_before(out, page):
            page = replace(page, is_live=False, reason=f"{out.url} shows what it showed before")
        if not page.is_live:
            looks = self._timing.looks
            out.reason = page.reason
            if out.looks >= len(looks):
                out.state = "unseen"
                log.warning("webmentions of %s are not sent: %s", out.source, page.reason)
            else:
                out.next = self._now() + looks[out.looks]
                out.looks += 1
            return await self._outbox.put(out)
        if page.parted:
            return await self._part(out)
        self._address(out, page)
        await self._outbox.put(out)
        if not out.deliveries and out.is_done:
            await self._outbox.forget(out.source)
        return None

    @staticmethod
    def _looks_as_before(out: Outgoing, page: Page) -> bool:
        """Whether a host may still show the last version: a post that was edited by hand, without
        a word of when, and a page that is as it was. After some minutes readers see no change."""
        is_same = bool(out.digest) and page.digest == out.digest
        return is_same and not out.answered and not out.gone and out.looks < _LOOKS_FOR_A_CHANGE

    async def _part(self, out: Outgoing) -> None:
        """A post has moved, and its old address does not lead to the new one: it is told of anew,
        and those who know the old address may see for themselves that the links are gone there."""
        new = Outgoing(
            out.url,
            out.url,
            out.path,
            out.save_as,
            version=out.version,
            since=out.since,
            next=self._now(),
            published=out.published,
            updated=out.updated,
            links=out.links,
        )
        await self._outbox.put(new)
        out.gone, out.state, out.digest, out.round = True, "live", "", out.round + 1
        out.url, out.links = out.source, []
        targets = dict.fromkeys([*(each.target for each in out.deliveries), *out.before])
        out.deliveries, out.before = [Delivery(each, linked=False) for each in targets], []
        await self._outbox.put(out)

    def _address(self, out: Outgoing, page: Page) -> None:
        """Decide who is told of the version that is live."""
        now = self._now()
        wanted = [] if out.gone else self._recipients.of_page(page)[:MOST_TARGETS]
        known = {each.target: each for each in out.deliveries}
        if out.only_upstream:
            wanted = [each for each in wanted if each in page.replies or each in known]
        is_changed = page.digest != out.digest or out.gone
        deliveries = list[Delivery]()
        for target in wanted:
            old = known.get(target)
            if old is None or is_changed:
                old = Delivery(target, heard=old.heard if old else False)
            deliveries.append(old)
        # "The sender SHOULD … send Webmentions for any links that appear in the previous version
        # but do not appear in the updated version" (3.1.4, 3.1.5).
        for target in dict.fromkeys((*known, *out.before)):
            old = known.get(target)
            if target not in wanted and not (old and old.state == "none" and not old.heard):
                deliveries.append(Delivery(target, heard=old.heard if old else False, linked=False))
        if out.answered:
            self._tell_upstream(out, page, deliveries, now)
        out.digest = "" if out.gone else page.digest
        out.deliveries, out.before, out.links, out.answered = deliveries, [], [], []
        out.state, out.reason, out.round = "live", "", out.round + 1

    def _tell_upstream(
        self, out: Outgoing, page: Page, deliveries: Sequence[Delivery], now: float
    ) -> None:
        """Salmention: what a reply is answered with is a change of it for those upstream, who
        hear of it at most once an hour, and not of their own words."""
        waits = max(now, out.told_upstream + self._timing.upstream)
        for each in deliveries:
            if each.target not in page.replies or not set(out.answered) - {host_of(each.target)}:
                continue
            if each.state != "waiting" or out.only_upstream:
                each.state, each.tries, each.next, each.reason = "waiting", 0, waits, ""
                out.told_upstream = waits

    async def _deliver(self, out: Outgoing, delivery: Delivery) -> None:
        started = out.round
        outcome = await self._courier.deliver(out.source, delivery)
        if out.round != started or delivery.state != "waiting":
            return  # the post has changed since: its newer version is told anew
        self._note(out, delivery, outcome)
        await self._outbox.put(out)

    def _note(self, out: Outgoing, delivery: Delivery, outcome: Outcome) -> None:
        now = self._now()
        delivery.tries += 1
        delivery.at, delivery.status, delivery.reason = now, outcome.status, outcome.reason
        match outcome.state:
            case "waiting":
                delivery.next = now + outcome.wait
            case "sent":
                delivery.state, delivery.heard = "sent", True
                log.info("%s was told of %s", delivery.target, out.source)
            case "none":
                delivery.state = "none"
            case _:
                delivery.state = "failed"
                log.warning(
                    "%r was not told of %s: %s", delivery.target, out.source, outcome.reason
                )
        # One that is not linked to any more has now heard so.
        if delivery.state in {"sent", "none"} and not delivery.linked and not out.gone:
            out.deliveries = [each for each in out.deliveries if each is not delivery]
