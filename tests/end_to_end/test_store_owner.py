"""The bridge and the owner in one repo: nothing of theirs is touched, nothing of ours is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from git_kit import ADA, git, put

from bridge.store import (
    BlobId,
    Commit,
    MovedMeanwhile,
    OwnersEdit,
    StoreBroken,
    StoreBusy,
    StoreError,
)
from bridge.store.git import GitStore


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The owner's clone, with two posts."""
    git(tmp_path, "init", "-q", "-b", "main", "site")
    site = tmp_path / "site"
    for name in ("a", "b"):
        (site / "content").mkdir(exist_ok=True)
        (site / f"content/{name}.md").write_text(f"Post {name}\n")
    git(site, "add", "-A")
    git(site, "commit", "-q", "-m", "Begin")
    return site


@pytest.fixture
def store(site: Path) -> Iterator[GitStore]:
    store = GitStore(site, author=ADA, patience=0.3)
    yield store
    store.close()


def status(site: Path) -> list[str]:
    return git(site, "status", "--porcelain", "--ignored").splitlines()


# Edits that are not committed


def edit(site: Path) -> None:
    (site / "content/a.md").write_text("My draft\n")


def stage(site: Path) -> None:
    edit(site)
    git(site, "add", "content/a.md")


def stage_and_take_back(site: Path) -> None:
    stage(site)
    (site / "content/a.md").write_text("Post a\n")


def delete(site: Path) -> None:
    (site / "content/a.md").unlink()


def unstage_deleted(site: Path) -> None:
    git(site, "rm", "-q", "--cached", "content/a.md")


def replace_by_link(site: Path) -> None:
    delete(site)
    (site / "content/a.md").symlink_to("b.md")


def replace_by_folder(site: Path) -> None:
    delete(site)
    (site / "content/a.md").mkdir()
    (site / "content/a.md/mine").write_text("mine")


@pytest.mark.parametrize("change", ["An update", None])
@pytest.mark.parametrize(
    "do",
    [edit, stage, stage_and_take_back, delete, unstage_deleted, replace_by_link, replace_by_folder],
)
def test_a_file_with_uncommitted_changes_is_left_alone(
    site: Path, store: GitStore, do: Callable[[Path], None], change: str | None
) -> None:
    do(site)
    before, head = status(site), store.head()
    with pytest.raises(OwnersEdit) as refused:
        put(store, "content/a.md", change)
    assert refused.value.path == "content/a.md"
    assert status(site) == before
    assert store.head() == head
    put(store, "content/b.md", "Another file may change\n")
    assert status(site) == before


def untracked(site: Path) -> None:
    (site / "content/new.md").write_text("mine")


def untracked_the_same(site: Path) -> None:
    (site / "content/new.md").write_text("The post\n")


def ignored(site: Path) -> None:
    (site / ".git/info/exclude").write_text("new.md\n")
    untracked(site)


def intended(site: Path) -> None:
    untracked(site)
    git(site, "add", "-N", "content/new.md")


def folder_there(site: Path) -> None:
    (site / "content/new.md").mkdir()


def dangling_link(site: Path) -> None:
    (site / "content/new.md").symlink_to("/nowhere")


@pytest.mark.parametrize(
    "do", [untracked, untracked_the_same, ignored, intended, folder_there, dangling_link]
)
def test_a_new_post_does_not_take_the_place_of_something_of_theirs(
    site: Path, store: GitStore, do: Callable[[Path], None]
) -> None:
    do(site)
    before = status(site)
    with pytest.raises(OwnersEdit):
        put(store, "content/new.md", "The post\n")
    assert status(site) == before


def test_nothing_is_written_through_a_link_of_the_owner(
    site: Path, store: GitStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (site / "content/2026").symlink_to(outside)
    with pytest.raises(OwnersEdit):
        put(store, "content/2026/new.md", "x")
    assert [*outside.iterdir()] == []


def test_nothing_is_written_through_a_link_that_is_committed(
    site: Path, store: GitStore, tmp_path: Path
) -> None:
    (site / "content/2026").symlink_to(tmp_path)
    git(site, "add", "-A")
    git(site, "commit", "-q", "-m", "A link")
    with pytest.raises(StoreError):
        put(store, "content/2026/new.md", "x")
    assert not (tmp_path / "new.md").exists()


# Work that is going on


def test_what_is_staged_stays_staged_and_is_committed_by_the_owner_alone(
    site: Path, store: GitStore
) -> None:
    (site / "mine.md").write_text("mine")
    git(site, "add", "mine.md")
    put(store, "content/new.md", "ours")
    assert status(site) == ["A  mine.md"]
    git(site, "commit", "-q", "-m", "Mine")
    assert git(site, "show", "--name-status", "--format=") == "A\tmine.md"
    assert git(site, "ls-tree", "-r", "--name-only", "HEAD").splitlines() == [
        "content/a.md",
        "content/b.md",
        "content/new.md",
        "mine.md",
    ]


def test_the_files_appear_and_disappear_with_their_folders(site: Path, store: GitStore) -> None:
    put(store, "content/2026/11/new.md", "ours")
    assert (site / "content/2026/11/new.md").read_text() == "ours"
    put(store, "content/2026/11/new.md", None)
    assert not (site / "content/2026").exists()
    assert status(site) == []


def test_another_branch_that_is_checked_out_stays_as_it_is(site: Path, store: GitStore) -> None:
    git(site, "checkout", "-q", "-b", "draft")
    put(store, "content/new.md", "ours")
    assert status(site) == []
    assert not (site / "content/new.md").exists()
    git(site, "checkout", "-q", "main")
    assert (site / "content/new.md").read_text() == "ours"
    put(store, "content/newer.md", "ours")
    assert (site / "content/newer.md").exists()
    assert status(site) == []


def test_a_detached_head_stays_as_it_is(site: Path, store: GitStore) -> None:
    git(site, "checkout", "-q", "--detach")
    put(store, "content/new.md", "ours")
    assert status(site) == []
    assert not (site / "content/new.md").exists()


def test_a_rebase_in_progress_is_waited_for(site: Path, store: GitStore) -> None:
    git(site, "checkout", "-q", "-b", "other")
    put(store, "content/a.md", "On main\n")
    (site / "content/a.md").write_text("On the other\n")
    git(site, "commit", "-q", "-a", "-m", "Other")
    git(site, "checkout", "-q", "main")
    with pytest.raises(subprocess.CalledProcessError):
        git(site, "rebase", "other")
    before, head = status(site), store.head()
    with pytest.raises(StoreBusy, match="rebase"):
        put(store, "content/new.md", "ours")
    assert (status(site), store.head()) == (before, head)
    git(site, "rebase", "--abort")
    put(store, "content/new.md", "ours")
    assert status(site) == []


def test_a_merge_in_progress_goes_on(site: Path, store: GitStore) -> None:
    git(site, "checkout", "-q", "-b", "other")
    (site / "content/a.md").write_text("On the other\n")
    git(site, "commit", "-q", "-a", "-m", "Other")
    git(site, "checkout", "-q", "main")
    put(store, "content/a.md", "On main\n")
    with pytest.raises(subprocess.CalledProcessError):
        git(site, "merge", "other")
    with pytest.raises(OwnersEdit):
        put(store, "content/a.md", "Another update\n")
    put(store, "content/new.md", "ours")
    assert status(site) == ["UU content/a.md"]
    (site / "content/a.md").write_text("Resolved\n")
    git(site, "commit", "-q", "-a", "-m", "Merged")
    assert git(site, "ls-tree", "-r", "--name-only", "HEAD").count("new.md") == 1
    assert status(site) == []


def test_the_owner_may_commit_all_the_while(site: Path, store: GitStore) -> None:
    store = GitStore(site, author=ADA, patience=20)
    refused = 0
    stop = threading.Event()
    mine: list[str] = []

    def owner() -> None:
        while not stop.is_set():
            name = f"mine-{len(mine)}.md"
            (site / name).write_text("mine")
            # Git itself waits for no lock: the owner types it again.
            for arguments in (("add", name), ("commit", "-q", "-m", name)):
                while subprocess.run(
                    ["git", "-c", "user.name=O", "-c", "user.email=o@example.com", *arguments],
                    cwd=site, check=False, capture_output=True,
                ).returncode:  # fmt: skip
                    time.sleep(0.02)
            mine.append(name)

    thread = threading.Thread(target=owner)
    thread.start()
    for number in range(60):
        while True:
            try:
                put(store, f"content/ours-{number}.md", "ours")
                break
            except MovedMeanwhile:
                refused += 1
        time.sleep(0.005)
    stop.set()
    thread.join()
    head = store.head()
    assert head is not None
    listed = [path for path, _ in store.files("", head)]
    assert {f"content/ours-{number}.md" for number in range(60)} <= set(listed)
    assert set(mine) <= set(listed)
    assert len(mine) > 3
    store.close()  # or packs are joined, and so removed, while git checks them
    assert status(site) == []
    assert git(site, "fsck", "--strict", "--no-dangling") == ""


def test_a_command_that_had_read_the_index_before_us_does_not_take_the_post_out(
    site: Path, store: GitStore
) -> None:
    index = site / ".git/index"
    (site / "mine.md").write_text("mine")
    git(site, "add", "mine.md")
    put(store, "content/a.md", "First\n")
    read_before = index.read_bytes()
    put(store, "content/new.md", "ours")
    put(store, "content/b.md", None)
    lock = index.with_name("index.lock")
    lock.write_bytes(read_before)
    lock.rename(index)
    deadline = time.monotonic() + 10
    while status(site) != ["A  mine.md"]:
        assert time.monotonic() < deadline
    git(site, "commit", "-q", "-m", "Mine")
    assert git(site, "ls-tree", "-r", "--name-only", "HEAD").splitlines() == [
        "content/a.md",
        "content/new.md",
        "mine.md",
    ]


@pytest.mark.parametrize("index_too", [True, False])
def test_a_commit_from_an_index_of_before_us_does_not_take_the_post_out(
    site: Path, store: GitStore, caplog: pytest.LogCaptureFixture, index_too: bool
) -> None:
    """A commit that git makes of what it had read before; it may leave the index as ours."""
    old = git(site, "rev-parse", "HEAD^{tree}")
    read_before = (site / ".git/index").read_bytes()
    put(store, "content/new.md", "First\n")
    put(store, "content/new.md", "ours\n")
    put(store, "content/a.md", None)
    lock = site / ".git/index.lock"
    lock.touch()
    made = git(site, "commit-tree", old, "-p", "HEAD", "-m", "Mine")
    git(site, "update-ref", "refs/heads/main", made)
    if index_too:
        lock.write_bytes(read_before)
        lock.rename(site / ".git/index")
    else:
        lock.unlink()
    deadline = time.monotonic() + 10
    while git(site, "rev-parse", "HEAD^") != made:
        assert time.monotonic() < deadline
    store.close()
    assert git(site, "diff", "--name-status", "HEAD^", "HEAD").splitlines() == [
        "D\tcontent/a.md",
        "A\tcontent/new.md",
    ]
    assert git(site, "show", "HEAD:content/new.md") == "ours"
    assert status(site) == []
    assert "put back" in caplog.text


def test_the_owners_next_commit_meets_no_lock_of_ours(site: Path, store: GitStore) -> None:
    for number in range(20):
        put(store, f"content/ours-{number}.md", "ours")
        (site / f"mine-{number}.md").write_text("mine")
        git(site, "add", f"mine-{number}.md")
        git(site, "commit", "-q", "-m", "Mine")
    assert status(site) == []


def test_what_the_owner_takes_back_right_after_us_stays_away(site: Path, store: GitStore) -> None:
    before = git(site, "rev-parse", "HEAD")
    put(store, "content/new.md", "ours\n")
    put(store, "content/a.md", "Changed\n")
    until_git_may(site, "reset", "-q", "--hard", before)
    store.close()
    assert git(site, "rev-parse", "HEAD") == before
    assert status(site) == []


def until_git_may(site: Path, *arguments: str) -> None:
    """Git itself waits for no lock: the owner types it again."""
    deadline = time.monotonic() + 10
    while True:
        try:
            git(site, *arguments)
        except subprocess.CalledProcessError:
            assert time.monotonic() < deadline
            continue
        return


# Locks


def test_a_lock_that_git_holds_is_waited_for(site: Path, store: GitStore) -> None:
    for name in ("index.lock", "refs/heads/main.lock"):
        lock = site / ".git" / name
        lock.touch()
        with pytest.raises(StoreBusy, match=r"main\.lock|index\.lock"):
            put(store, "content/new.md", "ours")
        assert lock.exists()
        assert not (site / "content/new.md").exists()
        lock.unlink()
    patient = GitStore(site, author=ADA, patience=20)
    lock = site / ".git/index.lock"
    lock.touch()
    threading.Timer(0.2, lock.unlink).start()
    put(patient, "content/new.md", "ours")
    patient.close()


@pytest.mark.parametrize("name", ["index.lock", "refs/heads/main.lock"])
def test_a_lock_that_nobody_holds_any_more_is_cleared(
    site: Path, store: GitStore, name: str
) -> None:
    lock = site / ".git" / name
    lock.touch()
    long_ago = time.time() - 7200
    os.utime(lock, (long_ago, long_ago))
    put(store, "content/new.md", "ours")
    assert not lock.exists()


def test_an_old_index_lock_stays_while_a_git_command_runs_there(
    site: Path, store: GitStore
) -> None:
    lock = site / ".git/index.lock"
    lock.touch()
    booted = next(float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines()
                  if line.startswith("btime"))  # fmt: skip
    old = max(time.time() - 7200, booted + 1)
    os.utime(lock, (old, old))
    waiting = ["git", "hash-object", "--stdin-paths"]
    with subprocess.Popen(waiting, cwd=site, stdin=subprocess.PIPE) as busy:
        while not (Path("/proc") / str(busy.pid) / "comm").read_text().startswith("git"):
            time.sleep(0.01)
        with pytest.raises(StoreBusy):
            put(store, "content/new.md", "ours")
    assert lock.exists()


# Kinds of repos


def test_every_version_of_the_index_is_kept_up(site: Path) -> None:
    for version in ("2", "4"):
        git(site, "update-index", "--index-version", version)
        store = GitStore(site, author=ADA)
        put(store, f"content/v{version}/new.md", "x" * 200)
        put(store, f"content/v{version}/{'long' * 50}.md", "y")
        put(store, f"content/v{version}/new.md", None)
        assert status(site) == []
        assert (site / ".git/index").read_bytes()[7:8] == bytes([int(version)])
        store.close()
        git(site, "update-index", "--refresh")


@pytest.mark.parametrize("version", ["2", "4"])
def test_the_index_is_the_one_that_git_itself_would_have_written(site: Path, version: str) -> None:
    git(site, "update-index", "--index-version", version)
    store, dice = GitStore(site, author=ADA), Random(int(version))
    names = ["content/" + "".join(dice.choices("ab/", k=dice.randrange(1, 9))) for _ in range(80)]
    for name in names:
        try:
            put(store, f"{name}.md", None if dice.random() < 0.3 else name)
        except StoreError:
            continue  # a file where a folder would have to be, or no name at all
    store.close()
    ours = git(site, "ls-files", "--stage")
    assert git(site, "write-tree") == git(site, "rev-parse", "HEAD^{tree}")
    (site / ".git/index").unlink()
    git(site, "update-index", "--index-version", version)
    git(site, "read-tree", "HEAD")
    assert git(site, "ls-files", "--stage") == ours
    assert len(ours.splitlines()) > 20
    git(site, "update-index", "--refresh")
    assert status(site) == []


def test_flags_of_other_entries_are_kept(site: Path, store: GitStore) -> None:
    git(site, "update-index", "--assume-unchanged", "content/b.md")
    git(site, "update-index", "--skip-worktree", "content/a.md")
    put(store, "content/new.md", "ours")
    assert git(site, "ls-files", "-v").splitlines() == [
        "S content/a.md",
        "h content/b.md",
        "H content/new.md",
    ]


def test_the_cache_of_trees_stays_right(site: Path, store: GitStore) -> None:
    for number in range(30):
        folder = site / f"f{number % 3}/g{number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.md").write_text(str(number))
    git(site, "add", "-A")
    git(site, "commit", "-q", "-m", "Many folders")
    put(store, "f1/g1/new.md", "ours")
    put(store, "f2/new/deep/er.md", "ours")
    put(store, "f0/g0/0.md", None)
    assert git(site, "write-tree") == git(site, "rev-parse", "HEAD^{tree}")
    assert status(site) == []


def test_an_index_in_two_parts_is_refused_with_the_remedy(site: Path, store: GitStore) -> None:
    git(site, "update-index", "--split-index")
    with pytest.raises(StoreBroken, match="--no-split-index"):
        put(store, "content/new.md", "ours")
    with pytest.raises(StoreBroken, match="--no-split-index"):
        GitStore(site, author=ADA)
    git(site, "update-index", "--no-split-index")
    put(store, "content/new.md", "ours")
    assert status(site) == []


def test_an_executable_file_stays_one(site: Path, store: GitStore) -> None:
    (site / "content/a.md").chmod(0o755)
    git(site, "commit", "-q", "-a", "-m", "Run")
    put(store, "content/a.md", "#!/bin/sh\n")
    assert os.access(site / "content/a.md", os.X_OK)
    assert status(site) == []


def test_the_reflog_tells_what_happened(site: Path, store: GitStore) -> None:
    put(store, "content/new.md", "ours")
    assert git(site, "log", "-g", "-1", "--format=%gs %gn", "main") == (
        "commit: Write content/new.md Ada"
    )
    assert git(site, "rev-parse", "HEAD@{0}") == store.head()


def test_a_branch_in_packed_refs_and_a_gc_beneath_us(site: Path, store: GitStore) -> None:
    for number in range(5):
        put(store, f"content/{number}.md", "x")
        git(site, "gc", "-q", "--prune=now")
        assert not (site / ".git/refs/heads/main").exists()
    head = store.head()
    assert head is not None
    assert len(list(store.files("", head))) == 7


def test_a_branch_with_a_slash_in_its_name(site: Path) -> None:
    git(site, "branch", "posts/2026")
    git(site, "pack-refs", "--all")
    store = GitStore(site, branch="posts/2026", author=ADA)
    put(store, "content/new.md", "ours")
    assert git(site, "log", "-1", "--format=%s", "posts/2026") == "Write content/new.md"
    assert status(site) == []
    store.close()


def test_a_worktree_elsewhere_that_has_the_branch_goes_along(site: Path, tmp_path: Path) -> None:
    git(site, "checkout", "-q", "--detach")
    git(site, "worktree", "add", "-q", str(tmp_path / "other"), "main")
    store = GitStore(site, branch="main", author=ADA)
    put(store, "content/new.md", "ours")
    assert (tmp_path / "other/content/new.md").read_text() == "ours"
    assert status(tmp_path / "other") == []
    assert status(site) == []
    store.close()


def test_a_submodule_is_a_repo_as_any_other(site: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "outer")
    git(tmp_path / "outer", "-c", "protocol.file.allow=always", "submodule", "add", "-q",
        str(site), "blog")  # fmt: skip
    store = GitStore(tmp_path / "outer/blog", author=ADA)
    put(store, "content/new.md", "ours")
    assert (tmp_path / "outer/blog/content/new.md").exists()
    assert status(tmp_path / "outer/blog") == []
    store.close()


def test_a_submodule_in_the_way_is_not_written_into(site: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "site", "inner")
    git(site, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "inner"),
        "content/inner")  # fmt: skip
    git(site, "commit", "-q", "-m", "Submodule")
    store = GitStore(site, author=ADA)
    with pytest.raises(StoreError):
        put(store, "content/inner/new.md", "ours")
    assert status(site) == []
    store.close()


# What is refused at the start


def test_what_cannot_be_used_is_refused_with_a_clear_word(site: Path, tmp_path: Path) -> None:
    origin = f"file://{site}"
    git(site, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--depth", "1", origin, "shallow")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--bare", origin, "partial")
    git(tmp_path, "clone", "-q", str(site), "detached")
    git(tmp_path / "detached", "checkout", "-q", "--detach")
    (tmp_path / "empty").mkdir()
    git(site, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    for path, branch, told in [
        (tmp_path / "nowhere", "", "no repo at"),
        (tmp_path / "empty", "", "not a git repo"),
        (tmp_path / "shallow", "", "git fetch --unshallow"),
        (tmp_path / "partial", "", "partial clone"),
        (tmp_path / "detached", "", r"set \[site\] branch"),
        (site, "typo", "no branch 'typo'"),
        (site, "../../config", "cannot be the name"),
        (site, "alias", "points to another"),
    ]:
        with pytest.raises(StoreBroken, match=told):
            GitStore(path, branch=branch, author=ADA)
    with pytest.raises(StoreBroken, match="does not read"):
        GitStore(site, author="just a name")


def test_whose_the_commits_are(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git(site, "config", "user.useConfigOnly", "true")
    with pytest.raises(StoreBroken, match=r"\[publish\] author"):
        GitStore(site)
    for arguments, wanted in [
        ({"otherwise": "Me <me@example.com>"}, "Me <me@example.com>"),
        ({"author": "Ada L. <ada@example.com>"}, "Ada L. <ada@example.com>"),
    ]:
        store = GitStore(site, **arguments)  # type: ignore[arg-type] # each is a text
        put(store, "content/a.md", wanted)
        store.close()
        assert git(site, "log", "-1", "--format=%an <%ae>") == wanted
        assert git(site, "log", "-1", "--format=%cn <%ce>") == wanted
    git(site, "config", "user.name", "Grace")
    git(site, "config", "user.email", "grace@example.com")
    store = GitStore(site)
    put(store, "content/a.md", "x")
    store.close()
    assert git(site, "log", "-1", "--format=%an <%ae>") == "Grace <grace@example.com>"


# Trouble that passes


def test_a_repo_that_was_away_is_used_again(site: Path, store: GitStore) -> None:
    away = site.with_name("away")
    first = put(store, "content/new.md", "ours")
    site.rename(away)
    with pytest.raises(StoreBroken):
        store.head()
    with pytest.raises(StoreBroken):
        store.commit([Commit((), "Nothing", first)])
    away.rename(site)
    put(store, "content/newer.md", "ours")
    # Another clone in its place, as after a restore from a backup. The bridge, which looks after
    # what it has just written, may be in there before all of it is back.
    site.rename(away)
    shutil.copytree(away, site, dirs_exist_ok=True)
    put(store, "content/newest.md", "ours")
    assert len(list(store.files("content", put(store, "content/last.md", "ours")))) == 6
    assert status(site) == []


def test_a_git_process_that_died_is_replaced(site: Path, store: GitStore) -> None:
    version = put(store, "content/new.md", "ours")
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    assert children
    for child in children:
        if (Path("/proc") / child / "comm").read_text().startswith("git"):
            os.kill(int(child), signal.SIGKILL)
    blob = store.read("content/new.md", version)
    assert blob is not None
    assert blob.data == b"ours"


def test_a_blob_that_is_damaged_is_told(site: Path, store: GitStore) -> None:
    head = store.head()
    assert head is not None
    blob = dict(store.files("", head))["content/a.md"]
    loose = site / ".git/objects" / blob[:2] / blob[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"")
    with pytest.raises(StoreBroken):
        list(store.blobs([BlobId(blob)]))
