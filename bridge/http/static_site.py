"""Serves the generated pages as a static host does, for the demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from aiohttp import hdrs, web

from bridge.http import cors

_PAGES = frozenset({".html", ".htm"})
#: What the plugin writes into the page of a deleted post, and where it is at the latest.
_GONE = b'<meta http-equiv="Status" content="410 Gone">'
_BEGINNING = 4096
_NO_LINKS: Mapping[str, str] = MappingProxyType({})


class StaticSite:
    """The pages of an output folder: ``/a/`` is ``a/index.html``, a missing page ``404.html``.

    Pages have CORS headers, so that apps in a browser can discover the endpoints, and ``Link``
    headers with ``links``, the endpoints by relation.
    """

    def __init__(self, output: Path, links: Mapping[str, str] = _NO_LINKS) -> None:
        self._output = output
        self._links = ", ".join(f'<{href}>; rel="{rel}"' for rel, href in links.items())

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET and HEAD: the file at the request's path."""
        relative = request.match_info["path"]
        file = file_below(self._output, relative or "index.html")
        if file is None and (inner := file_below(self._output, f"{relative}/index.html")):
            if not relative.endswith("/"):
                raise web.HTTPMovedPermanently(f"/{relative}/")
            file = inner
        if file is not None:
            status = 410 if _is_tombstone(file) else 200
            return web.FileResponse(file, status=status, headers=self._headers(file))
        missing = file_below(self._output, "404.html")
        body = missing.read_bytes() if missing else b"Not found"
        response = web.Response(status=404, body=body, content_type="text/html", charset="utf-8")
        response.headers.update(cors.HEADERS)
        return response

    def _headers(self, file: Path) -> dict[str, str]:
        headers = {**cors.HEADERS, hdrs.CACHE_CONTROL: "no-cache"}
        if self._links and file.suffix in _PAGES:
            headers[hdrs.LINK] = self._links
        return headers


def _is_tombstone(file: Path) -> bool:
    """Whether a page is the tombstone of a deleted post."""
    if file.suffix not in _PAGES:
        return False
    with file.open("rb") as page:
        return _GONE in page.read(_BEGINNING)


def file_below(folder: Path, relative: str) -> Path | None:
    """The file at an untrusted path; never one outside of the folder, whether by ``..`` or by
    symbolic links.
    """
    # An absolute part would replace the folder, and is wrong inside of it, too.
    if "\0" in relative or relative.startswith("/"):
        return None
    try:
        file = (folder / relative).resolve()
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except OSError:  # a name that is too long, a loop of links
        return None
