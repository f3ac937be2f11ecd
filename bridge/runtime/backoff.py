"""The pauses between tries of what has failed: one list for each kind of work, with jitter."""

from __future__ import annotations

import random
from collections.abc import Sequence


def next_pause(pauses: Sequence[float], tries: int, *, jitter: float = 0.1) -> float | None:
    """Seconds until the next try, after ``tries`` earlier pauses; ``None`` when there is none left.

    ``jitter`` is the largest part by which a pause is shorter or longer than its entry, so that
    what failed together is not tried again together.
    """
    return jittered(pauses[tries], jitter) if tries < len(pauses) else None


def jittered(seconds: float, jitter: float = 0.1) -> float:
    """A pause that is a little shorter or longer."""
    return seconds * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 - no secret
