"""Pauses between retries: a list for each kind of work, or ever longer ones; with jitter."""

from __future__ import annotations

import random
from collections.abc import Sequence


def next_pause(pauses: Sequence[float], tries: int, *, jitter: float = 0.1) -> float | None:
    """Seconds until the next try, after ``tries`` earlier pauses; ``None`` if none is left.

    ``jitter`` is the largest fraction by which a pause is shortened or lengthened, so that work
    that failed together is not retried together.
    """
    return jittered(pauses[tries], jitter) if tries < len(pauses) else None


def jittered(seconds: float, jitter: float = 0.1) -> float:
    """A pause with a random deviation."""
    return seconds * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 - no secret


def doubled(first: float, failures: int, longest: float) -> float:
    """A pause of ``first`` seconds, doubled with each failure up to ``longest``."""
    # After a thousand failures no float could hold the number.
    return min(first * 2.0 ** min(failures, 60), longest)


def seconds_until(due: float, now: float, longest: float) -> float:
    """Seconds until the time ``due`` of a retry.

    0 for one that is further away than the ``longest`` pause: it was stored while the clock was
    ahead.
    """
    left = due - now
    return left if 0 < left <= longest else 0.0
