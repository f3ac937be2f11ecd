"""Browsers in which the owner has signed in before. Their sign-in attempts have a rate limit of
their own.

Without it, others could lock the owner out by trying passwords from many addresses. A known browser
gets no access by itself, only as many attempts as one address has.
"""

from __future__ import annotations

import time

from aiohttp import web

from bridge.http.limits import Limiter, client_ip
from bridge.indieauth.database import digest, new_secret
from bridge.indieauth.server import SERVER, IndieAuthServer

SECONDS = 365 * 86400


def attempt(request: web.Request, limiter: Limiter) -> bool:
    """Count a sign-in attempt; returns whether the browser is known.

    Raises :class:`~bridge.errors.TooManyRequests`.
    """
    known = _known(request)
    limiter.attempt(known or client_ip(request), exempt_from_total=known is not None)
    return known is not None


def succeeded(request: web.Request, limiter: Limiter) -> None:
    """Reset the count after a successful sign-in."""
    limiter.succeeded(_known(request) or client_ip(request))


def is_known(request: web.Request) -> bool:
    """Whether the owner has signed in with this browser before."""
    return _known(request) is not None


def remember(request: web.Request, response: web.StreamResponse) -> None:
    """Remember this browser after a sign-in; signing out does not change that."""
    server, now = request.app[SERVER], time.time()
    secret = request.cookies[_cookie(server)] if _known(request) else new_secret()
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM browsers WHERE expires < ?", (now,))
        connection.execute(
            "INSERT OR REPLACE INTO browsers (hash, expires) VALUES (?, ?)",
            (digest(secret), now + SECONDS),
        )
    response.set_cookie(
        _cookie(server),
        secret,
        max_age=SECONDS,
        path="/",
        secure=server.secure,
        httponly=True,
        samesite="Lax",
    )


def _known(request: web.Request) -> str | None:
    """The rate limit's key for a known browser, or ``None``."""
    server = request.app[SERVER]
    hashed = digest(request.cookies.get(_cookie(server), ""))
    sql = "SELECT 1 FROM browsers WHERE hash = ? AND expires > ?"
    return hashed.hex() if server.db.one(sql, hashed, time.time()) else None


def _cookie(server: IndieAuthServer) -> str:
    return "__Host-indieauth-known" if server.secure else "indieauth-known"
