"""The index follows the files, whoever changed them, and can be thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.store import BlobId, Change, Commit, StoreFull, Version
from bridge.store.memory import MemoryStore
from bridge.store.post_index import Entry, PostIndex


def describe(path: str, blob: BlobId, data: bytes) -> Entry | None:
    """A post is a file ``date type tag status`` here."""
    if not path.endswith(".md"):
        return None
    date, kind, tag, status = data.decode().split()
    name = path.rpartition("/")[2].removesuffix(".md")
    return Entry(
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
    )


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def index(store: MemoryStore, tmp_path: Path) -> Iterator[PostIndex]:
    opened = PostIndex(tmp_path / "index.sqlite", store, "content", describe)
    yield opened
    opened.close()


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


def names(entries: list[Entry]) -> list[str]:
    return [entry.save_as.removesuffix("/index.html") for entry in entries]


def test_it_follows_additions_changes_and_deletions(store: MemoryStore, index: PostIndex) -> None:
    put(store, a="1 note x published", b="2 note y published")
    index.refresh("rules")
    assert names(index.newest(limit=9)) == ["b", "a"]
    put(store, a="3 note z published", b=None)
    index.refresh("rules")
    assert names(index.newest(limit=9)) == ["a"]
    assert index.categories() == ["z"]
    assert index.find("https://example.com/b/") is None


def test_a_post_is_found_by_where_it_lives_and_where_it_lived(
    store: MemoryStore, index: PostIndex
) -> None:
    put(store, a="1 note x published")
    index.refresh("rules")
    for url in ("https://example.com/a/", "https://example.com/old-a/"):
        found = index.find(url)
        assert found is not None
        assert found.path == "content/a.md"
    assert index.taken_by("https://example.com/a/", "") == "content/a.md"
    assert index.taken_by("", "a/index.html") == "content/a.md"
    assert index.taken_by("https://example.com/old-a/", "") == "content/a.md"
    assert index.taken_by("https://example.com/a/", "a/index.html", but="content/a.md") is None


def test_pages_lead_forth_and_back(store: MemoryStore, index: PostIndex) -> None:
    put(store, **{f"p{n}": f"{n // 2} note x published" for n in range(10)})
    index.refresh("rules")
    everything = index.newest(limit=99)
    seen: list[Entry] = []
    after = None
    while page := index.newest(limit=3, after=after):
        seen += page
        after = (page[-1].published, page[-1].path)
    assert seen == everything
    fifth = everything[5]
    before = index.newest(limit=3, before=(fifth.published, fifth.path))
    assert before == everything[2:5]


def test_lists_are_narrowed_by_type_status_and_text(store: MemoryStore, index: PostIndex) -> None:
    put(store, a="1 note sea published", b="2 photo sea draft", c="3 note land hidden")
    index.refresh("rules")
    assert names(index.newest(limit=9, type="note")) == ["c", "a"]
    assert names(index.newest(limit=9, statuses=("draft",))) == ["b"]
    assert names(index.newest(limit=9, text="SEA")) == ["b", "a"]
    assert index.categories("se") == ["sea"]
    assert index.channels() == ["notes", "photos"]


def test_other_rules_describe_everything_anew(store: MemoryStore, tmp_path: Path) -> None:
    described: list[str] = []

    def counting(path: str, blob: BlobId, data: bytes) -> Entry | None:
        described.append(path)
        return describe(path, blob, data)

    put(store, a="1 note x published")
    index = PostIndex(tmp_path / "i.sqlite", store, "content", counting)
    index.refresh("one")
    index.refresh("one")
    assert len(described) == 1
    index.refresh("two")
    assert len(described) == 2
    index.close()


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 100])
def test_a_damaged_file_is_made_anew(store: MemoryStore, tmp_path: Path, damage: bytes) -> None:
    put(store, a="1 note x published")
    file = tmp_path / "i.sqlite"
    file.write_bytes(damage)
    index = PostIndex(file, store, "content", describe)
    index.refresh("rules")
    assert names(index.newest(limit=9)) == ["a"]
    index.close()


def test_it_goes_on_where_it_was_after_a_restart(store: MemoryStore, tmp_path: Path) -> None:
    put(store, a="1 note x published")
    first = PostIndex(tmp_path / "i.sqlite", store, "content", describe)
    first.refresh("rules")
    first.close()

    def never(path: str, blob: BlobId, data: bytes) -> Entry | None:
        pytest.fail(f"{path} was read again")

    second = PostIndex(tmp_path / "i.sqlite", store, "content", never)
    second.refresh("rules")
    assert names(second.newest(limit=9)) == ["a"]
    second.close()


def test_without_room_it_says_so_and_goes_on_when_there_is_some(
    store: MemoryStore, index: PostIndex
) -> None:
    put(store, a="1 note x published")
    first = index.refresh("")
    index._database.execute("PRAGMA max_page_count = 1")  # as many as there are
    long = "x" * 5000
    put(store, **{f"post-{number}": f"{number} note {long} draft" for number in range(50)})
    with pytest.raises(StoreFull):
        index.refresh("")
    assert index.version == first
    index._database.execute("PRAGMA max_page_count = 1000000")
    assert index.refresh("") == store.head()
    assert len(index.newest(limit=100)) == 51
