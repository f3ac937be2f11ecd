"""Webmentions whose sources never answer, and a good one that comes after them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hearing_kit import POST, Hearing, hearing, reply
from webmention_kit import elsewhere

from bridge.net.resolver import Resolver

#: Each of their hosts is waited for in vain for ten seconds, four at a time.
STRANGERS = 40


@pytest.fixture
def silent() -> Iterator[list[str]]:
    """Hosts that accept connections and never answer."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(STRANGERS)
        ]
        yield [f"http://127.0.0.1:{each.getsockname()[1]}/" for each in listeners]


async def shown_before(bridge: Hearing, source: str, others: list[str]) -> None:
    """Send all, and require that the mention of ``source``, the last, is shown while most of the
    others still wait.
    """
    for number, other in enumerate(others):
        await bridge.send(other, POST, 201, **{"X-Forwarded-For": f"192.0.2.{number % 2}"})
    await bridge.send(source, POST, 201, **{"X-Forwarded-For": "198.51.100.1"})
    async with asyncio.timeout(300):
        while bridge.record(source).state != "shown":
            await asyncio.sleep(0.01)
    untried = [other for other in others if not bridge.record(other).tries]
    assert len(untried) > len(others) / 2


async def test_a_mention_is_shown_while_others_wait_for_their_hosts(
    tmp_path: Path, silent: list[str]
) -> None:
    async with elsewhere() as bob, hearing(tmp_path) as bridge:
        await shown_before(bridge, bob.page("/1", reply()), silent)


async def test_a_mention_is_shown_while_others_wait_for_the_addresses_of_their_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def look_up(host: str, port: int, *rest: Any) -> list[Any]:
        if host.startswith("silent"):
            end.wait(300)
        return socket.getaddrinfo("127.0.0.1", port, *rest)

    monkeypatch.setattr("bridge.social.Resolver", partial(Resolver, look_up))
    try:
        async with elsewhere() as bob, hearing(tmp_path) as bridge:
            source = bob.page("/1", reply()).replace("127.0.0.1", "bob.example")
            silent = [f"http://silent.stranger{number}.example/" for number in range(STRANGERS)]
            await shown_before(bridge, source, silent)
    finally:
        end.set()
