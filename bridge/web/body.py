"""The body of a request, read once: form, multipart or JSON, bounded, the token taken out."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict, CIMultiDictProxy

from bridge.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from bridge.micropub.body import Body, Field, File, base_name
from bridge.micropub.post import Json
from bridge.micropub.values import MEDIA
from bridge.web.allowance import Take
from bridge.web.disposition import file_name, parameters
from bridge.web.json_body import read_json

#: Forms without files, and JSON: nobody types more.
MAX_TEXT = 4_000_000
MAX_FIELDS = 1000
#: What a multipart body needs besides its file.
WRAPPING = 64 * 1024
_CHUNK = 64 * 1024

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"

_TOKEN = "access_token"  # noqa: S105 - a field's name


def _freely(count: int) -> None:
    del count


async def read_body(request: web.Request, *, max_bytes: int, take: Take = _freely) -> Body:
    """What came with a POST. ``max_bytes`` bounds the whole body; ``take`` is told of its pieces.

    Raises what ``take`` raises, :class:`InvalidRequest` for what cannot be read,
    :class:`PayloadTooLarge`, :class:`UnsupportedMediaType`.
    """
    # Who says how much he will send is answered before he has sent it.
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    media_type = request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
    try:
        if media_type == MULTIPART:
            return _form(await _read_parts(request, max_bytes, take))
        # A POST that does not say what it is, is a form (INTEROP: shapes, 8).
        if media_type in {FORM, ""}:
            data = await _read_all(request, min(max_bytes, MAX_TEXT), take)
            return _form(_read_fields(data)) if data else Body("empty")
        if media_type == JSON or (media_type.startswith("application/") and "+json" in media_type):
            data = await _read_all(request, min(max_bytes, MAX_TEXT), take)
            return _json(read_json(data)) if data.strip() else Body("empty")
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise InvalidRequest("The body broke off, or is not encoded as it says.") from error
    raise UnsupportedMediaType(f"Send {FORM}, {MULTIPART} or {JSON}, not '{media_type[:80]}'.")


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request is larger than the {limit:,} bytes that are accepted.")


async def _read_all(request: web.Request, limit: int, take: Take) -> bytes:
    data = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        take(len(chunk))
        data += chunk
        if len(data) > limit:
            raise _too_large(limit)
    return bytes(data)


def _read_fields(data: bytes) -> list[Field]:
    try:
        pairs = parse_qsl(
            data.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The form is not UTF-8.") from error
    except ValueError as error:
        raise InvalidRequest(f"The form has more than {MAX_FIELDS} fields.") from error
    return list(pairs)


class _Parts(MultipartReader):
    """aiohttp's reader, without its own reading of ``Content-Disposition``.

    That one warns of, and drops, headers with unescaped quotes, which living clients send.
    """

    async def fetch_next_part(self) -> MultipartReader | BodyPartReader:
        part = await super().fetch_next_part()
        if not isinstance(part, BodyPartReader):
            raise InvalidRequest(
                "A part of the form is itself multipart: send the parts one by one."
            )
        headers = CIMultiDict(part.headers)
        headers[_DISPOSITION], *_ = headers.popall(hdrs.CONTENT_DISPOSITION, [""])
        part.headers = CIMultiDictProxy(headers)
        return part


#: Where :class:`_Parts` keeps the header from aiohttp.
_DISPOSITION = "X-Content-Disposition"


async def _read_parts(request: web.Request, max_bytes: int, take: Take) -> list[Field]:
    fields: list[Field] = []
    left = max_bytes
    try:
        parts = _Parts(request.headers, request.content)
        while isinstance(part := await parts.next(), BodyPartReader):
            if len(fields) == MAX_FIELDS:
                raise InvalidRequest(f"The form has more than {MAX_FIELDS} parts.")
            data = bytearray()
            while chunk := await part.read_chunk(_CHUNK):
                take(len(chunk))
                data += chunk
                if len(data) > left:
                    raise _too_large(max_bytes)
            left -= len(data)
            fields.append(_field(part, bytes(data)))
    # The reader has no error of its own: it lets through whatever befalls it.
    except (ValueError, RuntimeError, AssertionError, binascii.Error) as error:
        raise InvalidRequest("The multipart body is malformed, or broke off.") from error
    return fields


def _field(part: BodyPartReader, data: bytes) -> Field:
    """One part as a field. A part is a file if it has a file name, is a picture, or is no text."""
    given = parameters(part.headers[_DISPOSITION].encode(errors="replace").decode())
    name, filename = given.get("name", ""), file_name(given)
    if base_name(name) == _TOKEN and filename is not None:
        raise InvalidRequest("'access_token' must be a text, not a file.")
    content = bytes(part.decode(data))
    kind = part.headers.get(hdrs.CONTENT_TYPE, "").partition("/")[0].strip().lower()
    if filename is not None or kind in {"image", "audio", "video"}:
        return name or "file", File(filename or "", content)
    try:
        return name, content.decode()
    except UnicodeDecodeError as error:
        if base_name(name) in MEDIA | {"file"}:
            return name, File("", content)
        raise InvalidRequest(f"The field '{name[:40]}' is not UTF-8.") from error


def _form(fields: Sequence[Field]) -> Body:
    """A form without its token. Clients put it there even if it is in the header already."""
    kept = tuple(field for field in fields if base_name(field[0]) != _TOKEN)
    tokens = [value for name, value in fields if base_name(name) == _TOKEN]
    return _with_token(Body("form", fields=kept), tokens)


def _json(value: Json) -> Body:
    """JSON without its token: RFC 6750 knows none there, but what comes must not be stored."""
    if not isinstance(value, dict) or _TOKEN not in value:
        return Body("json", json=value)
    rest = {key: inner for key, inner in value.items() if key != _TOKEN}
    return _with_token(Body("json", json=rest), [value[_TOKEN]])


def _with_token(body: Body, tokens: Sequence[object]) -> Body:
    given = [token for token in tokens if token]
    if not given:
        return body
    token, *others = given
    if not isinstance(token, str) or any(other != token for other in others):
        raise InvalidRequest("Send one access token, as a text.")
    return replace(body, access_token=token)
