"""Interprets a verification endpoint's response: a :class:`Token`, or a refusal. Fails closed.

One reader for both ways of asking: the older GET at a token endpoint, which answers JSON or a
form-encoded body, often under the wrong Content-Type, and RFC 7662 introspection.
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
    """Interpret the body of a 200 response.

    ``needs_active``: RFC 7662 2.2 requires ``active``; the older way may leave it out. ``now``
    is in seconds since the epoch. Raises :class:`InvalidToken` where the issuer does not clearly
    say yes, :class:`Unavailable` where the reply is none of its kind (an HTML page, say).
    """
    reply = _decode(body)
    if "error" in reply:
        raise InvalidToken("The issuer of this token says that it is not valid.")
    # Only JSON true, or the string that a form-encoded reply has for it; never "false", 1 or [].
    active = reply.get("active", None if needs_active else True)
    if active is not True and active != "true":
        raise InvalidToken("This token is not active.")
    me, scope, client_id = reply.get("me"), reply.get("scope", ""), reply.get("client_id")
    if not isinstance(me, str) or not me.strip():
        raise InvalidToken("The issuer of this token does not say who it belongs to ('me').")
    if not isinstance(scope, str | None):
        raise InvalidToken("The scope of this token is not text.")
    return Token(
        me=me,
        scopes=words(scope or ""),
        client_id=client_id if isinstance(client_id, str) else None,
        expires=_expiry(reply.get("exp"), now),
    )


def _decode(body: bytes) -> Mapping[str, Any]:
    """Decode JSON or a form, told apart by the first bytes. A repeated key makes either invalid."""
    try:
        text = body.decode("utf-8-sig").strip()
        if not text:
            raise Unavailable("The token endpoint's reply is empty.")
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
        raise InvalidToken("The reply about this token repeats a key.") from error
    except (ValueError, RecursionError) as error:
        raise Unavailable("The token endpoint's reply cannot be understood.") from error


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
        raise InvalidToken("It is not clear when this token expires.")
    if value <= now:
        raise InvalidToken("This token has expired.")
    return float(value)
