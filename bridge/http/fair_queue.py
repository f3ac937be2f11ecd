"""Shares the event loop's time between clients, for parsing what strangers send.

If it were parsed as it arrives, the work for a hundred clients would delay every step of all other
requests. In a :class:`FairQueue` the client that has used least goes first, and turns are short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import thread_time
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

#: Largest time for which the loop is blocked at once, in seconds; afterwards other callbacks run.
_ROUND_SECONDS = 0.004
#: Cost of a byte in the most expensive input: chunks of one byte, false delimiters.
_SECONDS_A_BYTE = 0.25e-6


class RecentUse:
    """The processor time that a client has used recently. It is halved every second."""

    def __init__(self, used: float = 0.0) -> None:
        self._used = used
        self._at = 0.0

    def used(self, now: float) -> float:
        """The used time in seconds, as of ``now``."""
        self._used *= 0.5 ** max(now - self._at, 0.0) if self._at else 1.0
        self._at = now
        return self._used

    def charge(self, seconds: float) -> None:
        """Add to the used time."""
        self._used += seconds


#: Used time when queued, sequence number, account, work.
_Due: TypeAlias = tuple[float, int, RecentUse, Callable[[], object]]


class FairQueue:
    """Short pieces of work, done one by one between the loop's other callbacks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[_Due] = []
        self._number = count()
        self._scheduled = False

    def soon(self, account: RecentUse, size: int, work: Callable[[], object]) -> None:
        """Queue ``work`` on ``size`` bytes, behind clients that have used less time."""
        rank = account.used(self._loop.time()) + size * _SECONDS_A_BYTE
        heappush(self._due, (rank, next(self._number), account, work))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._round)

    async def run(self, account: RecentUse, size: int, work: Callable[[], T]) -> T:
        """Queue ``work`` and wait for it; returns or raises what it does."""
        outcome: asyncio.Future[T] = self._loop.create_future()

        def settle() -> None:
            if outcome.done():
                return
            try:
                outcome.set_result(work())
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                outcome.set_exception(error)

        self.soon(account, size, settle)
        return await outcome

    def _round(self) -> None:
        began = thread_time()
        end = began + _ROUND_SECONDS
        try:
            while self._due and began < end:
                _, _, account, work = heappop(self._due)
                try:
                    work()
                finally:
                    now = thread_time()
                    account.charge(now - began)
                    began = now
        finally:
            self._scheduled = bool(self._due)
            if self._scheduled:
                self._loop.call_soon(self._round)


_OF_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, FairQueue] = WeakKeyDictionary()


def fair_queue() -> FairQueue:
    """The queue of the running loop, whose time it shares."""
    loop = asyncio.get_running_loop()
    found = _OF_LOOPS.get(loop)
    if found is None:
        found = _OF_LOOPS[loop] = FairQueue(loop)
    return found
