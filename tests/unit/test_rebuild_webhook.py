"""A webhook is called once for each version, retried if that may help, and its URL is kept
secret.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.rebuild.build import BuildFailed
from bridge.rebuild.last_build import BuildLedger
from bridge.rebuild.webhook import Webhook
from bridge.store import Version

ONE, TWO = Version("one"), Version("two")


def nobody(_: object) -> None:
    """Nothing is published in these tests."""


@dataclass
class Hook:
    """Responds with the given statuses, then 204; records its requests."""

    statuses: list[int] = field(default_factory=list)
    told: list[tuple[bytes, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        signature = request.headers.get("X-Hub-Signature-256", "")
        self.told.append((await request.read(), signature))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
async def url(hook: Hook) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/build/s3cr3t", hook.take)
    async with TestServer(app) as server:
        yield str(server.make_url("/build/s3cr3t"))


def webhook(url: str, folder: Path, secret: str = "") -> Webhook:
    return Webhook(url, BuildLedger(folder / "built.json"), secret, pauses=(0.01, 0.01))


async def test_the_webhook_is_called_once_for_each_version(
    hook: Hook, url: str, tmp_path: Path
) -> None:
    for version in (ONE, ONE, TWO):
        await webhook(url, tmp_path).do(version, nobody)
    assert [body for body, _ in hook.told] == [b'{"version": "one"}', b'{"version": "two"}']


async def test_temporary_failures_are_retried(hook: Hook, url: str, tmp_path: Path) -> None:
    hook.statuses = [503, 429]
    await webhook(url, tmp_path).do(ONE, nobody)
    assert len(hook.told) == 3


async def test_a_refusal_is_not_retried(hook: Hook, url: str, tmp_path: Path) -> None:
    hook.statuses = [404]
    with pytest.raises(BuildFailed, match=r"answered 404\.") as failure:
        await webhook(url, tmp_path).do(ONE, nobody)
    assert not failure.value.passing
    assert len(hook.told) == 1


async def test_after_repeated_failures_the_worker_may_retry_later(
    hook: Hook, url: str, tmp_path: Path
) -> None:
    hook.statuses = [500, 500, 500]
    with pytest.raises(BuildFailed) as failure:
        await webhook(url, tmp_path).do(ONE, nobody)
    assert failure.value.passing
    await webhook(url, tmp_path).do(ONE, nobody)
    assert len(hook.told) == 4


async def test_an_unreachable_webhook_is_reported_without_its_secret_url(
    tmp_path: Path, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = f"http://127.0.0.1:{unused_tcp_port}/build/s3cr3t"
    with pytest.raises(BuildFailed, match=r"127\.0\.0\.1 does not answer") as failure:
        await webhook(address, tmp_path).do(ONE, nobody)
    assert "s3cr3t" not in f"{failure.value}{caplog.text}"


async def test_a_secret_signs_the_body(hook: Hook, url: str, tmp_path: Path) -> None:
    await webhook(url, tmp_path, "key").do(ONE, nobody)
    ((body, signature),) = hook.told
    assert signature == "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
