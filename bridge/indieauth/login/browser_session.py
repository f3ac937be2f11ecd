"""A browser's session: its cookie, whether the owner is signed in, and CSRF tokens.

Every browser gets a random cookie with its first page and a new one when it signs in. CSRF tokens
are derived from the cookie, which other sites can neither read nor set.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import tzinfo

from aiohttp import web
from msgspec import Struct

from bridge.errors import CsrfError
from bridge.http.form import Form
from bridge.indieauth.database import as_bytes, new_secret
from bridge.indieauth.login.sessions import SECONDS, Session, find_session
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.pages.host import HOST
from bridge.pages.navigation import NOTICES, SECTIONS
from bridge.runtime.expiring_map import ExpiringMap

#: ``Sec-Fetch-Site`` of requests that another site makes (Fetch Metadata).
CROSS_SITE = frozenset({"cross-site", "same-site"})
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class BrowserSession(Struct, frozen=True):
    """The browser of a request. ``session`` is set if the owner has signed in."""

    secret: str
    is_new: bool
    session: Session | None
    server: IndieAuthServer

    def remember(self, response: web.Response) -> None:
        """Set the cookie of a new browser."""
        if self.is_new:
            set_cookie(self.server, response, self.secret, signed_in=False)

    @property
    def csrf(self) -> str:
        """The CSRF token for this browser's forms."""
        return hmac.new(self.secret.encode(), b"csrf", hashlib.sha256).hexdigest()

    def check(self, request: web.Request, sent: str | None) -> None:
        """Raise :class:`CsrfError` unless ``sent`` is this browser's CSRF token."""
        # ``Origin`` cannot be used: the pages send no referrer, and browsers then send ``null``.
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site != "same-origin" or not hmac.compare_digest(
            as_bytes(sent or ""), self.csrf.encode()
        ):
            raise CsrfError

    def check_form(self, request: web.Request, form: Form) -> None:
        """The same for the field ``csrf`` of a form."""
        self.check(request, form.get("csrf"))


def browser_session(request: web.Request) -> BrowserSession:
    """The browser session of a request."""
    server = request.app[SERVER]
    secret = request.cookies.get(_cookie(server), "")
    if not _SECRET.fullmatch(secret):
        # A cross-site form is sent without the cookie (SameSite). A new cookie would replace the
        # owner's and sign them out.
        is_new = request.headers.get("Sec-Fetch-Site") not in CROSS_SITE or request.method != "POST"
        return BrowserSession(new_secret(), is_new=is_new, session=None, server=server)
    session = find_session(server.db, secret)
    return BrowserSession(secret, is_new=False, session=session, server=server)


class PagesOwner(Struct, frozen=True):
    """What the pages need from the built-in server (:class:`bridge.pages.host.Host`)."""

    server: IndieAuthServer

    @property
    def me(self) -> str:
        """The owner's URL."""
        return self.server.me

    @property
    def name(self) -> str:
        """The owner's name, else the site's; ``""`` where neither is known."""
        return self.server.config.name or self.server.site_name()

    @property
    def zone(self) -> tzinfo:
        """The site's time zone."""
        return self.server.zone()

    def browser(self, request: web.Request) -> BrowserSession:
        """The browser session of a request."""
        return browser_session(request)


def hold_server(app: web.Application, server: IndieAuthServer) -> None:
    """Have an application hold the built-in server, and what its pages need."""
    app[SERVER] = server
    app[HOST] = PagesOwner(server)
    app[NOTICES], app[SECTIONS] = ExpiringMap(seconds=300), []


def set_cookie(
    server: IndieAuthServer, response: web.StreamResponse, secret: str, *, signed_in: bool
) -> None:
    """Set the browser's cookie: for 30 days if signed in, else until the browser closes."""
    response.set_cookie(
        _cookie(server),
        secret,
        max_age=SECONDS if signed_in else None,
        path="/",
        secure=server.secure,
        httponly=True,
        samesite="Lax",
    )


def _cookie(server: IndieAuthServer) -> str:
    """The cookie's name. The prefix ``__Host-`` excludes subdomains and requires https, which
    loopback lacks.
    """
    return "__Host-indieauth" if server.secure else "indieauth"
