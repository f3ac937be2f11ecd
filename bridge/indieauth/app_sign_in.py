"""Signing in to an app by e-mail, in the shape that Micro.blog offers its apps.

``/account/signin`` mails a link that opens the app with a temporary token; ``/account/verify``
turns that into an app token. For clients written for it; only where mail is set up.
"""

from __future__ import annotations

import time

from aiohttp import web

from bridge.indieauth import links
from bridge.indieauth.clients import shown_name
from bridge.indieauth.http import answer, json_endpoint, read_form
from bridge.indieauth.limits import TooMany, address
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.indieauth.tokens import ALL_SCOPES, create_token, find_token, renew_token
from bridge.web_url import parse

_PURPOSE = "app"

#: How long an app that is not used any more keeps its access.
_TOKEN_SECONDS = 365 * 86400


@json_endpoint
async def sign_in(request: web.Request) -> web.Response:
    """POST /account/signin. ``{}``, whatever comes of it: nobody learns whose address is known.

    The link goes to the owner's address alone, and leads to an address registered in the settings.
    """
    server, form = request.app[SERVER], await read_form(request)
    email, app = form.need("email"), shown_name(form.need("app_name")) or "App"
    back = form.need("redirect_url")
    registered = any(back in client.redirect_uris for client in server.config.clients)
    owner = server.config.email
    if server.mail is None or not registered or email.casefold() != owner.casefold():
        return answer({})
    try:
        server.mails.attempt(address(request))
    except TooMany:
        return answer({})
    secret = links.make(server.db, _PURPOSE, name=app)
    server.mail.send_soon(
        "Sign in to an app",
        f"Somebody, hopefully you, wants to use the app “{app}” with {server.me}. This link gives "
        f"it full access to the site. It works once, for ten minutes:\n\n{back}{secret}\n\n"
        "If that was not you, there is nothing to do.\n",
    )
    return answer({})


@json_endpoint
async def verify(request: web.Request) -> web.Response:
    """POST /account/verify: a lasting token for a temporary one, which coming back renews."""
    server, form = request.app[SERVER], await read_form(request)
    secret, now = form.get("token") or "", time.time()
    link = links.use(server.db, secret, _PURPOSE)
    if link is not None:
        lasting = create_token(
            server.db,
            link.name or "App",
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
