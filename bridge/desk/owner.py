"""Decorators for pages and forms of the signed-in owner, with which every handler of the desk
begins.

To add a section to the desk::

    add_section(app, Section("mentions", "/desk/mentions", "Mentions", 40))
    app.router.add_get("/desk/mentions", owner_page(show))
    app.router.add_post("/desk/mentions", owner_form(decide))

    async def show(owner: Owner) -> web.StreamResponse:
        return owner.page("desk/mentions.html", mentions=...)

    async def decide(owner: Owner, form: Form) -> web.StreamResponse:
        ...
        return owner.back("/desk/mentions", Notice("Approved."))

The template extends ``base.html``, sets ``here`` to the section's name, and each of its forms has
``{{ parts.hidden(csrf) }}``. The headers (no foreign frame, script or style; never stored) come
from :func:`~bridge.pages.render.page`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from urllib.parse import quote

from aiohttp import hdrs, web
from msgspec import Struct

from bridge.desk.desk import DESK
from bridge.errors import CsrfError, Unavailable
from bridge.http.form import Form, Handler, read_form
from bridge.indieauth.login.browser_session import CROSS_SITE, BrowserSession, browser_session
from bridge.indieauth.login.sessions import Session
from bridge.indieauth.login.sign_in import sign_in_page
from bridge.indieauth.server import SERVER
from bridge.pages.navigation import Notice, show_next
from bridge.pages.render import DESK_POLICY, page, page_endpoint, redirect
from bridge.store import StoreError

log = logging.getLogger(__name__)

#: The cookie that ``outbox.js`` sets while posts wait in the browser.
_OUTBOX_WAITS = "desk-outbox"
_MOST_DIGITS = 5


class Owner(Struct, frozen=True):
    """A request of the signed-in owner."""

    request: web.Request
    browser: BrowserSession
    session: Session

    def page(self, template: str, *, status: int = 200, **values: object) -> web.Response:
        """Render a template for the owner, with every protection that a page needs."""
        desk = self.request.app.get(DESK)
        return page(
            self.request,
            self.browser,
            template,
            status=status,
            policy=DESK_POLICY,
            has_own_origin=desk is not None and desk.has_own_origin,
            outbox_waits=_OUTBOX_WAITS in self.request.cookies,
            **values,
        )

    def number(self, name: str, least: int) -> int:
        """A number in the query, of a page or a row; ``least`` where it is less, or none."""
        text = self.request.query.get(name, "")
        # Python refuses numbers of thousands of digits, and no list is as long.
        is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        return max(least, int(text)) if is_number else least

    def back(self, path: str, notice: Notice | None = None) -> web.Response:
        """Redirect to another page after a form (303), which shows ``notice`` once."""
        if notice is not None:
            show_next(self.request.app, self.session.id, notice)
        return redirect(path)

    def check(self, csrf: str | None) -> None:
        """Raise :class:`CsrfError` unless a form was filled in on a page of ours.

        ``csrf`` is the form's field, or the header ``X-CSRF`` of a script of ours.
        """
        check_origin(self.request)
        self.browser.check(self.request, csrf)


OwnerPage: TypeAlias = Callable[[Owner], Awaitable[web.StreamResponse]]
OwnerForm: TypeAlias = Callable[[Owner, Form], Awaitable[web.StreamResponse]]


def check_origin(request: web.Request) -> None:
    """Raise :class:`CsrfError` where the browser names another site as the sender.

    Our own pages send ``null``, since they send no referrer (Fetch, "append a request Origin
    header"), and so can other sites' pages; scripts of our pages send our origin.
    """
    if request.headers.get("Sec-Fetch-Site") in CROSS_SITE:
        raise CsrfError
    origin = request.headers.get(hdrs.ORIGIN, "null")
    if origin not in {"null", request.app[SERVER].issuer.rstrip("/")}:
        raise CsrfError


def owner_page(handler: OwnerPage) -> Handler:
    """A handler of a page for the owner only. Other browsers are redirected to sign in."""

    async def endpoint(request: web.Request) -> web.StreamResponse:
        browser = browser_session(request)
        if browser.session is None:
            return redirect(sign_in_first(request))
        with store_errors_as_pages():
            return await handler(Owner(request, browser, browser.session))

    return page_endpoint(endpoint)


def owner_form(handler: OwnerForm) -> Handler:
    """A handler of a small form on one of the owner's pages.

    The handler gets the form once it is known to come from a page of ours, in a browser that is
    signed in.
    """

    async def endpoint(request: web.Request) -> web.StreamResponse:
        browser, form = browser_session(request), await read_form(request)
        check_origin(request)
        browser.check_form(request, form)
        if browser.session is None:
            return signed_out(request, browser)
        with store_errors_as_pages():
            return await handler(Owner(request, browser, browser.session), form)

    return page_endpoint(endpoint)


def signed_out(request: web.Request, browser: BrowserSession) -> web.Response:
    """The sign-in page, as the answer to a form without a session."""
    problem = "You were signed out. Sign in, then press the button again."
    return sign_in_page(request, browser, then=_page_of_form(request), status=401, problem=problem)


def _page_of_form(request: web.Request) -> str:
    """The page that a form's address shows; where there is none, the list of posts."""
    resource = request.match_info.route.resource
    is_page = resource is not None and any(route.method == hdrs.METH_GET for route in resource)
    return request.path if is_page else "/desk/"


@contextmanager
def store_errors_as_pages() -> Iterator[None]:
    """Translate the store's errors into errors that a page can show.

    Raises :class:`Unavailable` in their place.
    """
    try:
        yield
    except StoreError as error:
        log.warning("the desk: %s", error)
        raise Unavailable(f"The repo cannot be used just now: {error}.") from error


def sign_in_first(request: web.Request) -> str:
    """The sign-in page, which leads back to the requested page."""
    return f"/auth/sign-in?then={quote(request.rel_url.raw_path_qs, safe='')}"
