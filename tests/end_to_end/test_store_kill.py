"""``kill -9`` of a bridge under load: every post that was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import pytest
from git_kit import git

from bridge.indieauth.database import Database
from bridge.indieauth.tokens import ALL_SCOPES, create_token

SOAK = "BRIDGE_SOAK" in os.environ
ROUNDS = 100 if SOAK else 4
CLIENTS = 8
PELICANCONF = """\
SITEURL = "https://example.com"
SITENAME = "A"
TIMEZONE = "UTC"
ARTICLE_URL = "{category}/{date:%Y}/{date:%m}/{slug}/"
ARTICLE_SAVE_AS = ARTICLE_URL + "index.html"
"""


@dataclass
class Bridge:
    """A bridge that is started again and again on one repo."""

    repo: Path
    environment: dict[str, str]
    token: str
    starts: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)

    async def start(self) -> tuple[asyncio.subprocess.Process, str]:
        begin = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bridge", "serve",
            env={**os.environ, **self.environment}, cwd=self.repo.parent,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        self.starts.append(time.monotonic() - begin)
        url = line.removeprefix("listening on ").strip()
        assert url.startswith("http"), line
        return process, url

    async def post_until_it_dies(self, url: str, client: int, number: int) -> None:
        """One client: it posts, waits for the answer, and posts again."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            for turn in range(10_000):
                name = f"word-{number}-{client}-{turn}-"
                try:
                    async with http.post(
                        f"{url}micropub", data={"h": "entry", "content": name}
                    ) as answer:
                        assert answer.status in {201, 202}, await answer.text()
                except aiohttp.ClientError:
                    return
                self.acknowledged.add(name)

    def check(self) -> None:
        """What the next start has found and put right."""
        found = set(git(self.repo, "grep", "-h", "-o", "-E", "word-[0-9-]+", "main").split())
        assert self.acknowledged <= found
        assert git(self.repo, "fsck", "--strict", "--no-dangling") == ""
        git_dir = self.repo / ".git" if (self.repo / ".git").exists() else self.repo
        assert [*git_dir.rglob("*.lock")] == [*git_dir.glob("micropub-bridge/*.lock")]
        if git_dir != self.repo:
            assert git(self.repo, "status", "--porcelain") == ""


@pytest.fixture(params=["bare", "clone"])
def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> Bridge:
    git(tmp_path, "init", "-q", "-b", "main", "origin")
    (tmp_path / "origin/pelicanconf.py").write_text(PELICANCONF)
    (tmp_path / "origin/content").mkdir()
    (tmp_path / "origin/content/first.md").write_text("Title: A\nDate: 2026-11-21\n\nword-0-0-0-\n")
    git(tmp_path / "origin", "add", "-A")
    git(tmp_path / "origin", "commit", "-q", "-m", "Begin")
    bare = ["--bare"] if request.param == "bare" else []
    git(tmp_path, "clone", "-q", *bare, "origin", "site")
    environment = {
        "BRIDGE_SITE__ME": "https://example.com/",
        "BRIDGE_SITE__REPO": str(tmp_path / "site"),
        "BRIDGE_SERVER__PORT": "0",
        "BRIDGE_INDIEAUTH__ENABLED": "true",
        "BRIDGE_INDIEAUTH__DATABASE": str(tmp_path / "indieauth.sqlite"),
        "BRIDGE_PUBLISH__REMOTE": "",
        "BRIDGE_PUBLISH__AUTHOR": "A <a@example.com>",
        "BRIDGE_REBUILD__MODE": "none",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    database = Database(tmp_path / "indieauth.sqlite")
    token = create_token(database, "kill", ALL_SCOPES)
    database.close()
    return Bridge(tmp_path / "site", environment, token)


async def test_every_acknowledged_post_survives_kill_9(bridge: Bridge) -> None:
    dice = Random(9)
    for number in range(ROUNDS):
        process, url = await bridge.start()
        bridge.check()
        enough = len(bridge.acknowledged) + dice.randrange(1, 40)
        clients = [
            asyncio.create_task(bridge.post_until_it_dies(url, client, number))
            for client in range(CLIENTS)
        ]
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
        print(f"{len(bridge.acknowledged)} posts, start {statistics.median(bridge.starts):.2f} s")
        assert statistics.median(bridge.starts) < 1.0
