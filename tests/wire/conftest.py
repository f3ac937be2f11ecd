"""One bridge for the whole suite. It builds no pages: those are looked at elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from bridge_kit import Bridge, Client, running


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    folder = tmp_path_factory.mktemp("wire") / "demo"
    with running(folder, BRIDGE_REBUILD__MODE="none") as bridge:
        yield bridge


@pytest.fixture
async def client(bridge: Bridge) -> AsyncIterator[Client]:
    """A client with the owner's token."""
    async with aiohttp.ClientSession() as http:
        yield Client(bridge, http)
