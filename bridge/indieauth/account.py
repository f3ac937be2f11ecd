"""The owner's account pages: ``/tokens`` and ``/auth/sessions``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiohttp import web

from bridge.auth.token import IDENTITY, OFFERED, SCOPES
from bridge.errors import CsrfError
from bridge.http.form import Form, read_form
from bridge.indieauth.database import Database
from bridge.indieauth.login.browser_session import BrowserSession, browser_session
from bridge.indieauth.login.password import (
    check_password,
    has_password,
    hash_password,
    store_password,
)
from bridge.indieauth.login.sessions import Session, end_other_sessions, end_session, list_sessions
from bridge.indieauth.login.sign_in import sign_in_page
from bridge.indieauth.login.step_up import CONFIRM, ask_again, attempt_within
from bridge.indieauth.oauth.app_tokens import (
    create_token,
    list_tokens,
    rename_token,
    revoke_token,
)
from bridge.indieauth.oauth.consent import UNTICKED
from bridge.indieauth.oauth.grants import connected_apps, revoke_grant
from bridge.indieauth.server import SERVER
from bridge.indieauth.webauthn.passkeys import list_passkeys, remove_passkey, rename_passkey
from bridge.pages.render import page, page_endpoint, redirect

log = logging.getLogger(__name__)

#: Selectable lifetimes of an app token, in days; 0 means no expiry.
_DAYS = (365, 90, 30, 7, 0)
#: The scopes ticked by default for a new token. A pasted token need not identify the owner.
_TICKED = frozenset(OFFERED) - UNTICKED - IDENTITY
_LONGEST_NAME = 80
_NAMELESS = "Give it a name, so that you recognise it later."


@page_endpoint
async def tokens(request: web.Request) -> web.Response:
    """GET /tokens: connected apps, app tokens, and the form for a new token."""
    return _page_for_owner(request, _tokens_page, "/tokens")


@page_endpoint
async def create(request: web.Request) -> web.Response:
    """POST /tokens: create an app token, which is shown once on the next page."""
    server = request.app[SERVER]
    browser, session, form = await _owner_form(request)
    days = _number(form, "days")
    if days not in _DAYS:
        problem = "Choose how long the token should last."
        return _tokens_page(request, browser, problem=problem, typed=form)
    name = (form.get("name") or "")[:_LONGEST_NAME]
    fields = [("name", form.get("name") or ""), ("days", str(days))]
    fields += [("scope", scope) for scope in form.every("scope")]
    if again := await ask_again(request, browser, form, action="/tokens", fields=fields):
        return again
    try:
        secret = create_token(
            server.db,
            name,
            form.every("scope"),
            expires=time.time() + days * 86400 if days else None,
        )
    except ValueError:
        problem = "Give the token a name."
        if not form.every("scope"):
            problem = "Tick what the token may do."
        return _tokens_page(request, browser, problem=problem, typed=form)
    log.info("a token was created: %r, with these scopes: %s", name, " ".join(form.every("scope")))
    server.just_made.put(str(session.id), secret)
    return redirect("/tokens")


@page_endpoint
async def revoke(request: web.Request) -> web.Response:
    """POST /tokens/revoke: revoke an app token (``token``) or a connected app's grant
    (``grant``).
    """
    server = request.app[SERVER]
    _, _, form = await _owner_form(request)
    token, grant = _number(form, "token"), _number(form, "grant")
    if token is not None:
        revoke_token(server.db, token)
        log.info("a token was revoked")
    if grant is not None:
        revoke_grant(server.db, grant)
        log.info("an app was disconnected")
    return redirect("/tokens")


@page_endpoint
async def rename(request: web.Request) -> web.Response:
    """POST /tokens/rename: change the ``name`` of an app token (``token``, its id)."""
    return await _rename(request, "token", rename_token, _tokens_page, "/tokens")


@page_endpoint
async def sessions(request: web.Request) -> web.Response:
    """GET /auth/sessions: signed-in browsers, passkeys, password."""
    return _page_for_owner(request, _sessions_page, "/auth/sessions")


@page_endpoint
async def end(request: web.Request) -> web.Response:
    """POST /auth/sessions/end: end one session by its id, or all ``others``."""
    server = request.app[SERVER]
    _, session, form = await _owner_form(request)
    number = _number(form, "session")
    if number is not None:
        end_session(server.db, number)
    elif form.get("others"):
        end_other_sessions(server.db, session.id)
    return redirect("/auth/sessions")


@page_endpoint
async def forget_passkey(request: web.Request) -> web.Response:
    """POST /auth/passkeys/remove: remove a passkey, unless it is the only way to sign in."""
    server = request.app[SERVER]
    browser, _, form = await _owner_form(request)
    passkey = _number(form, "passkey")
    fields = [("passkey", str(passkey))]
    if again := await ask_again(
        request, browser, form, action="/auth/passkeys/remove", fields=fields
    ):
        return again
    if len(list_passkeys(server.db)) == 1 and not has_password(server.db):
        return _sessions_page(
            request, browser, problem="This is your only way in. Set a password first."
        )
    if passkey is not None:
        remove_passkey(server.db, passkey)
    return redirect("/auth/sessions")


@page_endpoint
async def name_passkey(request: web.Request) -> web.Response:
    """POST /auth/passkeys/rename: change the ``name`` of a passkey (``passkey``, its id)."""
    return await _rename(request, "passkey", rename_passkey, _sessions_page, "/auth/sessions")


@page_endpoint
async def change_password(request: web.Request) -> web.Response:
    """POST /auth/password: change the password and end the other sessions.

    Needs the present password if there is one.
    """
    server = request.app[SERVER]
    browser, session, form = await _owner_form(request)
    if not has_password(server.db):
        # The new password is not carried over the confirmation page; it has to be typed again.
        then = [("then", "/auth/sessions")]
        if again := await ask_again(request, browser, form, action=CONFIRM, fields=then):
            return again
    tries = attempt_within(server, session)
    new = form.get("password") or ""
    if new != form.get("again"):
        return _sessions_page(request, browser, differ=True)
    async with server.owners_hashing:
        if has_password(server.db) and not await check_password(
            server.db, form.get("current") or ""
        ):
            return _sessions_page(request, browser, problem="That is not your current password.")
        try:
            hashed = await asyncio.to_thread(hash_password, new)
        except ValueError as error:
            return _sessions_page(request, browser, problem=str(error))
    with server.db.transaction() as connection:
        store_password(connection, hashed)
    end_other_sessions(server.db, session.id)
    server.attempts.succeeded(tries)
    return redirect("/auth/sessions")


def _page_for_owner(
    request: web.Request, its_page: Callable[..., web.Response], path: str
) -> web.Response:
    """A page for the signed-in owner; others are asked to sign in, and led to ``path`` then."""
    browser = browser_session(request)
    if browser.session is None:
        return sign_in_page(request, browser, then=path, status=401)
    return its_page(request, browser)


async def _rename(
    request: web.Request,
    field: str,
    rename: Callable[[Database, int, str], None],
    same_page: Callable[..., web.Response],
    then: str,
) -> web.Response:
    """Rename what has the id in ``field``, and go to ``then``; with a blank name, show the same
    page again.
    """
    browser, _, form = await _owner_form(request)
    name = (form.get("name") or "")[:_LONGEST_NAME]
    try:
        rename(request.app[SERVER].db, _number(form, field) or 0, name)
    except ValueError:
        return same_page(request, browser, problem=_NAMELESS)
    return redirect(then)


async def _owner_form(request: web.Request) -> tuple[BrowserSession, Session, Form]:
    """A form submitted by the signed-in owner. Raises :class:`CsrfError`."""
    browser, form = browser_session(request), await read_form(request)
    browser.check_form(request, form)
    if browser.session is None:
        raise CsrfError
    return browser, browser.session, form


def _tokens_page(
    request: web.Request,
    browser: BrowserSession,
    *,
    problem: str | None = None,
    typed: Form | None = None,
) -> web.Response:
    """The page of app tokens. ``typed`` is a rejected form whose values are shown again."""
    server = request.app[SERVER]
    return page(
        request,
        browser,
        "tokens.html",
        status=400 if problem else 200,
        problem=problem,
        made=server.just_made.pop(str(browser.session.id)) if browser.session else None,
        apps=connected_apps(server.db),
        tokens=list_tokens(server.db),
        scopes=[(word, SCOPES[word].meaning) for word in OFFERED],
        ticked=_TICKED if typed is None else typed.every("scope"),
        typed_name="" if typed is None else (typed.get("name") or "")[:_LONGEST_NAME],
        chosen=None if typed is None else _number(typed, "days"),
        unnamed=typed is not None and not (typed.get("name") or "").strip(),
        unticked=typed is not None and not typed.every("scope"),
        days=_DAYS,
        two_ways=has_password(server.db) and bool(list_passkeys(server.db)),
    )


def _sessions_page(
    request: web.Request,
    browser: BrowserSession,
    *,
    problem: str | None = None,
    differ: bool = False,
) -> web.Response:
    """The page of sessions. ``differ``: the two new passwords are different."""
    server = request.app[SERVER]
    return page(
        request,
        browser,
        "sessions.html",
        status=400 if problem or differ else 200,
        differ=differ,
        problem=problem,
        sessions=list_sessions(server.db),
        keys=list_passkeys(server.db),
        can_use_passkeys=server.can_use_passkeys,
        password=has_password(server.db),
    )


def _number(form: Form, name: str) -> int | None:
    value = form.get(name) or ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 18 else None
