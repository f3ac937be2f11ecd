"""The bridge's own repo: which repos are accepted, authors of commits, locks, temporary
failures.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git_kit import ADA, git, new_repo, put, set_up

from bridge.store import BlobId, Commit, StoreBroken, StoreBusy, StoreError, setup
from bridge.store.git import GitStore


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The owner's clone, with two posts."""
    set_up(tmp_path, _begin)
    return tmp_path / "site"


def _begin(folder: Path) -> None:
    site = new_repo(folder / "site")
    for name in ("a", "b"):
        (site / "content").mkdir(exist_ok=True)
        (site / f"content/{name}.md").write_text(f"Post {name}\n")
    git(site, "add", "-A")
    git(site, "commit", "-q", "-m", "Begin")


@pytest.fixture
def repo(site: Path) -> Path:
    """The bridge's bare clone of it."""
    set_up(site.parent, _clone)
    return site.with_name("site.git")


def _clone(folder: Path) -> None:
    git(folder / "site", "clone", "-q", "--bare", ".", "../site.git")


@pytest.fixture
def store(repo: Path) -> Iterator[GitStore]:
    store = GitStore(repo, author=ADA, patience=0.3)
    yield store
    store.close()


# Which repos are accepted


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def middle_of_a_rebase(site: Path) -> Path:
    git(site, "checkout", "-q", "--detach")
    (site / ".git/rebase-merge").mkdir()
    (site / ".git/rebase-merge/head-name").write_text("refs/heads/main\n")
    return site


def shallow(site: Path) -> Path:
    git(site, "clone", "-q", "--depth", "1", f"file://{site}", "../shallow")
    return site.with_name("shallow")


def worktree(site: Path) -> Path:
    git(site, "worktree", "add", "-q", "-b", "posts", "../posts")
    return site.with_name("posts")


def submodule(site: Path) -> Path:
    new_repo(site.with_name("outer"))
    outer = site.with_name("outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(site), "blog")
    return outer / "blog"


@pytest.mark.parametrize(
    "make",
    [
        lambda site: site,
        lambda site: site / ".git",
        middle_of_a_rebase,
        shallow,
        worktree,
        submodule,
    ],
)
def test_a_clone_with_a_working_tree_is_refused_with_a_command(
    site: Path, make: Callable[[Path], Path]
) -> None:
    clone = make(site)
    before = everything(site.parent)
    with pytest.raises(StoreBroken) as refused:
        GitStore(clone, author=ADA)
    assert str(refused.value) == (
        f"{clone} is a clone with a working tree, and the bridge commits in a bare clone of its"
        f" own; beside bridge.toml, run: micropub-bridge init {clone}"
    )
    assert everything(site.parent) == before


def test_a_worktree_of_the_bridges_own_repo_is_refused(
    repo: Path, store: GitStore, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    git(repo, "worktree", "add", "-q", str(tree), "main")
    before = store.head()
    for attempt in (lambda: GitStore(repo, author=ADA), lambda: put(store, "a.md", "ours")):
        with pytest.raises(StoreBroken, match=f"worktree remove {tree}"):
            attempt()
    assert store.head() == before
    git(tree, "checkout", "-q", "-b", "other")
    GitStore(repo, author=ADA).close()
    git(tree, "checkout", "-q", "main")
    (link,) = repo.glob("worktrees/*/gitdir")
    # Refused by the system, as what is in another user's home is.
    link.write_text(f"{tmp_path}/{'x' * 300}/.git\n")
    with pytest.raises(StoreBroken, match=f"worktree remove {tmp_path}/xxx"):
        put(store, "a.md", "ours")
    # As git writes it where worktree.useRelativePaths is set.
    link.write_text(os.path.relpath(tree / ".git", link.parent) + "\n")
    with pytest.raises(StoreBroken, match=f"worktree remove {tree}"):
        put(store, "a.md", "ours")
    link.write_text(f"{tree}/.git\n")
    # On a disk that is not mounted.
    git(tree, "worktree", "lock", str(tree))
    shutil.rmtree(tree)
    with pytest.raises(StoreBroken, match=f"worktree remove {tree}"):
        put(store, "a.md", "ours")
    # Deleted without git: nobody can commit there.
    git(repo, "worktree", "unlock", str(tree))
    put(store, "a.md", "ours")


def test_a_setup_of_an_earlier_version_is_refused(repo: Path) -> None:
    (repo / "micropub-bridge").mkdir()
    with pytest.raises(StoreBroken, match="run: micropub-bridge init"):
        GitStore(repo, author=ADA)


def test_unusable_repos_are_refused_with_a_clear_error(
    site: Path, repo: Path, tmp_path: Path
) -> None:
    origin = f"file://{site}"
    git(site, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--depth", "1", "--bare", origin, "shallow")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--bare", origin, "partial")
    git(tmp_path, "clone", "-q", "--bare", str(site), "detached")
    git(tmp_path / "detached", "update-ref", "--no-deref", "HEAD", "main")
    (tmp_path / "empty").mkdir()
    git(repo, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    for path, branch, told in [
        (tmp_path / "nowhere", "", "no repo at"),
        (tmp_path / "empty", "", "not a git repo"),
        (tmp_path / "shallow", "", "git fetch --unshallow"),
        (tmp_path / "partial", "", "partial clone"),
        (tmp_path / "detached", "", r"set \[site\] branch"),
        (repo, "typo", "no branch 'typo'"),
        (repo, "../../config", "cannot be the name"),
        (repo, "alias", "points to another"),
    ]:
        with pytest.raises(StoreBroken, match=told):
            GitStore(path, branch=branch, author=ADA)
    with pytest.raises(StoreBroken, match="does not read"):
        GitStore(repo, author="just a name")


def test_authors_of_commits(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git(repo, "config", "user.useConfigOnly", "true")
    with pytest.raises(StoreBroken, match=r"\[publish\] author"):
        GitStore(repo)
    me, ada = "Me <me@example.com>", "Ada L. <ada@example.com>"
    for author, otherwise, wanted in [("", me, me), (ada, me, ada)]:
        store = GitStore(repo, author=author, fallback_author=otherwise)
        put(store, "content/a.md", wanted)
        store.close()
        assert git(repo, "log", "-1", "--format=%an <%ae>") == wanted
        assert git(repo, "log", "-1", "--format=%cn <%ce>") == wanted
    git(repo, "config", "user.name", "Grace")
    git(repo, "config", "user.email", "grace@example.com")
    store = GitStore(repo)
    put(store, "content/a.md", "x")
    store.close()
    assert git(repo, "log", "-1", "--format=%an <%ae>") == "Grace <grace@example.com>"


# Files and branches


def test_nothing_is_written_through_links_or_into_submodules(site: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "site", "inner")
    (site / "content/2026").symlink_to(tmp_path)
    (site / "content/hooks").symlink_to("../.git/hooks")
    git(site, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "inner"),
        "content/inner")  # fmt: skip
    git(site, "add", "-A")
    git(site, "commit", "-q", "-m", "A link and a submodule")
    git(site, "clone", "-q", "--bare", ".", "../site.git")
    store = GitStore(tmp_path / "site.git", author=ADA)
    for path in ("content/2026/new.md", "content/inner/new.md", "content/hooks/new.md"):
        with pytest.raises(StoreError):
            put(store, path, "ours")
    store.close()


def test_an_executable_file_stays_one(site: Path, tmp_path: Path) -> None:
    (site / "content/a.md").chmod(0o755)
    git(site, "commit", "-q", "-a", "-m", "Run")
    git(site, "clone", "-q", "--bare", ".", "../site.git")
    store = GitStore(tmp_path / "site.git", author=ADA)
    put(store, "content/a.md", "#!/bin/sh\n")
    store.close()
    assert git(tmp_path / "site.git", "ls-tree", "main", "content/a.md").startswith("100755")


def test_commits_are_in_the_reflog_if_there_is_one(repo: Path, store: GitStore) -> None:
    put(store, "content/new.md", "ours")
    git(repo, "config", "core.logAllRefUpdates", "true")
    git(repo, "update-ref", "refs/heads/main", "main^")
    put(store, "content/new.md", "ours")
    assert git(repo, "log", "-g", "-1", "--format=%gs %gn", "main") == (
        "commit: Write content/new.md Ada"
    )


def test_a_branch_in_packed_refs_and_a_concurrent_gc(repo: Path, store: GitStore) -> None:
    for number in range(5):
        put(store, f"content/{number}.md", "x")
        git(repo, "gc", "-q", "--prune=now")
        assert not (repo / "refs/heads/main").exists()
    head = store.head()
    assert head is not None
    assert len(list(store.files("", head))) == 7


def test_a_branch_with_a_slash_in_its_name(repo: Path) -> None:
    git(repo, "branch", "posts/2026", "main")
    git(repo, "pack-refs", "--all")
    store = GitStore(repo, branch="posts/2026", author=ADA)
    put(store, "content/new.md", "ours")
    store.close()
    assert git(repo, "log", "-1", "--format=%s", "posts/2026") == "Write content/new.md"


# Locks


def test_a_lock_that_git_holds_is_waited_for(repo: Path, store: GitStore) -> None:
    lock = repo / "refs/heads/main.lock"
    lock.touch()
    with pytest.raises(StoreBusy, match=r"main\.lock"):
        put(store, "content/new.md", "ours")
    assert lock.exists()
    patient = GitStore(repo, author=ADA, patience=20)
    threading.Timer(0.2, lock.unlink).start()
    put(patient, "content/new.md", "ours")
    patient.close()


@pytest.mark.parametrize("age", [7200, -7200], ids=["old", "clock-set-back"])
def test_a_stale_lock_is_removed(repo: Path, store: GitStore, age: float) -> None:
    lock = repo / "refs/heads/main.lock"
    lock.touch()
    long_ago = time.time() - age
    os.utime(lock, (long_ago, long_ago))
    put(store, "content/new.md", "ours")
    assert not lock.exists()
    # A power cut has ended a fetch; another one goes on.
    old, new = (repo / f"refs/remotes/origin/{name}.lock" for name in ("main", "other"))
    old.parent.mkdir(parents=True)
    old.touch()
    new.touch()
    os.utime(old, (long_ago, long_ago))
    GitStore(repo, author=ADA).close()
    assert (old.exists(), new.exists()) == (False, True)


# Temporary failures


def test_a_repo_that_was_missing_is_used_again(repo: Path, store: GitStore) -> None:
    away = repo.with_name("away")
    first = put(store, "content/new.md", "ours")
    repo.rename(away)
    with pytest.raises(StoreBroken):
        store.head()
    with pytest.raises(StoreBroken):
        store.commit([Commit((), "Nothing", first)])
    away.rename(repo)
    put(store, "content/newer.md", "ours")
    # Another repo in its place, as after restoring a backup.
    repo.rename(away)
    shutil.copytree(away, repo)
    put(store, "content/newest.md", "ours")
    assert len(list(store.files("content", put(store, "content/last.md", "ours")))) == 6


def test_a_git_process_that_died_is_replaced(store: GitStore) -> None:
    version = put(store, "content/new.md", "ours")
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    assert children
    for child in children:
        if (Path("/proc") / child / "comm").read_text().startswith("git"):
            os.kill(int(child), signal.SIGKILL)
    blob = store.read("content/new.md", version)
    assert blob is not None
    assert blob.data == b"ours"


def test_a_thread_that_reads_after_closing_starts_no_process(
    store: GitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process would outlive the store, and nothing would end it."""
    head = store.head()
    assert head is not None
    store.close()
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(StoreBroken, match="closed"):
        store.read("content/a.md", head)


def test_a_damaged_blob_is_reported(repo: Path, store: GitStore) -> None:
    head = store.head()
    assert head is not None
    blob = dict(store.files("", head))["content/a.md"]
    loose = repo / "objects" / blob[:2] / blob[2:]
    loose.unlink()  # it may be the owner's own, by another name
    loose.write_bytes(b"")
    with pytest.raises(StoreBroken):
        list(store.blobs([BlobId(blob)]))


BEFORE_2_39 = """#!/bin/sh
case "$*" in
*" --bare "*--origin* | *--origin*" --bare "*)
    echo "fatal: options '--bare' and '--origin origin' cannot be used together" >&2
    exit 128 ;;
esac
exec {git} "$@"
"""


def test_a_clone_of_the_bridge_follows_none_of_the_owners_settings_for_clones(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks for every repo are for work: they start programs, ask, or refuse."""
    hooks = tmp_path / "template/hooks"
    hooks.mkdir(parents=True)
    for name in ("reference-transaction", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    owners = tmp_path / "gitconfig"
    owners.write_text(
        f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {hooks.parent}\n"
        "[clone]\n\tdefaultRemoteName = upstream\n[safe]\n\tbareRepository = explicit\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(owners))
    older = tmp_path / "older/git"
    older.parent.mkdir()
    older.write_text(BEFORE_2_39.format(git=shutil.which("git")))
    older.chmod(0o755)
    monkeypatch.setenv("PATH", str(older.parent), prepend=os.pathsep)
    bare = tmp_path / "site.git"
    setup.clone_bare(str(site), bare, "main")
    setup.clone_bare(str(site), bare, "main")
    assert setup.not_committed(bare, ["content/a.md", "content/*.md"]) == ["content/*.md"]
    setup.clone_recursively(bare, str(site), "main", tmp_path / "fresh")
    setup.copy_clone(site, tmp_path / "copy")
    setup.clone_and_inspect(str(bare), tmp_path / "again.git", tmp_path / "into")
    for folder in ("fresh", "copy", "into"):
        assert (tmp_path / folder / "content/a.md").exists()
    assert not (tmp_path / "ran").exists()
    assert not (bare / "hooks").exists()
    assert "origin/main" in git(site, f"--git-dir={bare}", "config", "remote.origin.fetch")
