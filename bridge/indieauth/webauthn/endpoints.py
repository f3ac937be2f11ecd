"""JSON endpoints for the passkey script. Each call has a CSRF token.

Imported on first use (:mod:`bridge.indieauth.routes`), since py_webauthn is large.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import hdrs, web
from msgspec import Struct

from bridge.errors import CsrfError, OAuthError, TooManyRequests
from bridge.http.form import Handler, read_body
from bridge.indieauth.login.browser_session import BrowserSession, browser_session
from bridge.indieauth.login.known_browsers import attempt
from bridge.indieauth.login.password import LinkUsed, setup_link_is_good, start_over
from bridge.indieauth.login.sessions import device, prove_again
from bridge.indieauth.login.sign_in import HOME, local_path, signed_in
from bridge.indieauth.login.step_up import attempt_within
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.indieauth.webauthn.ceremony import (
    challenge_in,
    check_creation,
    check_proof,
    creation_options,
    request_options,
)
from bridge.indieauth.webauthn.passkeys import PasskeyRefused, store_passkey
from bridge.pages.language import device as in_words
from bridge.pages.language import preferred, speak, translated


class _Call(Struct, frozen=True):
    """One call of the script: who it comes from, and what it says."""

    server: IndieAuthServer
    browser: BrowserSession
    body: dict[str, Any]

    def text(self, name: str) -> str:
        """A text field of the body; ``""`` where it is absent or not text."""
        value = self.body.get(name)
        return value if isinstance(value, str) else ""

    def credential(self) -> dict[str, object]:
        """The authenticator's response. Raises :class:`PasskeyRefused` where it is missing."""
        value = self.body.get("credential")
        if not isinstance(value, dict):
            raise PasskeyRefused("The browser sent no passkey.")
        return value

    def check_may_create(self) -> None:
        """Require a valid set-up link, or a session with a recent proof of identity.

        Raises :class:`LinkUsed`, :class:`PasskeyRefused`.
        """
        key = self.text("key")
        if key or self.browser.session is None:
            if not setup_link_is_good(self.server.db, key):
                raise LinkUsed
        elif not self.browser.session.is_recent:
            raise PasskeyRefused("Reload the page, and confirm first that it is you.")

    def new_challenge(self) -> bytes:
        """A new challenge for this browser."""
        return self.server.challenges.make(self.browser.secret)

    def challenge(self) -> bytes:
        """The signed challenge, if it was issued for this browser and is still valid. Raises
        :class:`PasskeyRefused`.
        """
        challenge = challenge_in(self.credential())
        if not self.server.challenges.is_open(challenge, self.browser.secret):
            raise PasskeyRefused("That took too long. Please try again.")
        return challenge


def _refusal(text: str, *, status: int) -> web.Response:
    """An error that the script shows."""
    return _json({"error": translated(text)}, status=status)


def _script_endpoint(handler: Handler) -> Handler:
    """An endpoint for a script: its errors, and names it stores, are in the reader's language."""

    async def endpoint(request: web.Request) -> web.StreamResponse:
        speak(preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))
        try:
            return await handler(request)
        except (PasskeyRefused, LinkUsed) as error:
            text = str(error) or "This link does not work any more."
            return _refusal(text, status=403)
        except CsrfError:
            return _refusal("Reload the page, and try again.", status=403)
        except TooManyRequests:
            return _refusal("Too many attempts. Wait some minutes.", status=429)

    return endpoint


@_script_endpoint
async def ask_creation(request: web.Request) -> web.Response:
    """POST /auth/passkeys/options: for the signed-in owner, or with a set-up link."""
    call = await _call(request)
    call.check_may_create()
    challenge = call.new_challenge()
    options = creation_options(call.server.db, call.server.party, call.server.me, challenge)
    return _json(json.loads(options))


@_script_endpoint
async def create(request: web.Request) -> web.Response:
    """POST /auth/passkeys: store a created passkey. With a set-up link, also sign in."""
    call = await _call(request)
    call.check_may_create()
    key = call.text("key")
    challenge = call.challenge()
    proven = check_creation(call.server.party, challenge, call.credential())
    call.server.challenges.answered(challenge)
    # Its owner can rename it, so it has a name in their language from the start.
    name = in_words(device(request.headers.get(hdrs.USER_AGENT, "")))
    with call.server.db.transaction() as connection:
        if key:
            start_over(connection, key)
        store_passkey(connection, proven, name)
    if key:
        return signed_in(request, _json({"then": HOME}), way="passkey")
    return _json({"then": "/auth/sessions"})


@_script_endpoint
async def ask_proof(request: web.Request) -> web.Response:
    """POST /auth/sign-in/passkey/options."""
    call = await _call(request)
    return _json(json.loads(request_options(call.server.party, call.new_challenge())))


@_script_endpoint
async def sign_in(request: web.Request) -> web.Response:
    """POST /auth/sign-in/passkey."""
    call = await _call(request)
    attempt(request, call.server.passkey_attempts)
    challenge = call.challenge()
    check_proof(call.server.db, call.server.party, challenge, call.credential())
    call.server.challenges.answered(challenge)
    return signed_in(request, _json({"then": local_path(call.text("then"))}), way="passkey")


@_script_endpoint
async def prove(request: web.Request) -> web.Response:
    """POST /auth/confirm/passkey: prove the signed-in owner's identity again."""
    call = await _call(request)
    session = call.browser.session
    if session is None:
        raise CsrfError
    attempt_within(call.server, session)
    challenge = call.challenge()
    check_proof(call.server.db, call.server.party, challenge, call.credential())
    call.server.challenges.answered(challenge)
    prove_again(call.server.db, session.id)
    return _json({})


async def _call(request: web.Request) -> _Call:
    try:
        body = json.loads(await read_body(request))
    except (OAuthError, ValueError, RecursionError):
        body = None
    browser = browser_session(request)
    if not isinstance(body, dict):
        raise CsrfError
    call = _Call(request.app[SERVER], browser, body)
    browser.check(request, call.text("csrf"))
    return call


def _json(body: object, *, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})
