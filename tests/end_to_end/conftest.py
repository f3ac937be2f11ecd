"""A whole demo, running: real git, real Pelican, a real server, as a newcomer would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).parents[2]


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
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

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


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all tests that only post to it."""
    running, process = start_demo(tmp_path_factory.mktemp("demo") / "site")
    yield running
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


@pytest.fixture
async def http() -> object:
    """An HTTP client that follows no redirect by itself."""
    async with aiohttp.ClientSession() as session:
        yield session
