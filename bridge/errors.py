"""All errors: exceptions with an HTTP status for clients, and one for commands.

They are rendered in one place, :mod:`bridge.web.middleware` or :mod:`bridge.commands.cli`. ``code``
is the ``error`` of the JSON body (Micropub 3.8, RFC 6749 5.2, RFC 6750 3.1); the exception's text
is its ``error_description``: what was wrong and what to do, never a secret.
"""

from __future__ import annotations

from typing import ClassVar


def _text(description: str) -> str:
    """``description`` without lone surrogates, in which aiohttp passes on bytes that are not
    text.
    """
    return description.encode("utf-8", "replace").decode()


class BridgeError(Exception):
    """Base class of the errors that are returned to clients."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "server_error"

    def __init__(self, description: str) -> None:
        self.description = _text(description)
        super().__init__(self.description)


class InvalidRequest(BridgeError):
    """The request is invalid, or refers to something that does not exist (Micropub 3.8)."""

    status = 400
    code = "invalid_request"


class Unauthorized(BridgeError):
    """The request has no token (Micropub 3.8; RFC 6750 3.1: no ``error`` in the header)."""

    status = 401
    code = "unauthorized"


class InvalidToken(BridgeError):
    """The token is malformed, unknown, expired or revoked (RFC 6750 3.1)."""

    status = 401
    code = "invalid_token"


class Forbidden(BridgeError):
    """The token is valid, but its ``me`` may not do this (Micropub 3.8)."""

    status = 403
    code = "forbidden"


class InsufficientScope(BridgeError):
    """The token is valid but lacks a scope (RFC 6750 3.1). ``scope`` is the required one."""

    status = 403
    code = "insufficient_scope"

    def __init__(self, description: str, *, scope: str) -> None:
        super().__init__(description)
        self.scope = scope


class NotFound(BridgeError):
    """There is nothing at this URL."""

    status = 404
    code = "not_found"


class Conflict(BridgeError):
    """The post or file has been changed in the meantime."""

    status = 409
    code = "conflict"


class PayloadTooLarge(BridgeError):
    """The body, or a file in it, is over the configured limit."""

    status = 413
    code = "invalid_request"


class UnsupportedMediaType(BridgeError):
    """The type of a body or file is not accepted."""

    status = 415
    code = "invalid_request"


class TooManyRequests(BridgeError):
    """A client is over a rate limit (RFC 6585 4). ``retry_after`` is in seconds."""

    status = 429
    code = "too_many_requests"

    def __init__(self, description: str, *, retry_after: int) -> None:
        super().__init__(description)
        self.retry_after = retry_after


class Unavailable(BridgeError):
    """The bridge, or a service it depends on, cannot answer now. ``retry_after`` is in seconds."""

    status = 503
    code = "temporarily_unavailable"

    def __init__(self, description: str, *, retry_after: int = 30) -> None:
        super().__init__(description)
        self.retry_after = retry_after


class SiteReplaced(Unavailable):
    """The site's settings have changed since the request began, and it may succeed now."""


class SiteLate(Unavailable):
    """The site did not answer in time, although the question has not cost too much."""


class IndexLost(Unavailable):
    """The index of the posts was damaged since the request began, and is made again."""


class SiteBroken(BridgeError):
    """The site's own settings or code are broken until the owner changes them."""


class InsufficientStorage(BridgeError):
    """The disk is full; nothing was written."""

    status = 507
    code = "insufficient_storage"


class OAuthError(Exception):
    """An OAuth error (RFC 6749 5.2); ``description`` tells a developer what to change."""

    def __init__(self, code: str, description: str) -> None:
        self.code = code
        self.description = _text(description)
        super().__init__(self.description)


class CsrfError(Exception):
    """A form was not submitted from the bridge's own page in this browser."""


class Refused(Exception):
    """A command cannot be carried out; the text says why, and what to do instead."""
