"""Authorization of requests, and how much of a body is read before it, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from bridge.auth.token import Token
from bridge.errors import InvalidToken
from bridge.settings import Media, Settings, Site
from bridge.web.git_hook import GitHook
from bridge.web.middleware import render_errors
from bridge.web.request import WRAPPING, Gate

ME = "https://example.org/"
FILE = 100_000
MOST = FILE + WRAPPING
Client: TypeAlias = TestClient[web.Request, web.Application]
GOOD = {"Authorization": "Bearer create"}


class Words:
    """A verifier for which a token is its own list of scopes."""

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        if token == "bad":
            raise InvalidToken("No such token.")
        return Token(me=ME, scopes=frozenset(token.split("+")))


@pytest.fixture
async def client(
    aiohttp_client: Callable[[web.Application], Awaitable[Client]], tmp_path: Path
) -> Client:
    gate = Gate(Words(), Settings(site=Site(me=ME, repo=tmp_path), media=Media(max_bytes=FILE)))

    async def post(request: web.Request) -> web.Response:
        body, token = await gate.receive(request, max_bytes=10 * FILE)
        return web.json_response({"scopes": sorted(token.scopes), "files": len(body.files)})

    async def get(request: web.Request) -> web.Response:
        await gate.admit(request, None)
        return web.Response()

    app = web.Application(middlewares=[render_errors])
    app.router.add_post("/", post)
    app.router.add_get("/", get)
    return await aiohttp_client(app)


def multipart(size: int, token: str | None = None) -> bytes:
    """A form with a file, followed by the token."""
    head = b'--X\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    field = b'\r\n--X\r\nContent-Disposition: form-data; name="access_token"\r\n\r\n'
    return head + b"x" * size + (field + token.encode() if token else b"") + b"\r\n--X--\r\n"


def of_type(**more: str) -> dict[str, str]:
    return {"Content-Type": "multipart/form-data; boundary=X", **more}


@asynccontextmanager
async def half_sent(
    client: Client, data: bytes, *headers: str
) -> AsyncIterator[asyncio.Task[bytes]]:
    """A request with its last byte missing; the task that reads the response's status line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    lines = [
        "POST / HTTP/1.1",
        "Host: x",
        "Content-Type: multipart/form-data; boundary=X",
        f"Content-Length: {len(data) + 1}",
        *headers,
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
    await writer.drain()
    answer = asyncio.create_task(reader.readline())
    try:
        yield answer
    finally:
        answer.cancel()
        writer.close()


async def test_an_invalid_token_in_the_header_is_refused_before_the_body(client: Client) -> None:
    async with half_sent(client, b"", "Authorization: Bearer bad") as answer:
        assert b" 401 " in await asyncio.wait_for(answer, 300)


async def test_a_token_after_the_largest_file_is_found(client: Client) -> None:
    answer = await client.post("/", data=multipart(FILE, "create"), headers=of_type())
    assert await answer.json() == {"scopes": ["create"], "files": 1}


async def test_without_a_token_in_the_header_no_more_than_one_file_is_read(client: Client) -> None:
    large = multipart(MOST + 1, "create")
    answer = await client.post("/", data=large, headers=of_type())
    assert answer.status == 401
    assert "header" in (await answer.json())["error_description"]
    answer = await client.post("/", data=large, headers=of_type(**GOOD))
    assert answer.status == 200


async def test_a_compressed_body_counts_decompressed(client: Client) -> None:
    bomb = gzip.compress(multipart(50 * FILE, "create"))
    assert len(bomb) < FILE
    answer = await client.post("/", data=bomb, headers=of_type(**{"Content-Encoding": "gzip"}))
    assert answer.status == 401


async def test_unauthenticated_bodies_share_limited_memory(client: Client) -> None:
    whole = multipart(FILE)

    async def stranger() -> aiohttp.ClientResponse:
        return await client.post("/", data=multipart(FILE, "create"), headers=of_type())

    async with AsyncExitStack() as others:
        for _ in range(6):
            await others.enter_async_context(half_sent(client, whole))
        async with asyncio.timeout(300):
            # What the others send arrives by and by.
            while (answer := await stranger()).status == 200:
                continue
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        # Who has shown a token is not kept waiting by those who have not.
        answer = await client.post("/", data=multipart(FILE), headers=of_type(**GOOD))
        assert answer.status == 200
    async with asyncio.timeout(300):
        # They have hung up: their part is free again.
        while (await stranger()).status != 200:
            continue


async def test_two_different_tokens_are_refused(client: Client) -> None:
    body = multipart(10, "create+update")
    assert (await client.post("/", data=body, headers=of_type(**GOOD))).status == 400


@pytest.mark.parametrize("scope", ["profile", "email", "profile+email", "read", "read+follow"])
async def test_a_token_without_a_known_scope_cannot_read(client: Client, scope: str) -> None:
    answer = await client.get("/", headers={"Authorization": f"Bearer {scope}"})
    assert answer.status == 403
    assert (await answer.json())["error"] == "insufficient_scope"
    answer = await client.get("/", headers={"Authorization": f"Bearer {scope}+media"})
    assert answer.status == 200


async def test_the_webhook_verifies_the_signature_of_the_whole_body(
    aiohttp_client: Callable[[web.Application], Awaitable[Client]],
) -> None:
    calls = 0

    async def fetch_now() -> None:
        nonlocal calls
        calls += 1

    app = web.Application(middlewares=[render_errors])
    app.router.add_post("/hook/git", GitHook("secret", fetch_now).post)
    client = await aiohttp_client(app)
    body = b"x" * 300_000
    signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()

    async def call(data: bytes, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.post("/hook/git", data=io.BytesIO(data), headers=named)).status

    assert await call(body, X_Hub_Signature_256=f"sha256={signature}") == 202
    assert await call(body, X_Gitea_Signature=signature) == 202
    assert await call(b"", X_Gitlab_Token="secret") == 202
    assert calls == 3
    assert await call(body + b"y", X_Hub_Signature_256=f"sha256={signature}") == 403
    assert await call(body, X_Hub_Signature_256="") == 403
    assert await call(body) == 403
    assert await call(b"x" * 5_000_001) == 413
    assert calls == 3
