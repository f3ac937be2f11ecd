"""Asks the endpoint that issued a token about it, and reads what it answers. Fails closed.

There are two ways: token introspection (IndieAuth 6, RFC 7662), and the older one, GET at a token
endpoint, which hosted endpoints still use. The latter answers in JSON or form-encoded, often under
the wrong Content-Type; one function reads the answers of both.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import aiohttp

from bridge.auth.token import Token, words
from bridge.errors import InvalidToken, Unavailable
from bridge.net.fetch import read_bounded

SECONDS = 5.0
MAX_BYTES = 64 * 1024

#: Statuses by which an issuer says that a token is not valid.
_NO = frozenset({400, 401, 403, 404})


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


class TokenEndpointVerifier:
    """A :class:`bridge.auth.token.TokenVerifier` that asks a token endpoint."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, seconds: float = SECONDS
    ) -> None:
        self._session = session
        self._seconds = seconds
        self.url = url

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Verify a token with a request. Nothing is cached, so ``fresh`` has no effect."""
        body = await ask(
            self._session,
            "GET",
            self.url,
            headers={"Authorization": f"Bearer {token}"},
            seconds=self._seconds,
        )
        return read_verdict(body, now=time.time(), needs_active=False)


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> bytes:
    """Send one request and return the body of a 200 response.

    Raises :class:`InvalidToken` for 400, 401, 403 and 404, and :class:`Unavailable` for other
    statuses, redirects, network errors, and responses that are too slow or too long. Redirects are
    not followed, since the request has the token.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            session.request(
                method,
                url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
                data=form,
                allow_redirects=False,
                auto_decompress=False,
            ) as response,
        ):
            if response.status in _NO:
                raise InvalidToken("The issuer of this token reports that it is not valid.")
            if response.status != 200:
                raise Unavailable(f"The token endpoint answered {response.status}.")
            return await _read(response)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # An aiohttp error may contain the URL or a header, so its text is not passed on.
        raise Unavailable("The token endpoint could not be reached.") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unavailable("The token endpoint sent a compressed response, which was not requested.")
    body, is_longer = await read_bounded(response, MAX_BYTES)
    if is_longer:
        raise Unavailable("The token endpoint's response is too long.")
    return body


def read_verdict(body: bytes, *, now: float, needs_active: bool) -> Token:
    """Parse the body of a 200 response.

    ``needs_active``: RFC 7662 2.2 requires ``active``; the older way may omit it. ``now`` is in
    seconds since the epoch. Raises :class:`InvalidToken` unless the response clearly confirms the
    token, :class:`Unavailable` where it is something else, such as an HTML page.
    """
    reply = _decode(body)
    if "error" in reply:
        raise InvalidToken("The issuer of this token reports that it is not valid.")
    # Only JSON true, or its form-encoded equivalent; not "false", 1 or [].
    active = reply.get("active", None if needs_active else True)
    if active is not True and active != "true":
        raise InvalidToken("This token is not active.")
    me, scope, client_id = reply.get("me"), reply.get("scope", ""), reply.get("client_id")
    if not isinstance(me, str) or not me.strip():
        raise InvalidToken("The issuer of this token does not name its owner ('me').")
    if not isinstance(scope, str | None):
        raise InvalidToken("The scope of this token is not text.")
    return Token(
        me=me,
        scopes=words(scope or ""),
        client_id=client_id if isinstance(client_id, str) else None,
        expires=_expiry(reply.get("exp"), now),
    )


def _decode(body: bytes) -> Mapping[str, Any]:
    """Decode JSON or a form, distinguished by the first bytes. A repeated key is an error in
    both.
    """
    try:
        text = body.decode("utf-8-sig").strip()
        if not text:
            raise Unavailable("The token endpoint's response is empty.")
        if text.startswith("{"):
            reply: dict[str, Any] = json.loads(
                text, object_pairs_hook=_unique, parse_constant=_refuse
            )
            return reply
        if text.startswith("<"):
            raise Unavailable("The token endpoint answered with an HTML page.")
        return _unique(
            parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
        )
    except _Repeated as error:
        raise InvalidToken("The response about this token has a key twice.") from error
    except (ValueError, RecursionError) as error:
        raise Unavailable("The token endpoint's response is neither JSON nor a form.") from error


class _Repeated(Exception):
    """A key is repeated."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _expiry(value: object, now: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidToken("The expiry of this token ('exp') is not a number.")
    if value <= now:
        raise InvalidToken("This token has expired.")
    return float(value)
