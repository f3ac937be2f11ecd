"""The checkout equals that of git, and has no links to anything outside of it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from git_kit import git
from owner_kit import Owner

from bridge.store import StoreBroken, Version
from bridge.store.checkout.checkout import Checkout, SubmoduleMissing, Submodules
from bridge.store.checkout.git_dir import CheckoutRepo

LAID_OUT = dict[str, tuple[str, bytes]]


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path / "site")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkout"


def laid_out(folder: Path) -> LAID_OUT:
    """Each file: its kind, and its content or link target."""
    found: LAID_OUT = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if ".git" in name.parts:
            continue
        if path.is_symlink():
            found[str(name)] = ("link", os.fsencode(path.readlink()))
        elif path.is_file():
            found[str(name)] = ("x" if os.access(path, os.X_OK) else "file", path.read_bytes())
    return found


def cloned(owner: Owner, tmp_path: Path, version: Version) -> LAID_OUT:
    owner.push(version)
    folder = tmp_path / "as-git-does"
    shutil.rmtree(folder, ignore_errors=True)
    allowed = ("-c", "protocol.file.allow=always")
    git(tmp_path, *allowed, "clone", "-q", "--recurse-submodules", str(owner.bare), str(folder))
    return laid_out(folder)


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_each_update_of_the_checkout_equals_a_fresh_clone(
    tmp_path: Path, folder: Path, kind: str
) -> None:
    owner = Owner(tmp_path / "site", kind)
    checkout = Checkout(owner.objects, folder)

    def add_odd_files(clone: Path) -> None:
        (clone / "run.sh").write_text("#!/bin/sh\n")
        (clone / "run.sh").chmod(0o755)
        (clone / "inside").symlink_to("content/a.md")
        (clone / "folder").symlink_to("content")
        (clone / ".gitattributes").write_text("*.txt text eol=crlf\n")
        (clone / "dos.txt").write_text("one\ntwo\n")

    def swap(clone: Path) -> None:
        (clone / "content" / "a.md").unlink()
        (clone / "content" / "a.md").mkdir()
        (clone / "content" / "a.md" / "deep").write_text("x")
        (clone / "inside").unlink()
        (clone / "inside").write_text("a file by now")
        (clone / "folder").unlink()
        (clone / "folder").mkdir()
        (clone / "folder" / "file").write_text("in a folder by now")
        (clone / "run.sh").chmod(0o644)

    steps = [
        owner.write({"content/a.md": "first", "pelicanconf.py": "A = 1"}),
        owner.commit(add_odd_files),
        owner.write({"content/ü": "Unicode", "content/a b\nc": "a newline", "content/*": "star"}),
        owner.commit(swap),
    ]
    clones = {version: cloned(owner, tmp_path, version) for version in steps}
    for version in [*steps, *steps[::-1], *steps[::2]]:
        checkout.bring_to(version, exact=checkout.version is None)
        assert laid_out(folder) == clones[version]
        assert checkout.version == version
    assert git(folder, "status", "--porcelain") == ""
    assert checkout.warnings == ()


def written(file: Path) -> tuple[int, int]:
    """Which file it is, and when it was written; git may read it to compare it."""
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


def test_an_update_reports_and_writes_only_differing_files(owner: Owner, folder: Path) -> None:
    first = owner.write({"same": "s", "edited": "1", "deep/gone": "g"})
    second = owner.write({"edited": "2", "deep/gone": None, "new/file": "n"})
    checkout = Checkout(owner.objects, folder)
    assert sorted(checkout.changes(first)) == ["deep/gone", "edited", "same"]
    checkout.bring_to(first)
    before = written(folder / "same")
    assert sorted(checkout.changes(second)) == ["deep/gone", "edited", "new/file"]
    checkout.bring_to(second, exact=False)
    assert checkout.changes(second) == ()
    assert written(folder / "same") == before
    assert not (folder / "deep").exists(), "a folder that became empty stays"


def test_few_git_processes_are_started(
    owner: Owner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three for what follows each post."""
    commands: list[str] = []
    run = CheckoutRepo.git

    def noted(repo: CheckoutRepo, *arguments: str) -> str:
        commands.append(arguments[0])
        return run(repo, *arguments)

    monkeypatch.setattr(CheckoutRepo, "git", noted)
    first, second = owner.write({"a": "a"}), owner.write({"a": "b", "c": "c"})
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(first)
    assert commands == ["init", "ls-tree", "reset"]
    commands.clear()
    assert checkout.changes(second) == ("a", "c")
    checkout.bring_to(second, exact=False)
    assert commands == ["diff-tree", "ls-files", "read-tree"]
    assert folder.joinpath("c").read_text() == "c"


def test_the_checkout_has_the_history_but_nothing_of_the_bridge(owner: Owner, folder: Path) -> None:
    owner.write({"post.md": "1"})
    version = owner.write({"post.md": "2"})
    git(owner.bare, "remote", "add", "origin", "https://you:secret@git.example/site.git")
    Checkout(owner.objects, folder).bring_to(version)
    assert git(folder, "log", "--format=%s", "--", "post.md").splitlines() == ["change"] * 2
    assert git(folder, "remote") == ""
    assert "secret" not in (folder / ".git" / "config").read_text()


def test_an_exact_update_removes_leftovers_of_builds(owner: Owner, folder: Path) -> None:
    version = owner.write({"theme/site.scss": "a", ".gitignore": "*.css\n"})
    checkout = Checkout(owner.objects, folder, keep=[".sass-cache"])
    checkout.bring_to(version)
    (folder / "theme" / "site.css").write_text("made")
    (folder / "theme" / "site.scss").write_text("edited")
    (folder / ".sass-cache").mkdir()
    (folder / ".sass-cache" / "x").write_text("kept")
    following = owner.write({"post.md": "1"})
    checkout.bring_to(following, exact=False)
    assert (folder / "theme" / "site.css").exists(), "a warm build counts on what it has made"
    checkout.bring_to(following)
    assert not (folder / "theme" / "site.css").exists()
    assert (folder / "theme" / "site.scss").read_text() == "a"
    assert (folder / ".sass-cache" / "x").exists()


def test_a_quick_update_of_a_file_changed_by_a_build_is_exact(owner: Owner, folder: Path) -> None:
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(owner.write({"a": "1", "b": "1"}))
    (folder / "a").write_text("by a build")
    checkout.bring_to(owner.write({"a": "2", "b": "2"}), exact=False)
    assert laid_out(folder) == {"a": ("file", b"2"), "b": ("file", b"2")}


def test_git_describes_a_version_as_in_a_clone(owner: Owner, folder: Path) -> None:
    owner.write({"a": "1"})
    git(owner.bare, "tag", "-a", "-m", "one", "v1", "main")
    git(owner.bare, "pack-refs", "--all")
    owner.write({"a": "2"})
    git(owner.bare, "tag", "später/v2", "main")
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(owner.write({"a": "3"}))
    assert git(folder, "describe").startswith("v1-2-g")
    assert git(folder, "describe", "--tags").startswith("später/v2-1-g")
    git(owner.bare, "tag", "v3", "main")
    checkout.bring_to(owner.write({"a": "4"}), exact=False)
    assert git(folder, "describe", "--tags").startswith("v3-1-g")
    git(owner.bare, "tag", "-d", "v1", "später/v2", "v3")
    checkout.bring_to(owner.write({"a": "5"}), exact=False)
    assert git(folder, "tag") == ""


def test_the_sites_code_cannot_have_git_run_a_program(owner: Owner, folder: Path) -> None:
    """It may write to the checkout, not to where git looks for what to do."""
    first, second = owner.write({"a": "1"}), owner.write({"a": "2"})
    checkout = Checkout(owner.objects, folder, git_dir=folder.with_name("git"))
    checkout.bring_to(first)
    assert not [path for path in folder.rglob("*") if path.name == "config"]
    ran, program = folder.with_name("ran"), folder.with_name("program")
    program.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(ran))}\n")
    program.chmod(0o755)
    (folder / ".git").unlink()
    git(folder, "init", "-q")
    git(folder, "config", "core.fsmonitor", shlex.quote(str(program)))
    git(folder, "status")
    assert ran.exists(), "the trap is none"
    ran.unlink()
    assert set(checkout.changes(first)) == {"a"}
    checkout.bring_to(second, exact=False)
    assert (checkout.version, ran.exists()) == (second, False)
    assert git(folder, "log", "--format=%H").split() == [second, first]


@pytest.mark.parametrize("damage", ["HEAD", "index", "config", "objects/info/alternates", "."])
def test_a_damaged_checkout_is_created_again(owner: Owner, folder: Path, damage: str) -> None:
    version = owner.write({"a": "1"})
    Checkout(owner.objects, folder).bring_to(version)
    target = folder.joinpath(".git", damage).resolve()
    shutil.rmtree(target) if target.is_dir() else target.write_text("garbage")
    checkout = Checkout(owner.objects, folder)
    checkout.changes(version)
    checkout.bring_to(version)
    assert checkout.version == version
    assert git(folder, "status", "--porcelain") == ""


def test_an_interrupted_update_is_completed(owner: Owner, folder: Path) -> None:
    first, second = owner.write({"a": "1", "b": "1"}), owner.write({"a": "2", "b": None})
    Checkout(owner.objects, folder).bring_to(first)
    (folder / ".git" / "bridge-moving").touch()
    (folder / ".git" / "index.lock").touch()
    (folder / "b").unlink()
    checkout = Checkout(owner.objects, folder)
    assert checkout.version is None, "half a version counts as one"
    assert sorted(checkout.changes(first)) == ["a", "b"]
    checkout.bring_to(second, exact=False)
    assert laid_out(folder) == {"a": ("file", b"2")}


def test_missing_objects_do_not_make_an_update_fail(owner: Owner, tmp_path: Path) -> None:
    checkout = Checkout(owner.objects, tmp_path / "checkout")
    checkout.bring_to(owner.write({"a": "1"}))
    shutil.rmtree(owner.bare)
    anew = Owner(tmp_path / "anew")
    version = anew.write({"b": "1"})
    shutil.copytree(anew.bare, owner.bare)
    assert checkout.changes(version) == ("b",)
    checkout.bring_to(version, exact=False)
    assert laid_out(checkout.folder) == {"b": ("file", b"1")}


def test_an_unknown_version_raises_gits_error(owner: Owner, folder: Path) -> None:
    owner.write({"a": "1"})
    with pytest.raises(StoreBroken, match=r"not found|bad object|not a tree|unknown revision"):
        Checkout(owner.objects, folder).bring_to(Version("1" * 40))


@pytest.mark.parametrize("exact", [True, False])
def test_left_out_files_are_restored(owner: Owner, folder: Path, exact: bool) -> None:
    version = owner.write({"bad.md": "1", "good.md": "1", "dir/worse.md": "1", "same.md": "1"})
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(version)
    checkout.leave_out(["bad.md", "dir/worse.md", "same.md", "unknown"])
    good = {"good.md": ("file", b"1")}
    assert laid_out(folder) == good
    # Plugins ask git what has changed: it is an instruction to the build, no change.
    assert git(folder, "status", "--porcelain") == ""
    following = owner.write({"bad.md": "2", "dir/worse.md": None})
    checkout.bring_to(following, exact=exact)
    checkout.leave_out(["bad.md", "same.md"])
    assert laid_out(folder) == good
    assert git(folder, "status", "--porcelain") == ""
    checkout.leave_out([])
    assert laid_out(folder) == good | {"bad.md": ("file", b"2"), "same.md": ("file", b"1")}
    assert git(folder, "status", "--porcelain") == ""


def test_left_out_files_are_restored_after_a_restart(owner: Owner, folder: Path) -> None:
    version = owner.write({"bad.md": "1", "dir/worse.md": "1", "good.md": "1"})
    Checkout(owner.objects, folder).bring_to(version)
    first = Checkout(owner.objects, folder)
    first.bring_to(version, exact=False)
    first.leave_out(["bad.md", "dir/worse.md"])
    again = Checkout(owner.objects, folder)
    again.bring_to(owner.write({"bad.md": "2"}), exact=False)
    assert laid_out(folder) == {
        "bad.md": ("file", b"2"),
        "dir/worse.md": ("file", b"1"),
        "good.md": ("file", b"1"),
    }
    assert git(folder, "status", "--porcelain") == ""


def test_git_lfs_pointers_are_reported(owner: Owner, folder: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
    files = {f"media/{number}.jpg": pointer for number in range(5)}
    version = owner.write({".gitattributes": "*.jpg filter=lfs -text\n", "a.md": "1", **files})
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(version)
    (told,) = checkout.warnings
    assert "media/0.jpg, media/1.jpg, media/2.jpg and 2 more" in told
    assert "commit them without git-lfs" in told
    checkout.bring_to(owner.write(dict.fromkeys(files)), exact=False)
    assert checkout.warnings == ()


@pytest.mark.parametrize(
    "target",
    ["/etc/hostname", "../outside", "../../../../etc/hostname", ".git/config", "way/../../outside"],
)
def test_a_symlink_that_leads_outside_is_reported_and_not_created(
    owner: Owner, folder: Path, target: str
) -> None:
    owner.write({"way/file": "x"})
    version = owner.link("secret", target)
    (folder.parent / "outside").write_text("mine")
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(version)
    assert not (folder / "secret").is_symlink()
    (warning,) = checkout.warnings
    assert warning == f"secret: a symbolic link that leads outside of the repo, to {target}"
    # And goes on being named, however the next version comes.
    checkout.bring_to(owner.write({"post": "1"}), exact=False)
    assert not (folder / "secret").is_symlink()
    assert len(checkout.warnings) == 1


def test_chains_of_symlinks_are_resolved(owner: Owner, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x").write_text("mine")
    owner.link("a", str(tmp_path / "shared"))
    version = owner.link("b", "a/x")
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(version)
    assert laid_out(folder) == {}
    shared = (tmp_path / "shared").resolve()
    allowed = Checkout(owner.objects, folder, may_read=lambda path: path.is_relative_to(shared))
    allowed.bring_to(version)
    assert (folder / "b").read_text() == "mine"
    assert allowed.warnings == ()


def test_a_tree_with_names_that_git_refuses_is_refused(owner: Owner, folder: Path) -> None:
    good = owner.write({"a": "1"})
    blob = git(owner.bare, "rev-parse", f"{good}:a")
    inner = _tree(owner.bare, f"100644 blob {blob}\tconfig")
    evil = _tree(owner.bare, f"040000 tree {inner}\t.git")
    commit = git(owner.bare, "commit-tree", evil, "-p", good, "-m", "evil")
    checkout = Checkout(owner.objects, folder)
    checkout.bring_to(good)
    with pytest.raises(StoreBroken, match="invalid path"):
        checkout.bring_to(Version(commit), exact=False)
    assert "garbage" not in (folder / ".git" / "config").read_text()
    checkout.bring_to(good)
    assert laid_out(folder) == {"a": ("file", b"1")}


def _tree(repo: Path, line: str) -> str:
    done = subprocess.run(
        ["git", "mktree"], cwd=repo, input=line + "\n", capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class Known:
    """Submodules from repos of the test, by URL."""

    def __init__(self, *repos: Owner) -> None:
        self.repos = {str(repo.bare): repo for repo in repos}

    def find(self, name: str, url: str, commit: str) -> tuple[Path, Submodules]:
        if url not in self.repos:
            raise SubmoduleMissing(f"{url} is away")
        return self.repos[url].objects, self


def test_submodules_are_checked_out_and_removed(owner: Owner, folder: Path, tmp_path: Path) -> None:
    theme, fonts = Owner(tmp_path / "theme"), Owner(tmp_path / "fonts")
    fonts.write({"font.woff": "f"})
    theme.write({"base.html": "1"})
    with_fonts = theme.module("fonts", fonts.bare)
    without = owner.write({"pelicanconf.py": "THEME = 'themes/t'"})
    first = owner.module("themes/t", theme.bare)
    theme.write({"base.html": "2"})

    def update(clone: Path) -> None:
        git(clone / "themes" / "t", "pull", "-q", "origin", "main")

    second = owner.commit(update)

    def replace(clone: Path) -> None:
        git(clone, "rm", "-q", "-f", "themes/t")
        (clone / "themes").mkdir(exist_ok=True)
        (clone / "themes" / "t").write_text("a file by now")

    third = owner.commit(replace)
    checkout = Checkout(owner.objects, folder, submodules=Known(theme, fonts))
    clones = {
        version: cloned(owner, tmp_path, version) for version in (without, first, second, third)
    }
    for exact in (True, False):
        for version in [without, first, second, third, first, without, second, first]:
            checkout.bring_to(version, exact=exact)
            assert laid_out(folder) == clones[version]
            assert checkout.warnings == ()
    assert git(folder / "themes" / "t", "rev-parse", "HEAD") == with_fonts
    assert checkout.changes(second) == ("themes/t",)


def test_an_unavailable_submodule_is_reported(owner: Owner, folder: Path, tmp_path: Path) -> None:
    theme = Owner(tmp_path / "theme")
    theme.write({"base.html": "1"})
    version = owner.module("themes/t", theme.bare)
    known = Known()
    checkout = Checkout(owner.objects, folder, submodules=known)
    checkout.bring_to(version)
    warnings = checkout.warnings
    assert warnings == (f"themes/t: a submodule whose files are missing: {theme.bare} is away",)
    known.repos[str(theme.bare)] = theme
    checkout.bring_to(version, exact=False)
    assert checkout.warnings == ()
    assert (folder / "themes" / "t" / "base.html").exists()


@pytest.mark.parametrize("described", [None, "[submodule\n"], ids=["not at all", "wrongly"])
def test_a_nested_repo_that_is_not_a_submodule_is_reported(
    described: str | None, owner: Owner, folder: Path, tmp_path: Path
) -> None:
    """As ``git add`` records a nested clone: all other files of the site are checked out."""
    theme = Owner(tmp_path / "theme")
    theme.write({"base.html": "1"})
    owner.module("themes/t", theme.bare)
    version = owner.write({".gitmodules": described, "content/a.md": "Title: A"})
    checkout = Checkout(owner.objects, folder, submodules=Known(theme))
    checkout.bring_to(version)
    assert checkout.warnings == ("themes/t: a submodule that .gitmodules does not describe",)
    assert (folder / "content" / "a.md").exists()


def test_a_symlink_from_a_submodule_into_the_repo_is_kept(
    owner: Owner, folder: Path, tmp_path: Path
) -> None:
    theme = Owner(tmp_path / "theme")
    theme.link("logo", "../logo.svg")
    version = theme.link("out", "../../outside")
    owner.write({"logo.svg": "<svg/>"})
    version = owner.module("theme", theme.bare)
    checkout = Checkout(owner.objects, folder, submodules=Known(theme))
    checkout.bring_to(version)
    assert (folder / "theme" / "logo").read_text() == "<svg/>"
    assert checkout.warnings == (
        "theme/out: a symbolic link that leads outside of the repo, to ../../outside",
    )
