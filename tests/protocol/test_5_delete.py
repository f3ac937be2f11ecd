"""Deleting and restoring: tests 500-503 of the public suite, checked on the site."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from bridge_kit import DONE, Client


async def by_form(client: Client, action: str, url: str) -> None:
    answer = await client.form(f"action={action}&url={quote(url, safe='')}", DONE)
    assert answer.status == 200


async def by_json(client: Client, action: str, url: str) -> None:
    assert (await client.act(action, url)).status == 200


HOW = pytest.mark.parametrize("act", [by_form, by_json])


@HOW
async def test_500_501_a_deleted_post_is_gone(client: Client, act: object) -> None:
    assert callable(act)
    url = await client.create(content=["Not for long"])
    await client.page(url)
    await act(client, "delete", url)
    await client.gone(url)
    await client.query(400, q="source", url=url)
    listed = await client.query(q="source", limit=5)
    assert url not in [item["properties"]["url"][0] for item in listed["items"]]


@HOW
async def test_502_503_a_deleted_post_is_restored_unchanged(client: Client, act: object) -> None:
    assert callable(act)
    url = await client.create(name=["Back"], content=["I will be back"], category=["b", "a"])
    before = await client.source(url)
    await client.page(url)
    await act(client, "delete", url)
    await client.gone(url)
    await act(client, "undelete", url)
    page = await client.page(url)
    assert "I will be back" in page.text
    assert await client.source(url) == before


async def test_a_post_that_never_existed_cannot_be_deleted(client: Client) -> None:
    before = client.bridge.git("rev-parse", "HEAD")
    nowhere = f"{client.bridge.site}notes/never-written/"
    for action in ("delete", "undelete", "update"):
        body = {"action": action, "url": nowhere, "replace": {"content": ["x"]}}
        assert (await client.json(body, 400)).error == "invalid_request"
    assert client.bridge.git("rev-parse", "HEAD") == before


async def test_a_deleted_post_does_not_come_back_where_another_one_is(client: Client) -> None:
    url = await client.create(name=["The only one"], content=["first"])
    await by_json(client, "delete", url)
    assert await client.create(name=["The only one"], content=["second"]) == url
    refused = await client.json({"action": "undelete", "url": url}, 409)
    assert "Another post (content/articles/" in refused.json["error_description"]
    assert (await client.source(url))["content"] == ["second"]


async def test_a_post_is_restored_once_however_often_it_is_asked_for(client: Client) -> None:
    url = await client.create(content=["Twice restored"])
    await by_json(client, "delete", url)
    await by_json(client, "undelete", url)
    await client.act("update", url, replace={"content": ["Twice restored, and edited"]})
    before = client.bridge.git("rev-parse", "HEAD")
    await by_json(client, "undelete", url)
    assert client.bridge.git("rev-parse", "HEAD") == before
    never_deleted = await client.create(content=["Never deleted"])
    await by_json(client, "undelete", never_deleted)
