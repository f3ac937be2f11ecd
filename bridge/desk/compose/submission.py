"""Receives the form of a post: checks the session and the CSRF token, reads the files.

If the session has expired, the owner signs in and the form goes on from there: its values travel
with the sign-in form, and are not stored on the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from aiohttp import hdrs, web
from msgspec import Struct

from bridge.desk.compose import values
from bridge.desk.compose.fields import FIELDS
from bridge.desk.compose.values import SubmittedForm
from bridge.desk.desk import DESK, Desk
from bridge.desk.owner import Owner, check_origin, signed_out, store_errors_as_pages
from bridge.errors import BridgeError, CsrfError, PayloadTooLarge
from bridge.http.form import Handler
from bridge.http.limits import ByteBudget
from bridge.indieauth.login.browser_session import BrowserSession, browser_session, set_cookie
from bridge.indieauth.login.known_browsers import is_known, remember
from bridge.indieauth.login.sessions import device, find_session, start_session
from bridge.indieauth.login.sign_in import is_password, ways_to_sign_in
from bridge.indieauth.server import SERVER
from bridge.micropub.body import ALT_TEXTS, Field, RequestBody, split_name
from bridge.pages.render import PageError, page, page_endpoint
from bridge.web.request import AUTHENTICATED, UNAUTHENTICATED, read_body

#: The memory budget for all browsers that are not signed in. Those in which the owner has signed in
#: before have one of their own, which others cannot use up, and may send files and long texts.
_KNOWN, _UNKNOWN = ByteBudget(64_000_000), ByteBudget(16_000_000)

#: The message to an owner whose form cannot be trusted as it is.
STALE = "This page was open for too long, and nothing was sent. Look it over, and press again."
BACK = "You are signed in again, and nothing was sent yet. Look it over, and press again."
_FILES = " Choose your files again."
#: Fields of the form itself, which are not part of what was typed.
_OURS = frozenset({"csrf", "password", "username", "again"})
_WITH_WORDS = frozenset({"line", "url", "text", "tags", "lines"})


class Submission(Struct, frozen=True):
    """A form that the owner has submitted. ``doubt`` is why it may only be shown again, not carried
    out.
    """

    owner: Owner
    desk: Desk
    filled: SubmittedForm
    doubt: str = ""

    @property
    def does(self) -> str:
        """The button that was pressed."""
        return self.filled.controls.get("do", "")

    @property
    def status(self) -> int:
        """The status code for a form in doubt."""
        return 200 if self.doubt == BACK else 403


Handle: TypeAlias = Callable[[Submission], Awaitable[web.StreamResponse]]


def owner_post_form(handler: Handle) -> Handler:
    """A handler of the form of a post, with files; no input is lost.

    A form from another site is refused. One whose session has ended, or whose CSRF token is
    outdated, is shown again with its input; from a browser in which the owner never signed in, only
    without large files and very long texts.
    """

    async def endpoint(request: web.Request) -> web.StreamResponse:
        check_origin(request)
        browser, desk = browser_session(request), request.app[DESK]
        if browser.session is None:
            return await _after_session(request, browser, handler)
        body = await read_body(request, max_bytes=desk.max_bytes, limits=AUTHENTICATED)
        owner, filled = Owner(request, browser, browser.session), values.read(body.fields)
        doubt = ""
        try:
            owner.check(filled.controls.get("csrf"))
        except CsrfError:
            # Signed in with a passkey, or in another tab, on the page that asked for that.
            is_back = body.first("again") is not None
            doubt = BACK if is_back else STALE + (_FILES if filled.uploads else "")
        return await _handled(handler, Submission(owner, desk, filled, doubt), body)

    return page_endpoint(endpoint)


async def _after_session(
    request: web.Request, browser: BrowserSession, handler: Handle
) -> web.StreamResponse:
    """A form whose session has ended: the owner signs in, and sees the form again."""
    desk, known = request.app[DESK], is_known(request)
    limits = AUTHENTICATED if known else UNAUTHENTICATED
    most = desk.max_bytes if known else limits.max_text
    with (_KNOWN if known else _UNKNOWN).share() as take:
        try:
            body = await read_body(request, max_bytes=most, limits=limits, take=take)
        except PayloadTooLarge:
            if known:
                raise
            return signed_out(request, browser)
        owner = await sign_in_again(request, browser, body.fields)
        if not isinstance(owner, Owner):
            return owner
        body = RequestBody("form", fields=typed_in(body.fields))
    submission = Submission(owner, desk, values.read(body.fields), BACK)
    return give_cookie(owner, await _handled(handler, submission, body))


async def _handled(
    handler: Handle, submission: Submission, body: RequestBody
) -> web.StreamResponse:
    """The handler's response, or a page with the whole input."""
    try:
        with store_errors_as_pages():
            return await handler(submission)
    except (PageError, BridgeError) as error:
        return _page_with_input(submission.owner, body, error)


def _page_with_input(
    owner: Owner, body: RequestBody, error: PageError | BridgeError
) -> web.Response:
    """The input, if not even its form can be shown: the site cannot be read just now, or the post
    no longer exists. It can be sent again, or become a new post."""
    texts = [(name, text) for name, text in body.fields if isinstance(text, str) and text]
    return owner.page(
        "desk/kept.html",
        status=error.status,
        problem=str(error),
        action=owner.request.path,
        kept=[(name, _label(name), text) for name, text in texts if name not in {"csrf", "do"}],
        missing=isinstance(error, PageError),
    )


def _label(name: str) -> str:
    """The label of a form's field if it has words; ``""`` for any other one."""
    base = split_name(name).base
    if base == ALT_TEXTS:
        return "What does it show?"
    known = FIELDS.get(base)
    return known.label if known and known.widget in _WITH_WORDS else ""


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
