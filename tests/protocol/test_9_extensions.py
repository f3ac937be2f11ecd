"""Extensions that clients use, on a running bridge and its pages."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from bridge_kit import CREATED, Client, picture


@pytest.fixture
def word() -> str:
    """A unique word."""
    return f"w{secrets.token_hex(5)}"


def urls(found: dict[str, Any]) -> list[str]:
    """The URLs in a list, in order."""
    return [item["properties"]["url"][0] for item in found["items"]]


async def upload(client: Client, data: bytes, *more: tuple[str, str, dict[str, str]]) -> str:
    """Upload a picture; returns its URL."""
    file = ("file", data, {"filename": "p.jpg", "content_type": "image/jpeg"})
    return (await client.multipart(file, *more, url=client.bridge.media)).location


async def test_slugs_are_requests_and_never_used_twice(client: Client, word: str) -> None:
    made = [await client.create(content=["x"], mp_slug=[word]) for _ in range(3)]
    assert [url.rstrip("/").rsplit("/", 1)[-1] for url in made] == [word, f"{word}-2", f"{word}-3"]


@pytest.mark.parametrize(
    "slug", ["../../etc/passwd", "..", "/", "a/b", "Über Größe", "index", ".html", "%2e%2e"]
)
async def test_no_slug_leads_outside_of_the_content_folder(client: Client, slug: str) -> None:
    before = set(client.bridge.git("ls-tree", "-r", "--name-only", "HEAD").splitlines())
    url = await client.create(content=["Inside"], mp_slug=[slug])
    (file,) = set(client.bridge.git("ls-tree", "-r", "--name-only", "HEAD").splitlines()) - before
    assert file.startswith("content/")
    assert ".." not in Path(file).parts
    assert url.startswith(client.bridge.site)
    await client.page(url)


async def test_lists_are_paginated_in_both_directions(client: Client, word: str) -> None:
    made = [await client.create(content=[f"{word} {number}"]) for number in range(5)]
    asked: dict[str, Any] = {"q": "source", "filter": word, "limit": 2}
    first = await client.query(**asked)
    second = await client.query(**asked, after=first["paging"]["after"])
    third = await client.query(**asked, after=second["paging"]["after"])
    assert sorted(urls(first) + urls(second) + urls(third)) == sorted(made)
    assert len(urls(third)) == 1
    assert "after" not in third["paging"]
    assert "before" not in first["paging"]
    back = await client.query(**asked, before=third["paging"]["before"])
    assert urls(back) == urls(second)
    assert urls(await client.query(**asked, offset=2)) == urls(second)


async def test_lists_are_filtered(client: Client, word: str) -> None:
    note = await client.create(content=[f"{word} note"])
    like = await client.create(like_of=[f"https://b.example/{word}"])
    draft = await client.create(content=[f"{word} draft"], post_status=["draft"])
    asked: dict[str, Any] = {"q": "source", "filter": word}
    assert sorted(urls(await client.query(**asked))) == sorted([note, like, draft])
    assert urls(await client.query(**asked, post_type="like")) == [like]
    both = await client.query(**asked, post_type=["like", "note"])
    assert sorted(urls(both)) == sorted([note, like, draft])
    assert urls(await client.query(**asked, post_status="draft")) == [draft]
    assert sorted(urls(await client.query(**asked, post_status="published"))) == sorted(
        [note, like]
    )


async def test_some_properties_of_a_list(client: Client, word: str) -> None:
    url = await client.create(content=[word], category=["a"])
    asked: dict[str, Any] = {"q": "source", "filter": word, "properties[]": ["category"]}
    (item,) = (await client.query(**asked))["items"]
    assert item["properties"] == {"category": ["a"], "url": [url]}


async def test_categories_come_from_the_posts(client: Client, word: str) -> None:
    await client.create(content=["x"], category=[word, f"{word} too"])
    assert sorted((await client.query(q="category", filter=word))["categories"]) == [
        word,
        f"{word} too",
    ]
    assert (await client.query(q="category", search=f"{word} t"))["categories"] == [f"{word} too"]
    assert word in (await client.query(q="category"))["categories"]


async def test_short_lists_have_parts_too(client: Client, word: str) -> None:
    await client.create(content=["x"], category=[f"{word}a", f"{word}b", f"{word}c"])
    asked: dict[str, Any] = {"q": "category", "filter": word}
    whole = (await client.query(**asked))["categories"]
    assert len(whole) == 3
    assert (await client.query(**asked, limit=1))["categories"] == whole[:1]
    assert (await client.query(**asked, limit=1, offset=1))["categories"] == whole[1:2]
    assert (await client.query(**asked, offset=2))["categories"] == whole[2:]
    assert len((await client.query(q="channel", limit=1))["channels"]) == 1


async def test_every_list_is_filtered(client: Client, word: str) -> None:
    channels = (await client.query(q="channel"))["channels"]
    name = channels[-1]["name"]
    found = (await client.query(q="channel", filter=name.upper()))["channels"]
    assert found == [each for each in channels if name.casefold() in each["name"].casefold()]
    types = (await client.query(q="post-types", filter="photo"))["post-types"]
    assert [each["type"] for each in types] == ["photo"]
    assert await client.query(q="syndicate-to", filter=word) == {"syndicate-to": []}
    for colour, alt in (("#102030", f"The {word}"), ("#f0a030", "Another")):
        await upload(client, picture(colour), ("alt", alt, {}))
    asked = {"q": "source", "filter": f"the {word}", "limit": "1"}
    media = (await client.send("GET", client.bridge.media, params=asked)).json
    assert [item["alt"] for item in media["items"]] == [f"The {word}"]


async def test_a_person_tagged_by_url_is_no_tag(client: Client, word: str) -> None:
    person = f"https://{word}.example/"
    body = f"h=entry&content=With+you&category[]={person}&category[]={word}"
    url = (await client.form(body)).location
    assert (await client.source(url))["category"] == [person, word]
    found = await client.query(q="category", filter=word)
    assert found["categories"] == [word]
    page = await client.page(url)
    assert [link["href"] for link in page.entry.select("a.u-category")] == [person]
    await client.act("update", url, add={"category": [f"{word}too"]})
    assert (await client.source(url))["category"] == [person, word, f"{word}too"]


async def test_a_photo_that_was_never_uploaded_is_refused(client: Client, word: str) -> None:
    missing = f"{client.bridge.media}/2026/11/{word}.jpg"
    for photo in (missing, {"value": missing, "alt": "Nothing"}):
        body = {"type": ["h-entry"], "properties": {"content": ["x"], "photo": [photo]}}
        refused = await client.json(body, 400)
        assert missing in refused.json["error_description"]
    url = await client.create(content=["x"])
    await client.json({"action": "update", "url": url, "add": {"photo": [missing]}}, 400)


@pytest.mark.parametrize(
    "text",
    [
        "![A teal]({})",
        "See {}, it is there.",
        "<{}>",
        {"html": '<p><img src="{}" alt=""></p>'},
        {"html": "<p>A <a href='{}?large'>picture</a></p>"},
    ],
)
async def test_a_text_with_an_upload_that_is_not_there_is_refused(
    client: Client, word: str, text: Any
) -> None:
    missing = f"{client.bridge.media}/2026/11/{word}.jpg"
    named = json.loads(json.dumps(text).replace("{}", missing))
    body = {"type": ["h-entry"], "properties": {"content": [named]}}
    refused = await client.json(body, 400)
    assert f"{missing}:" in refused.json["error_description"]
    url = await client.create(content=["x"])
    await client.json({"action": "update", "url": url, "replace": {"content": [named]}}, 400)
    elsewhere = missing.replace("://", "://images.")
    await client.create(content=[json.loads(json.dumps(text).replace("{}", elsewhere))])


async def test_an_upload_that_has_gone_does_not_keep_its_post_from_edits(
    client: Client, word: str
) -> None:
    teal = await upload(client, picture("#a0f0b0"))
    url = await client.create(content=[f"{word} ![A teal]({teal})"])
    await client.form(f"action=delete&url={teal}", 200, client.bridge.media)
    await client.act("update", url, replace={"content": [f"![A teal]({teal}) has gone"]})


@pytest.mark.parametrize("when", ["soon", "2026-13-01", "21 o'clock", "2026-11-31T18:00:00"])
async def test_an_event_at_no_date_is_refused(client: Client, when: str) -> None:
    for name in ("start", "end"):
        event = {"name": ["A party"], "start": ["2026-12-24"], name: [when]}
        refused = await client.json({"type": ["h-event"], "properties": event}, 400)
        assert "is not a date" in refused.json["error_description"]
    event = {"name": ["A party"], "start": ["2026-12-24"]}
    url = (await client.json({"type": ["h-event"], "properties": event})).location
    await client.json({"action": "update", "url": url, "replace": {"start": [when]}}, 400)


async def test_the_dates_of_an_event_may_have_any_form_of_dates(client: Client) -> None:
    start, end = "2026-12-24 6:30 +0100", "1798138800"
    event = {"name": ["A party"], "start": [start], "end": [end]}
    page = await client.page(
        (await client.json({"type": ["h-event"], "properties": event})).location
    )
    shown = page.entry.select("time.dt-start, time.dt-end")
    assert [time["datetime"] for time in shown] == [
        "2026-12-24T06:30:00+01:00",
        "2026-12-24T20:00:00+01:00",
    ]


async def test_channels_are_pelican_categories(client: Client) -> None:
    channels = (await client.query(q="channel"))["channels"]
    assert channels
    assert all(channel.keys() == {"uid", "name"} for channel in channels)
    uid = channels[0]["uid"]
    url = await client.create(content=["In a channel"], mp_channel=[uid])
    head = client.bridge.git("show", "HEAD")
    assert f"+Category: {uid}" in head
    await client.page(url)


async def test_post_types_list_their_properties(client: Client) -> None:
    types = (await client.query(q="post-types"))["post-types"]
    assert {"note", "article", "photo", "reply", "like", "event"} <= {
        each["type"] for each in types
    }
    for each in types:
        assert each.keys() == {"type", "name", "h", "properties", "required-properties"}


async def test_an_unlisted_post_has_a_page_but_is_in_no_list(client: Client, word: str) -> None:
    url = await client.create(content=[word], visibility=["unlisted"])
    shown = await client.create(content=["After it"])
    await client.page(url)
    await client.page(shown)
    assert (await client.source(url))["visibility"] == ["unlisted"]
    assert word not in (client.bridge.output / "index.html").read_text(encoding="utf-8")


async def test_a_draft_is_not_on_the_site(client: Client, word: str) -> None:
    answer = await client.json(
        {"properties": {"content": [word], "post-status": ["draft"]}}, CREATED
    )
    url = answer.location
    await client.page(await client.create(content=["After the draft"]))
    listed = (client.bridge.output / "index.html").read_text(encoding="utf-8")
    assert word not in listed
    await client.act("update", url, replace={"post-status": ["published"]})
    found = await client.query(q="source", filter=word)
    published = urls(found)[0]
    assert word in (await client.page(published)).text


async def test_a_scheduled_post_waits(client: Client, word: str) -> None:
    answer = await client.json(
        {"properties": {"content": [word], "published": ["2199-01-01T00:00:00Z"]}}
    )
    await client.page(await client.create(content=["After the scheduled one"]))
    async with client.http.get(answer.location) as response:
        assert response.status == 404
    assert (await client.source(answer.location))["published"] == ["2199-01-01T00:00:00Z"]


async def test_an_earlier_upload_is_shown_from_the_media_folder(client: Client, word: str) -> None:
    part = ("file", picture("olive"), {"filename": "a.jpg", "content_type": "image/jpeg"})
    photo = (await client.multipart(part, status=201, url=client.bridge.media)).location
    url = await client.create(content=[word], photo=[{"value": photo, "alt": "Olive"}])
    page = await client.page(url)
    (shown,) = await client.photos(page)
    assert page.alt(shown) == "Olive"
    changed = client.bridge.git("show", "--name-only", "--format=", "HEAD").splitlines()
    assert len(changed) == 2
    assert (await client.source(url))["photo"] == [{"value": photo, "alt": "Olive"}]
    await client.act("update", url, delete={"photo": [photo]})
    assert "photo" not in await client.source(url)


async def test_head_and_options_are_supported(client: Client) -> None:
    await client.send("HEAD", client.bridge.micropub, 200)
    await client.without_token().send("OPTIONS", client.bridge.micropub, 204)
    page = await client.create(content=["For a look at the head"])
    await client.page(page)
    await client.without_token().send("HEAD", page, 200)


async def test_the_endpoints_accept_a_trailing_slash(client: Client) -> None:
    """Apps in which a token is pasted also have the endpoint's URL typed in."""
    for endpoint in (client.bridge.micropub, client.bridge.media):
        await client.send("GET", f"{endpoint}/?q=config")
    made = await client.form("content=With+a+slash", url=f"{client.bridge.micropub}/")
    await client.page(made.location)
    file = ("file", picture(), {"filename": "sea.jpg"})
    for endpoint in (client.bridge.media, f"{client.bridge.micropub}/media"):
        await client.multipart(file, status=201, url=f"{endpoint}/")


async def test_the_source_can_be_sent_back_as_an_update_without_effect(
    client: Client, word: str
) -> None:
    """Micropublish and other editors send all properties back."""
    url = await client.create(content=[word], mp_slug=[word], mp_channel=["articles"])
    told = await client.source(url)
    assert (told["url"], told["mp-slug"], told["mp-channel"]) == ([url], [word], ["articles"])
    before = client.bridge.git("rev-parse", "HEAD")
    await client.act("update", url, replace=told)
    await client.act("update", url, replace={"content": told["content"]}, **{"mp-slug": word})
    assert client.bridge.git("rev-parse", "HEAD") == before
    some = await client.query(q="source", url=url, properties="url,mp-slug,mp-channel,content")
    assert some["properties"] == {name: told[name] for name in some["properties"]}
    assert set(some["properties"]) == {"url", "mp-slug", "mp-channel", "content"}


async def test_a_list_is_filtered_by_channel(client: Client, word: str) -> None:
    article = await client.create(content=[word], mp_channel=["articles"])
    await client.create(content=[word])
    asked: dict[str, Any] = {"q": "source", "filter": word}
    assert urls(await client.query(**asked, mp_channel="articles")) == [article]
    assert urls(await client.query(**asked, mp_channel="pages")) == []
    assert len(urls(await client.query(**asked))) == 2


@pytest.mark.parametrize("part", ["destination", "visibility", "syndicate-to", "media-endpoint"])
async def test_a_part_of_the_configuration_can_be_asked_for(client: Client, part: str) -> None:
    whole = await client.query(q="config")
    assert await client.query(q=part) == {part: whole[part]}


async def test_queries_for_the_media_endpoint_people_and_places(client: Client, word: str) -> None:
    assert await client.query(q="media-endpoint") == {"media-endpoint": client.bridge.media}
    person = {"type": ["h-card"], "properties": {"name": [word], "url": ["https://a.example/"]}}
    place = {
        "type": ["h-card"],
        "properties": {"name": [word], "latitude": [10], "longitude": [20]},
    }
    await client.create(content=["x"], category=[person], checkin=[place])
    people = await client.query(q="contact", filter=word)
    assert people == {"contacts": [{"name": word, "url": "https://a.example/"}]}
    here = await client.query(q="geo", lat="10.0001", lon="20")
    assert here["geo"]["label"] == word
    await client.query(400, q="geo", lat="north", lon="1")
