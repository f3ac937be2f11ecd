"""Sends webmentions: follows the branch, waits until changed posts are live, and delivers.

Every step is recorded in the outbox before it is taken, so a killed process resumes where it was.
At worst a webmention is sent twice, which receivers treat as one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from bridge.errors import BridgeError
from bridge.net.web_url import host_of
from bridge.runtime.backoff import doubled, seconds_until
from bridge.store import ContentStore, StoreError, Version
from bridge.webmention.outgoing.delivery import AttemptResult, Courier
from bridge.webmention.outgoing.follower import Follower
from bridge.webmention.outgoing.live_pages import LivePage, LivePages
from bridge.webmention.outgoing.outbox import MOST_TARGETS, Delivery, Outbox, OutboxReport, Outgoing
from bridge.webmention.outgoing.recipients import Recipients

log = logging.getLogger(__name__)

#: Pauses between checks whether a post is live, in seconds; then every minute, then every ten
#: minutes for a day.
_CHECK_PAUSES = (2.0, 5.0, 10.0, 20.0, 40.0)
_MINUTES, _LATER = 30, 144
_AT_ONCE = 4
_CHECKS_FOR_A_CHANGE = 15
_NOT_DUE = frozenset({"held", "unseen"})
_UPSTREAM_SECONDS = 3600.0
_LONGEST_SLEEP = 600.0
#: Longer than any pause before a retry, also one that the other site requests.
_LONGEST_PAUSE = 7 * 86400.0
_RETRY_SECONDS = 30.0
_CLOSE_SECONDS = 3.0


class Timing(Struct, frozen=True):
    """Delays and pauses in seconds; tests use shorter ones."""

    looks: tuple[float, ...] = (*_CHECK_PAUSES, *(60.0,) * _MINUTES, *(600.0,) * _LATER)
    again: float = _RETRY_SECONDS
    upstream: float = _UPSTREAM_SECONDS


class Sender:
    """Sends the webmentions of new, changed and deleted posts."""

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
        self._new_commit = asyncio.Event()
        self._due = asyncio.Event()
        self._checking = set[str]()
        self._busy_hosts = set[str]()
        self._work = set[asyncio.Task[None]]()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, since: Version | None = None) -> None:
        """Start, beginning with what an earlier process left.

        At the very first start no webmentions are sent for the posts that exist in the version
        ``since``, by default the newest.
        """
        await asyncio.to_thread(self._outbox.load)
        head = since or await asyncio.to_thread(self._store.head)
        if self._outbox.cursor is None and head is not None:
            await self._outbox.move_cursor(head)
        self._tasks = [
            asyncio.create_task(self._follow_always(), name="webmention changes"),
            asyncio.create_task(self._send_always(), name="webmention outbox"),
        ]
        self._new_commit.set()

    def changed(self, version: Version) -> None:
        """Called after every new commit. Returns at once."""
        del version
        self._new_commit.set()

    async def close(self) -> None:
        """Stop; requests in progress get a few seconds to finish."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._work:
            _, late = await asyncio.wait(set(self._work), timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.to_thread(self._outbox.close)

    # What the owner sees and decides.

    def report(self) -> OutboxReport:
        """What was sent, what is waiting, what failed and why."""
        return self._outbox.report()

    def is_idle(self, head: Version | None) -> bool:
        """Whether everything up to the commit ``head`` was sent, or is held."""
        left = [each for each in self._outbox.active.values() if each.state not in _NOT_DUE]
        return self._outbox.cursor == head and not left and not self._new_commit.is_set()

    async def release(self) -> int:
        """Send the held webmentions, as the owner decided; returns the number of posts."""
        count = await self._outbox.release(self._now())
        self._due.set()
        return count

    async def try_again(self) -> int:
        """Retry failed deliveries, and check again for posts that were never seen live; returns the
        number of posts.
        """
        count = await self._outbox.try_again(self._now())
        self._due.set()
        return count

    async def discard(self) -> int:
        """Discard the held webmentions; returns the number of posts."""
        return await self._outbox.discard()

    async def _follow_always(self) -> None:
        failures = 0
        while True:
            await self._new_commit.wait()
            self._new_commit.clear()
            try:
                await self._follower.follow()
            except (BridgeError, StoreError, OSError) as error:
                log.warning("webmentions for the latest changes are delayed: %s", error)
            except Exception:
                # One file that causes an unexpected error must not stop the sending for all others.
                log.exception("webmentions for the latest changes are delayed")
            else:
                failures = 0
                self._due.set()
                continue
            pause = doubled(self._timing.again, failures, _LONGEST_SLEEP)
            failures += 1
            asyncio.get_running_loop().call_later(pause, self._new_commit.set)

    # From the outbox to other sites.

    async def _send_always(self) -> None:
        while True:
            self._due.clear()
            soonest = self._start_what_is_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(0.0, soonest - self._now()), _LONGEST_SLEEP)):
                    await self._due.wait()

    def _start_what_is_due(self) -> float:
        """Start everything that is due; returns when the next work is due."""
        now, soonest = self._now(), self._now() + _LONGEST_SLEEP
        free = self._courier.free_at()
        for out in list(self._outbox.active.values()):
            if out.state == "waiting":
                when = out.next
                if out.looks:
                    # Not of a post that is scheduled, which may wait for years.
                    when = now + seconds_until(out.next, now, _LONGEST_PAUSE)
                if when > now:
                    soonest = min(soonest, when)
                else:
                    self._start_task(
                        self._checking, out.source, out, partial(self._check_live, out)
                    )
            for each in out.deliveries if out.state == "live" else ():
                if each.state != "waiting":
                    continue
                when = max(now + seconds_until(each.next, now, _LONGEST_PAUSE), free)
                if when > now:
                    soonest = min(soonest, when)
                else:
                    self._start_task(
                        self._busy_hosts,
                        host_of(each.target),
                        out,
                        partial(self._deliver, out, each),
                    )
        return soonest

    def _start_task(
        self, busy: set[str], key: str, out: Outgoing, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Start ``work`` unless work for the same key runs or too many tasks do."""
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
        except Exception as error:
            # An error with one post must not stop the others. This one is retried.
            log.exception("webmentions of %s are delayed", out.source)
            if out.state == "waiting":
                self._look_later(out, str(error) or type(error).__name__)
                # How often it was looked for has to survive a restart, or it would never end.
                with suppress(OSError):
                    await self._outbox.put(out)
                return
            out.next = self._now() + self._timing.again
            for each in out.deliveries:
                if each.state == "waiting":
                    each.next = max(each.next, out.next)
        finally:
            busy.discard(key)
            self._due.set()

    async def _check_live(self, out: Outgoing) -> None:
        """Check whether the post is live in the expected version, and if so choose its targets."""
        version = out.version
        page = await self._pages.look(out)
        if out.version != version or out.state != "waiting":
            return None  # a newer commit is checked for instead
        if page.is_live and not page.is_certain and self._may_be_old_version(out, page):
            reason = f"{out.url} shows the same content as before"
            page = replace(page, is_live=False, reason=reason)
        if not page.is_live:
            self._look_later(out, page.reason)
            return await self._outbox.put(out)
        if page.moved_without_redirect:
            return await self._resend_moved(out)
        self._choose_deliveries(out, page)
        await self._outbox.put(out)
        if not out.deliveries and out.is_done:
            await self._outbox.forget(out.source)
        return None

    def _look_later(self, out: Outgoing, reason: str) -> None:
        """Have the post looked for again, unless that was the last time."""
        looks = self._timing.looks
        out.reason = reason
        if out.looks >= len(looks):
            out.state = "unseen"
            log.warning("webmentions of %s are not sent: %s", out.source, reason)
        else:
            out.next = self._now() + looks[out.looks]
            out.looks += 1

    @staticmethod
    def _may_be_old_version(out: Outgoing, page: LivePage) -> bool:
        """Whether a host may still serve the previous version: the page is unchanged, and a post
        edited by hand has no ``updated`` to compare. After some minutes the edit is taken to be
        invisible.
        """
        is_same = bool(out.digest) and page.digest == out.digest
        return is_same and not out.answered and not out.gone and out.looks < _CHECKS_FOR_A_CHANGE

    async def _resend_moved(self, out: Outgoing) -> None:
        """Handle a post that moved without a redirect at its former URL.

        Webmentions are sent from its present URL, and also from the former one, so that those
        targets remove it.
        """
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

    def _choose_deliveries(self, out: Outgoing, page: LivePage) -> None:
        """Choose the deliveries for the version that is live."""
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
            self._notify_upstream(out, page, deliveries, now)
        out.digest = "" if out.gone else page.digest
        out.deliveries, out.before, out.links, out.answered = deliveries, [], [], []
        out.state, out.reason, out.round = "live", "", out.round + 1

    def _notify_upstream(
        self, out: Outgoing, page: LivePage, deliveries: Sequence[Delivery], now: float
    ) -> None:
        """Notify the pages that a reply replies to when its own replies changed (Salmention): at
        most once an hour, and not for replies from their own host.
        """
        notified, hour = out.told_upstream, self._timing.upstream
        # A notification that is scheduled already includes this.
        waits = now + seconds_until(notified if notified > now else notified + hour, now, hour)
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
            return  # the post has changed since, and its newer version is sent instead
        self._record(out, delivery, outcome)
        await self._outbox.put(out)

    def _record(self, out: Outgoing, delivery: Delivery, outcome: AttemptResult) -> None:
        now = self._now()
        delivery.tries += 1
        delivery.at, delivery.status, delivery.reason = now, outcome.status, outcome.reason
        match outcome.state:
            case "waiting":
                delivery.next = now + outcome.wait
            case "sent":
                delivery.state, delivery.heard = "sent", True
                log.info("%s was notified of %s", delivery.target, out.source)
            case "none":
                delivery.state = "none"
            case _:
                delivery.state = "failed"
                log.warning(
                    "%r was not notified of %s: %s", delivery.target, out.source, outcome.reason
                )
        # A removed link is forgotten once its target was notified.
        if delivery.state in {"sent", "none"} and not delivery.linked and not out.gone:
            out.deliveries = [each for each in out.deliveries if each is not delivery]
