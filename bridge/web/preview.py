"""``/preview/…``: a draft's page as Pelican built it, for the signed-in owner.

Drafts made by an app are nowhere else; one that was written by hand may be in the output folder,
too.
"""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import hdrs, web

from bridge.http.static_site import OpenFile, SentFile, file_below
from bridge.indieauth.login.browser_session import browser_session
from bridge.pages.render import PageError, page_endpoint, redirect
from bridge.rebuild import Rebuilder

#: The page's own scripts must not run with the owner's session.
_HEADERS = {
    "Content-Security-Policy": "sandbox; frame-ancestors 'self'",
    "X-Robots-Tag": "noindex",
    hdrs.CACHE_CONTROL: "no-store",
}
#: The files of which a page consists, besides itself.
_PARTS_OF_PAGES = frozenset(
    {
        *(".css", ".woff2", ".woff", ".ttf", ".otf"),
        *(".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".ico"),
    }
)
_OF_THE_THEME = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    # An SVG that is opened directly is a page, too.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    hdrs.CACHE_CONTROL: "no-cache",
}


class PreviewPages:
    """Sends the pages of drafts, and of posts that are not public yet."""

    def __init__(self, rebuilder: Rebuilder) -> None:
        self._rebuilder = rebuilder

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Send the page; a browser that is not signed in is redirected to sign in."""
        return await page_endpoint(self._get)(request)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if (public := self._of_the_theme(path)) is not None:
            return SentFile(public, headers=_OF_THE_THEME)
        if browser_session(request).session is None:
            return redirect(f"/auth/sign-in?then={quote(request.rel_url.raw_path, safe='')}")
        folders = (self._rebuilder.previews, self._rebuilder.output)
        found = (file_below(folder, path) for folder in folders if folder is not None)
        file = next(filter(None, found), None)
        if file is None:
            raise PageError(
                "Not built yet",
                "Reload in a moment. What the build is doing is on the page “Status”.",
                status=404,
                link=("/status", "Status"),
            )
        return SentFile(file, headers=_HEADERS)

    def _of_the_theme(self, path: str) -> OpenFile | None:
        """A public file of the site that is not a page, such as a style sheet.

        A sandboxed page has an origin of its own: the browser sends no cookie when it fetches the
        page's style sheets, and uses a font only if any origin may read it (Fetch 3.3.5, CSS Fonts
        4.9).
        """
        file = file_below(self._rebuilder.output, path) if self._rebuilder.output else None
        if file is not None and file.place.suffix.lower() not in _PARTS_OF_PAGES:
            file.file.close()
            return None
        return file
