"""Reads a request's body once: form, multipart or JSON, with limits, and takes the token out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from aiohttp import hdrs, web

from bridge.errors import InvalidRequest, UnsupportedMediaType
from bridge.http.body_stream import Take, receive
from bridge.http.form import FORM, MULTIPART, urlencoded
from bridge.http.json_body import read_json
from bridge.http.multipart import MultipartForm
from bridge.micropub.body import Field, RequestBody, base_name
from bridge.micropub.post import Json
from bridge.runtime.fair_queue import Account, fair_queue

T = TypeVar("T")

MAX_FIELDS = 1000
#: What a multipart body needs besides its file.
WRAPPING = 64 * 1024

JSON = "application/json"

_TOKEN = "access_token"  # noqa: S105 - a field's name

#: Texts of this size are parsed on the event loop, in their turn; larger ones in a thread.
_QUICK = 8 * 1024
#: A larger body may take longer, if it arrives at this rate.
_BYTES_A_SECOND = 32_000


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much a kind of client may send: forms without files and JSON of ``max_text`` bytes.

    A body may take ``seconds``, and longer the larger it may be unless ``steady``. One large text
    of each kind of client is parsed at a time.
    """

    max_text: int
    seconds: float
    parser: ThreadPoolExecutor
    steady: bool = False

    def patience(self, max_bytes: int) -> float:
        """How many seconds a body of this size may take to arrive."""
        return self.seconds if self.steady else self.seconds + max_bytes / _BYTES_A_SECOND


#: Clients whose token is good.
AUTHENTICATED = BodyLimits(4_000_000, 120.0, ThreadPoolExecutor(1, "authenticated bodies"))
#: Clients that may have a token in the form.
UNAUTHENTICATED = BodyLimits(
    128_000, 120.0, ThreadPoolExecutor(1, "unauthenticated bodies"), steady=True
)


def _unlimited(count: int) -> None:
    del count


async def read_body(
    request: web.Request,
    *,
    max_bytes: int,
    limits: BodyLimits = AUTHENTICATED,
    take: Take = _unlimited,
) -> RequestBody:
    """What came with a POST. ``max_bytes`` bounds the whole body; ``take`` is told of its pieces.

    Raises what ``take`` raises, :class:`InvalidRequest` for what cannot be read,
    :class:`~bridge.errors.PayloadTooLarge`, :class:`UnsupportedMediaType`.
    """
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        form = MultipartForm(content_type, max_fields=MAX_FIELDS, max_text=limits.max_text)
        await _receive(request, form.feed, max_bytes, limits, take)
        return _form(form.finish())
    is_json = media_type == JSON or (
        media_type.startswith("application/") and "+json" in media_type
    )
    # A POST that does not say what it is, is a form (INTEROP: shapes, 8).
    if not is_json and media_type not in {FORM, ""}:
        raise UnsupportedMediaType(f"Send {FORM}, {MULTIPART} or {JSON}, not '{media_type[:80]}'.")
    data = bytearray()
    await _receive(request, data.extend, min(max_bytes, limits.max_text), limits, take)
    if not data.strip():
        return RequestBody("empty")
    return await _parse(
        partial(_read_json if is_json else _read_form, bytes(data)), len(data), limits
    )


async def _receive(
    request: web.Request,
    use: Callable[[bytes], object],
    max_bytes: int,
    limits: BodyLimits,
    take: Take,
) -> None:
    def use_counted(piece: bytes) -> None:
        take(len(piece))
        use(piece)

    seconds = limits.patience(max_bytes)
    await receive(request, use_counted, max_bytes=max_bytes, seconds=seconds)


async def _parse(work: Callable[[], T], size: int, limits: BodyLimits) -> T:
    """Run ``work`` on a body of this size without blocking other requests."""
    if size <= _QUICK:
        return await fair_queue().run(Account(), size, work)
    return await asyncio.get_running_loop().run_in_executor(limits.parser, work)


def _read_json(data: bytes) -> RequestBody:
    return _json(read_json(data))


def _read_form(data: bytes) -> RequestBody:
    return _form(urlencoded(data, MAX_FIELDS))


def _form(fields: Sequence[Field]) -> RequestBody:
    """A form without its token. Clients send it even if it is in the header already."""
    kept = tuple(field for field in fields if base_name(field[0]) != _TOKEN)
    tokens = [value for name, value in fields if base_name(name) == _TOKEN]
    return _with_token(RequestBody("form", fields=kept), tokens)


def _json(value: Json) -> RequestBody:
    """JSON without its token: RFC 6750 defines none there, but it must not be stored."""
    if not isinstance(value, dict) or _TOKEN not in value:
        return RequestBody("json", json=value)
    rest = {key: inner for key, inner in value.items() if key != _TOKEN}
    return _with_token(RequestBody("json", json=rest), [value[_TOKEN]])


def _with_token(body: RequestBody, tokens: Sequence[object]) -> RequestBody:
    given = [token for token in tokens if token]
    if not given:
        return body
    token, *others = given
    if not isinstance(token, str) or any(other != token for other in others):
        raise InvalidRequest("Send one access token, as a text.")
    return replace(body, access_token=token)
