"""Routes of an application that is made once the server listens."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bridge.app import _error_page
from bridge.errors import InvalidRequest
from bridge.http.later import Later
from bridge.web.middleware import ERROR_PAGE, render_errors

WORD = web.AppKey("word", str)


async def answer(request: web.Request) -> web.Response:
    return web.Response(text=request.app[WORD])


async def refuse(request: web.Request) -> web.Response:
    raise InvalidRequest("No.")


async def made_later(may: asyncio.Event) -> web.Application:
    await may.wait()
    app = web.Application()
    app[WORD] = "later"
    app.router.add_get("/later/{name}", answer)
    return app


def mounted(later: Later) -> web.Application:
    app = web.Application(middlewares=[render_errors])
    app[WORD] = "at once"
    app[ERROR_PAGE] = partial(_error_page, later)
    app.router.add_get("/now", answer)
    app.router.add_get("/refused", refuse)
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
    app = mounted(later)
    async with TestClient(TestServer(app)) as client:
        making = asyncio.create_task(later.made())
        waiting = asyncio.create_task(client.get("/later/a"))
        await asyncio.sleep(0)
        await app.shutdown()
        assert (await waiting).status == 503
    with pytest.raises(asyncio.CancelledError):
        await making


async def test_whoever_waits_is_told_what_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    """Clients were answered 500, and each time the log had the whole traceback."""

    async def fail() -> web.Application:
        raise OSError("no disk")

    later = Later(fail)
    async with TestClient(TestServer(mounted(later))) as client:
        with pytest.raises(OSError, match="no disk"):
            await later.made()
        for path in ("/later/a", "/other"):
            answer = await client.get(path)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), path
        # A page for people, without the pages that could not be made.
        answer = await client.get("/refused", headers={"Accept": "text/html"})
        assert (answer.status, answer.content_type) == (400, "text/html")
    assert "Traceback" not in caplog.text
