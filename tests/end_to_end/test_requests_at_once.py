"""Concurrent requests about one post: each succeeds, in order, and none is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType, MappingProxyType

import pytest
from aiohttp import web
from crowd_kit import Crowd, Repos, crowd
from git_kit import git
from msgspec.structs import replace
from publishing_kit import ALL, bench
from site_kit import CONF
from soak_kit import in_soak

import bridge
from bridge.context import fetcher
from bridge.http.connection import note_request
from bridge.micropub.action import Create
from bridge.micropub.post import Post
from bridge.posts.index import PostIndex
from bridge.site.current import Settled, more_places
from bridge.site.process import SiteProcess
from bridge.site.site_reader import SiteReader

BY_HAND = "Title: {0}\nDate: 2026-01-02\n{1}\nBy hand.\n"


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Crowd]:
    async with crowd(Repos.begin(tmp_path, {})) as clients:
        yield clients


@pytest.mark.parametrize("many", [in_soak(2), 12, in_soak(24)])
async def test_concurrent_updates_of_one_post_are_all_applied(clients: Crowd, many: int) -> None:
    url = (await clients.create(mp_slug="a-walk")).location
    updates = [clients.update(url, add={"category": [f"t{each}"]}) for each in range(many)]
    answers = await asyncio.gather(*updates)
    assert [answer.status for answer in answers] == [200] * many
    source = await clients.source(url)
    assert source is not None
    assert set(source["category"]) == {f"t{each}" for each in range(many)}
    assert (await clients.create("Another one")).ok
    clients.repos.check()


async def test_the_last_of_many_updates_in_order_wins(clients: Crowd) -> None:
    url = (await clients.create(mp_slug="a-walk")).location
    answers = []
    for each in range(6):
        sending = clients.update(url, replace={"content": [f"text {each}"]})
        answers.append(asyncio.create_task(sending))
        await asyncio.sleep(0)
    await asyncio.gather(*answers)
    # One commit each, with its own text: none was skipped.
    log = git(clients.repos.bare, "log", "-p", "--reverse", "main", "--", "content")
    assert all(f"+text {each}" in log for each in range(6))
    source = await clients.source(url)
    assert source is not None
    clients.repos.check()


async def test_a_delete_concurrent_with_updates(clients: Crowd) -> None:
    url = (await clients.create(mp_slug="a-walk")).location
    await asyncio.gather(
        clients.update(url, add={"category": ["a"]}),
        clients.delete(url),
        clients.update(url, add={"category": ["b"]}),
        clients.delete(url),
    )
    assert await clients.source(url) is None
    assert clients.repos.posts() == {}
    clients.repos.check()


async def test_concurrent_undelete_update_and_create_with_the_same_slug(
    clients: Crowd,
) -> None:
    for _ in range(3):
        url = (await clients.create("First", mp_slug="a-walk")).location
        assert (await clients.delete(url)).ok
        undeleted, updated, created, again = await asyncio.gather(
            clients.undelete(url),
            clients.update(url, add={"category": ["a"]}),
            clients.create("Second", mp_slug="a-walk"),
            clients.undelete(url),
        )
        # The URL is the old post's or the new one's, as each response says.
        assert created.ok
        assert undeleted.status in (200, 409)
        assert again.status in (200, 409)
        assert updated.status in (200, 400)
        clients.repos.check()
        assert await clients.source(url) is not None
        assert await clients.source(created.location) is not None
        for each in {url, created.location}:
            await clients.delete(each)


async def test_concurrent_equal_posts_get_different_urls(clients: Crowd) -> None:
    created = [clients.create(f"Text {each}", mp_slug="equal") for each in range(8)]
    answers = await asyncio.gather(*created)
    assert all(answer.ok for answer in answers), answers
    assert len({answer.location for answer in answers}) == 8
    clients.repos.check()


async def test_a_post_does_not_wait_for_all_that_another_app_has_sent_at_once(
    tmp_path: Path,
) -> None:
    done: list[str] = []
    async with bench(tmp_path, {}, CONF) as site:
        await site.create(content="The site's process is there.")
        reader = site.current.reader
        assert isinstance(reader, SiteProcess)
        running = reader._running
        assert running is not None

        async def post(app: str) -> None:
            post = Post("entry", MappingProxyType({"content": (f"Sent by {app}",)}))
            await site.publisher.carry_out(Create(post), replace(ALL, client_id=app))
            done.append(app)

        async def asked(count: int) -> None:
            async with asyncio.timeout(300):
                while len(running._unanswered) < count:
                    await asyncio.sleep(0.01)

        # Stopped, so that all questions are there before the first one is answered.
        os.killpg(running.process.pid, signal.SIGSTOP)
        async with asyncio.TaskGroup() as posting:
            for _ in range(30):
                posting.create_task(post("https://many.example/"))
            await asked(30)
            posting.create_task(post("https://one.example/"))
            await asked(31)
            os.killpg(running.process.pid, signal.SIGCONT)
    assert done.index("https://one.example/") < 20, "it was not among the first that were answered"
    assert len(done) == 31


async def test_an_update_while_the_same_file_is_edited_through_git(clients: Crowd) -> None:
    url = (await clients.create("First line", mp_slug="a-walk")).location
    await clients.in_step()
    repos = clients.repos
    git(repos.laptop, "pull", "-q", "origin", "main")
    (path,) = repos.posts()
    repos.write({path: (repos.laptop / path).read_text() + "\nBy hand.\n"})
    repos.push()
    answers = await asyncio.gather(
        clients.update(url, add={"category": ["a"]}),
        clients.call_hook(),
        clients.update(url, add={"category": ["b"]}),
    )
    assert answers[0].ok
    assert answers[2].ok
    await clients.in_step()
    source = await clients.source(url)
    assert source is not None
    assert "By hand." in source["content"][0]
    assert set(source["category"]) == {"a", "b"}
    repos.check()


async def test_an_update_while_a_reply_context_arrives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    aiohttp_server: Callable[[web.Application], Awaitable[object]],
) -> None:
    """The context is of a page on this machine, and arrives between the updates."""
    arrive = asyncio.Event()

    async def deliver(fetch: object, url: str) -> dict[str, object]:
        del fetch
        await arrive.wait()
        return {"type": ["h-cite"], "properties": {"name": ["A question"], "url": [url]}}

    monkeypatch.setattr(fetcher, "look_up", deliver)
    async with crowd(Repos.begin(tmp_path, {})) as clients:
        created = await clients.create(in_reply_to="https://elsewhere.example/question")
        updates = [clients.update(created.location, add={"category": [f"t{n}"]}) for n in range(12)]
        first = asyncio.gather(*updates[:6])
        arrive.set()
        answers = [*await first, *await asyncio.gather(*updates[6:])]
        assert all(answer.ok for answer in answers)
        async with asyncio.timeout(300):
            while "A question" not in "".join(clients.repos.posts().values()):
                await asyncio.sleep(0.01)
        source = await clients.source(created.location)
        assert source is not None
        assert set(source["category"]) == {f"t{n}" for n in range(12)}
        clients.repos.check()


async def test_the_second_post_of_a_day_if_urls_have_no_slug(tmp_path: Path) -> None:
    """It is refused with advice, and the bridge continues."""
    day = "{date:%Y}/{date:%m}/{date:%d}/"
    repos = Repos.begin(tmp_path, {}, ARTICLE_URL=day, ARTICLE_SAVE_AS=f"{day}index.html")
    async with crowd(repos) as clients:
        first = await clients.create("First", published="2026-01-02T10:00:00Z")
        assert first.ok
        second, third = await asyncio.gather(
            clients.create("Second", published="2026-01-02T11:00:00Z"),
            clients.create("Third", published="2026-01-02T12:00:00Z"),
        )
        for refused in (second, third):
            assert refused.status == 400
            assert "{slug}" in refused.words
            assert first.location in refused.words
        # The existing post can still be edited, and another day is free.
        assert (await clients.update(first.location, replace={"content": ["Edited"]})).ok
        assert (await clients.create("Next", published="2026-01-03T10:00:00Z")).ok
        assert repos.commits() == 4


async def test_a_slug_that_is_truncated_in_the_url(tmp_path: Path) -> None:
    repos = Repos.begin(tmp_path, {}, ARTICLE_URL="{slug:.3}/", ARTICLE_SAVE_AS="{slug:.3}/i.html")
    async with crowd(repos) as clients:
        assert (await clients.create(mp_slug="walk-one")).ok
        refused = await clients.create(mp_slug="walk-two")
        assert refused.status == 400
        assert "{slug}" in refused.words
        assert (await clients.create(mp_slug="run")).ok


@pytest.mark.parametrize("line", ["Save_as: same.html\nURL: same.html\n", "Slug: same\n"])
async def test_two_handwritten_files_with_the_same_url(tmp_path: Path, line: str) -> None:
    files = {f"content/{name}.md": BY_HAND.format(name, line) for name in ("a", "b")}
    async with crowd(Repos.begin(tmp_path, files)) as clients:
        url = "https://example.com/" + ("same.html" if "URL" in line else "2026/same/")
        answers = await asyncio.gather(
            clients.update(url, replace={"content": ["Edited"]}),
            clients.update(url, add={"category": ["a"]}),
        )
        # Each stays where its owner has put it.
        assert [answer.status for answer in answers] == [200, 200]
        assert (await clients.create("Another one")).ok


async def test_a_slug_that_is_always_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd(Repos.begin(tmp_path, {})) as clients:
        url = (await clients.create(mp_slug="first")).location
        with monkeypatch.context() as patch:
            patch.setattr("bridge.posts.index.PostIndex.taken_by", lambda *_, **__: "a.md")
            created, updated = await asyncio.gather(
                clients.create(mp_slug="second"),
                clients.update(url, replace={"name": ["Third"]}),
            )
            assert created.status == 400
            assert "slug" in created.words
            # It has its URL, whatever other file claims that, too.
            assert updated.status == 200
        assert (await clients.create(mp_slug="second")).ok


@pytest.mark.soak
async def test_more_posts_with_one_slug_than_suffixes(tmp_path: Path) -> None:
    taken = ["a", *(f"a-{number}" for number in range(2, 201))]
    files = {f"content/{slug}.md": BY_HAND.format("A", f"Slug: {slug}\n") for slug in taken}
    async with crowd(Repos.begin(tmp_path, files)) as clients:
        answer = await clients.create(mp_slug="a", published="2026-01-02T10:00:00Z")
        assert answer.location == "https://example.com/2026/a-20260102100000/"
        answer = await clients.create(mp_slug="a", published="2026-01-02T10:00:00Z")
        assert answer.location == "https://example.com/2026/a-20260102100000-2/"


async def test_an_action_that_takes_too_long_is_aborted_and_blocks_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search for a free path never ends; all other requests continue."""

    def taken(index: PostIndex, url: str, save_as: str, *, but: str = "") -> str | None:
        return "content/other.md" if "stuck" in url else taken_by(index, url, save_as, but=but)

    async def never_for_stuck(reader: SiteReader, settled: Settled) -> Settled:
        if "stuck" in settled.question.slug_from:
            await asyncio.Future()
        return await more_places(reader, settled)

    taken_by = PostIndex.taken_by
    monkeypatch.setattr(PostIndex, "taken_by", taken)
    monkeypatch.setattr("bridge.posts.reservations.more_places", never_for_stuck)
    async with crowd(Repos.begin(tmp_path, {})) as clients:
        assert (await clients.create(mp_slug="first")).ok
        with monkeypatch.context() as hurried:
            hurried.setattr("bridge.publisher._SECONDS", 0.5)
            stuck, fine = await asyncio.gather(
                clients.create(mp_slug="stuck"), clients.create(mp_slug="fine")
            )
        assert stuck.status == 503
        assert "nothing was written" in stuck.words
        assert fine.status in (202, 503)
        assert (await clients.create(mp_slug="fine")).ok
        assert not any("stuck" in path for path in clients.repos.posts())


#: What goes on after a commit, and no answer depends on.
AFTERWARDS = (
    *("rebuild/", "webmention/", "syndication/", "context/", "posts/reply_contexts.py"),
    *("posts/moved_by_hand.py", "store/sync/", "store/checkout/"),
)


@contextmanager
def entered_files() -> Iterator[set[str]]:
    """The files of ``bridge/`` of which a function is called for a request in the block."""
    root, found = f"{Path(bridge.__file__).parent}/", set[str]()
    # Tasks and threads that a request starts have it, too.
    of_request = ContextVar("of_request", default=False)

    def called(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(root):
            return
        if frame.f_code is note_request.__code__:
            of_request.set(True)
        if not of_request.get():
            return
        each: FrameType | None = frame
        while each is not None:
            if each.f_code.co_filename.removeprefix(root).startswith(AFTERWARDS):
                return
            each = each.f_back
        found.add(frame.f_code.co_filename.removeprefix(root))

    before = sys.getprofile()
    threading.setprofile(called)
    # Of threads only those that begin now are looked at: not the one that writes commits.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
    sys.setprofile(called)
    try:
        yield found
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


async def test_who_follows_a_create_opens_at_most_40_files(clients: Crowd) -> None:
    """Files that are always open together should be one. Merge some, rather than raise this."""
    assert (await clients.create("Some words", category="a")).ok
    for _ in range(10):
        with entered_files() as found:
            assert (await clients.create("More words", category="a")).ok
        # In the main thread, and in another.
        assert {"publisher.py", "content/convert.py"} <= found
        if len(found) <= 40:
            return
        # On a busy machine the site's process may have been started again.
    pytest.fail("\n".join(sorted(found)))
