"""Changes that the resident build cannot detect are found by comparison with a clean build,
and corrected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from rebuild_site import CONF, commit, post, settings, settled, small_site

from bridge.rebuild.rebuilder import make_rebuilder
from bridge.rebuild.resident import builder
from bridge.rebuild.resident.warm_process import today
from bridge.rebuild.worker import BuildTiming, Worker
from bridge.store.git import GitStore

#: A filter that numbers what it is given: a process that stays gives a new post the next number,
#: and where it keeps the numbers nobody looks.
NUMBERING = (
    CONF
    + b"""
import string
def number(title):
    known = vars(string).setdefault("NUMBERS", {})
    return known.setdefault(title, len(known))
JINJA_FILTERS = {"number": number}
THEME_TEMPLATES_OVERRIDES = ["templates"]
"""
)
TEMPLATES = {
    "templates/index.html": b'{% extends "!simple/index.html" %}'
    b"{% block title %}number {{ articles[0].title|number }}{% endblock %}",
}


@pytest.fixture
def store(bare_store: GitStore) -> GitStore:
    small_site(bare_store)
    return bare_store


@pytest.fixture
async def worker(store: GitStore, tmp_path: Path) -> AsyncIterator[Worker]:
    config = settings(tmp_path / "output", mode="resident")
    timing = BuildTiming(debounce=0.01, again=(), idle=0.05)
    worker = make_rebuilder(
        config, store, tmp_path / "state", output=tmp_path / "output", timing=timing
    )
    assert isinstance(worker, Worker)
    yield worker
    await worker.close()


async def test_settings_that_hold_the_time_are_read_again_on_a_new_day(
    worker: Worker, store: GitStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, day = tmp_path / "output" / "index.html", today()
    conf = CONF + b"import time\nNOW = time.time_ns()\nTHEME_TEMPLATES_OVERRIDES = ['templates']\n"
    version = commit(store, {"pelicanconf.py": conf, "templates/index.html": b"{{ NOW }}"})
    await worker.start()
    await settled(worker, version)
    before = index.read_bytes()
    monkeypatch.setattr(builder, "today", lambda: day + timedelta(days=1))
    version = commit(store, {"content/new.md": post("New", 9)})
    worker.changed(version)
    # Once the bridge is idle.
    async with asyncio.timeout(300):
        while index.read_bytes() == before:
            await asyncio.sleep(0.01)
    await settled(worker, version)


async def test_a_difference_is_reported_and_the_clean_build_takes_its_place(
    worker: Worker, store: GitStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = tmp_path / "output" / "index.html"
    version = commit(store, {"pelicanconf.py": NUMBERING, **TEMPLATES})
    await worker.start()
    await settled(worker, version)
    assert b"number 0<" in index.read_bytes()

    version = commit(store, {"content/new.md": post("New", 9)})
    worker.changed(version)
    await settled(worker, version)
    async with asyncio.timeout(300):
        while worker.status().reason is None:
            await asyncio.sleep(0.01)
    assert b"number 0<" in index.read_bytes()
    assert "index.html" in str(worker.status().reason)

    version = commit(store, {"content/newer.md": post("Newer", 10)})
    worker.changed(version)
    await settled(worker, version)
    assert b"number 0<" in index.read_bytes(), "from here on every build is a clean one"
    (told,) = worker.status().warnings
    assert told.startswith("these files were not those of a clean build: index.html. The")

    # What it stumbled over may be gone with other settings: it is tried again.
    version = commit(store, {"pelicanconf.py": CONF, **dict.fromkeys(TEMPLATES)})
    worker.changed(version)
    await settled(worker, version)
    assert worker.status().warnings == ()
    caplog.clear()
    version = commit(store, {"content/newest.md": post("Newest", 11)})
    worker.changed(version)
    await settled(worker, version)
    assert b"Newest" in index.read_bytes()
    assert "command" not in caplog.text
