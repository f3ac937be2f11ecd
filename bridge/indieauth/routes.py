"""The built-in server's routes."""

from __future__ import annotations

import asyncio
import gzip
import importlib
from functools import cache
from pathlib import Path

from aiohttp import hdrs, web

from bridge.http.form import Handler
from bridge.indieauth import account
from bridge.indieauth.endpoint import answer, json_endpoint, preflight
from bridge.indieauth.login import micro_blog_sign_in, set_up, sign_in, step_up
from bridge.indieauth.oauth import consent, token_endpoint
from bridge.indieauth.server import SERVER
from bridge.pages.render import STATIC, STATIC_VERSION

METADATA = "/.well-known/oauth-authorization-server"


def _passkeys(name: str) -> Handler:
    """A handler of :mod:`bridge.indieauth.webauthn.endpoints`, imported when it is first called."""

    async def handler(request: web.Request) -> web.StreamResponse:
        # The first call may come from a stranger, and importing takes most of a second.
        module = "bridge.indieauth.webauthn.endpoints"
        endpoints = await asyncio.to_thread(importlib.import_module, module)
        endpoint: Handler = getattr(endpoints, name)
        return await endpoint(request)

    return handler


_STATIC = {file.name: file for file in STATIC.iterdir()}
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_PAGES = (
    web.get("/auth/sign-in", sign_in.show),
    web.post("/auth/sign-in", sign_in.with_password),
    web.post("/auth/sign-in/passkey/options", _passkeys("ask_proof")),
    web.post("/auth/sign-in/passkey", _passkeys("sign_in")),
    web.get("/auth/sign-in/link", sign_in.open_link),
    web.post("/auth/sign-in/link", sign_in.send_link),
    web.post("/auth/sign-in/link/open", sign_in.with_link),
    web.post("/auth/sign-out", sign_in.sign_out),
    web.get(step_up.CONFIRM, step_up.show),
    web.post(step_up.CONFIRM, step_up.confirm),
    web.post(f"{step_up.CONFIRM}/passkey", _passkeys("prove")),
    web.get("/auth/set-up", set_up.show),
    web.post("/auth/set-up", set_up.with_password),
    web.get("/auth/sessions", account.sessions),
    web.post("/auth/sessions/end", account.end),
    web.post("/auth/password", account.change_password),
    web.post("/auth/passkeys/options", _passkeys("ask_creation")),
    web.post("/auth/passkeys", _passkeys("create")),
    web.post("/auth/passkeys/remove", account.forget_passkey),
    web.post("/auth/passkeys/rename", account.name_passkey),
)


def setup(app: web.Application) -> None:
    """Add the routes to an application that has the built-in server."""
    app.router.add_routes(
        [
            web.get(METADATA, metadata),
            web.get("/auth", consent.ask),
            web.post("/auth", token_endpoint.identify),
            web.post("/auth/consent", consent.decide),
            web.get("/token", token_endpoint.verify),
            web.post("/token", token_endpoint.token),
            web.post("/introspect", token_endpoint.introspect),
            web.post("/revoke", token_endpoint.revoke),
            web.get("/userinfo", token_endpoint.userinfo),
            web.get("/tokens", account.tokens),
            web.post("/tokens", account.create),
            web.post("/tokens/revoke", account.revoke),
            web.post("/tokens/rename", account.rename),
            *_PAGES,
        ]
    )
    if app[SERVER].mail is not None:
        app.router.add_post("/account/signin", micro_blog_sign_in.sign_in)
        app.router.add_post("/account/verify", micro_blog_sign_in.verify)
    for path in (METADATA, "/auth", "/token", "/introspect", "/revoke", "/userinfo"):
        app.router.add_route(hdrs.METH_OPTIONS, path, preflight)
    app.router.add_get("/auth/static/{name}", static)
    app.router.add_get("/auth/static/{version}/{name}", static)


async def static(request: web.Request) -> web.StreamResponse:
    """Serve a style sheet, script or picture of the pages; 404 for any other name."""
    file = _STATIC.get(request.match_info["name"])
    version = request.match_info.get("version", STATIC_VERSION)
    if file is None or len(version) != len(STATIC_VERSION):
        raise web.HTTPNotFound
    # A page names the version of its files, which never change under that URL (RFC 8246). An open
    # page of an older bridge gets the present files, without caching.
    is_named = request.match_info.get("version") == STATIC_VERSION
    kept = "public, max-age=31536000, immutable" if is_named else "no-cache"
    headers = {hdrs.CACHE_CONTROL: kept, hdrs.ETAG: f'"{STATIC_VERSION}"'}
    headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    if any(tag.value == STATIC_VERSION for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    # Pages are not compressed: they have a secret in them beside words from elsewhere (BREACH).
    plain, compressed = _contents(file)
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        plain = compressed
    return web.Response(
        body=plain, content_type=_TYPES[file.suffix], charset="utf-8", headers=headers
    )


@cache
def _contents(file: Path) -> tuple[bytes, bytes]:
    """A file's bytes, and the same compressed."""
    plain = file.read_bytes()
    return plain, gzip.compress(plain, mtime=0)


@json_endpoint
async def metadata(request: web.Request) -> web.Response:
    """The server's metadata (IndieAuth 4.1.1)."""
    return answer(request.app[SERVER].metadata())
