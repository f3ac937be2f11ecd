"""Signing in to an app by e-mail, with the API that Micro.blog offers its apps.

``/account/signin`` mails a link that opens the app with a temporary token; ``/account/verify``
exchanges it for an app token. Only available where mail is configured.

The owner's address is not revealed: the right address and any other get the same response after the
same work, and count alike. The temporary token is kept in memory, since a write to disk for the
right address could be measured; a restart invalidates it.
"""

from __future__ import annotations

import hmac
import time
import unicodedata

from aiohttp import web

from bridge.auth.token import ALL_SCOPES
from bridge.errors import TooManyRequests
from bridge.http.form import read_form
from bridge.http.limits import client_ip
from bridge.indieauth.database import as_bytes, digest, new_secret
from bridge.indieauth.endpoint import answer, json_endpoint
from bridge.indieauth.oauth.app_tokens import create_token, find_token, renew_token
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.net.web_url import parse
from bridge.settings import KnownClient

_MAX_NAME = 40

#: Lifetime of an app's access since its last use, in seconds.
_TOKEN_SECONDS = 365 * 86400


@json_endpoint
async def sign_in(request: web.Request) -> web.Response:
    """POST /account/signin. Always answers ``{}``.

    The link is mailed to the owner's address only, and opens a redirect URI that is registered in
    the settings.
    """
    server, form = request.app[SERVER], await read_form(request)
    email, app = form.need("email"), _harmless_name(form.need("app_name"))
    back = form.need("redirect_url")
    try:
        server.app_sign_ins.attempt(client_ip(request))
        client = _registered(server, back)
        right = _is_same(email, server.config.email)
        if client is not None and right and server.mail is not None:
            server.app_mails.attempt("")
            secret = new_secret()
            server.app_links.put(digest(secret).hex(), app)
            server.mail.send_soon("Sign in to an app", _text(server, app, client, back + secret))
    except TooManyRequests:
        pass
    return answer({})


def _registered(server: IndieAuthServer, back: str) -> KnownClient | None:
    """The app in the settings that has registered this redirect URI, or ``None``."""
    return next((each for each in server.config.clients if back in each.redirect_uris), None)


def _is_same(email: str, owner: str) -> bool:
    return hmac.compare_digest(as_bytes(email.casefold()), as_bytes(owner.casefold()))


def _text(server: IndieAuthServer, app: str, client: KnownClient, link: str) -> str:
    return (
        f"Someone, hopefully you, wants to use an app with {server.me}. It calls itself “{app}”;"
        f" your settings know its address as that of {client.id}. This link gives it full access to"
        f" the site. It works once, for ten minutes:\n\n{link}\n\n"
        "If that was not you, there is nothing to do.\n"
    )


def _harmless_name(name: str) -> str:
    """The letters and digits of an app's name: the sender of the request chooses it, and it
    must not look like a link or the end of a sentence in the owner's mail.
    """
    kept = (char if unicodedata.category(char)[0] in "LMN" else " " for char in name)
    return " ".join("".join(kept).split())[:_MAX_NAME].strip() or "App"


@json_endpoint
async def verify(request: web.Request) -> web.Response:
    """POST /account/verify: exchange a temporary token for a lasting one; a lasting one is
    renewed.
    """
    server, form = request.app[SERVER], await read_form(request)
    secret, now = form.get("token") or "", time.time()
    app = server.app_links.pop(digest(secret).hex())
    if app is not None:
        lasting = create_token(
            server.db,
            app,
            ALL_SCOPES,
            expires=now + _TOKEN_SECONDS,
            renewable=True,
        )
        return answer({"token": lasting, **_owner(server)})
    found = find_token(server.db, secret)
    if found is None or found.grant_id is not None:
        return answer({"error": "App token was not valid."})
    renew_token(server.db, found, now)
    return answer({"token": secret, **_owner(server)})


def _owner(server: IndieAuthServer) -> dict[str, object]:
    host = parse(server.me).host
    return {
        "name": server.config.name,
        "username": host.partition(".")[0],
        "avatar": server.config.photo,
        "default_site": host,
        "has_site": True,
    }
