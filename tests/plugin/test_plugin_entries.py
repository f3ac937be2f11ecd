"""A page for each type of post, in several themes, read by a microformats2 parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin_site import SITE, SPREAD, THEMES, Built, build, note, post

CITED = "https://example.org/post"
REFERENCES = {
    CITED: {
        "type": ["h-cite"],
        "properties": {
            "name": ["A post & more"],
            "url": [CITED],
            "author": [
                {
                    "type": ["h-card"],
                    "properties": {"name": ["Bob"], "url": ["https://bob.example/"]},
                }
            ],
            "content": ["What Bob wrote."],
        },
    }
}
CAFE = {
    "type": ["h-card"],
    "properties": {
        "name": ["Café Zéphyr"],
        "url": ["https://cafe.example/"],
        "latitude": ["52.5"],
        "longitude": ["13.4"],
        "locality": ["Berlin"],
        "country-name": ["Germany"],
    },
}
PHOTOS = [
    {"value": "{static}/media/sea.jpg", "alt": 'The sea; "calm" <b>'},
    "https://cdn.example.org/a.jpg",
]
EVENT = {"start": ["2026-12-01T19:00:00+01:00"], "end": ["2026-12-01T22:00"], "location": [CAFE]}
REVIEW = {
    "item": [{"type": ["h-product"], "properties": {"name": ["A pen"], "url": [CITED]}}],
    "rating": ["4"],
    "best": ["5"],
}

#: Each type of post: its Mf2 line, and the expected result of a parser.
KINDS: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "by-hand": (None, {"name": ["by-hand"]}),
    "article": ({"properties": {}}, {"name": ["article"]}),
    "note": (note({}), {}),
    "reply": (note({"in-reply-to": [CITED]}), {"in-reply-to": [CITED]}),
    "like": (note({"like-of": [CITED]}), {"like-of": [CITED]}),
    "repost": (note({"repost-of": [CITED]}), {"repost-of": [CITED]}),
    "bookmark": ({"properties": {"bookmark-of": [CITED]}}, {"bookmark-of": [CITED]}),
    "rsvp": (
        note({"in-reply-to": [CITED], "rsvp": ["yes"]}),
        {"in-reply-to": [CITED], "rsvp": ["yes"]},
    ),
    "photo": (
        note({"photo": PHOTOS}),
        {
            "photo": [
                {"value": f"{SITE}/media/sea.jpg", "alt": 'The sea; "calm" <b>'},
                {"value": "https://cdn.example.org/a.jpg", "alt": ""},
            ]
        },
    ),
    "video": (note({"video": [f"{SITE}/a.mp4"]}), {"video": [f"{SITE}/a.mp4"]}),
    "audio": (note({"audio": [f"{SITE}/a.mp3"]}), {"audio": [f"{SITE}/a.mp3"]}),
    "event": (
        {"type": ["h-event"], "properties": EVENT},
        {"start": ["2026-12-01T19:00:00+0100"], "end": ["2026-12-01T22:00:00"]},
    ),
    "review": (
        {"type": ["h-review"], "properties": REVIEW},
        {"rating": ["4"], "best": ["5"]},
    ),
    "read": (
        note({"read-of": [CITED], "read-status": ["finished"]}),
        {"read-of": [CITED], "read-status": ["finished"]},
    ),
    "watch": (note({"watch-of": [CITED]}), {"watch-of": [CITED]}),
    "listen": (note({"listen-of": [CITED]}), {"listen-of": [CITED]}),
    "checkin": (note({"checkin": [CAFE]}), {}),
    "cited": (note({"in-reply-to": [CITED]}, references=REFERENCES), {}),
    "crossposted": (
        note({"syndication": ["https://social.example/1"]}),
        {"syndication": ["https://social.example/1"]},
    ),
}
WITHOUT_BODY = {"like", "repost"}


@pytest.fixture(scope="module", params=SPREAD)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder: Path = tmp_path_factory.mktemp("site")
    (folder / "content" / "media").mkdir(parents=True)
    (folder / "content" / "media" / "sea.jpg").write_bytes(b"jpeg")
    posts = {
        kind: post(
            kind,
            mf2,
            "" if kind in WITHOUT_BODY else f"Some *words* of the {kind}.",
            tags="river; Paris, France;",
            modified="2026-11-22T08:00:00+01:00",
        )
        for kind, (mf2, _) in KINDS.items()
    }
    return build(folder, posts, **THEMES[request.param])


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_one_entry_with_the_posted_properties(built: Built, kind: str) -> None:
    properties = built.entry(f"{kind}.html")
    mf2, expected = KINDS[kind]
    url = f"{SITE}/{kind}.html"
    assert properties["url"][0] == url
    assert set(properties["uid"]) == {url}
    assert properties["published"][0] == "2026-11-21T18:37:00+0100"
    assert properties["updated"][0] == "2026-11-22T08:00:00+0100"
    assert sorted(properties["category"]) == ["Paris, France", "river"]
    (author,) = properties["author"]
    assert author["properties"]["name"] == ["Ann"]
    assert author["properties"]["url"] == [f"{SITE}/"]
    if kind not in WITHOUT_BODY:
        (content,) = properties["content"]
        assert content["value"].strip() == f"Some words of the {kind}."
    assert {name: _bare(properties[name]) for name in expected} == _bare(expected)
    synthetic = mf2 is not None and mf2.get("title") == "synthetic"
    assert ("name" in properties) is not synthetic


def test_roots_are_those_of_the_posts(built: Built) -> None:
    roots = {kind: built.entries(f"{kind}.html")[0]["type"] for kind in KINDS}
    assert set(roots.pop("event")) == {"h-entry", "h-event"}
    assert set(roots.pop("review")) == {"h-entry", "h-review"}
    assert set(map(tuple, roots.values())) == {("h-entry",)}


def test_a_checkin_keeps_its_venue(built: Built) -> None:
    (venue,) = built.entry("checkin.html")["checkin"]
    found = venue["properties"]
    assert found["name"] == ["Café Zéphyr"]
    assert found["url"] == ["https://cafe.example/"]
    assert (found["latitude"], found["longitude"]) == (["52.5"], ["13.4"])
    assert (found["locality"], found["country-name"]) == (["Berlin"], ["Germany"])


def test_an_event_keeps_its_place(built: Built) -> None:
    (place,) = built.entry("event.html")["location"]
    assert place["properties"]["name"] == ["Café Zéphyr"]


def test_a_review_has_its_item(built: Built) -> None:
    (item,) = built.entry("review.html")["item"]
    assert item["type"] == ["h-product"]
    assert item["properties"]["name"] == ["A pen"]
    assert item["properties"]["url"] == [CITED]


def test_a_reply_shows_its_reply_context(built: Built) -> None:
    (target,) = built.entry("cited.html")["in-reply-to"]
    assert target["type"] == ["h-cite"]
    found = target["properties"]
    assert found["url"] == [CITED]
    assert found["name"] == ["A post & more"]
    assert found["author"][0]["properties"]["name"] == ["Bob"]
    assert found["author"][0]["properties"]["url"] == ["https://bob.example/"]
    content = found["content"][0]
    assert (content["value"] if isinstance(content, dict) else content) == "What Bob wrote."


def test_the_home_page_has_the_owners_card(built: Built) -> None:
    parsed = built.parsed("index.html")
    cards = [item["properties"] for item in parsed["items"] if item["type"] == ["h-card"]]
    own = [card for card in cards if card.get("url", [None])[0] == f"{SITE}/"]
    assert own
    assert own[0]["name"] == ["Ann"]
    assert own[0]["uid"] == [f"{SITE}/"]


def _bare(value: Any) -> Any:
    """Nested values as plain ones: an empty alt text is the same as none."""
    if isinstance(value, dict) and set(value) >= {"properties", "value"}:
        return value["value"]
    if isinstance(value, dict) and value.get("alt") == "":
        return value["value"]
    if isinstance(value, list):
        return [_bare(one) for one in value]
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items()}
    return value
