"""What the bridge does in folders that the site's code writes to leads nowhere else."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest
from git_kit import git
from owner_kit import Owner

from bridge.rebuild.build import BuildFailed
from bridge.rebuild.local.output import Output
from bridge.runtime.confinement import Grants, landlock_version, run_confined
from bridge.store import StoreBroken
from bridge.store.checkout.checkout import Checkout
from bridge.store.checkout.submodules import SiteRemote, SubmoduleCache

pytestmark = pytest.mark.skipif(
    landlock_version() < 1 and not os.environ.get("CI"), reason="needs Linux 5.13 with Landlock"
)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """One that may be written to, with a link to the other."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    return inside, outside


def test_only_the_thread_is_confined_and_what_it_starts(folders: tuple[Path, Path]) -> None:
    inside, outside = folders
    grants = Grants(("/",), (str(inside), os.devnull))

    def work(elsewhere: object) -> str:
        (inside / "here").write_text("1")
        with pytest.raises(PermissionError):
            (inside / "link" / "there").write_text("1")
        assert subprocess.run(["touch", f"{inside}/link/there"], check=False).returncode != 0
        assert callable(elsewhere)
        elsewhere(lambda: (outside / "asked").write_text("1"))
        return threading.current_thread().name

    assert run_confined(grants, work) == "confined"
    assert sorted(path.name for path in outside.iterdir()) == ["asked"]
    (outside / "later").write_text("1")


def test_what_a_confined_function_raises_is_raised(tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise StoreBroken("no")

    for grants in (None, Grants((str(tmp_path),))):
        with pytest.raises(StoreBroken, match="no"):
            run_confined(grants, fail)


def test_no_link_on_the_way_to_a_submodule_has_other_files_removed(tmp_path: Path) -> None:
    site, theme = Owner(tmp_path / "site"), Owner(tmp_path / "theme")
    theme.write({"base.html": "1"})
    first = site.module("deep/theme", theme.bare)
    cache = SubmoduleCache(tmp_path / "modules", lambda: SiteRemote(str(site.bare), {}), _public)
    checkout = Checkout(site.objects, tmp_path / "checkout", submodules=cache)
    checkout.bring_to(first)
    assert (checkout.folder / "deep" / "theme" / "base.html").is_file()
    git(site.clone, "rm", "-q", "deep/theme")
    second = site.write({"deep/theme": "no folder any more"})
    outside = tmp_path / "outside"
    (outside / "theme").mkdir(parents=True)
    (outside / "theme" / "precious").write_text("1")
    (checkout.folder / "deep").rename(checkout.folder / "moved")
    (checkout.folder / "deep").symlink_to(outside)
    try:
        checkout.bring_to(second, exact=False)
    except (StoreBroken, OSError):
        checkout.bring_to(second)
    assert [path.name for path in (outside / "theme").iterdir()] == ["precious"]
    checkout.bring_to(second)
    assert (checkout.folder / "deep" / "theme").read_text() == "no folder any more"


def _public(address: str) -> bool:
    return not address.startswith("127.")


def test_no_link_that_is_swapped_has_git_write_elsewhere(tmp_path: Path) -> None:
    """Folders become links to another one, again and again, while versions change."""
    site = Owner(tmp_path / "site")
    many = [f"content/a/b/{number}.md" for number in range(100)]
    versions = [site.write(dict.fromkeys(many, text)) for text in ("1", "2")]
    checkout = Checkout(site.objects, tmp_path / "checkout")
    checkout.bring_to(versions[0])
    outside, folder = tmp_path / "outside", checkout.folder / "content" / "a"
    (outside / "b").mkdir(parents=True)
    ended = threading.Event()

    def swap() -> None:
        aside = checkout.folder / "aside"
        while not ended.is_set():
            try:
                folder.rename(aside)
                folder.symlink_to(outside)
                folder.unlink()
                aside.rename(folder)
            except OSError:
                continue

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for turn in range(10):
            try:
                checkout.bring_to(versions[turn % 2], exact=bool(turn % 3))
            except (StoreBroken, OSError):
                continue
    finally:
        ended.set()
        swapping.join()
    assert list((outside / "b").iterdir()) == []
    checkout.bring_to(versions[0])
    assert (checkout.folder / many[0]).read_text() == "1"


@pytest.fixture
def output(tmp_path: Path) -> Output:
    (tmp_path / "staging").mkdir()
    return Output(
        tmp_path / "output",
        tmp_path / "kept" / "output.json",
        1_000_000,
        grants=lambda read, write: Grants(tuple(map(str, read)), tuple(map(str, write))),
    )


def test_no_link_in_what_was_built_publishes_another_file(output: Output, tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text("the-token")
    (tmp_path / "staging" / "a.txt").symlink_to(tmp_path / "bridge.toml")
    assert "a.txt" not in output.take_over(tmp_path / "staging")
    assert not (tmp_path / "output" / "a.txt").exists()
    (tmp_path / "staging" / "a.txt").unlink()
    (tmp_path / "staging" / "real.txt").write_text("x")
    (tmp_path / "staging" / "a.txt").symlink_to("real.txt")
    assert set(output.take_over(tmp_path / "staging")) == {"a.txt", "real.txt"}
    assert (tmp_path / "output" / "a.txt").read_text() == "x"


def test_a_pipe_in_what_was_built_is_left_out(output: Output, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "staging" / "a.txt")
    assert "a.txt" not in output.take_over(tmp_path / "staging")
    assert not (tmp_path / "output" / "a.txt").exists()


def test_a_build_that_wrote_what_cannot_be_published_fails(output: Output, tmp_path: Path) -> None:
    place = tmp_path / "staging" / "a.txt"
    place.touch()
    os.truncate(place, 1 << 40)  # more would be refused by ext4
    try:
        with pytest.raises(BuildFailed):
            output.take_over(tmp_path / "staging")
    finally:
        place.unlink()  # no one can read it


def test_no_link_in_the_journal_has_another_file_written(output: Output, tmp_path: Path) -> None:
    (tmp_path / "staging" / "a.txt").write_text("1")
    output.take_over(tmp_path / "staging")
    outside = tmp_path / "profile"
    outside.write_text("mine")
    (tmp_path / "kept" / "output-before").mkdir()
    (tmp_path / "kept" / "output-before" / "index").symlink_to(outside)
    (tmp_path / "staging" / "a.txt").write_text("2")
    with pytest.raises(OSError, match="denied"):
        output.take_over(tmp_path / "staging")
    assert outside.read_text() == "mine"


def test_a_pipe_in_place_of_a_note_holds_nothing_up(output: Output, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    os.mkfifo(tmp_path / "kept" / "output.json")
    assert output.missing()
    (tmp_path / "kept" / "output.json").unlink()
