"""``/auth`` in the browser: the consent screen (IndieAuth 5.2)."""

from __future__ import annotations

import json
import logging
import secrets
from urllib.parse import quote, urlsplit

from aiohttp import web

from bridge.auth.token import READERS, SCOPES, grants_any_access
from bridge.errors import CsrfError, OAuthError
from bridge.http.form import Form, read_form
from bridge.indieauth.login.browser_session import BrowserSession, browser_session
from bridge.indieauth.login.sign_in import sign_in_page
from bridge.indieauth.login.step_up import ask_again
from bridge.indieauth.oauth.authorization import (
    AuthorizationRequest,
    Pending,
    RequestingApp,
    answer_url,
    read_request,
    read_sender,
)
from bridge.indieauth.oauth.client_id import (
    check_redirect,
    leads_to_this_machine,
    may_redirect,
    same_origin,
)
from bridge.indieauth.oauth.clients import Client, read_client
from bridge.indieauth.oauth.grants import Consent, can_be_redeemed, issue_code, revoke_code
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.pages.render import (
    Advice,
    PageError,
    page,
    page_endpoint,
    redirect,
)
from bridge.settings import KnownClient

log = logging.getLogger(__name__)

#: Scopes that can destroy content. If a page led to the question, the owner must have proved their
#: identity recently. Scopes that delete are not ticked by default. ``post`` is an older name
#: for ``create`` and ``update``.
STRONG = frozenset({"update", "delete", "undelete", "post"})
UNTICKED = frozenset({"delete", "undelete"})


@page_endpoint
async def ask(request: web.Request) -> web.Response:
    """GET /auth: require a signed-in owner, then fetch the app's information and ask for
    consent.
    """
    server, browser = request.app[SERVER], browser_session(request)
    query = request.rel_url.raw_query_string
    form = Form(query)
    sender = read_sender(form, server.known_client)
    try:
        authorization = read_request(form, sender, server.known_client(sender.client_id))
    except OAuthError as error:
        advice, is_owner = _advice(form, sender), browser.session is not None
        if is_owner:
            await _trusted(server, sender, advice)
        refused = _incomplete(server, sender, error, is_trusted=is_owner)
        if is_owner:
            refused.advice = advice
        elif advice is not None:
            # What can be done about it is for the owner alone.
            where = f"/auth/sign-in?then={quote(f'/auth?{query}', safe='')}"
            also = (where, "Your site? Sign in to see what you can do")
            refused.also = also
        raise refused from error
    if browser.session is None:
        return sign_in_page(request, browser, then=f"/auth?{query}", app=sender.client_id)
    return _question(request, browser, authorization, await _trusted(server, sender))


@page_endpoint
async def decide(request: web.Request) -> web.Response:
    """POST /auth/consent: redirect back to the app with the owner's decision.

    Sending the form twice, as by a double click, gives the same redirect and a single code. Another
    decision, after the browser's "Back", replaces the one before; and once the app has used the
    code, it gets a new one, because a second use would end its access.
    """
    server, browser, form = request.app[SERVER], browser_session(request), await read_form(request)
    browser.check_form(request, form)
    pending = server.pending.get(form.need("request"))
    if browser.session is None or pending is None or pending.session != browser.session.id:
        raise CsrfError
    if form.get("decision") == "allow":
        scopes = _ticked(pending, form)
        if pending.from_page and STRONG & set(scopes):
            again = await ask_again(
                request,
                browser,
                form,
                action="/auth/consent",
                fields=[
                    *(("request", form.need("request")), ("decision", "allow")),
                    *(("scope", scope) for scope in scopes),
                ],
                instead=("without", "strong", "Allow the rest, but no changes and no deleting"),
            )
            if again is not None:
                return again
        return redirect(_yes(server, pending, scopes), status=302)
    _withdraw(server, pending)
    sender = pending.request.sender
    no = _refusal(server, sender, "access_denied", "The owner said no.")
    return redirect(no, status=302)


def _ticked(pending: Pending, form: Form) -> tuple[str, ...]:
    """The requested scopes that the owner has ticked."""
    ticked = set(form.every("scope"))
    if form.get("without") == "strong":
        ticked -= STRONG
    if "profile" not in ticked:
        # 5.1: "email ... must also request the profile scope".
        ticked.discard("email")
    ticked &= SCOPES.keys() | READERS
    return tuple(scope for scope in pending.request.scopes if scope in ticked)


def _yes(server: IndieAuthServer, pending: Pending, scopes: tuple[str, ...]) -> str:
    """The redirect with a code for these scopes."""
    authorization, sender = pending.request, pending.request.sender
    if scopes != pending.scopes:
        _withdraw(server, pending)
        pending.scopes = scopes
    if not pending.codes or not can_be_redeemed(server.db, pending.codes[-1]):
        pending.codes.append(_new_code(server, pending, scopes))
    answer = {"code": pending.codes[-1], "state": sender.state, "iss": server.issuer}
    return answer_url(
        sender.redirect_uri, answer | {"me": server.me} if authorization.old_way else answer
    )


def _withdraw(server: IndieAuthServer, pending: Pending) -> None:
    """End what the owner has allowed before."""
    for code in pending.codes:
        revoke_code(server.db, code)
    pending.codes.clear()


def _new_code(server: IndieAuthServer, pending: Pending, scopes: tuple[str, ...]) -> str:
    authorization, sender = pending.request, pending.request.sender
    code = issue_code(
        server.db,
        Consent(
            client_id=sender.client_id,
            client_name=pending.client.name or "",
            redirect_uri=sender.redirect_uri,
            challenge=authorization.challenge,
            scope=" ".join(scopes),
        ),
    )
    # The scopes are some of ours, and a client's URL has no characters that could start a line.
    log.info(
        "%s may sign in, and has these scopes: %s", sender.client_id, " ".join(scopes) or "none"
    )
    return code


def _question(
    request: web.Request,
    browser: BrowserSession,
    authorization: AuthorizationRequest,
    client: Client,
) -> web.Response:
    server = request.app[SERVER]
    if browser.session is None:
        raise CsrfError
    known = [word for word in authorization.scopes if word in SCOPES or word in READERS]
    # Not a secret: it is valid in this session only.
    key = secrets.token_hex(16)
    server.pending.put(
        key, Pending(authorization, client, browser.session.id, _page_led_here(request))
    )
    redirect_to = urlsplit(authorization.sender.redirect_uri)
    return page(
        request,
        browser,
        "consent.html",
        key=key,
        client=client,
        on_web=redirect_to.scheme in {"http", "https"},
        host=redirect_to.netloc or f"{redirect_to.scheme}:",
        scheme=redirect_to.scheme,
        scopes=[(word, SCOPES[word].meaning if word in SCOPES else None) for word in known],
        unknown=[word for word in authorization.scopes if word not in known],
        unticked=UNTICKED,
        reads=grants_any_access(frozenset(authorization.scopes)),
        without_pkce=authorization.challenge is None,
    )


def _page_led_here(request: web.Request) -> bool:
    """Whether a link or script on a page led to the question, and not an app on this device or a
    typed address.

    Pages of this origin count: where the site shares the host name, an app may have put the link
    into a post. No page of ours leads here but after a sign-in, which is a proof itself.
    """
    return request.headers.get("Sec-Fetch-Site") != "none"


def _advice(form: Form, sender: RequestingApp) -> Advice | None:
    """How the owner can allow an app without PKCE; ``None`` for any other error."""
    lines = (
        "[[indieauth.clients]]",
        f"id = {json.dumps(sender.client_id)}",
        "pkce = false",
        f"redirect_uris = [{json.dumps(sender.redirect_uri)}]",
    )
    old = KnownClient(id=sender.client_id, pkce=False, redirect_uris=(sender.redirect_uri,))
    try:
        check_redirect(sender.redirect_uri, old)
        read_request(form, sender, old)
    except OAuthError:
        return None
    return Advice(
        "The app is older than PKCE, which protects a sign-in on its way. If you trust it, and have"
        " just started this yourself, you can let it in as it is: add these lines to bridge.toml,",
        "\n".join(lines),
        "restart the bridge, and sign in from the app once more.",
    )


async def _trusted(
    server: IndieAuthServer, sender: RequestingApp, advice: Advice | None = None
) -> Client:
    """The app of a request, once the redirect URI is known to be its own.

    5.2.1: a redirect URI of another origin than the client_id must be published by the app. Raises
    :class:`PageError` if it is not, since redirecting would be unsafe. ``advice`` is for an old app
    whose redirect URI opens a program on the owner's machine; it is not shown for other URIs, which
    may belong to an attacker.
    """
    known = server.known_client(sender.client_id)
    client = await read_client(sender.client_id, server.fetch, known)
    if may_redirect(sender.client_id, sender.redirect_uri, client.redirect_uris):
        return client
    wanted = f"The app {sender.client_id} asks for the answer to be sent to {sender.redirect_uri}"
    is_here = leads_to_this_machine(sender.redirect_uri)
    if client.problem is not None:
        raise PageError(
            "The app cannot be reached",
            f"{wanted}. Whether that is an address of its own is said on the app's page, which"
            f" could not be read: {client.problem}. Try again when it can.",
            link=("/tokens", "Your apps"),
            advice=advice if is_here else None,
        )
    raise PageError(
        "This request is not safe to answer",
        f"{wanted}, which it does not publish as an address of its own.",
        link=("/tokens", "Your apps"),
        # An app that publishes redirect URIs has published others than this one.
        advice=advice if is_here and not client.redirect_uris else None,
    )


def _incomplete(
    server: IndieAuthServer,
    sender: RequestingApp,
    error: OAuthError,
    *,
    is_trusted: bool,
) -> PageError:
    """The error page for an invalid request, with a link that returns the error to the app.

    There is no automatic redirect before the owner has clicked, which would make this an open
    redirector (RFC 9700 4.11.2). The description stays in English: it names parameters of OAuth,
    for the app's developer, who also gets it in ``error_description``.
    """
    link = None
    if is_trusted or same_origin(sender.client_id, sender.redirect_uri):
        back = _refusal(server, sender, error.code, error.description)
        place = urlsplit(sender.redirect_uri)
        link = (
            back,
            f"Go back to the app at {place.netloc}" if place.netloc else "Go back to the app",
        )
    return PageError("The app's request is not complete", error.description, link=link)


def _refusal(server: IndieAuthServer, sender: RequestingApp, code: str, description: str) -> str:
    return answer_url(
        sender.redirect_uri,
        {
            "error": code,
            "error_description": description,
            "state": sender.state,
            "iss": server.issuer,
        },
    )
