"""Fetching untrusted URLs: which addresses are never reached, and how much is read."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import shutil
import socket
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from indieauth_kit import client_site, free_socket, listening

from bridge.net import address_guard
from bridge.net.address_guard import is_own, may_connect
from bridge.net.fetch import FetchError, GuardedFetch


@pytest.fixture
async def strict() -> AsyncIterator[GuardedFetch]:
    async with GuardedFetch() as guarded:
        yield guarded


@pytest.fixture
async def local() -> AsyncIterator[GuardedFetch]:
    async with GuardedFetch(allow_loopback=True) as guarded:
        yield guarded


class Names(AbstractResolver):
    """A resolver with preset answers, one after the other."""

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
        "2606:4700::5efe:7f00:1",
        "2606:4700::200:5efe:10.0.0.1",
        "::ffff:0:127.0.0.1",
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


OWN = "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [
        OWN,
        f"::ffff:{OWN}",
        f"64:ff9b::{OWN}",
        "2002:5db8:d822::1",
        f"2606:4700::5efe:{OWN}",
        "2001:0:4136:e378:8000:63bf:a247:27dd",
        "2606:4700::1111",
        "2606:4700:0:0::1111%eth0",
    ],
)
def test_a_public_address_of_this_machine_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    assert may_connect(address)
    monkeypatch.setattr(address_guard, "is_own", {OWN, "2606:4700::1111"}.__contains__)
    assert not may_connect(address)
    assert not may_connect(address, allow_loopback=True)


def test_the_kernel_knows_which_addresses_are_its_own() -> None:
    assert is_own("127.0.0.1")
    assert is_own("127.8.9.10")
    assert not is_own(OWN)
    assert not is_own("2606:4700::1111")


def test_where_the_kernel_cannot_tell_nothing_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(errno.EACCES, f"no {address}")

    monkeypatch.setattr(socket, "socket", Broken)
    assert not may_connect(OWN)


#: Run in a network namespace with public addresses, none of which may reach its server.
_AT_HOME = """
import asyncio, sys
from aiohttp import web
from bridge.net.address_guard import may_connect
from bridge.net.fetch import FetchError, GuardedFetch

async def main():
    reached = []
    async def handler(request):
        reached.append(request.host)
        return web.Response(text="secret")
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "::", 80).start()
    for address in sys.argv[1:]:
        host = f"[{address}]" if ":" in address else address
        async with GuardedFetch() as guarded:
            try:
                await guarded.fetch(f"http://{host}/admin")
            except FetchError as error:
                assert "public Internet" in str(error), (address, error)
            else:
                raise AssertionError(f"{address} was reached")
    assert reached == [], reached
    assert may_connect("1.1.1.1") and may_connect("2606:4700::2222")
    await runner.cleanup()

asyncio.run(main())
"""
_SET_UP = """
set -e
ip link set lo up
ip addr add 93.184.216.34/24 dev lo
ip addr add 93.184.216.35/24 dev lo
ip -6 addr add 2606:4700::1111/128 dev lo
ip route add local 8.8.8.0/24 dev lo
"""


@pytest.mark.parametrize("nonlocal_bind", [0, 1])
def test_on_a_real_network_no_address_of_the_machine_is_reached(nonlocal_bind: int) -> None:
    """Primary, secondary and routed addresses, also where the kernel binds to any address."""
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-n"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*unshare, "ip", "addr"], check=False).returncode
    ):
        pytest.skip("needs a network namespace: unshare and ip, and the right to use them")
    forms = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:93.184.216.34"]
    if nonlocal_bind:
        switch = "echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind"
    else:
        switch = "true"
        forms += ["93.184.216.35", "64:ff9b::93.184.216.35", "2002:5db8:d823::1"]
    run = f'{_SET_UP}\n{switch}\nexec "$@"'
    done = subprocess.run(
        [*unshare, "sh", "-c", run, "sh", sys.executable, "-c", _AT_HOME, *forms],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("port", [22, 81, 6379, 8080, 9200, 8443])
async def test_elsewhere_only_the_webs_own_ports_are_reached(port: int) -> None:
    """A container's host and its neighbours have more open ports than the internet can reach."""
    async with GuardedFetch(resolver=Names("93.184.216.34")) as guarded:
        with pytest.raises(FetchError, match="port"):
            await guarded.fetch(f"http://innocent.example:{port}/")


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
    """The address that is checked is the one that is connected to."""
    names = Names("93.184.216.34", "127.0.0.1")
    async with GuardedFetch(resolver=names) as guarded:
        await names.resolve("rebinding.example")  # what a check beforehand would have seen
        with pytest.raises(FetchError, match="public Internet"):
            await guarded.fetch("http://rebinding.example/")
    assert names.asked == 2


async def test_every_hop_of_a_redirect_is_checked() -> None:
    """A test switch allows the first hop; the second has another address."""
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
        with pytest.raises(FetchError, match="content encoding"):
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


async def test_what_arrives_at_once_is_parsed_piece_by_piece(
    local: GuardedFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of a megabyte of 1xx responses took a second of a busy machine, in one go."""
    parsed = list[int]()
    parse = ResponseHandler.data_received

    def data_received(handler: ResponseHandler, data: bytes) -> None:
        parsed.append(len(data))
        parse(handler, data)

    monkeypatch.setattr(ResponseHandler, "data_received", data_received)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def flood() -> None:
            with suppress(OSError), listener.accept()[0] as connection:
                connection.sendall(head + b"1\r\n<\r\n" * 40_000)

        flooding = asyncio.ensure_future(asyncio.to_thread(flood))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(FetchError, match="longer"):
            await local.fetch(url, timeout=300, max_bytes=10_000)
        await flooding
    assert max(parsed) <= 8192


async def test_no_one_there(local: GuardedFetch) -> None:
    async with client_site() as base:
        pass
    with pytest.raises(FetchError, match="could not be reached"):
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
