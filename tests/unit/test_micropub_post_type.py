"""Post type discovery, by the standard algorithm and its common extensions."""

from __future__ import annotations

import pytest
from post_types import CARD, CASES, URL

from bridge.micropub.post import Json, Post, discover


def kind(**properties: Json) -> str:
    named = {name.replace("_", "-"): (value,) for name, value in properties.items()}
    return discover(Post(properties=named))


@pytest.mark.parametrize(("properties", "expected"), CASES)
def test_the_type_is_discovered_from_the_properties(
    properties: dict[str, Json], expected: str
) -> None:
    assert kind(**properties) == expected


def test_the_standard_order_of_precedence() -> None:
    everything: dict[str, Json] = {
        "rsvp": "yes", "repost_of": URL, "like_of": URL, "in_reply_to": URL, "video": URL,
        "photo": URL, "name": "T", "content": "x",
    }  # fmt: skip
    found = []
    for name in list(everything)[:-2]:
        found.append(kind(**everything))
        del everything[name]
    assert found == ["rsvp", "repost", "like", "reply", "video", "photo"]
    assert kind(**everything) == "article"


@pytest.mark.parametrize(
    "value", ["", "not a url", "javascript:alert(1)", "https://[", CARD, 5, {}]
)
def test_a_target_without_a_url_does_not_count(value: Json) -> None:
    assert kind(like_of=value, content="x") == "note"


@pytest.mark.parametrize("h", ["event", "review", "recipe"])
def test_other_classes_are_their_own_type(h: str) -> None:
    assert discover(Post(h, {"name": ("x",), "like-of": (URL,)})) == h


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("A long text", "A long text that goes on", "note"),
        ("A  long\ntext", " A long   text that goes on", "note"),
        ("A long text", "Another text", "article"),
        ("", "Text", "note"),
        ("Title", "", "note"),
        ("Bold move", {"html": "<p>Bold <b>move</b></p> and more"}, "note"),
        ("A & B", {"html": "A &amp; B and C"}, "note"),
        ("Title", {"html": "<p>Text</p>", "value": "Title and text"}, "note"),
        ("Title", {"html": "<p>Text</p>"}, "article"),
    ],
)
def test_a_name_that_is_a_prefix_of_the_content_is_not_a_title(
    name: str, content: Json, expected: str
) -> None:
    assert kind(name=name, content=content) == expected


def test_the_summary_is_used_without_content() -> None:
    assert kind(name="Title", summary="Text") == "article"
    assert kind(name="Title", summary="Title and more") == "note"


def test_an_empty_post_is_a_note() -> None:
    assert discover(Post()) == "note"
