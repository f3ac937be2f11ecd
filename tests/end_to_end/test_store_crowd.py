"""The owner commits by hand in the clone that the bridge works in, while eight clients post."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path
from random import Random

from git_kit import git
from siege_kit import CLIENTS, Besieged
from soak_kit import rounds

COMMITS = rounds(8, 200)


def until_it_works(repo: Path, *arguments: str) -> None:
    """Git itself waits for no lock: the owner types it again."""
    for _ in range(1000):
        try:
            git(repo, *arguments)
        except subprocess.CalledProcessError:
            continue
        return
    raise AssertionError(arguments)


def commit_by_hand(repo: Path, number: int) -> None:
    (repo / f"mine-{number}.md").write_text("mine")
    until_it_works(repo, "add", f"mine-{number}.md")
    until_it_works(repo, "commit", "-q", "-m", f"Mine {number}")


async def test_neither_the_owner_nor_the_crowd_loses_anything(tmp_path: Path) -> None:
    bridge = Besieged.in_folder(tmp_path, bare=False)
    process, url = await bridge.start()
    clients, dice = bridge.clients(url, 1), Random(7)
    for number in range(COMMITS):
        await asyncio.sleep(dice.random() * 0.1)
        await asyncio.to_thread(commit_by_hand, bridge.repo, number)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    assert len(bridge.acknowledged) > CLIENTS, "the owner has not kept everybody else away"
    bridge.check()
    mine = git(bridge.repo, "ls-tree", "--name-only", "main").splitlines()
    assert {f"mine-{number}.md" for number in range(COMMITS)} <= set(mine)
