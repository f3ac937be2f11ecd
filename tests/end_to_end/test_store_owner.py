"""The remote is the owner's clone: git updates it, and the owner's own changes are never
touched.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from git_kit import ADA, git, new_repo, put, set_up
from siege_kit import CLIENTS, Besieged
from soak_kit import SOAK, in_soak, rounds

from bridge.store.git import GitStore
from bridge.store.owner_clone import allow_pushes_into
from bridge.store.setup import clone_bare
from bridge.store.sync.remote import Remote, RemoteStatus

POST = "content/new.md"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The owner's clone with two posts, and the bridge's repo beside it."""
    set_up(tmp_path, _begin)
    return tmp_path / "site"


def _begin(folder: Path) -> None:
    clone = new_repo(folder / "site")
    (clone / "content").mkdir()
    for name in ("a", "b"):
        (clone / f"content/{name}.md").write_text(f"Post {name}\n")
    (clone / ".gitignore").write_text("*.tmp\nignored\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "Begin")
    clone_bare(str(clone), folder / "site.git", "main")
    allow_pushes_into(clone)


@asynccontextmanager
async def bridge(clone: Path) -> AsyncIterator[tuple[GitStore, Remote]]:
    """A bridge that has synchronised once with the clone."""
    store = GitStore(clone.with_name("site.git"), author=ADA)
    remote = Remote(store, "origin", state=clone.parent, on_moved=lambda _: None, poll=3600)
    await remote.start()
    try:
        await until(remote, "ok")
        yield store, remote
    finally:
        await remote.close()
        store.close()


async def until(remote: Remote, state: str) -> RemoteStatus:
    async with asyncio.timeout(300):
        while remote.status().state != state:
            await asyncio.sleep(0.01)
    return remote.status()


def theirs(clone: Path) -> dict[str, object]:
    """All that the owner sees: files, ``git status``, branches, HEAD."""
    files = {
        str(path): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(clone.rglob("*"))
        if ".git" not in path.relative_to(clone).parts
    }
    asked = ("status", "--porcelain", "--ignored"), ("ls-files", "--stage")
    head, stashes = (clone / ".git/HEAD").read_text(), clone / ".git/logs/refs/stash"
    stash = stashes.read_text() if stashes.exists() else ""
    found = {each[0]: git(clone, *each) for each in asked}
    return {"files": files, "head": head, "stash": stash, **found}


def sound(clone: Path) -> None:
    for repo in (clone, clone.with_name("site.git")):
        assert git(repo, "fsck", "--strict", "--no-dangling") == ""
    assert not [*(clone / ".git").rglob("*.lock"), *(clone / ".git").glob("BRIDGE_[IL]*")]


# What makes a push wait: how to set it up, the message, and how the owner resolves it.

Step = Callable[[Path], object]


def edited(clone: Path) -> None:
    (clone / "content/a.md").write_text("My draft\n")


def staged(clone: Path) -> None:
    (clone / "content/mine.md").write_text("mine\n")
    git(clone, "add", "content/mine.md")


def removed(clone: Path) -> None:
    git(clone, "rm", "-q", "--cached", "content/a.md")


def intended(clone: Path) -> None:
    (clone / "content/mine.md").write_text("mine\n")
    git(clone, "add", "-N", "content/mine.md")


def untracked(clone: Path) -> None:
    (clone / POST).write_text("mine\n")


def ignored(clone: Path) -> None:
    (clone / ".git/info/exclude").write_text("new.md\n")
    untracked(clone)


def ignored_folder(clone: Path) -> None:
    (clone / ".git/info/exclude").write_text("new.md\n")
    (clone / POST).mkdir()
    untracked_in_it = clone / POST / "file"
    untracked_in_it.write_text("mine\n")


def dangling_link(clone: Path) -> None:
    (clone / POST).symlink_to("/nowhere")


def take_away(clone: Path) -> None:
    place = clone / POST
    shutil.rmtree(place) if place.is_dir() else place.unlink()


def diverged(clone: Path) -> None:
    """A branch ``other`` that changed the same line as ``main``."""
    git(clone, "checkout", "-q", "-b", "other")
    (clone / "content/a.md").write_text("On the other\n")
    git(clone, "commit", "-q", "-a", "-m", "Other")
    git(clone, "checkout", "-q", "main")
    (clone / "content/a.md").write_text("On main\n")
    git(clone, "commit", "-q", "-a", "-m", "Main")


def conflicting(*arguments: str) -> Step:
    def step(clone: Path) -> None:
        diverged(clone)
        with pytest.raises(subprocess.CalledProcessError):
            git(clone, *arguments)

    return step


def stopped_rebase(clone: Path) -> None:
    """A rebase that stops without a conflict, with everything committed."""
    git(clone, "commit", "-q", "--allow-empty", "-m", "More")
    git(clone, "-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "main~1")


def merge_without_commit(clone: Path) -> None:
    git(clone, "checkout", "-q", "-b", "other")
    git(clone, "commit", "-q", "--allow-empty", "-m", "Other")
    git(clone, "checkout", "-q", "main")
    git(clone, "merge", "-q", "--no-ff", "--no-commit", "other")


def bisect(clone: Path) -> None:
    git(clone, "commit", "-q", "--allow-empty", "-m", "More")
    git(clone, "bisect", "start", "main", "main~1")


def run(*arguments: str) -> Step:
    return lambda clone: git(clone, *arguments)


WAITS: dict[str, tuple[Step, str, Step]] = {
    "edited": (edited, "content/a.md in {clone} has changes that", run("checkout", "content/a.md")),
    "staged": (staged, "content/mine.md in {clone} has changes", run("commit", "-q", "-m", "Mine")),
    "removed": (removed, "content/a.md in {clone} has changes that", run("reset", "-q")),
    "intended": (intended, "content/mine.md in {clone} has", run("commit", "-qam", "Mine")),
    "untracked": (untracked, "{clone}/content/new.md is there, and git does not", take_away),
    "ignored": (ignored, "{clone}/content/new.md is there, and git does not", take_away),
    "ignored folder": (ignored_folder, "{clone}/content/new.md is there, and git", take_away),
    "link": (dangling_link, "{clone}/content/new.md is there, and git does not", take_away),
    "rebase": (conflicting("rebase", "other"), "a rebase is under way", run("rebase", "--abort")),
    "clean rebase": (stopped_rebase, "a rebase is under way in {clone}", run("rebase", "--abort")),
    "merge": (conflicting("merge", "other"), "a merge is under way", run("merge", "--abort")),
    "clean merge": (merge_without_commit, "a merge is under way", run("commit", "-qm", "Merged")),
    "cherry-pick": (
        conflicting("cherry-pick", "other"), "a cherry-pick is", run("cherry-pick", "--abort"),
    ),
    "revert": (conflicting("revert", "HEAD~1"), "a revert is under", run("revert", "--abort")),
    "bisect": (bisect, "a bisect is under way in {clone}", run("bisect", "reset")),
}  # fmt: skip


#: Each is refused by the hook; where there is none, by git's own rules. These have all the kinds.
HOOKED = (
    "edited",
    "removed",
    "intended",
    "ignored folder",
    "link",
    "clean rebase",
    "merge",
    "bisect",
)
ALONE = ("staged", "untracked", "merge")
CASES = [
    *((name, True) for name in (WAITS if SOAK else HOOKED)),
    *((name, False) for name in (WAITS if SOAK else ALONE)),
]


@pytest.mark.parametrize(
    ("name", "hook"),
    CASES,
    ids=[f"{name}-{'hook' if hook else 'git alone'}" for name, hook in CASES],
)
async def test_uncommitted_changes_only_delay_the_push(clone: Path, name: str, hook: bool) -> None:
    begin, told, end = WAITS[name]
    if not hook:
        (clone / ".git/hooks/push-to-checkout").unlink()
    async with bridge(clone) as (store, remote):
        begin(clone)
        before = theirs(clone)
        remote.changed(put(store, POST, "ours\n"))
        status = await until(remote, "waiting")
        wanted = told.format(clone=clone) if hook else told.split(" in ")[0].format(clone=clone)
        if hook or name not in {"edited", "staged", "removed", "intended"}:
            assert (status.error or "").startswith(wanted), status
        assert status.behind >= 1
        assert theirs(clone) == before
        head = store.head()
        assert head is not None
        assert store.read(POST, head) is not None
        end(clone)
        await until(remote, "ok")
        assert (clone / POST).read_text() == "ours\n"
        assert git(clone, "status", "--porcelain") == ""
        assert git(clone, "rev-parse", "main") == store.head()
    sound(clone)


async def test_a_file_in_place_of_the_posts_folder_delays_the_push(clone: Path) -> None:
    (clone / "ignored").write_text("mine")
    async with bridge(clone) as (store, remote):
        before = theirs(clone)
        remote.changed(put(store, "ignored/deep/new.md", "ours\n"))
        status = await until(remote, "waiting")
        assert f"{clone}/ignored is there" in (status.error or "")
        assert theirs(clone) == before
        (clone / "ignored").unlink()
        await until(remote, "ok")
    sound(clone)


@pytest.mark.parametrize("place", ["other branch", "detached"])
async def test_another_branch_or_a_detached_head_is_unchanged(clone: Path, place: str) -> None:
    async with bridge(clone) as (store, remote):
        git(
            clone, "checkout", "-q", *(["-b", "draft"] if place == "other branch" else ["--detach"])
        )
        edited(clone)
        untracked(clone)
        before = theirs(clone)
        remote.changed(put(store, POST, "ours\n"))
        await until(remote, "ok")
        assert theirs(clone) == before
        assert git(clone, "show", f"main:{POST}") == "ours"
    sound(clone)


async def test_other_untracked_and_ignored_files_do_not_matter(clone: Path) -> None:
    (clone / "notes.txt").write_text("mine")
    (clone / "content/x.tmp").write_text("mine")
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        remote.changed(put(store, "content/a.md", None))
        await until(remote, "ok")
    assert git(clone, "status", "--porcelain", "--ignored") == "?? notes.txt\n!! content/x.tmp"
    assert not (clone / "content/a.md").exists()
    assert (clone / POST).exists()
    sound(clone)


async def test_a_worktree_of_the_branch_is_updated(clone: Path, tmp_path: Path) -> None:
    git(clone, "checkout", "-q", "-b", "draft")
    tree = tmp_path / "tree"
    git(clone, "worktree", "add", "-q", str(tree), "main")
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        await until(remote, "ok")
        assert (tree / POST).read_text() == "ours\n"
        assert git(tree, "status", "--porcelain") == ""
        (tree / "content/newer.md").write_text("mine\n")
        remote.changed(put(store, "content/newer.md", "ours\n"))
        status = await until(remote, "waiting")
        assert f"{tree}/content/newer.md" in (status.error or "")
    assert git(clone, "status", "--porcelain") == ""
    sound(clone)


@pytest.mark.parametrize("named", [True, False], ids=["submodule", "separate"])
async def test_a_clone_whose_git_folder_is_elsewhere_goes_along(
    clone: Path, *, named: bool
) -> None:
    """As a submodule's is, which also names its working tree."""
    elsewhere = clone.with_name("elsewhere")
    git(clone, "init", "-q", "--separate-git-dir", str(elsewhere))
    if named:
        git(clone, "config", "core.worktree", str(clone))
    allow_pushes_into(clone)
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        await until(remote, "ok")
        assert (clone / POST).read_text() == "ours\n"
        assert git(clone, "status", "--porcelain") == ""
        (clone / "content/a.md").write_text("mine\n")
        remote.changed(put(store, "content/a.md", "ours\n"))
        status = await until(remote, "waiting")
        assert "content/a.md" in (status.error or "")
        assert (clone / "content/a.md").read_text() == "mine\n"
        git(clone, "checkout", "content/a.md")
        await until(remote, "ok")
    assert (clone / "content/a.md").read_text() == "ours\n"
    sound(clone)


async def test_a_clone_that_refuses_pushes_is_reported_with_the_command_that_helps(
    clone: Path,
) -> None:
    git(clone, "config", "--unset", "receive.denyCurrentBranch")
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        status = await until(remote, "waiting")
        command = f"git -C {clone} config receive.denyCurrentBranch updateInstead"
        assert (status.error or "").endswith(command)
        subprocess.run(command.split(), check=True)
        await remote.fetch_now()
        await until(remote, "ok")


async def test_another_users_clone_is_reported_with_advice(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    store = GitStore(clone.with_name("site.git"), author=ADA)
    remote = Remote(store, "origin", state=clone.parent, on_moved=lambda _: None)
    await remote.start()
    status = await until(remote, "failed")
    assert f"{clone} belongs to another user" in (status.error or "")
    await remote.close()
    store.close()


def stop_half_way(clone: Path, how: str) -> None:
    """Have git run ``how`` when it is to write the last file of a push: the others are moved."""
    (clone / ".git/info").mkdir(exist_ok=True)
    (clone / ".git/info/attributes").write_text("content/stop.md filter=stop\n")
    git(clone, "config", "filter.stop.required", "true")
    git(clone, "config", "filter.stop.clean", "cat")
    git(clone, "config", "filter.stop.smudge", how)


async def push_all_kinds(store: GitStore, remote: Remote) -> None:
    """A new, a changed and a removed post, and one at which git stops."""
    remote.changed(put(store, "content/2026/new.md", "ours\n"))
    remote.changed(put(store, "content/a.md", "ours\n"))
    remote.changed(put(store, "content/b.md", None))
    remote.changed(put(store, "content/stop.md", "ours\n"))
    async with asyncio.timeout(300):
        while remote.status().state not in {"failed", "waiting"}:
            await asyncio.sleep(0.01)


async def test_a_push_for_which_there_is_no_space_changes_nothing_and_comes_later(
    clone: Path,
) -> None:
    before = theirs(clone)
    stop_half_way(clone, "false")
    async with bridge(clone) as (store, remote):
        await push_all_kinds(store, remote)
        assert theirs(clone) == before
        assert f"git could not write a file in {clone}" in (remote.status().error or "")
        git(clone, "config", "filter.stop.smudge", "cat")
        await remote.fetch_now()
        await until(remote, "ok")
        assert git(clone, "rev-parse", "HEAD") == store.head()
    assert git(clone, "status", "--porcelain") == ""
    assert not (clone / ".git/BRIDGE_MOVE").exists()
    sound(clone)


async def test_a_clone_that_cannot_store_a_push_is_tried_again_every_minute(clone: Path) -> None:
    """However often it could not: once its owner has made space, they wait for the posts."""
    hook = clone / ".git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho No space left on device >&2\nexit 1\n")
    hook.chmod(0o755)
    async with bridge(clone) as (store, remote):
        remote._failures = 20
        remote.changed(put(store, POST, "ours\n"))
        status = await until(remote, "failed")
        assert "make space" in status.remedy
        assert (status.retry or 0) < time.time() + 100


@pytest.mark.parametrize("owner", [False, True])
async def test_a_push_that_is_killed_half_way_is_taken_up_again(
    clone: Path, *, owner: bool
) -> None:
    """What the owner has written in the meantime stays."""
    stop_half_way(clone, "kill -9 0")  # git, and the hook
    async with bridge(clone) as (store, remote):
        await push_all_kinds(store, remote)
        assert (clone / "content/a.md").read_text() == "ours\n"
        git(clone, "config", "filter.stop.smudge", "cat")
        (clone / "content/2026/new.md").write_text("ou")  # as a full disk leaves it
        if owner:
            (clone / "content/b.md").write_text("mine\n")
            await remote.fetch_now()
            status = await until(remote, "waiting")
            assert f"content/b.md in {clone} has changes" in (status.error or "")
            assert git(clone, "status", "--porcelain") == "M content/b.md"
            assert (clone / "content/b.md").read_text() == "mine\n"
            git(clone, "checkout", "--", "content/b.md")
        await remote.fetch_now()
        await until(remote, "ok")
        assert git(clone, "rev-parse", "HEAD") == store.head()
    assert git(clone, "status", "--porcelain") == ""
    sound(clone)


async def test_an_edit_stays_after_gits_log_of_the_last_push_has_expired(clone: Path) -> None:
    async def ended() -> None:
        async with asyncio.timeout(300):
            while git(clone, "rev-parse", "HEAD") != store.head():
                if remote.status().state == "waiting":
                    break
                await asyncio.sleep(0.01)

    async with bridge(clone) as (store, remote):
        remote.changed(put(store, "content/a.md", "one\ntwo\n"))
        await ended()
        (clone / "content/a.md").write_text("one\ntwo\nthree\n")
        git(clone, "commit", "-q", "-a", "-m", "Mine")
        log = clone / ".git/logs/refs/heads/main"
        log.write_text(log.read_text().splitlines(keepends=True)[-1])
        (clone / "content/a.md").write_text("one\n")
        remote.changed(put(store, POST, "ours\n"))
        await ended()
        assert (clone / "content/a.md").read_text() == "one\n"


async def test_a_lock_left_by_a_killed_push_is_removed(clone: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = clone / f".git/BRIDGE_LOCK.{ended.pid}"
    left.touch()
    (clone / ".git/index.lock").hardlink_to(left)
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        await until(remote, "ok")
    assert git(clone, "status", "--porcelain") == ""
    sound(clone)


async def test_a_lock_that_a_killed_fetch_has_left_is_removed_while_the_bridge_runs(
    clone: Path,
) -> None:
    async with bridge(clone) as (store, _):
        lock = clone.with_name("site.git") / "refs/remotes/origin/main.lock"
        lock.touch()
        os.utime(lock, (1e9, 1e9))
        git(clone, "commit", "-q", "--allow-empty", "-m", "Mine")
        async with asyncio.timeout(300):
            while store.head() != git(clone, "rev-parse", "HEAD"):
                await asyncio.sleep(0.01)
        assert not lock.exists()


async def test_a_lock_of_another_git_command_is_waited_for(clone: Path) -> None:
    lock = clone / ".git/index.lock"
    lock.touch()
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        status = await until(remote, "failed")
        assert str(lock) in (status.error or "")
        assert lock.exists()
        assert not (clone / POST).exists()
        # However many were met: the owner's commands end soon.
        remote._failures = 20
        await remote.fetch_now()
        async with asyncio.timeout(300):
            while remote.status().retry == status.retry:
                await asyncio.sleep(0.01)
        assert (remote.status().retry or 0) < time.time() + 10
        lock.unlink()
        await remote.fetch_now()
        await until(remote, "ok")
    sound(clone)


async def test_changes_that_wait_are_seen_without_a_lock(clone: Path, tmp_path: Path) -> None:
    """The owner's own git commands work at any moment, however often the push is tried again."""
    (clone / "mine.md").write_text("changed by hand\n")
    git(clone, "add", "mine.md")
    # A program that is called wherever the hook would take the lock.
    programs, called = tmp_path / "programs", tmp_path / "called"
    programs.mkdir()
    (programs / "ln").write_text(
        f'#!/bin/sh\necho "$2" >>{called}\nexec {shutil.which("ln")} "$@"\n'
    )
    (programs / "ln").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs), prepend=":")
        async with bridge(clone) as (store, remote):
            remote.changed(put(store, POST, "ours\n"))
            await until(remote, "waiting")
            assert "index.lock" not in called.read_text()
            git(clone, "commit", "-q", "-m", "Mine")
            await remote.fetch_now()
            await until(remote, "ok")
            assert "index.lock" in called.read_text()
    assert not list((clone / ".git").glob("BRIDGE_[LIS]*"))
    sound(clone)


async def test_a_commit_during_a_push_loses_nothing(clone: Path) -> None:
    """The hook has updated files and index, then the branch moves: both changes are kept."""
    hook = clone / ".git/hooks/push-to-checkout"
    ours = hook.with_name("ours")
    hook.rename(ours)
    hook.write_text(
        f'#!/bin/sh\n"{ours}" "$1" && mv "{ours}" "$0" && git -c user.name=O -c user.email=o@e.com'
        ' commit-tree -p HEAD -m Mine "HEAD^{tree}" | xargs git update-ref refs/heads/main\n'
    )
    hook.chmod(0o755)
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        await until(remote, "ok")
        assert git(clone, "log", "--format=%s").splitlines() == [f"Write {POST}", "Mine", "Begin"]
        assert git(clone, "status", "--porcelain") == ""
    sound(clone)


def push_during_checkout(clone: Path) -> None:
    """``git checkout main``, which is overtaken by a push after it has begun.

    A filter of the owner's runs while the files are written; it takes the place of the bridge.
    """
    git(clone, "checkout", "-q", "-b", "draft", "main")
    git(clone, "checkout", "-q", "main")
    (clone / "late.md").write_text("late\n")
    git(clone, "add", "late.md")
    git(clone, "commit", "-q", "-m", "Late")
    git(clone, "checkout", "-q", "draft")
    other = clone.with_name("other")
    git(clone.parent, "clone", "-q", "-b", "main", str(clone), "other")
    for name in ("new", "newer"):
        (other / f"content/{name}.md").write_text("theirs\n")
        git(other, "add", "-A")
        git(other, "commit", "-q", "-m", name)
    (other / "content/a.md").write_text("theirs\n")
    git(other, "commit", "-q", "-a", "-m", "Edit")
    (clone / ".git/info/attributes").write_text("late.md filter=late\n")
    push = f"git -C {shlex.quote(str(other))} push -q origin main"
    smudge = f"cat; env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE {push}"
    git(clone, "config", "filter.late.smudge", smudge)
    git(clone, "checkout", "-q", "main")
    git(clone, "config", "--unset", "filter.late.smudge")
    assert git(clone, "rev-parse", "main") == git(other, "rev-parse", "main")
    assert git(clone, "status", "--porcelain").splitlines() == [
        "M  content/a.md", "D  content/new.md", "D  content/newer.md",
    ]  # fmt: skip


async def test_a_checkout_that_a_push_overtook_is_brought_up_to_date(clone: Path) -> None:
    """Git leaves the files of such a checkout as if the owner had removed the newest posts."""
    push_during_checkout(clone)
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, "content/newest.md", "ours\n"))
        await until(remote, "ok")
        assert git(clone, "status", "--porcelain") == ""
        assert git(clone, "rev-parse", "main") == store.head()
        assert (clone / "content/new.md").read_text() == "theirs\n"
        assert (clone / "content/newest.md").read_text() == "ours\n"
    sound(clone)


def removed_at_once(clone: Path) -> None:
    """The newest post was pushed while another branch was checked out; then it is removed."""
    git(clone, "checkout", "-q", "main")
    git(clone, "rm", "-q", POST)


def no_longer_staged(clone: Path) -> None:
    git(clone, "checkout", "-q", "main")
    git(clone, "rm", "-q", "--cached", POST)


def removed_on_another_branch(clone: Path) -> None:
    """A removal that is not committed goes along to the branch."""
    git(clone, "merge", "-q", "main")
    git(clone, "rm", "-q", POST)
    git(clone, "checkout", "-q", "main")


def removed_in_the_same_instant(clone: Path) -> None:
    """As far as a coarse clock can tell."""
    removed_at_once(clone)
    when = (clone / ".git/HEAD").stat().st_mtime_ns
    os.utime(clone / "content", ns=(when, when))


def emptied_at_once(clone: Path) -> None:
    """As it was before the newest push, by the owner's wish."""
    git(clone, "checkout", "-q", "main")
    git(clone, "checkout", "-q", "main~1", "--", ".")
    git(clone, "rm", "-q", POST)


@pytest.mark.parametrize(
    "remove",
    [
        removed_at_once,
        removed_in_the_same_instant,
        no_longer_staged,
        removed_on_another_branch,
        emptied_at_once,
    ],
)
async def test_the_owners_removal_of_the_newest_post_is_no_overtaken_checkout(
    clone: Path, remove: Step
) -> None:
    git(clone, "checkout", "-q", "-b", "draft")
    async with bridge(clone) as (store, remote):
        remote.changed(put(store, POST, "ours\n"))
        await until(remote, "ok")
        remove(clone)
        before = theirs(clone)
        remote.changed(put(store, "content/newest.md", "ours\n"))
        status = await until(remote, "waiting")
        assert (status.error or "").startswith(f"{POST} in {clone} has changes that")
        assert theirs(clone) == before
    sound(clone)


# The owner at work, while eight clients post


def persist(clone: Path, *arguments: str, before: Step = lambda _: None) -> None:
    """Git does not wait for locks itself: the owner repeats the command until it succeeds."""
    end = time.monotonic() + 300
    while True:
        before(clone)
        try:
            git(clone, *arguments)
        except subprocess.CalledProcessError as error:
            last = f"{error.stdout}{error.stderr}"
        else:
            return
        if time.monotonic() > end:
            pytest.fail(f"git {arguments} does not succeed: {last}{git(clone, 'status')}")


def commit_by_hand(clone: Path, number: int) -> None:
    name = f"mine-{number}.md"
    (clone / name).write_text("mine")
    persist(clone, "add", name)
    persist(clone, "commit", "-q", "-m", f"Mine {number}", "--", name)


def end_merge(clone: Path) -> None:
    """A merge may find the lock of a push after it has begun."""
    if (clone / ".git/MERGE_HEAD").exists():
        persist(clone, "merge", "--abort")


def rebase_by_hand(clone: Path, number: int) -> None:
    """Rebase the latest commits, including posts, onto a new commit on their base."""
    persist(clone, "checkout", "-q", "-B", "side", "main~2")
    commit_by_hand(clone, number)
    persist(clone, "checkout", "-q", "main")
    with suppress(subprocess.CalledProcessError):
        git(clone, "rebase", "-q", "side")
        return
    # A post arrived in between: give this change up, as an owner would.
    if (clone / ".git/rebase-merge").exists():
        persist(clone, "rebase", "--abort")
    begun = time.monotonic()

    def tidy(clone: Path) -> None:
        """Where a push overtook the checkout, the next push brings the files up to date, unless the
        clock was too coarse to tell that from the owner's removal of posts.
        """
        end_merge(clone)
        if time.monotonic() > begun + 10:
            with suppress(subprocess.CalledProcessError):
                git(clone, "reset", "-q", "--hard")

    persist(clone, "merge", "-q", "-m", "Merged", "side", before=tidy)


@pytest.mark.parametrize("work", [in_soak(commit_by_hand), rebase_by_hand])
async def test_neither_the_owner_nor_the_clients_lose_anything(
    tmp_path: Path, work: Callable[[Path, int], None]
) -> None:
    crowd = Besieged.in_folder(tmp_path, pushing=True)
    git(crowd.clone, "config", "user.name", "Owner")
    git(crowd.clone, "config", "user.email", "owner@example.com")
    process, url = await crowd.start()
    clients, dice = crowd.clients(url, 1), Random(7)
    count = rounds(2, 200)
    async with asyncio.timeout(600):
        while int(git(crowd.clone, "rev-list", "--count", "main")) < 3:
            await asyncio.sleep(0.05)
    for number in range(count):
        await asyncio.sleep(dice.random() * 0.3)
        await asyncio.to_thread(work, crowd.clone, number)
    # The owner does not block anyone permanently.
    known = len(crowd.acknowledged)
    async with asyncio.timeout(600):
        while len(crowd.acknowledged) <= known + CLIENTS:
            await asyncio.sleep(0.05)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    async with asyncio.timeout(600):
        while git(crowd.clone, "rev-parse", "main") != git(crowd.repo, "rev-parse", "main"):
            await asyncio.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    crowd.check()
    assert git(crowd.clone, "status", "--porcelain") == ""
    assert git(crowd.clone, "fsck", "--strict", "--no-dangling") == ""
    names = git(crowd.clone, "ls-tree", "--name-only", "main").splitlines()
    assert {f"mine-{number}.md" for number in range(count)} <= set(names)
    assert not [each for each in names if ".conflict-" in each]
