"""Decodes forms once: queries, urlencoded bodies, multipart bodies."""

from __future__ import annotations

import codecs
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from aiohttp import hdrs, web

from bridge.errors import InvalidRequest, OAuthError, PayloadTooLarge
from bridge.http.limits import Share, fair_queue, receive_all
from bridge.http.multipart import MultipartForm

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
#: How many fields a form may have.
_MOST = 100
_MAX_BODY = 64 * 1024
_BODY_SECONDS = 30.0
#: How many bytes of a value are decoded at a time.
_PIECE = 8 * 1024

#: Stands for a byte that is not UTF-8.
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def urlencoded(
    encoded: str | bytes, max_fields: int, errors: str = "strict"
) -> list[tuple[str, str]]:
    """The fields of an urlencoded form or a query, including empty ones.

    ``errors`` says how to decode bytes that are not UTF-8. Raises :class:`InvalidRequest`.
    """
    if isinstance(encoded, str):
        encoded = encoded.encode("utf-8", "surrogateescape")
    # An editor's byte order mark must not become part of the first name.
    encoded = encoded.removeprefix(codecs.BOM_UTF8)
    if encoded and encoded.count(b"&") >= max_fields:
        raise InvalidRequest(f"The form has more than {max_fields} fields.")
    pairs = (field.partition(b"=") for field in encoded.split(b"&") if field)
    try:
        return [
            (_unquoted(name).decode("utf-8", errors), _unquoted(value).decode("utf-8", errors))
            for name, _, value in pairs
        ]
    except UnicodeDecodeError as error:
        raise InvalidRequest("The form is not UTF-8: send it as UTF-8.") from error


def _unquoted(encoded: bytes) -> bytes:
    """Decode a name or a value, in pieces: a thread that decodes megabytes in one call stops all
    others until it returns.
    """
    decoded, start = bytearray(), 0
    while start < len(encoded):
        end = start + _PIECE
        # No piece ends within "%41".
        cut = encoded.rfind(b"%", end - 2, end)
        end = end if cut < 0 else cut
        decoded += unquote_to_bytes(encoded[start:end].replace(b"+", b" "))
        start = end
    return bytes(decoded)


class Form:
    """The fields of a form or a query, decoded once. No field may be repeated (RFC 6749 3.1, 3.2).

    Bytes that are not UTF-8 are refused when a field is read as text.
    """

    def __init__(self, encoded: str) -> None:
        """Raises :class:`OAuthError` (``invalid_request``)."""
        self._pairs: list[tuple[str, str]] = []
        try:
            self._pairs += urlencoded(encoded, _MOST, errors="surrogateescape")
        except InvalidRequest as error:
            raise OAuthError("invalid_request", error.description) from error

    @classmethod
    def from_multipart(cls, body: bytes, content_type: str) -> Form:
        """The same from a multipart form, which may hold only texts. Raises :class:`OAuthError`."""
        form = cls("")
        try:
            reader = MultipartForm(content_type, max_fields=_MOST, max_text=_MAX_BODY)
            reader.feed(body)
            fields = reader.finish()
        except (InvalidRequest, PayloadTooLarge) as error:
            raise OAuthError("invalid_request", error.description) from error
        for name, value in fields:
            if not isinstance(value, str):
                raise OAuthError("invalid_request", f"{name[:40]!r} must be a text, not a file.")
            form._pairs.append((name, value))
        return form

    def get(self, name: str) -> str | None:
        """A field's value; ``None`` where it is absent or empty (RFC 6749 3.1).

        Raises :class:`OAuthError` if it is repeated or is not UTF-8.
        """
        values = self.every(name)
        if len(values) > 1:
            raise OAuthError("invalid_request", f"'{name}' is repeated: send it once.")
        return values[0] or None if values else None

    def need(self, name: str) -> str:
        """A required field's value. Raises :class:`OAuthError` where it is absent."""
        value = self.get(name)
        if value is None:
            raise OAuthError("invalid_request", f"'{name}' is missing.")
        return value

    def every(self, name: str) -> list[str]:
        """All values of a field that may be repeated.

        Raises :class:`OAuthError` where one is not UTF-8.
        """
        values = self.as_sent(name)
        if any(_SURROGATE.search(value) for value in values):
            raise OAuthError("invalid_request", f"'{name}' is not UTF-8.")
        return values

    def as_sent(self, name: str) -> list[str]:
        """All values of a field that is only passed on, with surrogates for invalid UTF-8."""
        return [value for key, value in self._pairs if key == name]


async def read_form(request: web.Request) -> Form:
    """Read the form of a POST request.

    RFC 6749 4.1.3 requires it urlencoded. Apps written in JavaScript often send a ``FormData``
    object unchanged, which is multipart.

    Raises :class:`OAuthError` for any other Content-Type, and as :func:`read_body`.
    """
    if request.content_type == MULTIPART:
        body, kind = await read_body(request), request.headers[hdrs.CONTENT_TYPE]
        return await fair_queue().run(Share(), len(body), partial(Form.from_multipart, body, kind))
    if hdrs.CONTENT_TYPE in request.headers and request.content_type != FORM:
        raise OAuthError("invalid_request", f"Send {FORM}.")
    encoded = (await read_body(request)).decode("utf-8", "surrogateescape")
    return await fair_queue().run(Share(), len(encoded), partial(Form, encoded))


async def read_body(request: web.Request) -> bytes:
    """Read a body within the limits of these endpoints. Raises :class:`OAuthError` beyond them."""
    try:
        return await receive_all(request, max_bytes=_MAX_BODY, seconds=_BODY_SECONDS)
    except (InvalidRequest, PayloadTooLarge) as error:
        raise OAuthError("invalid_request", error.description) from error
