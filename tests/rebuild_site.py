"""Small Pelican sites in a store, for the tests of building."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from git_kit import ADA, new_repo

from bridge.rebuild import Rebuilder
from bridge.rebuild.rebuilder import make_rebuilder
from bridge.rebuild.worker import BuildTiming, Worker
from bridge.settings import Content, Rebuild, Settings, Site
from bridge.store import Change, Commit, ContentStore, Version
from bridge.store.git import GitStore

CONF = b"""
PATH = "content"
SITENAME = "A site"
SITEURL = "https://example.com"
TIMEZONE = "Europe/Berlin"
THEME = "simple"
STATIC_PATHS = ["media"]
DEFAULT_PAGINATION = 5
PLUGINS = []
"""
#: The same with mentions.
CONFIGURED = CONF.replace(
    b"PLUGINS = []",
    b'PLUGINS = ["pelican_indieauth"]\nINDIEAUTH_BRIDGE = "https://bridge.example/"',
).replace(b'["media"]', b'["media", "mentions"]')


def new_store(repo: Path) -> GitStore:
    """A store in a new bare repo. The caller closes it."""
    return GitStore(new_repo(repo, bare=True), author=ADA)


def post(title: str, day: int, *, body: str = "Text.", **more: str) -> bytes:
    """A handwritten post."""
    keys = {"Title": title, "Date": f"2026-11-{day:02d}T12:00:00+01:00", **more}
    head = "".join(f"{key}: {value}\n" for key, value in keys.items())
    return f"{head}\n{body}\n".encode()


def mention(who: str, slug: str = "one") -> bytes:
    """A like, as the bridge writes it."""
    said = {
        "type": "entry",
        "url": f"https://{who}.example/",
        "author": {"name": who, "photo": "{static}/media/faces/a.webp"},
        "wm-property": "like-of",
        "wm-target": f"https://example.com/{slug}.html",
    }
    return json.dumps(said).encode()


def commit(store: ContentStore, files: Mapping[str, bytes | None]) -> Version:
    """One commit with these files written or (``None``) deleted."""
    head = store.head()
    seen = dict(store.files("", head)) if head else {}
    changes = tuple(Change(path, data, seen.get(path)) for path, data in files.items())
    (version,) = store.commit([Commit(changes, "A change", head)])
    assert isinstance(version, str), version
    return version


def small_site(store: ContentStore) -> Version:
    """Three posts and an image."""
    return commit(
        store,
        {
            "pelicanconf.py": CONF,
            "content/one.md": post("One", 1, Tags="a; b;"),
            "content/two.md": post("Two", 2, Category="notes"),
            "content/three.md": post("Three", 3, body="![x]({static}/media/x.png)"),
            "content/media/x.png": b"not really a picture",
        },
    )


def settings(output: Path, **rebuild: object) -> Settings:
    """A bridge's settings for such a site."""
    values = {"mode": "command", "output": str(output), **rebuild}
    return Settings(
        site=Site(me="https://example.com/", repo=output.parent / "site.git"),
        content=Content(),
        rebuild=Rebuild(**values),  # type: ignore[arg-type] # the test says what
    )


def make(store: GitStore, folder: Path, mode: str) -> Worker:
    """A rebuilder for the store's site with output in ``folder / "output"`` and short delays."""
    return worker_for(settings(folder / "output", mode=mode), store, folder)


def worker_for(config: Settings, store: GitStore, folder: Path) -> Worker:
    """The same with settings of the test's own."""
    timing, output = BuildTiming(debounce=0.01, again=()), folder / "output"
    made = make_rebuilder(config, store, folder / "state", output=output, timing=timing)
    assert isinstance(made, Worker)
    return made


async def settled(rebuilder: Rebuilder, version: Version, seconds: float = 300) -> None:
    """Wait until a version is built, or its build has failed."""
    async with asyncio.timeout(seconds):
        while True:
            status = rebuilder.status()
            if status.state == "failed" or (status.state == "idle" and status.version == version):
                return
            await asyncio.sleep(0.03)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
