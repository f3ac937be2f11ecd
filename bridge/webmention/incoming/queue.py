"""The queue of webmentions to verify."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class VerificationQueue:
    """Ids of records to verify: each is queued once, and no two workers have the same one.

    ``verify`` is called with an id and must not raise.
    """

    def __init__(self, verify: Callable[[str], Awaitable[None]]) -> None:
        self._verify = verify
        self._queue = asyncio.Queue[str]()
        self._queued = set[str]()
        self._running = set[str]()
        self._timers = set[asyncio.TimerHandle]()

    def add(self, name: str, delay: float = 0.0) -> None:
        """Queue an id, at once or after ``delay`` seconds. It may be in the queue already."""
        if delay <= 0:
            self._add_now(name)
            return

        def add_now() -> None:
            self._timers.discard(timer)
            self._add_now(name)

        timer = asyncio.get_running_loop().call_later(delay, add_now)
        self._timers.add(timer)

    async def work(self) -> None:
        """Verify one after the other, until cancelled. Several workers may run."""
        while True:
            name = await self._queue.get()
            self._queued.discard(name)
            try:
                if name in self._running:
                    # Received again during its verification: it is verified once more afterwards.
                    self.add(name, 1.0)
                    continue
                self._running.add(name)
                try:
                    await self._verify(name)
                finally:
                    self._running.discard(name)
            finally:
                self._queue.task_done()

    async def join(self) -> None:
        """Wait until everything that was queued without a delay is verified."""
        await self._queue.join()

    def close(self) -> None:
        """Cancel what was added with a delay."""
        for timer in self._timers:
            timer.cancel()

    def _add_now(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._queue.put_nowait(name)
