"""How long processes have waited for a processor, which limits of time must allow for."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")
#: Seconds between two samples.
_PAUSE = 0.1


class RunQueue:
    """The time that a process, its descendants, and this process have waited, in total."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._waited: dict[str, int] = {}
        self._sum = 0
        self._times: list[float] = []
        self._sums: list[int] = []
        self.look()

    def look(self) -> None:
        """Record the time waited so far."""
        for task in (*_tasks(self._pid), Path("/proc/self")):
            # "time spent on the cpu, time spent waiting on a runqueue, # of timeslices", in ns
            with suppress(OSError):
                waited = int((task / "schedstat").read_text().split()[1])
                self._sum += waited - self._waited.get(str(task), 0)
                self._waited[str(task)] = waited
        self._times.append(time.monotonic())
        self._sums.append(self._sum)

    def waited(self, begin: float, end: float) -> float:
        """The seconds waited between two times (:func:`time.monotonic`) in the past."""
        first = max(bisect.bisect_right(self._times, begin) - 1, 0)
        last = min(bisect.bisect_left(self._times, end), len(self._times) - 1)
        return (self._sums[last] - self._sums[first]) / 1e9


@asynccontextmanager
async def run_queue(pid: int) -> AsyncIterator[RunQueue]:
    """Record repeatedly while the block runs."""
    queue = RunQueue(pid)

    async def look() -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            queue.look()

    looking = asyncio.create_task(look())
    try:
        yield queue
    finally:
        looking.cancel()
        await asyncio.wait({looking})


def _tasks(pid: int) -> Iterator[Path]:
    """The threads of a process and of all its descendants."""
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            yield task
            for child in (task / "children").read_text().split():
                yield from _tasks(int(child))
