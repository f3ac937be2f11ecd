"""Responses are read to their end or up to a limit, in chunks of any size."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.commands.checks.http_requests import ask
from bridge.net.fetch import read_bounded

Serve = Callable[[web.Application], Awaitable[TestServer]]
LINK = '<link rel="micropub" href="https://me.example/micropub">'


async def served(aiohttp_server: Serve, *pieces: bytes) -> str:
    """The URL of a page that is sent in chunks, each after a pause."""

    async def page(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0.05)
        return response

    app = web.Application()
    app.router.add_get("/", page)
    return str((await aiohttp_server(app)).make_url("/"))


async def test_a_page_in_chunks_is_read_to_its_end(
    aiohttp_server: Serve,
) -> None:
    url = await served(aiohttp_server, b"<!doctype html><html><head>", LINK.encode())
    async with aiohttp.ClientSession() as session:
        answer = await ask(session, url)
    assert LINK in answer.text


async def test_a_body_at_the_limit_is_complete_and_a_longer_one_is_truncated(
    aiohttp_server: Serve,
) -> None:
    url = await served(aiohttp_server, b"1234", b"5678")
    async with aiohttp.ClientSession() as session:
        found = []
        for most in (8, 7, 4, 3):
            async with session.get(url) as response:
                found.append(await read_bounded(response, most))
    assert found == [(b"12345678", False), (b"1234567", True), (b"1234", True), (b"123", True)]


async def test_a_decompression_bomb_is_truncated_at_the_limit(aiohttp_server: Serve) -> None:
    url = await served(aiohttp_server, zlib.compress(bytes(5_000_000)))
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        body, is_longer = await read_bounded(response, 1000, zlib.decompressobj())
    assert (len(body), is_longer) == (1000, True)
