"""Verification by GET at a token endpoint: the older way, which hosted endpoints still use."""

from __future__ import annotations

import time

import aiohttp

from bridge.auth.remote import SECONDS, ask
from bridge.auth.token import Token
from bridge.auth.verdict import read_verdict


class TokenEndpointVerifier:
    """A :class:`bridge.auth.token.TokenVerifier` that asks a configured token endpoint."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, seconds: float = SECONDS
    ) -> None:
        self._session = session
        self._seconds = seconds
        self.url = url

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Verify now; nothing is cached here."""
        body = await ask(
            self._session,
            "GET",
            self.url,
            headers={"Authorization": f"Bearer {token}"},
            seconds=self._seconds,
        )
        return read_verdict(body, now=time.time(), needs_active=False)
