"""Middlewares for every response: errors, CORS, security headers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Protocol, TypeAlias

from aiohttp import hdrs, web

from bridge.auth.token import challenge
from bridge.errors import (
    BridgeError,
    InsufficientScope,
    InsufficientStorage,
    TooManyRequests,
    Unavailable,
)
from bridge.http import cors
from bridge.runtime.threads import is_scarce
from bridge.store import StoreError, StoreFull

log = logging.getLogger(__name__)

#: As much of a path as the log shows.
_LOGGED = 200

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ErrorPage(Protocol):
    """Renders an error as one of the owner's pages."""

    async def __call__(
        self, request: web.Request, headline: str, text: str, status: int
    ) -> web.Response | None:
        """The page: a headline, and what has happened. ``None`` if there are no pages."""
        ...


ERROR_PAGE = web.AppKey("error_page", ErrorPage)


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions into the responses that their classes define (Micropub 3.8)."""
    try:
        return await handler(request)
    except (BridgeError, StoreError) as raised:
        error = raised if isinstance(raised, BridgeError) else _of_the_store(raised)
        if error.status >= 500:
            log.warning("%s: %s", _requested(request), error.description)
        answer = error_response(error)
        shown = await for_people(request, error.status, error.description)
        if shown is None:
            return answer
        for name in (hdrs.WWW_AUTHENTICATE, hdrs.RETRY_AFTER):
            if name in answer.headers:
                shown.headers[name] = answer.headers[name]
        return shown
    except web.HTTPException as error:
        if error.status < 400 or error.content_type != "text/plain":
            raise
        if shown := await for_people(request, error.status, _SAID.get(error.status, error.reason)):
            shown.headers.extend(
                {str(hdrs.ALLOW): value for value in error.headers.getall(hdrs.ALLOW, [])}
            )
            return shown
        allowed = error.headers.getall(hdrs.ALLOW, [])
        headers = {str(hdrs.ALLOW): value for value in allowed}
        return _json(error.status, "invalid_request", _reason(request, error), headers)
    except ConnectionError:
        raise
    except Exception as error:
        if is_scarce(error):
            log.warning("%s: %s", _requested(request), error)
            return error_response(_scarce())
        log.exception("%s failed", _requested(request))
        return _json(500, "server_error", "Internal error; see the bridge's log.")


def _scarce() -> Unavailable:
    return Unavailable(
        "This machine is out of memory, processes or open files. Try again in a moment.",
        retry_after=10,
    )


#: For people, instead of reason phrases.
_SAID = {
    404: "There is nothing at this address.",
    405: "This address only takes what a form or an app sends to it.",
}


def _reason(request: web.Request, error: web.HTTPException) -> str:
    """What aiohttp's own errors mean, and what to do."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = " or ".join(sorted(error.allowed_methods - {hdrs.METH_HEAD, hdrs.METH_OPTIONS}))
        return f"{request.method} is not possible at this address: use {allowed}."
    return _SAID.get(error.status, error.reason)


async def for_people(request: web.Request, status: int, text: str) -> web.Response | None:
    """An error as a page with a link to continue, for a browser.

    ``None`` for apps: they send a token, or do not ask for HTML.
    """
    if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
        return None
    if hdrs.AUTHORIZATION in request.headers or status >= 500:
        return None
    accepted = request.headers.get(hdrs.ACCEPT, "").lower()
    if "text/html" not in accepted or "application/json" in accepted:
        return None
    if request.headers.get("Sec-Fetch-Dest", "document") != "document":
        return None
    headline = "Not found" if status == 404 else "This address is for apps"
    own = ERROR_PAGE in request.app
    if own and (page := await request.app[ERROR_PAGE](request, headline, text, status)):
        return page
    way_on = _STATUS if own else _NO_PAGES
    body = _PAGE.format(title=escape(headline), text=escape(text), way_on=way_on)
    return web.Response(status=status, text=body, content_type="text/html")


_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<main><h1>{title}</h1><p>{text}</p><p>{way_on}</p></main>
</html>
"""
_STATUS = '<a href="/status">How the bridge is doing</a>'
#: Without the built-in server a browser cannot sign in, and no page has anything for it.
_NO_PAGES = (
    "The desk, the status page and the list of apps need the built-in sign-in: set"
    " <code>enabled = true</code> below <code>[indieauth]</code> in bridge.toml, and restart the"
    " bridge. Without it, apps get the status as JSON with their token."
)


def _of_the_store(error: StoreError) -> BridgeError:
    """The error for a store that cannot read or write."""
    match error:
        case StoreFull():
            return InsufficientStorage(f"Nothing was written: {error}. Make room, then try again.")
        case _:
            return Unavailable(f"Nothing was written: {error}. Try again in a moment.")


def _requested(request: web.Request) -> str:
    """A request in the log: only its path, because a query may carry a secret; still encoded,
    because a path may contain newlines and control sequences; and cut.
    """
    return f"{request.method} {request.rel_url.raw_path[:_LOGGED]}"


def error_response(error: BridgeError) -> web.Response:
    """An error as a response."""
    headers = dict[str, str]()
    if authenticate := challenge(error):
        headers[hdrs.WWW_AUTHENTICATE] = authenticate
    if isinstance(error, Unavailable | TooManyRequests):
        headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    extra = {"scope": error.scope} if isinstance(error, InsufficientScope) else {}
    return _json(error.status, error.code, error.description, headers, **extra)


def _json(
    status: int,
    code: str,
    description: str,
    headers: Mapping[str, str] | None = None,
    **extra: str,
) -> web.Response:
    body = {"error": code, "error_description": description, **extra}
    return web.json_response(body, status=status, headers=headers)


def allow_browsers(prefixes: tuple[str, ...]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """CORS headers for the paths below ``prefixes``, errors and preflights included."""

    @web.middleware
    async def with_cors(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(prefixes):
            return await handler(request)
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers=cors.PREFLIGHT)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(cors.HEADERS)
        return response

    return with_cors


@web.middleware
async def harden(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Security headers, such as ``nosniff``, for every response."""
    response = await handler(request)
    if not response.prepared:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
