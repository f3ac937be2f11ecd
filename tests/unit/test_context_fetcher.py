"""Reply contexts, fetched from real servers in the background."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.context.fetcher import ContextFetcher, read_cite
from bridge.errors import Conflict
from bridge.net import sandboxed_parse
from bridge.net.fetch import Fetched, GuardedFetch

Serve = Callable[[web.Application], Awaitable[TestServer]]

PAGE = '<div class="h-entry"><h1 class="p-name">{}</h1><p class="e-content">Text.</p></div>'


class Site:
    """Another web site."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = 0
        self.hang = asyncio.Event()

    async def page(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path == "/hangs":
            await self.hang.wait()
        if request.path == "/moved":
            raise web.HTTPFound("/found")
        if self.broken:
            self.broken -= 1
            return web.Response(status=503)
        if request.path == "/missing":
            return web.Response(status=404, text=PAGE.format("x"), content_type="text/html")
        kind = "image/png" if request.path == "/photo" else "text/html"
        return web.Response(text=PAGE.format(request.path), content_type=kind)


class Posts:
    """Takes the delivered contexts, and can fail as a publisher does."""

    def __init__(self) -> None:
        self.delivered: list[tuple[str, dict[str, Any]]] = []
        self.fails = False

    async def __call__(self, post: str, cites: Any) -> None:
        if self.fails:
            raise Conflict("changed since")
        self.delivered.append((post, dict(cites)))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens concurrently."""
    async with asyncio.timeout(300):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def posts() -> Posts:
    return Posts()


@pytest.fixture
async def site() -> Site:
    return Site()


@pytest.fixture
async def base(site: Site, aiohttp_server: Serve) -> str:
    app = web.Application()
    app.router.add_get("/{path:.*}", site.page)
    server = await aiohttp_server(app)
    return str(server.make_url("")).rstrip("/")


@pytest.fixture
async def fetcher(posts: Posts) -> AsyncIterator[ContextFetcher]:
    async with GuardedFetch(allow_loopback=True) as fetch:
        fetcher = ContextFetcher(fetch, posts, retries=(0.01, 0.01))
        fetcher.start()
        yield fetcher
        await fetcher.close()


async def test_the_context_of_a_page_is_delivered(
    fetcher: ContextFetcher, posts: Posts, base: str
) -> None:
    fetcher.request("notes/a", [f"{base}/moved", f"{base}/photo", f"{base}/missing"])
    await fetcher.idle()
    properties = {"name": ["/found"], "content": ["Text."], "url": [f"{base}/moved"]}
    cite = {"type": ["h-cite"], "properties": properties}
    assert posts.delivered == [("notes/a", {f"{base}/moved": cite})]


async def test_nothing_is_delivered_if_nothing_was_found(
    fetcher: ContextFetcher, posts: Posts, base: str, site: Site
) -> None:
    fetcher.request("notes/a", [f"{base}/missing"])
    fetcher.request("notes/b", ["http://127.0.0.1:1/nobody"])
    await fetcher.idle()
    assert posts.delivered == []
    assert site.asked == ["/missing"]


async def test_a_hanging_server_delays_no_other(
    fetcher: ContextFetcher, posts: Posts, base: str, site: Site
) -> None:
    fetcher.request("slow", [f"{base}/hangs"])
    fetcher.request("fast", [f"{base}/page"])
    await until(lambda: bool(posts.delivered))
    assert [post for post, _ in posts.delivered] == ["fast"]
    site.hang.set()


async def test_an_unreachable_server_is_retried_a_few_times(
    fetcher: ContextFetcher, posts: Posts, base: str, site: Site
) -> None:
    site.broken = 2
    fetcher.request("a", [f"{base}/page"])
    await until(lambda: bool(posts.delivered))
    assert site.asked == ["/page"] * 3
    site.broken = 99
    fetcher.request("b", [f"{base}/other"])
    await until(lambda: len(site.asked) >= 6)
    await fetcher.idle()
    fetcher.request("c", [f"{base}/other"])
    await until(lambda: len(site.asked) >= 9)
    await fetcher.idle()
    assert len(posts.delivered) == 1


async def test_a_context_in_progress_is_not_requested_twice(
    fetcher: ContextFetcher, posts: Posts, base: str, site: Site
) -> None:
    for _ in range(3):
        fetcher.request("a", [f"{base}/page", f"{base}/page"])
    await fetcher.idle()
    assert site.asked == ["/page"]
    fetcher.request("a", [f"{base}/page"])
    await fetcher.idle()
    assert len(posts.delivered) == 2


async def test_requests_above_the_limit_are_dropped(
    fetcher: ContextFetcher, posts: Posts, base: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(300):
        fetcher.request(f"{number}", [f"{base}/hangs"])
    assert "too many reply contexts" in caplog.text
    await fetcher.close()
    site.hang.set()
    assert posts.delivered == []


async def test_a_failed_delivery_does_not_stop_the_worker(
    fetcher: ContextFetcher, posts: Posts, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    posts.fails = True
    for number in range(3):
        fetcher.request(f"{number}", [f"{base}/page"])
    await fetcher.idle()
    assert "the reply context of 2 could not be stored" in caplog.text
    posts.fails = False
    fetcher.request("later", [f"{base}/page"])
    await fetcher.idle()
    assert [post for post, _ in posts.delivered] == ["later"]


async def test_a_private_address_is_not_fetched(posts: Posts, base: str, site: Site) -> None:
    async with GuardedFetch() as fetch:
        fetcher = ContextFetcher(fetch, posts, retries=())
        fetcher.start()
        fetcher.request(
            "a", [f"{base}/page", "http://169.254.169.254/latest", "file:///etc/passwd"]
        )
        await fetcher.idle()
        await fetcher.close()
    assert (site.asked, posts.delivered) == ([], [])


def fetched(body: bytes, kind: str = "text/html") -> Fetched:
    return Fetched("https://other.example/", 200, {"Content-Type": kind}, body)


async def test_a_page_that_keeps_a_parser_busy_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bridge.context.fetcher._PARSE_SECONDS", 1.5)
    assert await read_cite(fetched(b"<div>" * 100_000)) is None


async def test_parsing_ends_when_its_request_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandboxed_parse, "_parsers", sandboxed_parse._Parsers())
    # What programs are forked from is a subprocess as well, and is there from now on.
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    others = _children()
    task = asyncio.create_task(read_cite(fetched(b"<div>" * 100_000)))
    await until(lambda: bool(_children() - others))
    children = _children() - others
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _children() & children


def _children() -> set[str]:
    """The running subprocesses of this process."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, *_ = status.read_text().rpartition(")")[2].split()
            if parent == str(os.getpid()) and state != "Z":
                found.add(status.parent.name)
    return found


async def test_the_declared_encoding_and_type_count() -> None:
    page = fetched("<title>Caf\u00e9</title>".encode("latin-1"), "text/html; charset=ISO-8859-1")
    found = await read_cite(page)
    assert found is not None
    assert found["properties"]["name"] == ["Caf\u00e9"]
    assert await read_cite(fetched(b"<title>x</title>", "application/json")) is None
