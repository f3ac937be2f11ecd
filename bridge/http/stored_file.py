"""Answers with one stored file: all of it, a range, or 304 (RFC 9110, 13 and 14)."""

from __future__ import annotations

import asyncio
import re

from aiohttp import hdrs, web

from bridge.http import cors
from bridge.media.stored_file import OpenUpload

_CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
#: Types that browsers may display; anything else is only offered as a download.
_SHOWN = ("image/", "audio/", "video/")

_HEADERS = {
    # Sent before the middleware could add them.
    **cors.HEADERS,
    hdrs.ACCEPT_RANGES: "bytes",
    # A name is never used again for other contents.
    hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    # If a browser should take a file for a page, that page can do nothing.
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
}


async def send_file(request: web.Request, opened: OpenUpload) -> web.StreamResponse:
    """Send a stored file for GET or HEAD, and close it.

    Raises :class:`ConnectionAbortedError` if the file becomes shorter while it is sent.
    """
    with opened.file:
        if _has_it(request, opened.etag):
            unchanged = web.Response(status=304, headers=_HEADERS)
            unchanged.etag = opened.etag
            return unchanged
        start, end = _wanted(request, opened)
        if start >= end > 0:
            # RFC 9110 15.5.17: a 416 response states the file's size.
            span = {hdrs.CONTENT_RANGE: f"bytes */{opened.size}"}
            return web.Response(status=416, headers=span)
        response = _head(opened, start, end)
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            opened.file.seek(start)
            left = end - start
            while left > 0:
                chunk = await asyncio.to_thread(opened.file.read, min(_CHUNK, left))
                if not chunk:
                    raise ConnectionAbortedError("a stored file became shorter while it was sent")
                left -= len(chunk)
                await response.write(chunk)
        await response.write_eof()
        return response


def _head(opened: OpenUpload, start: int, end: int) -> web.StreamResponse:
    part = (start, end) != (0, opened.size)
    response = web.StreamResponse(status=206 if part else 200, headers=_HEADERS)
    response.content_type = opened.type
    response.content_length = end - start
    response.etag = opened.etag
    if part:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{opened.size}"
    if not opened.type.startswith(_SHOWN):
        response.headers[hdrs.CONTENT_DISPOSITION] = "attachment"
    return response


def _has_it(request: web.Request, etag: str) -> bool:
    """Whether the client has this file (RFC 9110 13.1.2: If-None-Match compares weakly, ``*``
    matches any).
    """
    given = request.if_none_match or ()
    return any(tag.value in {etag, "*"} for tag in given)


def _wanted(request: web.Request, opened: OpenUpload) -> tuple[int, int]:
    """The requested range: its first byte, and the byte after its last.

    They are equal or reversed if there is nothing to send.
    """
    whole = (0, opened.size)
    match = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, "").replace(" ", ""))
    # RFC 9110 14.2: an invalid Range is ignored; here one with several parts, too.
    if match is None or request.method != hdrs.METH_GET or not _unchanged(request, opened.etag):
        return whole
    first, last, final = match.groups()
    if final is not None:
        start, end = max(0, opened.size - int(final)), opened.size
    else:
        start = int(first)
        end = min(int(last) + 1, opened.size) if last else opened.size
        if last and int(last) < start:
            return whole
    return start, end


def _unchanged(request: web.Request, etag: str) -> bool:
    """RFC 9110 13.1.5: a range is only sent to a client that has the rest of exactly these
    bytes.
    """
    condition = request.headers.get(hdrs.IF_RANGE)
    return condition is None or condition.strip() == f'"{etag}"'
