"""Which address leads to which handler."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.indieauth import about_tokens, token_endpoint
from bridge.indieauth.http import answer, json_endpoint, preflight
from bridge.indieauth.server import SERVER, IndieAuthServer

METADATA = "/.well-known/oauth-authorization-server"


def setup(app: web.Application, server: IndieAuthServer) -> None:
    """Add the built-in server's addresses to the application."""
    app[SERVER] = server
    app.router.add_routes(
        [
            web.get(METADATA, metadata),
            web.post("/auth", token_endpoint.identify),
            web.get("/token", token_endpoint.verify),
            web.post("/token", token_endpoint.token),
            web.post("/introspect", about_tokens.introspect),
            web.post("/revoke", about_tokens.revoke),
            web.get("/userinfo", about_tokens.userinfo),
        ]
    )
    for path in (METADATA, "/token", "/introspect", "/revoke", "/userinfo"):
        app.router.add_route(hdrs.METH_OPTIONS, path, preflight)


@json_endpoint
async def metadata(request: web.Request) -> web.Response:
    """What the server can do, and where (IndieAuth 4.1.1)."""
    return answer(request.app[SERVER].metadata())
