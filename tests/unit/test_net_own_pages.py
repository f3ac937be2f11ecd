"""The bridge looks at the site's own pages wherever they are, and at no others of this network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.net.fetch import ForbiddenAddress, OwnPages


@pytest.fixture
async def other() -> AsyncIterator[TestServer]:
    """Another program on this machine."""

    async def get(request: web.Request) -> web.Response:
        request.app[ASKED].append(request.path)
        return web.Response(text="an admin interface")

    app = web.Application()
    app[ASKED] = []
    app.router.add_get("/{path:.*}", get)
    server = TestServer(app)
    async with server:
        yield server


@pytest.fixture
async def site(other: TestServer) -> AsyncIterator[TestServer]:
    async def get(request: web.Request) -> web.Response:
        if request.path == "/away":
            raise web.HTTPFound(str(other.make_url("/flush")))
        if request.path == "/moved":
            raise web.HTTPFound("/page")
        return web.Response(text="a page")

    app = web.Application()
    app.router.add_get("/{path:.*}", get)
    server = TestServer(app)
    async with server:
        yield server


ASKED = web.AppKey("asked", list[str])


async def test_a_page_of_the_site_may_be_on_this_machine(site: TestServer) -> None:
    async with OwnPages({f"{site.host}:{site.port}"}) as fetch:
        for path in ("/page", "/moved"):
            assert (await fetch.fetch(str(site.make_url(path)))).body == b"a page"


@pytest.mark.parametrize("by_redirect", [False, True])
async def test_no_other_program_of_this_machine_is_asked(
    site: TestServer, other: TestServer, *, by_redirect: bool
) -> None:
    """The site's code decides where a page redirects to, and which address a feed says it has."""
    url = site.make_url("/away") if by_redirect else other.make_url("/flush")
    async with OwnPages({f"{site.host}:{site.port}"}) as fetch:
        with pytest.raises(ForbiddenAddress):
            await fetch.fetch(str(url))
    assert other.app[ASKED] == []
