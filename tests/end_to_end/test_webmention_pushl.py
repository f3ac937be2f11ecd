"""Another implementation sends webmentions to a whole bridge: pushl, from the package index."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from bridge_kit import Client
from demo_kit import PATIENCE, demo_in
from webmention_kit import elsewhere

pytestmark = pytest.mark.nightly

PUSHL = "pushl==0.4.1"


@pytest.fixture(scope="module")
def pushl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, in an environment of its own."""
    folder = tmp_path_factory.mktemp("pushl")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", PUSHL], check=True)
    return folder / "bin" / "pushl"


async def test_what_pushl_sends_arrives(pushl: Path, tmp_path: Path) -> None:
    with demo_in(tmp_path / "demo", BRIDGE_WEBMENTION__APPROVE="all") as demo:
        async with aiohttp.ClientSession() as http, elsewhere() as site:
            client = Client(demo, http)
            post = await client.create(content="Something to reply to.")
            await client.page(post)

            link = f'<a class="u-in-reply-to" href="{post}">re</a>'
            reply = site.page(
                "/reply",
                f'<article class="h-entry"><div class="e-content"><p>Hello.</p>{link}</div>'
                '<p class="p-author h-card">Carol</p></article>',
            )

            def shown() -> list[str]:
                names = demo.git("ls-tree", "-r", "--name-only", "main").splitlines()
                files = [name for name in names if "/mentions/" in name and "/reply-" in name]
                return [json.loads(demo.git("show", f"main:{each}"))["content"]["text"]
                        for each in files]  # fmt: skip

            command = [str(pushl), "-v", "-c", str(tmp_path / "cache"), "-e", reply]
            run = await asyncio.to_thread(
                partial(subprocess.run, command, capture_output=True, text=True, timeout=PATIENCE)
            )
            assert run.returncode == 0, run.stderr
            deadline = time.monotonic() + PATIENCE
            while not shown():
                assert time.monotonic() < deadline, run.stderr
                await asyncio.sleep(0.1)
            (text,) = shown()
            assert "Hello." in text
