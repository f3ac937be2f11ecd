"""The first sign-in and recovery, with the one-time set-up link."""

from __future__ import annotations

import asyncio

from aiohttp import web

from bridge.http.form import read_form
from bridge.indieauth.login.browser_session import browser_session
from bridge.indieauth.login.password import (
    LinkUsed,
    hash_password,
    setup_link_is_good,
    start_over,
    store_password,
)
from bridge.indieauth.login.sign_in import HOME, signed_in
from bridge.indieauth.server import SERVER
from bridge.pages.render import PageError, page, page_endpoint, redirect


def link_used() -> PageError:
    """The error page for an invalid link."""
    return PageError(
        "This link does not work",
        "A set-up link works once, for a day. For a new one, run on the server the command that"
        " starts the bridge, with “owner reset” in place of “serve”.",
        status=403,
        link=("/auth/sign-in", "Sign in"),
    )


@page_endpoint
async def show(request: web.Request) -> web.Response:
    """GET /auth/set-up: choose a way to sign in. Opening the page does not use up the link."""
    key = request.query.get("key", "")
    return _page(request, key)


@page_endpoint
async def with_password(request: web.Request) -> web.Response:
    """POST /auth/set-up: set the first password.

    Links cannot be guessed, so attempts are not limited; others could use up the limit.
    """
    server, browser, form = request.app[SERVER], browser_session(request), await read_form(request)
    browser.check_form(request, form)
    key, password = form.get("key") or "", form.get("password") or ""
    if not setup_link_is_good(server.db, key):
        raise link_used()
    if password != form.get("again"):
        return _page(request, key, differ=True)
    try:
        async with server.owners_hashing:
            hashed = await asyncio.to_thread(hash_password, password)
    except ValueError as error:
        return _page(request, key, problem=str(error))
    try:
        with server.db.transaction() as connection:
            start_over(connection, key)
            store_password(connection, hashed)
    except LinkUsed:
        raise link_used() from None
    return signed_in(request, redirect(HOME), way="password")


def _page(
    request: web.Request, key: str, *, problem: str | None = None, differ: bool = False
) -> web.Response:
    """The set-up page. ``differ``: the two passwords are different."""
    server = request.app[SERVER]
    if not setup_link_is_good(server.db, key):
        raise link_used()
    return page(
        request,
        browser_session(request),
        "set_up.html",
        status=400 if problem or differ else 200,
        key=key,
        differ=differ,
        problem=problem,
        passkeys=server.can_use_passkeys,
    )
