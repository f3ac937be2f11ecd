"""The behaviour of every content store, in memory or in git."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from git_kit import new_repo

from bridge.store import (
    BlobId,
    BranchMoved,
    Change,
    Commit,
    ContentStore,
    Difference,
    FileChanged,
    StoreBroken,
    StoreError,
    Version,
)
from bridge.store.git import GitStore
from bridge.store.memory_store import MemoryStore


@dataclass
class Pair:
    """A store, and a way to open another one on the same branch, as another process would."""

    store: ContentStore
    sharing: Callable[[], ContentStore]


@pytest.fixture(params=["memory", "sha1", "sha256"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    if request.param == "memory":
        memory = MemoryStore()
        yield Pair(memory, lambda: MemoryStore(sharing=memory))
        return
    repo = _repo(request.param, tmp_path)
    opened: list[GitStore] = []

    def another() -> GitStore:
        opened.append(GitStore(repo, author="Ada <ada@example.com>"))
        return opened[-1]

    yield Pair(another(), another)
    for store in opened:
        store.close()
    fsck = subprocess.run(["git", "fsck", "--strict", "--no-dangling"], cwd=repo, check=True,
                          capture_output=True, text=True)  # fmt: skip
    assert "error" not in fsck.stderr


def _repo(kind: str, folder: Path) -> Path:
    return new_repo(folder / "site.git", bare=True, kind=kind)


@pytest.fixture
def store(pair: Pair) -> ContentStore:
    return pair.store


def put(store: ContentStore, path: str, content: str, expected: BlobId | None = None) -> Version:
    return one(store, Change(path, content.encode(), expected))


def drop(store: ContentStore, path: str) -> Version:
    return one(store, Change(path, None, blob_at(store, path)))


def one(store: ContentStore, *changes: Change) -> Version:
    answer = store.commit([Commit(changes, "A post\n\nPost: x\n", store.head())])[0]
    if isinstance(answer, StoreError):
        raise answer
    return answer


def blob_at(store: ContentStore, path: str) -> BlobId | None:
    head = store.head()
    blob = store.read(path, head) if head else None
    return blob.id if blob else None


def text(store: ContentStore, path: str, at: Version) -> str | None:
    blob = store.read(path, at)
    return blob.data.decode() if blob else None


def test_a_commit_becomes_the_head_and_can_be_read(store: ContentStore) -> None:
    version = put(store, "content/notes/2026/é & %.md", "Text\r\n\twith anything\n")
    assert store.head() == version
    assert text(store, "content/notes/2026/é & %.md", version) == "Text\r\n\twith anything\n"


def test_reading_a_missing_file_returns_none(store: ContentStore) -> None:
    version = put(store, "content/a.md", "a")
    for path in ("content/b.md", "content", "content/a.md/x", "other/a.md"):
        assert store.read(path, version) is None


def test_one_commit_may_write_and_delete_many_files(store: ContentStore) -> None:
    put(store, "old.md", "old")
    version = one(
        store,
        Change("content/post.md", b"text", None),
        Change("content/media/photo.jpg", bytes(range(256)) * 100, None),
        Change("old.md", None, blob_at(store, "old.md")),
    )
    assert [path for path, _ in store.files("", version)] == [
        "content/media/photo.jpg",
        "content/post.md",
    ]
    photo = store.read("content/media/photo.jpg", version)
    assert photo is not None
    assert photo.data == bytes(range(256)) * 100


def test_older_versions_do_not_change(store: ContentStore) -> None:
    first = put(store, "a.md", "one")
    second = put(store, "a.md", "two", blob_at(store, "a.md"))
    assert (text(store, "a.md", first), text(store, "a.md", second)) == ("one", "two")


def test_files_are_sorted_by_path_and_limited_to_a_folder(store: ContentStore) -> None:
    paths = ["a/b/c.md", "a/b.md", "a/b-c.md", "ab/x.md", "a.md", "a/é.md", "a/b0/z.md"]
    version = one(store, *(Change(path, path.encode(), None) for path in paths))
    listed = [path for path, _ in store.files("", version)]
    assert listed == sorted(paths, key=str.encode)
    assert [path for path, _ in store.files("a", version)] == [
        path for path in listed if path.startswith("a/")
    ]
    assert list(store.files("nowhere", version)) == []
    assert list(store.files("a.md", version)) == []


def test_blobs_are_returned_in_the_requested_order(store: ContentStore) -> None:
    version = one(store, Change("a", b"1", None), Change("b", b"2", None), Change("c", b"", None))
    ids = dict(store.files("", version))
    wanted = [ids["c"], ids["a"], ids["b"], ids["a"]]
    assert [blob.data for blob in store.blobs(wanted)] == [b"", b"1", b"2", b"1"]


def test_unknown_blobs_and_versions_raise(store: ContentStore) -> None:
    version = put(store, "a.md", "a")
    stranger = "0123456789abcdef" * (len(version) // 16) + "0" * (len(version) % 16)
    with pytest.raises(StoreBroken):
        list(store.blobs([BlobId(stranger)]))
    with pytest.raises(StoreBroken):
        store.read("a.md", Version(stranger))
    with pytest.raises(StoreBroken):
        store.read("a.md", Version("nonsense"))
    assert text(store, "a.md", version) == "a"


def test_diff_names_every_path_that_differs(store: ContentStore) -> None:
    first = one(store, *(Change(path, path.encode(), None) for path in ("a/1", "a/2", "b/3", "b")
                         if path != "b"))  # fmt: skip
    ids = dict(store.files("", first))
    second = one(store, Change("a/2", b"changed", ids["a/2"]), Change("b/3", None, ids["b/3"]))
    third = one(store, Change("b", b"a file now", None), Change("c/d/e", b"new", None))
    new = dict(store.files("", third))
    assert list(store.diff(first, third)) == [
        Difference("a/2", ids["a/2"], new["a/2"]),
        Difference("b", None, new["b"]),
        Difference("b/3", ids["b/3"], None),
        Difference("c/d/e", None, new["c/d/e"]),
    ]
    assert list(store.diff(second, second)) == []


def test_a_moved_file_is_a_removal_and_an_addition(store: ContentStore) -> None:
    first = put(store, "a.md", "the same text")
    blob = blob_at(store, "a.md")
    second = one(store, Change("a.md", None, blob), Change("b.md", b"the same text", None))
    assert list(store.diff(first, second)) == [
        Difference("a.md", blob, None),
        Difference("b.md", None, blob),
    ]


def test_removals_are_listed_newest_first_with_their_last_content(store: ContentStore) -> None:
    for path in ("c/a.md", "c/b.md", "c/kept.md", "other/x.md"):
        put(store, path, f"first {path}")
    put(store, "c/b.md", "last words", blob_at(store, "c/b.md"))
    by_a = drop(store, "c/a.md")
    by_b = drop(store, "c/b.md")
    at = drop(store, "other/x.md")
    removed = list(store.removals(["c"], at))
    assert [(item.path, item.version) for item in removed] == [("c/b.md", by_b), ("c/a.md", by_a)]
    times = {each.version: each.time for each in store.log(at)}
    assert [item.time for item in removed] == [times[by_b], times[by_a]]
    assert [blob.data for blob in store.blobs(item.blob for item in removed)] == [
        b"last words",
        b"first c/a.md",
    ]
    assert next(item.path for item in store.removals([""], at)) == "other/x.md"
    assert list(store.removals(["nowhere"], at)) == []
    # Each post may be a symbolic link. That is more than the arguments of a program may hold.
    many = [f"nowhere/{'long' * 50}-{number}" for number in range(40_000)]
    assert list(store.removals([*many, "c/a", "other/x.md"], at)) == list(
        store.removals(["other/x.md"], at)
    )
    assert [item.path for item in store.removals([*many, "c"], at)] == ["c/b.md", "c/a.md"]


def test_the_log_lists_messages_newest_first_by_file_and_since_a_time(
    store: ContentStore,
) -> None:
    first = put(store, "a.md", "one")
    put(store, "b [1].md", "other")
    at = put(store, "a.md", "two", blob_at(store, "a.md"))
    logged = list(store.log(at))
    assert [each.version for each in logged][::2] == [at, first]
    assert [each.message.strip() for each in logged] == ["A post\n\nPost: x"] * 3
    assert [each.version for each in store.log(at, path="a.md")] == [at, first]
    assert len(list(store.log(at, path="b [1].md"))) == 1
    assert list(store.log(at, since=logged[0].time + 60)) == []
    assert len(list(store.log(at, since=logged[-1].time - 60))) == 3
    with pytest.raises(StoreBroken):
        list(store.log(Version("0" * len(at))))


def test_a_removal_is_listed_although_another_file_has_the_name_now(store: ContentStore) -> None:
    def removed(at: Version) -> list[bytes]:
        return [blob.data for blob in store.blobs(each.blob for each in store.removals([""], at))]

    put(store, "a.md", "one")
    drop(store, "a.md")
    assert removed(put(store, "a.md", "two")) == [b"one"]
    assert removed(drop(store, "a.md")) == [b"two", b"one"]
    put(store, "a.md", "two")
    assert removed(drop(store, "a.md")) == [b"two", b"one"]


def test_a_file_that_has_changed_is_not_overwritten(store: ContentStore) -> None:
    put(store, "a.md", "one")
    seen = blob_at(store, "a.md")
    put(store, "a.md", "two", seen)
    head = store.head()
    for change in (
        Change("a.md", b"three", seen),
        Change("a.md", b"three", None),
        Change("a.md", None, seen),
        Change("a.md/below", b"", None),
        Change("b.md", b"", seen),
    ):
        with pytest.raises(FileChanged):
            one(store, change)
    assert store.head() == head


def test_a_file_does_not_replace_a_folder(store: ContentStore) -> None:
    put(store, "a/b.md", "one")
    with pytest.raises(FileChanged):
        put(store, "a", "two")


def test_a_commit_is_atomic(store: ContentStore) -> None:
    put(store, "a.md", "one")
    head = store.head()
    with pytest.raises(FileChanged):
        one(store, Change("new.md", b"new", None), Change("a.md", b"two", None))
    assert store.head() == head


def test_concurrent_commits_are_serialised(store: ContentStore) -> None:
    base = put(store, "a.md", "one")
    seen = blob_at(store, "a.md")
    answers = store.commit(
        [
            Commit((Change("b.md", b"b", None),), "B", base),
            Commit((Change("a.md", b"two", seen),), "A", base),
            Commit((Change("a.md", b"three", seen),), "A again, from the same knowledge", base),
            Commit((Change("c.md", b"c", None),), "C", base),
        ]
    )
    b, a, again, c = answers
    assert isinstance(again, FileChanged)
    assert again.path == "a.md"
    assert store.head() == c
    assert isinstance(a, str)
    assert isinstance(b, str)
    assert [path for path, _ in store.files("", Version(b))] == ["a.md", "b.md"]
    assert text(store, "a.md", Version(a)) == "two"


def test_a_commit_by_another_writer_makes_the_base_stale(pair: Pair) -> None:
    base = put(pair.store, "a.md", "one")
    other = pair.sharing()
    put(other, "b.md", "theirs")
    commit = Commit((Change("c.md", b"mine", None),), "Mine", base)
    (stale,) = pair.store.commit([commit])
    assert isinstance(stale, BranchMoved)
    (fresh,) = pair.store.commit([Commit(commit.changes, "Mine", pair.store.head())])
    assert [path for path, _ in other.files("", Version(str(fresh)))] == ["a.md", "b.md", "c.md"]


def test_own_commits_do_not_make_the_base_stale(store: ContentStore) -> None:
    base = put(store, "a.md", "one")
    put(store, "b.md", "two")
    (answer,) = store.commit([Commit((Change("c.md", b"", None),), "C", base)])
    assert answer == store.head()


def test_the_first_commit_of_an_empty_branch(store: ContentStore) -> None:
    if store.head() is None:
        version = put(store, "a.md", "one")
        (late,) = store.commit([Commit((Change("b.md", b"", None),), "Late", None)])
        assert store.head() == late != version


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", ".git/config", "a/.GIT/x",
     "a\0b", "a/", ".git./x", "git~1/x", "a\\..\\b"],
)  # fmt: skip
def test_a_path_outside_the_tree_is_refused(store: ContentStore, path: str) -> None:
    head = store.head()
    with pytest.raises(StoreError):
        put(store, path, "x")
    assert store.head() == head


def test_eight_concurrent_writers_lose_nothing(pair: Pair) -> None:
    stores = [pair.store, pair.sharing()]

    def write(number: int) -> None:
        store = stores[number % 2]
        for attempt in range(50):
            answer = store.commit(
                [Commit((Change(f"n/{number}.md", b"x", None),), f"N{number}", store.head())]
            )[0]
            if not isinstance(answer, StoreError):
                return
            assert isinstance(answer, BranchMoved), attempt
        pytest.fail("never got through")

    with ThreadPoolExecutor(8) as hands:
        list(hands.map(write, range(24)))
    head = stores[0].head()
    assert head is not None
    assert len(list(stores[1].files("n", head))) == 24


def test_a_commit_may_be_empty(store: ContentStore) -> None:
    first = put(store, "a.md", "one")
    second = one(store)
    assert second == store.head() != first
    assert list(store.diff(first, second)) == []
