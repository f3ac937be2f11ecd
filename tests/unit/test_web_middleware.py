"""Whatever is raised below becomes an answer that says what to do, whoever asked for what."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bridge.store import StoreBroken, StoreBusy, StoreError, StoreFull
from bridge.web.middleware import render_errors


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (StoreFull("the disk is full"), 507, "Make room"),
        (StoreBusy("a lock is taken"), 503, "a lock is taken"),
        (StoreBroken("the repo cannot be used"), 503, "Try again in a moment"),
    ],
)
async def test_trouble_with_the_repo(
    method: str, error: StoreError, status: int, told: str
) -> None:
    async def fail(_: web.Request) -> web.Response:
        raise error

    answer = await render_errors(make_mocked_request(method, "/media/a.jpg"), fail)
    assert isinstance(answer, web.Response)
    assert answer.text
    assert (answer.status, told in answer.text) == (status, True)
    assert ("Retry-After" in answer.headers) == (status == 503)
