"""WebAuthn challenges (13.4.3): random, bound to one browser, valid once and for a short time.

Anyone may ask for any number of them, so no state is kept for a challenge: it has a MAC. Only those
that a passkey has signed are remembered.
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
    """Issues and recognises challenges; they do not survive a restart."""

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
        """Whether a challenge was issued for this browser, has not expired, and was not used."""
        head, seal = challenge[: _RANDOM + _TIME], challenge[_RANDOM + _TIME :]
        return (
            hmac.compare_digest(seal, self._seal(head, browser))
            and self._clock() < int.from_bytes(head[_RANDOM:], "big")
            and not self._answered.get(challenge.hex())
        )

    def answered(self, challenge: bytes) -> None:
        """Mark a challenge as used, so that its signature cannot be replayed."""
        self._answered.put(challenge.hex(), True)

    def _seal(self, head: bytes, browser: str) -> bytes:
        return hmac.digest(self._key, head + browser.encode(), hashlib.sha256)
