"""Renders pages and errors from templates, with security headers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
from aiohttp import hdrs, web
from msgspec import Struct

from bridge.errors import BridgeError, CsrfError, OAuthError, TooManyRequests
from bridge.http.form import Handler
from bridge.net.web_url import parse
from bridge.pages import language
from bridge.pages.host import HOST, Browser, Host
from bridge.pages.navigation import NOTICES, SECTIONS

#: No ``form-action``: browsers apply it to the redirect that follows the consent form, too.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{images};"
    " connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY.format(images=""),
    "X-Frame-Options": "DENY",
    # A page that opens ours in a window gets no reference to it, even from this origin.
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


#: For pages on which the owner chooses photos and sees them.
DESK_POLICY = f"{_POLICY.format(images=' blob:')}; manifest-src 'self'; frame-src 'self'"


#: The time zone of this request's page: macros do not see the page's context.
_ZONE: ContextVar[tzinfo] = ContextVar("zone", default=UTC)


def ago(moment: float | None, now: float | None = None) -> str:
    """How long ago something was, roughly, in the reader's language."""
    if moment is None:
        return language.translated("never")
    return language.ago((time.time() if now is None else now) - moment)


STATIC = Path(__file__).parent / "static"


def _fingerprint(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        found.update(f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return found.hexdigest()[:16]


#: A hash of the files of :data:`STATIC`, in their URLs: it changes with them, so that no browser
#: has new pages with old scripts.
STATIC_VERSION = _fingerprint(STATIC)
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("bridge.pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
)
language.install(_TEMPLATES)
_TEMPLATES.globals["static"] = f"/auth/static/{STATIC_VERSION}"
_TEMPLATES.filters.update(
    when=lambda moment: language.when(moment, _ZONE.get()),
    ago=ago,
    until=language.until,
    month=language.month,
    iso=lambda moment: datetime.fromtimestamp(moment, UTC).isoformat(),
    host=lambda url: parse(url).host,
    path=lambda url: urlsplit(url).path or "/",
)


class Advice(Struct, frozen=True):
    """What the owner can do about an error: a sentence, lines to copy, and the next step."""

    text: str
    lines: str
    then: str


class PageError(Exception):
    """An error for a person: what is wrong, and what to do about it."""

    def __init__(
        self,
        title: str,
        text: str,
        *,
        status: int = 400,
        link: tuple[str, str] | None = None,
        advice: Advice | None = None,
    ) -> None:
        super().__init__(text)
        self.advice = advice
        self.title = title
        self.text = text
        self.status = status
        self.link = link
        #: A second way on.
        self.also: tuple[str, str] | None = None


def page(
    request: web.Request,
    browser: Browser,
    template: str,
    *,
    status: int = 200,
    policy: str = "",
    **values: object,
) -> web.Response:
    """Render a template for this browser, with every protection that a page needs.

    ``policy`` is its Content-Security-Policy, if it is not that of most pages.
    """
    # On one host name the site's own scripts share our origin: they must find nothing to read here.
    if request.headers.get("Sec-Fetch-Dest", "document") != "document":
        text = "This page is for a person to look at."
        return web.Response(status=403, text=text, headers=_HEADERS)
    host = request.app[HOST]
    _prepare(request, host)
    html = _TEMPLATES.get_template(template).render(
        me=host.me,
        name=host.name,
        csrf=browser.csrf,
        session=browser.session,
        sections=request.app.get(SECTIONS, ()),
        from_elsewhere=is_from_elsewhere(request),
        notice=request.app[NOTICES].pop(str(browser.session.id)) if browser.session else None,
        **values,
    )
    response = _answer(html, _HEADERS, status)
    response.headers[hdrs.VARY] = hdrs.ACCEPT_LANGUAGE
    if policy:
        response.headers["Content-Security-Policy"] = policy
    browser.remember(response)
    return response


def is_from_elsewhere(request: web.Request) -> bool:
    """Whether a page of another site may have led here, perhaps by clickjacking. Browsers that do
    not tell may come from anywhere."""
    # Fetch Metadata: an app on this device, and an address that was typed, have no site ("none").
    return request.headers.get("Sec-Fetch-Site", "cross-site") not in {"same-origin", "none"}


def _prepare(request: web.Request, host: Host) -> None:
    """Set the language and the time zone of this request's page."""
    _ZONE.set(host.zone)
    language.speak(language.preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))


def public_page(request: web.Request, template: str) -> web.Response:
    """Render a page that a browser may cache: it has no data of the owner, and no CSRF token."""
    _prepare(request, request.app[HOST])
    html = _TEMPLATES.get_template(template).render()
    headers = {**_HEADERS, "Content-Security-Policy": DESK_POLICY}
    response = _answer(html, headers)
    response.headers[hdrs.VARY] = hdrs.ACCEPT_LANGUAGE
    return response


def frame(request: web.Request, template: str, **values: object) -> web.Response:
    """Render the content of a frame in one of our pages, or of a tab beside it, which is inert: no
    script, no form, nothing from other hosts but pictures. It must not contain secrets.
    """
    _prepare(request, request.app[HOST])
    html = _TEMPLATES.get_template(template).render(**values)
    headers = {
        **_HEADERS,
        "X-Frame-Options": "SAMEORIGIN",
        "Content-Security-Policy": (
            "sandbox; default-src 'none'; img-src 'self' https: data:; style-src 'self';"
            " frame-ancestors 'self'"
        ),
    }
    return _answer(html, headers)


def _answer(html: str, headers: Mapping[str, str], status: int = 200) -> web.Response:
    """A page, which may quote bytes of a request that are not text."""
    body = html.encode("utf-8", "replace")
    return web.Response(
        body=body, status=status, content_type="text/html", charset="utf-8", headers=headers
    )


def redirect(location: str, *, status: int = 303) -> web.Response:
    """Redirect the browser. The address is not changed: it may contain a client's own bytes."""
    return web.Response(
        status=status,
        headers={
            hdrs.LOCATION: location,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )


def page_endpoint(handler: Handler) -> Handler:
    """An endpoint for a person: errors are rendered as pages."""

    async def endpoint(request: web.Request) -> web.StreamResponse:
        # Messages for the next page are translated here as well.
        if (host := request.app.get(HOST)) is not None:
            _prepare(request, host)
        try:
            return await handler(request)
        except (PageError, OAuthError, CsrfError, BridgeError) as error:
            refused = error_page(request, _explained(error))
            if isinstance(error, TooManyRequests):
                refused.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
            return refused

    return endpoint


def _way_on(request: web.Request) -> tuple[str, str]:
    """The page that a form belongs to, or else the start page."""
    path = request.path
    if path.startswith("/desk"):
        return "/desk/", "Your posts"
    if path.startswith("/tokens"):
        return "/tokens", "Back to your apps"
    if path.startswith(("/auth/sessions", "/auth/password", "/auth/passkeys")):
        return "/auth/sessions", "Back to your account"
    return "/auth/sign-in", "Sign in, or continue if you are signed in"


def _explained(error: PageError | OAuthError | CsrfError | BridgeError) -> PageError:
    """Any error, worded for a person."""
    match error:
        case PageError():
            return error
        case OAuthError():
            return PageError("This does not work", error.description)
        case CsrfError():
            text = (
                "This form was opened too long ago, or not on this page. Go back, reload the page,"
                " and send it again."
            )
            return PageError("Please try again", text, status=403)
        case TooManyRequests():
            minutes = error.retry_after // 60 + 1
            text = language.counted(
                "Wait {count} minute, then try again.",
                "Wait {count} minutes, then try again.",
                minutes,
            )
            return PageError("Too many attempts", text, status=429)
        case BridgeError():
            return PageError("This does not work now", error.description, status=error.status)


def error_page(request: web.Request, error: PageError) -> web.Response:
    """The page for an error, with a link to continue: no page is a dead end."""
    return page(
        request,
        request.app[HOST].browser(request),
        "error.html",
        status=error.status,
        title=error.title,
        text=error.text,
        link=error.link or _way_on(request),
        also=error.also,
        advice=error.advice,
    )
