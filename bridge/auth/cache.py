"""Caches verified tokens for a short time, since some clients send a dozen requests for a
page, and limits how many unknown tokens are verified at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from msgspec import Struct, field

from bridge.auth.token import Token, TokenVerifier
from bridge.errors import InvalidToken, Unavailable
from bridge.runtime.expiring_map import ExpiringMap

#: The client's IP address in the current request; the limit on unknown tokens applies to each.
CALLER: ContextVar[str] = ContextVar("caller", default="")

_MOST = 1024
_MOST_REFUSED = 10_000
_REFUSED_SECONDS = 5.0

_AT_ONCE = 8
_AT_ONCE_EACH = 2
_WAITING_EACH = 20
_WAIT_SECONDS = 5.0


class CachingVerifier:
    """A :class:`bridge.auth.token.TokenVerifier` with a cache in front of another one.

    The cache key is a hash of the token. Valid tokens are cached for ``seconds``, at most until
    they expire; invalid ones briefly. A token is verified by one request at a time. Tokens that
    were the owner's before (``is_owners``) are verified at once; others are limited by ``turns``
    and not cached, so that made-up or foreign tokens cannot slow down the owner's apps. ``clock``
    is monotonic; ``now`` is the time of day.
    """

    def __init__(
        self,
        inner: TokenVerifier,
        seconds: float,
        *,
        is_owners: Callable[[Token], bool] = lambda _: True,
        turns: CallerLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._is_owners = is_owners
        self._turns = turns or CallerLimit()
        self._now = now
        self._verdicts = ExpiringMap[Token](seconds=seconds, most=_MOST, clock=clock)
        self._refused = ExpiringMap[bool](seconds=_REFUSED_SECONDS, most=_MOST_REFUSED, clock=clock)
        self._known = ExpiringMap[bool](seconds=math.inf, most=_MOST, clock=clock)
        self._under_way: dict[bytes, asyncio.Task[Token]] = {}

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Verify a token, from the cache unless ``fresh``.

        Raises :class:`InvalidToken`, and :class:`Unavailable`, also where too many unknown tokens
        are being verified.
        """
        key = hashlib.sha256(token.encode()).digest()
        remembered = self._verdicts.get(key)
        if remembered and not fresh:
            return remembered
        if self._refused.get(key):
            raise InvalidToken("This token was refused a moment ago.")
        if fresh:
            # A verification that began before this request may not have seen a recent revocation.
            return await self._ask(key, token, fresh=True)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._ask(key, token, fresh=False))
            task.add_done_callback(lambda done: self._answered(key, done))
        # Shielded: a client that disconnects must not cancel the verification for others.
        return await asyncio.shield(task)

    def _answered(self, key: bytes, task: asyncio.Task[Token]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            # If all callers were cancelled, no one has retrieved the error.
            task.exception()

    async def _ask(self, key: bytes, token: str, *, fresh: bool) -> Token:
        try:
            if self._known.get(key):
                verdict = await self._inner.verify(token, fresh=fresh)
            else:
                async with self._turns.one(CALLER.get()):
                    verdict = await self._inner.verify(token, fresh=fresh)
        except InvalidToken:
            self._verdicts.pop(key)
            self._known.pop(key)
            if self._seconds:
                self._refused.put(key, value=True)
            raise
        if self._is_owners(verdict):
            self._known.put(key, value=True)
            self._remember(key, verdict)
        return verdict

    def _remember(self, key: bytes, verdict: Token) -> None:
        seconds = self._seconds
        if verdict.expires is not None:
            seconds = min(seconds, verdict.expires - self._now())
        if seconds > 0:
            self._verdicts.put(key, verdict, seconds=seconds)


class _Caller(Struct):
    """One client: its running verifications, and the number of waiting ones."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE_EACH))
    questions: int = 0


class CallerLimit:
    """Limits concurrent verifications, overall and per client, so that one client cannot
    use up all of them.

    A verification that would wait longer than ``seconds`` is rejected.
    """

    def __init__(self, *, at_once: int = _AT_ONCE, seconds: float = _WAIT_SECONDS) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._seconds = seconds
        self._callers: dict[str, _Caller] = {}

    @asynccontextmanager
    async def one(self, who: str) -> AsyncIterator[None]:
        """Hold one of the concurrent verifications. Raises :class:`Unavailable`."""
        caller = self._callers.setdefault(who, _Caller())
        if caller.questions >= _AT_ONCE_EACH + _WAITING_EACH:
            raise _too_many()
        caller.questions += 1
        try:
            async with self._place(caller.places), self._place(self._places):
                yield
        finally:
            caller.questions -= 1
            if not caller.questions:
                del self._callers[who]

    @asynccontextmanager
    async def _place(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                await places.acquire()
        except TimeoutError as error:
            raise _too_many() from error
        try:
            yield
        finally:
            places.release()


def _too_many() -> Unavailable:
    return Unavailable(
        "Too many unknown tokens are being verified. Try again in a moment.",
        retry_after=5,
    )
