"""Hostile requests are refused quickly, and do not delay others."""

from __future__ import annotations

import asyncio
import pickle
import re
import resource
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from loop_kit import Rounds, watched_loop
from soak_kit import in_soak

from bridge.auth.token import Token
from bridge.errors import InvalidRequest, InvalidToken
from bridge.http.connection import (
    Connection,
    Listener,
    accept_clients,
    most_connections,
    note_request,
    prepare_answer,
)
from bridge.http.form import read_form
from bridge.http.later import Later
from bridge.http.limits import Share, fair_queue, receive_all
from bridge.indieauth.endpoint import json_endpoint
from bridge.settings import Settings, Site
from bridge.web.git_hook import GitHook
from bridge.web.middleware import render_errors
from bridge.web.request import UNAUTHENTICATED, Gate

#: So long a round of the loop may take where a request is to be answered within 50 ms; ten times.
BUSY = 0.5
ANSWERS = {b"HTTP/1.1 400", b"HTTP/1.1 401"}
#: So many at once, so long at most.
CROWD = 10
SECONDS = 0.15

MULTIPART = b"Content-Type: multipart/form-data; boundary=B\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
PART = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
ENDLESS = b"Content-Length: 19999999\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def bomb(first: bytes, data: bytes) -> bytes:
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    begun = packed.compress(first) + packed.flush(zlib.Z_FULL_FLUSH)
    # After a full flush, what follows refers to nothing before it: it can be repeated.
    return begun + (packed.compress(data) + packed.flush(zlib.Z_FULL_FLUSH)) * 300


@dataclass(frozen=True)
class Attack:
    """An endless request: its headers, the beginning of its body, and what is repeated."""

    headers: bytes
    first: bytes
    again: bytes


def of(kind: bytes, first: bytes, again: bytes, times: int = 10_000) -> Attack:
    """An attack with a Content-Length."""
    return Attack(kind + ENDLESS, first, again * (times // len(again) + 1))


ATTACKS = {
    "newlines": of(MULTIPART, b"", b"\n"),
    "a_preamble": of(MULTIPART, b"", b"preamble\r\n"),
    "a_chunked_preamble": Attack(MULTIPART + CHUNKED, b"", chunk(b"\r\n" * 5000)),
    "an_epilogue": of(MULTIPART, PART + b"\r\n--B--\r\n", b"\r\n--B\r\n"),
    "newlines_in_a_part": of(MULTIPART, PART, b"\r\n"),
    "delimiters_that_are_none": of(MULTIPART, PART, b"\r\n--Bx"),
    "delimiters_that_almost_end_it": of(MULTIPART, PART, b"\r\n--B-"),
    "padding_behind_a_delimiter": of(MULTIPART, PART + b"\r\n--B", b" "),
    "empty_parts": of(MULTIPART, b"", b"--B\r\n\r\n\r\n"),
    "many_headers": of(MULTIPART, b"--B\r\n", b"A: b\r\n"),
    "a_header_without_end": of(MULTIPART, b"--B\r\n", b"A"),
    "a_header_value_of_blanks": of(MULTIPART, b"--B\r\nA:", b" "),
    "chunks_of_one_byte": Attack(MULTIPART + CHUNKED, chunk(PART), chunk(b"x") * 2000),
    "chunk_extensions": Attack(
        MULTIPART + CHUNKED, chunk(PART), b"1;" + b"e" * 9000 + b"\r\nx\r\n"
    ),
    "a_chunk_extension_without_end": Attack(FORM + CHUNKED, b"1;", b"e" * 10_000),
    "trailers": Attack(FORM + CHUNKED, b"3\r\na=1\r\n0\r\n", b"A: b\r\n" * 2000),
    "fields_without_end": of(FORM, b"", b"a=1&"),
    "escapes": of(FORM, b"", b"%41"),
    "brackets": of(FORM, b"a", b"[]"),
    "deep_json": of(JSON, b"", b"["),
    "wide_json": of(JSON, b"[", b"{},"),
    "json_strings": of(JSON, b"[", b'"",'),
    "json_keys": of(JSON, b"{", b'"a":1,'),
    "gzip": Attack(
        MULTIPART + b"Content-Encoding: gzip\r\n" + ENDLESS, bomb(PART, b"x" * 100_000), b"\0"
    ),
    "gzipped_delimiters": Attack(
        MULTIPART + b"Content-Encoding: gzip\r\n" + ENDLESS, bomb(PART, b"\r\n--Bx" * 16_000), b"\0"
    ),
    "no_type": of(b"", b"", b"a"),
}


def whole(kind: bytes, data: bytes) -> Attack:
    return Attack(kind + b"Connection: close\r\nContent-Length: %d\r\n" % len(data), data, b"")


#: Texts as large as a client without a token may send.
MOST = UNAUTHENTICATED.max_text
WHOLE = {
    "deep_json": whole(JSON, b"[" * MOST),
    "wide_json": whole(JSON, b"[" + b"{}," * (MOST // 3 - 1) + b"1]"),
    "json_lists": whole(JSON, b"[" + b"[]," * (MOST // 3 - 1) + b"1]"),
    "json_strings": whole(JSON, b"[" + b'"",' * (MOST // 3 - 1) + b"1]"),
    "json_numbers": whole(JSON, b"[" + b"1," * (MOST // 2 - 2) + b"1]"),
    "escapes": whole(FORM, b"a=" + b"%41" * (MOST // 3 - 1)),
    "no_escapes": whole(FORM, b"a=" + b"%" * (MOST - 2)),
    "fields": whole(FORM, (b"a" * 200 + b"=1&") * 999),
    "brackets": whole(FORM, b"a" + b"[]" * (MOST // 2 - 1)),
    "parts": whole(MULTIPART, PART * 999 + b"\r\n--B--"),
    "names": whole(
        MULTIPART,
        (b'--B\r\nContent-Disposition: form-data; name="' + b'"' * 8000 + b"\r\n\r\n\r\n") * 30,
    ),
    "base64": whole(
        MULTIPART,
        b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"YWJj" * 240_000 + b"\r\n--B--",
    ),
    "large_file": whole(MULTIPART, PART + b"\xff" * 9_000_000 + b"\r\n--B--"),
}


class Nobody:
    """A verifier that refuses all tokens."""

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        raise InvalidToken("No such token.")


@dataclass(frozen=True)
class Seen:
    """The outcome of an attack."""

    loop: Rounds
    waited: float
    answers: list[bytes]

    def check(self) -> None:
        """Other requests were answered: the event loop was never blocked for long."""
        assert self.loop.longest < BUSY
        assert self.waited < BUSY


@asynccontextmanager
async def listening(
    tmp_path: Path, *, with_later: bool = False, **options: float
) -> AsyncIterator[int]:
    """A server with each way of reading a body; its port."""
    settings = Settings(site=Site(me="https://example.org/", repo=tmp_path))
    gate = Gate(Nobody(), settings)

    async def micropub(request: web.Request) -> web.Response:
        await gate.receive(request, max_bytes=10 * settings.media.max_bytes)
        return web.Response()

    @json_endpoint
    async def token(request: web.Request) -> web.Response:
        (await read_form(request)).need("code")
        return web.Response()

    async def fetch() -> None:
        return None

    async def health(request: web.Request) -> web.Response:
        HANDLED.append(request.path)
        return web.Response(text="ok")

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(1_000_000))

    async def slow(request: web.Request) -> web.Response:
        ASKED.set()
        await SLOW.wait()
        return web.Response(text="at last")

    async def fails(request: web.Request) -> web.Response:
        raise RuntimeError

    app = web.Application(middlewares=[note_request, render_errors])
    app.on_response_prepare.append(prepare_answer)
    app.router.add_post("/micropub", micropub)
    app.router.add_post("/token", token)
    app.router.add_post("/hook/git", GitHook("secret", fetch).post)
    app.router.add_get("/healthz", health)
    app.router.add_get("/large", large)
    app.router.add_get("/fails", fails)
    app.router.add_get("/slow", slow)

    async def stored(request: web.Request) -> web.FileResponse:
        return web.FileResponse(tmp_path / "file")

    app.router.add_get("/file", stored)
    if with_later:
        _Watched(_made_later).mount(app)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    limits = {"max_bytes": 40_000_000, "keepalive_timeout": 300, **options}
    listener = Listener(runner.server, access_log=None, **limits)  # type: ignore[arg-type]
    bound = socket.create_server(("127.0.0.1", 0))
    accepting = asyncio.create_task(accept_clients(listener, bound, 100))
    try:
        yield bound.getsockname()[1]
    finally:
        accepting.cancel()
        await asyncio.wait({accepting})
        await runner.cleanup()
        await listener.close()


#: The requests for ``/healthz``.
HANDLED = list[str]()
#: What the slow addresses tell, and what they wait for.
ASKED, SLOW = asyncio.Event(), asyncio.Event()


class _Watched(Later):
    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        ASKED.set()
        return await super().resolve(request)


async def _made_later() -> web.Application:
    async def later(request: web.Request) -> web.Response:
        return web.Response(text="at last")

    await SLOW.wait()
    app = web.Application()
    app.router.add_get("/later", later)
    return app


class Attackers:
    """Clients in a separate process, whose processor time does not count."""

    def __init__(self) -> None:
        script = Path(__file__).parents[1] / "attackers.py"
        self._process = subprocess.Popen(
            [sys.executable, "-S", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def attack(self, port: int, path: str, attack: Attack, count: int) -> list[bytes]:
        """The beginnings of the responses to this many of them; empty where there was none."""
        head = b"POST %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path.encode(), attack.headers)
        assert self._process.stdin
        assert self._process.stdout
        # What has an end is answered in the end.
        seconds = SECONDS if attack.again else 300
        pickle.dump((port, head + attack.first, attack.again, count, seconds), self._process.stdin)
        self._process.stdin.flush()
        answers: list[bytes] = pickle.load(self._process.stdout)
        return answers

    def close(self) -> None:
        self._process.communicate(timeout=300)


@pytest.fixture(scope="module")
def attackers() -> Iterator[Attackers]:
    started = Attackers()
    yield started
    started.close()


async def say(port: int, data: bytes) -> bytes:
    """The response to exact bytes, read until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.ensure_future(_send(writer, data))
    answer = await reader.read()
    await sending
    writer.close()
    return answer


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    with suppress(ConnectionError):
        await writer.drain()


async def _send_until_hung_up_on(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(ConnectionError):
        async with asyncio.timeout(300):
            while True:
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0.01)


async def ask(port: int, path: str = "/healthz") -> bytes:
    """The response to a GET."""
    return await say(
        port, b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode()
    )


async def under(
    attackers: Attackers, port: int, path: str, attack: Attack, count: int = CROWD
) -> Seen:
    """What the event loop does during an attack, while others poll it."""
    with watched_loop() as seen:
        attacked = asyncio.ensure_future(
            asyncio.to_thread(attackers.attack, port, path, attack, count)
        )
        waited = list[float]()
        while True:
            before = seen.total
            assert (await ask(port)).endswith(b"ok")
            waited.append(seen.total - before)
            if attacked.done():
                break
            await asyncio.sleep(0.01)
    return Seen(seen, max(waited), await attacked)


@pytest.mark.parametrize("name", ATTACKS)
async def test_endless_bodies_do_not_delay_other_requests(
    tmp_path: Path, attackers: Attackers, name: str
) -> None:
    async with listening(tmp_path) as port:
        seen = await under(attackers, port, "/micropub", ATTACKS[name])
    seen.check()


@pytest.mark.parametrize("path", ["/token", in_soak("/hook/git"), in_soak("/nothing")])
@pytest.mark.parametrize("name", ["newlines", "chunks_of_one_byte", "gzip", "escapes"])
async def test_endless_bodies_do_not_delay_others_at_any_endpoint(
    tmp_path: Path, attackers: Attackers, path: str, name: str
) -> None:
    async with listening(tmp_path) as port:
        seen = await under(attackers, port, path, ATTACKS[name])
    seen.check()


@pytest.mark.parametrize("name", WHOLE)
async def test_many_large_requests_do_not_delay_others(
    tmp_path: Path, attackers: Attackers, name: str
) -> None:
    async with listening(tmp_path) as port:
        seen = await under(attackers, port, "/micropub", WHOLE[name], 2)
    seen.check()
    # A stranger's part of the memory may be taken.
    assert {answer[:12] for answer in seen.answers} <= {*ANSWERS, b"HTTP/1.1 503"}
    assert {answer[:12] for answer in seen.answers} & ANSWERS


@pytest.mark.parametrize(
    "first", [b"\n", b"\r\n", b"\r\n--B\r\n", b"preamble\r\n", b"--b\r\n", b" "]
)
async def test_a_multipart_body_begins_with_its_boundary(tmp_path: Path, first: bytes) -> None:
    async with listening(tmp_path) as port:
        head = b"POST /micropub HTTP/1.1\r\nHost: x\r\n" + MULTIPART + ENDLESS + b"\r\n"
        answer = await say(port, head + first)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"does not begin with its boundary" in answer


async def test_five_megabytes_of_newlines_are_cheap(tmp_path: Path) -> None:
    size = 5_000_000
    head = b"POST /micropub HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n" % (size, MULTIPART)
    with watched_loop() as seen:
        async with listening(tmp_path) as port:
            answer = await say(port, head + b"\n" * size)
    assert answer.startswith(b"HTTP/1.1 400")
    # 50 seconds, once; now 20 ms.
    assert seen.total < 1


async def test_a_client_that_does_not_read_a_file_is_disconnected(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(20_000_000))
    async with listening(tmp_path, unread_seconds=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await _send_until_hung_up_on(writer, b"\r\n")
        writer.close()
    async with listening(tmp_path) as port:
        assert len(await ask(port, "/file")) > 20_000_000
    (tmp_path / "file").unlink()


async def test_a_client_that_does_not_read_its_responses_is_disconnected(tmp_path: Path) -> None:
    async with listening(tmp_path, unread_seconds=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        for _ in range(300):
            writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await _send_until_hung_up_on(writer, b"\r\n" * 10_000)
        del reader
        writer.close()


async def test_a_client_that_does_not_stop_sending_is_disconnected(tmp_path: Path) -> None:
    async with listening(tmp_path, linger_seconds=0.3) as port:
        head = b"POST /nothing HTTP/1.1\r\nHost: x\r\n" + ENDLESS + b"\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        await _send_until_hung_up_on(writer, b"x")
        writer.close()


async def test_a_response_before_the_end_of_a_body_arrives_completely(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        size = 3_000_000
        head = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
        answer = await say(port, head + b"x" * size)
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"}")


@pytest.mark.parametrize(
    "data", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n", b"\r\n\r\n\r\n"]
)
async def test_an_incomplete_request_is_disconnected(tmp_path: Path, data: bytes) -> None:
    async with listening(tmp_path, keepalive_timeout=0.3) as port, asyncio.timeout(300):
        assert await say(port, data) == b""


async def test_a_client_that_goes_just_after_a_chunk_is_no_error_of_ours() -> None:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    body = StreamReader(protocol, 2**16, loop=loop)
    request = make_mocked_request("POST", "/", payload=body)
    protocol.transport = request.transport
    reading = asyncio.ensure_future(receive_all(request, max_bytes=1000, seconds=60))
    body.begin_http_chunk_receiving()
    body.feed_data(b"a")
    await asyncio.sleep(0.1)
    # Both in one round of the loop: the reader is woken by the end of the chunk, without data.
    body.end_http_chunk_receiving()
    protocol.transport = request.protocol.transport = None
    with pytest.raises(InvalidRequest):
        await reading


@pytest.mark.parametrize(
    "malformed", [b"zz\r\n", b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n"], ids=["size", "trailer"]
)
async def test_a_body_that_becomes_malformed_is_answered_at_once(
    tmp_path: Path, malformed: bytes
) -> None:
    # It would be waited for until the time of a body is over: at least 120 s.
    async with listening(tmp_path) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /micropub HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + FORM + CHUNKED
        writer.write(head + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(chunk(b"a=b") + malformed)
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()


async def test_bytes_between_chunks_count(tmp_path: Path) -> None:
    async with listening(tmp_path, max_bytes=100_000) as port:
        head = b"POST /micropub HTTP/1.1\r\nHost: x\r\n" + FORM + CHUNKED + b"\r\n1;"
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        await _send_until_hung_up_on(writer, b"e" * 10_000)
        writer.close()


async def test_above_the_limit_the_longest_idle_connection_is_closed(tmp_path: Path) -> None:
    async with listening(tmp_path, most=5, stay_seconds=0.01) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert (await ask(port)).endswith(b"ok")
        assert await idle[0][0].read() == b""
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize(
    ("files", "most"), [(8, 4), (64, 20), (256, 116), (1024, 500), (resource.RLIM_INFINITY, 500)]
)
async def test_where_few_files_may_be_open_there_are_fewer_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert most_connections() == most
    if most > 20:
        return
    async with listening(tmp_path, stay_seconds=0.01) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(most + 1)]
        assert await idle[0][0].read() == b""
        for _, writer in idle:
            writer.close()


async def test_connections_are_counted_before_further_ones_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, accept = Listener.opened, socket.socket.accept
    counted, ahead = 0, list[int]()

    def count(self: Listener, connection: Connection) -> None:
        nonlocal counted
        counted += 1
        opened(self, connection)

    def accepted(self: socket.socket) -> object:
        new = accept(self)
        ahead.append(len(ahead) + 1 - counted)
        return new

    monkeypatch.setattr(Listener, "opened", count)
    monkeypatch.setattr(socket.socket, "accept", accepted)
    async with listening(tmp_path, most=5, stay_seconds=0.01) as port:
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        async with asyncio.timeout(60):
            while counted < 50:
                await asyncio.sleep(0.01)
        for each in crowd:
            each.close()
    assert max(ahead) <= 5


async def test_many_requests_at_once_do_not_come_before_one_of_another_client(
    tmp_path: Path,
) -> None:
    async with listening(tmp_path) as port:
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(80)]
        HANDLED.clear()
        for _, writer in crowd:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        for _ in range(10):
            assert (await ask(port, "/nothing")).startswith(b"HTTP/1.1 404")
        # Two or three of each before each answer: where all that wait are handled in each round of
        # the loop, it is more than five.
        assert len(HANDLED) < 3_500
        async with asyncio.timeout(300):
            while len(HANDLED) < 8_000:
                await asyncio.sleep(0.01)
        for _, writer in crowd:
            writer.close()


async def test_a_client_that_waits_for_its_answer_is_not_idle(tmp_path: Path) -> None:
    await _is_not_idle(tmp_path, "/slow")
    # A route that is not there yet.
    await _is_not_idle(tmp_path, "/later")


async def _is_not_idle(tmp_path: Path, path: str) -> None:
    with_later = path == "/later"
    ASKED.clear()
    SLOW.clear()
    async with listening(tmp_path, with_later=with_later, most=5, stay_seconds=0.01) as port:
        waiting = asyncio.ensure_future(ask(port, path))
        await ASKED.wait()
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert await idle[0][0].read() == b""
        SLOW.set()
        assert (await waiting).endswith(b"at last")
        for _, writer in idle:
            writer.close()
    # With more requests at once than connections, the first ones got no answer.
    SLOW.clear()
    async with listening(tmp_path, with_later=with_later, most=5, stay_seconds=60) as port:
        crowd = [asyncio.ensure_future(ask(port, path)) for _ in range(30)]
        await asyncio.wait(crowd, timeout=0.2)
        SLOW.set()
        async with asyncio.timeout(300):
            answers = await asyncio.gather(*crowd)
    assert all(each.endswith(b"at last") for each in answers)


class TestTurns:
    """All clients that wait get as much of the loop's time."""

    async def test_smaller_pieces_and_those_that_need_not_wait_go_first(self) -> None:
        queue, done = fair_queue(), list[str]()
        for name, used, size in (("c", 9.0, 1), ("b", 1.0, 1), ("a", 0.0, 2), ("first", 0.0, 1)):
            queue.soon(Share(used), size, partial(done.append, name))
        await queue.run(Share(99.0), 1, lambda: None)
        assert done == ["first", "a", "b", "c"]

    @pytest.mark.parametrize(("size", "most"), [(8_192, 20), (1, 500)])
    async def test_clients_that_connect_again_and_again_do_not_go_first(
        self, size: int, most: int
    ) -> None:
        queue, newcomers = fair_queue(), list[int]()

        def connects_again() -> None:
            newcomers.append(1)
            if len(newcomers) < 1_000:
                queue.soon(Share(), size, connects_again)

        queue.soon(Share(), size, connects_again)
        assert await queue.run(Share(later=0.02), 8_192, lambda: len(newcomers)) < most

    async def test_the_loop_runs_other_callbacks_between_long_turns(self) -> None:
        def long() -> None:
            end = time.thread_time() + 0.01
            while time.thread_time() < end:
                pass

        with watched_loop() as seen:
            await asyncio.gather(*(fair_queue().run(Share(), 1, long) for _ in range(8)))
        assert seen.count >= 8

    async def test_what_handling_a_request_costs_is_the_clients(self) -> None:
        queue, share, other = fair_queue(), Share(), Share()

        async def long() -> str:
            for _ in range(2):
                end = time.thread_time() + 0.01
                while time.thread_time() < end:
                    pass
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await asyncio.Event().wait()
            return "done"

        assert await queue.handle(share, long) == "done"
        done = list[str]()
        queue.soon(share, 1, partial(done.append, "again"))
        queue.soon(other, 1_000, partial(done.append, "new"))
        await queue.run(Share(99.0), 1, lambda: None)
        assert done == ["new", "again"]
        assert share.had - other.had > 0.008

    async def test_a_client_that_has_cost_much_gets_a_turn_while_others_connect_again_and_again(
        self,
    ) -> None:
        queue, share, newcomers = fair_queue(), Share(), list[int]()

        async def busy(seconds: float) -> None:
            end = time.thread_time() + seconds
            while time.thread_time() < end:
                pass

        async def connect_again_and_again() -> None:
            while len(newcomers) < 400:
                newcomers.append(1)
                await queue.handle(Share(), partial(busy, 0.002))

        async def before() -> int:
            return len(newcomers)

        await queue.handle(share, partial(busy, 0.02))
        crowd = [asyncio.ensure_future(connect_again_and_again()) for _ in range(10)]
        await asyncio.sleep(0)
        # Until each of ten has had as much: a hundred.
        assert await queue.handle(share, before) < 300
        await asyncio.gather(*crowd)

    async def test_exceptions_of_a_turn_are_raised_to_its_waiter(self) -> None:
        def fails() -> None:
            raise KeyError

        with pytest.raises(KeyError):
            await fair_queue().run(Share(), 1, fails)
        assert await fair_queue().run(Share(), 1, lambda: 5) == 5

    async def test_a_cancelled_waiter_gets_no_turn(self) -> None:
        done = list[int]()
        waiting = asyncio.ensure_future(fair_queue().run(Share(), 1, partial(done.append, 1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await fair_queue().run(Share(9.0), 1, lambda: None)
        assert done == []


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /healthz HTTP/1.1",
        b"GET /nothing HTTP/1.1",
        b"GET /healthz HTTP/9.9",
        b"TRACE /healthz HTTP/1.1",
        b"nonsense",
        b"GET /%00 HTTP/1.1\r\n: no name",
        b"POST /token HTTP/1.1\r\nTransfer-Encoding: nonsense",
        b"GET /healthz HTTP/1.1\r\nA: " + b"x" * 20_000,
        b"GET /healthz HTTP/1.1\r\nExpect: nonsense",
        b"GET /fails HTTP/1.1",
    ],
)
async def test_no_response_has_a_version(tmp_path: Path, request_line: bytes) -> None:
    async with listening(tmp_path) as port:
        answer = await say(port, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"(?mi)^server: (.*?)\r$", answer) == [b"micropub-bridge"]
    assert b"aiohttp" not in answer
    assert b"Python" not in answer


@pytest.mark.parametrize("name", [b"Expect", b"Content-Type", b"Accept", b"Cookie"])
async def test_a_header_that_is_not_text_is_a_client_error(tmp_path: Path, name: bytes) -> None:
    async with listening(tmp_path) as port:
        request = b"POST /micropub HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        answer = await say(port, request + name + b": \xff\xfe\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4")
