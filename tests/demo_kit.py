"""A whole demo, running: real git, real Pelican, a real server, as a newcomer would start it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Demo:
    """What ``demo.json`` says, and the process behind it."""

    site: str
    me: str
    micropub: str
    media: str
    authorization: str
    token_endpoint: str
    token: str
    password: str
    repo: Path
    remote: Path
    output: Path
    pid: int

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def git(self, *arguments: str, repo: Path | None = None) -> str:
        """What git prints, in the owner's clone unless told otherwise."""
        command = ["git", "-C", str(repo or self.repo), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, encoding="utf-8"
        ).stdout.strip()

    def commits(self) -> int:
        return int(self.git("rev-list", "--count", "HEAD"))

    def page(self, url: str) -> Path:
        """The file behind a URL of the site."""
        path = self.output / url.removeprefix(self.site)
        return path / "index.html" if url.endswith("/") else path


def start_demo(folder: Path) -> tuple[Demo, subprocess.Popen[bytes]]:
    """Run ``micropub-bridge demo`` until it is ready."""
    log = (folder.parent / f"{folder.name}.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "demo", "--dir", str(folder), "--port", "0"],
        cwd=ROOT,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    )
    log.close()
    file = folder / "demo.json"
    wait_until(lambda: file.exists() or process.poll() is not None, seconds=120)
    if process.poll() is not None:
        pytest.fail((folder.parent / f"{folder.name}.log").read_text())
    values = json.loads(file.read_text())
    paths = {name: Path(values[name]) for name in ("repo", "remote", "output")}
    return Demo(**{**values, **paths}), process


def wait_until(true: object, seconds: float = 30) -> None:
    """Poll until a callable says yes; fail when it does not in time."""
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not true within {seconds} s")
        time.sleep(0.05)


async def live(http: aiohttp.ClientSession, url: str, seconds: float = 30) -> str:
    """The page at ``url``, once it is there."""
    deadline = time.monotonic() + seconds
    while True:
        async with http.get(url) as answer:
            if answer.status == 200:
                return await answer.text()
            # INTEROP: 404 until it is built, never anything worse.
            assert answer.status == 404
        assert time.monotonic() < deadline, f"{url} is not live after {seconds} s"
        await asyncio.sleep(0.1)


async def created(answer: aiohttp.ClientResponse) -> str:
    body = await answer.text()
    assert answer.status in (201, 202), body
    location = answer.headers["Location"]
    assert json.loads(body)["url"] == location
    return location
