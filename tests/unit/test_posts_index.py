"""The index of posts follows the files, however they were changed, and can be rebuilt from them."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.errors import IndexLost, Unavailable
from bridge.micropub.action import Create
from bridge.micropub.post import Post
from bridge.posts import index as index_module
from bridge.posts.index import Describe, PostCounts, PostIndex, ReadableFiles
from bridge.posts.urls import canonical, hosts
from bridge.publisher import Published
from bridge.site.messages import (
    IndexedPost,
    ReservedPage,
    SiteFacts,
    Source,
    Unread,
    shown_if_not_utf8,
)
from bridge.store import Blob, BlobId, Change, Commit, StoreBroken, StoreFull, Version
from bridge.store.memory_store import MemoryStore
from bridge.web.micropub import MicropubHandlers


def describe(path: str, blob: BlobId, data: bytes) -> IndexedPost | None:
    """Here a post's file has the text ``date type tag status``."""
    if not path.endswith(".md"):
        return None
    date, kind, tag, status = data.decode().split()
    name = path.rpartition("/")[2].removesuffix(".md")
    return IndexedPost(
        path=path,
        blob=blob,
        url=f"https://example.com/{name}/",
        save_as=f"{name}/index.html",
        status=status,
        type=kind,
        published=float(date),
        channel=f"{kind}s",
        categories=(tag,),
        aliases=(f"https://example.com/old-{name}/",),
        text=tag,
        listings=(f"tag {tag}", f"category {kind}s"),
    )


FACTS = SiteFacts(
    siteurl="https://example.com",
    author="",
    timezone="UTC",
    content="content",
    default_status="published",
    formatted_fields=(),
    intrasite="x",
    output="output",
    suffixes=("md",),
    fingerprint="rules",
    by_formatting=True,
    problems=(),
    values={},
)


def facts(rules: str) -> SiteFacts:
    return msgspec.structs.replace(FACTS, fingerprint=rules)


def newest(store: MemoryStore) -> Version:
    head = store.head()
    assert head is not None
    return head


def at_once(describe: Callable[[str, BlobId, bytes], IndexedPost | Unread | None]) -> Describe:
    """What describes files one by one, as the index asks for many of them, later."""

    def many(files: Sequence[Source]) -> Future[list[IndexedPost | ReservedPage | Unread | None]]:
        future = Future[list[IndexedPost | ReservedPage | Unread | None]]()
        future.set_result([describe(each.path, BlobId(each.blob), each.data) for each in files])
        return future

    return many


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def index(store: MemoryStore, tmp_path: Path) -> Iterator[PostIndex]:
    opened = PostIndex(tmp_path / "index.sqlite", store, "content")
    yield opened
    opened.close()


def read_ahead(index: PostIndex, head: Version, *, stopped: bool = False) -> ReadableFiles | None:
    stop = threading.Event()
    if stopped:
        stop.set()
    return index.read_ahead(head, stop)


def put(store: MemoryStore, **files: str | None) -> Version:
    """Commit files by their names; ``None`` deletes."""
    head = store.head()
    changes = []
    for name, text in files.items():
        path = f"content/{name}.md"
        known = store.read(path, head) if head else None
        changes.append(Change(path, text.encode() if text else None, known.id if known else None))
    (version,) = store.commit([Commit(tuple(changes), "x", head)])
    assert isinstance(version, str)
    return version


def names(entries: list[IndexedPost]) -> list[str]:
    return [entry.save_as.removesuffix("/index.html") for entry in entries]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://example.com/a/b/", "/a/b"),
        ("http://example.com/a/b.html", "/a/b.html"),
        ("https://example.com", "/"),
        ("https://example.com/index.html", "/"),
        ("https://example.com/a/Index.HTM", "/a"),
        ("https://EXAMPLE.com./a//b//", "/a/b"),
        ("https://example.com:443/a", "/a"),
        ("https://example.com:8443/a", "example.com:8443/a"),
        ("https://example.com/a?utm_source=x", "/a"),
        ("https://example.com/a?page=2#b", "/a?page=2"),
        ("https://example.com/%61", "/a"),
        ("https://example.com/x/../a/./b", "/a/b"),
        ("https://example.com/../a/b/..", "/a"),
        ("https://example.com/x/%2e%2E/a", "/a"),
        ("https://example.com/a/.b", "/a/.b"),
        ("https://other.example.com/a/", "other.example.com/a"),
        ("https://example.com/a\n", "/a"),
    ],
)
def test_addresses_are_one_in_each_spelling(url: str, address: str) -> None:
    assert canonical(url, frozenset({"example.com"})) == address


@pytest.mark.parametrize("own", ["https://bücher.example/", "https://xn--bcher-kva.example/"])
def test_a_host_is_one_in_letters_and_in_ascii(own: str) -> None:
    """Browsers, and apps that use their URLs, send the second."""
    for host in ("bücher.example", "BÜCHER.example.", "xn--bcher-kva.example"):
        assert canonical(f"https://{host}/a/", hosts(own)) == "/a"
    assert canonical("https://-ü-.example/a", hosts(own)) == "-ü-.example/a"


def test_the_location_of_a_post_has_the_host_in_ascii() -> None:
    """Clients take the bytes of a header for Latin-1, or for UTF-8."""
    nothing: Any = None
    handlers = MicropubHandlers(nothing, nothing, nothing, nothing, None, max_bytes=0)
    done = Published("https://bücher.example:8443/%C3%BC/?a#b")
    answer = handlers._answer(Create(Post()), done)
    assert answer.headers["Location"] == "https://xn--bcher-kva.example:8443/%C3%BC/?a#b"


def test_the_index_follows_additions_changes_and_deletions(
    store: MemoryStore, index: PostIndex
) -> None:
    put(store, a="1 note x published", b="2 note y published")
    index.refresh(newest(store), facts("rules"), at_once(describe))
    assert names(index.newest(limit=9)) == ["b", "a"]
    put(store, a="3 note z published", b=None)
    index.refresh(newest(store), facts("rules"), at_once(describe))
    assert names(index.newest(limit=9)) == ["a"]
    assert index.categories() == ["z"]
    assert index.find("https://example.com/b/") is None
    assert index.find("https://example.com/old-b/") is None
    assert index.find("https://example.com/old-a/") is not None
    assert index.listings("content/a.md") == {"tag z", "category notes"}
    assert index.listings("content/b.md") == frozenset()
    posts = [index.posts_on(each) for each in ("tag x", "tag y", "tag z", "category notes")]
    assert posts == [0, 0, 1, 1]


def test_a_post_is_found_by_its_present_and_former_urls(
    store: MemoryStore, index: PostIndex
) -> None:
    put(store, a="1 note x published")
    index.refresh(newest(store), facts("rules"), at_once(describe))
    for url in ("https://example.com/a/", "https://example.com/old-a/"):
        found = index.find(url)
        assert found is not None
        assert found.path == "content/a.md"
    assert index.taken_by("https://example.com/a/", "") == "content/a.md"
    assert index.taken_by("", "a/index.html") == "content/a.md"
    assert index.taken_by("https://example.com/old-a/", "") == "content/a.md"
    assert index.taken_by("https://example.com/a/", "a/index.html", but="content/a.md") is None


def test_pagination_in_both_directions(store: MemoryStore, index: PostIndex) -> None:
    put(store, **{f"p{n}": f"{n // 2} note x published" for n in range(10)})
    index.refresh(newest(store), facts("rules"), at_once(describe))
    everything = index.newest(limit=99)
    seen: list[IndexedPost] = []
    after = None
    while page := index.newest(limit=3, after=after):
        seen += page
        after = (page[-1].published, page[-1].path)
    assert seen == everything
    fifth = everything[5]
    before = index.newest(limit=3, before=(fifth.published, fifth.path))
    assert before == everything[2:5]


def test_lists_are_filtered_by_type_status_and_text(store: MemoryStore, index: PostIndex) -> None:
    put(store, a="1 note sea published", b="2 photo sea draft", c="3 note land hidden")
    index.refresh(newest(store), facts("rules"), at_once(describe))
    assert names(index.newest(limit=9, types=("note",))) == ["c", "a"]
    assert names(index.newest(limit=9, statuses=("draft",))) == ["b"]
    assert names(index.newest(limit=9, text="SEA")) == ["b", "a"]
    assert index.categories("se") == ["sea"]
    assert index.channels() == ["notes", "photos"]
    assert index.recent_categories(1) == ["land"]
    assert index.recent_categories(9) == ["land", "sea"]
    assert index.counts(now=2.5) == PostCounts(3, 1, 1)


def test_changed_rules_rebuild_the_index(store: MemoryStore, tmp_path: Path) -> None:
    described: list[str] = []

    def counting(path: str, blob: BlobId, data: bytes) -> IndexedPost | None:
        described.append(path)
        return describe(path, blob, data)

    put(store, a="1 note x published")
    index = PostIndex(tmp_path / "i.sqlite", store, "content")
    index.refresh(newest(store), facts("one"), at_once(counting))
    index.refresh(newest(store), facts("one"), at_once(counting))
    assert len(described) == 1
    index.refresh(newest(store), facts("two"), at_once(counting))
    assert len(described) == 2
    index.close()


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 100])
def test_a_damaged_index_is_rebuilt(store: MemoryStore, tmp_path: Path, damage: bytes) -> None:
    put(store, a="1 note x published")
    file = tmp_path / "i.sqlite"
    file.write_bytes(damage)
    index = PostIndex(file, store, "content")
    index.refresh(newest(store), facts("rules"), at_once(describe))
    assert names(index.newest(limit=9)) == ["a"]
    index.close()


def overwrite(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"garbage!" * (size // 8 - 512))


def empty(file: Path) -> None:
    os.truncate(file, 0)


def cut(file: Path) -> None:
    os.truncate(file, 8192)


def replace_file(file: Path) -> None:
    file.with_name("other").write_bytes(b"not a database at all" * 100)
    file.with_name("other").replace(file)


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


@pytest.mark.parametrize("notices", ["a query", "a refresh"])
@pytest.mark.parametrize("harm", [overwrite, empty, cut, replace_file, Path.unlink, remove_folder])
def test_an_index_that_is_damaged_while_it_is_open_is_rebuilt(
    store: MemoryStore, tmp_path: Path, harm: Callable[[Path], None], notices: str
) -> None:
    file = tmp_path / "state" / "i.sqlite"
    put(store, **{f"post-{number:04}": f"{number} note x published" for number in range(300)})
    index = PostIndex(file, store, "content")
    index.refresh(newest(store), FACTS, at_once(describe))
    assert not index.is_lost
    index._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    harm(file)
    for connection in (index._database, index._reader):
        connection.execute("PRAGMA shrink_memory")  # as if it had been in use for long
    if notices == "a query" and not index.is_lost:
        with pytest.raises(IndexLost):
            index.newest(limit=300)
        with pytest.raises(IndexLost):
            index.find("https://example.com/post-0001/")
        assert index.version is None
    put(store, new="999 note x published")
    index.refresh(newest(store), FACTS, at_once(describe))
    assert names(index.newest(limit=2)) == ["new", "post-0299"]
    assert index.counts(0).all == 301
    assert not index.is_lost
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    index.close()


def test_an_index_that_cannot_be_made_again_is_tried_at_the_next_refresh(
    store: MemoryStore, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    put(store, a="1 note x published")
    index = PostIndex(state / "i.sqlite", store, "content")
    index.refresh(newest(store), FACTS, at_once(describe))
    shutil.rmtree(state)
    state.write_text("in the way")
    for _ in range(2):
        with pytest.raises(StoreBroken):
            index.refresh(newest(store), FACTS, at_once(describe))
        with pytest.raises(IndexLost):
            index.find("https://example.com/a/")
    state.unlink()
    index.refresh(newest(store), FACTS, at_once(describe))
    assert names(index.newest(limit=9)) == ["a"]
    index.close()


def test_the_index_continues_after_a_restart(store: MemoryStore, tmp_path: Path) -> None:
    put(store, a="1 note x published")
    first = PostIndex(tmp_path / "i.sqlite", store, "content")
    first.refresh(newest(store), facts("rules"), at_once(describe))
    first.close()

    def never(path: str, blob: BlobId, data: bytes) -> IndexedPost | None:
        pytest.fail(f"{path} was read again")

    second = PostIndex(tmp_path / "i.sqlite", store, "content")
    second.refresh(newest(store), facts("rules"), at_once(never))
    assert names(second.newest(limit=9)) == ["a"]
    second.close()


def test_an_interrupted_first_index_continues(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indexing a large site takes minutes, and the bridge may be restarted during it."""
    monkeypatch.setattr(index_module, "_BATCH", 500)
    put(store, **{f"post-{number:04}": f"{number} note x published" for number in range(1200)})
    many = at_once(describe)
    asked: list[int] = []

    def until_the_second(
        files: Sequence[Source],
    ) -> Future[list[IndexedPost | ReservedPage | Unread | None]]:
        asked.append(len(files))
        future = many(files)
        if len(asked) == 2:
            future = Future()
            future.set_exception(Unavailable("The site has ended."))
        return future

    first = PostIndex(tmp_path / "i.sqlite", store, "content")
    with pytest.raises(Unavailable):
        first.refresh(newest(store), facts("rules"), until_the_second)
    assert first.version is None
    first.close()
    put(store, **{"post-0001": None, "post-0002": "9999 note y published", "new": "1 note z draft"})

    def counting(
        files: Sequence[Source],
    ) -> Future[list[IndexedPost | ReservedPage | Unread | None]]:
        asked.append(len(files))
        return many(files)

    for rules, expected in (("rules", 702), ("others", 1200)):
        asked.clear()
        second = PostIndex(tmp_path / "i.sqlite", store, "content")
        second.refresh(newest(store), facts(rules), counting)
        assert sum(asked) == expected
        assert len(second.newest(limit=2000)) == 1200
        assert names(second.newest(limit=1)) == ["post-0002"]
        assert second.find("https://example.com/post-0001/") is None
        second.close()


def test_a_full_disk_is_reported_and_indexing_continues_later(
    store: MemoryStore, index: PostIndex
) -> None:
    put(store, a="1 note x published")
    index.refresh(newest(store), facts(""), at_once(describe))
    first = index.version
    index._database.execute("PRAGMA max_page_count = 1")  # as many as there are
    long = "x" * 5000
    put(store, **{f"post-{number}": f"{number} note {long} draft" for number in range(50)})
    with pytest.raises(StoreFull):
        index.refresh(newest(store), facts(""), at_once(describe))
    assert index.version == first
    index._database.execute("PRAGMA max_page_count = 1000000")
    index.refresh(newest(store), facts(""), at_once(describe))
    assert index.version == store.head()
    assert len(index.newest(limit=100)) == 51


@pytest.mark.parametrize(
    "spelling",
    [
        "https://example.com/a%C3%B1o/",
        "https://example.com/año/",
        "https://example.com/an\u0303o/",
        "https://EXAMPLE.com/a%c3%b1o",
        "http://example.com/año/",
        "http://example.com:80/año/",
        "https://example.com:443/año/index.html",
        "https://example.com./año/#part",
        " https://example.com/año/ ",
        "https://example.com//año//",
        "https://example.com/año/?utm_source=mail&utm_medium=x&fbclid=1",
        "https://alias.example/año/",
    ],
)
def test_equivalent_urls_are_found(store: MemoryStore, tmp_path: Path, spelling: str) -> None:
    put(store, año="1 note x published")
    own = hosts("https://alias.example/")
    index = PostIndex(tmp_path / "i.sqlite", store, "content", own=own)
    index.refresh(newest(store), FACTS, at_once(describe))
    assert index.find(spelling) is not None
    assert index.taken_by(spelling, "") == "content/año.md"
    index.close()


@pytest.mark.parametrize(
    "other",
    [
        "https://example.com/AÑO/",
        "https://example.com/año.html",
        "https://www.example.com/año/",
        "https://example.com:8443/año/",
        "https://example.com/año/?page=2",
        "https://example.com/a%2Fño/",
        "https://elsewhere.example/año/",
        "https://[/año/",
        "",
    ],
)
def test_different_urls_are_different(store: MemoryStore, tmp_path: Path, other: str) -> None:
    put(store, año="1 note x published")
    index = PostIndex(tmp_path / "i.sqlite", store, "content")
    index.refresh(newest(store), FACTS, at_once(describe))
    assert index.find(other) is None
    index.close()


def test_unreadable_files_are_listed(store: MemoryStore, index: PostIndex) -> None:
    def refusing(path: str, blob: BlobId, data: bytes) -> IndexedPost | Unread | None:
        return Unread(path, "no title") if data == b"bad" else describe(path, blob, data)

    put(store, a="bad", b="1 note x published")
    index.refresh(newest(store), FACTS, at_once(refusing))
    assert index.unread() == [Unread("content/a.md", "no title")]
    put(store, a="1 note x published")
    index.refresh(newest(store), FACTS, at_once(refusing))
    assert index.unread() == []


def test_a_name_that_is_not_utf8_is_listed_until_it_is_changed(
    store: MemoryStore, index: PostIndex
) -> None:
    def refusing(path: str, blob: BlobId, data: bytes) -> IndexedPost | Unread | None:
        shown = shown_if_not_utf8(path)
        return Unread(shown, "no UTF-8") if shown else describe(path, blob, data)

    odd = "caf\udce9"
    put(store, **{odd: "1 note x published"})
    index.refresh(newest(store), FACTS, at_once(refusing))
    assert index.unread() == [Unread(r"content/caf\xe9.md", "no UTF-8")]
    assert index.find_by_path(f"content/{odd}.md") is None
    put(store, **{odd: None, "cafe": "1 note x published"})
    index.refresh(newest(store), FACTS, at_once(refusing))
    assert index.unread() == []
    assert names(index.newest(limit=9)) == ["cafe"]


def test_a_thousand_posts_take_few_statements_and_each_file_is_read_once(
    store: MemoryStore, index: PostIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, **{f"post-{number}": f"{number} note x published" for number in range(1000)})
    read: list[BlobId] = []
    blobs = store.blobs

    def counted(ids: Iterable[BlobId]) -> Iterator[Blob]:
        wanted = [*ids]
        read.extend(wanted)
        return blobs(wanted)

    monkeypatch.setattr(store, "blobs", counted)
    statements: list[str] = []
    index._database.set_trace_callback(statements.append)
    index.refresh(newest(store), facts("rules"), at_once(describe))
    assert index.counts(now=0.0).all == 1000
    assert sorted(read) == sorted(blob for _, blob in store.files("content", newest(store)))
    assert len(statements) < 200


def test_the_first_posts_are_described_while_the_others_are_listed(
    store: MemoryStore, index: PostIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, **{f"post-{number}": f"{number} note x published" for number in range(1100)})
    listed: list[str] = []
    files = store.files

    def counted(folder: str, at: Version) -> Iterator[tuple[str, BlobId]]:
        for path, blob in files(folder, at):
            listed.append(path)
            yield path, blob

    monkeypatch.setattr(store, "files", counted)
    monkeypatch.setattr(index_module, "_BATCH", 500)
    before: list[int] = []

    def describing(
        files: Sequence[Source],
    ) -> Future[list[IndexedPost | ReservedPage | Unread | None]]:
        before.append(len(listed))
        return at_once(describe)(files)

    index.refresh(newest(store), FACTS, describing)
    assert before[0] < before[-1] == len(listed) == 1100


def test_long_files_are_asked_about_in_smaller_batches(
    store: MemoryStore, index: PostIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several batches are in memory at once. A handful, which requests wait for, is smaller."""
    monkeypatch.setattr(index_module, "_BATCH_BYTES", 2_000)
    put(store, **{f"a-{number:03}": "1 note x published" for number in range(100)})
    put(store, **{f"b-{number:03}": f"1 note {'x' * 1_000} published" for number in range(100)})
    asked: list[int] = []

    def describing(
        files: Sequence[Source],
    ) -> Future[list[IndexedPost | ReservedPage | Unread | None]]:
        asked.append(len(files))
        return at_once(describe)(files)

    index.refresh(newest(store), FACTS, describing)
    assert asked == [101, 51, 48]


def test_of_two_posts_at_one_address_the_one_that_is_spelt_like_this_is_found(
    store: MemoryStore, index: PostIndex
) -> None:
    urls = {"content/a.md": "https://example.com/x/", "content/b.md": "https://example.com/x"}

    def spelt(path: str, blob: BlobId, data: bytes) -> IndexedPost | None:
        post = describe(path, blob, data)
        return post and msgspec.structs.replace(post, url=urls[path])

    put(store, a="1 note x published", b="1 note x published")
    index.refresh(newest(store), FACTS, at_once(spelt))
    for path, url in urls.items():
        found = index.find(url)
        assert found is not None
        assert found.path == path


def test_what_a_page_of_the_desk_asks_does_not_grow_with_the_site(
    store: MemoryStore, index: PostIndex
) -> None:
    put(store, **{f"post-{number:04}": f"{number} note tag{number} published"
                  for number in range(2000)})  # fmt: skip
    index.refresh(newest(store), FACTS, at_once(describe))
    index.counts(now=0.0)  # counts once a version
    steps = 0

    def counted() -> int:
        nonlocal steps
        steps += 1
        return 0

    index._reader.set_progress_handler(counted, 1)
    middle = (1000.0, "content/post-1000.md")
    assert names(index.newest(limit=2, after=middle)) == ["post-0999", "post-0998"]
    assert names(index.newest(limit=2, before=middle)) == ["post-1002", "post-1001"]
    assert index.recent_categories(2) == ["tag1999", "tag1998"]
    assert index.counts(now=1990.5).scheduled == 9
    index._reader.set_progress_handler(None, 0)
    assert steps < 1000


@pytest.mark.parametrize("most", [1, 40, 1 << 25])
@pytest.mark.parametrize("stopped", [False, True])
def test_files_are_read_while_the_site_is_being_loaded(
    store: MemoryStore,
    index: PostIndex,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    stopped: bool,
) -> None:
    monkeypatch.setattr(index_module, "_MOST_AHEAD", most)
    put(store, **{f"p{number}": f"{number} note a published" for number in range(30)})
    others = [
        Commit((Change(f"content/x.{kind}", b"1 note a draft", None),), "x", store.head())
        for kind in ("html", "jpg")
    ]
    for each in others:
        store.commit([msgspec.structs.replace(each, base=store.head())])
    head = newest(store)
    early = read_ahead(index, head, stopped=stopped)
    asked: list[str] = []

    def noted(path: str, blob: BlobId, data: bytes) -> IndexedPost | None:
        asked.append(path)
        return describe(path, blob, data)

    index.refresh(head, FACTS, at_once(noted), early)
    assert sorted(asked) == sorted(f"content/p{number}.md" for number in range(30))
    assert index.counts(100).all == 30
    # An index with posts follows them, and reads nothing that it has.
    assert read_ahead(index, head) is None


def test_what_other_readers_read_is_not_left_out(store: MemoryStore, index: PostIndex) -> None:
    change = Change("content/a.ipynb", b"1 note a published", None)
    store.commit([Commit((change,), "x", None)])
    head = newest(store)
    notebooks = msgspec.structs.replace(FACTS, suffixes=("ipynb", "md"))

    def describe_all(path: str, blob: BlobId, data: bytes) -> IndexedPost | None:
        return describe(path.replace(".ipynb", ".md"), blob, data)

    index.refresh(head, notebooks, at_once(describe_all), read_ahead(index, head))
    assert index.counts(100).all == 1


def test_a_repo_that_cannot_be_read_ahead_is_told_by_the_refresh(
    store: MemoryStore, index: PostIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = put(store, **{f"p{number}": f"{number} note a published" for number in range(30)})
    read = store.blobs

    def breaks_off(ids: Iterable[BlobId]) -> Iterator[Blob]:
        found = read(ids)
        for _ in range(3):
            yield next(found)
        raise StoreBroken("git is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "blobs", breaks_off)
        early = read_ahead(index, head)
        assert early is None
        with pytest.raises(StoreBroken, match="git is gone"):
            index.refresh(head, FACTS, at_once(describe), early)
    index.refresh(head, FACTS, at_once(describe), read_ahead(index, head))
    assert index.counts(100).all == 30


def test_files_are_read_ahead_for_an_index_that_was_damaged(
    store: MemoryStore, index: PostIndex, tmp_path: Path
) -> None:
    head = put(store, a="1 note a published")
    index.refresh(head, FACTS, at_once(describe))
    for file in tmp_path.glob("index.sqlite*"):
        file.unlink()
    assert index.is_lost
    early = read_ahead(index, head)
    assert early is not None
    index.refresh(head, FACTS, at_once(describe), early)
    assert index.counts(100).all == 1
