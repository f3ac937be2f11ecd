"""Posts are made while the first index is still being read; none gets another one's address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
from site_kit import CONF, Posts, posts_of

from bridge.content.file import PelicanFile
from bridge.errors import InsufficientStorage, Unavailable
from bridge.posts.reservations import Reservation, Reservations
from bridge.settings import Settings, Site
from bridge.site.current import settle
from bridge.site.messages import IndexedPost, Locate, ReservedPage, Source, Unread
from bridge.store import Change, Commit
from bridge.store.memory_store import MemoryStore
from bridge.web.queries import Queries

URL = "https://example.com"


@dataclass
class UnreadSite:
    """A site whose index is not ready until ``go_on`` is set."""

    store: MemoryStore
    posts: Posts
    reservations: Reservations
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    read: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, str]) -> None:
        changes = tuple(Change(path, text.encode(), None) for path, text in files.items())
        (answer,) = self.store.commit([Commit(changes, "x", self.store.head())])
        assert isinstance(answer, str), answer

    @asynccontextmanager
    async def new(self, title: str, slug: str) -> AsyncIterator[Reservation]:
        catalogue = self.posts.catalogue
        base = await catalogue.for_new_post()
        head = f"Title: {title}\nDate: 2026-11-21T10:00:00+01:00\nSlug: {slug}\nCategory: notes\n"
        file = PelicanFile.parse(f"{head}\nText.\n")
        settled = await settle(
            catalogue.site, lambda _: file, lambda text: Locate(text, slug_from=(slug,))
        )
        async with self.reservations.new(settled, base) as place:
            yield place

    async def place(self, title: str, slug: str) -> str:
        async with self.new(title, slug) as place:
            return place.location.save_as


@asynccontextmanager
async def unread(
    folder: Path, files: dict[str, str], conf: str = CONF
) -> AsyncIterator[UnreadSite]:
    store = MemoryStore()
    posts = posts_of(store, folder / "state", Settings(site=Site(me=f"{URL}/", repo=folder)))
    posts.catalogue._indexing = posts.catalogue._brief = 0.05
    site = UnreadSite(store, posts, Reservations(posts.reader, store))
    # The index asks for some hundred at a time, a new post for those in its way.
    many = {f"content/many/{number}.md": post(f"Of many {number}") for number in range(60)}
    site.commit({"pelicanconf.py": conf, **files, **many})
    head = store.head()
    assert head is not None
    await posts.current.bring_to(head)
    reader = posts.current.reader
    describe = reader.describe

    async def held_up(files: Sequence[Source]) -> list[IndexedPost | ReservedPage | Unread | None]:
        if len(files) > 50:
            await site.go_on.wait()
        else:
            site.read += [each.path for each in files]
        return await describe(files)

    reader.describe = held_up  # type: ignore[method-assign]
    try:
        yield site
    finally:
        site.go_on.set()
        await posts.close()


def post(title: str, more: str = "") -> str:
    return f"Title: {title}\nDate: 2026-01-02\n{more}\nText.\n"


CONF_OF_SLUGS = f'{CONF}\nARTICLE_URL = ARTICLE_SAVE_AS = "{{slug}}.html"\n'


async def test_a_post_gets_a_url_while_lookups_are_unavailable(tmp_path: Path) -> None:
    async with unread(tmp_path, {}, CONF_OF_SLUGS) as site:
        assert await site.place("A walk", "a-walk") == "a-walk.html"
        with pytest.raises(Unavailable, match="looking at the posts") as told:
            await site.posts.catalogue.refresh()
        assert told.value.retry_after
        assert site.posts.catalogue.report().indexing == 0
        # Another request does not wait for the look of the first one, either.
        with pytest.raises(Unavailable):
            await site.posts.catalogue.refresh()
        site.go_on.set()
        assert await site.posts.catalogue.refresh(patient=True) == site.store.head()
        assert site.posts.catalogue.report().indexing is None


async def test_a_post_with_many_similar_ones_does_not_wait_for_the_index(tmp_path: Path) -> None:
    similar = {
        f"content/{each}.md": post("A walk", f"Slug: a-walk-{each}\n") for each in range(120)
    }
    async with unread(tmp_path, similar, CONF_OF_SLUGS) as site, asyncio.timeout(60):
        assert await site.place("A walk", "a-walk") == "a-walk.html"
        assert len(site.read) == 120


async def test_apps_get_an_explanation_while_lookups_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first question is ``q=config``; many go no further without an answer."""
    async with unread(tmp_path, {}, CONF_OF_SLUGS) as site:
        catalogue, endpoint = site.posts.catalogue, "https://bridge.example/media"
        settings = Settings(site=Site(me=f"{URL}/", repo=tmp_path))
        queries = Queries(catalogue, site.posts.reader, settings, endpoint)
        told = await queries.answer([("q", "config")])
        assert (told["media-endpoint"], told["channels"]) == (endpoint, [])
        with pytest.raises(Unavailable):
            await queries.answer([("q", "category")])
        site.go_on.set()
        await catalogue.refresh(patient=True)
        again = await queries.answer([("q", "config")])
        assert again["channels"] == [{"uid": "many", "name": "many"}]

        async def full(files: Sequence[Source]) -> NoReturn:
            raise InsufficientStorage("The disk is full; nothing was written.")

        monkeypatch.setattr(site.posts.current.reader, "describe", full)
        site.commit({"content/late.md": post("Late")})
        with pytest.raises(InsufficientStorage):
            await catalogue.refresh(patient=True)
        assert await queries.answer([("q", "config")]) == again


async def test_a_post_gets_a_url_before_indexing_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where every thread is busy."""
    async with unread(tmp_path, {}, CONF_OF_SLUGS) as site:
        index, begin = site.posts.catalogue.index, threading.Event()
        refresh = index.refresh

        def late(*arguments: Any) -> None:
            begin.wait()
            refresh(*arguments)

        monkeypatch.setattr(index, "refresh", late)
        try:
            assert await site.place("A walk", "a-walk") == "a-walk.html"
        finally:
            begin.set()


IN_THE_WAY = {
    "a slug": ("content/x.md", post("Else", "Slug: a-walk\n")),
    "a title": ("content/x.md", post("A walk!")),
    "a title in other letters": ("content/x.md", post("Ä wälk")),
    "a page's title": ("content/pages/x.md", post("A walk", "Save_as: a-walk.html\n")),
    "a file with its address": ("content/x.md", post("Else", "Save_as: a-walk.html\nURL: y\n")),
    "reStructuredText": ("content/x.rst", "A walk\n######\n\n:date: 2026-01-02\n\nText.\n"),
    "HTML": (
        "content/x.html",
        '<html><head><title>A walk</title><meta name="date" content="2026-01-02"/></head>'
        "<body>Text.</body></html>",
    ),
    "an old address": (
        "content/x.md",
        post("Else", 'Mf2: {"type":["h-entry"],"properties":{},"aliases":["a-walk.html"]}\n'),
    ),
}


@pytest.mark.parametrize("what", IN_THE_WAY)
async def test_the_url_of_an_unindexed_post_is_not_used_again(tmp_path: Path, what: str) -> None:
    path, text = IN_THE_WAY[what]
    async with unread(tmp_path, {path: text}, CONF_OF_SLUGS) as site:
        assert await site.place("A walk", "a-walk") == "a-walk-2.html"
        # Nothing else had to be read.
        assert site.read == [path]


async def test_posts_created_during_indexing_are_considered(tmp_path: Path) -> None:
    async with unread(tmp_path, {}, CONF_OF_SLUGS) as site:
        async with site.new("A walk", "a-walk") as first:
            assert await site.place("A walk", "a-walk") == "a-walk-2.html"
            site.commit({first.path: first.file.text()})
        assert await site.place("A walk", "a-walk") == "a-walk-2.html"
        site.go_on.set()
        await site.posts.catalogue.refresh(patient=True)
        assert await site.place("A walk", "a-walk") == "a-walk-2.html"
        assert not site.posts.catalogue.unindexed._files


async def test_a_post_of_another_client_is_indexed_rather_than_all_files_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients that post at once: the branch moves while the second one looks for its URL."""
    async with unread(tmp_path, {}, CONF_OF_SLUGS) as site:
        site.go_on.set()
        catalogue = site.posts.catalogue
        await catalogue.refresh(patient=True)
        catalogue._brief = 60.0
        monkeypatch.setattr(catalogue.unindexed, "bring_to", None)
        for number in range(3):
            site.commit({f"content/{number}.md": post("A walk", f"Slug: a-walk-{number}\n")})
            assert await catalogue.neighbours([f"a-walk-{number}"]) == []
            assert catalogue.index.find_by_path(f"content/{number}.md")
