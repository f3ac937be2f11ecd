"""Endpoints about tokens: ``/introspect``, ``GET /token``, ``/revoke``, ``/userinfo``
(IndieAuth 6, 7, 9).
"""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.auth.token import bearer_token
from bridge.errors import InsufficientScope, InvalidToken
from bridge.http.form import read_form
from bridge.indieauth.endpoint import answer, json_endpoint
from bridge.indieauth.oauth.app_tokens import StoredToken, find_token
from bridge.indieauth.oauth.grants import profile, revoke_secret
from bridge.indieauth.server import SERVER, IndieAuthServer


@json_endpoint
async def introspect(request: web.Request) -> web.Response:
    """POST /introspect: whether a token is valid (6, RFC 7662).

    RFC 7662 2.1 requires authorization against token guessing: any valid token of this server, the
    one in question included.
    """
    server = request.app[SERVER]
    _caller(request)
    token = (await read_form(request)).need("token")
    found = find_token(server.db, token)
    if found is None:
        # 6.2: no further information, whatever the reason.
        return answer({"active": False})
    return answer({"active": True, "iat": int(found.created), **_facts(server, found)})


@json_endpoint
async def verify(request: web.Request) -> web.Response:
    """GET /token: what the bearer token allows (the way to verify tokens before introspection)."""
    found = _caller(request)
    issued = {"issued_at": int(found.created)}
    return answer(_facts(request.app[SERVER], found) | issued)


@json_endpoint
async def revoke(request: web.Request) -> web.Response:
    """POST /revoke: revoke a token (7, RFC 7009). Answers 200 for any text, so that nothing
    is revealed.
    """
    form = await read_form(request)
    revoke_secret(request.app[SERVER].db, form.need("token"))
    return answer({})


@json_endpoint
async def userinfo(request: web.Request) -> web.Response:
    """GET /userinfo: the owner's profile, for a token with the scope ``profile`` (9)."""
    scopes = frozenset(_caller(request).scope.split())
    if "profile" not in scopes:
        raise InsufficientScope("This needs a token with the scope 'profile'.", scope="profile")
    return answer(profile(request.app[SERVER], scopes))


def _facts(server: IndieAuthServer, token: StoredToken) -> dict[str, object]:
    """The response about a valid token, for both ways to ask."""
    facts: dict[str, object] = {
        "me": server.me,
        "client_id": token.client_id or server.issuer,
        "scope": token.scope,
    }
    return facts if token.expires is None else {**facts, "exp": int(token.expires)}


def _caller(request: web.Request) -> StoredToken:
    """The valid token in the ``Authorization`` header.

    Raises :class:`Unauthorized` without a token and :class:`InvalidToken` for an invalid one.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    found = find_token(request.app[SERVER].db, bearer_token(headers, None, strict=True))
    if found is None:
        raise InvalidToken("This token is unknown, expired or revoked.")
    return found
