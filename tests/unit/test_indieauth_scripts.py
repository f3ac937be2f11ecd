"""Scripts of a site that shares the server's origin cannot read the owner's pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from indieauth_kit import scene


@pytest.mark.parametrize("path", ["/tokens", "/auth/sessions", "/auth/sign-in"])
async def test_only_a_person_who_goes_there_gets_a_page(tmp_path: Path, path: str) -> None:
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


async def test_a_browser_keeps_our_style_sheets_for_a_day(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        sheet = await stage.owner.get("/auth/static/pages.css")
    assert sheet.headers["Cache-Control"] == "public, max-age=86400"
