"""Shared by the OAuth endpoints: JSON responses, and errors as defined in RFC 6749 5.2."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import hdrs, web

from bridge.auth.token import challenge
from bridge.errors import BridgeError, OAuthError
from bridge.http import cors
from bridge.http.form import Handler


def answer(body: Mapping[str, object], *, status: int = 200) -> web.Response:
    """A JSON response with ``Cache-Control: no-store`` (RFC 6749 5.1), whatever ``Accept`` says."""
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache", **cors.HEADERS}
    return web.json_response(dict(body), status=status, headers=headers)


def json_endpoint(handler: Handler) -> Handler:
    """Wrap a handler so that every error is answered as JSON."""

    async def endpoint(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except OAuthError as error:
            return answer({"error": error.code, "error_description": error.description}, status=400)
        except BridgeError as error:
            refused = answer(
                {"error": error.code, "error_description": error.description},
                status=error.status,
            )
            if authenticate := challenge(error):
                refused.headers[hdrs.WWW_AUTHENTICATE] = authenticate
            return refused

    return endpoint


async def preflight(_: web.Request) -> web.Response:
    """The response to a CORS preflight request."""
    return web.Response(status=204, headers=cors.PREFLIGHT)
