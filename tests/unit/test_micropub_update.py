"""Updates of a post change only the properties they name (Micropub 3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InvalidRequest
from bridge.micropub.action import Update
from bridge.micropub.body import RequestBody
from bridge.micropub.parse import parse_action
from bridge.micropub.post import Json, Post
from bridge.micropub.update import apply

PLACE: Json = {"type": ["h-card"], "properties": {"name": ["Café"], "latitude": [1.5]}}

POST = Post(
    properties={
        "name": ("A walk",),
        "content": ("Along the river",),
        "category": ("river", "walk", "autumn"),
        "photo": (
            {"value": "https://a.example/1.jpg", "alt": "The sea"},
            "https://a.example/2.jpg",
        ),
        "checkin": (PLACE,),
    }
)


def update(**operations: Json) -> Update:
    body: Json = {"action": "update", "url": "https://example.com/walk", **operations}
    action = parse_action(RequestBody("json", json=body))
    assert isinstance(action, Update)
    return action


def changed(post: Post = POST, **operations: Json) -> dict[str, list[Json]]:
    """The properties that an update changed, removed ones as empty lists."""
    after = apply(post, update(**operations))
    names = post.properties.keys() | after.properties.keys()
    return {name: list(after.all(name)) for name in names if after.all(name) != post.all(name)}


class TestReplace:
    def test_a_value(self) -> None:
        assert changed(replace={"content": ["Along the sea"]}) == {"content": ["Along the sea"]}

    def test_a_property_that_was_not_there(self) -> None:
        assert changed(replace={"summary": ["s"]}) == {"summary": ["s"]}

    def test_an_empty_list_removes(self) -> None:
        assert changed(replace={"category": []}) == {"category": []}

    def test_a_nested_object(self) -> None:
        other: Json = {"type": ["h-card"], "properties": {"name": ["Bar"]}}
        assert changed(replace={"checkin": [other]}) == {"checkin": [other]}

    def test_order_of_properties_is_kept(self) -> None:
        after = apply(POST, update(replace={"content": "x"}))
        assert list(after.properties) == list(POST.properties)

    def test_an_alt_text(self) -> None:
        photo: Json = {"value": "https://a.example/1.jpg", "alt": 'The sea; "calm"'}
        assert changed(replace={"photo": [photo]}) == {"photo": [photo]}

    def test_the_url_of_an_entry_cannot_be_changed(self) -> None:
        assert changed(replace={"url": ["https://b.example/"], "name": "New"}) == {"name": ["New"]}
        card = Post("card", {"url": ("https://a.example/",)})
        assert changed(card, replace={"url": ["https://b.example/"]}) == {
            "url": ["https://b.example/"]
        }


class TestAdd:
    def test_an_added_value_comes_last(self) -> None:
        assert changed(add={"category": ["new"]}) == {
            "category": ["river", "walk", "autumn", "new"]
        }

    def test_two_properties_are_both_added(self) -> None:
        assert changed(add={"category": ["new"], "syndication": ["https://s.example/1"]}) == {
            "category": ["river", "walk", "autumn", "new"],
            "syndication": ["https://s.example/1"],
        }

    def test_an_existing_value_is_not_added_again(self) -> None:
        assert changed(add={"category": ["walk", "new"]}) == {
            "category": ["river", "walk", "autumn", "new"]
        }
        assert changed(add={"checkin": [PLACE]}) == {}

    @pytest.mark.parametrize("name", ["content", "name"])
    def test_a_second_text_is_refused_not_lost(self, name: str) -> None:
        with pytest.raises(InvalidRequest, match="replace"):
            apply(POST, update(add={name: ["another"]}))

    def test_a_first_text_is_added(self) -> None:
        assert changed(add={"summary": ["s"]}) == {"summary": ["s"]}

    def test_the_default_visibility_is_not_stored(self) -> None:
        post = POST.with_properties({"visibility": ("unlisted",)})
        public: dict[str, Json] = {"visibility": ["public"]}
        for change in (update(replace=public), update(add=public)):
            assert "visibility" not in apply(post, change).properties

    @pytest.mark.parametrize(
        ("name", "value"),
        [("post-status", "draft"), ("visibility", "unlisted"), ("published", "2020-01-01")],
    )
    def test_metadata_is_replaced_by_add(self, name: str, value: str) -> None:
        post = POST.with_properties({"post-status": ("published",), "published": ("2019-01-01",)})
        assert changed(post, add={name: [value]}) == {name: [value]}


class TestDelete:
    def test_a_value(self) -> None:
        assert changed(delete={"category": ["walk"]}) == {"category": ["river", "autumn"]}

    def test_removing_the_last_value_removes_the_property(self) -> None:
        assert "name" not in apply(POST, update(delete={"name": ["A walk"]})).properties

    def test_whole_properties(self) -> None:
        assert changed(delete=["category", "photo"]) == {"category": [], "photo": []}

    def test_removing_an_absent_property_succeeds(self) -> None:
        assert changed(delete=["published", "video", "mp-slug"]) == {}
        assert changed(delete={"category": ["nope"], "video": ["x"]}) == {}

    def test_nested_values_by_value(self) -> None:
        same: Json = {"properties": {"latitude": [1.5], "name": ["Café"]}, "type": ["h-card"]}
        assert changed(delete={"checkin": [same]}) == {"checkin": []}

    @pytest.mark.parametrize(
        "photo", ["https://a.example/1.jpg", {"value": "https://a.example/1.jpg", "alt": "other"}]
    )
    def test_a_photo_by_its_url(self, photo: Json) -> None:
        assert changed(delete={"photo": [photo]}) == {"photo": ["https://a.example/2.jpg"]}

    @pytest.mark.parametrize("content", ["Hi", {"html": "<p>Hi</p>", "value": "Hi"}])
    def test_content_by_its_text(self, content: Json) -> None:
        post = Post(properties={"content": ("Hi",), "name": ("n",)})
        assert changed(post, delete={"content": [content]}) == {"content": []}

    def test_a_year_sent_as_a_number(self) -> None:
        post = Post(properties={"category": ("2026", "x")})
        assert changed(post, delete={"category": [2026]}) == {"category": ["x"]}


class TestAnyMix:
    def test_replace_then_add_then_delete(self) -> None:
        assert changed(
            replace={"category": ["a", "b"]}, add={"category": ["c"]}, delete={"category": ["a"]}
        ) == {"category": ["b", "c"]}

    @pytest.mark.parametrize("operation", ["replace", "add"])
    @pytest.mark.parametrize("name", ["content", "category"])
    def test_new_values_of_a_property_that_is_deleted_stay(self, operation: str, name: str) -> None:
        operations: dict[str, Json] = {"delete": [name], operation: {name: ["new"]}}
        assert apply(POST, update(**operations)).all(name) == ("new",)

    def test_three_properties_in_three_ways(self) -> None:
        assert changed(replace={"content": "x"}, add={"category": "y"}, delete=["name"]) == {
            "content": ["x"],
            "category": ["river", "walk", "autumn", "y"],
            "name": [],
        }

    def test_the_original_post_object_is_unchanged(self) -> None:
        before = dict(POST.properties)
        apply(POST, update(replace={"content": "x"}, delete=["name"]))
        assert dict(POST.properties) == before


def test_a_repeated_value_is_added_once() -> None:
    card: Json = {"type": ["h-card"], "properties": {"name": ["Ann"]}}
    assert changed(add={"mood": ["happy", card, "happy", card]})["mood"] == ["happy", card]


_NAMES = st.sampled_from(["category", "syndication", "photo", "x-any"])
_VALUES = st.lists(st.sampled_from([f"https://a.example/{name}" for name in "abcd"]), max_size=3)
_CHANGES = st.dictionaries(_NAMES, _VALUES, max_size=3)
_DELETIONS = st.one_of(st.lists(_NAMES, max_size=2), _CHANGES)


@given(replace=_CHANGES, add=_CHANGES, delete=_DELETIONS)
def test_an_update_sent_twice_changes_nothing_the_second_time(
    replace: dict[str, Json], add: dict[str, Json], delete: Json
) -> None:
    action = update(replace=replace, add=add, delete=delete)
    once = apply(POST, action)
    if not add.keys() & (delete if isinstance(delete, list | dict) else []):
        assert apply(once, action) == once
    named = {*replace, *add, *(delete if isinstance(delete, list | dict) else ())}
    untouched = POST.properties.keys() - named
    assert all(once.all(name) == POST.all(name) for name in untouched)
    assert all(once.properties.values())


class TestLimits:
    def test_added_values_count_with_existing_ones(self) -> None:
        tags: list[Json] = [f"t{number}" for number in range(297)]
        assert len(changed(add={"category": tags})["category"]) == 300
        with pytest.raises(InvalidRequest, match="'category' has 301 values"):
            changed(add={"category": [*tags, "one more"]})
        assert len(changed(add={"category": [*tags, "walk"]})["category"]) == 300

    def test_characters_of_tags_count_together(self) -> None:
        assert changed(add={"category": ["x" * (100_000 - len("riverwalkautumn"))]})
        with pytest.raises(InvalidRequest, match="characters"):
            changed(add={"category": ["x" * 99_999]})

    def test_files_of_all_kinds_count_together(self) -> None:
        urls: list[Json] = [f"https://a.example/{number}.mp4" for number in range(98)]
        assert changed(add={"video": urls})
        with pytest.raises(InvalidRequest, match="101 photos or other files"):
            changed(add={"video": [*urls, "https://a.example/x.mp4"]})
        with pytest.raises(InvalidRequest, match="102 photos or other files"):
            changed(replace={"audio": [*urls, "https://a.example/x", "https://a.example/y"]})

    def test_added_properties_count_with_existing_ones(self) -> None:
        many: dict[str, Json] = {f"p{number}": ["x"] for number in range(295)}
        assert len(apply(POST, update(add=many)).properties) == 300
        with pytest.raises(InvalidRequest, match="301 properties"):
            apply(POST, update(add={**many, "q": ["x"]}))
        assert len(apply(POST, update(add={**many, "q": ["x"]}, delete=["name"])).properties) == 300

    def test_a_post_above_the_limits_can_be_updated(self) -> None:
        large = POST.with_properties({"category": tuple(f"t{number}" for number in range(400))})
        assert changed(large, replace={"content": ["New"]}) == {"content": ["New"]}
        assert len(changed(large, delete={"category": ["t0"]})["category"]) == 399
        with pytest.raises(InvalidRequest, match="401 values"):
            changed(large, add={"category": ["one more"]})
