"""The bridge stops promptly during the first indexing of the site's posts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rebuild_site import commit
from test_posts_index import FACTS, describe

from bridge.errors import Unavailable
from bridge.posts.catalogue import Catalogue
from bridge.posts.index import PostIndex
from bridge.site.current import CurrentSite
from bridge.site.messages import IndexedPost, Source
from bridge.store import BlobId
from bridge.store.memory_store import MemoryStore

POSTS = 4_200


class Slow:
    """A site that describes one batch of files, and then hangs."""

    facts = FACTS

    def __init__(self) -> None:
        self.asked = 0
        self.stuck = asyncio.Event()

    async def describe(self, files: Sequence[Source]) -> list[IndexedPost | None]:
        self.asked += 1
        if self.asked > 1:
            self.stuck.set()
            await asyncio.sleep(3_600)
        return [describe(each.path, BlobId(each.blob), each.data) for each in files]


def catalogue_of(store: MemoryStore, site: object, file: Path) -> Catalogue:
    return Catalogue(store, cast("CurrentSite", site), file, folder="content")


async def test_an_incomplete_index_closes_at_once_and_keeps_its_entries(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    posts = {f"content/{number}.md": f"{number} note a published" for number in range(POSTS)}
    commit(store, {path: text.encode() for path, text in posts.items()})
    slow = Slow()

    async def bring_to(_: object) -> None:
        """It is already loaded."""

    site: Any = SimpleNamespace(reader=slow, bring_to=bring_to)
    catalogue = catalogue_of(store, site, tmp_path / "index.sqlite")
    looking = asyncio.create_task(catalogue.refresh(patient=True))
    async with asyncio.timeout(300):
        await slow.stuck.wait()
        while not catalogue.index.described:
            await asyncio.sleep(0.01)
        await catalogue.close()
    with pytest.raises(Unavailable, match="shutting down"):
        await looking
    with pytest.raises(Unavailable, match="shutting down"):
        await catalogue.refresh()

    index = PostIndex(tmp_path / "index.sqlite", store, "content")
    assert 0 < index.counts(0).all < POSTS
    index.close()


async def test_a_site_that_is_being_loaded_does_not_delay_closing(tmp_path: Path) -> None:
    store, loading = MemoryStore(), asyncio.Event()
    head = commit(store, {"content/a.md": b"1 note a published"})

    async def bring_to(_: object) -> None:
        loading.set()
        await asyncio.sleep(3_600)

    catalogue = catalogue_of(store, SimpleNamespace(bring_to=bring_to), tmp_path / "index.sqlite")
    catalogue.changed(head)
    async with asyncio.timeout(300):
        await loading.wait()
        await catalogue.close()
