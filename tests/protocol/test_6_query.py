"""Queries: tests 600-603 of the public suite, and GET without ``q``."""

from __future__ import annotations

from typing import Any

from bridge_kit import Client

TEXT = "A question about the text itself"


async def test_600_config(client: Client) -> None:
    config = await client.query(q="config")
    assert config["media-endpoint"] == client.bridge.media
    assert {"config", "source", "syndicate-to", "category", "post-types"} <= set(config["q"])
    assert await client.query() == config


async def test_601_syndication_targets(client: Client) -> None:
    targets = (await client.query(q="syndicate-to"))["syndicate-to"]
    assert isinstance(targets, list)
    assert all(target["uid"] and target["name"] for target in targets)


async def test_602_the_source_of_a_post(client: Client) -> None:
    url = await client.create(content=[TEXT], category=["query", "test"])
    source = await client.query(q="source", url=url)
    assert source["type"] == ["h-entry"]
    assert source["properties"]["content"] == [TEXT]
    assert source["properties"]["category"] == ["query", "test"]


async def test_603_some_properties_of_a_post(client: Client) -> None:
    url = await client.create(content=[TEXT], category=["query", "test"])
    asked: dict[str, Any] = {"q": "source", "url": url, "properties[]": ["content", "category"]}
    assert await client.query(**asked) == {
        "properties": {"content": [TEXT], "category": ["query", "test"]}
    }
