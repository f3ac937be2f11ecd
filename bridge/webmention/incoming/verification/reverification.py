"""Verifies shown mentions again from time to time, since sources change and disappear."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from bridge.errors import BridgeError
from bridge.runtime.private import write_durably
from bridge.store import StoreError
from bridge.webmention.files import StoredMention
from bridge.webmention.incoming.receiver import Receiver

log = logging.getLogger(__name__)

_DAY = 86400.0
#: Ages at which a mention is verified again, and the interval after the last of them.
_AFTER = (1 * _DAY, 7 * _DAY, 30 * _DAY)
_EVERY = 180 * _DAY
#: Likes and reposts have no text that could change.
_KINDS = frozenset({"in-reply-to", "mention-of", "bookmark-of", "rsvp"})
_ROUND_SECONDS = 600.0
#: Pause between two fetches, in seconds, and the largest number of mentions in a round.
_APART = 1.0
_AT_ONCE = 300


class Reverification:
    """Queues replies and mentions for verification when they are due."""

    def __init__(
        self,
        receiver: Receiver,
        file: Path,
        *,
        apart: float = _APART,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``file`` stores when each mention was verified last; if it is lost some are verified
        early.
        """
        self._receiver = receiver
        self._file = file
        self._apart = apart
        self._clock = clock

    async def run(self) -> None:
        """Check for due mentions, until cancelled."""
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            try:
                await self.look()
            except (BridgeError, StoreError, OSError) as error:
                log.warning("mentions could not be verified again, next try later: %s", error)

    async def look(self) -> int:
        """Queue every mention that is due; returns their number."""
        files, now = self._receiver.files, self._clock()
        await asyncio.to_thread(files.refresh)
        every = await asyncio.to_thread(files.all)
        checked = await asyncio.to_thread(self._read)
        due = [each for each in every if now >= _due(each, checked.get(each.path, 0.0), now)][
            :_AT_ONCE
        ]
        for each in due:
            self._receiver.reverify_shown(each.source, each.target, now)
            checked[each.path] = now
            await asyncio.sleep(self._apart)
        if due:
            there = {each.path for each in every}
            known = {path: when for path, when in checked.items() if path in there}
            await asyncio.to_thread(self._write, known)
        return len(due)

    def _read(self) -> dict[str, float]:
        try:
            parsed = json.loads(self._file.read_bytes())
            return {str(path): float(when) for path, when in parsed.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, checked: dict[str, float]) -> None:
        write_durably(self._file, json.dumps(checked).encode())


def _due(stored: StoredMention, looked: float, now: float) -> float:
    """When the mention is to be verified next, in seconds since the epoch.

    Times in the future were stored while the clock was ahead, and do not count.
    """
    if stored.kind not in _KINDS or stored.via not in {"webmention", "import"} or not stored.source:
        return float("inf")
    received = _seconds(stored.received)
    times = (received, _seconds(stored.checked), looked)
    checked = max((each for each in times if each <= now), default=0.0)
    for after in _AFTER if received <= now else ():
        if received + after > checked:
            return received + after
    return checked + _EVERY


def _seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0
