"""Where pages go when the bridge's settings do not say: where Pelican's own settings want them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from aiohttp.test_utils import TestServer

from bridge.app import REBUILDER, STORE, make_app
from bridge.settings_file import load

CONF = 'SITEURL = "https://example.com"\nSITENAME = AUTHOR = "A"\nTIMEZONE = "UTC"\n'
POST = "Title: One\nDate: 2020-01-01 10:00\nSlug: one\n\nText\n"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def make_repo(folder: Path, output: str) -> Path:
    """A bridge's repo whose settings name an output folder."""
    clone = folder / "site"
    (clone / "content").mkdir(parents=True)
    (clone / "pelicanconf.py").write_text(f"{CONF}OUTPUT_PATH = {output!r}\n", encoding="utf-8")
    (clone / "content" / "one.md").write_text(POST, encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main", str(clone))
    git(clone, "add", ".")
    git(clone, "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "x")
    git(folder, "clone", "--quiet", "--bare", str(clone), "site.git")
    return folder / "site.git"


async def build(repo: Path) -> None:
    """Run a bridge until the newest commit is live."""
    settings = load(
        None,
        {
            "BRIDGE_SITE__ME": "https://example.com/",
            "BRIDGE_SITE__REPO": str(repo),
            "BRIDGE_SITE__STATE": str(repo.with_name("state")),
            "BRIDGE_AUTH__TOKEN_ENDPOINT": "https://tokens.example/",
            "BRIDGE_PUBLISH__REMOTE": "",
            "BRIDGE_PUBLISH__AUTHOR": "A <a@b.c>",
        },
    )
    app = await make_app(settings, public_url="https://bridge.example.com/")
    async with TestServer(app):
        head = app[STORE].head()
        assert head is not None
        app[REBUILDER].changed(head)
        assert await app[REBUILDER].live(head, "one.html", 60)


async def test_a_relative_folder_is_in_the_bridges_state(tmp_path: Path) -> None:
    await build(make_repo(tmp_path, "public"))
    assert (tmp_path / "state" / "public" / "one.html").is_file()


async def test_an_absolute_folder_is_where_it_is(tmp_path: Path) -> None:
    await build(make_repo(tmp_path, str(tmp_path / "www")))
    assert (tmp_path / "www" / "one.html").is_file()
