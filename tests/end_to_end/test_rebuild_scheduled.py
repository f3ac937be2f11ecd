"""A scheduled post is committed at once, and built at its date without further requests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rebuild_site import CONFIGURED, commit, make, post, settled, small_site

from bridge.store.git import GitStore


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("mode", ["command", "resident"])
async def test_it_appears_when_it_is_due(
    tmp_path: Path, bare_store: GitStore, mode: str, restart: bool
) -> None:
    store = bare_store
    small_site(store)
    due = datetime.now(UTC) + timedelta(seconds=3)
    version = commit(
        store,
        {
            "pelicanconf.py": CONFIGURED,
            "content/soon.md": post("Soon", 1, Date=due.isoformat(), Mf2="{}"),
            "content/now.md": post("Now", 2, Mf2="{}"),
        },
    )
    worker = make(store, tmp_path, mode)
    await worker.start()
    await settled(worker, version)
    soon = tmp_path / "output" / "soon.html"
    assert not soon.exists() or datetime.now(UTC) >= due
    assert await worker.live(version, "now.html", 300)
    # The plugin holds it back, so that plain `pelican` does likewise.
    assert (tmp_path / "state" / "rebuild" / "checkout" / "content" / "soon.md").exists()
    if restart:
        await worker.close()
        worker = make(store, tmp_path, mode)
        await worker.start()
    async with asyncio.timeout(300):
        while not soon.exists():
            await asyncio.sleep(0.01)
    assert datetime.now(UTC) >= due
    await worker.close()
