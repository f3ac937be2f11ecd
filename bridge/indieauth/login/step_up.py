"""Step-up authentication: the owner proves their identity again before sensitive changes.

A browser left open, or led here by a link on another site, is signed in as well. Changes of who can
sign in, and how, need a passkey or the password within the last five minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from bridge.errors import CsrfError
from bridge.http.form import Form, read_form
from bridge.indieauth.login.browser_session import BrowserSession, browser_session
from bridge.indieauth.login.password import check_password
from bridge.indieauth.login.sessions import Session, prove_again
from bridge.indieauth.login.sign_in import local_path, sign_in_page, ways_to_sign_in
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.pages.render import page, page_endpoint, redirect

CONFIRM = "/auth/confirm"

Fields = Sequence[tuple[str, str]]


async def ask_again(
    request: web.Request,
    browser: BrowserSession,
    form: Form,
    *,
    action: str,
    fields: Fields,
    instead: tuple[str, str, str] | None = None,
) -> web.Response | None:
    """``None`` if the last proof is recent, or the form has the right password in ``proof``.

    Otherwise a page that asks for it and then sends ``fields`` to ``action``. ``instead`` is an
    additional button that needs no proof: its name, value and label. Raises
    :class:`~bridge.errors.TooManyRequests`.
    """
    server, session = request.app[SERVER], browser.session
    if session is None:
        raise CsrfError
    if session.is_recent:
        return None
    password, problem = form.get("proof"), None
    if password is not None:
        if await _is_right(server, session, password):
            prove_again(server.db, session.id)
            return None
        problem = "That is not the password."
    return _page(request, browser, action=action, fields=fields, instead=instead, problem=problem)


async def _is_right(server: IndieAuthServer, session: Session, password: str) -> bool:
    tries = attempt_within(server, session)
    async with server.owners_hashing:
        right = await check_password(server.db, password)
    if right:
        server.attempts.succeeded(tries)
    return right


def attempt_within(server: IndieAuthServer, session: Session) -> str:
    """Count an attempt of a signed-in browser, separately from others; returns the limiter's key.

    Raises :class:`~bridge.errors.TooManyRequests`.
    """
    tries = f"session {session.id}"
    server.attempts.attempt(tries, exempt_from_total=True)
    return tries


@page_endpoint
async def show(request: web.Request) -> web.Response:
    """GET /auth/confirm: ask for a proof, then continue to ``then``."""
    browser, then = browser_session(request), local_path(request.query.get("then"))
    if browser.session is None:
        return sign_in_page(request, browser, then=then, status=401)
    if browser.session.is_recent:
        return redirect(then)
    return _page(request, browser, action=CONFIRM, fields=[("then", then)])


@page_endpoint
async def confirm(request: web.Request) -> web.Response:
    """POST /auth/confirm."""
    browser, form = browser_session(request), await read_form(request)
    browser.check_form(request, form)
    then = local_path(form.get("then"))
    question = await ask_again(request, browser, form, action=CONFIRM, fields=[("then", then)])
    return question or redirect(then)


def _page(
    request: web.Request,
    browser: BrowserSession,
    *,
    action: str,
    fields: Fields,
    instead: tuple[str, str, str] | None = None,
    problem: str | None = None,
) -> web.Response:
    server = request.app[SERVER]
    return page(
        request,
        browser,
        "confirm.html",
        status=403 if problem else 200,
        action=action,
        fields=fields,
        instead=instead,
        problem=problem,
        **ways_to_sign_in(server),
    )
