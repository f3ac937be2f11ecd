"""Serves a folder of generated pages, as a static host does. For the demo."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web


class StaticSite:
    """Pages of one output folder: ``/a/`` is ``a/index.html``, what is missing is ``404.html``."""

    def __init__(self, output: Path) -> None:
        self._output = output

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The file at the request's path; GET and HEAD."""
        relative = request.match_info["path"]
        if "\0" in relative:
            raise web.HTTPNotFound
        file = (self._output / relative).resolve()
        # A path of a client's never leads outside the folder, by dots or by links.
        if not file.is_relative_to(self._output.resolve()):
            raise web.HTTPNotFound
        if file.is_dir():
            if relative and not relative.endswith("/"):
                raise web.HTTPMovedPermanently(f"/{relative}/")
            file /= "index.html"
        if file.is_file():
            return web.FileResponse(file, headers={"Cache-Control": "no-cache"})
        missing = self._output / "404.html"
        body = missing.read_bytes() if missing.is_file() else b"Not found"
        return web.Response(status=404, body=body, content_type="text/html", charset="utf-8")
