"""A WebSub hub is notified of changed feeds, once they are live."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from sending_kit import until
from webmention_kit import Elsewhere, elsewhere

from bridge.net.fetch import GuardedFetch
from bridge.posts.catalogue import Catalogue
from bridge.rebuild import Rebuilder
from bridge.store import Version
from bridge.webmention.outgoing.websub import HubPing, feeds_of


class Built:
    """A builder that is always done."""

    def __init__(self, output: Path) -> None:
        self.output = output

    async def live(self, version: str, page: str, seconds: float) -> bool:
        return True


class Scene:
    """A site's output, its live pages, and a hub."""

    def __init__(self, output: Path, site: Elsewhere, hub: Elsewhere, ping: HubPing) -> None:
        self.output, self.site, self.hub, self.ping = output, site, hub, ping

    def write(self, name: str, text: str, *, shown: bool = True) -> str:
        """Write a file to the output; returns its URL."""
        body = text.replace("{hub}", self.hub.base).replace("{site}", self.site.base)
        (self.output / name).write_text(body)
        if shown:
            path = "/" if name == "index.html" else f"/{name}"
            self.site.pages[path] = lambda: web.Response(text=body, content_type="text/xml")
        return self.site.base + name

    def topics(self) -> list[str]:
        return [each.form["hub.url"] for each in self.hub.posted]


FEED = '<feed><link href="{hub}" rel="hub"/><link href="{site}feed.xml" rel="self"/>%s</feed>'


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with elsewhere() as site, elsewhere() as hub, GuardedFetch(allow_loopback=True) as fetch:
        facts = SimpleNamespace(siteurl=site.base.rstrip("/"), values={"INDIEAUTH_HUB": hub.base})
        catalogue: Any = SimpleNamespace()

        async def refresh(*, patient: bool) -> None:
            assert patient
            catalogue.site = SimpleNamespace(facts=facts)  # not known before

        catalogue.refresh = refresh
        output = tmp_path / "output"
        output.mkdir()
        ping = HubPing(
            cast("Catalogue", catalogue),
            cast("Rebuilder", Built(output)),
            tmp_path / "note.json",
            site=fetch,
            fetch=fetch,
            looks=(0.0, *(0.02,) * 500),
            tries=(0.0, 0.02, 0.02),
        )
        running = asyncio.create_task(ping.run())
        yield Scene(output, site, hub, ping)
        running.cancel()


async def test_hubs_are_notified_only_of_changes_and_only_when_they_are_live(
    scene: Scene, tmp_path: Path
) -> None:
    scene.write("feed.xml", FEED % "one")
    scene.write("index.html", '<link rel="hub" href="{hub}"><p>home')
    scene.write("other.xml", "<feed>of no hub</feed>")
    scene.ping.changed(Version("1"))
    await until((tmp_path / "note.json").exists)
    assert scene.hub.posted == [], "at the first start everything is old"

    topic = scene.write("feed.xml", FEED % "two", shown=False)
    scene.ping.changed(Version("2"))
    await until(lambda: len([path for _, path in scene.site.asked if path == "/feed.xml"]) > 3)
    assert scene.hub.posted == [], "the world sees the old one"
    scene.write("feed.xml", FEED % "two")
    await until(lambda: scene.hub.posted)
    (posted,) = scene.hub.posted
    assert posted.form == {"hub.mode": "publish", "hub.url": topic, "hub.topic": topic}

    scene.write("index.html", '<link rel="hub" href="{hub}"><p>home, sweet home')
    scene.ping.changed(Version("3"))
    await until(lambda: len(scene.hub.posted) == 2)
    assert scene.topics()[1] == scene.site.base


async def test_a_hub_in_trouble_is_notified_again(scene: Scene, tmp_path: Path) -> None:
    scene.ping.changed(Version("1"))
    await until((tmp_path / "note.json").exists)
    scene.hub.takes = lambda _: web.Response(status=503 if len(scene.hub.posted) < 3 else 204)
    scene.write("feed.json", '{"hubs": [{"url": "{hub}"}], "feed_url": "{site}feed.json"}')
    scene.ping.changed(Version("2"))
    await until(lambda: len(scene.hub.posted) == 3)
    await asyncio.sleep(0.1)
    assert scene.topics() == [f"{scene.site.base}feed.json"] * 3


def test_a_named_pipe_in_the_output_holds_nothing_up(tmp_path: Path) -> None:
    """Plugins write there; there is never anyone who writes to the pipe."""
    text = '<link rel="hub" href="https://hub.example/"/>'
    (tmp_path / "feed.xml").write_text(text)
    os.mkfifo(tmp_path / "other.xml")
    try:
        found = list(feeds_of(tmp_path, "https://hub.example/", "https://example.com"))
    finally:
        (tmp_path / "other.xml").unlink()  # no one can read it
    assert [feed.topic for feed in found] == ["https://example.com/feed.xml"]
