"""Remembers good verdicts for a moment: some clients ask a dozen times a page."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bridge.auth.token import Token, TokenVerifier
from bridge.errors import InvalidToken

_MOST = 1024


@dataclass(frozen=True, slots=True)
class _Remembered:
    token: Token
    until: float


class CachingVerifier:
    """A :class:`bridge.auth.token.TokenVerifier` in front of a slower one.

    Keeps positive verdicts only, at most ``seconds``, never past the token's own expiry, under a
    hash of the whole token. ``clock`` never jumps; ``now`` is the time of day.
    """

    def __init__(
        self,
        inner: TokenVerifier,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._clock = clock
        self._now = now
        self._verdicts: OrderedDict[bytes, _Remembered] = OrderedDict()

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """From memory where that is young enough and ``fresh`` is not asked for."""
        key = hashlib.sha256(token.encode()).digest()
        remembered = self._verdicts.get(key)
        if remembered and not fresh and self._clock() < remembered.until:
            return remembered.token
        try:
            verdict = await self._inner.verify(token, fresh=fresh)
        except InvalidToken:
            self._verdicts.pop(key, None)
            raise
        self._remember(key, verdict)
        return verdict

    def _remember(self, key: bytes, verdict: Token) -> None:
        seconds = self._seconds
        if verdict.expires is not None:
            seconds = min(seconds, verdict.expires - self._now())
        if seconds <= 0:
            return
        self._verdicts[key] = _Remembered(verdict, self._clock() + seconds)
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > _MOST:
            self._verdicts.popitem(last=False)
