"""The demo that the end-to-end tests share."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from demo_kit import Demo, start_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all tests that only post to it."""
    # Responses wait for their pages, however busy the machine is.
    folder, patient = (
        tmp_path_factory.mktemp("demo") / "site",
        {"BRIDGE_REBUILD__WAIT_SECONDS": "60"},
    )
    running, process = start_demo(folder, **patient)
    yield running
    process.send_signal(signal.SIGINT)
    assert process.wait(150) == 0


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that follows no redirect by itself."""
    async with aiohttp.ClientSession() as session:
        yield session
