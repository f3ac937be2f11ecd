"""Temporary failures, seen by an app: a clear error, nothing partially written, then success."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from git_kit import git
from siege_kit import Besieged


@pytest.fixture
def bridge(tmp_path: Path) -> Besieged:
    return Besieged.in_folder(tmp_path)


@asynccontextmanager
async def running(bridge: Besieged) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process, url = await bridge.start()
    try:
        yield process, url
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


def everything(repo: Path) -> dict[str, bytes]:
    """All files of the repo."""
    files = (path for path in repo.rglob("*") if path.is_file())
    return {str(file): file.read_bytes() for file in files}


async def test_a_full_disk(bridge: Besieged) -> None:
    async with running(bridge) as (process, url):
        assert (await bridge.post(url, "before"))[0] == 202
        await bridge.look(url)
        before = everything(bridge.repo)
        # From here on the operating system refuses every byte that the bridge writes.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        status, told = await bridge.post(url, "too much")
        assert (status, told["error"]) == (507, "insufficient_storage")
        assert "Make room" in told["error_description"]
        assert everything(bridge.repo) == before
        no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, no_limit)
        assert (await bridge.post(url, "after"))[0] == 202
        bridge.check()
    subjects = git(bridge.repo, "log", "--format=%s", "main").splitlines()
    assert subjects == ["Note: after", "Note: before", "Begin"]


async def test_a_missing_repo(bridge: Besieged) -> None:
    away = bridge.repo.with_name("away")
    async with running(bridge) as (_, url):
        assert (await bridge.post(url, "before"))[0] == 202
        bridge.repo.rename(away)
        status, told = await bridge.post(url, "nowhere")
        assert (status, told["error"]) == (503, "temporarily_unavailable")
        assert not bridge.repo.exists()
        away.rename(bridge.repo)
        assert (await bridge.post(url, "after"))[0] == 202
        bridge.check()
    subjects = git(bridge.repo, "log", "--format=%s", "main").splitlines()
    assert subjects == ["Note: after", "Note: before", "Begin"]
