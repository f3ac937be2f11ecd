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
