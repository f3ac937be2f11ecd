"""Parses a verification endpoint's response into a :class:`Token` or an error. Fails closed.

Handles both RFC 7662 introspection and the older GET at a token endpoint, which answers JSON or a
form-encoded body, often with the wrong ``Content-Type``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from bridge.auth.scopes import words
from bridge.auth.token import Token
from bridge.errors import InvalidToken, Unavailable


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
