"""Routes of an application that is made once the server listens."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bridge.http.later import Later

WORD = web.AppKey("word", str)


async def answer(request: web.Request) -> web.Response:
    return web.Response(text=request.app[WORD])


async def made_later(may: asyncio.Event) -> web.Application:
    await may.wait()
    app = web.Application()
    app[WORD] = "later"
    app.router.add_get("/later/{name}", answer)
    return app


def mounted(later: Later) -> web.Application:
    app = web.Application()
    app[WORD] = "at once"
    app.router.add_get("/now", answer)
    later.mount(app)
    app.router.add_get("/{path:.*}", answer)
    return app


async def test_requests_wait_for_routes_that_are_not_there_yet() -> None:
    may = asyncio.Event()
    later = Later(lambda: made_later(may))
    async with TestClient(TestServer(mounted(later))) as client:
        waiting = asyncio.create_task(client.get("/later/a"))
        assert await (await client.get("/now")).text() == "at once"
        assert not waiting.done()
        may.set()
        assert await (await waiting).text() == "later"
        # What it does not have is that of the next routes; its methods are known.
        assert await (await client.get("/other")).text() == "at once"
        refused = await client.post("/later/a")
        assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD")


async def test_a_server_that_ends_sooner_does_not_wait() -> None:
    later = Later(lambda: made_later(asyncio.Event()))
    async with TestServer(mounted(later)):
        making = asyncio.create_task(later.made())
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await making


async def test_whoever_waits_is_told_what_went_wrong() -> None:
    async def fail() -> web.Application:
        raise OSError("no disk")

    later = Later(fail)
    async with TestServer(mounted(later)):
        with pytest.raises(OSError, match="no disk"):
            await later.made()
