"""Fetching what strangers point at: which addresses are never reached, and how much is read."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from indieauth_kit import client_site, free_socket, listening

from bridge.fetch import FetchError, GuardedFetch, may_connect


@pytest.fixture
async def strict() -> AsyncIterator[GuardedFetch]:
    async with GuardedFetch() as guarded:
        yield guarded


@pytest.fixture
async def local() -> AsyncIterator[GuardedFetch]:
    async with GuardedFetch(allow_loopback=True) as guarded:
        yield guarded


class Names(AbstractResolver):
    """Says for any name what it is told, one answer after the other."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        kind = socket.AF_INET6 if ":" in answer else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=answer,
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "192.0.0.9",
        "192.88.99.1",
        "168.63.129.16",
        "::ffff:168.63.129.16",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "100::1",
        "2620:4f:8000::6",
        "3fff::1",
        "3fff:fff:ffff::1",
        "5f00::1",
    ],
)
def test_no_special_address_is_connected_to(address: str) -> None:
    assert not may_connect(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"]
)
def test_the_public_internet_is(address: str) -> None:
    assert may_connect(address)


def test_the_demo_may_reach_this_machine_and_no_other() -> None:
    assert may_connect("127.0.0.1", allow_loopback=True)
    assert may_connect("::1", allow_loopback=True)
    assert not may_connect("10.0.0.1", allow_loopback=True)
    assert not may_connect("169.254.169.254", allow_loopback=True)
    assert not may_connect("0.0.0.0", allow_loopback=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "169.254.169.254",
    ],
)
async def test_this_machine_under_every_name_is_refused(strict: GuardedFetch, host: str) -> None:
    reached = []

    async def handler(request: web.Request) -> web.Response:
        reached.append(request)
        return web.Response(text="secret")

    app = web.Application()
    app.router.add_get("/", handler)
    async with listening(app) as base:
        port = base.rpartition(":")[2]
        with pytest.raises(FetchError):
            await strict.fetch(f"http://{host}:{port}/")
    assert reached == []


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fd00::1"])
async def test_a_name_that_leads_inside_is_refused(inside: str) -> None:
    async with GuardedFetch(resolver=Names(inside)) as guarded:
        with pytest.raises(FetchError, match="public Internet"):
            await guarded.fetch("http://innocent.example/")


async def test_a_name_that_changes_between_two_looks_gains_nothing() -> None:
    """The address that is checked is the one that is connected to: there is only one look."""
    names = Names("93.184.216.34", "127.0.0.1")
    async with GuardedFetch(resolver=names) as guarded:
        await names.resolve("rebinding.example")  # what a check beforehand would have seen
        with pytest.raises(FetchError, match="public Internet"):
            await guarded.fetch("http://rebinding.example/")
    assert names.asked == 2


async def test_every_hop_of_a_redirect_is_checked() -> None:
    """The first hop is let through by a switch of the test's; the second has another address."""
    names = Names("127.0.0.1", "10.0.0.1")
    app = web.Application()

    async def handler(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://inside.example/")

    app.router.add_get("/", handler)
    async with listening(app) as base, GuardedFetch(allow_loopback=True, resolver=names) as guarded:
        with pytest.raises(FetchError, match="public Internet"):
            await guarded.fetch(f"http://outside.example:{base.rpartition(':')[2]}/")
    assert names.asked == 2


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://a.example/", "javascript:1", "http://a@b.example/"]
)
async def test_a_redirect_to_another_scheme_is_refused(local: GuardedFetch, target: str) -> None:
    answer = web.Response(status=302, headers={"Location": target})
    async with client_site({"/r": answer}) as base:
        with pytest.raises(FetchError, match="cannot be used"):
            await local.fetch(f"{base}/r")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://a.example/", "//a.example/", "", "http://a.example/../"]
)
async def test_only_web_addresses_are_fetched(local: GuardedFetch, url: str) -> None:
    with pytest.raises(FetchError, match="cannot be used"):
        await local.fetch(url)


async def test_redirects_are_followed_and_counted(local: GuardedFetch) -> None:
    pages: dict[str, web.Response | str] = {
        "/a": web.Response(status=301, headers={"Location": "b?x=1"}),
        "/b": "arrived",
        "/loop": web.Response(status=302, headers={"Location": "/loop"}),
    }
    async with client_site(pages) as base:
        fetched = await local.fetch(f"{base}/a#part")
        assert (fetched.url, fetched.body) == (f"{base}/b?x=1", b"arrived")
        with pytest.raises(FetchError, match="redirects too often"):
            await local.fetch(f"{base}/loop")
        assert (await local.fetch(f"{base}/loop", redirects=0)).status == 302


async def test_a_page_that_is_too_long_is_not_read_to_its_end(local: GuardedFetch) -> None:
    async with client_site({"/long": "x" * 1001}) as base:
        with pytest.raises(FetchError, match="longer than 1000"):
            await local.fetch(f"{base}/long", max_bytes=1000)
        assert len((await local.fetch(f"{base}/long", max_bytes=1001)).body) == 1001


@pytest.mark.parametrize(
    ("encoding", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_a_bomb_goes_no_further_than_the_limit(
    local: GuardedFetch, encoding: str, squeeze: object
) -> None:
    assert callable(squeeze)
    bomb = web.Response(body=squeeze(b"\0" * 50_000_000), headers={"Content-Encoding": encoding})
    small = web.Response(body=squeeze(b"hello"), headers={"Content-Encoding": encoding})
    async with client_site({"/bomb": bomb, "/small": small}) as base:
        with pytest.raises(FetchError, match="longer than"):
            await local.fetch(f"{base}/bomb", max_bytes=100_000)
        assert (await local.fetch(f"{base}/small")).body == b"hello"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip"])
async def test_what_cannot_be_bounded_is_not_unpacked(local: GuardedFetch, encoding: str) -> None:
    answer = web.Response(body=b"??", headers={"Content-Encoding": encoding})
    async with client_site({"/x": answer}) as base:
        with pytest.raises(FetchError, match="compressed"):
            await local.fetch(f"{base}/x")


async def test_a_silent_server_is_given_up(local: GuardedFetch) -> None:
    bound = free_socket()
    bound.listen()
    with bound, pytest.raises(FetchError, match="too long"):
        await local.fetch(f"http://127.0.0.1:{bound.getsockname()[1]}/", timeout=0.2)


async def test_a_drip_is_given_up(local: GuardedFetch) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.02)
        except ConnectionError:
            return response

    app = web.Application()
    app.router.add_get("/", drip)
    async with listening(app) as base:
        with pytest.raises(FetchError, match="too long"):
            await local.fetch(base, timeout=0.3)


async def test_nobody_there(local: GuardedFetch) -> None:
    async with client_site() as base:
        pass
    with pytest.raises(FetchError, match="cannot be reached"):
        await local.fetch(base)


async def test_no_cookie_is_carried_from_one_page_to_the_next(local: GuardedFetch) -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(dict(request.cookies))
        response = web.Response()
        response.set_cookie("who", "you")
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    async with listening(app) as base:
        await local.fetch(base)
        await local.fetch(base)
    assert seen == [{}, {}]
