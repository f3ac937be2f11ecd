"""The behaviour of every :class:`~bridge.rebuild.Rebuilder`, in each mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rebuild_site import commit, files, post, settings, settled, small_site

from bridge.rebuild import Rebuilder
from bridge.rebuild.rebuilder import make_rebuilder
from bridge.rebuild.worker import BuildTiming
from bridge.store import Version
from bridge.store.git import GitStore

QUICK = BuildTiming(debounce=0.01, again=())


@dataclass
class Hook:
    """Receives the webhook."""

    url: str = ""
    versions: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.versions.append((await request.json())["version"])
        return web.Response(status=204)


@dataclass
class World:
    """A site in a store, and a rebuilder in one of the modes."""

    mode: str
    folder: Path
    hook: Hook
    store: GitStore
    started: list[Rebuilder] = field(default_factory=list)

    @property
    def builds(self) -> bool:
        """Whether changes have any effect in this mode."""
        return self.mode != "none"

    @property
    def builds_here(self) -> bool:
        """Whether pages are built on this machine."""
        return self.mode in {"command", "resident"}

    async def start(self) -> Rebuilder:
        """Another rebuilder with the same state, as after a restart."""
        output = self.folder / "output"
        config = settings(output, mode=self.mode, webhook=self.hook.url)
        state = self.folder / "state"
        rebuilder = make_rebuilder(config, self.store, state, output=output, timing=QUICK)
        self.started.append(rebuilder)
        await rebuilder.start()
        return rebuilder

    async def built(self, rebuilder: Rebuilder, version: Version) -> None:
        """Wait until a version is completely built, if this mode builds."""
        if self.builds:
            await settled(rebuilder, version)
            status = rebuilder.status()
            assert (status.state, status.version) == ("idle", version), status

    def shows(self, text: str) -> bool:
        """Whether a page on this machine contains this text."""
        pages = files(self.folder / "output") if self.builds_here else {}
        return any(text.encode() in page for page in pages.values())


@pytest.fixture(params=["none", "webhook", "command", "resident"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, bare_store: GitStore
) -> AsyncIterator[World]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/build", hook.take)
    async with TestServer(app) as server:
        hook.url = str(server.make_url("/build"))
        world = World(request.param, tmp_path, hook, bare_store)
        yield world
        for rebuilder in world.started:
            await rebuilder.close()


async def begun(rebuilder: Rebuilder) -> None:
    """Wait until a build has begun."""
    async with asyncio.timeout(300):
        while rebuilder.status().state != "building":
            await asyncio.sleep(0.001)


async def test_an_empty_repo_is_accepted(world: World) -> None:
    rebuilder = await world.start()
    async with asyncio.timeout(300):
        while rebuilder.status().state == "building":
            await asyncio.sleep(0.01)
    assert rebuilder.status().state == "idle"


async def test_earlier_commits_are_built_at_the_start(world: World) -> None:
    version = small_site(world.store)
    await world.built(await world.start(), version)
    assert world.shows("Two") == world.builds_here


async def test_a_later_change_is_built(world: World) -> None:
    version = small_site(world.store)
    rebuilder = await world.start()
    await world.built(rebuilder, version)
    version = commit(world.store, {"content/four.md": post("Four", 4, body="The fourth text.")})
    rebuilder.changed(version)
    await world.built(rebuilder, version)
    assert world.shows("The fourth text.") == world.builds_here
    assert world.mode != "webhook" or world.hook.versions[-1] == version


async def test_a_change_during_a_build_is_not_lost(world: World) -> None:
    rebuilder = await world.start()
    rebuilder.changed(small_site(world.store))
    if world.builds:
        await begun(rebuilder)
    version = commit(world.store, {"content/new.md": post("New", 4, body="The last word.")})
    rebuilder.changed(version)
    await world.built(rebuilder, version)
    assert world.shows("The last word.") == world.builds_here
    assert world.mode != "webhook" or world.hook.versions[-1] == version


async def test_live_returns_in_time(world: World) -> None:
    version = small_site(world.store)
    rebuilder = await world.start()
    rebuilder.changed(version)
    async with asyncio.timeout(300):
        assert await rebuilder.live(version, "one.html", 240) is world.builds_here
    async with asyncio.timeout(300):
        assert not await rebuilder.live(version, "never.html", 0.05)


async def test_closing_ends_a_running_build(world: World) -> None:
    rebuilder = await world.start()
    rebuilder.changed(small_site(world.store))
    if world.builds:
        await begun(rebuilder)
    async with asyncio.timeout(300):
        await rebuilder.close()


async def test_after_a_restart_the_built_version_is_known(world: World) -> None:
    version = small_site(world.store)
    first = await world.start()
    await world.built(first, version)
    await first.close()
    again = await world.start()
    await world.built(again, version)
    assert again.status().version == first.status().version
