"""``check``: responses that are imported twice."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from git_kit import git

from bridge.commands.checks import http_requests
from bridge.commands.checks.syndication import check_syndication
from bridge.settings import Publish, Settings, Site, Syndication, Target, Webmention
from bridge.store import Change, Commit
from bridge.store.git import GitStore

HANGS = "hangs"


async def notes(store: GitStore, folder: Path, page: str = "", **target: Any) -> list[str]:
    """The findings that are advice. A ``page`` of ``HANGS`` never comes."""

    async def home(_: web.Request) -> web.Response:
        if page == HANGS:
            await asyncio.Event().wait()
        return web.Response(text=page, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", home)
    async with TestServer(app, host="127.0.0.1") as server:
        (folder / "account.token").write_text("none", encoding="utf-8")
        one = Target(
            uid="https://127.0.0.1:9/@you",
            name="M",
            type="mastodon",
            token_file=str(folder / "account.token"),
        )
        settings = Settings(
            site=Site(
                me=str(server.make_url("/")), repo=folder / "repo.git", state=folder / "state"
            ),
            publish=Publish(author="Ada <ada@example.com>"),
            webmention=Webmention(),
            syndication=Syndication(targets=(msgspec.structs.replace(one, **target),)),
        )
        return [str(each) async for each in check_syndication(settings) if not each.broken]


def came(store: GitStore, source: str, when: datetime) -> None:
    mention = {"wm-source": source, "wm-received": when.isoformat(), "type": "entry"}
    change = Change("content/mentions/a/reply-1.json", json.dumps(mention).encode(), None)
    store.commit([Commit((change,), "mention", store.head())])


COMMENT = "https://brid.gy/comment/mastodon/@you@a.example/1/2"


async def test_mentions_by_bridgy_in_addition_to_backfeed_are_reported(
    store: GitStore, tmp_path: Path
) -> None:
    assert await notes(store, tmp_path) == []
    came(store, COMMENT, datetime.now(UTC))
    (note,) = await notes(store, tmp_path)
    assert note.startswith("note responses from Mastodon: both Bridgy and the bridge import them")
    assert "https://brid.gy/" in note
    assert await notes(store, tmp_path, backfeed="none") == []
    assert git(tmp_path / "repo.git", "log", "--format=%s").splitlines()[0] == "mention"


@pytest.mark.parametrize(
    ("source", "days"),
    [
        (COMMENT, 90),
        ("https://brid.gy/comment/github/a/1/2", 0),
        ("https://a.example/brid.gy/comment", 0),
    ],
)
async def test_unrelated_mentions_do_not_count_as_bridgys(
    store: GitStore, tmp_path: Path, source: str, days: int
) -> None:
    came(store, source, datetime.now(UTC) - timedelta(days=days))
    assert await notes(store, tmp_path) == []


async def test_a_home_page_that_names_bridgy_tells_as_well(store: GitStore, tmp_path: Path) -> None:
    link = '<a href="https://brid.gy/mastodon/@you@a.example">Bridgy</a>'
    (note,) = await notes(store, tmp_path, link)
    assert "Mastodon" in note


async def test_a_home_page_that_never_comes_holds_up_the_check_for_a_limited_time(
    store: GitStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_requests, "SECONDS", 0.1)
    async with asyncio.timeout(100):  # aiohttp's own limit is five minutes
        assert await notes(store, tmp_path, HANGS) == []
