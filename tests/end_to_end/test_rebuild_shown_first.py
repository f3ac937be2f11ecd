"""Pages that someone waits for are published first, also by a newly started process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from rebuild_kinds import NoFallback, clean, comparable, differing
from rebuild_site import CONFIGURED, commit, files, mention, post

from bridge.rebuild.build import Superseded, Task
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.rebuild.local.output import Output
from bridge.rebuild.rebuilder import PREVIEWS
from bridge.rebuild.resident.builder import ResidentBuilder
from bridge.rebuild.resident.verify import BuildVerifier
from bridge.rebuild.resident.warm_process import Resident
from bridge.runtime import process
from bridge.store.git import GitStore

POSTS = 12
#: Writes a file that it does not find, as plugins do that take long to make one, and waits in the
#: middle of reading, where the test wants it to.
PAUSING = b"""
import os, time
from pelican import signals

def wait(generator):
    thumbnail = os.path.join(generator.output_path, "thumbnail.png")
    if not os.path.exists(thumbnail):
        os.makedirs(generator.output_path, exist_ok=True)
        open(thumbnail, "w").close()
    while os.path.exists("../pause"):
        open("../reading", "w").close()
        time.sleep(0.01)

def register():
    signals.article_generator_finalized.connect(wait)
"""
START = {
    "pelicanconf.py": CONFIGURED.replace(
        b'PLUGINS = ["', b'PLUGIN_PATHS = ["plugins"]\nPLUGINS = ["pausing", "'
    ),
    "plugins/pausing.py": PAUSING,
    "content/media/old.png": b"old",
    **{f"content/post-{day}.md": post(f"Post {day}", day, Slug=f"post-{day}", Tags=f"t{day};")
       for day in range(1, POSTS + 1)},
}  # fmt: skip


class Site:
    """A site that is built by a series of processes."""

    def __init__(self, folder: Path, store: GitStore) -> None:
        self.folder = folder
        self.store = store
        self.shown: list[str] = []
        self.previewed: list[tuple[str, int]] = []
        self.previews = folder / "previews"
        self._environment = process.environment({PREVIEWS: str(self.previews)})
        self._checkout = BuilderCheckout(store, folder / "checkout")
        self._output = Output(folder / "output", folder / "output.json")
        self._resident = Resident(
            settings="pelicanconf.py",
            content="content",
            staged=folder / "shadow",
            note=folder / "output.json",
            environment=self._environment,
            own=("content/media", "content/mentions"),
            listed=store.listed,
        )
        self._unbuilt: set[str] = set()
        self.restart()

    def restart(self) -> None:
        """Build with a new process from now on. The caller closes the previous one."""
        verifier = BuildVerifier(NoFallback(), self._output, self.folder / "verify")
        self.builder = ResidentBuilder(self._resident, self._output, NoFallback(), verifier)

    async def after(self, change: dict[str, bytes | None]) -> list[str]:
        """Build with a change; returns the published pages, in order."""
        self.shown.clear()
        new = frozenset(self._checkout.bring_to(commit(self.store, change)))
        self._unbuilt |= new
        version = self.store.head()
        assert version is not None
        changed = frozenset(self._unbuilt)
        task = Task(
            *(version, self._checkout.folder, changed, self._show, self._preview),
            unread=frozenset(),
            new=new,
        )
        await self.builder.build(task)
        self._unbuilt.clear()
        return [name for name in self.shown if name.endswith((".html", ".xml"))]

    async def when_idle(self) -> None:
        """Returns when there is nothing to build."""
        version = self.store.head()
        assert version is not None
        await self.builder.run_when_idle(Task(version, self._checkout.folder, frozenset()))

    def differing(self) -> list[str]:
        """Files that differ from a clean build."""
        expected = clean(self._checkout.folder, self.folder / "clean", self._environment)
        return differing(expected, comparable(self.folder / "output"))

    async def until_reading(self, building: asyncio.Task[list[str]]) -> None:
        """Wait until the build, which pauses there, is reading its sources."""
        while not (self.folder / "reading").exists():
            assert not building.done(), building.result()
            await asyncio.sleep(0.01)

    def _preview(self, pages: Iterable[str]) -> None:
        # What has come before it counts.
        self.previewed += [(page, len(self.shown)) for page in pages]

    def _show(self, pages: Iterable[str]) -> None:
        self.shown += pages


@pytest.fixture
async def site(tmp_path: Path, bare_store: GitStore) -> AsyncIterator[Site]:
    site = Site(tmp_path, bare_store)
    await site.after({**START})
    yield site
    await site.builder.close()


def new_post(name: str) -> dict[str, bytes | None]:
    """Its date is old, so that the date cannot be why it comes first."""
    return {f"content/{name}.md": post(name, 1, Slug=name, Tags="new;")}


async def test_a_new_post_is_first_after_a_restart_then_the_home_page(site: Site) -> None:
    await site.builder.close()
    site.restart()
    pages = await site.after(
        {**new_post("late"), "content/media/late.png": b"late", "content/media/old.png": b"newer"}
    )
    assert pages[0] == "late.html"
    assert {"index.html", "feeds/all.atom.xml"} == set(pages[1:3])
    assert {"media/late.png", "media/old.png"} <= set(site.shown[: site.shown.index("late.html")])
    assert len(pages) > POSTS, "the others follow"
    assert site.differing() == []


async def test_the_preview_of_a_draft_is_there_before_all_pages(site: Site) -> None:
    """With a warm builder, and with one that must read the site first; no page links to it."""
    mark = '{"type":["h-entry"],"properties":{},"draft":"app"}'

    def draft(name: str, body: str) -> dict[str, bytes | None]:
        text = post(name, 1, Slug=name, Status="draft", Mf2=mark, body=body)
        return {f"content/{name}.md": text}

    await site.after(draft("warm", "Hush-hush."))
    assert (site.previews / "drafts" / "warm.html").is_file()
    site.previewed.clear()
    await site.after(draft("warm", "Other words."))
    assert site.previewed == [("drafts/warm.html", 0)]
    assert b"Other words." in (site.previews / "drafts" / "warm.html").read_bytes()
    assert "drafts/warm.html" not in site.shown
    assert site.differing() == []
    await site.builder.close()
    site.restart()
    site.previewed.clear()
    await site.after(draft("cold", "Hush-hush."))
    ((page, before),) = site.previewed
    assert page == "drafts/cold.html"
    assert not [name for name in site.shown[:before] if name.endswith(".html")]
    assert len(site.shown) > POSTS
    assert site.differing() == []


async def test_one_that_comes_while_the_process_starts_is_in_what_it_reads(site: Site) -> None:
    await site.builder.close()
    site.restart()
    building = asyncio.create_task(site.after(new_post("first")))
    await asyncio.sleep(0)
    site.builder.preempt()
    with pytest.raises(Superseded):
        await building
    await site.after(new_post("second"))
    assert {*site.shown[:2]} == {"first.html", "second.html"}
    assert site.differing() == []


async def test_one_that_comes_while_the_site_is_read_does_not_wait_for_its_pages(
    site: Site,
) -> None:
    await site.builder.close()
    site.restart()
    (site.folder / "pause").touch()
    building = asyncio.create_task(site.after({}))
    await site.until_reading(building)
    site.builder.preempt()
    (site.folder / "pause").unlink()
    with pytest.raises(Superseded):
        await building
    assert site.shown == []
    assert (await site.after(new_post("late")))[0] == "late.html"
    assert site.differing() == []


async def test_a_mention_is_on_its_page_before_anything_else(site: Site) -> None:
    like = {"content/mentions/post-3/like-000000000001.json": mention("amy", "post-3")}
    pages = await site.after({**like, **new_post("new")})
    assert {*pages[:2]} == {"new.html", "post-3.html"}
    assert b"amy.example" in files(site.folder / "output")["post-3.html"]
    await site.builder.close()
    site.restart()
    answer = {"content/mentions/post-4/like-000000000002.json": mention("bob", "post-4")}
    assert (await site.after({**answer}))[0] == "post-4.html"
    assert site.differing() == []
    assert await site.after(dict.fromkeys(like)) == ["post-3.html"]
    assert site.differing() == []


async def test_after_a_build_that_was_overtaken_the_process_is_started_when_there_is_time(
    site: Site,
) -> None:
    await site.builder.close()
    site.restart()
    site.builder.preempt()
    await site.when_idle()
    assert not site.builder.needs_warm_up()
    assert site.differing() == []
