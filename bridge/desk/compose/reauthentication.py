"""A form submitted after the session expired: the owner signs in, and the form goes on from there.

The submitted values travel with the sign-in form, and are not stored on the server.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import hdrs, web

from bridge.desk.owner import Owner
from bridge.errors import CsrfError
from bridge.indieauth.login.browser_session import BrowserSession, set_cookie
from bridge.indieauth.login.known_browsers import remember
from bridge.indieauth.login.sessions import device, find_session, start_session
from bridge.indieauth.login.sign_in import is_password, ways_to_sign_in
from bridge.indieauth.server import SERVER
from bridge.micropub.body import Field
from bridge.pages.render import page

#: Fields of the form itself, which are not part of what was typed.
_OURS = frozenset({"csrf", "password", "username", "again"})


async def sign_in_again(
    request: web.Request, browser: BrowserSession, fields: Sequence[Field]
) -> Owner | web.Response:
    """Verify the password in the form; otherwise show the page that asks for it.

    Raises what a sign-in does (:class:`~bridge.errors.TooManyRequests`).
    """
    given = {name: value for name, value in fields if isinstance(value, str)}
    problem = None
    if given.get("again") and given.get("password"):
        try:
            browser.check(request, given.get("csrf"))
        except CsrfError:
            problem = "Type your password once more."
        else:
            if await is_password(request, given["password"]):
                return _signed_in(request)
            problem = "That is not the password."
    server = request.app[SERVER]
    return page(
        request,
        browser,
        "desk/sign_in_again.html",
        status=403 if problem else 401,
        problem=problem,
        action=request.path,
        kept=typed_in(fields),
        files=any(not isinstance(value, str) and value.filename for _, value in fields),
        **ways_to_sign_in(server),
    )


def typed_in(fields: Sequence[Field]) -> tuple[tuple[str, str], ...]:
    """The fields of the form without those for signing in."""
    return tuple(
        (name, value) for name, value in fields if isinstance(value, str) and name not in _OURS
    )


def _signed_in(request: web.Request) -> Owner:
    server = request.app[SERVER]
    name = device(request.headers.get(hdrs.USER_AGENT, ""))
    secret = start_session(server.db, way="password", device=name)
    session = find_session(server.db, secret)
    if session is None:
        raise CsrfError
    return Owner(
        request, BrowserSession(secret, is_new=False, session=session, server=server), session
    )


def give_cookie(owner: Owner, response: web.StreamResponse) -> web.StreamResponse:
    """Set the cookies of the new session."""
    server = owner.request.app[SERVER]
    set_cookie(server, response, owner.browser.secret, signed_in=True)
    remember(owner.request, response)
    return response
