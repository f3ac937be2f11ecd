"""``demo --fake-network``: a new owner posts, and the copies appear."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import aiohttp
import pytest
from demo_kit import PATIENCE, demo_in


async def test_a_post_is_syndicated_to_the_fake_network(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with demo_in(folder, "--fake-network", BRIDGE_WEBMENTION__SEND="false") as demo:
        async with aiohttp.ClientSession(headers=demo.headers) as http:
            form = {"h": "entry", "content": "Hello & welcome"}
            async with http.post(demo.micropub, data=form) as answer:
                assert answer.status in {201, 202}
                url = answer.headers["Location"]
            copies = await copies_on(http, url)
            assert any("/@you/" in each for each in copies)
            network = next(each for each in copies if "/@you/" in each).partition("/@you/")[0]
            async with http.get(f"{network}/") as answer:
                assert (await answer.text()).count("Hello &amp; welcome") == 2
            async with http.get(f"{demo.site}status") as answer:
                facts = (await answer.json())["syndication"]
            assert [each["state"] for each in facts["targets"]] == ["ok", "ok"]
            assert facts["failed"] == []
    printed = folder.with_name("demo.log").read_text()
    assert f"--dir {folder} --fake-network" in printed, "to continue, the network is needed, too"


async def copies_on(http: aiohttp.ClientSession, url: str) -> list[str]:
    """The links to copies on the post's page, once there are two."""
    deadline = time.monotonic() + PATIENCE
    while True:
        async with http.get(url) as answer:
            page = await answer.text() if answer.status == 200 else ""
        found = re.findall(r'class="u-syndication" rel="syndication" href="([^"]+)"', page)
        if len(found) == 2:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"no copies on {url}")
        await asyncio.sleep(0.2)
