"""The token endpoint (IndieAuth 5.3), introspection, verification and revocation of tokens, and
userinfo (6, 7, 9).
"""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.auth.token import bearer_token
from bridge.errors import InsufficientScope, InvalidToken, OAuthError
from bridge.http.form import Form, read_form
from bridge.indieauth.endpoint import answer, json_endpoint
from bridge.indieauth.oauth.app_tokens import StoredToken, find_token
from bridge.indieauth.oauth.client_id import client_id
from bridge.indieauth.oauth.grants import (
    Grant,
    Issued,
    gives_access,
    issue_tokens,
    profile,
    redeem_code,
    redeem_refresh,
    revoke_secret,
)
from bridge.indieauth.server import SERVER, IndieAuthServer


@json_endpoint
async def token(request: web.Request) -> web.Response:
    """POST /token: redeem a code or a refresh token (IndieAuth 5.3.3, 5.5), or revoke a token
    with the older ``action=revoke``.
    """
    server = request.app[SERVER]
    form = await read_form(request)
    if form.get("action") == "revoke":
        revoke_secret(server.db, form.need("token"))
        return answer({})
    # Old clients omit ``grant_type`` with a code.
    kind = form.get("grant_type") or "authorization_code"
    if kind == "authorization_code":
        grant = exchange(server, form)
        if not gives_access(grant.scope):
            # 5.2: without a scope "the authorization server MUST NOT issue an access token".
            raise OAuthError(
                "invalid_scope",
                "This code has no scope: redeem it at the authorization endpoint.",
            )
    elif kind == "refresh_token":
        grant = redeem_refresh(
            server.db,
            form.need("refresh_token"),
            client_id=client_id(form.need("client_id")),
            scope=form.get("scope"),
        )
    else:
        raise OAuthError(
            "unsupported_grant_type",
            "'grant_type' must be 'authorization_code' or 'refresh_token'.",
        )
    return answer(_reply(server, grant, issue_tokens(server.db, grant)))


@json_endpoint
async def identify(request: web.Request) -> web.Response:
    """POST at the authorization endpoint: redeem a code for the owner's URL (5.3.2), never
    for a token.
    """
    server = request.app[SERVER]
    grant = exchange(server, await read_form(request))
    return answer({"me": server.me, **_about(server, grant)})


def exchange(server: IndieAuthServer, form: Form) -> Grant:
    """Redeem the code in a form. Raises :class:`OAuthError`."""
    return redeem_code(
        server.db,
        form.need("code"),
        client_id=client_id(form.need("client_id")),
        redirect_uri=form.need("redirect_uri"),
        verifier=form.get("code_verifier"),
    )


def _reply(server: IndieAuthServer, grant: Grant, issued: Issued) -> dict[str, object]:
    return {
        "access_token": issued.access,
        "token_type": "Bearer",
        "scope": issued.scope,
        "me": server.me,
        "expires_in": issued.seconds,
        "refresh_token": issued.refresh,
        **_about(server, grant),
    }


def _about(server: IndieAuthServer, grant: Grant) -> dict[str, object]:
    """The ``profile`` of a response (5.3.4), where its scope was granted."""
    scopes = frozenset(grant.scope.split())
    return {"profile": profile(server, scopes)} if "profile" in scopes else {}


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
