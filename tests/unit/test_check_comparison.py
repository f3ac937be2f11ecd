"""``check`` compares the bridge's build with that of ``pelican`` in a clone."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_kit import git

from bridge.commands.checks import Finding, comparison
from bridge.settings import Settings, Site
from bridge.store import StoreBroken, Version
from bridge.store.git import GitStore


async def test_another_clone_that_cannot_be_made_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first can be made, and what is built in it differs from the bridge's build."""
    clones = list[Path]()

    def clone(store: GitStore, head: Version, settings: Settings, folder: Path) -> None:
        if clones:
            raise StoreBroken("its submodule does not answer")
        clones.append(folder)
        folder.mkdir(parents=True)

    async def build(settings: Settings, folder: Path, output: str) -> None:
        (folder / output).mkdir(parents=True)
        (folder / output / "index.html").write_text(output)

    monkeypatch.setattr(comparison, "_clone", clone)
    monkeypatch.setattr(comparison, "_build", build)
    found = await _compared(tmp_path)
    assert "its submodule does not answer" in found.fact
    assert not found.broken
    assert not (tmp_path / "plain").exists()


async def test_what_git_keeps_is_no_difference_and_the_owner_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "output"
    built.mkdir()
    (built / "index.html").touch()

    async def build(settings: Settings, folder: Path, output: str) -> None:
        (folder / output / ".git").mkdir(parents=True)
        (folder / output / ".git" / "HEAD").touch()
        (folder / output / "index.html").touch()

    monkeypatch.setattr(comparison, "_clone", lambda *_: None)
    monkeypatch.setattr(comparison, "_build", build)
    found = await _compared(tmp_path)
    assert "the same 1 files in a clone, and copies .git" in found.fact
    assert "IGNORE_FILES" in found.remedy


async def _compared(folder: Path) -> Finding:
    """What ``check`` finds for an empty repo, and the bridge's build in ``output``."""
    git(folder, "init", "--quiet", "--bare", "site.git")
    (folder / "output").mkdir(exist_ok=True)
    settings = Settings(site=Site(me="https://example.com/", repo=folder / "site.git"))
    store = GitStore(folder / "site.git", author="Ada <ada@example.com>")
    try:
        return await comparison.check_comparison(
            store, Version("0" * 40), folder / "output", settings, []
        )
    finally:
        store.close()
