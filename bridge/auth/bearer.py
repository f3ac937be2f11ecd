"""Extracts the bearer token of a request (RFC 6750 2, Micropub 3.1), and builds the
``WWW-Authenticate`` challenge of an error response (RFC 6750 3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bridge.errors import (
    BridgeError,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    Unauthorized,
)

MAX_LENGTH = 4096

#: An access token is visible ASCII characters (RFC 6749 A.12).
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def bearer_token(
    authorization_headers: Sequence[str], form_value: str | None, *, strict: bool
) -> str:
    """The token of a request.

    ``authorization_headers`` are all ``Authorization`` values as received, ``form_value`` the form
    field ``access_token``. Tokens in the URL are ignored (RFC 6750 2.3). ``strict`` rejects the
    same token in both places, which some clients in use send.

    Raises :class:`Unauthorized` where there is no token, :class:`InvalidRequest` where what was
    sent cannot be a single token.
    """
    in_header = _from_headers(authorization_headers)
    in_form = _checked(form_value) if form_value else None
    if in_header and in_form:
        # RFC 6750 2: "Clients MUST NOT use more than one method".
        if strict:
            raise InvalidRequest("Send the access token in the header or in the form, not in both.")
        if in_header != in_form:
            raise InvalidRequest("The header and the form carry two different access tokens.")
    token = in_header or in_form
    if token is None:
        raise Unauthorized("Send an access token: 'Authorization: Bearer …'.")
    return token


def challenge(error: BridgeError) -> str | None:
    """The ``WWW-Authenticate`` value for an error; ``None`` where another token would not help."""
    match error:
        case Unauthorized():
            # RFC 6750 3.1: without authentication information, no error code in the header.
            return "Bearer"
        case InvalidToken():
            return f'Bearer error="{error.code}"'
        case InsufficientScope():
            return f'Bearer error="{error.code}", scope="{error.scope}"'
    return None


def _from_headers(values: Sequence[str]) -> str | None:
    """The token of the single ``Authorization`` header; ``None`` for no header or another
    scheme.
    """
    if len(values) > 1:
        raise InvalidRequest("Send one Authorization header, not several.")
    if not values:
        return None
    if _CONTROL.search(values[0]):
        raise InvalidRequest("The Authorization header contains control characters.")
    scheme, _, rest = values[0].strip(" ").partition(" ")
    # RFC 9110 11.1: the scheme is case-insensitive.
    if scheme.lower() != "bearer":
        return None
    token = rest.strip(" ")
    return _checked(token) if token else None


def _checked(token: str) -> str:
    if len(token) > MAX_LENGTH:
        raise InvalidRequest(f"The access token is longer than {MAX_LENGTH} characters.")
    if not _TOKEN.fullmatch(token):
        raise InvalidRequest("An access token consists of visible ASCII characters without spaces.")
    return token
