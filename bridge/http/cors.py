"""CORS headers, for apps that run in browsers.

Every origin is allowed: tokens are sent in a header that the app sets, never in a cookie.
"""

from __future__ import annotations

from aiohttp import hdrs

#: Headers of every answer.
HEADERS: dict[str, str] = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Location, Link, WWW-Authenticate, Retry-After",
}

#: The answer to a browser's preflight request. Libraries and tracers add headers of their own. The
#: wildcard of CORS does not cover Authorization, which must be allowed by name (Fetch 4.8); older
#: browsers read only names.
PREFLIGHT: dict[str, str] = HEADERS | {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, POST, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Accept, *",
    hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
}
