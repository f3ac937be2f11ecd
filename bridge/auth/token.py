"""A verified token, and the protocol of what verifies one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Token:
    """What an access token says (IndieAuth 6, RFC 7662 2.2). The secret itself is not in it.

    ``expires`` is in seconds since the epoch, ``None`` where the token does not expire.
    """

    me: str
    scopes: frozenset[str]
    client_id: str | None = None
    expires: float | None = None


class TokenVerifier(Protocol):
    """Verifies bearer tokens."""

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Verify a token with its issuer.

        ``fresh`` goes past any cache. Raises :class:`bridge.errors.InvalidToken` when the issuer
        says no, :class:`bridge.errors.Unavailable` when it cannot be asked: never a guess.
        """
        ...
