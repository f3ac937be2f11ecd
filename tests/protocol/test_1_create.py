"""Creating posts: tests 100-301 of the public suite, checked on the pages."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote_plus

import pytest
from bridge_kit import Client, elsewhere, picture

JPEG = {"filename": "evening.jpg", "content_type": "image/jpeg"}


async def test_100_a_note_from_a_form(client: Client) -> None:
    answer = await client.form("h=entry&content=The+first+snow+of+the+year")
    page = await client.page(answer.location)
    assert "The first snow of the year" in page.text
    assert (await client.source(answer.location))["content"] == ["The first snow of the year"]


async def test_101_two_categories_from_a_form(client: Client) -> None:
    answer = await client.form("h=entry&content=Soup&category[]=kitchen&category[]=winter")
    page = await client.page(answer.location)
    assert page.categories == ["kitchen", "winter"]
    assert "category[]" not in await client.source(answer.location)


async def test_104_a_photo_by_its_url_from_a_form(client: Client) -> None:
    async with elsewhere("/sea.jpg", picture(), "image/jpeg") as url:
        answer = await client.form(f"h=entry&content=By+the+sea&photo={quote_plus(url)}")
        page = await client.page(answer.location)
        assert await client.photos(page) == [url]


async def test_107_one_category_is_one_value(client: Client) -> None:
    answer = await client.form("h=entry&content=Bread&category=kitchen")
    page = await client.page(answer.location)
    assert page.categories == ["kitchen"]
    assert (await client.source(answer.location))["category"] == ["kitchen"]


async def test_200_a_note_in_json(client: Client) -> None:
    url = await client.create(content=["Frost on the windows"])
    assert "Frost on the windows" in (await client.page(url)).text


async def test_201_two_categories_in_json(client: Client) -> None:
    url = await client.create(content=["Tea"], category=["kitchen", "autumn"])
    assert (await client.page(url)).categories == ["kitchen", "autumn"]


async def test_202_html_is_rendered_not_escaped(client: Client) -> None:
    html = "<p>Some <b>strong</b> and <i>slanted</i> words.</p>"
    url = await client.create(content=[{"html": html}])
    page = await client.page(url)
    assert page.select(".e-content b") == ["strong"]
    assert page.select(".e-content i") == ["slanted"]
    assert "&lt;b&gt;" not in page.html
    assert (await client.source(url))["content"] == [{"html": html}]


async def test_203_a_photo_by_its_url_in_json(client: Client) -> None:
    async with elsewhere("/hill.png", picture(kind="PNG"), "image/png") as photo:
        url = await client.create(content=["On the hill"], photo=[photo])
        assert await client.photos(await client.page(url)) == [photo]


async def test_204_a_nested_object_is_stored_unchanged(client: Client) -> None:
    place = {
        "type": ["h-card"],
        "properties": {
            "name": ["Café Morgenrot"],
            "url": ["https://cafe.example/"],
            "latitude": [52.536621087],
            "longitude": [-13.40998001],
            "street-address": ["Kastanienallee 85"],
            "locality": ["Berlin"],
            "country-name": ["Germany"],
            "postal-code": ["10435"],
        },
    }
    published = "2017-05-31T12:03:36-07:00"
    url = await client.create(published=[published], content=["Lunch"], checkin=[place])
    source = await client.source(url)
    assert source["checkin"] == [place]
    assert source["published"] == [published]
    assert "Café Morgenrot" in (await client.page(url)).text


async def test_205_alt_text_reaches_the_page(client: Client) -> None:
    async with elsewhere("/fox.jpg", picture("orange"), "image/jpeg") as photo:
        described = {"value": photo, "alt": 'A "fox" & its tail'}
        url = await client.create(content=["Seen today"], photo=[described])
        page = await client.page(url)
        assert await client.photos(page) == [photo]
        assert page.alt(photo) == 'A "fox" & its tail'
        assert (await client.source(url))["photo"] == [described]


async def test_206_several_photos_in_json(client: Client) -> None:
    async with (
        elsewhere("/day.jpg", picture("skyblue"), "image/jpeg") as day,
        elsewhere("/night.jpg", picture("black"), "image/jpeg") as night,
    ):
        url = await client.create(content=["Day and night"], photo=[day, night])
        assert await client.photos(await client.page(url)) == [day, night]


async def test_300_an_uploaded_photo(client: Client) -> None:
    answer = await client.multipart(
        ("h", "entry", {}), ("content", "What an evening", {}), ("photo", picture("red"), JPEG)
    )
    page = await client.page(answer.location)
    (shown,) = await client.photos(page)
    assert shown.startswith(client.bridge.site)
    assert "What an evening" in page.text


async def test_301_two_uploaded_photos(client: Client) -> None:
    second = {**JPEG, "filename": "later.jpg"}
    answer = await client.multipart(
        ("h", "entry", {}),
        ("content", "Two evenings", {}),
        ("photo[]", picture("purple"), JPEG),
        ("photo[]", picture("indigo"), second),
    )
    assert len(set(await client.photos(await client.page(answer.location)))) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (None, {"html": "<figure><img alt='Sea' src='%s'></figure>"}),
        (None, "The sea ![Sea](%s)"),
        ("Sea", "![Sea][1] and `![x](data:image/png;base64,x)`\n\n[1]: <%s>"),
    ],
)
async def test_pictures_within_a_text_are_uploads(
    client: Client, name: str | None, content: str | dict[str, str]
) -> None:
    """Apps send pasted pictures so."""

    def with_picture(colour: str) -> str | dict[str, str]:
        data = f"data:image/png;base64,{b64encode(picture(colour, 'PNG')).decode()}"
        if isinstance(content, dict):
            return {"html": content["html"] % data}
        return content % data

    url = await client.create(content=[with_picture("teal")], **({"name": [name]} if name else {}))
    (first,) = await client.photos(await client.page(url))
    await client.json(
        {"action": "update", "url": url, "replace": {"content": [with_picture("plum")]}}, 200
    )
    (second,) = await client.photos(
        await client.page(url, lambda page: bool({*page.photos} - {first}))
    )
    assert first.startswith(client.bridge.site)
    assert second.startswith(client.bridge.site)


async def test_a_picture_within_a_text_is_checked_as_an_upload(client: Client) -> None:
    for data, status, words in (
        ("image/svg+xml;base64,PHN2ZyB4bWxucz0ieCI+PC9zdmc+", 415, "SVG"),
        ("image/svg+xml;utf8,&lt;svg/&gt;", 400, "media endpoint"),
        ("image/png;base64,~", 400, "media endpoint"),
    ):
        content = {"html": f'<p>A sea <img src="data:{data}"></p>'}
        answer = await client.json(
            {"type": ["h-entry"], "properties": {"content": [content]}}, status
        )
        assert words in answer.json["error_description"]


async def test_a_picture_within_a_refused_update_is_not_kept(client: Client) -> None:
    url = await client.create(content=["x"])
    files = f"{client.bridge.media}?q=source"
    before = (await client.send("GET", files)).json
    data = f"data:image/png;base64,{b64encode(picture('red', 'PNG')).decode()}"
    content = {"html": f"<img src='{data}'>{'<b>' * 21_000}"}
    await client.json({"action": "update", "url": url, "replace": {"content": [content]}}, 400)
    assert (await client.send("GET", files)).json == before


async def test_a_post_without_visible_content_is_refused(client: Client) -> None:
    for properties in (
        {"content": ["\u200b"]},
        {"content": [{"html": "<p><br></p>"}]},
        {"content": [{"html": "<iframe></iframe>"}]},
        {"mood": [{"type": ["h-x"], "properties": {"name": [{"html": "<style>x</style>"}]}}]},
        {"name": ["\u2800"], "content": ["\u3164\n\u200d"], "author": ["Ann"]},
    ):
        answer = await client.json({"type": ["h-entry"], "properties": properties}, 400)
        assert "nothing to see" in answer.json["error_description"]
    await client.create(content=[{"html": "<p><img src='https://a.example/i.png'></p>"}])
