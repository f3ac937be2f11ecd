"""The generated pages, as the demo serves them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from yarl import URL

from bridge.http.static_site import SentFile, StaticSite, file_below


@pytest.fixture
async def client(
    aiohttp_client: Callable[..., Awaitable[TestClient[Any, Any]]], tmp_path: Path
) -> TestClient[Any, Any]:
    output = tmp_path / "output"
    (output / "notes").mkdir(parents=True)
    (output / "notes" / "index.html").write_text("A note")
    (output / "link.html").symlink_to(tmp_path / "secret.html")
    (tmp_path / "secret.html").write_text("A secret")
    app = web.Application()
    app.router.add_get("/{path:.*}", StaticSite(output).get)
    return await aiohttp_client(app)


async def test_a_folder_is_its_index(client: TestClient[Any, Any]) -> None:
    assert await (await client.get("/notes/")).text() == "A note"
    moved = await client.get("/notes", allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (301, "/notes/")


@pytest.mark.parametrize(
    "path",
    ["/..%2fsecret.html", "/link.html", "/%2e%2e%2fsecret.html", "/notes/..%2f..%2fsecret.html"],
)
async def test_nothing_outside_is_served(client: TestClient[Any, Any], path: str) -> None:
    assert (await client.get(URL(path, encoded=True))).status == 404


async def test_no_redirect_leads_to_another_host(
    client: TestClient[Any, Any], tmp_path: Path
) -> None:
    """``//evil.example/../..`` resolves to a folder of the site, but browsers take the path
    for a host.
    """
    inside = f"{tmp_path}/output/notes"
    up = "..%2f" * 2
    for path in (f"//evil.example/{up}{inside[1:]}", f"/{inside}", "/%5Cevil.example/..%2fnotes"):
        url = URL(f"http://127.0.0.1:{client.port}{path}", encoded=True)
        answer = await client.session.get(url, allow_redirects=False)
        assert not answer.headers.get("Location", "").startswith(("//", "/\\"))


async def test_apps_in_a_browser_may_discover_the_endpoints(
    aiohttp_client: Callable[..., Awaitable[TestClient[Any, Any]]], tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("Home")
    (tmp_path / "feed.xml").write_text("<feed/>")
    app = web.Application()
    links = {"micropub": "https://b.example/micropub", "token_endpoint": "https://b.example/token"}
    app.router.add_get("/{path:.*}", StaticSite(tmp_path, links).get)
    client = await aiohttp_client(app)
    for path in ("/", "/feed.xml", "/missing"):
        answer = await client.get(path)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Link" in answer.headers["Access-Control-Expose-Headers"]
    home = await client.head("/")
    assert {rel: str(link["url"]) for rel, link in home.links.items()} == links


async def test_a_file_that_is_replaced_by_a_link_while_it_is_sent_is_sent(
    aiohttp_client: Callable[..., Awaitable[TestClient[Any, Any]]], tmp_path: Path
) -> None:
    """The site's code writes to the output at any time."""
    (tmp_path / "output").mkdir()
    (tmp_path / "secret").write_text("a secret")

    async def get(_: web.Request) -> web.StreamResponse:
        place = tmp_path / "output" / "page.html"
        place.write_text("a page")
        found = file_below(tmp_path / "output", "page.html")
        assert found is not None
        place.unlink()
        place.symlink_to(tmp_path / "secret")
        return SentFile(found, headers={})

    app = web.Application()
    app.router.add_get("/", get)
    client = await aiohttp_client(app)
    answer = await client.get("/", headers={"Range": "bytes=2-"})
    assert (await answer.text(), answer.status, answer.content_type) == ("page", 206, "text/html")


@pytest.mark.parametrize("name", ["pipe", "folder/pipe"])
async def test_a_named_pipe_holds_no_request_up(
    client: TestClient[Any, Any], tmp_path: Path, name: str
) -> None:
    place = tmp_path / "output" / name
    place.parent.mkdir(exist_ok=True)
    os.mkfifo(place)
    try:
        assert (await client.get(f"/{name}")).status == 404
    finally:
        place.unlink()  # no one can read it
