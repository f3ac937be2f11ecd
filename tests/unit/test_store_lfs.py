"""The checkout has files in Git LFS, or a warning says why not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from git_kit import git
from owner_kit import Owner

from bridge.store.checkout.checkout import Checkout
from bridge.store.checkout.lfs import LargeFileCache
from bridge.store.checkout.submodules import SiteRemote

PICTURE = b"not really a picture\n" * 100
HASH = hashlib.sha256(PICTURE).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{HASH}\nsize {len(PICTURE)}\n"
FILES: dict[str, str | None] = {
    ".gitattributes": "*.jpg filter=lfs diff=lfs merge=lfs -text\n",
    "a.jpg": POINTER,
    "deep/b.jpg": POINTER,
    "c.md": "c",
}


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path / "owner")


def kept(git_dir: Path) -> Path:
    """The path at which git-lfs stores the picture."""
    return git_dir / "lfs" / "objects" / HASH[:2] / HASH[2:4] / HASH


def checkout(owner: Owner, folder: Path, url: str) -> Checkout:
    large = LargeFileCache(
        folder / "lfs", owner.bare, lambda: SiteRemote(url, {}), clock=lambda: 0.0
    )
    return Checkout(owner.objects, folder / "checkout", large_files=large)


@pytest.mark.parametrize("where", ["clone", "bare"])
def test_files_of_a_remote_on_this_machine(owner: Owner, tmp_path: Path, where: str) -> None:
    version = owner.write(FILES)
    remote = owner.clone if where == "clone" else owner.bare
    source = kept(remote / ".git" if where == "clone" else remote)
    source.parent.mkdir(parents=True)
    source.write_bytes(PICTURE)
    files = checkout(owner, tmp_path, str(remote))
    files.bring_to(version)
    assert files.warnings == ()
    assert (files.folder / "a.jpg").read_bytes() == PICTURE
    assert (files.folder / "deep" / "b.jpg").read_bytes() == PICTURE
    assert git(files.folder, "status", "--porcelain") == ""
    # And so it stays, whatever comes.
    later = owner.write({"c.md": "2", "deep/b.jpg": "no pointer any more", "a.jpg": None})
    files.bring_to(later, exact=False)
    assert (files.folder / "deep" / "b.jpg").read_text() == "no pointer any more"
    assert not (files.folder / "a.jpg").exists()
    files.bring_to(version, exact=True)
    assert (files.folder / "a.jpg").read_bytes() == PICTURE
    assert git(files.folder, "status", "--porcelain") == ""


def test_half_copies_of_a_killed_process_are_removed(owner: Owner, tmp_path: Path) -> None:
    names = ("new-old", "new-young", "new-before-the-clock-was-set-back")
    old, young, later = (tmp_path / "lfs" / name for name in names)
    for folder in (old, young, later):
        folder.mkdir(parents=True)
        (folder / HASH).write_bytes(PICTURE[:100])
    os.utime(old, (1e9, 1e9))
    os.utime(later, (4e9, 4e9))
    checkout(owner, tmp_path, str(owner.clone))
    assert not old.exists()
    assert not later.exists()
    # ``check`` beside the bridge may be at work.
    assert young.exists()


def test_check_may_copy_a_file_beside_the_bridge(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = owner.write(FILES)
    source = kept(owner.clone / ".git")
    source.parent.mkdir(parents=True)
    source.write_bytes(PICTURE)
    one, other = (
        LargeFileCache(tmp_path / "lfs", owner.bare, lambda: SiteRemote(str(owner.clone), {}))
        for _ in range(2)
    )
    copy = shutil.copyfile

    def second(source: Path, target: Path) -> Path:
        monkeypatch.setattr(shutil, "copyfile", copy)
        copied = copy(source, target)
        assert other.find(version, [HASH])[1] == ""
        return copied

    monkeypatch.setattr(shutil, "copyfile", second)
    found, reason = one.find(version, [HASH])
    assert (found[HASH].read_bytes(), reason) == (PICTURE, "")
    assert [*found[HASH].parent.iterdir()] == [found[HASH]]


def test_gitattributes_in_a_folder_are_used_at_once(owner: Owner, tmp_path: Path) -> None:
    source = kept(owner.clone / ".git")
    source.parent.mkdir(parents=True)
    source.write_bytes(PICTURE)
    files = checkout(owner, tmp_path, str(owner.clone))
    files.bring_to(owner.write({"deep/b.jpg": POINTER}))
    assert (files.folder / "deep" / "b.jpg").read_text() == POINTER
    files.bring_to(owner.write({"deep/.gitattributes": "*.jpg filter=lfs\n"}), exact=False)
    assert (files.folder / "deep" / "b.jpg").read_bytes() == PICTURE


@pytest.mark.parametrize("link", [".a.jpg.bridge", "a.jpg", "deep"])
def test_no_link_in_the_checkout_leads_a_large_file_elsewhere(
    owner: Owner, tmp_path: Path, link: str
) -> None:
    """The site's code may put links there."""
    source = kept(owner.clone / ".git")
    source.parent.mkdir(parents=True)
    source.write_bytes(PICTURE)
    files = checkout(owner, tmp_path, str(owner.clone))
    files.bring_to(owner.write({"c.md": "without", "deep/c.md": ""}))
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    for name in (".a.jpg.bridge", "a.jpg", "deep/b.jpg"):
        (outside / name).write_text(POINTER)
    if link == "deep":
        shutil.rmtree(files.folder / link)
    else:
        (files.folder / link).unlink(missing_ok=True)
    (files.folder / link).symlink_to(outside / link)
    with contextlib.suppress(OSError):
        files.bring_to(owner.write(FILES), exact=False)
    for name in (".a.jpg.bridge", "a.jpg", "deep/b.jpg"):
        assert (outside / name).read_text() == POINTER
    files.bring_to(owner.write(FILES))
    assert (files.folder / "deep" / "b.jpg").read_bytes() == PICTURE


def test_files_missing_at_the_remote_are_reported_with_a_remedy(
    owner: Owner, tmp_path: Path
) -> None:
    version = owner.write(FILES)
    source = kept(owner.clone / ".git")
    source.parent.mkdir(parents=True)
    source.write_bytes(b"something else")
    files = checkout(owner, tmp_path, str(owner.clone))
    files.bring_to(version)
    (told,) = files.warnings
    assert "a.jpg, deep/b.jpg elsewhere" in told
    assert f"{owner.clone} does not have them: run `git lfs fetch` there" in told
    assert (files.folder / "a.jpg").read_text() == POINTER


def test_without_git_lfs_no_server_is_contacted(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.checkout.lfs.shutil.which", lambda _: None)
    files = checkout(owner, tmp_path, "https://host.invalid/site.git")
    files.bring_to(owner.write(FILES))
    (told,) = files.warnings
    assert "apt install git-lfs" in told


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An LFS server, and the paths requested from it."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["objects"]
            self._answer(
                {
                    "transfer": "basic",
                    "objects": [
                        {**each, "actions": {"download": {"href": f"{url}/{each['oid']}"}}}
                        for each in wanted
                    ],
                }
            )

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(PICTURE)))
            self.end_headers()
            self.wfile.write(PICTURE)

        def _answer(self, said: object) -> None:
            data = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.git-lfs+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield url, asked
        listening.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_git_lfs_fetches_files_only_from_the_remotes_server(
    owner: Owner, tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    """If ``.lfsconfig`` names another server, that one is not contacted."""
    url, asked = server
    elsewhere = "[lfs]\n\turl = http://127.0.0.1:1/elsewhere\n"
    version = owner.write({**FILES, ".lfsconfig": elsewhere})
    files = checkout(owner, tmp_path, f"{url}/me/site.git")
    files.bring_to(version)
    assert files.warnings == ()
    assert (files.folder / "deep" / "b.jpg").read_bytes() == PICTURE
    assert asked == ["/me/site.git/info/lfs/objects/batch", f"/{HASH}"]
    assert git(files.folder, "status", "--porcelain") == ""
    files.bring_to(owner.write({"c.md": "2"}), exact=True)
    assert len(asked) == 2, "it is kept"
