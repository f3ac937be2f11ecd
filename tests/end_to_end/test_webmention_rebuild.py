"""Mentions in the resident build: it stays warm, and its output equals a clean build's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rebuild_site import CONFIGURED, commit, files, make, mention, post, settled

from bridge.rebuild.worker import Worker
from bridge.store.git import GitStore


async def test_mentions_come_change_and_go(tmp_path: Path, bare_store: GitStore) -> None:
    start = {
        "pelicanconf.py": CONFIGURED,
        **{f"content/{slug}.md": post(slug, 1, Slug=slug) for slug in ("one", "two")},
    }
    changes: list[Mapping[str, bytes | None]] = [
        {"content/mentions/one/like-000000000001.json": mention("amy")},
        {
            "content/mentions/one/like-000000000002.json": mention("bob"),
            "content/mentions/two/like-000000000003.json": mention("bob", "two"),
            "content/media/faces/a.webp": b"webp",
        },
        {"content/mentions/one/like-000000000001.json": mention("eve")},
        {"content/mentions/one/like-000000000002.json": b"{"},
        {
            "content/mentions/one/like-000000000001.json": None,
            "content/mentions/two/like-000000000003.json": None,
            "content/media/faces/a.webp": None,
        },
    ]
    worker = make(bare_store, tmp_path, "resident")
    await worker.start()
    try:
        first = commit(bare_store, start)
        worker.changed(first)
        await settled(worker, first, 600)
        process = running(worker)
        before = files(tmp_path / "output")
        seen = []
        for change in changes:
            version = commit(bare_store, change)
            worker.changed(version)
            await settled(worker, version, 600)
            assert worker.status().state == "idle", worker.status()
            page = (tmp_path / "output" / "one.html").read_text()
            seen.append([who for who in ("amy", "bob", "eve") if f"https://{who}." in page])
            assert running(worker) is process, "a mention starts nothing anew"
        assert seen == [["amy"], ["amy", "bob"], ["bob", "eve"], ["eve"], []]
        after = files(tmp_path / "output")
        assert {name for name in after if after[name] != before.get(name)} == set()
    finally:
        await worker.close()


def running(worker: Worker) -> object:
    """The process that keeps Pelican warm."""
    found = worker._job._builder._process  # type: ignore[attr-defined]
    assert found is not None
    return found
