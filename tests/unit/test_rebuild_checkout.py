"""The builder's checkout has exactly the files of one version, whatever happened before."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from git_kit import git
from rebuild_site import commit
from rebuild_site import files as all_files

from bridge.rebuild.local.checkout import BuilderCheckout, SiteDates, due
from bridge.store.git import GitStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
POST = b"Title: Soon\nDate: 2026-11-21T13:00:00+00:00\nMf2: {}\n\nHello\n"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def files(folder: Path) -> dict[str, bytes]:
    """All files except those of git."""
    return {name: data for name, data in all_files(folder).items() if not name.startswith(".git/")}


@pytest.fixture
def store(bare_store: GitStore) -> GitStore:
    return bare_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkout"


def test_the_first_time_every_file_is_written(store: GitStore, folder: Path) -> None:
    version = commit(store, {"pelicanconf.py": b"A = 1", "content/a/b.md": b"Title: B\n\n"})
    checkout = BuilderCheckout(store, folder)
    assert sorted(checkout.bring_to(version)) == ["content/a/b.md", "pelicanconf.py"]
    assert files(folder) == {"pelicanconf.py": b"A = 1", "content/a/b.md": b"Title: B\n\n"}


def test_later_only_differing_files_are_written(store: GitStore, folder: Path) -> None:
    checkout = BuilderCheckout(store, folder)
    checkout.bring_to(commit(store, {"same": b"s", "edited": b"1", "deep/er/gone": b"g"}))
    same = (folder / "same").stat()
    changed = checkout.bring_to(
        commit(store, {"edited": b"2", "deep/er/gone": None, "new/file": b"n"})
    )
    assert sorted(changed) == ["deep/er/gone", "edited", "new/file"]
    assert files(folder) == {"same": b"s", "edited": b"2", "new/file": b"n"}
    assert not (folder / "deep").exists(), "folders that became empty stay"
    after = (folder / "same").stat()
    assert (after.st_ino, after.st_ctime_ns) == (same.st_ino, same.st_ctime_ns)


def test_what_builds_change_of_the_version_is_restored_and_what_they_add_stays(
    store: GitStore, folder: Path
) -> None:
    committed = {"changed": b"c", "gone/a": b"g", "link": b"l", "same": b"s", "été": b"e"}
    committed |= {f"many/{number}": b"m" for number in range(300)}
    checkout = BuilderCheckout(store, folder)
    checkout.bring_to(commit(store, committed))
    same = (folder / "same").stat()
    for text in (b"1", b"2"):
        (folder / "changed").write_bytes(b"by a build")
        shutil.rmtree(folder / ("gone" if text == b"1" else "many"))
        (folder / "link").unlink()
        (folder / "link").symlink_to("same")
        (folder / "été").chmod(0o755)
        (folder / "cache").write_bytes(b"cached")
        version = commit(store, {"changed": text})
        assert checkout.bring_to(version, is_exact=lambda _: False) == ("changed",)
        assert files(folder) == {**committed, "changed": text, "cache": b"cached"}
        assert not (folder / "link").is_symlink()
        assert (folder / "été").stat().st_mode & 0o111 == 0
    assert (folder / "same").stat().st_ctime_ns == same.st_ctime_ns


def test_a_file_becomes_a_folder_and_back(store: GitStore, folder: Path) -> None:
    checkout = BuilderCheckout(store, folder)
    checkout.bring_to(commit(store, {"a": b"file"}))
    commit(store, {"a": None})
    checkout.bring_to(commit(store, {"a/b": b"inside"}))
    assert files(folder) == {"a/b": b"inside"}
    commit(store, {"a/b": None})
    checkout.bring_to(commit(store, {"a": b"file again"}))
    assert files(folder) == {"a": b"file again"}


@pytest.mark.parametrize("damage", ["", "{", '{"version": 3}', None])
def test_without_valid_notes_all_files_are_checked(
    store: GitStore, folder: Path, damage: str | None
) -> None:
    version = commit(store, {"content/soon.md": POST, "b/c": b"2"})
    BuilderCheckout(store, folder, due=due, clock=Clock()).bring_to(version)
    note = folder.with_name("checkout.json")
    note.unlink() if damage is None else note.write_text(damage)
    (folder / "foreign").write_bytes(b"x")
    checkout = BuilderCheckout(store, folder, due=due, clock=Clock())
    assert sorted(checkout.bring_to(version)) == ["b/c", "content/soon.md"]
    assert files(folder).keys() == {"b/c", "content/soon.md"}
    assert checkout.next_due == NOON + timedelta(hours=1)


def test_a_removed_checkout_is_created_again(store: GitStore, folder: Path) -> None:
    version = commit(store, {"a": b"1"})
    checkout = BuilderCheckout(store, folder)
    checkout.bring_to(version)
    shutil.rmtree(folder)
    assert checkout.bring_to(version) == ("a",)


def test_a_scheduled_post_is_withheld_until_its_date(store: GitStore, folder: Path) -> None:
    clock = Clock()
    checkout = BuilderCheckout(store, folder, due=due, clock=clock)
    version = commit(store, {"content/soon.md": POST, "content/now.md": b"Title: Now\n\n"})
    assert sorted(checkout.bring_to(version)) == ["content/now.md", "content/soon.md"]
    assert checkout.next_due == NOON + timedelta(hours=1)

    again = BuilderCheckout(store, folder, due=due, clock=clock)
    kept = again.next_due
    assert kept == NOON + timedelta(hours=1), "a restart forgot it"
    assert again.bring_to(version) == ()
    clock.now = NOON + timedelta(hours=1)
    assert again.bring_to(version) == ("content/soon.md",)
    assert again.next_due is None
    assert (folder / "content" / "soon.md").read_bytes() == POST


def test_a_post_moved_to_the_future_is_in_the_checkout_and_withheld(
    store: GitStore, folder: Path
) -> None:
    """The plugin withholds it, so plain ``pelican`` does not publish it either."""
    checkout = BuilderCheckout(store, folder, due=due, clock=Clock())
    checkout.bring_to(commit(store, {"content/soon.md": POST.replace(b"T13", b"T11")}))
    assert checkout.next_due is None
    checkout.bring_to(commit(store, {"content/soon.md": POST}))
    assert (folder / "content" / "soon.md").read_bytes() == POST
    assert checkout.next_due == NOON + timedelta(hours=1)
    checkout.bring_to(commit(store, {"content/soon.md": None}))
    assert checkout.next_due is None, "a deleted post is still waited for"


@pytest.mark.parametrize(
    ("data", "waits"),
    [
        (POST, True),
        (POST.replace(b"Mf2: {}", b"Note: by hand"), False),
        (POST.replace(b"Mf2: {}", b"mf2: {}"), True),
        (POST.replace(b"Title", b"Status: draft\nTitle"), False),
        (POST.replace(b"2026-11-21T13:00:00+00:00", b"next week"), False),
        (b"Title: A\nDate: 2099-01-01\n\nMf2: {} is in the text\n", False),
        (b"\xff\xfe", False),
        (b"", False),
    ],
)
def test_only_scheduled_posts_of_the_bridge_are_withheld(data: bytes, waits: bool) -> None:
    dates = partial(SiteDates, UTC, drafts_until_due=False)
    assert (due("content/a.md", data, dates) is not None) is waits


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.md", "Title: A\nDate: 2099-01-01 13:00\n\nHello\n"),
        ("a.md", "---\ntitle: A\ndate: 1 January 2099, 13:00\n---\n\nHello\n"),
        ("a.rst", "A\n#\n\n:date: 2099-01-01 13:00\n\nHello\n"),
        ("a.html", "<title>A</title><meta name=date content='2099-01-01 13:00'>"
                   "<meta name=\"date\" content='2099-01-01 13:00'>"),
        ("notes/2099-01-01-a.md", "Title: A\n\nHello\n"),
        ("2099/01/01/a.rst", "A\n#\n\nHello\n"),
    ],
)  # fmt: skip
def test_hand_written_posts_wait_where_pelican_makes_drafts_of_them(path: str, text: str) -> None:
    """``WITH_FUTURE_DATES = False``: nothing else would have them built when they are due."""
    waiting = partial(SiteDates, UTC, drafts_until_due=True)
    when = datetime(2099, 1, 1, 13 if "2099" in text else 0, tzinfo=UTC)
    assert due(path, text.encode(), waiting) == when
    assert due(path, text.encode(), partial(SiteDates, UTC, drafts_until_due=False)) is None
    # Until the settings are known it may be either; that costs at most a build.
    assert due(path, text.encode()) is not None
    past, earlier = path.replace("2099", "2009"), text.replace("2099", "2009")
    assert due(past, earlier.encode(), waiting) is None
    unreadable = f'<meta name="date" content="&#{"1" * 5_000};"><!-- Date: 2099 -->'
    assert due("a.html", unreadable.encode(), waiting) is None


def test_a_date_without_offset_is_in_the_time_of_the_site(store: GitStore, folder: Path) -> None:
    """As for the plugin, which holds it back; the site's settings may be read only later."""
    local = POST.replace(b"T13:00:00+00:00", b" 13:30")
    named = local.replace(b"Mf2", b"Timezone: America/New_York\nMf2")
    assert due("a.md", named) == NOON + timedelta(hours=6, minutes=30)
    for unknown in (b"Europe", b"Europe/" + b"x" * 300, b"../zone"):
        assert due("a.md", named.replace(b"America/New_York", unknown)) == due("a.md", local)
    zones: list[tzinfo] = [ZoneInfo("Asia/Tokyo")]
    clock = Clock()
    checkout = BuilderCheckout(
        store,
        folder,
        due=partial(due, dates=lambda: SiteDates(zones[-1], drafts_until_due=False)),
        clock=clock,
    )
    clock.now = NOON.replace(hour=4)
    version = commit(store, {"content/soon.md": local})
    checkout.bring_to(version)
    assert checkout.next_due == NOON.replace(hour=4, minute=30)
    zones.append(ZoneInfo("Europe/Berlin"))
    clock.now = NOON.replace(hour=5)
    assert checkout.bring_to(version) == ()
    assert checkout.next_due == NOON + timedelta(minutes=30)


RST = b"Soon\n####\n\n:date: 2026-11-21T13:00:00+00:00\n:mf2: {}\n\nHello\n"
HTML = (
    b'<html><head><title>Soon</title><meta name="date" content="2026-11-21 13:00+00:00">'
    b'<meta name="mf2" content="{&quot;a&quot;:1}"></head><body>x</body></html>'
)


@pytest.mark.parametrize(("path", "data"), [("content/a.rst", RST), ("content/a.html", HTML)])
def test_scheduled_posts_in_other_formats_are_withheld(path: str, data: bytes) -> None:
    """An app may have changed a handwritten post: the plugin withholds it."""
    assert due(path, data) == NOON + timedelta(hours=1)
    dates = partial(SiteDates, UTC, drafts_until_due=False)
    assert due(path, data.replace(b"mf2", b"note"), dates) is None


def test_left_out_files_stay_on_disk_and_count_as_changed(store: GitStore, folder: Path) -> None:
    version = commit(store, {"content/bad.md": b"bad", "content/good.md": b"good"})
    checkout = BuilderCheckout(store, folder)
    checkout.bring_to(version)
    assert checkout.bring_to(version, left_out=["content/bad.md"]) == ("content/bad.md",)
    assert checkout.bring_to(version, left_out=["content/bad.md"]) == ()
    assert files(folder) == {"content/bad.md": b"bad", "content/good.md": b"good"}
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "ls-files", "-v", "content/bad.md") == "H content/bad.md"
    assert BuilderCheckout(store, folder).bring_to(version) == ("content/bad.md",)


def test_for_the_owners_command_left_out_files_are_removed_and_restored(
    store: GitStore, folder: Path
) -> None:
    version = commit(store, {"content/bad.md": b"bad", "content/good.md": b"good"})
    checkout = BuilderCheckout(store, folder)
    checkout.bring_to(version)
    changed = checkout.bring_to(version, left_out=["content/bad.md"], take_away=True)
    assert changed == ("content/bad.md",)
    assert files(folder) == {"content/good.md": b"good"}
    assert BuilderCheckout(store, folder).bring_to(version) == ("content/bad.md",)
    assert files(folder) == {"content/bad.md": b"bad", "content/good.md": b"good"}
