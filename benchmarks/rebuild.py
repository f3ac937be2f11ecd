"""Times from a new post to its page, the index and the feed on disk, and to the complete site.

    python -m benchmarks.rebuild [POSTS ...] [--builds N]

For each size: the resident build, ``pelican`` itself, and Hugo if it is installed, one after the
other with the same posts. ``restart`` is the time until a post is live that arrives while the
process is restarted, ``in a row`` that of posts that each come as soon as the page of the last one
is there. Times are medians of several posts, in seconds from before the commit. ``memory`` is that
of the process after the first build, and ``later`` after all of these posts. ``--builds`` makes
that many builds of a small site instead, and prints the process's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from git import Repo

from bridge.rebuild.rebuilder import make_rebuilder
from bridge.rebuild.worker import Worker
from bridge.runtime import process
from bridge.settings import Rebuild, Settings, Site
from bridge.store import Change, Commit, Version
from bridge.store.git import GitStore

PELICANCONF = b"""
PATH = "content"
SITENAME = "A site"
SITEURL = "https://example.com"
TIMEZONE = "UTC"
AUTHOR = "A"
THEME = "notmyidea"
PLUGINS = []
DEFAULT_PAGINATION = 10
ARTICLE_URL = "{date:%Y}/{date:%m}/{slug}/"
ARTICLE_SAVE_AS = "{date:%Y}/{date:%m}/{slug}/index.html"
"""
FEED = "feeds/all.atom.xml"
NEW_POSTS = 5
ROW = 20
#: Between posts, in seconds: it is not the end of the last build that is measured.
PAUSE = 2
WORDS = "some words about nothing in particular and on they go as words do " * 12


def main() -> None:
    """Print a table of times, or lines of memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("posts", nargs="*", type=int, default=[100, 1000])
    parser.add_argument("--builds", type=int, default=0)
    options = parser.parse_args()
    if options.builds:
        asyncio.run(measure_memory(options.builds))
        return
    print(
        "| posts | page | index | feed | all | in a row | cold start | restart | `pelican` | Hugo |"
        " memory | later |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for posts in options.posts:
        asyncio.run(measure(posts))


async def measure(posts: int) -> None:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = new_store(folder / "site.git")
        commit(store, dict(site(posts)))
        started = time.perf_counter()
        async with resident(store, folder) as rebuilder:
            await built(rebuilder, store)
            cold = time.perf_counter() - started
            held = sum(memory(pid) for pid in children()) / 1e6
            times = [await one_post(rebuilder, store, posts + new) for new in range(NEW_POSTS)]
            row = [await next_post(rebuilder, store, posts + NEW_POSTS + new) for new in range(ROW)]
            await built(rebuilder, store)
            later = sum(memory(pid) for pid in children()) / 1e6
        again = await post_at_start(store, folder, posts + NEW_POSTS + ROW)
        medians = [statistics.median(column) for column in zip(*times, strict=True)]
        pelican = run_pelican(folder)
        hugo = run_hugo(folder / "hugo", posts)
    figures = (*medians, statistics.median(row), cold, again, pelican)
    cells = [f"{seconds:.2f}" for seconds in figures]
    print(
        f"| {posts:,} | {' | '.join(cells)} | {hugo} | {held:.0f} MB | {later:.0f} MB |", flush=True
    )


async def one_post(rebuilder: Worker, store: GitStore, number: int) -> list[float]:
    """Seconds from before the commit to the page, the index, the feed, and the whole site."""
    await asyncio.sleep(PAUSE)
    began = time.perf_counter()
    version = commit(store, {path(number): post(number)})
    rebuilder.changed(version)
    seconds = []
    for page in (f"{date(number):%Y/%m}/post-{number}/index.html", "index.html", FEED):
        assert await rebuilder.live(version, page, 600), page
        seconds.append(time.perf_counter() - began)
    await built(rebuilder, store)
    return [*seconds, time.perf_counter() - began]


async def next_post(rebuilder: Worker, store: GitStore, number: int) -> float:
    """Seconds from before the commit to the page."""
    began = time.perf_counter()
    version = commit(store, {path(number): post(number)})
    rebuilder.changed(version)
    page = f"{date(number):%Y/%m}/post-{number}/index.html"
    assert await rebuilder.live(version, page, 600), page
    return time.perf_counter() - began


async def post_at_start(store: GitStore, folder: Path, number: int) -> float:
    """Seconds from the start of a process that has run before until a post is live that was
    committed before the process had read the site.
    """
    began = time.perf_counter()
    async with resident(store, folder) as rebuilder:
        version = commit(store, {path(number): post(number)})
        rebuilder.changed(version)
        page = f"{date(number):%Y/%m}/post-{number}/index.html"
        assert await rebuilder.live(version, page, 600)
        return time.perf_counter() - began


async def measure_memory(builds: int) -> None:
    """Print the memory of the resident process after this many builds, of new posts and edits
    in turn.
    """
    with tempfile.TemporaryDirectory() as name:
        store = new_store(Path(name, "site.git"))
        commit(store, dict(site(300)))
        async with resident(store, Path(name)) as rebuilder:
            await built(rebuilder, store)
            for build in range(builds + 1):
                if build % max(builds // 10, 1) == 0:
                    held = sum(memory(pid) for pid in children())
                    print(f"after {build} builds: {held / 1e6:.0f} MB", flush=True)
                changed = post(150, f"edit {build}")
                commit(store, {path(150): changed, path(301): post(301) if build % 2 else None})
                await built(rebuilder, store)


def new_store(repo: Path) -> GitStore:
    """A store in a new bare repo."""
    Repo.init(repo, bare=True, initial_branch="main").close()
    return GitStore(repo, author="Ada <ada@example.com>")


@contextlib.asynccontextmanager
async def resident(store: GitStore, folder: Path) -> AsyncIterator[Worker]:
    """The resident rebuilder of a site."""
    settings = Settings(
        site=Site(me="https://example.com/", repo=folder / "site.git"),
        rebuild=Rebuild(mode="resident"),
    )
    rebuilder = make_rebuilder(settings, store, folder / "state", output=folder / "output")
    assert isinstance(rebuilder, Worker)
    await rebuilder.start()
    try:
        yield rebuilder
    finally:
        await rebuilder.close()


async def built(rebuilder: Worker, store: GitStore) -> None:
    """Wait until the latest version is completely on disk."""
    version = store.head()
    assert version is not None
    rebuilder.changed(version)
    while rebuilder.status().version != version or rebuilder.status().state != "idle":
        assert rebuilder.status().state != "failed", rebuilder.status()
        await asyncio.sleep(0.002)


def commit(store: GitStore, files: dict[str, bytes | None]) -> Version:
    """One commit with these files."""
    head = store.head()
    changes = []
    for name, data in files.items():
        blob = store.read(name, head) if head else None
        changes.append(Change(name, data, blob.id if blob else None))
    (version,) = store.commit([Commit(tuple(changes), "A change", head)])
    assert isinstance(version, str), version
    return version


def site(posts: int) -> Iterator[tuple[str, bytes]]:
    """The files of a blog."""
    yield "pelicanconf.py", PELICANCONF
    for number in range(posts):
        yield path(number), post(number)


def path(number: int) -> str:
    """The path of a post in the repo."""
    return f"content/{date(number):%Y/%m}/post-{number}.md"


def date(number: int) -> datetime:
    """The date of a post, at four posts a day."""
    return datetime(2015, 1, 1, tzinfo=UTC) + timedelta(hours=6 * number)


def post(number: int, words: str = WORDS) -> bytes:
    """A post of about 150 words with two of some tags."""
    return (
        f"Title: Post {number}\nDate: {date(number).isoformat()}\nSlug: post-{number}\n"
        f"Category: category-{number % 5}x\nTags: often-{number % 7}x; rare-{number % 100}x;\n\n"
        f"{words}\n\n{words}\n"
    ).encode()


def run_pelican(folder: Path) -> float:
    """The seconds that ``pelican`` takes for the same files."""
    return timed(
        [sys.executable, "-m", "pelican", "content", "-s", "pelicanconf.py", "-o", folder / "cli"],
        folder / "state" / "rebuild" / "checkout",
    )


HUGO_CONF = """
baseURL = "https://example.com/"
title = "A site"
paginate = 10
[permalinks]
posts = "/:year/:month/:slug/"
"""
HUGO_LIST = """<html><body>{{ range .Paginator.Pages }}<h2><a href="{{ .Permalink }}">{{ .Title }}
</a></h2>{{ .Summary }}{{ end }}</body></html>"""
HUGO_SINGLE = """<html><body><h1>{{ .Title }}</h1>{{ .Content }}{{ range .Params.tags }}{{ . }}
{{ end }}</body></html>"""


def run_hugo(folder: Path, posts: int) -> str:
    """The seconds that Hugo takes for the same posts and lists with simpler templates; ``-``
    without Hugo.
    """
    if shutil.which("hugo") is None:
        return "-"
    for name, text in (
        ("config.toml", HUGO_CONF),
        ("layouts/_default/list.html", HUGO_LIST),
        ("layouts/_default/single.html", HUGO_SINGLE),
        *((f"content/posts/{number}.md", hugo_post(number)) for number in range(posts)),
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return f"{timed(['hugo', '--quiet'], folder):.2f}"


def hugo_post(number: int) -> str:
    """A post with Hugo's front matter."""
    return (
        f'---\ntitle: "Post {number}"\ndate: {date(number).isoformat()}\nslug: post-{number}\n'
        f"categories: [category-{number % 5}x]\n"
        f"tags: [often-{number % 7}x, rare-{number % 100}x]\n---\n\n{WORDS}\n\n{WORDS}\n"
    )


def timed(argv: list[str | Path], folder: Path) -> float:
    """The seconds that a program takes."""
    began = time.perf_counter()
    env = process.environment({})
    subprocess.run([str(word) for word in argv], cwd=folder, env=env, check=True,
                   capture_output=True)  # fmt: skip
    return time.perf_counter() - began


def children() -> list[int]:
    """The child processes of this process."""
    mine = str(os.getpid())
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and _parent(entry) == mine:
                found.append(int(entry.name))
    return found


def _parent(entry: Path) -> str:
    return (entry / "stat").read_text().rpartition(") ")[2].split()[1]


def memory(pid: int) -> int:
    """The memory of a process, in bytes."""
    return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
