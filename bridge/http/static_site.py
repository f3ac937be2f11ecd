"""Serves the generated pages as a static host does, for the demo."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_fileresponse import CONTENT_TYPES

from bridge.http import cors
from bridge.runtime import beneath

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
                inner.file.close()
                raise web.HTTPMovedPermanently(f"/{relative}/")
            file = inner
        if file is not None:
            status = 410 if _is_tombstone(file) else 200
            return SentFile(file, status=status, headers=self._headers(file.place))
        body = b"Not found"
        if missing := file_below(self._output, "404.html"):
            with missing.file:
                body = missing.file.read()
        response = web.Response(status=404, body=body, content_type="text/html", charset="utf-8")
        response.headers.update(cors.HEADERS)
        return response

    def _headers(self, file: Path) -> dict[str, str]:
        headers = {**cors.HEADERS, hdrs.CACHE_CONTROL: "no-cache"}
        if self._links and file.suffix in _PAGES:
            headers[hdrs.LINK] = self._links
        return headers


class OpenFile(NamedTuple):
    """A regular file: where it is, without links, and open for reading."""

    place: Path
    file: BinaryIO


class SentFile(web.FileResponse):
    """Sends a file that is open already.

    By now its path may have another one: builds write there while requests are answered.
    """

    def __init__(self, opened: OpenFile, *, headers: Mapping[str, str], status: int = 200) -> None:
        guessed = CONTENT_TYPES.guess_type(opened.place.name)[0] or "application/octet-stream"
        super().__init__(
            f"/dev/fd/{opened.file.fileno()}",
            status=status,
            headers={hdrs.CONTENT_TYPE: guessed, **headers},
        )
        self._opened = opened.file

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it, and close it."""
        with self._opened:
            return await super().prepare(request)


def _is_tombstone(opened: OpenFile) -> bool:
    """Whether a page is the tombstone of a deleted post."""
    if opened.place.suffix not in _PAGES:
        return False
    return _GONE in os.pread(opened.file.fileno(), _BEGINNING, 0)


def file_below(folder: Path, relative: str) -> OpenFile | None:
    """The file at an untrusted path, open; never one outside of the folder, whether by ``..`` or by
    symbolic links. The caller closes it.
    """
    # An absolute part would replace the folder, and is wrong inside of it, too.
    if "\0" in relative or relative.startswith("/"):
        return None
    try:
        root, place = folder.resolve(), (folder / relative).resolve()
        if not place.is_relative_to(root):
            return None
        # A link that has come since is not followed.
        inside = place.relative_to(root).as_posix()
        return OpenFile(place, os.fdopen(beneath.open_file(root, inside), "rb"))
    except OSError:  # none, a name that is too long, a loop of links
        return None
