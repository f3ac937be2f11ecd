"""The bridge's branch and a real remote synchronise, and nothing is lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from breaking_disks import killed_at
from git_kit import ADA, git, new_repo, push, put, set_up, started
from soak_kit import SOAK
from warm_kit import WARM

from bridge.commands.checks.repo import _check_remote
from bridge.settings import Settings
from bridge.store import Version
from bridge.store.git import GitStore
from bridge.store.object_database import ObjectDatabase
from bridge.store.objects import Kind
from bridge.store.owner_clone import allow_pushes_into
from bridge.store.repo import read_ref
from bridge.store.setup import clone_bare
from bridge.store.sync.rebase import _likeness, _with_both_heads
from bridge.store.sync.remote import MergeConflict, Remote, RemoteStatus
from bridge.store.sync.round import Divergence, SyncRound
from bridge.store.sync.transport import Transport


@dataclass
class World:
    """A remote, the bridge's repo, and the owner's laptop."""

    remote: Path
    repo: Path
    laptop: Path
    moved: list[Version] = field(default_factory=list)

    def write(self, path: str, text: str | None, message: str = "From the laptop") -> None:
        """Commit and push from the laptop."""
        both = (self.laptop / ".git", self.git_dir)
        if len({read_ref(each, "refs/heads/main") for each in both}) > 1:
            git(self.laptop, "pull", "-q", "--rebase", "--autostash", "origin", "main")
        file = self.laptop / path
        if text is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        git(self.laptop, "add", "-A")
        git(self.laptop, "commit", "-q", "-m", message)
        push(self.laptop)

    def on_remote(self, path: str) -> str:
        return git(self.remote, "show", f"main:{path}")

    def listed(self) -> list[str]:
        return git(self.remote, "ls-tree", "-r", "--name-only", "main").split("\n")

    def sound(self) -> None:
        assert git(self.repo, "fsck", "--strict", "--no-dangling") == ""
        assert git(self.remote, "fsck", "--strict", "--no-dangling") == ""
        if self.git_dir != self.remote:
            assert git(self.remote, "status", "--porcelain") == ""
        assert not [*self.repo.rglob("*.lock")]
        assert not [*self.git_dir.rglob("*.lock")]

    @property
    def git_dir(self) -> Path:
        """The remote's git folder."""
        return self.remote / ".git" if (self.remote / ".git").exists() else self.remote


#: For what does not depend on the kind of the remote: `make soak` has both.
on_a_clone = pytest.mark.parametrize("world", ["clone", *(["bare"] if SOAK else [])], indirect=True)


@pytest.fixture(params=["bare", "clone"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """The remote is a bare repo, or a clone with a working tree."""
    set_up(tmp_path, _begin, request.param)
    return World(tmp_path / "remote.git", tmp_path / "repo", tmp_path / "laptop")


def _begin(folder: Path, kind: str) -> None:
    remote, laptop = new_repo(folder / "remote.git", bare=kind == "bare"), folder / "laptop"
    if kind == "clone":
        git(remote, "commit", "-q", "--allow-empty", "-m", "Empty")
        allow_pushes_into(remote)
    git(folder, "clone", "-q", "remote.git", "laptop")
    (laptop / "a.md").write_text("".join(f"line {number}\n" for number in range(12)))
    git(laptop, "add", "-A")
    git(laptop, "commit", "-q", "-m", "Begin")
    git(laptop, "push", "-q", "origin", "HEAD:main")
    clone_bare(str(remote), folder / "repo", "main")


@asynccontextmanager
async def bridge(
    world: World, *, poll: float = 60.0, recreates: bool = True
) -> AsyncIterator[tuple[GitStore, Remote]]:
    store = GitStore(world.repo, author=ADA)
    remote = Remote(
        store,
        "origin",
        state=world.repo,
        on_moved=world.moved.append,
        poll=poll,
        is_post=is_post,
        recreates=recreates,
    )
    await remote.start()
    try:
        yield store, remote
    finally:
        await remote.close()
        store.close()


def is_post(message: str) -> bool:
    return "\nPost: " in message


async def until(remote: Remote, done: Callable[[RemoteStatus], bool]) -> RemoteStatus:
    async with asyncio.timeout(200):
        while not done(remote.status()):
            await asyncio.sleep(0.01)
    return remote.status()


async def settled(remote: Remote) -> RemoteStatus:
    return await until(remote, lambda status: status.state == "ok")


async def test_a_post_reaches_the_remote(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        remote.changed(put(store, "b.md", "ours"))
        assert remote.status().state == "behind"
        assert remote.status().behind == 1
        status = await settled(remote)
    assert (status.behind, status.ahead, status.error) == (0, 0, None)
    assert world.on_remote("b.md") == "ours"
    world.sound()


@on_a_clone
async def test_tags_come_with_the_commits_that_they_name(world: World) -> None:
    """A site may show the version that ``git describe`` names."""
    async with bridge(world) as (store, remote):
        await settled(remote)
        git(world.laptop, "tag", "-a", "v1", "-m", "One")
        git(world.laptop, "push", "-q", "origin", "v1")
        world.write("c.md", "theirs")
        version = git(world.laptop, "rev-parse", "HEAD")
        await remote.fetch_now()
        await until(remote, lambda _: store.head() == version)
        assert git(world.repo, "describe", "main").startswith("v1-1-g")
    world.sound()


@on_a_clone
async def test_few_git_processes_are_started_for_a_post(world: World, tmp_path: Path) -> None:
    """Each costs milliseconds of a processor: what they would say is read from git's files."""
    with started(tmp_path / "open") as opening:
        GitStore(world.repo, author=ADA).close()
    assert opening == ["config"]
    async with bridge(world) as (store, remote):
        await settled(remote)
        remote.changed(put(store, "a.md", "the process that reads objects has started"))
        await settled(remote)
        with started(tmp_path / "post") as sharing:
            for text in ("ours", "ours, changed", None):
                remote.changed(put(store, "b.md", text))
                await settled(remote)
        with started(tmp_path / "nothing") as looking:
            await asyncio.to_thread(remote._round.run, fetch=True)
            assert await asyncio.to_thread(remote._round.counts) == Divergence()
    assert sharing == 3 * ["push", "update-ref"]
    assert looking == ["fetch"]
    assert world.listed() == ["a.md"]


@on_a_clone
async def test_new_posts_during_a_push_are_not_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, numbers = Transport.push, iter(range(8))
    loop = asyncio.get_running_loop()
    async with bridge(world) as (store, remote):
        await settled(remote)

        def pushed(transport: Transport, commit: bytes, seen: str | None) -> None:
            push(transport, commit, seen)
            for number in islice(numbers, 1):
                version = put(store, f"more-{number}.md", "ours")
                loop.call_soon_threadsafe(remote.changed, version)

        monkeypatch.setattr(Transport, "push", pushed)
        remote.changed(put(store, "b.md", "ours"))
        await until(
            remote, lambda status: status.state == "failed" or "more-7.md" in world.listed()
        )
        assert remote.status().error is None
        status = await settled(remote)
    assert (status.behind, status.error) == (0, None)
    world.sound()


@on_a_clone
async def test_unpushed_commits_are_pushed_after_a_restart(world: World) -> None:
    store = GitStore(world.repo, author=ADA)
    put(store, "b.md", "ours")
    store.close()
    async with bridge(world) as (_, remote):
        await settled(remote)
    assert world.on_remote("b.md") == "ours"


async def test_commits_of_the_laptop_are_pulled_and_announced(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        world.write("notes/c.md", "theirs")
        await remote.fetch_now()
        await until(remote, lambda status: bool(world.moved))
        head = store.head()
        assert world.moved == [head]
        assert head is not None
        assert store.read("notes/c.md", head) is not None
    world.sound()


async def test_a_local_remote_is_checked_by_its_files_without_starting_git(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bridge(world, poll=3600) as (_, remote):
        await settled(remote)
        started = tmp_path / "started"
        monkeypatch.setenv("GIT_TRACE", str(started))
        await asyncio.sleep(2.5)
        assert not started.exists()
        monkeypatch.delenv("GIT_TRACE")
        world.write("c.md", "theirs")
        # Within a minute; its poll would see it after an hour.
        await until(remote, lambda status: bool(world.moved))
        for repack in (["pack-refs", "--all"], ["gc", "-q"]):
            git(world.remote, *repack)
            world.write(f"{repack[0]}.md", "theirs")
            count = len(world.moved)
            await until(remote, lambda status: len(world.moved) > count)  # noqa: B023


@on_a_clone
async def test_own_commits_are_rebased_if_the_remote_has_moved(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        world.write("c.md", "theirs")
        for number in range(3):
            remote.changed(put(store, f"ours-{number}.md", "ours"))
        await settled(remote)
        assert world.moved == [store.head()]
    subjects = git(world.remote, "log", "--format=%s|%an|%b", "main").split("\n")
    assert [line for line in subjects if line][:2] == [
        "Write ours-2.md|Ada|Post: x",
        "Write ours-1.md|Ada|Post: x",
    ]
    assert world.listed() == ["a.md", "c.md", "ours-0.md", "ours-1.md", "ours-2.md"]
    assert git(world.remote, "rev-list", "--merges", "main") == ""
    world.sound()


@on_a_clone
async def test_changes_to_different_lines_of_a_file_are_merged(world: World) -> None:
    text = (world.laptop / "a.md").read_text()
    async with bridge(world) as (store, remote):
        await settled(remote)
        version = put(store, "a.md", text.replace("line 9\n", "line 9, ours\n"))
        world.write("a.md", text.replace("line 1\n", "line 1, theirs\n"))
        remote.changed(version)
        status = await settled(remote)
    merged = world.on_remote("a.md")
    assert "line 1, theirs" in merged
    assert "line 9, ours" in merged
    assert status.conflicts == ()
    assert world.listed() == ["a.md"]
    world.sound()


@on_a_clone
async def test_both_versions_are_kept_and_reported_on_a_conflict(world: World) -> None:
    text = (world.laptop / "a.md").read_text()
    async with bridge(world) as (store, remote):
        await settled(remote)
        version = put(store, "a.md", text.replace("line 1\n", "ours\n"))
        world.write("a.md", text.replace("line 1\n", "theirs\n"))
        remote.changed(version)
        status = await settled(remote)
        kept = f"a.md.conflict-{version[:8]}"
        assert status.conflicts == (MergeConflict("a.md", kept),)
    assert "theirs" in world.on_remote("a.md")
    assert "ours" in world.on_remote(kept)
    assert f"Kept-Beside: {kept}" in git(world.remote, "log", "-1", "--format=%b", "main")
    async with bridge(world) as (_, remote):
        await until(remote, lambda status: status.conflicts == (MergeConflict("a.md", kept),))
        world.write(kept, None, "Seen to")
        await remote.fetch_now()
        await until(remote, lambda status: status.conflicts == ())
    world.sound()


@on_a_clone
async def test_a_file_created_on_both_sides_is_kept_twice(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        version = put(store, "new.md", "ours\n")
        world.write("new.md", "theirs\n")
        remote.changed(version)
        status = await settled(remote)
    assert world.on_remote("new.md") == "theirs"
    assert world.on_remote(status.conflicts[0].kept) == "ours"


@on_a_clone
def test_conflicts_are_looked_for_among_the_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in every folder of a large site, each time that the owner has pushed something."""
    store = GitStore(world.repo, author=ADA)
    for month in range(12):
        put(store, f"2026/{month}/post.md", "x")
    kept = "2026/3/post.md.conflict-0123abcd"
    put(store, kept, "y")

    def new() -> SyncRound:
        return SyncRound(store, Transport(store.bare_repo, "origin", "", world.repo, store.disk),
                         is_post)  # fmt: skip

    first, read = new(), list[bytes]()
    whole = ObjectDatabase.read

    def counted(database: ObjectDatabase, oid: bytes, kind: Kind) -> bytes:
        read.append(oid)
        return whole(database, oid, kind)

    monkeypatch.setattr(ObjectDatabase, "read", counted)
    assert first.conflicts() == (MergeConflict("2026/3/post.md", kept),)
    assert len(read) > 12
    read.clear()
    put(store, "2026/5/post.md", "z")
    assert first.conflicts() == (MergeConflict("2026/3/post.md", kept),) == new().conflicts()
    put(store, "2026/5/post.md.conflict-89abcdef", "z")
    put(store, kept, None)
    read.clear()
    found = first.conflicts()
    assert [each.path for each in found] == ["2026/5/post.md"]
    assert len(read) < 4
    assert new().conflicts() == found
    store.close()


@on_a_clone
async def test_a_file_deleted_remotely_and_changed_here_is_kept_as_a_conflict(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        version = put(store, "a.md", "ours\n")
        world.write("a.md", None)
        remote.changed(version)
        status = await settled(remote)
    assert world.listed() == [status.conflicts[0].kept]


@on_a_clone
async def test_a_change_here_follows_a_file_that_was_moved_and_changed_there(world: World) -> None:
    """A redirect for a post that was moved by hand, which is moved again before it is pulled; a
    post that is deleted here stays deleted.
    """
    post = "Title: A post\nSlug: {slug}\n{more}\nA text of some words, which stays as it is.\n"
    world.write("a.md", post.format(slug="two", more=""))
    (world.laptop / "deleted.md").write_text("Title: Deleted here\n\nMoved there.\n")
    (world.laptop / "data.csv").write_text("A text of some words, which stays as it is.\n")
    world.write("other.md", "Title: Another\n\nIn the way.\n")
    async with bridge(world) as (store, remote):
        await remote.fetch_now()
        await until(remote, lambda _: store.head() == git(world.remote, "rev-parse", "main"))
        await settled(remote)
        put(store, "deleted.md", None)
        version = put(store, "a.md", post.format(slug="two", more="Mf2: one\n"))
        world.write("a.md", None)
        (world.laptop / "deleted.md").rename(world.laptop / "elsewhere.md")
        (world.laptop / "data.csv").rename(world.laptop / "a.csv")
        world.write("new.md", "Title: New\n\nSomething else.\n")
        world.write("moved/b.md", post.format(slug="three", more=""))
        remote.changed(version)
        status = await settled(remote)
    assert status.conflicts == ()
    assert sorted(world.listed()) == ["a.csv", "moved/b.md", "new.md", "other.md"]
    both = post.format(slug="three", more="Mf2: one\n")
    assert world.on_remote("moved/b.md") == both.rstrip("\n")


def test_two_notes_are_not_one_that_was_moved_because_of_their_front_matter() -> None:
    note = b'Title: A note\nCategory: notes\nMf2: {"type":["h-entry"]}\n\n%s\n'
    assert _likeness(note % b"One.", note % b"Another.") == 0
    assert _likeness(note % b"", note % b"") == 0
    assert _likeness(note % b"One.", b"Title: Renamed\n\nOne.\n") == 1


def test_changes_to_a_very_long_front_matter_are_not_told_apart() -> None:
    """5,000 lines took ten seconds, 20,000 minutes."""
    base = b"".join(b"k%d: v\n" % (number % 7) for number in range(1000)) + b"\n\nText\n"
    assert _with_both_heads(b"a: 1\n" + base, base, base.replace(b"\n\n", b"\nz: 2\n\n", 1)) is None
    short = base[-100:]
    assert _with_both_heads(b"a: 1\n" + short, short, short.replace(b"\n\n", b"\nz: 2\n\n", 1))


@on_a_clone
async def test_a_file_deleted_here_and_changed_remotely_is_kept(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        version = put(store, "a.md", None)
        world.write("a.md", "theirs\n")
        remote.changed(version)
        await settled(remote)
    assert world.on_remote("a.md") == "theirs"


@on_a_clone
async def test_commits_already_in_the_remote_are_not_repeated(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        version = put(store, "same.md", "the same\n")
        world.write("same.md", "the same\n")
        remote.changed(version)
        await settled(remote)
    assert git(world.remote, "log", "--format=%s", "main", "--", "same.md") == "From the laptop"


@on_a_clone
@pytest.mark.parametrize("instead", ["", "instead.md"])
async def test_commits_removed_by_a_force_push_stay_removed_but_no_post_is_lost(
    world: World, instead: str
) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        remote.changed(put(store, "pushed.md", "ours"))
        await settled(remote)
        world.write("regretted.md", "theirs", "Regretted")
        await remote.fetch_now()
        await until(remote, lambda status: bool(world.moved))
        await settled(remote)
        git(world.laptop, "reset", "-q", "--hard", "HEAD~2")
        if instead:
            (world.laptop / instead).write_text("theirs")
            git(world.laptop, "add", "-A")
            git(world.laptop, "commit", "-q", "-m", "Instead")
        git(world.laptop, "push", "-q", "--force", "origin", "main")
        remote.changed(put(store, "b.md", "ours"))
        await settled(remote)
    assert world.listed() == sorted(["a.md", "b.md", "pushed.md", *filter(None, [instead])])
    world.sound()


async def test_an_empty_remote_gets_its_first_branch(world: World) -> None:
    if world.git_dir != world.remote:
        git(world.remote, "checkout", "-q", "-b", "other")  # or files would be in the way
    git(world.remote, "update-ref", "-d", "refs/heads/main")
    async with bridge(world) as (store, remote):
        await settled(remote)
        assert git(world.remote, "rev-parse", "main") == store.head()


async def test_a_main_branch_that_was_renamed_is_not_created_again(world: World) -> None:
    """The owner would not see the posts that are pushed to it."""
    async with bridge(world, poll=1.0, recreates=False) as (store, remote):
        await settled(remote)
        git(world.remote, "branch", "-m", "main", "trunk")
        version = put(store, "b.md", "ours")
        remote.changed(version)
        status = await until(remote, lambda status: status.state == "failed")
        assert status.error is not None
        assert "no branch main any more, and its main branch is trunk" in status.error
        assert f"git -C {world.repo} branch -m" in status.remedy
        assert "main" not in git(world.remote, "branch", "--list", "main")
        # Back again, it goes on by itself.
        git(world.remote, "branch", "-m", "trunk", "main")
        await until(remote, lambda status: status.state == "ok" and not status.behind)
        assert git(world.remote, "rev-parse", "main") == version
    # Renamed on both sides, too.
    for repo in (world.remote, world.repo):
        git(repo, "branch", "-m", "main", "trunk")
    async with bridge(world, recreates=False) as (store, remote):
        await settled(remote)
        version = put(store, "c.md", "ours")
        remote.changed(version)
        await settled(remote)
        assert git(world.remote, "rev-parse", "trunk") == version
    world.sound()


async def test_an_empty_repo_gets_the_first_commits_of_the_remote(
    world: World, tmp_path: Path
) -> None:
    new_repo(tmp_path / "new.git", bare=True)
    git(tmp_path / "new.git", "remote", "add", "origin", str(world.remote))
    async with bridge(World(world.remote, tmp_path / "new.git", world.laptop)) as (store, remote):
        await settled(remote)
        assert store.head() == git(world.remote, "rev-parse", "main")


async def test_a_refused_push_is_reported_and_retried(world: World) -> None:
    hook = world.git_dir / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    async with bridge(world) as (store, remote):
        await settled(remote)
        remote.changed(put(store, "b.md", "ours"))
        status = await until(remote, lambda status: status.state == "failed")
        assert status.behind == 1
        assert "[remote rejected] (pre-receive hook declined)" in (status.error or "")
        assert "main is protected" in (status.error or "")
        assert "refs/heads" not in (status.error or "")
        assert "allow this user to push" in status.remedy
        assert status.retry is not None
        publish = SimpleNamespace(remote="origin", token="")
        site = SimpleNamespace(state=world.repo, repo=world.repo)
        settings = cast("Settings", SimpleNamespace(publish=publish, site=site))
        head = store.head()
        assert head is not None
        found, _ = await asyncio.to_thread(_check_remote, store, head, settings)
        assert "lacks 1 of" in found.fact
        assert "main is protected" in found.fact
        assert "allow this user to push" in found.remedy
        hook.unlink()
        status = await until(remote, lambda status: status.state == "ok")
        assert status.remedy == ""
    assert world.on_remote("b.md") == "ours"


async def test_a_missing_remote_is_reported_and_found_again(world: World) -> None:
    away = world.remote.with_name("away.git")
    world.remote.rename(away)
    async with bridge(world) as (store, remote):
        await until(remote, lambda status: status.state == "failed")
        remote.changed(put(store, "b.md", "ours"))
        assert remote.status().behind == 1
        away.rename(world.remote)
        await remote.fetch_now()
        await settled(remote)
    assert world.on_remote("b.md") == "ours"


@on_a_clone
async def test_an_unreachable_remote_is_retried_with_growing_delays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    stopped = SimpleNamespace(time=lambda: clock[0], monotonic=lambda: clock[0])
    monkeypatch.setattr("bridge.store.sync.remote.time", stopped)
    away = world.remote.rename(world.remote.with_name("away.git"))
    async with bridge(world) as (store, remote):
        pauses, seen = list[float](), set[float | None]([None])
        for _ in range(3):
            status = await until(remote, lambda status: status.retry not in seen)
            seen.add(status.retry)
            pauses.append(status.retry or 0)
            # A new post does not trigger a try, but an explicit request does.
            remote.changed(put(store, f"{len(pauses)}.md", "ours"))
            assert remote.status().retry == status.retry
            if len(pauses) < 3:
                await remote.fetch_now()
        away.rename(world.remote)
        clock[0] += pauses[-1] * 2
        await settled(remote)
    assert pauses == [pytest.approx(seconds, rel=0.2) for seconds in (2, 4, 8)]


@on_a_clone
async def test_unpushed_merges_are_kept_as_merges(world: World, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(world.repo), "other")
    git(tmp_path / "other", "checkout", "-q", "-b", "side")
    (tmp_path / "other" / "side.md").write_text("side")
    git(tmp_path / "other", "add", "-A")
    git(tmp_path / "other", "commit", "-q", "-m", "Side")
    git(tmp_path / "other", "checkout", "-q", "main")
    git(tmp_path / "other", "merge", "-q", "--no-ff", "-m", "Merged by the owner", "side")
    merge = git(tmp_path / "other", "rev-parse", "HEAD")
    world.write("c.md", "theirs")
    git(tmp_path / "other", "push", "-q", "origin", "main")
    async with bridge(world) as (_, remote):
        await settled(remote)
    git(world.remote, "merge-base", "--is-ancestor", merge, "main")
    assert world.listed() == ["a.md", "c.md", "side.md"]
    world.sound()


@on_a_clone
async def test_commits_pushed_into_the_bridges_repo_are_announced_and_pushed_on(
    world: World, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", str(world.repo), "other")
    (tmp_path / "other" / "d.md").write_text("d")
    git(tmp_path / "other", "add", "-A")
    git(tmp_path / "other", "commit", "-q", "-m", "D")
    async with bridge(world) as (store, remote):
        await settled(remote)
        git(tmp_path / "other", "push", "-q", "origin", "main")
        await until(remote, lambda _: "d.md" in world.listed())
        assert world.moved == [store.head()]
    world.sound()


@on_a_clone
async def test_symlinks_and_modes_from_the_remote_are_kept(world: World) -> None:
    async with bridge(world) as (store, remote):
        await settled(remote)
        (world.laptop / "link").symlink_to("a.md")
        (world.laptop / "a.md").chmod(0o755)
        world.write("run.sh", "#!/bin/sh\n")
        remote.changed(put(store, "b.md", "ours"))
        await settled(remote)
    assert git(world.remote, "ls-tree", "main", "link", "a.md").split()[::4] == ["100755", "120000"]
    world.sound()


@on_a_clone
async def test_the_name_of_a_remote_is_never_taken_for_an_option(world: World) -> None:
    git(world.repo, "config", "remote.--mirror.url", str(world.remote))
    store = GitStore(world.repo, author=ADA)
    remote = Remote(
        store, "--mirror", state=world.repo, on_moved=world.moved.append, is_post=is_post
    )
    await remote.start()
    await settled(remote)
    remote.changed(put(store, "b.md", "ours"))
    await settled(remote)
    await remote.close()
    store.close()
    assert world.listed() == ["a.md", "b.md"]


@on_a_clone
async def test_without_a_remote_nothing_is_done(world: World) -> None:
    store = GitStore(world.repo, author=ADA)
    for name in ("", "nowhere"):
        remote = Remote(store, name, state=world.repo, on_moved=world.moved.append)
        await remote.start()
        remote.changed(put(store, f"{name}.md", "ours"))
        assert remote.status() == RemoteStatus("none")
        await remote.close()
    store.close()


def _catch_up(repo: Path, step: int) -> None:
    store = GitStore(repo, author=ADA, disk=killed_at(step))
    transport = Transport(store.bare_repo, "origin", "", repo, store.disk)
    transport.url()
    SyncRound(store, transport, is_post).run(fetch=True)
    store.close()


@on_a_clone
async def test_killed_before_any_single_step_of_synchronising(world: World, tmp_path: Path) -> None:
    text = (world.laptop / "a.md").read_text()
    store = GitStore(world.repo, author=ADA)
    put(store, "new/ours.md", "ours")
    put(store, "a.md", text.replace("line 9\n", "line 9, ours\n"))
    store.close()
    world.write("new/theirs.md", "theirs")
    world.write("a.md", text.replace("line 1\n", "line 1, theirs\n"))
    step, finished = 0, False
    while not finished:
        # Every seventh step: writing, partial writing, syncing and renaming are all covered.
        step += 1 if SOAK else 7
        copy = tmp_path / f"copy-{step}"
        copy.mkdir()
        for name in ("remote.git", "repo"):
            shutil.copytree(tmp_path / name, copy / name, symlinks=True)
        git(copy / "repo", "remote", "set-url", "origin", str(copy / "remote.git"))
        child = WARM.Process(target=_catch_up, args=(copy / "repo", step))
        child.start()
        child.join(300)
        assert child.exitcode in {0, -9}
        finished = child.exitcode == 0
        after = World(copy / "remote.git", copy / "repo", world.laptop)
        GitStore(after.repo, author=ADA).close()
        after.sound()
        async with bridge(after) as (_, remote):
            await settled(remote)
        after.sound()
        assert after.listed() == ["a.md", "new/ours.md", "new/theirs.md"]
        merged = after.on_remote("a.md")
        assert "line 1, theirs" in merged
        assert "line 9, ours" in merged
        shutil.rmtree(copy)
    assert step > 10
