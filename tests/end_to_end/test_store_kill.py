"""``kill -9`` of a bridge under load: all acknowledged posts are there afterwards."""

from __future__ import annotations

import asyncio
import signal
import statistics
from pathlib import Path
from random import Random

import pytest
from siege_kit import Besieged
from soak_kit import SOAK, rounds

ROUNDS = rounds(2, 200)


@pytest.fixture
def bridge(tmp_path: Path) -> Besieged:
    return Besieged.in_folder(tmp_path)


async def test_every_acknowledged_post_survives_kill_9(bridge: Besieged) -> None:
    dice = Random(9)
    for number in range(ROUNDS):
        process, url = await bridge.start()
        bridge.check()
        enough = len(bridge.acknowledged) + dice.randrange(1, 40)
        clients = bridge.clients(url, number)
        while len(bridge.acknowledged) < enough:
            await asyncio.sleep(0.001)
        await asyncio.sleep(dice.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await asyncio.gather(*clients)
    process, _ = await bridge.start()
    bridge.check()
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    assert len(bridge.acknowledged) > ROUNDS
    if SOAK:
        start = statistics.median(bridge.starts)
        print(f"{len(bridge.acknowledged)} posts, start {start:.2f} s")
        # The first is with one post, the last with thousands: the index is read, not made.
        assert start < 1.0
