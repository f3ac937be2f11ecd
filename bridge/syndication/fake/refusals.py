"""Error responses in the networks' formats."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

_KINDS: dict[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    422: web.HTTPUnprocessableEntity,
}


def error(status: int, body: Mapping[str, str]) -> web.HTTPException:
    """An HTTP error with this status and JSON, to raise."""
    return _KINDS[status](text=json.dumps(dict(body)), content_type="application/json")
