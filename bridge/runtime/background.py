"""Background tasks that are finished at shutdown, and threads that can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Background:
    """Tasks that go on when the request that began them is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run something to its end, awaited or not."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, seconds: float) -> None:
        """Wait for what is running, and cancel what is not through after so many seconds."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=seconds)
            for task in late:
                task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # An error whose request has been cancelled has no one to go to.
        if not task.cancelled():
            task.exception()


async def in_stoppable_thread(
    function: Callable[Concatenate[threading.Event, _P], _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Run what blocks in a thread. A thread cannot be cancelled, but asked to stop.

    ``function`` gets an event as its first argument, which is set when no one waits for it any
    more: what loops looks at it in each round.
    """
    stopped = threading.Event()
    try:
        return await asyncio.to_thread(function, stopped, *args, **kwargs)
    finally:
        stopped.set()
