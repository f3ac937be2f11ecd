"""One bridge for the whole suite, which builds real pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from bridge_kit import Client
from demo_kit import Demo, demo_in


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_in(
        tmp_path_factory.mktemp("protocol") / "demo",
        BRIDGE_WEBMENTION__SEND="false",
        BRIDGE_PUBLISH__REMOTE="",
    ) as bridge:
        yield bridge


@pytest.fixture
async def client(bridge: Demo) -> AsyncIterator[Client]:
    """A client with the owner's token."""
    async with aiohttp.ClientSession() as http:
        yield Client(bridge, http)
