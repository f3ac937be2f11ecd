"""Several bridges, and git's housekeeping, use one repo at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest
from breaking_disks import SteppedDisk
from git_kit import ADA, git
from warm_kit import WARM

from bridge.store import BranchMoved, Change, Commit, StoreError
from bridge.store.git import GitStore

POSTS = 40


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main", "origin")
    git(tmp_path / "origin", "commit", "-q", "--allow-empty", "-m", "Begin")
    git(tmp_path, "clone", "-q", "--bare", "origin", "site.git")
    return tmp_path / "site.git"


def write(store: GitStore, name: str) -> None:
    """Write one post, retrying when others commit first."""
    while True:
        change = Change(f"content/{name}.md", name.encode(), None)
        (answer,) = store.commit([Commit((change,), f"{name}\n", store.head())])
        if not isinstance(answer, StoreError):
            return
        assert isinstance(answer, BranchMoved), answer


def _bridge(repo: Path, name: str) -> None:
    store = GitStore(repo, author=ADA, patience=60)
    for number in range(POSTS):
        write(store, f"{name}-{number}")
    store.close()


def check(repo: Path, count: int) -> None:
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""
    assert len(git(repo, "ls-tree", "-r", "--name-only", "main").splitlines()) == count
    assert git(repo, "rev-list", "--count", "main") == str(count + 1)


def test_three_bridges_lose_nothing(repo: Path) -> None:
    bridges = [WARM.Process(target=_bridge, args=(repo, name)) for name in "abc"]
    for each in bridges:
        each.start()
    for each in bridges:
        each.join(300)
        assert each.exitcode == 0
    check(repo, 3 * POSTS)


def test_a_concurrent_git_gc_loses_nothing(repo: Path) -> None:
    child = WARM.Process(target=_bridge, args=(repo, "a"))
    reader = GitStore(repo, author=ADA)
    child.start()
    while child.is_alive():
        git(repo, "gc", "-q")
        git(repo, "pack-refs", "--all")
        head = reader.head()
        assert head is not None
        ids = [blob for _, blob in reader.files("", head)]
        assert len(list(reader.blobs(ids))) == len(ids)
    child.join()
    assert child.exitcode == 0
    reader.close()
    check(repo, POSTS)


def test_git_may_drop_what_nothing_refers_to_at_any_step_of_a_commit(repo: Path) -> None:
    """As an owner's cron job does: of the new pack, nothing is in the branch yet."""
    git(repo, "branch", "posts/2026", "main")

    def tidy(step: str) -> None:
        if step in {"sync", "link", "rename"}:
            git(repo, "gc", "-q", "--prune=now")

    store = GitStore(repo, branch="posts/2026", author=ADA, disk=SteppedDisk(tidy))
    write(store, "a")
    store.close()
    git(repo, "gc", "-q", "--prune=now")
    assert git(repo, "show", "posts/2026:content/a.md") == "a"
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""
    assert [*repo.glob("objects/pack/*.keep"), *repo.glob("objects/pack/bridge*")] == []
