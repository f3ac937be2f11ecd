"""Nothing is copied before the page is live: when a page counts as live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.net.fetch import Fetched, FetchError
from bridge.site.messages import IndexedPost
from bridge.syndication.environment import PostPages

URL = "https://example.com/a/"
WRITTEN = datetime(2026, 11, 26, 18, tzinfo=UTC)
CHANGED = datetime(2026, 11, 26, 19, tzinfo=UTC)


def page(*stamps: datetime, words: str = "Hello") -> bytes:
    times = "".join(
        f'<time class="{name}" datetime="{stamp.isoformat()}"></time>'
        for name, stamp in zip(("dt-published", "dt-updated"), stamps, strict=False)
    )
    return (
        f'<div class="h-entry"><a class="u-url" href="{URL}"></a>{times}'
        f'<p class="e-content">{words}</p></div>'
    ).encode()


@dataclass
class World:
    """The built site, and what is served at its URLs."""

    folder: Path
    built: bytes | None = None
    served: bytes | None = None
    status: int = 200
    is_local: bool = True

    @property
    def output(self) -> Path:
        return self.folder

    def head(self) -> str:
        return "v"

    async def live(self, version: str, save_as: str, seconds: float) -> bool:
        del version, seconds
        if self.built is None or not self.is_local:
            return False
        (self.folder / save_as).write_bytes(self.built)
        return True

    async def fetch(self, url: str, **_: object) -> Fetched:
        if self.served is None:
            raise FetchError("its address is not on the public Internet")
        return Fetched(url, self.status, {}, self.served)

    async def shown(self, *stamps: datetime, output: bool = True) -> str | None:
        self.is_local = output
        made = PostPages(cast("Any", self), cast("Any", self), cast("Any", self))
        entry = IndexedPost("a.md", "b", URL, "a.html", "published", "note", 1.0, "", (), (), "")
        found = await made.page(entry, stamps)
        return None if found is None else found.content.text


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_what_is_served_with_the_posts_dates_is_live(world: World) -> None:
    world.served = page(WRITTEN)
    assert await world.shown(WRITTEN, output=False) == "Hello"
    assert await world.shown(CHANGED, output=False) is None
    world.status = 404
    assert await world.shown(WRITTEN, output=False) is None


async def test_the_built_page_counts_if_the_own_address_is_unreachable(
    world: World,
) -> None:
    assert await world.shown(WRITTEN) is None
    world.built = page(WRITTEN)
    assert await world.shown(WRITTEN) == "Hello"


async def test_a_theme_that_shows_no_change_is_waited_for_only_until_it_is_built(
    world: World,
) -> None:
    world.served = page(WRITTEN)
    assert await world.shown(CHANGED) is None
    world.built = page(WRITTEN, words="New")
    assert await world.shown(CHANGED) == "New"
    world.served = world.built
    assert await world.shown(CHANGED) == "New"


async def test_an_old_page_is_not_taken_for_the_new_one(world: World) -> None:
    earlier = datetime(2026, 11, 26, 18, 30, tzinfo=UTC)
    world.built, world.served = page(WRITTEN, CHANGED), page(WRITTEN, earlier)
    assert await world.shown(CHANGED) is None
    world.served = world.built
    assert await world.shown(CHANGED) == "Hello"
