"""Verification by token introspection (IndieAuth 6, RFC 7662)."""

from __future__ import annotations

import base64
import time

import aiohttp

from bridge.auth.remote import SECONDS, ask
from bridge.auth.token import Token
from bridge.auth.verdict import read_verdict


class IntrospectionVerifier:
    """A :class:`bridge.auth.token.TokenVerifier` that asks an introspection endpoint.

    ``auth`` is the bridge's own authorization: ``none``, ``same-token``, ``bearer:SECRET`` or
    ``basic:USER:PASSWORD``. Raises ``ValueError`` for anything else.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        auth: str = "none",
        seconds: float = SECONDS,
    ) -> None:
        self._session = session
        self._seconds = seconds
        self._same_token = auth == "same-token"
        self._authorization = _authorization(auth)
        self.url = url

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Verify a token with a request. Nothing is cached, so ``fresh`` has no effect."""
        authorization = f"Bearer {token}" if self._same_token else self._authorization
        body = await ask(
            self._session,
            "POST",
            self.url,
            headers={"Authorization": authorization} if authorization else {},
            form={"token": token},
            seconds=self._seconds,
        )
        return read_verdict(body, now=time.time(), needs_active=True)


def _authorization(auth: str) -> str | None:
    """The ``Authorization`` value for fixed credentials; ``None`` without any."""
    if auth in {"none", "same-token"}:
        return None
    kind, _, secret = auth.partition(":")
    if kind == "bearer" and secret.isascii() and secret.isprintable() and secret:
        return f"Bearer {secret}"
    if kind == "basic" and ":" in secret:
        return "Basic " + base64.b64encode(secret.encode()).decode("ascii")
    raise ValueError("expected none, same-token, bearer:SECRET or basic:USER:PASSWORD")
