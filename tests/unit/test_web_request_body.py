"""Request bodies received by a real server: bodies of known clients are parsed, malformed
ones refused.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import quopri
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.errors import BridgeError, PayloadTooLarge
from bridge.http.multipart import MultipartForm
from bridge.micropub.body import File, RequestBody
from bridge.web.request import AUTHENTICATED, MAX_FIELDS, BodyLimits, read_body

MAX_BYTES = 6_000_000
MAX_TEXT = AUTHENTICATED.max_text
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"


@dataclass
class Answer:
    """The result of one request: the parsed body, or the error."""

    status: int
    text: str
    body: RequestBody | None

    def read(self) -> RequestBody:
        assert self.body is not None, self.text
        return self.body

    def refused(self, status: int) -> str:
        assert (self.status, self.body) == (status, None)
        return self.text


Send = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def send(aiohttp_server: Callable[..., Awaitable[TestServer]]) -> Send:
    """Sends exact bytes to a server that reads them with ``read_body``."""
    found: list[RequestBody] = []

    async def handle(request: web.Request) -> web.Response:
        try:
            found.append(await read_body(request, max_bytes=MAX_BYTES))
        except BridgeError as error:
            return web.Response(status=error.status, text=error.description)
        return web.Response(text="read")

    app = web.Application()
    app.router.add_post("/", handle)
    server = await aiohttp_server(app)

    async def send(
        content_type: str | None, data: bytes, *headers: str, length: int | None = None
    ) -> Answer:
        found.clear()
        lines = ["POST / HTTP/1.1", "Host: x", "Connection: close", *headers]
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}")
        if not any(line.startswith("Transfer-Encoding") for line in headers):
            lines.append(f"Content-Length: {len(data) if length is None else length}")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head = await reader.readuntil(b"\r\n\r\n")
        (size,) = re.findall(rb"Content-Length: (\d+)", head)
        text = await reader.readexactly(int(size))
        writer.close()
        return Answer(int(head.split()[1]), text.decode(), found[0] if found else None)

    return send


def parts(*given: tuple[str, bytes]) -> bytes:
    """A multipart body of parts, each its headers and its data."""
    return (
        b"".join(f"--XX\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in given)
        + b"--XX--\r\n"
    )


def disposition(rest: str) -> str:
    return f"Content-Disposition: form-data; {rest}"


class TestForms:
    async def test_a_byte_order_mark_is_forgiven(self, send: Send) -> None:
        body = (await send(FORM, b"\xef\xbb\xbfh=entry&content=x")).read()
        assert body.fields == (("h", "entry"), ("content", "x"))

    async def test_a_form(self, send: Send) -> None:
        body = (
            await send(FORM, b"h=entry&content=C%2B%2B+%26+100+%25+%C3%A9&category[]=a&x=")
        ).read()
        assert body.kind == "form"
        assert body.fields == (
            ("h", "entry"),
            ("content", "C++ & 100 % é"),
            ("category[]", "a"),
            ("x", ""),
        )

    async def test_charset_trailing_ampersand_and_lone_percent(self, send: Send) -> None:
        body = (await send(f"{FORM};charset=UTF-8", "a=é+100%&b&".encode())).read()
        assert body.fields == (("a", "é 100%"), ("b", ""))

    @pytest.mark.parametrize("content_type", [None, "", " "])
    async def test_a_post_without_a_type_is_a_form(
        self, send: Send, content_type: str | None
    ) -> None:
        assert (await send(content_type, b"content=x")).read().fields == (("content", "x"),)

    @pytest.mark.parametrize("content_type", [None, FORM, "application/json"])
    async def test_no_body_at_all(self, send: Send, content_type: str | None) -> None:
        assert (await send(content_type, b"")).read() == RequestBody("empty")

    @pytest.mark.parametrize("data", [b"a=%FF", b"a=\xff", b"a=%ED%A0%80"])
    async def test_input_that_is_not_utf8_is_refused(self, send: Send, data: bytes) -> None:
        assert "UTF-8" in (await send(FORM, data)).refused(400)

    @pytest.mark.parametrize("encoded", ["%", "%41", "%C3%A9+", "é%41", "%%4"])
    async def test_a_long_value_is_decoded_in_pieces(
        self, send: Send, monkeypatch: pytest.MonkeyPatch, encoded: str
    ) -> None:
        """One call that decodes megabytes would hold up all other threads until it returns."""
        sizes = []

        def unquote_to_bytes(piece: bytes) -> bytes:
            sizes.append(len(piece))
            return urllib.parse.unquote_to_bytes(piece)

        monkeypatch.setattr("bridge.http.form.unquote_to_bytes", unquote_to_bytes)
        body = (await send(FORM, ("a=" + encoded * 30_000).encode())).read()
        assert body.fields == (("a", urllib.parse.unquote_plus(encoded * 30_000)),)
        assert max(sizes) <= 8192

    async def test_too_many_fields_are_refused(self, send: Send) -> None:
        assert str(MAX_FIELDS) in (await send(FORM, b"a=1&" * (MAX_FIELDS + 1))).refused(400)

    async def test_expect_100_continue(self, send: Send) -> None:
        assert (await send(FORM, b"a=1", "Expect: 100-continue")).read().fields == (("a", "1"),)

    async def test_a_chunked_body(self, send: Send) -> None:
        data = b"4\r\na=1&\r\n3\r\nb=2\r\n0\r\n\r\n"
        body = (await send(FORM, data, "Transfer-Encoding: chunked")).read()
        assert body.fields == (("a", "1"), ("b", "2"))

    @pytest.mark.parametrize(
        "content_type", ["undefined", "text/plain", "application/xml", "multipart/mixed"]
    )
    async def test_unknown_types_are_refused(self, send: Send, content_type: str) -> None:
        assert "multipart/form-data" in (await send(content_type, b"a=1")).refused(415)

    async def test_a_file_as_the_body_is_told_where_it_belongs(self, send: Send) -> None:
        for content_type in ("image/jpeg", "application/octet-stream"):
            assert "a part named 'file'" in (await send(content_type, b"\xff\xd8")).refused(415)


class TestToken:
    async def test_the_token_is_removed_from_a_form(self, send: Send) -> None:
        body = (await send(FORM, b"access_token=secret&content=x&access_token[]=secret")).read()
        assert body.access_token == "secret"
        assert body.fields == (("content", "x"),)
        assert "secret" not in repr(body)

    async def test_the_token_is_removed_from_a_multipart_form(self, send: Send) -> None:
        data = parts(
            (disposition('name="access_token"'), b"secret"), (disposition('name="a"'), b"1")
        )
        body = (await send(MULTIPART, data)).read()
        assert (body.access_token, body.fields) == ("secret", (("a", "1"),))

    async def test_the_token_is_removed_from_json(self, send: Send) -> None:
        body = (
            await send("application/json", b'{"access_token": "secret", "type": "h-entry"}')
        ).read()
        assert (body.access_token, body.json) == ("secret", {"type": "h-entry"})

    async def test_an_empty_token_is_none(self, send: Send) -> None:
        assert (await send(FORM, b"access_token=&content=x")).read().access_token is None
        assert (
            await send("application/json", b'{"access_token": null}')
        ).read().access_token is None

    @pytest.mark.parametrize(
        ("content_type", "data"),
        [
            (FORM, b"access_token=a&access_token=b"),
            ("application/json", b'{"access_token": ["a"]}'),
            ("application/json", b'{"access_token": {"a": 1}}'),
            (MULTIPART, parts((disposition('name="access_token"; filename="a"'), b"a"))),
        ],
    )
    async def test_two_tokens_or_odd_ones_are_refused(
        self, send: Send, content_type: str, data: bytes
    ) -> None:
        assert "access" in (await send(content_type, data)).refused(400)


class TestMultipart:
    async def test_fields_and_files_in_their_order(self, send: Send) -> None:
        data = parts(
            (disposition('name="content"'), "é\r\n+".encode()),
            (
                disposition('name="photo[]"; filename="a.jpg"') + "\r\nContent-Type: image/jpeg",
                b"\xff\xd8",
            ),
            (disposition('name="photo[]"'), b"https://a.example/b.jpg"),
        )
        body = (await send(MULTIPART, data)).read()
        assert body.fields == (
            ("content", "é\r\n+"),
            ("photo[]", File("a.jpg", b"\xff\xd8")),
            ("photo[]", "https://a.example/b.jpg"),
        )
        assert body.files == (File("a.jpg", b"\xff\xd8"),)
        assert all(type(file.data) is bytes for file in body.files)

    @pytest.mark.parametrize(
        ("given", "filename"),
        [
            ('filename="sun set é.jpg"', "sun set é.jpg"),
            ('filename="my "best" photo.jpg"', 'my "best" photo.jpg'),
            (r'filename="my \"best\" photo.jpg"', 'my "best" photo.jpg'),
            ('filename="a%22b.jpg"', 'a"b.jpg'),
            ("filename=plain.jpg", "plain.jpg"),
            ("filename=two words.jpg", "two words.jpg"),
            ('filename="a;b=c.jpg"', "a;b=c.jpg"),
            ('filename=""', ""),
            ('filename="blob"', "blob"),
            ("filename*=UTF-8''na%C3%AFve.jpg", "naïve.jpg"),
            ("filename=\"n.jpg\"; filename*=UTF-8''na%C3%AFve.jpg", "naïve.jpg"),
            ("filename*=iso-8859-1''na%EFve.jpg", "naïve.jpg"),
            *(
                (f"filename*={odd}''%E4.jpg; filename=y.jpg", "y.jpg")
                for odd in ("klingon", "UTF-8\0", "undefined", "rot13", "idna", "zlib", "utf-16")
            ),
            ('filename="unclosed.jpg', "unclosed.jpg"),
            (r'filename="C:\photos\a.jpg"', r"C:\photos\a.jpg"),
            ('FileName="caps.jpg";', "caps.jpg"),
        ],
    )
    async def test_file_names_in_all_notations(self, send: Send, given: str, filename: str) -> None:
        data = parts((disposition(f'name="photo"; {given}'), b"\xff"))
        assert (await send(MULTIPART, data)).read().fields == (("photo", File(filename, b"\xff")),)

    async def test_a_file_name_that_is_not_utf8(self, send: Send) -> None:
        data = parts((disposition('name="file"; filename="?.jpg"'), b"\xff")).replace(b"?", b"\xe9")
        assert (await send(MULTIPART, data)).read().fields == (("file", File("?.jpg", b"\xff")),)

    @pytest.mark.parametrize("kind", ["image/jpeg", "image/jpeg; charset=binary", "audio/mpeg"])
    async def test_a_picture_without_a_file_name_is_a_file(self, send: Send, kind: str) -> None:
        data = parts((disposition('name="photo"') + f"\r\nContent-Type: {kind}", b"abc"))
        assert (await send(MULTIPART, data)).read().fields == (("photo", File("", b"abc")),)

    async def test_binary_data_is_a_file(self, send: Send) -> None:
        data = parts((disposition('name="file[]"'), b"\xff\xd8"))
        assert (await send(MULTIPART, data)).read().fields == (("file[]", File("", b"\xff\xd8")),)

    async def test_a_file_without_a_name_for_its_part(self, send: Send) -> None:
        data = parts(("Content-Type: image/png", b"abc"))
        assert (await send(MULTIPART, data)).read().fields == (("file", File("", b"abc")),)

    async def test_a_text_that_is_not_utf8_is_refused(self, send: Send) -> None:
        data = parts((disposition('name="content"'), b"\xff"))
        assert "UTF-8" in (await send(MULTIPART, data)).refused(400)

    async def test_without_any_file_it_is_an_ordinary_form(self, send: Send) -> None:
        data = parts(
            (disposition("name=content") + "\r\nContent-Type: text/plain; charset=utf-8", b"x")
        )
        body = (await send(MULTIPART, data)).read()
        assert (body.kind, body.fields) == ("form", (("content", "x"),))

    @pytest.mark.parametrize("length", ["5", "1", "999"])
    async def test_a_parts_content_length_is_ignored(self, send: Send, length: str) -> None:
        data = parts((disposition('name="content"') + f"\r\nContent-Length: {length}", b"12345"))
        assert (await send(MULTIPART, data)).read().fields == (("content", "12345"),)

    async def test_boundaries_that_begin_with_dashes(self, send: Send) -> None:
        data = parts((disposition('name="a"'), b"1")).replace(b"--XX", b"----f0")
        assert (await send("multipart/form-data; boundary=--f0", data)).read().fields == (
            ("a", "1"),
        )

    async def test_data_that_looks_like_a_boundary(self, send: Send) -> None:
        inside = b"\r\n--X\r\n--XY--XX\r\n" * 20_000
        data = parts((disposition('name="a"; filename="a"'), inside))
        assert (await send(MULTIPART, data)).read().files == (File("a", inside),)

    async def test_transfer_encodings(self, send: Send) -> None:
        head = disposition('name="a"') + "\r\nContent-Transfer-Encoding: "
        data = parts((head + "base64", b"aGVs\r\nbG8="), (head + "8bit", b"x"))
        assert (await send(MULTIPART, data)).read().fields == (("a", "hello"), ("a", "x"))

    async def test_the_old_charset_field_changes_nothing(self, send: Send) -> None:
        data = parts(
            (disposition('name="_charset_"'), b"x" * 60), (disposition('name="a"'), "é".encode())
        )
        assert (await send(MULTIPART, data)).read().fields[1] == ("a", "é")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"nothing like it",
            b"--XX\r\n",
            b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nbroken off",
            b"--XX\r\n\xff\xfe: x\r\n\r\nx\r\n--XX--\r\n",
            parts((disposition('name="a"') + "\r\nContent-Transfer-Encoding: rot13", b"x")),
            parts((disposition('name="a"') + "\r\nContent-Transfer-Encoding: base64", b"a")),
            parts(("Content-Type: multipart/mixed; boundary=YY", b"--YY--")),
            parts(("Content-Type: multipart/mixed", b"")),
        ],
    )
    async def test_malformed_bodies_are_refused(self, send: Send, data: bytes) -> None:
        (await send(MULTIPART, data)).refused(400)

    @pytest.mark.parametrize(
        ("headers", "why"),
        [
            (disposition(f'name="file"; filename="{"n" * 10_000}.jpg"'), "shorten the name"),
            ("\r\n".join(["A: b"] * 500), "more than 16 headers"),
        ],
    )
    async def test_long_headers_of_a_part_are_named(
        self, send: Send, headers: str, why: str
    ) -> None:
        assert why in (await send(MULTIPART, parts((headers, b"x")))).refused(400)

    @pytest.mark.parametrize(
        "boundary", ["", "; boundary=", "; boundary=" + "x" * 80, "; charset=x"]
    )
    async def test_a_missing_boundary_is_refused(self, send: Send, boundary: str) -> None:
        data = parts((disposition('name="a"'), b"1"))
        assert "multipart" in (await send(f"multipart/form-data{boundary}", data)).refused(400)

    async def test_too_many_parts_are_refused(self, send: Send) -> None:
        data = parts(*[(disposition("name=a"), b"1")] * (MAX_FIELDS + 1))
        assert str(MAX_FIELDS) in (await send(MULTIPART, data)).refused(400)


class TestSize:
    async def test_a_too_large_content_length_is_refused_at_once(self, send: Send) -> None:
        (await send(FORM, b"", length=MAX_BYTES + 1)).refused(413)

    async def test_text_has_a_limit_of_its_own(self, send: Send) -> None:
        (await send(FORM, b"a=" + b"x" * MAX_TEXT)).refused(413)
        ((_, value),) = (await send(FORM, b"a=" + b"x" * (MAX_TEXT - 2))).read().fields
        assert value == "x" * (MAX_TEXT - 2)

    async def test_files_together_have_a_limit(self, send: Send) -> None:
        file = (disposition('name="photo"; filename="a"'), b"x" * (MAX_BYTES // 2))
        assert len((await send(MULTIPART, parts(file))).read().files) == 1
        chunks = [b"%x\r\n%b\r\n" % (len(data), data) for data in [parts(file, file, file)]]
        unannounced = await send(
            MULTIPART, b"".join(chunks) + b"0\r\n\r\n", "Transfer-Encoding: chunked"
        )
        assert "accepted" in unannounced.refused(413)

    async def test_a_compressed_body_is_limited_by_its_decompressed_size(self, send: Send) -> None:
        bomb = gzip.compress(b"a=" + b"0" * 50_000_000)
        assert len(bomb) < 100_000
        (await send(FORM, bomb, "Content-Encoding: gzip")).refused(413)
        small = gzip.compress(b"a=1")
        assert (await send(FORM, small, "Content-Encoding: gzip")).read().fields == (("a", "1"),)

    @pytest.mark.parametrize("content_type", [FORM, "application/json", MULTIPART])
    async def test_a_disconnecting_client_is_not_an_error(self, content_type: str) -> None:
        refused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        started = asyncio.Event()

        async def handle(request: web.Request) -> web.Response:
            started.set()
            try:
                await read_body(request, max_bytes=MAX_BYTES)
            except BridgeError as error:
                refused.set_result(error.status)
            return web.Response()

        app = web.Application()
        app.router.add_post("/", handle)
        # aiohttp's test server would cancel the handler, which a real one does not.
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n"
        writer.write(f"{head}Content-Length: 5000\r\n\r\n--XX\r\n\r\nhalf".encode())
        await started.wait()
        writer.transport.abort()
        assert await asyncio.wait_for(refused, 300) == 400
        await runner.cleanup()

    async def test_a_body_gets_the_time_for_its_own_size(
        self, aiohttp_server: Callable[..., Awaitable[TestServer]]
    ) -> None:
        limits = BodyLimits(MAX_TEXT, 0.01, AUTHENTICATED.parser)

        async def handle(request: web.Request) -> web.Response:
            try:
                # The time for a body of the largest size is a year.
                await read_body(request, max_bytes=10**12, limits=limits)
            except BridgeError as error:
                return web.Response(status=error.status, text=error.description)
            return web.Response()

        app = web.Application()
        app.router.add_post("/", handle)
        server = await aiohttp_server(app)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\n"
        writer.write(f"{head}Content-Length: 300\r\n\r\n--XX\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 100)
        assert answer.startswith(b"HTTP/1.1 400")
        writer.close()

    def test_a_photo_has_the_time_that_poor_reception_takes(self) -> None:
        size, bytes_a_second = 10_000_000, 10_000
        assert AUTHENTICATED.patience(size) > size / bytes_a_second

    async def test_a_body_with_a_wrong_content_encoding(self, send: Send) -> None:
        (await send(FORM, b"not gzip at all", "Content-Encoding: gzip")).refused(400)


class TestJson:
    async def json(self, send: Send, data: bytes) -> Answer:
        return await send("application/json; charset=UTF-8", data)

    @pytest.mark.parametrize(
        "content_type", ["application/json", "APPLICATION/JSON", "application/mf2+json"]
    )
    async def test_json(self, send: Send, content_type: str) -> None:
        value = {
            "type": ["h-entry"],
            "properties": {"content": ["é 😀 \u0000"], "n": [45.524330801154]},
        }
        body = (await send(content_type, json.dumps(value).encode())).read()
        assert (body.kind, body.json) == ("json", value)

    async def test_brackets_and_colons_in_a_text_are_no_lists(self, send: Send) -> None:
        value = {"properties": {"content": ['[{:\\"[{:"' * 20_000]}}
        assert (await self.json(send, json.dumps(value).encode())).read().json == value

    async def test_a_byte_order_mark_is_forgiven(self, send: Send) -> None:
        assert (await self.json(send, b"\xef\xbb\xbf{}")).read().json == {}

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"{", "line 1, column 2"),
            (b"{'a': 1}", "malformed"),
            (b'{"a": 1} x', "malformed"),
            (b'{"a": "\xff"}', "UTF-8"),
            ('{"a": 1}'.encode("utf-16"), "UTF-8"),
            (b'{"a": 1, "a": 2}', "'a' twice"),
            (b'{"a": NaN}', "NaN"),
            (b'{"a": -Infinity}', "Infinity"),
            (b'{"a": 1e999}', "too large"),
            (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
            (b"[" * 33 + b"]" * 33, "too deep"),
            (b"[" * 9_000, "too deep"),
            # The decoder would build each of these while every other request waits.
            (b"[" * 12_000, "more than 10,000 lists"),
            (b"[" + b"[]," * 12_000 + b"[]]", "more than 10,000 lists"),
            (b"[" + b"{}," * 12_000 + b"{}]", "more than 10,000 lists"),
            (b'{"\\"":0' + b',"k":null' * 12_000 + b"}", "more than 10,000 lists"),
            (b'{"a": ["\\ud83d"]}', "a lone surrogate"),
            (b'{"\\ud83d": 1}', "a lone surrogate"),
            (b'{"a": "line\nbreak"}', "malformed"),
            (b'{"a": [1, 2,]}', "Remove the comma"),
            (b'{"a": 1, }', "Remove the comma"),
        ],
    )
    async def test_json_that_could_not_be_stored_is_refused(
        self, send: Send, data: bytes, why: str
    ) -> None:
        assert why in (await self.json(send, data)).refused(400)


@pytest.mark.parametrize(
    ("head", "is_text"),
    [
        ('name="content"', True),
        ('name="content"\r\nContent-Transfer-Encoding: base64', True),
        ('name="photo"', False),
        ('name="content"; filename="a"', False),
        ('name="content"\r\nContent-Type: image/png', False),
    ],
)
def test_a_text_that_is_too_large_is_refused_before_its_end(head: str, is_text: bool) -> None:
    form = MultipartForm("multipart/form-data; boundary=B", max_fields=9, max_text=1000)
    form.feed(f"--B\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode())
    form.feed(bytes(1000))
    with pytest.raises(PayloadTooLarge) if is_text else nullcontext():
        form.feed(bytes(2000))


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)],
)
@pytest.mark.parametrize(("size", "is_accepted"), [(500, True), (501, False)])
def test_the_limit_of_a_text_is_for_its_decoded_form(
    encoding: str, encode: Callable[[bytes], bytes], size: int, is_accepted: bool
) -> None:
    form = MultipartForm(MULTIPART, max_fields=9, max_text=1000)
    head = disposition(f'name="content"\r\nContent-Transfer-Encoding: {encoding}')
    with nullcontext() if is_accepted else pytest.raises(PayloadTooLarge):
        form.feed(parts((head, encode("é".encode() * size))))
        assert form.finish() == [("content", "é" * size)]
