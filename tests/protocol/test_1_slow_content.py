"""A post that takes long to be worked out keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import time

from bridge_kit import Client


async def test_others_are_answered_while_markdown_takes_its_time(client: Client) -> None:
    begun = time.monotonic()
    # Python-Markdown looks for the end of each bracket.
    slow = asyncio.create_task(client.create(name=["Brackets"], content=["[" * 2500]))
    waits = []
    while not slow.done():
        asked = time.monotonic()
        await client.send("GET", f"{client.bridge.site}healthz")
        waits.append(time.monotonic() - asked)
    taken = time.monotonic() - begun
    await client.act("delete", await slow)
    assert max(waits) < taken / 2
