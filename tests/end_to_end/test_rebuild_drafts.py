"""Drafts created by apps have a preview for the owner, and no public page."""

from __future__ import annotations

from pathlib import Path

import pytest
from rebuild_kinds import clean, differing
from rebuild_site import CONF, commit, files, make, post, settled, small_site

from bridge.rebuild.rebuilder import importing_from
from bridge.runtime import process
from bridge.store.git import GitStore

INDIEAUTH = CONF.replace(
    b"PLUGINS = []",
    b'PLUGINS = ["pelican_indieauth"]\nINDIEAUTH_BRIDGE = "https://example.com/"',
)
MF2 = '{"type":["h-entry"],"properties":{},"draft":"app"}'


@pytest.mark.parametrize("mode", ["command", "resident"])
async def test_a_draft_is_in_the_preview_alone(
    tmp_path: Path, bare_store: GitStore, mode: str
) -> None:
    store = bare_store
    small_site(store)
    version = commit(store, {"pelicanconf.py": INDIEAUTH})
    worker = make(store, tmp_path, mode)
    await worker.start()
    await settled(worker, version)
    page = "drafts/secret.html"
    output, previews = tmp_path / "output", worker.previews
    assert previews is not None

    async def after(change: dict[str, bytes | None], *, live: str) -> None:
        version = commit(store, change)
        worker.changed(version)
        assert await worker.live(version, live, 300)
        await settled(worker, version)
        checkout = tmp_path / "state" / "rebuild" / "checkout"
        environment = importing_from(checkout, process.environment({}))
        expected = clean(checkout, tmp_path / "clean", environment)
        assert differing(expected, files(output)) == []

    def draft(body: str, **keys: str) -> dict[str, bytes | None]:
        return {"content/secret.md": post("Secret", 5, body=body, Mf2=MF2, **keys)}

    await after(draft("Hush-hush.", Status="draft", Tags="hidden-tag;"), live=page)
    assert b"Hush-hush." in (previews / page).read_bytes()
    assert not any(b"Hush" in data or b"hidden-tag" in data for data in files(output).values())
    await after(draft("Other words.", Status="draft"), live=page)
    assert b"Other words." in (previews / page).read_bytes()
    await after(draft("Out since today."), live="secret.html")
    assert not (previews / page).exists()
    await worker.close()
