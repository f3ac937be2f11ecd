"""``micropub-bridge mentions`` beside a serving bridge."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from bridge_kit import Client
from demo_kit import PATIENCE, Demo
from webmention_kit import Elsewhere, elsewhere


@pytest.fixture
async def client(demo: Demo, http: aiohttp.ClientSession) -> Client:
    return Client(demo, http)


@pytest.fixture
async def bob() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as site:
        yield site


async def settled(http: aiohttp.ClientSession, location: str) -> str:
    """The state of a mention after its verification."""
    deadline = time.monotonic() + PATIENCE
    while True:
        async with http.get(location) as answer:
            state = str((await answer.json())["state"])
        if state not in {"waiting", "approved"}:
            return state
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_mention_from_receipt_to_removal(
    client: Client, demo: Demo, bob: Elsewhere
) -> None:
    post = await client.create(content="Who has a spare bone folder?")
    page = await client.page(post)
    assert f'<link rel="webmention" href="{demo.webmention}" />' in page.html
    source = bob.page(
        "/reply",
        f'<div class="h-entry"><a class="p-author h-card" href="/">Bob</a>'
        f'<a class="u-in-reply-to" href="{post}">x</a><p class="e-content">Take mine.</p></div>',
    )
    async with client.http.post(demo.webmention, data={"source": source, "target": post}) as answer:
        assert answer.status == 201
        location = answer.headers["Location"]
    assert await settled(client.http, location) == "pending"
    assert "Take mine." not in (await client.page(post)).html

    listed = await asyncio.to_thread(demo.command, "mentions", "list", "--state", "pending")
    (line,) = [line for line in listed.splitlines() if source in line]
    name, state, kind, author, *_ = line.split("\t")
    assert (state, kind, author) == ("pending", "in-reply-to", "Bob")
    done = await asyncio.to_thread(demo.command, "mentions", "approve", name)
    assert done == "done: 1 mention\n"
    shown = await client.page(post, lambda page: "Take mine." in page.html)
    assert shown.entry.select_one(".u-comment.h-cite") is not None

    listed = await asyncio.to_thread(demo.command, "mentions", "list", "--state", "shown")
    (line,) = [line for line in listed.splitlines() if source in line]
    await asyncio.to_thread(demo.command, "mentions", "refuse", line.split("\t")[0])
    await client.page(post, lambda page: "Take mine." not in page.html)
    rules = json.loads(demo.git("show", "main:content/mentions/rules.json"))
    assert rules["refused"] == [line.split("\t")[0]]


async def test_an_export_is_imported(client: Client, demo: Demo, tmp_path: Path) -> None:
    post = await client.create(content="Long ago.")
    await client.page(post)
    entry = {
        "type": "entry",
        "author": {"type": "card", "name": "Amy", "url": "https://amy.example/"},
        "url": "https://amy.example/1",
        "wm-property": "like-of",
        "wm-source": "https://amy.example/1",
        "wm-target": post,
        "wm-received": "2020-01-02T03:05:00Z",
    }
    file = tmp_path / "mentions.jf2"
    file.write_text(json.dumps({"type": "feed", "children": [entry]}))
    told = await asyncio.to_thread(demo.command, "mentions", "import", str(file))
    assert told.startswith("1 new mention, 0 already stored")
    shown = await client.page(post, lambda page: "https://amy.example/1" in page.html)
    assert shown.entry.select_one(".u-like.h-cite") is not None
