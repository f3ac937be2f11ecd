"""One bridge for the whole suite. It builds no pages and pushes to no clone: other suites check
those."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from bridge_kit import Client
from demo_kit import Demo, demo_in


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("wire") / "demo"
    with demo_in(folder, BRIDGE_REBUILD__MODE="none", BRIDGE_PUBLISH__REMOTE="") as bridge:
        yield bridge


@pytest.fixture
async def client(bridge: Demo) -> AsyncIterator[Client]:
    """A client with the owner's token."""
    async with aiohttp.ClientSession() as http:
        yield Client(bridge, http)
