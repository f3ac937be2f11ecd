"""Every error of the bridge: for clients, as exceptions that know their HTTP status; for commands.

Raised deep, rendered once, in :mod:`bridge.web.middleware` or :mod:`bridge.commands.cli`. ``code``
is the ``error`` of the JSON body (Micropub 3.8, RFC 6749 5.2, RFC 6750 3.1); the exception's text
is its ``error_description``: what was wrong and how to put it right, never a secret.
"""

from __future__ import annotations

from typing import ClassVar


def _text(description: str) -> str:
    """It may quote bytes of a request that are not text: aiohttp hands them on as surrogates."""
    return description.encode("utf-8", "replace").decode()


class BridgeError(Exception):
    """Base of all errors that reach a client."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "server_error"

    def __init__(self, description: str) -> None:
        self.description = _text(description)
        super().__init__(self.description)


class InvalidRequest(BridgeError):
    """The request cannot be understood, or asks for what is not there (Micropub 3.8)."""

    status = 400
    code = "invalid_request"


class Unauthorized(BridgeError):
    """No token came with the request (Micropub 3.8; RFC 6750 3.1: no ``error`` in the header)."""

    status = 401
    code = "unauthorized"


class InvalidToken(BridgeError):
    """The token is malformed, unknown, expired or revoked (RFC 6750 3.1)."""

    status = 401
    code = "invalid_token"


class Forbidden(BridgeError):
    """The token is good, but its ``me`` may not do this (Micropub 3.8)."""

    status = 403
    code = "forbidden"


class InsufficientScope(BridgeError):
    """The token is good, but lacks a scope (RFC 6750 3.1). ``scope`` is what was needed."""

    status = 403
    code = "insufficient_scope"

    def __init__(self, description: str, *, scope: str) -> None:
        super().__init__(description)
        self.scope = scope


class NotFound(BridgeError):
    """Nothing is at this address."""

    status = 404
    code = "not_found"


class Conflict(BridgeError):
    """The file has changes of the owner's that are not committed, or the post has just changed."""

    status = 409
    code = "conflict"


class PayloadTooLarge(BridgeError):
    """The body, or a file in it, is over the configured limit."""

    status = 413
    code = "invalid_request"


class UnsupportedMediaType(BridgeError):
    """A body or a file of a type that is not accepted."""

    status = 415
    code = "invalid_request"


class TooManyRequests(BridgeError):
    """An unauthenticated client is over its rate limit (RFC 6585 4). ``retry_after`` is in
    seconds.
    """

    status = 429
    code = "too_many_requests"

    def __init__(self, description: str, *, retry_after: int) -> None:
        super().__init__(description)
        self.retry_after = retry_after


class Unavailable(BridgeError):
    """A service that the bridge depends on does not answer. ``retry_after`` is in seconds."""

    status = 503
    code = "temporarily_unavailable"

    def __init__(self, description: str, *, retry_after: int = 30) -> None:
        super().__init__(description)
        self.retry_after = retry_after


class SiteBroken(BridgeError):
    """The site's own settings or code cannot be used, until the owner has changed them."""


class InsufficientStorage(BridgeError):
    """The disk is full; nothing was written."""

    status = 507
    code = "insufficient_storage"


class OAuthError(Exception):
    """A refusal in the words of RFC 6749 5.2; ``description`` tells a developer what to change."""

    def __init__(self, code: str, description: str) -> None:
        self.code = code
        self.description = _text(description)
        super().__init__(self.description)


class CsrfError(Exception):
    """A form that was not submitted from our own page in this browser."""


class Refused(Exception):
    """A command cannot do what was asked: why, and what to do instead."""
