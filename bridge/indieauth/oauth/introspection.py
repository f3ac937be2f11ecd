"""``/introspect``, ``GET /token``, ``/revoke``, ``/userinfo``: endpoints about tokens (IndieAuth
6, 7, 9).
"""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.auth.bearer import bearer_token
from bridge.errors import InsufficientScope, InvalidToken
from bridge.http.form import read_form
from bridge.indieauth.endpoint import answer, json_endpoint
from bridge.indieauth.oauth.app_tokens import StoredToken, find_token
from bridge.indieauth.oauth.grants import profile, revoke_secret
from bridge.indieauth.server import SERVER, IndieAuthServer


@json_endpoint
async def introspect(request: web.Request) -> web.Response:
    """Whether a token is good, for servers that were given it (6, RFC 7662).

    RFC 7662 2.1 requires authorization: any good token of this server's will do, the very token
    that is asked about included, so that no one can try out guesses.
    """
    server = request.app[SERVER]
    _caller(request)
    asked = (await read_form(request)).need("token")
    found = find_token(server.db, asked)
    if found is None:
        # 6.2: no more than this, whatever the reason.
        return answer({"active": False})
    return answer({"active": True, "iat": int(found.created), **_facts(server, found)})


@json_endpoint
async def verify(request: web.Request) -> web.Response:
    """What the bearer token allows, as token endpoints answered GET before introspection."""
    found = _caller(request)
    issued = {"issued_at": int(found.created)}
    return answer(_facts(request.app[SERVER], found) | issued)


@json_endpoint
async def revoke(request: web.Request) -> web.Response:
    """End a token (7, RFC 7009). 200 for any token at all, so that nothing is learnt."""
    form = await read_form(request)
    revoke_secret(request.app[SERVER].db, form.need("token"))
    return answer({})


@json_endpoint
async def userinfo(request: web.Request) -> web.Response:
    """Who the owner is, for an app with the scope ``profile`` (9)."""
    scopes = frozenset(_caller(request).scope.split())
    if "profile" not in scopes:
        raise InsufficientScope("This needs a token with the scope 'profile'.", scope="profile")
    return answer(profile(request.app[SERVER], scopes))


def _facts(server: IndieAuthServer, token: StoredToken) -> dict[str, object]:
    """What both ways of asking say of a good token."""
    facts: dict[str, object] = {
        "me": server.me,
        "client_id": token.client_id or server.issuer,
        "scope": token.scope,
    }
    return facts if token.expires is None else {**facts, "exp": int(token.expires)}


def _caller(request: web.Request) -> StoredToken:
    """The good token in the request's header; raises what a client without one is told."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    found = find_token(request.app[SERVER].db, bearer_token(headers, None, strict=True))
    if found is None:
        raise InvalidToken("This token is unknown, expired or revoked.")
    return found
