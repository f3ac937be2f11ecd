"""The same post as a form, as a multipart form and as JSON: one set of assertions for all three."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from bridge_kit import DONE, Client

Fields = list[tuple[str, str]]


@dataclass(frozen=True)
class Shape:
    """One post: its ``fields`` in a form, its ``properties`` in JSON, and what must be there then.

    ``expected`` is left out where it is what JSON says.
    """

    fields: Fields
    properties: dict[str, Any]
    expected: dict[str, Any] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    h: str = "entry"

    @property
    def kept(self) -> dict[str, Any]:
        return self.expected or self.properties


PLACE = {"type": ["h-geo"], "properties": {"latitude": ["52.5"], "longitude": ["13.4"]}}
TEXT = '\n#C++ & 100 % "sure"\n\n* é 😀 \\ <b>\t{static}/x \n'
PHOTO = {"value": "https://a.example/2.jpg", "alt": 'The "sea"'}
REPLY = {"in-reply-to": ["https://b.example/post?x=1&y=2"], "content": ["Yes"]}
RSVP = {"in-reply-to": ["https://b.example/party"], "rsvp": ["maybe"]}
EVENT = {"name": ["Party"], "start": ["2026-12-31T20:00:00+01:00"], "content": ["Come"]}


def plain(properties: dict[str, list[str]]) -> Fields:
    """Lists of texts, as in a form."""
    return [(name, value) for name, values in properties.items() for value in values]


SHAPES = {
    "text_byte_for_byte": Shape([("content", TEXT)], {"content": [TEXT]}, absent={"name"}),
    "html": Shape(
        [("name", "T"), ("content[html]", "<p>A <b>b</b></p>")],
        {"name": ["T"], "content": [{"html": "<p>A <b>b</b></p>"}]},
    ),
    "html_and_text": Shape(
        [("content[html]", "<p>A</p>"), ("content[value]", "A")],
        {"content": [{"html": "<p>A</p>", "value": "A"}]},
    ),
    "categories_in_their_order": Shape(
        [
            ("content", "x"),
            ("category[]", "z"),
            ("category[]", "C++"),
            ("category[]", "Paris, France"),
        ],
        {"content": ["x"], "category": ["z", "C++", "Paris, France"]},
    ),
    "one_category": Shape(
        [("content", "x"), ("category", "walk; river")],
        {"content": "x", "category": "walk; river"},
        {"content": ["x"], "category": ["walk; river"]},
    ),
    "empty_values": Shape(
        [("content", "x"), ("name", ""), ("published", ""), ("category[]", ""), ("mp-slug", "")],
        {"content": ["x"], "name": [""], "published": None, "category": [], "mp-slug": [None]},
        {"content": ["x"]},
        {"name", "category"},
    ),
    "photos_with_alt_texts": Shape(
        [
            ("photo[]", "https://a.example/1.jpg"),
            ("photo[]", "https://a.example/2.jpg"),
            ("mp-photo-alt[]", ""),
            ("mp-photo-alt[]", 'The "sea"'),
        ],
        {"photo": ["https://a.example/1.jpg", PHOTO]},
        absent={"mp-photo-alt"},
    ),
    "reply": Shape(plain(REPLY), REPLY),
    "like": Shape(
        [("like-of", "https://b.example/")],
        {"like-of": "https://b.example/"},
        {"like-of": ["https://b.example/"]},
        {"name", "content"},
    ),
    "rsvp": Shape(plain(RSVP), RSVP),
    "event": Shape(plain(EVENT), EVENT, h="event"),
    "date": Shape(
        [("content", "Long ago"), ("published", "2009-08-07T06:05:04-0700")],
        {"content": ["Long ago"], "published": ["2009-08-07T06:05:04-0700"]},
    ),
    "draft": Shape(
        [("content", "x"), ("post-status", "draft"), ("visibility", "public")],
        {"content": ["x"], "post-status": ["draft"], "visibility": "public"},
        {"post-status": ["draft"]},
    ),
    "location": Shape(
        [("content", "x"), ("location", "geo:52.5,13.4")],
        {"content": ["x"], "location": ["geo:52.5,13.4"]},
        {"location": [PLACE]},
    ),
    "commands": Shape(
        [
            ("content", "x"),
            ("mp-syndicate-to[]", "https://c.example/"),
            ("mp-channel", "notes"),
            ("mp-destination", "null"),
            ("access_token", ""),
        ],
        {
            "content": ["x"],
            "mp-syndicate-to": ["https://c.example/"],
            "mp-channel": "notes",
            "mp-destination": None,
            "access_token": "",
        },
        {"content": ["x"]},
        {"mp-syndicate-to", "mp-destination", "access_token", "syndicate-to"},
    ),
    "properties_that_no_one_knows": Shape(
        [("content", "x"), ("x-mood", "fine"), ("save_as", "index.html")],
        {"content": ["x"], "x-mood": ["fine"], "save_as": ["index.html"]},
    ),
}


async def as_form(client: Client, shape: Shape) -> str:
    return (await client.form(urlencode([("h", shape.h), *shape.fields]))).location


async def as_multipart(client: Client, shape: Shape) -> str:
    nothing: dict[str, str] = {}
    parts = [(name, value, nothing) for name, value in [("h", shape.h), *shape.fields]]
    return (await client.multipart(*parts)).location


async def as_json(client: Client, shape: Shape) -> str:
    body = {"type": [f"h-{shape.h}"], "properties": shape.properties}
    return (await client.json(body)).location


@pytest.mark.parametrize("post", [as_form, as_multipart, as_json])
@pytest.mark.parametrize("name", SHAPES)
async def test_one_post_in_three_encodings(client: Client, name: str, post: Any) -> None:
    shape = SHAPES[name]
    url = await post(client, shape)
    source = await client.query(q="source", url=url)
    assert source["type"] == [f"h-{shape.h}"]
    properties = source["properties"]
    assert {name: properties.get(name) for name in shape.kept} == shape.kept
    assert not shape.absent & properties.keys()


@pytest.mark.parametrize("encoding", ["form", "json"])
@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ({"replace": {"content": ["new"]}}, {"content": ["new"], "category": ["a", "b"]}),
        ({"add": {"category": ["c"], "syndication": ["https://s.example/"]}},
         {"category": ["a", "b", "c"], "syndication": ["https://s.example/"]}),
        ({"delete": {"category": ["a"]}}, {"category": ["b"]}),
        ({"delete": ["category", "summary"]}, {"category": None, "summary": None}),
        ({"replace": {"name": ["New"]}, "add": {"category": ["c"]}, "delete": ["summary"]},
         {"name": ["New"], "category": ["a", "b", "c"], "summary": None, "content": ["Old"]}),
        ({"replace": {"content": [{"html": "<b>x</b>"}]}}, {"content": [{"html": "<b>x</b>"}]}),
        ({"replace": {"post-status": ["draft"]}}, {"post-status": ["draft"]}),
    ],
)  # fmt: skip
async def test_one_update_in_two_encodings(
    client: Client, encoding: str, operations: dict[str, Any], expected: dict[str, Any]
) -> None:
    url = await client.create(content=["Old"], category=["a", "b"], summary=["s"], name=["Name"])
    if encoding == "json":
        await client.act("update", url, **operations)
    else:
        await client.form(urlencode([("action", "update"), ("url", url), *flat(operations)]), DONE)
    source = await client.source(url)
    assert {name: source.get(name) for name in expected} == expected


def flat(operations: dict[str, Any]) -> Fields:
    """Operations in the form notation of PHP."""
    fields: Fields = []
    for operation, changes in operations.items():
        if isinstance(changes, list):
            fields += [(f"{operation}[]", name) for name in changes]
            continue
        for name, values in changes.items():
            for value in values:
                parts = value.items() if isinstance(value, dict) else [("", value)]
                fields += [(f"{operation}[{name}][{key}]", text) for key, text in parts]
    return fields


async def test_what_json_alone_can_say_is_kept_whole(client: Client) -> None:
    nested = {
        "type": ["h-entry"],
        "properties": {
            "like-of": [
                {"type": ["h-cite"], "properties": {"url": ["https://b.example/"], "name": ["B"]}}
            ],
            "checkin": [
                {"type": ["h-card"], "properties": {"name": ["Ä"], "latitude": [1.25, -3]}}
            ],
            "weight": [{"type": "h-measure", "properties": {"num": 80.5, "unit": "kg"}}],
            "category": ["a", {"type": ["h-card"], "properties": {"name": ["Ada"]}}],
        },
    }
    url = (await client.json(nested)).location
    source = await client.source(url)
    assert {name: source.get(name) for name in nested["properties"]} == nested["properties"]
    assert json.dumps(source["checkin"]) == json.dumps(nested["properties"]["checkin"])
