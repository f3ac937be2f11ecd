"""Verified tokens, and the interface of token verifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Token:
    """The contents of an access token (IndieAuth 6, RFC 7662 2.2), without the token itself.

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

        ``fresh`` bypasses any cache. Raises :class:`bridge.errors.InvalidToken` where the issuer
        rejects it, :class:`bridge.errors.Unavailable` where the issuer cannot be asked.
        """
        ...
