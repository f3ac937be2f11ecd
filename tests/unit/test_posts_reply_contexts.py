"""Reply contexts, from the other server to the post's file in git."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from content_site import write_settings
from git_kit import new_repo
from site_kit import posts_of

from bridge.content.file import Mf2Line, PelicanFile
from bridge.media.library import MediaLibrary
from bridge.net.fetch import GuardedFetch
from bridge.posts.commits import CommitQueue, Committer
from bridge.posts.reply_contexts import ReplyContexts
from bridge.posts.reservations import Reservations
from bridge.settings import Settings, Site
from bridge.store import Change, Commit, Version
from bridge.store.git import GitStore

Serve = Callable[[web.Application], Awaitable[TestServer]]

URL = "https://example.com/2026/11/answer/"
PATH = "content/notes/answer.md"
WRITTEN = datetime(2026, 11, 21, 17, 37, tzinfo=UTC)


@dataclass
class Bench:
    """A site with a real repo, and its reply contexts."""

    store: GitStore
    reply_contexts: ReplyContexts
    versions: list[Version]
    target: str

    def put(self, path: str, text: str) -> PelicanFile:
        """Commit a file as the owner."""
        head = self.store.head()
        old = self.store.read(path, head) if head else None
        change = Change(path, text.encode(), old.id if old else None)
        (answer,) = self.store.commit([Commit((change,), "by hand", head)])
        assert isinstance(answer, str), answer
        return PelicanFile.parse(text)

    def reply(self, extra: str = "") -> PelicanFile:
        """Commit a reply to the target."""
        line = f'{{"type":["h-entry"],"properties":{{"in-reply-to":["{self.target}"]}}}}'
        date = f"Date: {WRITTEN.isoformat()}"
        head = f"Title: An answer\n{date}\nSlug: answer\nCategory: notes\n{extra}Mf2: {line}"
        return self.put(PATH, f"{head}\n\nYes.\n")

    def text(self) -> str:
        """The current text of the reply's file."""
        head = self.store.head()
        assert head is not None
        blob = self.store.read(PATH, head)
        return blob.data.decode() if blob else ""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GitStore]:
    folder = new_repo(tmp_path / "repo.git", bare=True)
    store = GitStore(folder, author="Owner <owner@example.org>")
    settings = write_settings(tmp_path).read_bytes()
    store.commit([Commit((Change("pelicanconf.py", settings, None),), "settings", None)])
    yield store
    store.close()


@pytest.fixture
async def target(aiohttp_server: Serve) -> str:
    async def page(_: web.Request) -> web.Response:
        entry = '<div class="h-entry"><h1 class="p-name">A question</h1></div>'
        return web.Response(text=entry, content_type="text/html")

    app = web.Application()
    app.router.add_get("/question", page)
    server = await aiohttp_server(app)
    return str(server.make_url("/question"))


@pytest.fixture
async def bench(store: GitStore, tmp_path: Path, target: str) -> AsyncIterator[Bench]:
    settings = Settings(site=Site(me="https://example.com/", repo=tmp_path / "repo.git"))
    base = "https://bridge.example/"
    posts = posts_of(store, tmp_path / "state", settings, base)
    catalogue = posts.catalogue
    library = MediaLibrary(store, tmp_path / "media", settings, public_url=base)
    await library.start()
    queue = CommitQueue(store)
    versions: list[Version] = []
    committer = Committer(queue, catalogue, library, [versions.append])
    async with GuardedFetch(allow_loopback=True) as fetch:
        reservations, now = Reservations(posts.reader, store), WRITTEN + timedelta(hours=1)
        reply_contexts = ReplyContexts(
            catalogue, posts.reader, reservations, committer, fetch, now=lambda: now
        )
        yield Bench(store, reply_contexts, versions, target)
        await reply_contexts.close()
    await queue.close()
    await posts.close()


async def test_the_context_is_committed_separately(bench: Bench) -> None:
    await bench.reply_contexts.start()
    file = bench.reply("Mood: unknown to us\n")
    before = bench.store.head()
    bench.reply_contexts.request(URL, file)
    await bench.reply_contexts.idle()
    after = bench.store.head()
    assert before is not None
    assert after is not None
    assert [each.path for each in bench.store.diff(before, after)] == [PATH]
    assert bench.versions == [after]
    references = Mf2Line.of(PelicanFile.parse(bench.text())).references
    properties = {"name": ["A question"], "url": [bench.target]}
    assert references == {bench.target: {"type": ["h-cite"], "properties": properties}}
    unchanged = [line for line in file.text().splitlines() if not line.startswith("Mf2")]
    assert [line for line in bench.text().splitlines() if not line.startswith("Mf2")] == unchanged


@pytest.mark.parametrize(
    ("title", "then"),
    [("Like of {host}", "Like of “A question”"), ("The owner's own", "The owner's own")],
)
async def test_a_like_is_titled_by_its_target_once_known(
    bench: Bench, title: str, then: str
) -> None:
    await bench.reply_contexts.start()
    title = title.format(host=bench.target.split("/")[2])
    line = (
        f'{{"type":["h-entry"],"properties":{{"like-of":["{bench.target}"]}},"title":"synthetic"}}'
    )
    head = (
        f"Title: {title}\nDate: {WRITTEN.isoformat()}\nSlug: answer\nCategory: likes\nMf2: {line}"
    )
    bench.reply_contexts.request(URL, bench.put(PATH, f"{head}\n\n"))
    await bench.reply_contexts.idle()
    file = PelicanFile.parse(bench.text())
    assert file.get("Title") == then
    assert Mf2Line.of(file).synthetic_title
    assert file.get("Slug") == "answer"


async def test_an_existing_context_is_not_fetched_again(bench: Bench) -> None:
    await bench.reply_contexts.start()
    bench.reply_contexts.request(URL, bench.reply())
    await bench.reply_contexts.idle()
    version = bench.store.head()
    bench.reply_contexts.request(URL, PelicanFile.parse(bench.text()))
    await bench.reply_contexts.idle()
    assert bench.store.head() == version


async def test_missing_contexts_of_recent_posts_are_fetched_after_a_restart(bench: Bench) -> None:
    bench.reply()
    bench.put(
        "content/notes/old.md",
        f"Title: Old\nDate: 2026-11-01\nSlug: old\nCategory: notes\n"
        f'Mf2: {{"type":["h-entry"],"properties":{{"like-of":["{bench.target}"]}}}}\n\nx\n',
    )
    await bench.reply_contexts.start()
    await bench.reply_contexts.idle()
    assert "A question" in bench.text()
    assert len(bench.versions) == 1


async def test_changes_and_deletions_in_the_meantime_are_kept(bench: Bench) -> None:
    await bench.reply_contexts.start()
    file = bench.reply()
    bench.put(PATH, file.text().replace("Yes.", "No, after all."))
    bench.reply_contexts.request(URL, file)
    await bench.reply_contexts.idle()
    assert "No, after all." in bench.text()
    assert "A question" in bench.text()

    moved = file.text().replace(bench.target, "https://elsewhere.example/")
    bench.put(PATH, moved)
    bench.reply_contexts.request(URL, file)
    await bench.reply_contexts.idle()
    assert bench.text() == moved

    bench.reply_contexts.request("https://example.com/2026/11/never/", file)
    await bench.reply_contexts.idle()
    assert len(bench.versions) == 1


async def test_concurrent_commits_do_not_matter(bench: Bench) -> None:
    await bench.reply_contexts.start()
    bench.reply_contexts.request(URL, bench.reply())

    async def disturb() -> None:
        for number in range(20):
            bench.put(f"content/notes/{number}.md", f"Title: {number}\n\n")
            await asyncio.sleep(0.01)

    await asyncio.gather(disturb(), bench.reply_contexts.idle())
    assert "A question" in bench.text()
