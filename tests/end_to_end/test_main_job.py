"""The main job: an app posts, the post is a commit in git, and live where the bridge said."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

import aiohttp
import mf2py
import pytest
from demo_kit import Demo, created, live, start_demo
from PIL import Image

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "JPEG")
    return file.getvalue()


def entry(page: str, url: str) -> dict[str, list[Any]]:
    """The properties of the only h-entry on a page."""
    found = walk(mf2py.parse(doc=page, url=url)["items"])
    entries = [item for item in found if "h-entry" in item["type"]]
    assert len(entries) == 1
    properties: dict[str, list[Any]] = entries[0]["properties"]
    return properties


def walk(items: list[Any]) -> list[Any]:
    """Every h-* object of a page, nested in ``children`` too."""
    return [each for item in items for each in [item, *walk(item.get("children", []))]]


async def test_a_form_post_is_live_and_one_pushed_commit(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    before = demo.commits()
    body = "h=entry&content=C%2B%2B+%26+100+%25+%C3%A9&category[]=c%2B%2B&category[]=indieweb"
    async with http.post(demo.micropub, data=body, headers=demo.headers | FORM) as answer:
        url = await created(answer)

    assert demo.commits() == before + 1
    properties = entry(await live(http, url), url)
    assert properties["content"][0]["value"] == "C++ & 100 % é"
    assert properties["category"] == ["c++", "indieweb"]
    assert properties["url"] == [url]
    assert "name" not in properties
    demo.in_step()


async def test_a_json_article_with_html_is_live(demo: Demo, http: aiohttp.ClientSession) -> None:
    before = demo.commits()
    post: dict[str, Any] = {
        "type": ["h-entry"],
        "properties": {
            "name": ["An <em>article</em> & more"],
            "content": [{"html": "<p>One <b>bold</b> word.</p><ul><li>item</li></ul>"}],
            "category": ["Paris, France"],
        },
    }
    async with http.post(demo.micropub, json=post, headers=demo.headers) as answer:
        url = await created(answer)
    page = await live(http, url)
    properties = entry(page, url)
    assert demo.commits() == before + 1
    assert properties["name"] == ["An <em>article</em> & more"]
    assert "<b>bold</b>" in properties["content"][0]["html"]
    assert properties["category"] == ["Paris, France"]
    async with http.get(
        demo.micropub, params={"q": "source", "url": url}, headers=demo.headers
    ) as answer:
        source = await answer.json()
    assert source["type"] == ["h-entry"]
    for name, values in post["properties"].items():
        assert source["properties"][name] == values


async def test_a_multipart_post_with_two_photos_is_live_in_one_commit(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    before = demo.commits()
    form = aiohttp.FormData()
    form.add_field("h", "entry")
    form.add_field("content", "Two photos")
    form.add_field("photo[]", picture("navy"), filename="sea.jpg", content_type="image/jpeg")
    form.add_field("photo[]", picture("gold"), filename="sea.jpg", content_type="image/jpeg")
    form.add_field("mp-photo-alt[]", 'The "sea"')
    form.add_field("mp-photo-alt[]", "Sand")
    async with http.post(demo.micropub, data=form, headers=demo.headers) as answer:
        url = await created(answer)
    assert demo.commits() == before + 1
    changed = demo.git("show", "--name-only", "--format=", "HEAD").splitlines()
    assert len(changed) == 3
    photos = entry(await live(http, url), url)["photo"]
    assert [photo["alt"] for photo in photos] == ['The "sea"', "Sand"]
    for photo in photos:
        async with http.get(photo["value"]) as answer:
            assert (answer.status, answer.content_type) == (200, "image/jpeg")


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({}, 401, "unauthorized"),
        ({"Authorization": "Bearer wrong"}, 401, "invalid_token"),
    ],
)
async def test_without_a_good_token_nothing_is_written(
    demo: Demo, http: aiohttp.ClientSession, headers: dict[str, str], status: int, error: str
) -> None:
    before = demo.git("rev-parse", "HEAD")
    async with http.post(
        demo.micropub, data={"h": "entry", "content": "x"}, headers=headers
    ) as answer:
        assert answer.status == status
        assert (await answer.json())["error"] == error
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert demo.git("rev-parse", "HEAD") == before


async def test_every_page_advertises_the_endpoints(demo: Demo, http: aiohttp.ClientSession) -> None:
    for path in demo.output.rglob("*.html"):
        rels = mf2py.parse(doc=path.read_text(encoding="utf-8"), url=demo.site)["rels"]
        assert rels["micropub"] == [demo.micropub], path
        assert rels["token_endpoint"] == [demo.token_endpoint], path
        assert rels["authorization_endpoint"] == [demo.authorization], path


@pytest.mark.soak
async def test_ctrl_c_ends_it_cleanly_and_it_goes_on_where_it_was(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    running, process = start_demo(tmp_path / "site", BRIDGE_WEBMENTION__SEND="false")
    async with http.post(
        running.micropub, data={"h": "entry", "content": "Kept"}, headers=running.headers
    ) as answer:
        await created(answer)
    process.send_signal(signal.SIGINT)
    assert process.wait(150) == 0
    assert running.git("fsck", "--strict") == ""
    again, process = start_demo(tmp_path / "site", BRIDGE_WEBMENTION__SEND="false")
    assert "Kept" in again.git("log", "-1", "--format=%s")
    process.send_signal(signal.SIGINT)
    assert process.wait(150) == 0
