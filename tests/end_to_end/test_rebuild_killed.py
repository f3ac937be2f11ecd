"""A build that is killed leaves no partial file, and is completed after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from rebuild_kinds import clean, comparable, differing, start
from rebuild_site import CONF, commit, files, make, post, settings, settled, small_site
from soak_kit import SOAK, in_soak

from bridge.rebuild.build import Superseded, Task
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.rebuild.local.command import CommandBuilder, pelican_argv
from bridge.rebuild.local.output import Output
from bridge.rebuild.rebuilder import make_rebuilder
from bridge.rebuild.resident.builder import ResidentBuilder
from bridge.rebuild.resident.verify import BuildVerifier
from bridge.rebuild.resident.warm_process import Resident
from bridge.rebuild.worker import BuildTiming, Worker
from bridge.runtime import process
from bridge.store import Version
from bridge.store.git import GitStore

#: So many that a build is still at work when its first pages are seen.
POSTS = 150 if SOAK else 60


@pytest.fixture
def store(bare_store: GitStore) -> GitStore:
    posts = {
        f"content/more-{number}.md": post(f"More {number}", number % 28 + 1, Tags=f"{number % 9};")
        for number in range(POSTS)
    }
    commit(bare_store, {**start("notmyidea", []), **posts})
    return bare_store


def builders() -> list[int]:
    """Build processes started by this process that are still running."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent, *_ = (entry / "stat").read_text().rpartition(") ")[2].split()
            is_ours = parent == str(os.getpid()) and state != "Z"
            # A fork has the command line of what it is a fork of, and a name of its own.
            if is_ours and (entry / "comm").read_text() == "esident.program\n":
                found.append(int(entry.name))
    return found


def assert_whole(folder: Path) -> None:
    """Every page is complete; partial files have no page's name."""
    for name, data in files(folder).items():
        # One page of the site is a template of its owner's, which is not a whole document.
        if name.endswith(".html") and name != "links.html":
            assert data.rstrip().endswith(b"</html>"), name


def assert_as_clean(folder: Path) -> None:
    checkout = folder / "state" / "rebuild" / "checkout"
    expected = clean(checkout, folder / "clean", process.environment({}))
    assert differing(expected, comparable(folder / "output")) == []


async def first_page(rebuilder: Worker, version: Version) -> None:
    """Wait until a build has published its first page."""
    assert await rebuilder.live(version, "index.html", 300)


async def test_a_killed_build_process_is_made_good_by_the_command(
    store: GitStore, tmp_path: Path
) -> None:
    rebuilder = make(store, tmp_path, "resident")
    head = store.head()
    assert head is not None
    rebuilder.changed(head)
    await rebuilder.start()
    await first_page(rebuilder, head)
    (pid,) = builders()
    os.kill(pid, signal.SIGKILL)
    assert_whole(tmp_path / "output")
    await settled(rebuilder, head)
    assert_as_clean(tmp_path)
    version = commit(store, {"content/next.md": post("Next", 28)})
    rebuilder.changed(version)
    await settled(rebuilder, version)
    assert (tmp_path / "output" / "2026" / "next.html").is_file()
    if SOAK:
        assert_as_clean(tmp_path)
    assert builders() != [], "it was started again"
    await rebuilder.close()
    assert builders() == []


HANGING = rb"""
import time
from pelican import signals

def wait(generator):
    if open("/proc/self/comm").read() == "esident.program\n":
        time.sleep(600)

def register():
    signals.article_generator_finalized.connect(wait)
"""


@contextlib.asynccontextmanager
async def building(
    folder: Path, store: GitStore, seconds: float, idle: float = 120, **more: str
) -> AsyncIterator[tuple[ResidentBuilder, Task]]:
    """A builder of the latest version, and its first task; ``more`` are environment variables."""
    version = store.head()
    assert version is not None
    checkout = BuilderCheckout(store, folder / "state" / "rebuild" / "checkout")
    output = Output(folder / "output", folder / "output.json")
    environment = process.environment(more)
    command = CommandBuilder(
        argv=pelican_argv("content", "pelicanconf.py"),
        output=output,
        staging=folder / "staging",
        content="content",
        environment=environment,
    )
    resident = Resident(
        settings="pelicanconf.py",
        content="content",
        staged=folder / "shadow",
        note=output.note,
        environment=environment,
        seconds=seconds,
        idle=idle,
    )
    builder = ResidentBuilder(
        resident, output, command, BuildVerifier(command, output, folder / "verify")
    )
    changed = frozenset(checkout.bring_to(version))
    yield builder, Task(version, checkout.folder, changed)
    await builder.close()


@pytest.mark.parametrize(("seconds", "idle"), [(2, 600), (600, 1)])
async def test_a_build_process_that_hangs_is_ended_and_the_command_builds(
    tmp_path: Path,
    bare_store: GitStore,
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    idle: float,
) -> None:
    small_site(bare_store)
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["hanging"]\nPLUGIN_PATHS = ["plugins"]\n')
    commit(bare_store, {"pelicanconf.py": conf, "plugins/hanging.py": HANGING})
    async with building(tmp_path, bare_store, seconds, idle) as (builder, task):
        await builder.build(task)
        assert "does not answer" in caplog.text
        assert builders() == []
        assert_as_clean(tmp_path)


@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_settings_that_never_end_are_given_up_when_others_are_committed(
    tmp_path: Path, bare_store: GitStore, mode: str
) -> None:
    small_site(bare_store)
    worker = make_rebuilder(
        settings(tmp_path / "output", mode=mode),
        bare_store,
        tmp_path / "state",
        output=tmp_path / "output",
        timing=BuildTiming(debounce=0.01, again=(), look=0.1),
    )
    assert isinstance(worker, Worker)
    commit(
        bare_store,
        {"pelicanconf.py": CONF + b"open('begun', 'w')\nimport time\ntime.sleep(3600)\n"},
    )
    await worker.start()
    try:
        begun = tmp_path / "state" / "rebuild" / "checkout" / "begun"
        async with asyncio.timeout(300):
            while not begun.exists():
                await asyncio.sleep(0.01)
        # Not by a post: a build that takes its time would never end.
        worker.changed(commit(bare_store, {"content/new.md": post("New", 9)}))
        await asyncio.sleep(1)
        assert worker.status().state == "building"
        version = commit(bare_store, {"pelicanconf.py": CONF})
        worker.changed(version)
        await settled(worker, version)
        assert worker.status().state == "idle", worker.status()
        assert (tmp_path / "output" / "new.html").is_file()
    finally:
        await worker.close()


WAITING = b"""
import os, pathlib, time

def wait():
    while not pathlib.Path(os.environ["GO_ON"]).exists():
        time.sleep(0.01)
    return ""

JINJA_GLOBALS = {"wait": wait}
THEME = "notmyidea"
THEME_TEMPLATES_OVERRIDES = ["templates"]
"""


async def test_a_first_build_that_gives_way_to_a_newer_one_leaves_nothing_out(
    tmp_path: Path, bare_store: GitStore
) -> None:
    """The next build publishes the theme's files, and others that are copied only once."""
    small_site(bare_store)
    files_of_all = {"content/images/one.png": b"a picture", "content/pages/two.txt": b"a text"}
    conf = CONF + b'STATIC_PATHS = ["images", "pages"]\n' + WAITING
    template = b'{{ wait() }}{% extends "!theme/archives.html" %}'
    commit(bare_store, {"pelicanconf.py": conf, "templates/archives.html": template})
    commit(bare_store, files_of_all)
    go_on = tmp_path / "go on"
    shown = set[str]()
    async with building(tmp_path, bare_store, 60, GO_ON=str(go_on)) as (builder, task):
        first = asyncio.create_task(builder.build(replace(task, shown=shown.update)))
        async with asyncio.timeout(300):
            while "index.html" not in shown:
                await asyncio.sleep(0.01)
        builder.preempt()
        assert builder._hurry is not None
        await builder._hurry
        go_on.touch()
        with pytest.raises(Superseded):
            await first
        await builder.build(replace(task, changed=frozenset()))
        checkout = task.checkout
        expected = clean(checkout, tmp_path / "clean", process.environment({"GO_ON": str(go_on)}))
        assert "theme/css/main.css" in expected
        assert differing(expected, comparable(tmp_path / "output")) == []
        assert builders() != [], "the same process has built both"


BRIDGE = """
import asyncio, sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import test_rebuild_killed as test

async def main():
    store = test.GitStore(Path(sys.argv[3], "site.git"), author="Ada <ada@example.com>")
    rebuilder = test.make(store, Path(sys.argv[3]), sys.argv[4])
    head = store.head()
    rebuilder.changed(head)
    await rebuilder.start()
    await test.first_page(rebuilder, head)
    print("showing", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_a_killed_bridge_catches_up_when_it_starts_again(
    store: GitStore, tmp_path: Path, mode: str
) -> None:
    here = Path(__file__).parent
    bridge = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BRIDGE, str(here), str(here.parent), str(tmp_path), mode),
        env=process.environment({}),
        stdout=asyncio.subprocess.PIPE,
    )
    assert bridge.stdout is not None
    assert await bridge.stdout.readline() == b"showing\n"
    bridge.kill()
    await bridge.wait()
    assert_whole(tmp_path / "output")

    again = make(store, tmp_path, mode)
    await again.start()
    version = store.head()
    assert version is not None
    await settled(again, version)
    assert again.status().state == "idle"
    await again.close()
    assert_whole(tmp_path / "output")
    assert_as_clean(tmp_path)
