"""Queries, and their exact JSON responses (Micropub 3.7 and its extensions)."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soak_kit import any_text

from bridge.errors import InvalidRequest
from bridge.micropub import answers
from bridge.micropub.answers import Channel, ListedPost, Paging, contacts, places
from bridge.micropub.post import POST_TYPES, Json, Post, discover
from bridge.micropub.query import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MEDIA_QUERIES,
    Query,
    page_name,
    parse_query,
)
from bridge.settings import Badge, Target

POST = Post(properties={"content": ("Hello",), "category": ("a", "b")})


def query(text: str) -> Query:
    return parse_query(parse_qsl(text, keep_blank_values=True))


class TestQuery:
    @pytest.mark.parametrize("text", ["", "q=", "h=entry", "q=config"])
    def test_without_q_the_config_is_returned(self, text: str) -> None:
        assert query(text) == Query()

    @pytest.mark.parametrize("name", ["properties", "properties[]", "properties%5B%5D"])
    def test_properties_in_every_notation(self, name: str) -> None:
        found = query(f"q=source&{name}=content&{name}=category&url=https://example.com/a")
        assert found.properties == ("content", "category")
        assert found.url == "https://example.com/a"

    @pytest.mark.parametrize(
        "names", ["content,category", "content%2Ccategory", "content, category,"]
    )
    def test_properties_joined_by_commas(self, names: str) -> None:
        assert query(f"q=source&properties[]={names}").properties == ("content", "category")

    def test_php_numbers_its_lists(self) -> None:
        assert query("q=source&properties[0]=a&properties[1]=b&properties[2]=a").properties == (
            "a",
            "b",
        )

    def test_a_list_is_filtered(self) -> None:
        found = query("q=source&limit=5&offset=10&post-type=note&post-status=draft&filter=sea")
        assert (found.limit, found.offset) == (5, 10)
        assert (found.post_types, found.post_status, found.filter) == (("note",), "draft", "sea")

    def test_search_is_a_synonym_of_filter(self) -> None:
        assert query("q=category&search=sea").filter == "sea"

    def test_limits(self) -> None:
        assert query("q=source").page_size == DEFAULT_LIMIT
        assert query("q=source&limit=").page_size == DEFAULT_LIMIT
        assert query("q=source&limit=100000").page_size == MAX_LIMIT

    @pytest.mark.parametrize("number", ["x", "-1", "1.5", "1_0", "+1", "²", "9" * 30])
    @pytest.mark.parametrize("name", ["limit", "offset"])
    def test_an_invalid_number_is_refused(self, name: str, number: str) -> None:
        with pytest.raises(InvalidRequest, match=name):
            parse_query([("q", "source"), (name, number)])

    def test_a_limit_of_zero_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="limit"):
            query("q=source&limit=0")

    def test_the_error_for_an_unknown_query_lists_known_ones(self) -> None:
        with pytest.raises(InvalidRequest, match=r"config, source, syndicate-to.*'nonsense'"):
            query("q=nonsense")

    def test_the_media_endpoint_knows_others(self) -> None:
        assert parse_query([("q", "last")], MEDIA_QUERIES).q == "last"
        with pytest.raises(InvalidRequest, match="config, source, last"):
            parse_query([("q", "category")], MEDIA_QUERIES)
        assert parse_query([], MEDIA_QUERIES).q == "config"

    def test_an_unknown_status_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="post-status"):
            query("q=source&post-status=queued")

    @given(st.floats(allow_nan=False, allow_infinity=False), any_text())
    def test_page_cursors_are_parsed(self, published: float, path: str) -> None:
        name = page_name((published, path))
        assert parse_query([("q", "source"), ("after", name)]).after == (published, path)

    @given(st.one_of(any_text(), st.binary().map(bytes.hex)).filter(str.strip))
    def test_an_invalid_cursor_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidRequest, match="paging"):
            parse_query([("q", "source"), ("before", text)])

    @pytest.mark.parametrize(
        "value",
        ["[NaN, 1]", '["a", "b"]', "[1e999, 1]", "[1]", "5", "{}", "[" * 5000],
    )
    def test_a_forged_cursor_is_refused(self, value: str) -> None:
        forged = base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")
        with pytest.raises(InvalidRequest, match="paging"):
            parse_query([("q", "source"), ("after", forged)])


class TestAnswers:
    def test_config_has_everything(self) -> None:
        found = answers.config(
            media_endpoint="https://example.com/media",
            targets=[Target("https://s.example/", "S")],
            channels=[Channel("notes", "Notes")],
            categories=["a"],
            destinations=[Channel("https://example.com/", "Example")],
        )
        assert found["media-endpoint"] == "https://example.com/media"
        assert found["syndicate-to"] == [{"uid": "https://s.example/", "name": "S"}]
        assert found["channels"] == [{"uid": "notes", "name": "Notes"}]
        assert found["categories"] == ["a"]
        assert found["destination"] == [{"uid": "https://example.com/", "name": "Example"}]
        assert found["q"] == [
            "config",
            "source",
            "syndicate-to",
            "category",
            "channel",
            "post-types",
            "media-endpoint",
            "contact",
            "geo",
            "destination",
            "visibility",
        ]
        assert found["visibility"] == ["public", "unlisted"]
        assert found["post-types"] == answers.post_types()["post-types"]

    def test_syndication_targets(self) -> None:
        assert answers.syndicate_to([]) == {"syndicate-to": []}
        target = Target(
            uid="u",
            name="n",
            service=Badge(name="S", url="https://s.example", photo="p"),
            user=Badge(name="me"),
        )
        assert answers.syndicate_to([target]) == {
            "syndicate-to": [
                {
                    "uid": "u",
                    "name": "n",
                    "service": {"name": "S", "url": "https://s.example", "photo": "p"},
                    "user": {"name": "me"},
                }
            ]
        }

    def test_source_returns_all_properties(self) -> None:
        assert answers.source(POST) == {
            "type": ["h-entry"],
            "properties": {"content": ["Hello"], "category": ["a", "b"]},
        }

    def test_source_returns_only_requested_properties(self) -> None:
        found = answers.source(POST, ("category", "video", "url"), url="https://example.com/a")
        assert found == {"properties": {"category": ["a", "b"], "url": ["https://example.com/a"]}}

    def test_a_list_of_posts(self) -> None:
        found = answers.source_list(
            [ListedPost("https://example.com/a", POST)],
            Paging(after=(1.5, "a.md"), before=(2.0, "b.md")),
        )
        assert found == {
            "items": [
                {
                    "type": ["h-entry"],
                    "properties": {
                        "content": ["Hello"],
                        "category": ["a", "b"],
                        "url": ["https://example.com/a"],
                    },
                }
            ],
            "paging": {"after": page_name((1.5, "a.md")), "before": page_name((2.0, "b.md"))},
        }

    def test_a_list_with_selected_properties_always_has_the_url(self) -> None:
        found = answers.source_list([ListedPost("u", POST)], names=("category",))
        expected = {"type": ["h-entry"], "properties": {"category": ["a", "b"], "url": ["u"]}}
        assert found["items"] == [expected]

    def test_an_empty_list(self) -> None:
        assert answers.source_list([]) == {"items": [], "paging": {}}

    def test_categories_and_channels(self) -> None:
        assert answers.category(["b", "a"]) == {"categories": ["b", "a"]}
        assert answers.channel([Channel("n", "Notes")]) == {
            "channels": [{"uid": "n", "name": "Notes"}]
        }

    def test_every_post_type_is_one_that_discovery_finds(self) -> None:
        url = "https://example.org/"
        for each in POST_TYPES:
            given = {
                name: ("yes" if name == "rsvp" else f"{url} {name}",) for name in each.required
            }
            assert discover(Post(each.h, given)) == each.type
            assert set(each.required) <= set(each.properties)
        types = answers.post_types()["post-types"]
        assert isinstance(types, list)
        first, *_ = types
        assert first == {
            "type": "note",
            "name": "Note",
            "h": "entry",
            "properties": list(POST_TYPES[0].properties),
            "required-properties": ["content"],
        }


def card(kind: str = "h-card", /, **properties: Json) -> Json:
    named: dict[str, Json] = {name.replace("_", "-"): [value] for name, value in properties.items()}
    return {"type": [kind], "properties": named}


def test_contacts_are_the_people_in_posts() -> None:
    ada = card(name="Ada", url="https://ada.example/", photo={"value": "https://ada.example/a.jpg"})
    posts = [
        Post(properties={"category": ("walk", ada)}),
        Post(
            properties={
                "in-reply-to": (
                    card("h-cite", url="https://b.example/1", author=card(name="Bob")),
                ),
                "checkin": (card(name="Cafe", url="https://cafe.example/"),),
                "author": (card(name="Ada again", url="https://ada.example/"), "nobody", 5),
            }
        ),
    ]
    found = contacts(posts)["contacts"]
    assert found == [
        {"name": "Ada", "url": "https://ada.example/", "photo": "https://ada.example/a.jpg"},
        {"name": "Bob"},
    ]
    assert contacts(posts, "BOB") == {"contacts": [{"name": "Bob"}]}
    assert contacts([]) == {"contacts": []}


def test_places_are_those_of_nearby_posts() -> None:
    cafe = card(name="Cafe", latitude=48.8501, longitude="2.35")
    bar = card(name="Bar", latitude=48.8503, longitude=2.35, url="https://bar.example/")
    far = card("h-adr", locality="Lyon", latitude=45.76, longitude=4.83)
    posts = [
        Post(properties={"checkin": (bar,)}),
        Post(
            properties={"checkin": (cafe,), "location": (card("h-geo", latitude=1, longitude=2),)}
        ),
        Post(properties={"location": (far, "Paris")}),
    ]
    near = places(posts, (48.85, 2.35))
    assert [place["name"] for place in near["places"]] == ["Cafe", "Bar"]  # type: ignore[index,union-attr,call-overload]
    assert near["geo"] == {"label": "Cafe", "latitude": 48.85, "longitude": 2.35}
    assert len(places(posts)["places"]) == 3  # type: ignore[arg-type]
    assert places(posts, (0.0, 0.0))["places"] == []


@pytest.mark.parametrize(
    "text",
    ["q=geo&lat=48.85&lon=2.35", "q=geo&uri=geo:48.85,2.35;u=10", "q=geo&latitude=48.85&lng=2.35"],
)
def test_a_place_in_every_notation(text: str) -> None:
    assert query(text).place == (48.85, 2.35)


@pytest.mark.parametrize(
    "text", ["lat=x&lon=1", "lat=91&lon=0", "lat=1", "lat=nan&lon=1", "uri=geo:1"]
)
def test_an_invalid_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="degrees"):
        query(f"q=geo&{text}")
