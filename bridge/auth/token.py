"""Access tokens: how a request carries one (RFC 6750 2, Micropub 3.1), what a verified one says,
whose it is (IndieAuth 3.2, 3.4), and what its scopes allow (IndieAuth 5.1, RFC 6749 3.3).

The same table of scopes is shown on the consent screen and enforced.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from bridge.errors import (
    BridgeError,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    Unauthorized,
)
from bridge.net.web_url import BadURL, WebURL, parse

MAX_LENGTH = 4096

#: An access token is visible ASCII characters (RFC 6749 A.12).
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Token(Struct, frozen=True):
    """The contents of an access token (IndieAuth 6, RFC 7662 2.2), without the token itself.

    ``expires`` is in seconds since the epoch, ``None`` where the token does not expire. ``name`` is
    the owner's name for an app token of the built-in server, ``""`` for any other.
    """

    me: str
    scopes: frozenset[str]
    client_id: str | None = None
    expires: float | None = None
    name: str = ""

    @property
    def app(self) -> int:
        """A number of the app that has it."""
        return zlib.crc32(f"{self.client_id} {self.name}".encode())


class TokenVerifier(Protocol):
    """Verifies bearer tokens."""

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Verify a token with its issuer.

        ``fresh`` bypasses any cache. Raises :class:`bridge.errors.InvalidToken` where the issuer
        rejects it, :class:`bridge.errors.Unavailable` where the issuer cannot be reached.
        """
        ...


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


def profile_url(raw: str) -> WebURL:
    """Parse a profile URL (IndieAuth 3.2). Raises :class:`BadURL`.

    A loopback host is allowed, with a port, for the demo and for tests: it identifies nothing on
    any other machine.
    """
    url = parse(raw)
    if url.is_loopback:
        return url
    # 3.2: "MUST NOT contain a port", and "hosts MUST be domain names".
    if url.port_given:
        raise BadURL("a profile URL must not have a port")
    if url.is_address:
        raise BadURL("a profile URL must have a domain name, not an IP address")
    return url


def is_me(claimed: str, *own: str) -> bool:
    """Whether ``claimed`` is one of the owner's URLs: the profile URL or an alias.

    The case of the host, an empty path and an explicit default port are ignored; everything else
    counts. Invalid URLs never match.
    """
    if claimed in own:
        return True
    try:
        canonical = str(parse(claimed))
    except BadURL:
        return False
    return any(canonical == str(parse(url)) for url in own)


class Scope(Struct, frozen=True):
    """A scope: its meaning on the consent screen, and the permissions that it grants."""

    meaning: str
    permissions: frozenset[str] = frozenset()


def _scope(meaning: str, *permissions: str) -> Scope:
    return Scope(meaning, frozenset(permissions))


#: The known scopes. ``draft`` grants creating and updating, restricted by :func:`is_draft_only`.
SCOPES: dict[str, Scope] = {
    "create": _scope(
        "Publish new posts with their files, and restore deleted posts",
        *("create", "media", "undelete"),
    ),
    "update": _scope("Change posts", "update"),
    "delete": _scope(
        "Delete posts and uploaded files, and restore deleted posts", "delete", "undelete"
    ),
    "undelete": _scope("Restore deleted posts", "undelete"),
    "media": _scope("Upload photos and other files, and delete them", "media"),
    "draft": _scope(
        "Write drafts, which have no page on your site until you publish them", "create", "update"
    ),
    "profile": _scope("See your name and picture"),
    "email": _scope("See your e-mail address"),
    "post": _scope(
        "Publish new posts with their files, change posts, and restore deleted posts",
        *("create", "update", "media", "undelete"),
    ),
}

#: The scopes that are offered. ``post``, an older name for creating and updating, is accepted but
#: not offered.
OFFERED = tuple(word for word in SCOPES if word != "post")

#: The scopes for full access: all that add a permission, without ``draft``, which restricts.
ALL_SCOPES = tuple(word for word in OFFERED if word != "draft")

#: The scopes of reader apps (Microsub 3.1). They grant nothing here, but the owner's Microsub
#: server may verify the same token with this server.
READERS = frozenset({"read", "follow", "mute", "block", "channels"})

#: The scopes that only identify the owner (IndieAuth 5.3.4).
IDENTITY = frozenset(word for word, scope in SCOPES.items() if not scope.permissions)


def words(scope: str) -> frozenset[str]:
    """Parse a ``scope`` value. A blank one has no scopes and grants nothing."""
    return frozenset(scope.split())


def grants_any_access(scopes: frozenset[str]) -> bool:
    """Whether any of these scopes grants a permission.

    Drafts and scheduled posts are not shown to a token that only identifies the owner (IndieAuth
    5.2) or has only unknown scopes.
    """
    return any(scope.permissions for word, scope in SCOPES.items() if word in scopes)


def require(token: Token, permission: str) -> None:
    """Raise :class:`InsufficientScope` unless the token grants ``permission``, one of
    ``create``, ``update``, ``delete``, ``undelete`` and ``media``.
    """
    if not token.scopes & _scopes_granting(permission):
        raise InsufficientScope(
            f"This needs a token with the scope '{permission}'.", scope=permission
        )


def is_draft_only(token: Token, permission: str = "create") -> bool:
    """Whether only the scope ``draft`` grants the permission.

    Then every new post is saved as a draft, and only drafts may be updated. A token that has
    ``create`` or ``update`` as well is not restricted.
    """
    return "draft" in token.scopes and not token.scopes & (_scopes_granting(permission) - {"draft"})


def _scopes_granting(permission: str) -> frozenset[str]:
    """The scopes that grant a permission."""
    return frozenset(word for word, scope in SCOPES.items() if permission in scope.permissions)
