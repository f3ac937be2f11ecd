"""Every post gets its own path and URL, which no other post has or has reserved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from content_site import CHOOSY_MARKDOWN, write_settings
from site_kit import Posts, posts_of

from bridge.content.file import PelicanFile
from bridge.errors import InvalidRequest, SiteBroken, Unavailable
from bridge.posts.catalogue import Catalogue
from bridge.posts.reservations import Reservation, Reservations
from bridge.settings import Content, Settings, Site
from bridge.site.current import KnownSite, settle
from bridge.site.messages import Locate
from bridge.store import Change, Commit, Version
from bridge.store.memory_store import MemoryStore


def note(category: str = "notes", text: str = "Text.", more: str = "") -> PelicanFile:
    head = f"Title: A walk\nDate: 2026-11-21T10:00:00+01:00\nSlug: a-walk\nCategory: {category}\n"
    return PelicanFile.parse(f"{head}{more}\n{text}\n")


@dataclass
class Desk:
    """Reserves paths and URLs in a site that is only in memory."""

    store: MemoryStore
    posts: Posts
    reservations: Reservations

    @property
    def catalogue(self) -> Catalogue:
        return self.posts.catalogue

    def commit(self, path: str, data: bytes) -> None:
        (answer,) = self.store.commit([Commit((Change(path, data, None),), "x", self.store.head())])
        assert isinstance(answer, str), answer

    def write(self, place: Reservation) -> None:
        self.commit(place.path, place.file.text().encode())

    @asynccontextmanager
    async def new(self, file: PelicanFile, base: Version) -> AsyncIterator[Reservation]:
        settled = await settle(self.catalogue.site, lambda _: file, Locate)
        async with self.reservations.new(settled, base) as place:
            yield place

    @asynccontextmanager
    async def moved(
        self, file: PelicanFile, path: str, base: Version, *, save_as: str = ""
    ) -> AsyncIterator[Reservation]:
        site = self.catalogue.site
        settled = await settle(site, lambda _: file, lambda text: Locate(text, path=path))
        async with self.reservations.moved(settled, path, base, save_as=save_as) as place:
            yield place

    async def place(self, file: PelicanFile) -> Reservation:
        async with self.new(file, await self.catalogue.refresh()) as place:
            return place


def site(repo: Path) -> Site:
    return Site(me="https://example.com/", repo=repo)


@asynccontextmanager
async def opened(tmp_path: Path, settings: Settings, more: str = "") -> AsyncIterator[Desk]:
    store = MemoryStore()
    posts = posts_of(store, tmp_path / "state", settings)
    desk = Desk(store, posts, Reservations(posts.reader, store))
    conf = write_settings(tmp_path).read_bytes() + (CHOOSY_MARKDOWN + more).encode()
    desk.commit("pelicanconf.py", conf)
    yield desk
    await posts.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path, Settings(site=site(tmp_path))) as desk:
        yield desk


async def test_a_url_is_reserved_until_it_is_committed_or_released(desk: Desk) -> None:
    base = await desk.catalogue.refresh()
    async with desk.new(note("notes"), base) as first:
        assert first.location.url == "https://example.com/2026/11/a-walk/"
        # The same address, though not the same file.
        second = await desk.place(note("articles"))
        assert second.path == "content/articles/2026/11/a-walk-2.md"
    assert (await desk.place(note("articles"))).location.url == first.location.url


async def test_a_commit_not_yet_indexed_is_considered(desk: Desk) -> None:
    base = await desk.catalogue.refresh()
    async with desk.new(note("notes"), base) as first:
        desk.write(first)
    async with desk.new(note("articles"), base) as second:
        assert second.location.url == "https://example.com/2026/11/a-walk-2/"


async def test_a_commit_during_a_search_is_considered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = await desk.catalogue.refresh()
    refresh = desk.catalogue.refresh
    first = AsyncExitStack()
    place = await first.enter_async_context(desk.new(note("notes"), base))

    async def and_then_the_first_commits() -> Version:
        version = await refresh()
        desk.write(place)
        await first.aclose()
        return version

    monkeypatch.setattr(desk.catalogue, "refresh", and_then_the_first_commits)
    async with desk.new(note("articles"), base) as second:
        assert second.location.url == "https://example.com/2026/11/a-walk-2/"


@pytest.mark.parametrize("category", ["media", "Media", "pages"])
async def test_no_post_is_put_where_pelican_reads_none(desk: Desk, category: str) -> None:
    place = await desk.place(note(category))
    assert place.path == f"content/{category.lower()}-posts/2026/11/a-walk.md"
    assert place.location.category == category
    desk.write(place)
    await desk.catalogue.refresh()
    assert desk.catalogue.index.find(place.location.url) is not None


FLAT = "\nARTICLE_URL = '{slug}.html'\nARTICLE_SAVE_AS = '{slug}.html'\n"


@pytest.mark.parametrize(
    ("there", "path"),
    [
        ("content/notes/2026/11/a-walk.md/x.txt", "content/notes/2026/11/post-a-walk.md"),
        ("content/notes", "content/notes-posts/2026/11/a-walk.md"),
        ("content/notes/2026", "content/notes-posts/2026/11/a-walk.md"),
    ],
)
async def test_a_new_post_gets_another_name_where_a_folder_or_a_file_is_in_the_way(
    desk: Desk, there: str, path: str
) -> None:
    desk.commit(there, b"x")
    place = await desk.place(note())
    assert place.path == path
    desk.write(place)


async def test_a_new_post_gets_another_slug_where_a_folder_of_posts_has_its_name(
    desk: Desk,
) -> None:
    await desk.catalogue.refresh()
    # No question needs a checkout with this post, so the site knows nothing of its folder.
    desk.commit("content/notes/2026/11/a-walk.md/b.md", b"Title: B\nDate: 2026-11-20\n\nB\n")
    place = await desk.place(note())
    assert place.path == "content/notes/2026/11/a-walk-2.md"
    desk.write(place)


@pytest.mark.parametrize("slug", ["index", "404", "archives", "tags"])
async def test_no_post_is_moved_to_where_the_site_has_another_page(
    slug: str, tmp_path: Path
) -> None:
    async with opened(tmp_path, Settings(site=site(tmp_path)), FLAT) as desk:
        place = await desk.place(note())
        desk.write(place)
        base = await desk.catalogue.refresh()
        wanted, was = place.file.with_header("Slug", slug), place.location.save_as
        async with desk.moved(wanted, place.path, base, save_as=was) as moved:
            assert moved.location.save_as == f"{slug}-2.html"
            assert moved.file.get("Slug") == f"{slug}-2"


async def test_a_post_where_the_site_now_has_another_page_may_stay_and_come_back(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, Settings(site=site(tmp_path)), FLAT) as desk:
        file = note().with_header("Slug", "404")
        desk.commit("content/missing.md", file.text().encode())
        base = await desk.catalogue.refresh()
        for save_as in ("404.html", ""):
            async with desk.moved(file, "content/missing.md", base, save_as=save_as) as place:
                assert place.location.save_as == "404.html"


async def test_files_in_the_media_folder_are_not_posts(desk: Desk) -> None:
    desk.commit("content/media/2026/a.md", note().text().encode())
    await desk.catalogue.refresh()
    assert desk.catalogue.index.find("https://example.com/2026/11/a-walk/") is None


async def test_posts_cannot_be_in_the_media_folder(tmp_path: Path) -> None:
    content = Content(path="media/{slug}.md")
    async with opened(tmp_path, Settings(site=site(tmp_path), content=content)) as desk:
        with pytest.raises(SiteBroken, match="folder of uploads"):
            await desk.place(note())


async def test_a_category_cannot_use_the_feed_of_an_author(desk: Desk) -> None:
    """Pelican's default settings use one folder for both."""
    desk.write(await desk.place(note("notes", more="Author: Ada\n")))
    for file in (
        note("ada"),
        note("articles", more="Author: Notes\n"),
        note("articles", more="Authors: Bea; Notes\n"),
        note("bea", more="Author: Bea\n"),
    ):
        with pytest.raises(InvalidRequest, match=r"share a file \(.*feeds/"):
            await desk.place(file)
    # Lists of one sort are one list, and a draft is on none.
    await desk.place(note("notes", more="Author: Ada\n"))
    await desk.place(note("ada", more="Status: draft\n"))


async def test_the_author_of_the_site_has_a_feed_too(desk: Desk, tmp_path: Path) -> None:
    head = desk.store.head()
    assert head is not None
    old = desk.store.read("pelicanconf.py", head)
    assert old is not None
    conf = old.data + b"AUTHOR = 'Ada'\n"
    desk.store.commit([Commit((Change("pelicanconf.py", conf, old.id),), "x", head)])
    with pytest.raises(InvalidRequest, match=r"author feeds/ada\.atom\.xml"):
        await desk.place(note("ada"))


async def test_publishing_a_draft_and_changing_the_author_are_checked(desk: Desk) -> None:
    desk.write(await desk.place(note("notes")))
    draft = await desk.place(note("articles", more="Author: Notes\nStatus: draft\n"))
    desk.write(draft)
    published = draft.file.with_header("Status", None)
    with pytest.raises(InvalidRequest, match="share a file"):
        async with desk.moved(published, draft.path, await desk.catalogue.refresh()):
            pass


async def test_lists_that_share_a_file_already_do_not_stop_an_edit(desk: Desk) -> None:
    for name, author in (("a", "Notes"), ("b", "Bea")):
        text = note(more=f"Author: {author}\n").text().replace("a-walk", name)
        desk.commit(f"content/{name}.md", text.encode())
    path = "content/b.md"
    edited = PelicanFile.parse(text).with_body("Edited.\n")
    async with desk.moved(edited, path, await desk.catalogue.refresh()) as place:
        assert place.path == path


async def test_pelicans_url_of_a_handwritten_file_is_used(desk: Desk) -> None:
    path = "content/by-hand.md"
    desk.commit(path, note().text().encode())
    base = await desk.catalogue.refresh()
    async with desk.moved(note(more="Save_as: elsewhere.html\n"), path, base) as place:
        assert place.location.save_as == "elsewhere.html"
    with pytest.raises(InvalidRequest, match="Pelican cannot read"):
        async with desk.moved(note(text="An indigestible text"), path, base):
            pass


async def paginated(desk: Desk, tagged: int) -> None:
    """Two posts on a page of a list, and some posts with the tag ``t8``."""
    head = desk.store.head()
    assert head is not None
    conf = desk.store.read("pelicanconf.py", head)
    assert conf is not None
    change = Change("pelicanconf.py", conf.data + b"DEFAULT_PAGINATION = 2\n", conf.id)
    desk.store.commit([Commit((change,), "x", head)])
    for _ in range(tagged):
        desk.write(await desk.place(note(more="Tags: t8\n")))


async def test_a_tag_cannot_use_a_later_page_of_another(desk: Desk) -> None:
    await paginated(desk, 5)
    with pytest.raises(InvalidRequest, match=r"share a file \(tag tag/t83\.html, tag tag/t8\.html"):
        await desk.place(note(more="Tags: T83\n"))
    await desk.place(note(more="Tags: t84; t831; t\n"))


async def test_an_additional_page_cannot_use_the_file_of_another_tag(desk: Desk) -> None:
    await paginated(desk, 3)
    desk.write(await desk.place(note(more="Tags: t83\n")))
    desk.write(await desk.place(note(more="Tags: t8\n")))
    with pytest.raises(InvalidRequest, match=r"share a file \(tag tag/t8\.html, tag tag/t83\.html"):
        await desk.place(note(more="Tags: t8\n"))


async def test_a_request_waits_for_the_index_for_a_limited_time(tmp_path: Path) -> None:
    """The error says how far the index is."""
    async with opened(tmp_path, Settings(site=site(tmp_path))) as desk:
        catalogue = desk.catalogue
        catalogue._seconds = 0.05
        site_reader = desk.posts.current
        begun, go_on = asyncio.Event(), asyncio.Event()
        bring_to = site_reader.bring_to

        async def slowly(head: Version) -> None:
            begun.set()
            await go_on.wait()
            await bring_to(head)

        site_reader.bring_to = slowly  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="looking at the posts"):
            await catalogue.refresh()
        assert begun.is_set()
        go_on.set()
        assert await catalogue.refresh(patient=True) == desk.store.head()


@pytest.mark.parametrize(("tag", "slugs"), [("walks", ["walks"]), ("A walk", ["A walk", "a-walk"])])
async def test_a_file_is_written_again_only_where_a_guess_was_wrong(
    desk: Desk, tag: str, slugs: list[str]
) -> None:
    written = list[str]()

    def write(site: KnownSite) -> PelicanFile:
        written.append(site.tag_slug(tag))
        return note(more=f"Tags: {tag}\n")

    await desk.catalogue.refresh()
    settled = await settle(desk.catalogue.site, write, Locate)
    assert (written, settled.file) == (slugs, note(more=f"Tags: {tag}\n"))
    assert settled.answer.places
