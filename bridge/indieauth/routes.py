"""Which address leads to which handler."""

from __future__ import annotations

import importlib
from pathlib import Path

from aiohttp import hdrs, web

from bridge.indieauth import (
    about_tokens,
    account,
    app_sign_in,
    consent,
    proof,
    set_up,
    signing_in,
    token_endpoint,
)
from bridge.indieauth.http import Handler, answer, json_endpoint, preflight
from bridge.indieauth.memory import Memory
from bridge.indieauth.server import SERVER, IndieAuthServer
from bridge.pages.navigation import NOTICES

METADATA = "/.well-known/oauth-authorization-server"


def _passkeys(name: str) -> Handler:
    """A handler of :mod:`bridge.indieauth.passkey_endpoints`, imported when it is first called."""

    async def handler(request: web.Request) -> web.StreamResponse:
        endpoints = importlib.import_module("bridge.indieauth.passkey_endpoints")
        endpoint: Handler = getattr(endpoints, name)
        return await endpoint(request)

    return handler


_STATIC = {file.name: file for file in (Path(__file__).parent / "static").iterdir()}
_PAGES = (
    web.get("/auth/sign-in", signing_in.show),
    web.post("/auth/sign-in", signing_in.with_password),
    web.post("/auth/sign-in/passkey/options", _passkeys("ask_proof")),
    web.post("/auth/sign-in/passkey", _passkeys("sign_in")),
    web.get("/auth/sign-in/link", signing_in.open_link),
    web.post("/auth/sign-in/link", signing_in.send_link),
    web.post("/auth/sign-in/link/open", signing_in.with_link),
    web.post("/auth/sign-out", signing_in.sign_out),
    web.get(proof.CONFIRM, proof.show),
    web.post(proof.CONFIRM, proof.confirm),
    web.post(f"{proof.CONFIRM}/passkey", _passkeys("prove")),
    web.get("/auth/set-up", set_up.show),
    web.post("/auth/set-up", set_up.with_password),
    web.get("/auth/sessions", account.sessions),
    web.post("/auth/sessions/end", account.end),
    web.post("/auth/password", account.change_password),
    web.post("/auth/passkeys/options", _passkeys("ask_creation")),
    web.post("/auth/passkeys", _passkeys("create")),
    web.post("/auth/passkeys/remove", account.forget_passkey),
)


def setup(app: web.Application, server: IndieAuthServer) -> None:
    """Add the built-in server's addresses to the application."""
    app[SERVER] = server
    app[NOTICES] = Memory(seconds=300)
    app.router.add_routes(
        [
            web.get(METADATA, metadata),
            web.get("/auth", consent.ask),
            web.post("/auth", token_endpoint.identify),
            web.post("/auth/consent", consent.decide),
            web.get("/token", about_tokens.verify),
            web.post("/token", token_endpoint.token),
            web.post("/introspect", about_tokens.introspect),
            web.post("/revoke", about_tokens.revoke),
            web.get("/userinfo", about_tokens.userinfo),
            web.get("/tokens", account.tokens),
            web.post("/tokens", account.create),
            web.post("/tokens/revoke", account.revoke),
            *_PAGES,
        ]
    )
    if server.mail is not None:
        app.router.add_post("/account/signin", app_sign_in.sign_in)
        app.router.add_post("/account/verify", app_sign_in.verify)
    for path in (METADATA, "/auth", "/token", "/introspect", "/revoke", "/userinfo"):
        app.router.add_route(hdrs.METH_OPTIONS, path, preflight)
    app.router.add_get("/auth/static/{name}", static)


async def static(request: web.Request) -> web.StreamResponse:
    """A file of our pages. Any other name, however long, is none."""
    file = _STATIC.get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound
    return web.FileResponse(file)


@json_endpoint
async def metadata(request: web.Request) -> web.Response:
    """What the server can do, and where (IndieAuth 4.1.1)."""
    return answer(request.app[SERVER].metadata())
