"""From an upload to a committed file, with crashes and repetitions."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from git_kit import new_repo
from media_samples import exif, film, jpeg, moving

from bridge.errors import Conflict, InsufficientStorage, InvalidRequest, UnsupportedMediaType
from bridge.media import names, spool
from bridge.media.library import MediaLibrary
from bridge.media.stored_file import MediaFile
from bridge.settings import Media, Settings, Site
from bridge.store import Change, Commit, ContentStore, Version
from bridge.store.git import GitStore
from bridge.store.memory_store import MemoryStore

NOW = datetime(2026, 11, 21, 18, 37, tzinfo=UTC)
USUAL = Media()
BASE = "https://bridge.example/media/2026/11/"


class Clock:
    """A clock that tests advance."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def forward(self, minutes: int) -> None:
        self.time += timedelta(minutes=minutes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[GitStore]:
    """A real repo, with git's own blob ids."""
    folder = new_repo(tmp_path / "repo.git", bare=True)
    store = GitStore(folder, author="Owner <owner@example.org>")
    yield store
    store.close()


async def started(
    store: ContentStore, folder: Path, clock: Clock | None = None, media: Media = USUAL
) -> MediaLibrary:
    """A started library; on the same folder again, after a restart."""
    settings = Settings(site=Site(me="https://example.org/", repo=folder), media=media)
    library = MediaLibrary(
        store, folder, settings, public_url="https://bridge.example", now=clock or Clock()
    )
    await library.start()
    return library


def commit(store: ContentStore, *changes: Change) -> None:
    """Commit as the publisher does."""
    answer: Sequence[Version | Exception] = store.commit(
        [Commit(tuple(changes), "A post", store.head())]
    )
    assert not isinstance(answer[0], Exception), answer


def plain(path: str) -> str:
    """A path or URL without the random part of its name."""
    return re.sub(r"-[0-9a-f]{12}(?=[.-])", "", path)


def tail(file: MediaFile) -> str:
    """The part of the file's URL after ``/media/``."""
    return file.path.removeprefix("media/")


async def served(library: MediaLibrary, tail: str) -> bytes | None:
    opened = await library.open(tail)
    if opened is None:
        return None
    with opened.file:
        return opened.file.read()


async def test_an_upload_is_served_at_once(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path)
    file = await library.accept(jpeg(), "The Sea.JPEG", alt="The sea")
    assert plain(library.url_of(file)) == BASE + "the-sea.jpg"
    assert (plain(file.path), file.type) == ("media/2026/11/the-sea.jpg", "image/jpeg")
    assert (file.width, file.height, file.alt, file.published) == (60, 40, "The sea", NOW)
    opened = await library.open(tail(file))
    assert opened is not None
    with opened.file:
        assert opened.file.read() == jpeg()
    assert (opened.type, opened.size) == ("image/jpeg", len(jpeg()))


async def test_it_is_committed_with_the_post_that_uses_it(
    store: MemoryStore, tmp_path: Path
) -> None:
    library = await started(store, tmp_path)
    used = await library.accept(jpeg(), "used.jpg")
    await library.accept(jpeg(80), "other.jpg")
    changes = await library.pending(
        [library.url_of(used), used.path, "https://elsewhere.example/a.jpg", "no url"]
    )
    assert changes == (Change(f"content/{used.path}", jpeg(), None),)
    post = Change("content/notes/a.md", b"Title: A\n\n", None)
    commit(store, post, *changes)
    await library.committed([post, *changes])
    assert await library.pending([used.path]) == ()
    assert await served(library, tail(used)) == jpeg()
    assert [plain(path.name) for path in (tmp_path / "files").rglob("*.jpg")] == ["other.jpg"]


async def test_its_etag_is_the_same_before_and_after_the_commit(
    repo: GitStore, tmp_path: Path
) -> None:
    library = await started(repo, tmp_path)
    file = await library.accept(jpeg(), "sea.jpg")
    tags = []
    for _ in range(2):
        opened = await library.open(tail(file))
        assert opened is not None
        opened.file.close()
        tags.append(opened.etag)
        changes = await library.pending([file.path])
        if changes:
            commit(repo, *changes)
        await library.committed(changes)
    assert tags[0] == tags[1]


async def test_the_same_bytes_are_stored_once(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path)
    photo = jpeg(exif=exif(orientation=6))
    first = await library.accept(photo, "sea.jpg")
    assert await library.accept(photo, "another name.jpg") == first
    changes = await library.pending([first.path])
    commit(store, *changes)
    await library.committed(changes)
    assert (await library.accept(photo, "sea.jpg")).path == first.path
    assert not await library.pending([first.path])


async def test_even_when_all_but_the_repo_is_lost(repo: GitStore, tmp_path: Path) -> None:
    library = await started(repo, tmp_path / "a")
    photo = jpeg(exif=exif(orientation=6))
    first = await library.accept(photo, "sea.jpg")
    commit(repo, *await library.pending([first.path]))
    later = await started(repo, tmp_path / "b")
    assert (await later.accept(photo, "ocean.jpg")).path == first.path


async def test_the_same_bytes_at_the_same_moment_are_stored_once(
    store: MemoryStore, tmp_path: Path
) -> None:
    library = await started(store, tmp_path)
    files = await asyncio.gather(*(library.accept(jpeg(), f"{i}.jpg") for i in range(6)))
    assert len({file.path for file in files}) == 1


async def test_equal_names_at_the_same_moment_become_different_files(
    store: MemoryStore, tmp_path: Path
) -> None:
    library = await started(store, tmp_path)
    files = await asyncio.gather(*(library.accept(jpeg(60 + i), "sea.jpg") for i in range(6)))
    assert len({library.url_of(file) for file in files}) == 6
    assert {plain(library.url_of(file)) for file in files} == {BASE + "sea.jpg"}


async def test_a_name_in_the_repo_is_not_taken_again(store: MemoryStore, tmp_path: Path) -> None:
    file = await (await started(store, tmp_path / "elsewhere")).accept(jpeg(), "sea.jpg")
    commit(store, Change(f"content/{file.path}", b"the owner's", None))
    library = await started(store, tmp_path)
    assert plain((await library.accept(jpeg(), "sea.jpg")).path) == "media/2026/11/sea-2.jpg"


async def test_names_that_have_all_been_used_are_refused_in_words(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST_ALIKE", 2)
    file = await (await started(store, tmp_path / "elsewhere")).accept(jpeg(), "sea.jpg")
    second = file.path.replace(".jpg", "-2.jpg")
    for path in (file.path, second):
        commit(store, Change(f"content/{path}", b"the owner's", None))
    library = await started(store, tmp_path)
    with pytest.raises(Conflict, match="upload it under another name"):
        await library.accept(jpeg(), "sea.jpg")
    assert plain((await library.accept(jpeg(), "lake.jpg")).path) == "media/2026/11/lake.jpg"


async def test_an_alternative_text_that_comes_later_is_kept(
    store: MemoryStore, tmp_path: Path
) -> None:
    library = await started(store, tmp_path)
    await library.accept(jpeg(), "sea.jpg")
    await library.accept(jpeg(), "sea.jpg", alt="The sea")
    again = await started(store, tmp_path)
    assert [file.alt for file in await again.list()] == ["The sea"]


async def test_films_forget_where_they_were_taken(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path)
    file = await library.accept(film(), "walk.mp4")
    assert (file.type, file.width) == ("video/mp4", None)
    assert b"GPS-SECRET" not in (await served(library, tail(file)) or b"")
    keeping = await started(store, tmp_path / "b", media=Media(keep_exif=True))
    kept = await keeping.accept(film(), "walk.mp4")
    assert await served(keeping, tail(kept)) == film()


async def test_a_film_that_breaks_off_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path)
    with pytest.raises(InvalidRequest, match="incomplete"):
        await library.accept(film()[:-60], "walk.mp4")


async def test_what_is_refused_leaves_nothing(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path)
    with pytest.raises(UnsupportedMediaType):
        await library.accept(b"<svg onload=alert(1)>", "innocent.jpg")
    assert await library.list() == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_scaled_copies_go_where_their_photo_goes(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path, media=Media(sizes=(30, 20)))
    file = await library.accept(jpeg(exif=exif()), "sea.jpg")
    assert file.copies == (20, 30)
    changes = await library.pending([file.path])
    names = [plain(change.path.rpartition("/")[2]) for change in changes]
    assert names == ["sea.jpg", "sea-20w.jpg", "sea-30w.jpg"]
    commit(store, *changes)
    await library.committed(changes)
    assert [file.path for file in await library.list()] == [file.path]
    gone = await library.delete(library.url_of(file))
    assert [change.path for change in gone] == [change.path for change in changes]


async def test_what_no_post_uses_gets_a_commit_of_its_own_after_a_while(
    store: MemoryStore, tmp_path: Path, clock: Clock
) -> None:
    library = await started(store, tmp_path, clock)
    await library.accept(jpeg(), "old.jpg")
    clock.forward(9)
    await library.accept(moving("GIF"), "new.gif")
    assert await library.orphans(timedelta(minutes=10)) == ()
    clock.forward(1)
    alone = await library.orphans(timedelta(minutes=10))
    assert [plain(file.path) for file in alone] == ["media/2026/11/old.jpg"]
    assert len(await library.orphans(timedelta(0))) == 2
    changes = await library.pending([alone[0].path])
    commit(store, *changes)
    await library.committed(changes)
    assert len(await library.orphans(timedelta(0))) == 1


async def test_everything_is_there_after_a_restart(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path, media=Media(sizes=(30,)))
    file = await library.accept(jpeg(), "sea.jpg", alt="The sea")
    again = await started(store, tmp_path)
    assert await again.list() == [file]
    assert len(await again.pending([file.path])) == 2


async def test_a_file_committed_just_before_a_crash_waits_no_more(
    store: MemoryStore, tmp_path: Path
) -> None:
    library = await started(store, tmp_path)
    file = await library.accept(jpeg(), "sea.jpg")
    commit(store, *await library.pending([file.path]))
    again = await started(store, tmp_path)
    assert await again.pending([file.path]) == ()
    assert not list((tmp_path / "files").rglob("*.jpg"))


async def test_a_torn_or_lost_journal_loses_no_file(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path, media=Media(sizes=(30,)))
    file = await library.accept(jpeg(), "sea.jpg")
    journal = tmp_path / "uploads.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    again = await started(store, tmp_path)
    (recovered,) = await again.list()
    assert (recovered.path, recovered.blob, recovered.copies) == (file.path, file.blob, (30,))
    second = await again.accept(jpeg(90), "lake.jpg")
    assert second in await (await started(store, tmp_path)).list()


async def test_half_written_files_are_swept_away(store: MemoryStore, tmp_path: Path) -> None:
    await started(store, tmp_path)
    leftover = tmp_path / "files/media/.incoming-abc"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    library = await started(store, tmp_path)
    assert not leftover.exists()
    assert await library.list() == []


async def test_an_accepted_upload_survives_a_kill(store: MemoryStore, tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_media_library import jpeg, started
from bridge.store.git import GitStore
from bridge.store.memory_store import MemoryStore

async def main():
    library = await started(MemoryStore(), Path(sys.argv[1]))
    for number in range(1000):
        file = await library.accept(jpeg(60 + number % 50, 40 + number // 50), f"{number}.jpg")
        print(file.path, flush=True)

asyncio.run(main())
"""
    here = Path(__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(here.parent), str(here.parents[1])],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    library = await started(store, tmp_path)
    assert set(told) <= {file.path for file in await library.list()}
    for path in told:
        assert (await served(library, path.removeprefix("media/")) or b"").startswith(b"\xff\xd8")


async def test_a_full_disk_is_reported_and_nothing_stays(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = await started(store, tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InsufficientStorage, match="disk is full"):
            await library.accept(jpeg(), "sea.jpg")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert plain((await library.accept(jpeg(), "sea.jpg")).path) == "media/2026/11/sea.jpg"


async def test_the_newest_come_first(store: MemoryStore, tmp_path: Path, clock: Clock) -> None:
    commit(
        store,
        Change("content/media/2026/10/by-hand.png", b"\x89PNG", None),
        Change("content/media/logo.gif", b"GIF89a", None),
        Change("content/media-other/no.gif", b"GIF89a", None),
    )
    library = await started(store, tmp_path, clock)
    assert await library.last() == (await library.list())[0]
    for name in ("z.jpg", "a.jpg"):
        clock.forward(1)
        await library.accept(jpeg(ord(name[0])), name)
    names = [plain(tail(file)) for file in await library.list()]
    assert names == ["2026/11/a.jpg", "2026/11/z.jpg", "2026/10/by-hand.png", "logo.gif"]
    last = await library.last()
    assert last is not None
    assert plain(last.path) == "media/2026/11/a.jpg"
    assert [file.path for file in await library.list(1, 2)] == ["media/2026/10/by-hand.png"]


async def test_a_waiting_file_is_deleted_without_a_commit(
    store: MemoryStore, tmp_path: Path
) -> None:
    library = await started(store, tmp_path)
    file = await library.accept(jpeg(), "sea.jpg")
    assert await library.delete(library.url_of(file)) == ()
    assert await served(library, tail(file)) is None
    assert await library.list() == []
    assert plain((await library.accept(jpeg(), "sea.jpg")).path) == "media/2026/11/sea-2.jpg"


async def test_a_committed_file_is_deleted_by_a_change(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path)
    file = await library.accept(jpeg(), "sea.jpg")
    changes = await library.pending([file.path])
    commit(store, *changes)
    await library.committed(changes)
    (change,) = await library.delete(library.url_of(file))
    assert (change.path, change.content) == (f"content/{file.path}", None)
    commit(store, change)
    assert await served(library, tail(file)) is None
    assert await library.find(library.url_of(file)) is None


@pytest.mark.parametrize(
    "url",
    [
        BASE + "missing.jpg",
        "https://bridge.example/media/../notes/a.md",
        "https://elsewhere.example/media/2026/11/sea.jpg",
        "media/2026/11/sea.jpg",
        "../content/notes/a.md",
    ],
)
async def test_nothing_outside_is_deleted(store: MemoryStore, tmp_path: Path, url: str) -> None:
    commit(store, Change("content/notes/a.md", b"Title: A\n\n", None))
    library = await started(store, tmp_path)
    await library.accept(jpeg(), "sea.jpg")
    with pytest.raises(InvalidRequest, match="not a file of this media endpoint"):
        await library.delete(url)


async def test_a_file_of_the_owners_is_served_by_its_bytes_and_never_active(
    store: MemoryStore, tmp_path: Path
) -> None:
    commit(
        store,
        Change("content/media/evil.jpg", b"<script>alert(1)</script>", None),
        Change("content/media/drawing.svg", b"<svg>", None),
        Change("content/notes/a.md", b"Title: A\n\n", None),
    )
    library = await started(store, tmp_path)
    for name in ("evil.jpg", "drawing.svg"):
        opened = await library.open(name)
        assert opened is not None
        opened.file.close()
        assert opened.type == "application/octet-stream"
    for tail in ("../notes/a.md", "2026/../../notes/a.md", "", ".", "/etc/passwd", "missing.jpg"):
        assert await library.open(tail) is None


@pytest.mark.parametrize("name", ["a.md", "2026/a.Markdown", "a.rst", "a.html", "a.adoc"])
async def test_the_source_of_a_post_is_no_upload(
    store: MemoryStore, tmp_path: Path, name: str
) -> None:
    url = f"https://bridge.example/media/{name}"
    library = await started(store, tmp_path)
    assert await library.list() == []
    # Once for changed files, once for files that exist at the start.
    commit(store, Change(f"content/media/{name}", b"Title: A draft\nStatus: draft\n\n", None))
    for each in (library, await started(store, tmp_path / "again")):
        assert await each.list() == []
        assert await each.open(name) is None
        assert await each.find(url) is None
        with pytest.raises(InvalidRequest, match="not a file of this media endpoint"):
            await each.delete(url)


async def test_what_the_owner_replaced_is_served_anew(store: MemoryStore, tmp_path: Path) -> None:
    library = await started(store, tmp_path)
    file = await library.accept(jpeg(), "sea.jpg", alt="The sea")
    changes = await library.pending([file.path])
    commit(store, *changes)
    await library.committed(changes)
    head = store.head()
    assert head is not None
    old = store.read(changes[0].path, head)
    assert old is not None
    commit(store, Change(changes[0].path, moving("GIF"), old.id))
    assert await served(library, tail(file)) == moving("GIF")
    assert [file.alt for file in await library.list()] == [""]
    assert plain((await library.accept(jpeg(), "sea.jpg")).path) == "media/2026/11/sea-2.jpg"


async def test_what_others_commit_is_followed(store: MemoryStore, tmp_path: Path) -> None:
    def put(path: str, content: bytes | None) -> None:
        head = store.head()
        old = store.read(path, head) if head else None
        commit(store, Change(path, content, old.id if old else None))

    library = await started(store, tmp_path)
    assert await library.list() == []
    others = ("media/outside.gif", "content/media-b/c.gif", "content/media/not-utf8-\udce9.gif")
    for path in ("content/media/a.gif", *others):
        put(path, b"GIF89a")
        for each in (library, await started(store, tmp_path / "again")):
            assert [file.path for file in await each.list()] == ["media/a.gif"]
    put("content/media/b.gif", b"GIF89a, another")
    assert len(await library.list()) == 2
    put("content/media/a.gif", None)
    assert [file.path for file in await library.list()] == ["media/b.gif"]


async def test_asked_for_files_do_not_fill_the_disk(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_CACHE_BYTES", 250)
    commit(
        store,
        *(Change(f"content/media/{i}.gif", b"GIF89a" + bytes([i]) * 94, None) for i in range(5)),
    )
    library = await started(store, tmp_path)
    for i in range(5):
        assert await served(library, f"{i}.gif") == b"GIF89a" + bytes([i]) * 94
    assert len(list((tmp_path / "cache").iterdir())) == 2


async def test_a_library_without_a_content_folder_writes_at_the_root(
    store: MemoryStore, tmp_path: Path
) -> None:
    settings = Settings(site=Site(me="https://example.org/", repo=tmp_path))
    settings = type(settings)(
        site=settings.site, content=type(settings.content)(folder="."), media=Media(folder="img/up")
    )
    library = MediaLibrary(store, tmp_path, settings, public_url="http://127.0.0.1:1", now=Clock())
    await library.start()
    file = await library.accept(jpeg(), "sea.jpg")
    assert plain(library.url_of(file)) == "http://127.0.0.1:1/media/2026/11/sea.jpg"
    (change,) = await library.pending([library.url_of(file)])
    assert plain(change.path) == "img/up/2026/11/sea.jpg"


def test_files_that_are_asked_for_at_once_are_cached_beside_each_other(tmp_path: Path) -> None:
    there = spool.Spool(tmp_path / "spool", tmp_path / "cache")
    there.start()

    def cached(number: int) -> bytes:
        with there.cache(f"{number:040x}", b"%d" % number) as opened:
            return opened.read()

    # As for a page with many images: one file is renamed while the folder is listed for another.
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(cached, range(400))) == [b"%d" % number for number in range(400)]
