"""Without a setting of the bridge, pages are written to the output folder in Pelican's settings."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from git_kit import bare_copy, commit_all, new_repo
from soak_kit import in_soak

from bridge.app import REBUILDER, STORE, make_app
from bridge.rebuild.output_folder import DeferredRebuilder, output_folder
from bridge.rebuild.webhook import NoRebuild
from bridge.settings import Settings
from bridge.settings_file import load
from bridge.store import Version

CONF = 'SITEURL = "https://example.com"\nSITENAME = AUTHOR = "A"\nTIMEZONE = "UTC"\n'
POST = "Title: One\nDate: 2020-01-01 10:00\nSlug: one\n\nText\n"


def make_repo(folder: Path, output: str, *, more: str = "") -> Path:
    """A bridge's repo whose settings name an output folder, with ``more`` lines."""
    clone = folder / "site"
    (clone / "content").mkdir(parents=True)
    (clone / "pelicanconf.py").write_text(
        f"{CONF}OUTPUT_PATH = {output!r}\n{more}", encoding="utf-8"
    )
    (clone / "content" / "one.md").write_text(POST, encoding="utf-8")
    commit_all(new_repo(clone))
    return bare_copy(clone, folder / "site.git")


def settings_for(repo: Path) -> Settings:
    """The settings of a bridge that do not name the output folder."""
    return load(
        None,
        {
            "BRIDGE_SITE__ME": "https://example.com/",
            "BRIDGE_SITE__REPO": str(repo),
            "BRIDGE_SITE__STATE": str(repo.with_name("state")),
            "BRIDGE_INDIEAUTH__ENABLED": "true",
            "BRIDGE_INDIEAUTH__DATABASE": str(repo.with_name("indieauth.sqlite")),
            "BRIDGE_PUBLISH__REMOTE": "",
            "BRIDGE_PUBLISH__AUTHOR": "A <a@b.c>",
        },
    )


async def build(repo: Path) -> None:
    """Run a bridge until the latest commit is live."""
    app = await make_app(settings_for(repo), public_url="https://bridge.example.com/")
    async with TestServer(app):
        head = app[STORE].head()
        assert head is not None
        app[REBUILDER].changed(head)
        assert await app[REBUILDER].live(head, "one.html", 300)


async def test_a_relative_output_folder_is_in_the_bridges_state(tmp_path: Path) -> None:
    await build(make_repo(tmp_path, "public"))
    assert (tmp_path / "state" / "public" / "one.html").is_file()


async def test_an_absolute_output_folder_is_used(tmp_path: Path) -> None:
    await build(make_repo(tmp_path, str(tmp_path / "www")))
    assert (tmp_path / "www" / "one.html").is_file()


@pytest.mark.parametrize(
    "output",
    [
        *("git", "public/../..", "/etc/x"),
        *map(in_soak, [".", "..", "keep/x", "site/home", "{}", "{}/.ssh"]),
    ],
)
async def test_the_sites_settings_choose_no_folder_that_is_in_use_or_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, output: str
) -> None:
    """The site's code may write to it."""
    folder = output.format(tmp_path)
    await build(make_repo(tmp_path, folder))
    assert (tmp_path / "state" / "output" / "one.html").is_file()
    assert "set [rebuild] output = " in caplog.text


async def test_a_folder_in_use_stays_in_use_and_no_other_is_taken(tmp_path: Path) -> None:
    repo = make_repo(tmp_path, "public")
    await build(repo)
    (tmp_path / "state" / "public" / "one.html").unlink()
    await build(repo)
    assert (tmp_path / "state" / "public" / "one.html").is_file()
    state = tmp_path / "state"
    assert output_folder("public", state) == state / "public"
    assert output_folder("public/one", state) == state / "output"
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "mine").touch()
    assert output_folder(str(tmp_path / "www"), state) == state / "output"
    assert output_folder(str(tmp_path / "new"), state) == tmp_path / "new"


def test_the_folder_of_an_earlier_release_stays_in_use(tmp_path: Path) -> None:
    state, elsewhere = tmp_path / "bridge" / "state", tmp_path / "www"
    (state / "rebuild").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "index.html").touch()
    note = {"folder": str(elsewhere), "files": ["index.html"]}
    (state / "rebuild" / "output.json").write_text(json.dumps(note))
    for _ in range(2):
        assert output_folder(str(elsewhere), state) == elsewhere
    (state / "output-folder").unlink()
    (state / "rebuild" / "kept").mkdir()
    (state / "rebuild" / "output.json").rename(state / "rebuild" / "kept" / "output.json")
    # The site's code writes there by now.
    assert output_folder(str(elsewhere), state) == state / "output"


async def test_the_bridge_answers_and_stops_while_a_slow_site_is_loading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Longer than the bridge gives a site to load: whatever waited for it would be seen to.
    repo = make_repo(tmp_path, "public", more="import time\ntime.sleep(600)\n")
    app = await make_app(settings_for(repo), public_url="https://bridge.example.com/")
    async with TestClient(TestServer(app)) as client:
        for path, status in (
            ("/healthz", 200),
            ("/micropub?q=config", 401),
            ("/auth/sign-in", 200),
        ):
            async with client.get(path) as answer:
                assert answer.status == status, path
        rebuilder = app[REBUILDER]
        assert rebuilder.is_local
        assert rebuilder.output is None, "the site has not been read yet"
        assert rebuilder.status().state == "building"
        head = app[STORE].head()
        assert head is not None
        assert not await rebuilder.live(head, "one.html", 0.01)
    assert "left behind" not in caplog.text


async def test_building_begins_once_it_can(tmp_path: Path) -> None:
    """As after a start on a full disk: it was not tried again until the next start."""
    full = True
    opened = list[NoRebuild]()

    class OnFullDisk(NoRebuild):
        async def start(self) -> None:
            opened.append(self)
            if full:
                raise OSError("No space left on device")

        async def close(self) -> None:
            opened.remove(self)

    def make(output: Path) -> NoRebuild:
        assert output == tmp_path
        return OnFullDisk()

    async def find() -> Path:
        return tmp_path

    rebuilder = DeferredRebuilder(find, retry_seconds=0.01)
    rebuilder.make_with(make)
    await rebuilder.start()
    assert not await rebuilder.live(Version("1"), "index.html", 60)
    assert rebuilder.status().reason == "OSError: No space left on device"
    full = False
    async with asyncio.timeout(60):
        while rebuilder.status().state == "failed":
            await asyncio.sleep(0.01)
    assert len(opened) == 1, "those that did not start are closed"
    await rebuilder.close()
    assert opened == []
