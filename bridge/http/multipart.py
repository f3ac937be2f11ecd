"""Parses a multipart form as it arrives (RFC 7578; RFC 2046 5.1)."""

from __future__ import annotations

import binascii
import logging
import re
from urllib.parse import unquote

from aiohttp import hdrs
from msgspec import Struct, field
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from bridge.errors import InvalidRequest, PayloadTooLarge
from bridge.micropub.body import Field, File, base_name
from bridge.micropub.values import MEDIA

_MAX_HEADERS = 16
_MAX_HEADER_BYTES = 8190
#: RFC 2046 5.1.1: "no longer than 70 characters".
_MAX_BOUNDARY = 70
#: A form has no more bytes in a row that are neither header nor data: delimiters are shorter.
_MAX_SILENCE = 1024
#: Parts in one of e-mail's encodings are decoded as a whole, up to this size.
_MAX_ENCODED = 1_000_000
#: By which factor each of them lengthens a text, at most.
_GROWTH = {"base64": 2, "quoted-printable": 4}

_TOKEN = "access_token"  # noqa: S105 - a field's name

# The library warns of every wrong byte in a stranger's form, which our answer reports anyway.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
#: A quoted value ends at the first unescaped quote that ends a parameter. So ``filename="my "best"
#: photo.jpg"`` is read as intended.
_END = re.compile(r'(?<!\\)"[ \t]{0,8}(?:;|$)')
#: A part has a name and perhaps a file name, each perhaps in two forms.
_MOST = 8
#: What browsers write for the characters that a quoted value cannot hold (HTML, 4.10.21.8).
_ESCAPED = {r"\"": '"', "%22": '"', "%0D": "\r", "%0A": "\n"}


class _Part(Struct):
    """One part, as far as it has arrived; of repeated headers the first one counts."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    @property
    def encoding(self) -> str:
        return self.header("Content-Transfer-Encoding").lower()


class MultipartForm:
    """The fields of a form whose bytes are passed to :meth:`feed`."""

    def __init__(self, content_type: str, *, max_fields: int, max_text: int) -> None:
        """``max_text`` is the largest text field in bytes. Raises :class:`InvalidRequest`
        without a boundary.
        """
        boundary = parameters(content_type).get("boundary", "")
        if not (
            0 < len(boundary) <= _MAX_BOUNDARY and boundary.isascii() and boundary.isprintable()
        ):
            raise InvalidRequest(
                "The Content-Type multipart/form-data needs a boundary of 1 to 70 characters."
            )
        self._delimiter = b"\r\n--" + boundary.encode()
        self._opening = self._delimiter[2:]
        self._max_fields = max_fields
        self._max_text = max_text
        self._fields: list[Field] = []
        self._part = _Part()
        self._name, self._value = bytearray(), bytearray()
        self._parts = self._delimiters = self._silence = self._events = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary.encode(),
            {
                "on_part_begin": self._begin_part,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_header_field": self._take_name,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_end": self._end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )

    def feed(self, data: bytes) -> None:
        """Parse more bytes. Raises :class:`InvalidRequest`, :class:`PayloadTooLarge`."""
        # RFC 2046 5.1.1 allows a preamble; no client in use sends one.
        expected, self._opening = self._opening[: len(data)], self._opening[len(data) :]
        if not data.startswith(expected):
            raise InvalidRequest("The multipart body does not begin with its boundary.")
        # RFC 2046 5.1.1: "Boundary delimiters must not appear within the encapsulated material."
        self._delimiters += data.count(self._delimiter)
        if self._delimiters > self._max_fields:
            raise self._too_many()
        before = self._events
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(error) from error
        self._silence = self._silence + len(data) if self._events == before else 0
        if self._silence > _MAX_SILENCE:
            raise InvalidRequest("The multipart body contains data outside of its parts.")

    def finish(self) -> list[Field]:
        """All fields. Raises :class:`InvalidRequest` where the closing boundary is missing."""
        if not self._ended:
            raise InvalidRequest(
                "The multipart body is truncated: its closing boundary is missing."
            )
        return self._fields

    def _too_many(self) -> InvalidRequest:
        return InvalidRequest(f"The form has more than {self._max_fields} parts.")

    def _begin_part(self) -> None:
        self._events += 1
        self._parts += 1
        if self._parts > self._max_fields:
            raise self._too_many()
        self._part = _Part()

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._events += 1
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._events += 1
        self._value += data[start:end]

    def _end_header(self) -> None:
        # Each byte that is not UTF-8 becomes a question mark.
        value = self._value.decode(errors="surrogateescape").encode(errors="replace").decode()
        self._part.headers.setdefault(self._name.decode("ascii").lower(), value.strip())
        self._name.clear()
        self._value.clear()

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._events += 1
        part, before = self._part, len(self._part.data)
        part.data += data[start:end]
        # A text that is too large is not kept up to its end; the limit is for the decoded text.
        most = self._max_text * _GROWTH.get(part.encoding, 1)
        if before <= most < len(part.data):
            _check_size(part, self._max_text)

    def _end_part(self) -> None:
        self._fields.append(_field(self._part, self._max_text))
        self._part = _Part()

    def _end(self) -> None:
        self._events += 1
        self._ended = True


def _malformed(error: FormParserError) -> InvalidRequest:
    """The error for a client whose form cannot be parsed: what is wrong with it."""
    words = str(error)
    if "header size" in words:
        return InvalidRequest(
            f"A header of a part has more than {_MAX_HEADER_BYTES:,} bytes: shorten the name of the"
            " field or of the file."
        )
    if "header count" in words:
        return InvalidRequest(f"A part of the form has more than {_MAX_HEADERS} headers.")
    return InvalidRequest(
        "The multipart body is malformed: a boundary, headers, an empty line and data follow one"
        " another, and lines end with CRLF."
    )


def _field(part: _Part, max_text: int) -> Field:
    """Convert a part to a field. It is a file if it has a file name, is an image, or is not
    text.
    """
    kind = part.header(hdrs.CONTENT_TYPE).partition("/")[0].strip().lower()
    # RFC 7578 4.3: multipart/mixed for several files is deprecated.
    if kind == "multipart":
        raise InvalidRequest("A part of the form is itself multipart: send its parts separately.")
    given = parameters(part.header(hdrs.CONTENT_DISPOSITION))
    name, filename = given.get("name", ""), file_name(given)
    if base_name(name) == _TOKEN and filename is not None:
        raise InvalidRequest("'access_token' must be a text, not a file.")
    data = _decoded(part)
    if filename is not None or kind in {"image", "audio", "video"}:
        return name or "file", File(filename or "", data)
    if len(data) > max_text:
        _check_size(part, max_text)
    else:
        try:
            return name, data.decode()
        except UnicodeDecodeError as error:
            if base_name(name) not in MEDIA | {"file"}:
                raise InvalidRequest(
                    f"The field '{name[:40]}' is not UTF-8: send it as UTF-8."
                ) from error
    return name, File("", data)


def _check_size(part: _Part, max_text: int) -> None:
    """Raise :class:`PayloadTooLarge` for a part that is a text; a file may be larger."""
    kind = part.header(hdrs.CONTENT_TYPE).partition("/")[0].strip().lower()
    given = parameters(part.header(hdrs.CONTENT_DISPOSITION))
    name = given.get("name", "")
    is_file = file_name(given) is not None or kind in {"image", "audio", "video"}
    if not is_file and base_name(name) not in MEDIA | {"file"}:
        raise PayloadTooLarge(
            f"The field '{name[:40]}' is larger than {max_text:,} bytes, the most that is accepted."
        )


def _decoded(part: _Part) -> bytes:
    """The data of a part, decoded as its headers say.

    RFC 7578 4.7: "Senders SHOULD NOT generate any parts with a Content-Transfer-Encoding header
    field", but some do.
    """
    encoding = part.encoding
    if encoding in {"", "binary", "8bit", "7bit"}:
        return bytes(part.data)
    if len(part.data) > _MAX_ENCODED or encoding not in _GROWTH:
        raise InvalidRequest("Send the parts of the form without a Content-Transfer-Encoding.")
    try:
        if encoding == "base64":
            return binascii.a2b_base64(part.data)
        return binascii.a2b_qp(part.data)
    except binascii.Error as error:
        raise InvalidRequest("A part of the form is not encoded as it says.") from error


def parameters(header: str) -> dict[str, str]:
    """The parameters by lower-case name, unquoted; of duplicates the first counts.

    Accepts unescaped quotes, missing quotes and ``filename*=UTF-8''...``; never raises.
    """
    found: dict[str, str] = {}
    _, _, rest = header.partition(";")
    for _ in range(_MOST):
        key, equals, rest = rest.partition("=")
        if not equals:
            break
        value, rest = _value(rest.lstrip())
        name = key.strip(" \t;").lower()
        if name.endswith("*"):
            value = _extended(value)
        found.setdefault(name, value)
    return found


def file_name(given: dict[str, str]) -> str | None:
    """The file's name; ``None`` where there is no such parameter, ``""`` where it is empty."""
    return given.get("filename*") or given.get("filename")


def _value(text: str) -> tuple[str, str]:
    """The value at the start of ``text``, and what follows it."""
    if not text.startswith('"'):
        value, _, rest = text.partition(";")
        return value.strip(), rest
    end = _END.search(text, 1)
    value, rest = (text[1 : end.start()], text[end.end() :]) if end else (text[1:], "")
    for escaped, character in _ESCAPED.items():
        value = value.replace(escaped, character)
    return value, rest


def _extended(value: str) -> str:
    """Decode ``UTF-8''na%C3%AFve.jpg``; ``""`` for another encoding."""
    charset, _, encoded = value.split("'", 2) if value.count("'") >= 2 else ("", "", "")
    # RFC 8187 allows UTF-8 only, RFC 5987 before it ISO-8859-1, too. Python knows many more, some
    # of which raise errors of their own.
    if charset.lower() not in {"", "utf-8", "iso-8859-1"}:
        return ""
    try:
        return unquote(encoded, charset or "utf-8", "strict")
    except UnicodeDecodeError:
        return ""
