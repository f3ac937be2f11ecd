"""Tokens with few scopes cannot be used for anything else, in any way."""

from __future__ import annotations

from typing import Any

import pytest
from bridge_kit import CREATED, Client


@pytest.fixture
def writer(client: Client) -> Client:
    """A client that may only write drafts."""
    return client.with_token(client.bridge.token_for("draft"))


async def draft(client: Client) -> str:
    """Create a draft, with any token that may; returns its URL."""
    properties = {"name": ["A draft"], "content": ["Not yet"], "post-status": ["published"]}
    return (await client.json({"properties": properties}, CREATED)).location


@pytest.mark.parametrize(
    "change",
    [
        {"replace": {"post-status": ["published"]}},
        {"delete": ["post-status"]},
        {"delete": {"post-status": ["draft"]}},
        {"add": {"post-status": ["publish"]}},
        {"replace": {"post-status": [""], "visibility": ["unlisted"]}},
    ],
)
async def test_a_token_for_drafts_cannot_publish_one(
    writer: Client, change: dict[str, Any]
) -> None:
    url = await draft(writer)
    before = writer.bridge.git("rev-parse", "HEAD")
    answer = await writer.json({"action": "update", "url": url, **change}, 403)
    assert answer.error == "insufficient_scope"
    assert writer.bridge.git("rev-parse", "HEAD") == before


async def test_a_token_for_drafts_can_change_one(writer: Client) -> None:
    url = await draft(writer)
    await writer.act("update", url, replace={"content": ["Nearly"]})
    assert (await writer.source(url))["content"] == ["Nearly"]
    assert (await writer.source(url))["post-status"] == ["draft"]


async def test_a_token_for_updates_publishes_what_a_token_for_drafts_wrote(
    client: Client, writer: Client
) -> None:
    url = await draft(writer)
    editor = client.with_token(client.bridge.token_for("update"))
    moved = await editor.act("update", url, replace={"post-status": ["published"]})
    assert (await client.source(moved.location))["post-status"] == ["published"]
