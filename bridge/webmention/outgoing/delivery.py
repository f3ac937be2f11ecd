"""Sends one webmention to one target (Webmention 3.1.2 and 3.1.3), and decides on retries."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bridge.net.fetch import FetchError, ForbiddenAddress, GuardedFetch
from bridge.runtime.backoff import next_pause
from bridge.runtime.expiring_map import ExpiringMap
from bridge.webmention.outgoing.discovery import AGENT, TemporaryFailure, find_endpoint, retry_after
from bridge.webmention.outgoing.outbox import Delivery

_POST_SECONDS = 30.0
_DAY = 86400.0
_HOUR = 3600.0
#: A redirect of a browser to the status page of an accepted webmention.
_TAKEN = frozenset({302, 303})
_NO_ENDPOINT_SECONDS = _DAY
_LONGEST_NO_ENDPOINT = 7 * _DAY
_REMEMBERED = 2_000


@dataclass(frozen=True, slots=True)
class DeliveryTiming:
    """Delays in seconds.

    ``again`` are the pauses before retries of a target that could not answer, ``refused`` of one
    that refused, since it may have fetched an older page. ``gap`` is the pause between two requests
    to one host; ``hourly`` the largest number of webmentions in an hour.
    """

    again: tuple[float, ...] = (50.0, 600.0, _HOUR, 6 * _HOUR, _DAY)
    refused: tuple[float, ...] = (900.0,)
    gap: float = 1.0
    hourly: int = 200


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of one attempt: the new state of the delivery, the HTTP status, a reason for the
    owner, and the pause before a retry.
    """

    state: str
    status: int = 0
    reason: str = ""
    wait: float = 0.0


@dataclass(slots=True)
class Courier:
    """Delivers webmentions: one request at a time per host, at most ``hourly`` in an hour."""

    fetch: GuardedFetch
    timing: DeliveryTiming
    now: Callable[[], float]
    _turns: dict[str, _HostSlot] = field(default_factory=dict)
    _posts: deque[float] = field(default_factory=deque)
    _mute: ExpiringMap[bool] = field(init=False)

    def __post_init__(self) -> None:
        self._mute = ExpiringMap(seconds=_NO_ENDPOINT_SECONDS, most=_REMEMBERED, clock=self.now)

    async def deliver(self, source: str, delivery: Delivery) -> AttemptResult:
        """Attempt one delivery. Raises nothing, whatever the target does."""
        target = delivery.target
        if self._mute.get(target) and not delivery.heard:
            return AttemptResult("none", 0, "it does not accept webmentions")
        try:
            async with self._host_slot(target):
                found = await find_endpoint(self.fetch, target)
        except TemporaryFailure as trouble:
            if isinstance(trouble.__cause__, ForbiddenAddress):
                return AttemptResult("failed", 0, str(trouble))
            return self._retry(delivery, 0, str(trouble), trouble.after)
        if found.endpoint is None:
            self._remember(target, found.fresh)
            return AttemptResult("none", 0, found.reason)
        self._mute.pop(target)
        return await self._post(source, delivery, found.endpoint)

    def free_at(self) -> float:
        """The earliest time at which the hourly limit allows another webmention."""
        while self._posts and self._posts[0] <= self.now() - _HOUR:
            self._posts.popleft()
        full = len(self._posts) >= self.timing.hourly
        return self._posts[-self.timing.hourly] + _HOUR if full else 0.0

    async def _post(self, source: str, delivery: Delivery, endpoint: str) -> AttemptResult:
        self._posts.append(self.now())
        form = {"source": source, "target": delivery.target}
        try:
            async with self._host_slot(endpoint):
                answer = await self.fetch.post(endpoint, form, timeout=_POST_SECONDS, agent=AGENT)
        except ForbiddenAddress as error:
            # "Senders SHOULD NOT send Webmentions to … loopback" or other protected hosts (4.3).
            return AttemptResult("failed", 0, f"its endpoint is not allowed: {error}")
        except FetchError as error:
            return self._retry(delivery, 0, f"its endpoint: {error}")
        status = answer.status
        # "Any 2xx response code MUST be considered a success" (3.1.3).
        if 200 <= status < 300 or status in _TAKEN:
            return AttemptResult("sent", status)
        reason = f"its endpoint answered {status}"
        if status == 429 or status >= 500:
            return self._retry(delivery, status, reason, retry_after(answer))
        if status == 400 and delivery.tries < len(self.timing.refused):
            return AttemptResult("waiting", status, reason, self.timing.refused[delivery.tries])
        return AttemptResult("failed", status, reason)

    def _retry(
        self, delivery: Delivery, status: int, reason: str, after: float | None = None
    ) -> AttemptResult:
        pause = next_pause(self.timing.again, delivery.tries, jitter=0.2)
        if pause is None:
            return AttemptResult("failed", status, reason)
        return AttemptResult(
            "waiting", status, reason, min(after, _DAY) if after is not None else pause
        )

    def _remember(self, target: str, fresh: float) -> None:
        """Remember that a page has no endpoint: for a day, or as long as its cache headers say."""
        seconds = min(max(fresh, _NO_ENDPOINT_SECONDS), _LONGEST_NO_ENDPOINT)
        self._mute.put(target, value=True, seconds=seconds)

    @asynccontextmanager
    async def _host_slot(self, url: str) -> AsyncIterator[None]:
        host = host_of(url)
        turn = self._turns.setdefault(host, _HostSlot())
        turn.waiting += 1
        try:
            async with turn.lock:
                await asyncio.sleep(max(0.0, turn.free_at - asyncio.get_running_loop().time()))
                try:
                    yield
                finally:
                    turn.free_at = asyncio.get_running_loop().time() + self.timing.gap
        finally:
            turn.waiting -= 1
            if len(self._turns) > _REMEMBERED:
                self._turns = {name: each for name, each in self._turns.items() if each.waiting}


@dataclass(slots=True)
class _HostSlot:
    """The lock of one host, and the earliest time of its next request."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at: float = 0.0
    waiting: int = 0


def host_of(url: str) -> str:
    """The host of a URL with its port, as written; ``""`` if it has none."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
