"""The sign-in page: by password, or by a link sent by e-mail."""

from __future__ import annotations

import logging
import re
from typing import TypedDict
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from bridge.http.form import read_form
from bridge.http.limits import client_ip
from bridge.indieauth.login import one_time_links
from bridge.indieauth.login.browser_session import BrowserSession, browser_session, set_cookie
from bridge.indieauth.login.known_browsers import attempt, remember, succeeded
from bridge.indieauth.login.password import check_password, has_password, is_set_up
from bridge.indieauth.login.sessions import device, end_session, start_session
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.indieauth.webauthn.passkeys import list_passkeys
from bridge.pages.language import preferred, speak, translated
from bridge.pages.render import PageError, page, page_endpoint, redirect

log = logging.getLogger(__name__)

HOME = "/tokens"

#: A path that begins with exactly one slash and has no character that browsers remove or convert.
_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def local_path(raw: str | None) -> str:
    """The path to go to after signing in; the start page unless ``raw`` is a local path."""
    return raw if raw is not None and _LOCAL.fullmatch(raw) else HOME


def sign_in_page(
    request: web.Request,
    browser: BrowserSession,
    *,
    then: str,
    status: int = 200,
    problem: str | None = None,
    app: str | None = None,
) -> web.Response:
    """The sign-in page. ``then`` is the path to continue to, ``app`` the app that asks, if any."""
    server = request.app[SERVER]
    return page(
        request,
        browser,
        "sign_in.html",
        status=status,
        then=then,
        problem=problem,
        app=app,
        set_up=is_set_up(server.db),
        **ways_to_sign_in(server),
        by_mail=server.mail is not None,
    )


class WaysToSignIn(TypedDict):
    """Whether the owner has a password, and passkeys that work here; for templates."""

    password: bool
    passkeys: bool


def ways_to_sign_in(server: IndieAuthServer) -> WaysToSignIn:
    """What the owner can sign in with at the moment."""
    return {
        "password": has_password(server.db),
        "passkeys": server.can_use_passkeys and bool(list_passkeys(server.db)),
    }


def signed_in(request: web.Request, response: web.Response, *, way: str) -> web.Response:
    """Sign this browser in, with a new cookie, and answer ``response``."""
    server = request.app[SERVER]
    name = device(request.headers.get(hdrs.USER_AGENT, ""))
    log.info("signed in with %s: %s", way, name)
    set_cookie(server, response, start_session(server.db, way=way, device=name), signed_in=True)
    remember(request, response)
    return response


@page_endpoint
async def show(request: web.Request) -> web.Response:
    """GET /auth/sign-in."""
    browser = browser_session(request)
    then = local_path(request.query.get("then"))
    if browser.session is not None:
        return redirect(then)
    return sign_in_page(request, browser, then=then)


async def is_password(request: web.Request, typed: str) -> bool:
    """Whether this is the owner's password. Each attempt counts.

    Raises :class:`~bridge.errors.TooManyRequests`.
    """
    server = request.app[SERVER]
    is_known = attempt(request, server.attempts)
    async with server.owners_hashing if is_known else server.hashing:
        right = await check_password(server.db, typed)
    if right:
        succeeded(request, server.attempts)
    else:
        log.warning("sign-in refused: not the password; sent from %r", client_ip(request))
    return right


@page_endpoint
async def with_password(request: web.Request) -> web.Response:
    """POST /auth/sign-in."""
    browser, form = browser_session(request), await read_form(request)
    browser.check_form(request, form)
    then = local_path(form.get("then"))
    if not await is_password(request, form.get("password") or ""):
        return sign_in_page(
            request, browser, then=then, status=403, problem="That is not the password."
        )
    return signed_in(request, redirect(then), way="password")


@page_endpoint
async def send_link(request: web.Request) -> web.Response:
    """POST /auth/sign-in/link: mail a link to the owner's address."""
    server, browser, form = request.app[SERVER], browser_session(request), await read_form(request)
    browser.check_form(request, form)
    if server.mail is None:
        raise PageError("No e-mail", "No mail server is set up here.", status=404)
    attempt(request, server.mails)
    then = local_path(form.get("then"))
    key = one_time_links.make(server.db, "sign-in", browser=browser.secret, then=then)
    # In the language of the page that asks for it.
    speak(preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))
    instruction = translated(
        "Someone, hopefully you, wants to sign in as {me}. This link works once, for ten minutes,"
        " in the browser that asked:"
    )
    otherwise = translated("If that was not you, there is nothing to do.")
    server.mail.send_soon(
        translated("Sign in to {host}").format(host=urlsplit(str(server.me)).netloc),
        f"{instruction.format(me=server.me)}\n\n{server.url(one_time_links.path(key))}\n\n{otherwise}\n",
    )
    return page(request, browser, "mail_sent.html")


@page_endpoint
async def open_link(request: web.Request) -> web.Response:
    """GET /auth/sign-in/link: a page with a button, since mail programs open links by
    themselves.
    """
    return page(
        request,
        browser_session(request),
        "open_link.html",
        key=request.query.get("key", ""),
    )


@page_endpoint
async def with_link(request: web.Request) -> web.Response:
    """POST /auth/sign-in/link/open: use up the link. Links cannot be guessed, so attempts are
    not limited.
    """
    server, browser, form = request.app[SERVER], browser_session(request), await read_form(request)
    browser.check_form(request, form)
    link = one_time_links.use(server.db, form.get("key") or "", "sign-in", browser=browser.secret)
    if link is None:
        raise PageError(
            "This link does not work",
            "It works once, for ten minutes, and only in the browser that asked for it.",
            status=403,
            link=("/auth/sign-in", "Ask for another"),
        )
    return signed_in(request, redirect(local_path(link.then)), way="e-mail link")


@page_endpoint
async def sign_out(request: web.Request) -> web.Response:
    """POST /auth/sign-out."""
    server, browser, form = request.app[SERVER], browser_session(request), await read_form(request)
    browser.check_form(request, form)
    if browser.session is not None:
        end_session(server.db, browser.session.id)
    return redirect("/auth/sign-in")
