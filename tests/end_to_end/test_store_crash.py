"""The store is interrupted after each single step; no acknowledged commit is ever lost."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from random import Random

import pytest
from breaking_disks import ForgetfulDisk, full_at, killed_at
from git_kit import ADA, git, new_repo, set_up
from soak_kit import SOAK
from warm_kit import WARM

from bridge.store import Change, Commit, StoreBroken, StoreError, StoreFull, Version
from bridge.store.git import GitStore
from bridge.store.transaction import Disk, writer


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The bridge's repo with two posts."""
    set_up(tmp_path, _begin)
    return tmp_path / "site.git"


def _begin(folder: Path) -> None:
    origin = new_repo(folder / "origin")
    for path in ("content/old.md", "content/gone.md"):
        (origin / path).parent.mkdir(exist_ok=True)
        (origin / path).write_text(f"This is {path}\n" * 10)
    git(origin, "add", "-A")
    git(origin, "commit", "-q", "-m", "Begin")
    git(folder, "clone", "-q", "--bare", "origin", "site.git")


def changes(store: GitStore) -> tuple[Change, ...]:
    """A post and a photo in new folders, an update, and a deletion."""
    head = store.head()
    assert head is not None
    ids = dict(store.files("", head))
    return (
        Change("content/2026/11/new.md", b"A new post\n" * 20, None),
        Change("content/media/photo.jpg", bytes(range(256)) * 30, None),
        Change("content/old.md", b"An update\n", ids["content/old.md"]),
        Change("content/gone.md", None, ids["content/gone.md"]),
    )


def after(store: GitStore) -> dict[str, bytes]:
    head = store.head()
    assert head is not None
    paths = [path for path, _ in store.files("", head)]
    return {path: blob.data for path in paths if (blob := store.read(path, head))}


def commit(store: GitStore) -> Version:
    (answer,) = store.commit([Commit(changes(store), "A post\n", store.head())])
    if isinstance(answer, StoreError):
        raise answer
    return answer


def _child(repo: Path, step: int, acknowledged: Path) -> None:
    store = GitStore(repo, author=ADA, disk=killed_at(step))
    version = commit(store)
    acknowledged.write_text(version)
    store.close()


def check_sound(
    repo: Path,
    before: dict[str, bytes],
    wanted: dict[str, bytes],
    sure: bool,
    is_cut: bool = False,
) -> None:
    """The repo is intact, has all of the commit or nothing of it, and accepts the next one."""
    store = GitStore(repo, author=ADA, patience=1)
    found = after(store)
    assert found == wanted or (found == before and not sure)
    packs = {file.name.partition(".")[0] for file in repo.glob("objects/pack/*.pack")}
    beside = {file.name for file in (repo / "objects/pack").iterdir()}
    if is_cut:
        # Git gives a pack its name first, too. It ignores one that has no index, and nobody removes
        # it: with an index that is made again, it may be all that is left of somebody's backup.
        packs = {pack for pack in packs if f"{pack}.idx" in beside}
        beside = {name for name in beside if name.partition(".")[0] in packs}
    assert beside == {f"{pack}.{kind}" for pack in packs for kind in ("pack", "idx")}
    assert [*repo.rglob("*.lock")] == []
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""
    if found == before:
        commit(store)
    (answer,) = store.commit([Commit((Change("next.md", b"Next", None),), "Next\n", store.head())])
    assert answer == store.head()
    assert after(store) == {**wanted, "next.md": b"Next"}
    store.close()


def expected(repo: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    store = GitStore(repo, author=ADA)
    before = after(store)
    wanted = {
        change.path: change.content for change in changes(store) if change.content is not None
    }
    store.close()
    return before, wanted


def again(repo: Path, step: int) -> Path:
    """A fresh copy of the repo."""
    return Path(shutil.copytree(repo, repo.with_name(f"copy-{step}.git"), symlinks=True))


def test_killed_before_any_single_step(repo: Path) -> None:
    before, wanted = expected(repo)
    step = 0
    while True:
        # Every third step: each kind of step comes more than once.
        step += 1 if SOAK else 3
        copy = again(repo, step)
        acknowledged = copy.with_name("acknowledged")
        acknowledged.unlink(missing_ok=True)
        child = WARM.Process(target=_child, args=(copy, step, acknowledged))
        child.start()
        child.join(300)
        assert child.exitcode in {0, -9}
        check_sound(copy, before, wanted, sure=acknowledged.exists())
        shutil.rmtree(copy)
        if child.exitcode == 0:
            break
    assert step > 10


class _FailingDisk(Disk):
    """Fails the first time that a function is called for a file with this ending."""

    def __init__(self, function: str, ending: str) -> None:
        super().__init__()
        self._fails, self._ending = function, ending

    def rename(self, source: Path, target: Path) -> None:
        self._may_fail("rename", target)
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._may_fail("remove", path)
        super().remove(path)

    def _may_fail(self, function: str, path: Path) -> None:
        if (function, path.suffix) == (self._fails, self._ending):
            self._fails = ""
            raise OSError(errno.EIO, "Input/output error")


def test_a_pack_without_its_index_does_not_stay(repo: Path) -> None:
    before, wanted = expected(repo)
    store = GitStore(repo, author=ADA, disk=_FailingDisk("rename", ".idx"))
    with pytest.raises(StoreBroken):
        commit(store)
    store.close()
    check_sound(repo, before, wanted, sure=False)


def test_a_pack_that_a_killed_bridge_gave_no_index_does_not_stay(repo: Path) -> None:
    before, wanted = expected(repo)
    packs, line = repo / "objects/pack", "1" * 40 + "\n"
    (packs / "bridge_tmp_ref").write_text(line)
    (packs / f"pack-{'0' * 40}.keep").write_text(line)
    (packs / f"pack-{'0' * 40}.pack").write_bytes(b"PACK")
    check_sound(repo, before, wanted, sure=False)


def test_leftovers_of_a_power_cut_are_removed_once_the_disk_lets_them(repo: Path) -> None:
    before, wanted = expected(repo)
    packs = repo / "objects/pack"
    (packs / f"pack-{'0' * 40}.keep").write_text("1" * 40 + "\n")
    with writer(packs, 0):
        store = GitStore(repo, author=ADA, patience=0, disk=_FailingDisk("remove", ".keep"))
    with pytest.raises(StoreBroken):
        commit(store)
    commit(store)
    assert [*packs.glob("*.keep")] == []
    store.close()
    check_sound(repo, before, wanted, sure=True)


def test_power_cut_after_any_single_step(repo: Path) -> None:
    before, wanted = expected(repo)
    pristine = repo.with_name("pristine.git")
    shutil.copytree(repo, pristine, symlinks=True)
    disk = ForgetfulDisk(repo)
    store = GitStore(repo, author=ADA, disk=disk)
    commit(store)
    answered = len(disk.moments)
    store.close()
    dice = Random(6)
    for moment in range(answered):
        for choose in (None, *[dice] * (10 if SOAK else 1)):
            target = repo.with_name("cut.git")
            disk.cut(pristine, moment, target, choose)
            check_sound(target, before, wanted, sure=moment == answered - 1, is_cut=True)
            shutil.rmtree(target)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EROFS, StoreBroken)],
)
def test_disk_full_from_any_single_step_on(repo: Path, code: int, kind: type[StoreError]) -> None:
    before, wanted = expected(repo)
    step = 0
    while True:
        step += 1
        disk = full_at(step + 4, code)
        try:
            store = GitStore(repo, author=ADA, disk=disk)
        except kind:
            continue
        try:
            commit(store)
        except kind:
            assert after(store) == before
        else:
            break
        finally:
            store.close()
    check_sound(repo, before, wanted, sure=True)
