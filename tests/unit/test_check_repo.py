"""What ``check`` says of the bridge's repo, and ``init`` of one that cannot be cloned."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from git_kit import commit_all, git, new_repo

from bridge.commands.checks.repo import (
    _check_access,
    _check_git,
    _check_output,
    _check_remote,
)
from bridge.settings import Rebuild, Settings, Site
from bridge.store import StoreBroken
from bridge.store.git import GitStore
from bridge.store.setup import clone_bare


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = new_repo(tmp_path / "site.git", bare=True)
    site = Site(me="https://s.example/", repo=repo, state=tmp_path / "state")
    store = GitStore(repo, author="Ada <ada@example.com>")
    try:
        assert not _check_access(store, Settings(site=site)).remedy
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
        found = _check_access(store, Settings(site=site))
    finally:
        store.close()
    assert "is full" in found.fact
    assert "space" in found.remedy


def test_an_output_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = new_repo(tmp_path / "site.git", bare=True)
    site = Site(me="https://s.example/", repo=repo, state=tmp_path / "state")
    settings = Settings(site=site, rebuild=Rebuild(output=str(tmp_path / "www" / "pages")))
    store = GitStore(repo, author="Ada <ada@example.com>")
    try:
        assert _check_output(settings, store) is None
        assert _check_output(Settings(site=site, rebuild=Rebuild(mode="none")), store) is None
        monkeypatch.setattr(os, "access", lambda place, _: place != tmp_path)
        found = _check_output(settings, store)
    finally:
        store.close()
    assert str(found) == (
        f"BAD  output: {tmp_path} cannot be written\n     -> Make the user that runs the bridge its"
        " owner, or set [rebuild] output to another folder."
    )


def test_an_output_in_a_folder_that_may_not_be_entered_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, closed = os.stat, tmp_path / "closed"
    closed.mkdir()

    def refused(place: Path, **options: bool) -> os.stat_result:
        if closed in Path(place).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return stat(place, **options)

    repo = new_repo(tmp_path / "site.git", bare=True)
    site = Site(me="https://s.example/", repo=repo)
    settings = Settings(site=site, rebuild=Rebuild(output=str(closed / "www")))
    store = GitStore(repo, author="Ada <ada@example.com>")
    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(os, "access", lambda place, _: place != closed)
    try:
        assert f"output: {closed} cannot be written" in str(_check_output(settings, store))
    finally:
        store.close()


def test_an_output_among_the_owners_files_is_named(tmp_path: Path) -> None:
    clone = new_repo(tmp_path / "clone")
    (clone / "content").mkdir()
    (clone / "content" / "a.md").touch()
    commit_all(clone)
    (clone / "output").mkdir()
    (clone / "output" / "index.html").touch()
    repo = tmp_path / "site.git"
    clone_bare(str(clone), repo, "main")
    site = Site(me="https://s.example/", repo=repo, state=tmp_path / "state")
    store = GitStore(repo, author="Ada <ada@example.com>")

    def told(output: Path, mode: Literal["resident", "none"] = "resident") -> str:
        rebuild = Rebuild(output=str(output), mode=mode)
        return str(_check_output(Settings(site=site, rebuild=rebuild), store))

    try:
        assert told(clone).startswith(
            f"BAD  output: [rebuild] output, {str(clone)!r} is your clone"
        )
        for folder in (clone / "content", clone / "x" / ".." / "content"):
            assert "has files of your repo (content/a.md)" in told(folder)
        assert told(clone, mode="none") == "None"
        assert told(clone / "public") == "None"
        # What `pelican` has built by hand, or another program's.
        others = told(clone / "output")
        assert others.startswith("note output: ")
        assert f"in {clone}/output (index.html): pages of the same names replace it" in others
        (site.state / "rebuild" / "kept").mkdir(parents=True)
        (site.state / "rebuild" / "kept" / "output.json").touch()
        assert told(clone / "output") == "None"
    finally:
        store.close()


def test_a_branch_that_was_renamed_in_the_remote_is_named(tmp_path: Path) -> None:
    clone = new_repo(tmp_path / "clone")
    (clone / "a").touch()
    commit_all(clone)
    repo = tmp_path / "site.git"
    clone_bare(str(clone), repo, "main")
    settings = Settings(site=Site(me="https://s.example/", repo=repo, state=tmp_path / "state"))
    settings.site.state.mkdir()
    store = GitStore(repo, author="Ada <ada@example.com>")
    try:
        head = store.head()
        assert head is not None
        assert str(_check_remote(store, head, settings)[0]).startswith("ok   remote: origin can be")
        # What the bridge has pushed since has created the branch again.
        git(clone, "switch", "--quiet", "--create", "trunk")
        found, checked = _check_remote(store, head, settings)
        git(clone, "branch", "--quiet", "-D", "main")
        assert str(_check_remote(store, head, settings)[0]).startswith("BAD  remote: origin can be")
    finally:
        store.close()
    assert checked == head
    assert str(found).startswith("note remote: origin can be read and pushed to. Posts go to its")
    assert "its branch main, and" in found.fact
    assert f"git -C {repo} branch -m main trunk" in found.remedy


def test_an_old_git_is_named_with_the_version_that_is_needed() -> None:
    found = _check_git((2, 30, 2))
    assert found is not None
    assert str(found).startswith("note git: git 2.30.2 cannot combine small packs")
    assert "git 2.32" in found.remedy
    for version in ((2, 32), (2, 32, 0), (3, 0)):
        assert _check_git(version) is None


def test_a_clone_for_which_there_is_no_space_needs_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(
        "#!/bin/sh\necho 'error: unable to write: No space left on device' >&2\nexit 128\n"
    )
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(git.parent), prepend=":")
    with pytest.raises(StoreBroken, match=r"No space left on device\. Make space there$"):
        clone_bare("https://h.example/site.git", tmp_path / "site.git", "main")
