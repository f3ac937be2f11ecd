"""Asking a real endpoint on this machine: a correct one, and one with every fault."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from indieauth_kit import listening

from bridge.auth.endpoint import IntrospectionVerifier, TokenEndpointVerifier
from bridge.auth.token import TokenVerifier
from bridge.errors import InvalidToken, Unavailable

TOKEN = "the-secret-of-this-test"
GOOD = {"active": True, "me": "https://me.example/", "scope": "create", "client_id": "https://a.b/"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def endpoint(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with listening(app) as base:
        yield f"{base}/token"


@asynccontextmanager
async def wire(
    reply: bytes, *, stall: bool = False, until: bytes = b"\r\n\r\n"
) -> AsyncIterator[str]:
    """A server that answers any request with these bytes, then disconnects or goes silent.

    ``until`` is the end of a request; without it any byte is one.
    """
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await (reader.readuntil(until) if until else reader.read(1))
            writer.write(reply)
            await writer.drain()
            if stall:
                await ended.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    finally:
        ended.set()
        server.close()


def both(session: aiohttp.ClientSession, url: str, seconds: float = 60) -> list[TokenVerifier]:
    return [
        TokenEndpointVerifier(session, url, seconds=seconds),
        IntrospectionVerifier(session, url, seconds=seconds),
    ]


async def test_the_older_way_is_get_with_bearer_and_exactly_json(
    session: aiohttp.ClientSession,
) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response(GOOD)

    async with endpoint(handler) as url:
        token = await TokenEndpointVerifier(session, url).verify(TOKEN)
    assert token.me == "https://me.example/"
    assert token.scopes == {"create"}
    assert seen[0].method == "GET"
    assert seen[0].headers.getall("Accept") == ["application/json"]
    assert seen[0].headers.getall("Authorization") == [f"Bearer {TOKEN}"]
    assert seen[0].query_string == ""


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ("none", None),
        ("same-token", f"Bearer {TOKEN}"),
        ("bearer:another", "Bearer another"),
        ("basic:user:pa:ss", "Basic dXNlcjpwYTpzcw=="),
    ],
)
async def test_introspection_is_post_with_its_own_authorisation(
    session: aiohttp.ClientSession, auth: str, sent: str | None
) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.method == "POST"
        assert request.headers.get("Authorization") == sent
        assert dict(await request.post()) == {"token": TOKEN}
        return web.json_response(GOOD)

    async with endpoint(handler) as url:
        token = await IntrospectionVerifier(session, url, auth=auth).verify(TOKEN)
    assert token.scopes == {"create"}


@pytest.mark.parametrize("auth", ["", "magic", "bearer:", "basic:user", "Bearer x"])
def test_an_unknown_authorisation_is_an_error(auth: str) -> None:
    with pytest.raises(ValueError, match="expected none"):
        IntrospectionVerifier(None, "https://a.example/", auth=auth)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/octet-stream"])
async def test_json_under_a_wrong_content_type_is_understood(
    session: aiohttp.ClientSession, kind: str
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text='{"me": "https://me.example/"}', content_type=kind)

    async with endpoint(handler) as url:
        assert (await TokenEndpointVerifier(session, url).verify(TOKEN)).me == "https://me.example/"


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_rejection_is_an_invalid_token(session: aiohttp.ClientSession, status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        # Even if the body says otherwise.
        return web.json_response(GOOD, status=status)

    async with endpoint(handler) as url:
        for verifier in both(session, url):
            with pytest.raises(InvalidToken):
                await verifier.verify(TOKEN)


@pytest.mark.parametrize("status", [201, 202, 204, 402, 405, 406, 429, 500, 502, 503, 504])
async def test_any_other_status_is_unavailable(session: aiohttp.ClientSession, status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(GOOD, status=status)

    async with endpoint(handler) as url:
        for verifier in both(session, url):
            with pytest.raises(Unavailable):
                await verifier.verify(TOKEN)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed_with_the_token(
    session: aiohttp.ClientSession, status: int
) -> None:
    followed = []

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/elsewhere":
            followed.append(request)
            return web.json_response(GOOD)
        return web.json_response(GOOD, status=status, headers={"Location": "/elsewhere"})

    async with endpoint(handler) as url:
        for verifier in both(session, url):
            with pytest.raises(Unavailable):
                await verifier.verify(TOKEN)
    assert followed == []


async def test_an_html_page_is_unavailable(session: aiohttp.ClientSession) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><p>Welcome!", content_type="text/html")

    async with endpoint(handler) as url:
        for verifier in both(session, url):
            with pytest.raises(Unavailable):
                await verifier.verify(TOKEN)


async def test_silence_is_unavailable(session: aiohttp.ClientSession) -> None:
    for head in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"):
        async with wire(head, stall=True) as url:
            for verifier in both(session, url, seconds=0.1):
                with pytest.raises(Unavailable):
                    await verifier.verify(TOKEN)


async def test_a_drip_is_cut_off_as_well(session: aiohttp.ClientSession) -> None:
    """The time limit is for the whole response, not for each piece of it."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)
        return response

    async with endpoint(handler) as url:
        for verifier in both(session, url, seconds=0.1):
            async with asyncio.timeout(300):
                with pytest.raises(Unavailable):
                    await verifier.verify(TOKEN)


async def test_a_flood_is_cut_off(session: aiohttp.ClientSession) -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                await response.write(b" " * 10_000)
                sent += 10_000
        return response

    async with endpoint(handler) as url:
        for verifier in both(session, url):
            with pytest.raises(Unavailable):
                await verifier.verify(TOKEN)
    assert sent < 50_000_000


async def test_just_over_64_kilobytes_is_too_long(session: aiohttp.ClientSession) -> None:
    body = '{"me": "https://me.example/", "padding": "%s"}' % ("x" * 66_000)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with endpoint(handler) as url:
        with pytest.raises(Unavailable):
            await TokenEndpointVerifier(session, url).verify(TOKEN)


async def test_a_compressed_bomb_is_not_opened(session: aiohttp.ClientSession) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b" + b"\0" * 100, headers={"Content-Encoding": "gzip"})

    async with endpoint(handler) as url:
        with pytest.raises(Unavailable):
            await TokenEndpointVerifier(session, url).verify(TOKEN)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b'{"me": "https://me.example/"}',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1d\r\n{"me": "https://me.example/"}',
        b"\x16\x03\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_a_truncated_response_is_unavailable(
    session: aiohttp.ClientSession, reply: bytes
) -> None:
    async with wire(reply) as url:
        for verifier in both(session, url):
            with pytest.raises(Unavailable):
                await verifier.verify(TOKEN)


async def test_a_refused_connection_is_unavailable(session: aiohttp.ClientSession) -> None:
    async with wire(b"") as url:
        pass
    for verifier in both(session, url):
        with pytest.raises(Unavailable):
            await verifier.verify(TOKEN)


async def test_invalid_tls_is_unavailable(session: aiohttp.ClientSession) -> None:
    async with wire(b"HTTP/1.1 200 OK\r\n\r\n", until=b"") as url:
        for verifier in both(session, url.replace("http:", "https:")):
            with pytest.raises(Unavailable) as failed:
                await verifier.verify(TOKEN)
            assert isinstance(failed.value.__cause__, aiohttp.ClientSSLError)


async def test_the_token_is_in_no_error_and_no_log(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Authorization", ""), status=500)

    caplog.set_level(logging.DEBUG)
    async with endpoint(handler) as url:
        for verifier in both(session, url):
            with pytest.raises(Unavailable) as failed:
                await verifier.verify(TOKEN)
            assert TOKEN not in str(failed.value)
    assert TOKEN not in caplog.text
