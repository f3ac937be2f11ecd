"""An idle bridge uses no processor time, whatever happened before."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from crowd_kit import HOOK_SECRET, Repos
from demo_kit import wait_until
from git_kit import git
from serving_kit import Serving, serving

GENUINE = {"X-Gitlab-Token": HOOK_SECRET}


async def status_of(http: aiohttp.ClientSession, bridge: Serving, part: str) -> str:
    headers = {**bridge.headers, "Accept": "application/json"}
    async with http.get(f"{bridge.url}status", headers=headers) as answer:
        state: str = (await answer.json())[part]["state"]
        return state


async def post(http: aiohttp.ClientSession, bridge: Serving) -> None:
    note = {"h": "entry", "content": "A post"}
    async with http.post(f"{bridge.url}micropub", data=note, headers=bridge.headers) as answer:
        assert answer.status == 202


def hang_up(bridge: Serving, data: bytes) -> None:
    """A client that disconnects in the middle of a request."""
    where = urlsplit(bridge.url)
    with socket.create_connection((str(where.hostname), int(where.port or 0))) as opened:
        opened.sendall(data)


@pytest.mark.parametrize("remote", ["", "nowhere"])
async def test_a_valid_webhook_call_without_a_remote(
    tmp_path: Path, http: aiohttp.ClientSession, remote: str
) -> None:
    """Without a remote there is no such URL, and nothing is started."""
    with serving(Repos.begin(tmp_path, {}), BRIDGE_PUBLISH__REMOTE=remote) as bridge:
        async with http.post(f"{bridge.url}hook/git", headers=GENUINE) as answer:
            assert answer.status == 404
        bridge.rests()
        await post(http, bridge)
        bridge.rests()


async def test_posts_webhooks_polls_and_disconnecting_clients(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    repos = Repos.begin(tmp_path, {})
    with serving(repos, BRIDGE_PUBLISH__POLL_SECONDS="1") as bridge:
        bridge.rests()
        await post(http, bridge)
        bridge.rests()
        async with http.post(f"{bridge.url}hook/git", headers=GENUINE) as answer:
            assert answer.status == 202
        bridge.rests()
        repos.write({"content/by-hand.md": "Title: By hand\nDate: 2026-01-02\n\nText.\n"})
        repos.push()
        wait_until(lambda: "content/by-hand.md" in repos.posts())
        bridge.rests()
        for part in (
            b"POST /micropub HTTP/1.1\r\nHost: x\r\n",
            b"POST /micropub HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nh=",
            b"POST /hook/git HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"GET /micropub?q=config HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            hang_up(bridge, part)
        bridge.rests()


async def test_a_push_and_a_build_that_fail(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    repos = Repos.begin(tmp_path, {})
    git(repos.bare, "remote", "set-url", "origin", str(tmp_path / "gone.git"))
    failing = {
        "BRIDGE_REBUILD__MODE": "command",
        "BRIDGE_REBUILD__COMMAND": '["false", "{output}"]',
    }
    with serving(repos, **failing) as bridge:
        await post(http, bridge)
        for part, kind in (("remote", "failed"), ("rebuild", "failed")):
            while await status_of(http, bridge, part) != kind:
                assert bridge.process.poll() is None
        bridge.rests()
        async with http.post(f"{bridge.url}hook/git", headers=GENUINE) as answer:
            assert answer.status == 202
        bridge.rests()
