"""Trouble that passes, seen by an app: a clear answer, nothing half written, then all is well."""

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


@pytest.fixture(params=["bare", "clone"])
def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> Besieged:
    return Besieged.in_folder(tmp_path, bare=request.param == "bare")


@asynccontextmanager
async def running(bridge: Besieged) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process, url = await bridge.start()
    try:
        yield process, url
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


def everything_of_theirs(repo: Path) -> dict[str, bytes]:
    """Every file but those in the bridge's own folder."""
    files = (path for path in repo.rglob("*") if path.is_file())
    return {str(file): file.read_bytes() for file in files if "micropub-bridge" not in file.parts}


async def test_no_room_on_the_disk(bridge: Besieged) -> None:
    async with running(bridge) as (process, url):
        assert (await bridge.post(url, "before"))[0] == 202
        await bridge.look(url)
        before = everything_of_theirs(bridge.repo)
        # From here on the system itself refuses every byte that the bridge wants to write.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        status, told = await bridge.post(url, "too much")
        assert (status, told["error"]) == (507, "insufficient_storage")
        assert "Make room" in told["error_description"]
        assert everything_of_theirs(bridge.repo) == before
        everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, everything)
        assert (await bridge.post(url, "after"))[0] == 202
        bridge.check()
    subjects = git(bridge.repo, "log", "--format=%s", "main").splitlines()
    assert subjects == ["Note: after", "Note: before", "Begin"]


async def test_the_repo_is_away(bridge: Besieged) -> None:
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
