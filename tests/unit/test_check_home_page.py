"""What ``check`` advises where the home page is not there, or elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from indieauth_kit import listening

from bridge.commands.checks.home_page import _publishing, check_home_page
from bridge.settings import Rebuild, Settings, Site


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that all users of the machine can read, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        index = home / "output" / "index.html"
        index.parent.mkdir()
        index.touch()
        for path, mode in ((home, 0o755), (index.parent, 0o755), (index, 0o644)):
            path.chmod(mode)
        yield home


def advice(home: Path) -> str:
    site = Site(me="https://s.example/", repo=home / "site.git")
    settings = Settings(site=site, rebuild=Rebuild(output=str(home / "output")))
    return _publishing(settings)


def test_pages_that_all_can_read_are_to_be_published(home: Path) -> None:
    assert advice(home) == "Publish your site there first."


def test_a_closed_home_folder_is_named(home: Path) -> None:
    home.chmod(0o750)
    assert f"since {home} is closed to other users: chmod o+x {home}, or" in advice(home)


@pytest.mark.parametrize("name", ["output", "output/index.html"])
def test_pages_that_were_built_with_a_strict_umask_are_named(home: Path, name: str) -> None:
    closed = home / name
    closed.chmod(closed.stat().st_mode & 0o700)
    told = advice(home)
    assert f"since {closed} is closed to other users" in told
    assert f"chmod -R o+rX {home / 'output'}, and start the bridge with umask 022" in told


def test_pages_that_are_not_built_yet_are_not_looked_at(home: Path) -> None:
    (home / "output" / "index.html").unlink()
    (home / "output").rmdir()
    assert advice(home) == "Publish your site there first."


async def test_a_home_page_that_redirects_to_another_origin_is_named_with_both_settings() -> None:
    async def home_page(request: web.Request) -> web.Response:
        if request.host.startswith("localhost"):
            raise web.HTTPMovedPermanently(f"{site}/")
        if request.path == "/":
            raise web.HTTPFound("/en/")
        return web.Response(text="<title>Home</title>", content_type="text/html")

    async def told(me: str) -> str:
        settings = Settings(site=Site(me=me, repo=Path("site.git")))
        findings = [each async for each in check_home_page(session, f"{site}/", settings)]
        return "".join(str(each) for each in findings if each.subject == "home page")

    app = web.Application()
    app.router.add_get("/{path:.*}", home_page)
    async with listening(app) as site, aiohttp.ClientSession() as session:
        assert await told(f"{site}/") == ""
        old = site.replace("127.0.0.1", "localhost")
        note = await told(f"{old}/")
    assert f"note home page: {old}/ redirects to {site}/en/" in note
    assert "set [site] me, and SITEURL" in note
