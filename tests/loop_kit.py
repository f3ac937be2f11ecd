"""How long an event loop is busy, in processor time, which does not depend on other programs."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass
class Rounds:
    """The work of the loop: seconds of processor time in total, and in its longest iteration."""

    total: float = 0.0
    longest: float = 0.0
    count: int = 0


@contextmanager
def watched_loop() -> Iterator[Rounds]:
    """Watch the running loop. A callback waits for at most a few iterations.

    The garbage collector leaves out what earlier tests have made, which can take it half a second.
    """
    seen = Rounds()
    run_once = asyncio.base_events.BaseEventLoop._run_once  # type: ignore[attr-defined]

    def watched(loop: asyncio.BaseEventLoop) -> None:
        began = time.thread_time()
        try:
            run_once(loop)
        finally:
            took = time.thread_time() - began
            seen.total += took
            seen.longest = max(seen.longest, took)
            seen.count += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.base_events.BaseEventLoop, "_run_once", watched)
        gc.freeze()
        try:
            yield seen
        finally:
            gc.unfreeze()
