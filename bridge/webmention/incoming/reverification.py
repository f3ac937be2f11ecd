"""Verifies shown mentions again now and then: sources may change or go away."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from bridge.errors import BridgeError
from bridge.runtime.durable import write_durably
from bridge.store import StoreError
from bridge.webmention.files import StoredMention
from bridge.webmention.incoming.receiving import Receiver

log = logging.getLogger(__name__)

_DAY = 86400.0
#: How long after it has come a mention is looked at again, and how often after that.
_AFTER = (1 * _DAY, 7 * _DAY, 30 * _DAY)
_EVERY = 180 * _DAY
#: Likes and reposts hold no words that could become others.
_KINDS = frozenset({"in-reply-to", "mention-of", "bookmark-of", "rsvp"})
_ROUND_SECONDS = 600.0
#: Sources are asked one a second, and so many at most in a round.
_APART = 1.0
_AT_ONCE = 300


class Reverification:
    """Has replies and mentions verified anew when they are due."""

    def __init__(
        self,
        receiver: Receiver,
        file: Path,
        *,
        apart: float = _APART,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``file`` remembers when each was looked at last; without it some are looked at early."""
        self._receiver = receiver
        self._file = file
        self._apart = apart
        self._clock = clock

    async def run(self) -> None:
        """Look, from now on until cancelled."""
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            try:
                await self.look()
            except (BridgeError, StoreError, OSError) as error:
                log.warning("mentions are not looked at again for now: %s", error)

    async def look(self) -> int:
        """Have everything verified that is due; how much that was."""
        files, now = self._receiver.files, self._clock()
        await asyncio.to_thread(files.refresh)
        every = await asyncio.to_thread(files.all)
        checked = await asyncio.to_thread(self._read)
        due = [each for each in every if now >= _due(each, checked.get(each.path, 0.0))][:_AT_ONCE]
        for each in due:
            self._receiver.look_again(each.source, each.target, now)
            checked[each.path] = now
            await asyncio.sleep(self._apart)
        if due:
            there = {each.path for each in every}
            kept = {path: when for path, when in checked.items() if path in there}
            await asyncio.to_thread(self._write, kept)
        return len(due)

    def _read(self) -> dict[str, float]:
        try:
            said = json.loads(self._file.read_bytes())
            return {str(path): float(when) for path, when in said.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, checked: dict[str, float]) -> None:
        write_durably(self._file, json.dumps(checked).encode())


def _due(kept: StoredMention, looked: float) -> float:
    """When a mention is to be looked at again, in seconds since the epoch."""
    if kept.kind not in _KINDS or kept.via not in {"webmention", "import"} or not kept.source:
        return float("inf")
    received = _seconds(kept.received)
    checked = max(_seconds(kept.checked), looked, received)
    for after in _AFTER:
        if received + after > checked:
            return received + after
    return checked + _EVERY


def _seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0
