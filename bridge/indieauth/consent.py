"""``/auth`` in the browser: who asks for what, and the owner's yes or no (IndieAuth 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from bridge.auth.scopes import SCOPES, opens_something
from bridge.indieauth.authorization import (
    AuthorizationRequest,
    Sender,
    answer_url,
    read_request,
    read_sender,
)
from bridge.indieauth.client_id import may_redirect, same_origin
from bridge.indieauth.clients import Client, read_client
from bridge.indieauth.database import new_secret
from bridge.indieauth.grants import Consent, issue_code
from bridge.indieauth.http import Form, OAuthError, read_form
from bridge.indieauth.pages import PageError, page, page_endpoint, redirect
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.indieauth.signing_in import sign_in_page
from bridge.indieauth.visit import Untrusted, Visit, visit


@dataclass(slots=True)
class Pending:
    """A question on the screen of one session. ``answer`` is where the browser was sent then."""

    request: AuthorizationRequest
    client: Client
    session: int
    answer: str | None = field(default=None)


@page_endpoint
async def ask(request: web.Request) -> web.Response:
    """GET /auth: sign in first; only then is anything fetched, and the question put."""
    server, guest = request.app[SERVER], visit(request)
    query = request.rel_url.raw_query_string
    form = Form(query)
    sender = read_sender(form)
    known = server.known_client(sender.client_id)
    try:
        wish = read_request(form, sender, known)
    except OAuthError as error:
        if guest.session is None:
            raise _refused_to_a_stranger(server, sender, error) from error
        await _trusted(server, sender)
        return redirect(_refusal(server, sender, error.code, error.description), status=302)
    if guest.session is None:
        return sign_in_page(request, guest, then=f"/auth?{query}", app=sender.client_id)
    return _question(request, guest, wish, await _trusted(server, sender))


@page_endpoint
async def decide(request: web.Request) -> web.Response:
    """POST /auth/consent: send the browser back to the app with the owner's answer.

    Sent twice, as by a double click, it gives the same answer twice, and one code.
    """
    server, guest, form = request.app[SERVER], visit(request), await read_form(request)
    guest.check_form(request, form)
    pending = server.pending.get(form.need("request"))
    if guest.session is None or pending is None or pending.session != guest.session.id:
        raise Untrusted
    if pending.answer is None:
        if form.get("decision") == "allow":
            pending.answer = _yes(server, pending, set(form.every("scope")))
        else:
            sender = pending.request.sender
            pending.answer = _refusal(server, sender, "access_denied", "The owner said no.")
    return redirect(pending.answer, status=302)


def _yes(server: IndieAuthServer, pending: Pending, ticked: set[str]) -> str:
    wish, sender = pending.request, pending.request.sender
    scopes = [scope for scope in wish.scopes if scope in ticked]
    if "profile" not in scopes:
        # 5.1: "email ... must also request the profile scope".
        scopes = [scope for scope in scopes if scope != "email"]
    code = issue_code(
        server.db,
        Consent(
            client_id=sender.client_id,
            client_name=pending.client.name or "",
            redirect_uri=sender.redirect_uri,
            challenge=wish.challenge,
            scope=" ".join(scopes),
        ),
    )
    answer = {"code": code, "state": sender.state, "iss": server.issuer}
    return answer_url(sender.redirect_uri, answer | {"me": server.me} if wish.old_way else answer)


def _question(
    request: web.Request, guest: Visit, wish: AuthorizationRequest, client: Client
) -> web.Response:
    server = request.app[SERVER]
    if guest.session is None:
        raise Untrusted
    key = new_secret()
    server.pending.put(key, Pending(wish, client, guest.session.id))
    redirect_to = urlsplit(wish.sender.redirect_uri)
    return page(
        request,
        guest,
        "consent.html",
        key=key,
        client=client,
        on_web=redirect_to.scheme in {"http", "https"},
        host=redirect_to.netloc or f"{redirect_to.scheme}:",
        scheme=redirect_to.scheme,
        scopes=[(word, SCOPES[word].meaning if word in SCOPES else None) for word in wish.scopes],
        reads=opens_something(frozenset(wish.scopes)),
        without_pkce=wish.challenge is None,
    )


async def _trusted(server: IndieAuthServer, sender: Sender) -> Client:
    """The app behind a request, once it is sure that the answer would reach it.

    5.2.1: an address elsewhere than the client_id must be one that the app publishes. Raises
    :class:`PageError`: nobody is sent to an address that is not.
    """
    known = server.known_client(sender.client_id)
    client = await read_client(sender.client_id, server.fetch, known)
    if not may_redirect(sender.client_id, sender.redirect_uri, client.redirect_uris):
        raise PageError(
            "This request is not safe to answer",
            f"The app {sender.client_id} asks for the answer to be sent to {sender.redirect_uri},"
            " which it does not publish as an address of its own.",
        )
    return client


def _refused_to_a_stranger(server: IndieAuthServer, sender: Sender, error: OAuthError) -> PageError:
    """Nobody has signed in, so nobody is redirected: that would serve whoever made the link.

    RFC 9700 4.11.2. A link takes the error back to the app.
    """
    link = None
    if same_origin(sender.client_id, sender.redirect_uri):
        back = _refusal(server, sender, error.code, error.description)
        link = (back, f"Back to {urlsplit(sender.redirect_uri).netloc}")
    return PageError("The app's request is not complete", error.description, link=link)


def _refusal(server: IndieAuthServer, sender: Sender, code: str, description: str) -> str:
    return answer_url(
        sender.redirect_uri,
        {
            "error": code,
            "error_description": description,
            "state": sender.state,
            "iss": server.issuer,
        },
    )
