"""Receives a request, the same for all endpoints: :func:`read_body` reads its body once, within
limits (form, multipart or JSON), and :class:`Gate` verifies its token and authorises it.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn, TypeVar

from aiohttp import hdrs, web
from msgspec import Struct

from bridge.auth.cache import CALLER
from bridge.auth.token import Token, TokenVerifier, bearer_token, grants_any_access, is_me, require
from bridge.errors import (
    Forbidden,
    InsufficientScope,
    InvalidRequest,
    PayloadTooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from bridge.http.form import FORM, MULTIPART, urlencoded
from bridge.http.limits import BODIES_LATER, ByteBudget, Share, Take, client_ip, fair_queue, receive
from bridge.http.multipart import MultipartForm
from bridge.micropub.body import Field, RequestBody, base_name
from bridge.micropub.post import Json
from bridge.runtime.threads import ThreadPool
from bridge.settings import Settings

T = TypeVar("T")

MAX_FIELDS = 1000
#: What a multipart body needs in addition to its file.
WRAPPING = 64 * 1024

JSON = "application/json"
#: The kinds of types that files have.
_FILES = frozenset({"image", "audio", "video"})

_TOKEN = "access_token"  # noqa: S105 - a field's name

#: Texts of this size are parsed on the event loop, in their turn; larger ones in a thread.
_QUICK = 8 * 1024
#: A larger body may take longer if it arrives at least at this rate, that of a phone with poor
#: reception.
_BYTES_A_SECOND = 8_000
#: No microformats object is nested deeper, and recursion over the result is safe.
MAX_DEPTH = 32
_MAX_DIGITS = 20
#: The decoder builds lists and the names of objects in one call, in which no other thread runs. No
#: post has as many.
_MAX_PARTS = 10_000
_PART = re.compile(rb"""\\.|["\[{:]""", re.DOTALL)


class BodyLimits(Struct, frozen=True):
    """How much a kind of client may send: forms without files and JSON of ``max_text`` bytes.

    A body may take ``seconds`` to arrive, and more in proportion to its announced size (or else its
    largest), unless ``fixed_time``. It is read ``later`` than what others send at the time, by so
    many seconds of work. Only one large text of each kind of client is parsed at a time.
    """

    max_text: int
    seconds: float
    parser: ThreadPool
    fixed_time: bool = False
    later: float = 0.0

    def patience(self, max_bytes: int) -> float:
        """How many seconds a body of at most this size may take to arrive."""
        return self.seconds if self.fixed_time else self.seconds + max_bytes / _BYTES_A_SECOND


#: Clients with a valid token.
AUTHENTICATED = BodyLimits(4_000_000, 120.0, ThreadPool(1, "authenticated bodies"))
#: Clients that may send a token in the form.
UNAUTHENTICATED = BodyLimits(
    128_000, 120.0, ThreadPool(1, "unauthenticated bodies"), fixed_time=True, later=BODIES_LATER
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
    """The body of a POST. ``max_bytes`` limits all of it; ``take`` gets the size of each piece.

    Raises what ``take`` raises, :class:`InvalidRequest` for what cannot be read,
    :class:`~bridge.errors.PayloadTooLarge` and :class:`UnsupportedMediaType`.
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
    # A POST without a Content-Type is a form: some clients' HTTP libraries send none.
    if not is_json and media_type not in {FORM, ""}:
        raise _unsupported(media_type)
    data = bytearray()
    await _receive(request, data.extend, min(max_bytes, limits.max_text), limits, take)
    if not data.strip():
        return RequestBody("empty")
    try:
        return await _parse(
            partial(_read_json if is_json else _read_form, bytes(data)), len(data), limits
        )
    except InvalidRequest as error:
        if media_type:
            raise
        raise InvalidRequest(
            f"{error.description} It was read as a form, since the request has no Content-Type."
        ) from error


def _unsupported(media_type: str) -> UnsupportedMediaType:
    if media_type.partition("/")[0] in _FILES or media_type == "application/octet-stream":
        return UnsupportedMediaType(
            f"Send a file as {MULTIPART}, in a part named 'file', not as a body of its own"
            f" ('{media_type[:80]}')."
        )
    return UnsupportedMediaType(f"Send {FORM}, {MULTIPART} or {JSON}, not '{media_type[:80]}'.")


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

    seconds = limits.patience(min(max_bytes, request.content_length or max_bytes))
    await receive(request, use_counted, max_bytes=max_bytes, seconds=seconds, later=limits.later)


async def _parse(work: Callable[[], T], size: int, limits: BodyLimits) -> T:
    """Run ``work`` on a body of this size without blocking other requests."""
    if size <= _QUICK:
        return await fair_queue().run(Share(), size, work)
    return await asyncio.get_running_loop().run_in_executor(limits.parser, work)


def _read_json(data: bytes) -> RequestBody:
    return _json(read_json(data))


def _read_form(data: bytes) -> RequestBody:
    return _form(urlencoded(data, MAX_FIELDS))


def form_in_url(request: web.Request) -> RequestBody:
    """The form of a POST without a body, whose client has put the fields into the URL, as Emacs'
    ``request`` does with ``:params``. A token there does not count: URLs are in logs.
    """
    fields = request.rel_url.raw_query_string.encode()
    return replace(_read_form(fields), access_token=None) if fields else RequestBody("empty")


def _form(fields: Sequence[Field]) -> RequestBody:
    """A form without its token, which clients send even if it is in the header, too."""
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


def read_json(data: bytes) -> Json:
    """Parse ``data``, which must be UTF-8.

    Raises :class:`InvalidRequest` for invalid JSON, and for values that could not be stored
    unchanged: duplicate keys, ``NaN``, numbers out of range, lone surrogates, deep nesting; and for
    more lists, objects and names than any post has.
    """
    _check_parts(data)
    try:
        value: Json = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The JSON is not UTF-8 (byte {error.start}): send it as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        surplus = error.doc[: error.pos].rstrip().endswith(",")
        hint = (
            " Remove the comma before it." if surplus and error.doc[error.pos :][:1] in "]}" else ""
        )
        raise InvalidRequest(
            f"The JSON is malformed in line {error.lineno}, column {error.colno}: {error.msg}."
            f"{hint}"
        ) from error
    except RecursionError as error:
        raise _too_deep() from error
    _check(value, MAX_DEPTH)
    return value


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The JSON is nested too deeply: {MAX_DEPTH} levels are the most.")


def _check_parts(data: bytes) -> None:
    """Reject more than ``_MAX_PARTS`` lists, objects and names; brackets and colons in strings are
    text, and do not count.
    """
    if sum(map(data.count, (b"[", b"{", b":"))) <= _MAX_PARTS:
        return
    parts, is_string = 0, False
    for match in _PART.finditer(data):
        if match[0] == b'"':
            is_string = not is_string
        elif not is_string:
            parts += 1
            if parts > _MAX_PARTS:
                raise InvalidRequest(
                    f"The JSON has more than {_MAX_PARTS:,} lists, objects and names: send less"
                    " at once."
                )


def _object(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    # Parsers differ on which of two equal keys counts; a guess could lose text.
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(
            f"An object in the JSON has the key '{twice[:40]}' twice: send one, with a list of all"
            " values."
        )
    return found


def _constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not JSON: send a number, a string or null.")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise InvalidRequest("A number in the JSON is too long: send it as a string.")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidRequest("A number in the JSON is too large: send it as a string.")
    return number


def _check(value: Json, depth: int) -> None:
    """Reject nesting beyond ``depth``, and lone surrogates, which cannot be encoded as UTF-8."""
    if depth == 0:
        raise _too_deep()
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                "A string in the JSON contains a lone surrogate: send the whole character."
            ) from error
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check(key, depth - 1)
            _check(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth - 1)


#: Seconds for which a token counts as verified while the body arrives.
_STILL_VALID = 1.0
#: How many of the largest files all unauthenticated clients together may have in memory.
_UNAUTHENTICATED_FILES = 4


class Gate:
    """Admits a request, or raises the error for its client."""

    def __init__(self, verifier: TokenVerifier, settings: Settings) -> None:
        self._verifier = verifier
        self._me = (settings.site.me, *settings.site.aliases)
        self._strict = settings.auth.strict
        self._unauthenticated_max_bytes = settings.media.max_bytes + WRAPPING
        self._unauthenticated = ByteBudget(_UNAUTHENTICATED_FILES * self._unauthenticated_max_bytes)

    async def receive(self, request: web.Request, *, max_bytes: int) -> tuple[RequestBody, Token]:
        """Read the body of a POST, of at most ``max_bytes``, and verify its token.

        A token in the header is verified before the body is read, so that an unauthorised client
        cannot make us buffer one. Raises what :meth:`admit` and
        :func:`~bridge.web.request.read_body` raise.
        """
        try:
            token = await self.admit(request, None)
        except Unauthorized:
            return await self._receive_unauthenticated(request, max_bytes)
        began = time.monotonic()
        body = await read_body(request, max_bytes=max_bytes)
        # Again where the form contains a token, which may be another one, or took long to arrive.
        if body.access_token is not None or time.monotonic() - began > _STILL_VALID:
            token = await self.admit(request, body.access_token)
        return body, token

    async def _receive_unauthenticated(
        self, request: web.Request, max_bytes: int
    ) -> tuple[RequestBody, Token]:
        """The same if the token may be in the form: within the budget of unauthenticated
        uploads.
        """
        most = min(max_bytes, self._unauthenticated_max_bytes)
        with self._unauthenticated.share() as take:
            try:
                body = await read_body(request, max_bytes=most, limits=UNAUTHENTICATED, take=take)
            except PayloadTooLarge as error:
                raise Unauthorized(
                    "Send the access token in the header ('Authorization: Bearer …'): without it,"
                    f" no more than {most:,} bytes are read, of a form without files or JSON no"
                    f" more than {UNAUTHENTICATED.max_text:,}."
                ) from error
            return body, await self.admit(request, body.access_token)

    async def admit(
        self,
        request: web.Request,
        in_body: str | None,
        permission: str | None = None,
        *,
        fresh: bool = False,
    ) -> Token:
        """Verify and return the token of a request.

        ``in_body`` is the form's ``access_token``, ``permission`` what the request needs (``None``
        for a query), and ``fresh`` bypasses the cache. Raises Unauthorized, InvalidRequest,
        InvalidToken, Forbidden, InsufficientScope, Unavailable.
        """
        headers = request.headers.getall(hdrs.AUTHORIZATION, [])
        secret = bearer_token(headers, in_body, strict=self._strict)
        CALLER.set(client_ip(request))
        token = await self._verifier.verify(secret, fresh=fresh)
        # Micropub 3.8: "forbidden - The authenticated user does not have permission".
        if not is_me(token.me, *self._me):
            raise Forbidden(
                "This token belongs to another site: sign in as the owner of this site."
            )
        if permission is not None:
            require(token, permission)
        elif not grants_any_access(token.scopes):
            raise InsufficientScope(
                "This token identifies you, and allows nothing.", scope="create"
            )
        return token
