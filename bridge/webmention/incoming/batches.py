"""Commits approved mentions in batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from bridge.errors import BridgeError
from bridge.store import StoreError
from bridge.webmention.incoming.commits import ChangeRules, MentionCommits
from bridge.webmention.incoming.inbox import Inbox, Record, State

log = logging.getLogger(__name__)

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
            left = first + self.seconds - self._clock()
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
