"""Updating posts: tests 400-405 of the public suite, checked on the rebuilt pages."""

from __future__ import annotations

from bridge_kit import DONE, Answer, Client


async def update(client: Client, url: str, **operations: object) -> Answer:
    """An update that does not change the post's URL: 200, never 202."""
    answer = await client.act("update", url, **operations)
    assert answer.status == 200
    assert answer.json["url"] == url
    return answer


async def test_400_a_property_is_replaced(client: Client) -> None:
    url = await client.create(content=["The old words about boats"])
    await update(client, url, replace={"content": ["New words about trains"]})
    page = await client.page(url, lambda page: "New words about trains" in page.text)
    assert "The old words" not in page.text
    assert (await client.source(url))["content"] == ["New words about trains"]


async def test_401_a_value_is_added(client: Client) -> None:
    url = await client.create(content=["One more"], category=["first"])
    await update(client, url, add={"category": ["second"]})
    await client.page(url, lambda page: page.categories == ["first", "second"])
    assert (await client.source(url))["category"] == ["first", "second"]


async def test_402_a_value_is_added_to_an_absent_property(client: Client) -> None:
    url = await client.create(content=["None yet"])
    await update(client, url, add={"category": ["first"]})
    await client.page(url, lambda page: page.categories == ["first"])


async def test_403_a_value_is_removed(client: Client) -> None:
    url = await client.create(content=["One less"], category=["first", "second"])
    await update(client, url, delete={"category": ["second"]})
    await client.page(url, lambda page: page.categories == ["first"])


async def test_404_a_property_is_removed(client: Client) -> None:
    url = await client.create(content=["None left"], category=["first", "second"])
    await update(client, url, delete=["category"])
    await client.page(url, lambda page: page.categories == [])
    assert "category" not in await client.source(url)


async def test_405_an_operation_that_is_not_an_object_is_refused(client: Client) -> None:
    url = await client.create(content=["Unharmed"])
    before = client.bridge.git("rev-parse", "HEAD")
    answer = await client.json({"action": "update", "url": url, "replace": "words"}, 400)
    assert answer.error == "invalid_request"
    assert client.bridge.git("rev-parse", "HEAD") == before
    assert (await client.source(url))["content"] == ["Unharmed"]


async def test_an_update_that_moves_the_post_returns_the_new_url_and_the_old_one_redirects(
    client: Client,
) -> None:
    url = await client.create(content=["On the move"], mp_slug=["before-the-move"])
    answer = await client.json(
        {"action": "update", "url": url, "replace": {"mp-slug": ["after-the-move"]}}, DONE
    )
    assert answer.status == 201
    moved = answer.location
    assert moved != url
    await client.page(moved, lambda page: "On the move" in page.text)
    await client.wait(url, lambda status, page: status == 200 and moved in page.html)
    assert (await client.source(url))["content"] == ["On the move"]


async def test_an_update_that_would_leave_an_empty_page_is_refused(client: Client) -> None:
    url = await client.create(content=["All there is"])
    for operations in (
        {"delete": ["content"]},
        {"replace": {"content": ["\u200b\u2060 \u3164"]}},
        {"replace": {"content": [{"html": "<p><br></p><script>x</script>"}]}},
    ):
        answer = await client.json({"action": "update", "url": url, **operations}, 400)
        assert "nothing to see" in answer.json["error_description"]
    assert (await client.source(url))["content"] == ["All there is"]
    await update(client, url, delete=["content"], add={"photo": ["https://a.example/i.jpg"]})
    draft = await client.create(content=["A draft"], **{"post-status": ["draft"]})
    await update(client, draft, delete=["content"])
    answer = await client.json(
        {"action": "update", "url": draft, "replace": {"post-status": ["published"]}}, 400
    )
    assert "nothing to see" in answer.json["error_description"]


async def test_an_update_of_the_url_alone_is_refused(client: Client) -> None:
    url = await client.create(content=["I live here"])
    operations = {"replace": {"url": ["https://elsewhere.example/"]}}
    answer = await client.json({"action": "update", "url": url, **operations}, 400)
    assert "mp-slug" in answer.json["error_description"]
    await update(client, url, replace={"url": [f"{url}?utm_source=app"]})
