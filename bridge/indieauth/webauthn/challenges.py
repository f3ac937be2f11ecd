"""WebAuthn challenges (13.4.3): random, bound to one browser, valid once and for a short time.

Strangers may ask for as many as they like, so nothing is kept of those that are asked for: a
challenge proves by itself that it was made here. Only those that the owner has answered are kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from bridge.runtime.expiring_map import ExpiringMap

SECONDS = 300
_RANDOM, _TIME = 16, 8


class Challenges:
    """Makes challenges, and knows them again; a restart forgets them all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._answered: ExpiringMap[bool] = ExpiringMap(seconds=SECONDS, clock=clock)

    def make(self, browser: str) -> bytes:
        """A new challenge for the browser with this cookie."""
        until = int(self._clock()) + SECONDS
        head = secrets.token_bytes(_RANDOM) + until.to_bytes(_TIME, "big")
        return head + self._seal(head, browser)

    def is_open(self, challenge: bytes, browser: str) -> bool:
        """Whether it was made here, for this browser, not long ago, and is not answered yet."""
        head, seal = challenge[: _RANDOM + _TIME], challenge[_RANDOM + _TIME :]
        return (
            hmac.compare_digest(seal, self._seal(head, browser))
            and self._clock() < int.from_bytes(head[_RANDOM:], "big")
            and not self._answered.get(challenge.hex())
        )

    def answered(self, challenge: bytes) -> None:
        """A passkey of the owner's has signed it: no one can use the same signature again."""
        self._answered.put(challenge.hex(), True)

    def _seal(self, head: bytes, browser: str) -> bytes:
        return hmac.digest(self._key, head + browser.encode(), hashlib.sha256)
