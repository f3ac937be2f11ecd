"""A running demo: real git, real Pelican, a real server, started as a new owner would."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from warm_kit import Program, run_module

from bridge.store.repo import read_ref

ROOT = Path(__file__).parents[1]
#: Far more than anything takes on a busy machine.
PATIENCE = 300
_LOCKED = re.compile(r"Unable to create '.*\.lock'|cannot lock ref")


@dataclass(frozen=True)
class Demo:
    """The contents of ``demo.json``, and the demo's process."""

    site: str
    me: str
    micropub: str
    media: str
    authorization: str
    token_endpoint: str
    webmention: str
    desk: str
    token: str
    password: str
    repo: Path
    clone: Path
    output: Path
    pid: int
    folder: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def git(self, *arguments: str, repo: Path | None = None) -> str:
        """The output of git, in the bridge's repo unless ``repo`` is given.

        Git does not wait for locks: a command that met a push of the bridge's to the owner's clone
        is repeated, as its owner would.
        """
        command = ["git", "-C", str(repo or self.repo), *arguments]
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
            met_another = ended.returncode and _LOCKED.search(ended.stderr)
            if not met_another or time.monotonic() > deadline:
                ended.check_returncode()
                return ended.stdout.strip()
            time.sleep(0.05)

    def command(self, *arguments: str) -> str:
        """The output of ``micropub-bridge``, run beside the server."""
        file = self.folder / "bridge.toml"
        ended = run_module("bridge", *arguments, "-c", file, cwd=ROOT, env=os.environ)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def token_for(self, scope: str) -> str:
        """Create an app token with these scopes."""
        words = self.command("token", "create", "test", "--scope", scope).split()
        return max(words, key=len)

    def in_step(self) -> Path:
        """Wait until the owner's clone and the bridge's repo have the same commits, and no push is
        changing the clone's files; returns the clone.
        """

        def is_in_step() -> bool:
            heads = {read_ref(each, "refs/heads/main") for each in (self.repo, self.clone / ".git")}
            status = ("--no-optional-locks", "status", "--porcelain")
            return len(heads) == 1 and self.git(*status, repo=self.clone) == ""

        wait_until(is_in_step)
        return self.clone

    def head(self) -> bytes | None:
        """The newest commit in the bridge's repo."""
        return read_ref(self.repo, "refs/heads/main")

    def commits(self) -> int:
        return int(self.git("rev-list", "--count", "HEAD"))

    def page(self, url: str) -> Path:
        """The output file for a URL of the site."""
        path = self.output / url.removeprefix(self.site)
        return path / "index.html" if url.endswith("/") else path


def start_demo(folder: Path, *options: str, **environment: str) -> tuple[Demo, Program]:
    """Start ``micropub-bridge demo`` and wait until it is ready."""
    log = folder.with_name(f"{folder.name}.log")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    program = Program(
        "bridge", "demo", "--dir", folder, "--port", "0", *options,
        cwd=ROOT, env=kept | environment, stdout=log,
    )  # fmt: skip
    file = folder / "demo.json"
    wait_until(lambda: file.exists() or program.poll() is not None, seconds=PATIENCE)
    assert program.poll() is None, log.read_text()
    values = json.loads(file.read_text())
    paths = {name: Path(values[name]) for name in ("repo", "clone", "output")}
    return Demo(**{**values, **paths}, folder=folder), program


@contextmanager
def demo_in(
    folder: Path, *options: str, ending: int = signal.SIGINT, **environment: str
) -> Iterator[Demo]:
    """Run ``micropub-bridge demo`` in a folder, from ready to a clean exit.

    Tests that do not need webmentions set ``BRIDGE_WEBMENTION__SEND`` to ``false``: parsing each
    page for links in a subprocess is a third of a demo's work. Those that do not look at the
    owner's clone leave ``BRIDGE_PUBLISH__REMOTE`` empty: a push is twenty short processes.
    """
    demo, program = start_demo(folder, *options, **environment)
    try:
        yield demo
    finally:
        program.send_signal(ending)
        ended = program.wait(PATIENCE)
    assert ended == 0, folder.with_name(f"{folder.name}.log").read_text()


def wait_until(true: object, seconds: float = PATIENCE) -> None:
    """Poll until a callable returns true; fail after a time limit."""
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not true within {seconds} s")
        time.sleep(0.05)


async def live(http: aiohttp.ClientSession, url: str, seconds: float = PATIENCE) -> str:
    """The page at ``url``, once it is live."""
    deadline = time.monotonic() + seconds
    while True:
        async with http.get(url) as answer:
            if answer.status == 200:
                return await answer.text()
            # 404 until it is built, never another error.
            assert answer.status == 404
        assert time.monotonic() < deadline, f"{url} is not live after {seconds} s"
        await asyncio.sleep(0.1)


async def created(answer: aiohttp.ClientResponse) -> str:
    body = await answer.text()
    assert answer.status in (201, 202), body
    location = answer.headers["Location"]
    assert json.loads(body)["url"] == location
    return location
