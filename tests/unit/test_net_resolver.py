"""Names are looked up without holding up anything else."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.net.fetch import GuardedFetch
from bridge.net.resolver import Resolver
from bridge.store.checkout.submodules import look_up


async def test_a_host_is_found_by_its_name() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", page)
    async with (
        TestServer(app, host="127.0.0.1") as server,
        GuardedFetch(allow_loopback=True) as net,
    ):
        fetched = await net.fetch(f"http://localhost:{server.port}/")
    assert fetched.body == b"here"


async def test_a_name_without_an_address_is_an_error() -> None:
    def none(*_: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(OSError, match="not known"):
        await Resolver(none).resolve("host.invalid")


def test_lookups_that_hang_delay_neither_other_work_nor_the_end() -> None:
    may_end = threading.Event()

    def hang(*_: object) -> list[tuple[Any, ...]]:
        may_end.wait(600)
        return []

    async def main() -> str:
        resolver = Resolver(hang)
        lookups = [asyncio.create_task(resolver.resolve(f"{each}.example")) for each in range(50)]
        await asyncio.sleep(0)
        assert threading.active_count() < 50
        done = await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 300)
        for each in lookups:
            each.cancel()
        return done

    try:
        # The event loop waits for its own threads, here forever.
        ended = threading.Thread(target=lambda: results.append(asyncio.run(main())), daemon=True)
        results: list[str] = []
        ended.start()
        ended.join(300)
        assert results == ["done"]
    finally:
        may_end.set()


async def test_a_lookup_after_one_that_was_given_up_is_answered() -> None:
    may_end = threading.Event()

    def first_hangs(host: str, *_: object) -> list[tuple[Any, ...]]:
        if host.startswith("hangs"):
            may_end.wait(600)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    resolver = Resolver(first_hangs)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver.resolve("hangs.example"), 0.05)
    (found,) = await resolver.resolve("a.example", 443, socket.AF_UNSPEC)
    assert (found["host"], found["port"], found["family"]) == ("192.0.2.1", 443, socket.AF_INET)
    may_end.set()


async def test_a_lookup_that_gets_no_thread_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def found(*_: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    resolver = Resolver(found)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        for _ in range(50):
            with pytest.raises(OSError, match="thread"):
                await resolver.resolve("a.example")
    assert await asyncio.wait_for(resolver.resolve("a.example"), 300)


def test_a_thread_does_not_wait_for_a_lookup_that_hangs() -> None:
    answered = threading.Event()

    def hang(*_: object, **__: object) -> list[tuple[Any, ...]]:
        answered.wait(600)
        return []

    with pytest.raises(OSError, match="no answer came in time"):
        look_up("dead.example", 443, seconds=0.05, getaddrinfo=hang)
    answered.set()


def test_a_thread_gets_each_address_once() -> None:
    def two_of_one(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(2, 1, 6, "", ("192.0.2.7", 443)), (2, 1, 6, "", ("192.0.2.7", 443))]

    def none(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise OSError("no such host")

    assert look_up("a.example", 443, getaddrinfo=two_of_one) == ["192.0.2.7"]
    with pytest.raises(OSError, match="no such host"):
        look_up("none.example", 443, getaddrinfo=none)
