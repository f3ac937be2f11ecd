"""``/status`` for the owner: what build and remote are doing; ``/healthz`` for a monitor."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import hdrs, web

from bridge import __version__
from bridge.indieauth.pages import page, page_endpoint, redirect
from bridge.indieauth.visit import visit
from bridge.micropub.post import Json
from bridge.rebuild import Rebuilder
from bridge.store.remote import Remote
from bridge.web.gate import Gate


class StatusHandlers:
    """What is going on, for a person and for programs."""

    def __init__(
        self, gate: Gate, rebuilder: Rebuilder, remote: Remote, *, with_pages: bool
    ) -> None:
        """``with_pages``: whether the built-in server is there, where the owner can sign in."""
        self._gate = gate
        self._rebuilder = rebuilder
        self._remote = remote
        self._with_pages = with_pages

    async def health(self, request: web.Request) -> web.Response:
        """The bridge answers; a stranger is told no more."""
        del request
        return web.json_response({"status": "ok"})

    async def status(self, request: web.Request) -> web.StreamResponse:
        """JSON with a token, a page for the owner who is signed in."""
        wants_page = "text/html" in request.headers.get(hdrs.ACCEPT, "")
        if hdrs.AUTHORIZATION in request.headers or not (wants_page and self._with_pages):
            await self._gate.admit(request, None)
            return web.json_response(self._facts(), headers={hdrs.CACHE_CONTROL: "no-store"})
        return await page_endpoint(self._page)(request)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        guest = visit(request)
        if guest.session is None:
            return redirect("/auth/sign-in?next=/status")
        return page(request, guest, "status.html", facts=self._facts())

    def _facts(self) -> dict[str, Json]:
        build, remote = self._rebuilder.status(), self._remote.status()
        return {
            "version": __version__,
            "rebuild": {
                "state": build.state,
                "commit": build.version,
                "reason": build.reason,
                "file": build.file,
                "time": _time(build.finished),
                "left_out": [{"file": file, "reason": why} for file, why in build.left_out],
            },
            "remote": {
                "state": remote.state,
                "behind": remote.behind,
                "ahead": remote.ahead,
                "error": remote.error,
            },
        }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
