"""Scripts of a site that shares the server's origin cannot read the owner's pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from indieauth_kit import scene


@pytest.mark.parametrize("path", ["/tokens", "/auth/sessions", "/auth/sign-in"])
async def test_only_top_level_navigation_gets_a_page(tmp_path: Path, path: str) -> None:
    async with scene(tmp_path) as stage:
        seen = await stage.owner.get(path, headers={"Sec-Fetch-Dest": "document"})
        read = await stage.owner.get(path, headers={"Sec-Fetch-Dest": "empty"})
    assert "csrf" not in read.text
    assert (seen.status, read.status) in {(200, 403), (303, 303)}


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5000, "%00", "..%2froutes.py", "%ff", "."])
async def test_a_name_that_is_no_file_of_ours_is_not_found(tmp_path: Path, name: str) -> None:
    async with scene(tmp_path) as stage:
        assert (await stage.owner.get(f"/auth/static/{name}")).status == 404
        assert (await stage.owner.get("/auth/static/pages.css")).status == 200


async def test_a_browser_asks_once_for_each_version_of_our_files(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        page = await stage.owner.get("/tokens")
        (linked,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
        named = await stage.owner.get(linked)
        older = await stage.owner.get(f"/auth/static/{'0' * 16}/pages.css")
        plain = await stage.owner.get("/auth/static/pages.css")
        other = await stage.owner.get("/auth/static/other/pages.css")
    assert named.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert {older.headers["Cache-Control"], plain.headers["Cache-Control"]} == {"no-cache"}
    assert (named.status, older.status, plain.status, other.status) == (200, 200, 200, 404)
    assert named.text == older.text == plain.text


async def test_our_files_come_compressed_and_pages_with_a_secret_do_not(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        packed = await stage.owner.get(
            "/auth/static/pages.css", headers={"Accept-Encoding": "gzip"}
        )
        plain = await stage.owner.get(
            "/auth/static/pages.css", headers={"Accept-Encoding": "identity"}
        )
        page = await stage.owner.get("/tokens", headers={"Accept-Encoding": "gzip"})
        known = {"If-None-Match": plain.headers["ETag"]}
        again = await stage.owner.get("/auth/static/pages.css", headers=known)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) * 3 < int(plain.headers["Content-Length"])
    assert packed.text == plain.text
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "Content-Encoding" not in page.headers
    assert again.status == 304
