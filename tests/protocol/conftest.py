"""One bridge for the whole suite, which builds real pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from bridge_kit import Bridge, Client, running


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with running(tmp_path_factory.mktemp("protocol") / "demo") as bridge:
        yield bridge


@pytest.fixture
async def client(bridge: Bridge) -> AsyncIterator[Client]:
    """A client with the owner's token."""
    async with aiohttp.ClientSession() as http:
        yield Client(bridge, http)
