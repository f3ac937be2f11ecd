"""What every :class:`~bridge.rebuild.Rebuilder` promises, whichever way it builds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rebuild_site import commit, post, settings, settled, small_site

from bridge.rebuild import Rebuilder
from bridge.rebuild.factory import make_rebuilder
from bridge.rebuild.worker import Pace
from bridge.store.memory import MemoryStore

QUICK = Pace(gather=0.01, again=())


@dataclass
class Hook:
    """Whoever is told by webhook."""

    posts: list[object] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.posts.append(await request.json())
        return web.Response(status=204)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Hook, str]]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/build", hook.take)
    async with TestServer(app) as server:
        yield hook, str(server.make_url("/build"))


Make = Callable[[], Awaitable[Rebuilder]]


@pytest.fixture(params=["none", "webhook", "command", "resident"])
async def make(
    request: pytest.FixtureRequest, store: MemoryStore, tmp_path: Path, hook: tuple[Hook, str]
) -> AsyncIterator[Make]:
    """Starts one rebuilder after the other over the same state; ends them all."""
    made: list[Rebuilder] = []

    async def start() -> Rebuilder:
        output = tmp_path / "output"
        config = settings(output, mode=request.param, webhook=hook[1])
        rebuilder = make_rebuilder(config, store, tmp_path / "state", output=output, pace=QUICK)
        made.append(rebuilder)
        await rebuilder.start()
        return rebuilder

    yield start
    for rebuilder in made:
        await rebuilder.close()


async def built(rebuilder: Rebuilder, store: MemoryStore) -> None:
    version = store.head()
    assert version is not None
    rebuilder.changed(version)
    if type(rebuilder).__name__ != "NoRebuild":
        await settled(rebuilder, version)
        assert rebuilder.status().state == "idle", rebuilder.status()


async def test_an_empty_repo_is_no_trouble(make: Make) -> None:
    rebuilder = await make()
    async with asyncio.timeout(10):
        while rebuilder.status().state == "building":
            await asyncio.sleep(0.01)
    assert rebuilder.status().state == "idle"


async def test_what_was_committed_before_is_caught_up_with(make: Make, store: MemoryStore) -> None:
    version = small_site(store)
    rebuilder = await make()
    if type(rebuilder).__name__ != "NoRebuild":
        await settled(rebuilder, version)
        assert rebuilder.status().version == version


async def test_changes_are_built_one_after_the_other(make: Make, store: MemoryStore) -> None:
    small_site(store)
    rebuilder = await make()
    await built(rebuilder, store)
    commit(store, {"content/four.md": post("Four", 4)})
    await built(rebuilder, store)


async def test_a_change_that_comes_during_a_build_is_not_lost(
    make: Make, store: MemoryStore
) -> None:
    rebuilder = await make()
    for day in range(4, 8):
        version = commit(store, {"content/new.md": post("New", day), **_conf(store)})
        rebuilder.changed(version)
        await asyncio.sleep(0.05)
    await built(rebuilder, store)


def _conf(store: MemoryStore) -> dict[str, bytes | None]:
    if store.head() is not None:
        return {}
    small_site(store)
    return {}


async def test_live_is_answered_in_time(make: Make, store: MemoryStore) -> None:
    version = small_site(store)
    rebuilder = await make()
    rebuilder.changed(version)
    async with asyncio.timeout(60):
        shown = await rebuilder.live(version, "one.html", 50)
    on_this_machine = getattr(rebuilder, "output", None) is not None
    assert shown is on_this_machine
    async with asyncio.timeout(10):
        assert not await rebuilder.live(version, "never.html", 0.05)


async def test_closing_ends_it_even_in_the_middle_of_a_build(
    make: Make, store: MemoryStore
) -> None:
    rebuilder = await make()
    rebuilder.changed(small_site(store))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(10):
        await rebuilder.close()


async def test_a_restart_knows_what_is_built(make: Make, store: MemoryStore) -> None:
    small_site(store)
    first = await make()
    await built(first, store)
    before = first.status()
    await first.close()
    again = await make()
    await built(again, store)
    assert again.status().version == before.version
