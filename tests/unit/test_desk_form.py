"""The desk's forms: what browsers submit, the resulting requests, and the values of a post in
the form.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from bridge.desk.compose import micropub_request, values
from bridge.desk.compose.fields import FIELDS, KINDS, fields_of
from bridge.desk.compose.fields import FormField as Asked
from bridge.desk.compose.micropub_request import Problems
from bridge.desk.compose.values import Attached, FormValues
from bridge.desk.posts import title_of
from bridge.micropub.action import Create, Update
from bridge.micropub.body import Field, File, RequestBody
from bridge.micropub.parse import parse_action
from bridge.micropub.post import Json, Post, discover

ZONE = ZoneInfo("Europe/Paris")
URL = "https://example.org/a-page"
#: What is typed for each property, and what it means.
TYPED: dict[str, tuple[dict[str, str], Json]] = {
    "content": ({"content": " Two\r\nlines "}, " Two\nlines "),
    "name": ({"name": " A  title "}, "A title"),
    "summary": ({"summary": "In short"}, "In short"),
    "rsvp": ({"rsvp": "maybe"}, "maybe"),
    "start": ({"start": "2026-12-02T19:00"}, "2026-12-02T19:00:00+01:00"),
    "end": ({"end": "2027-07-02T21:30"}, "2027-07-02T21:30:00+02:00"),
    "published": ({"published": "2026-11-02T09:05"}, "2026-11-02T09:05:00+01:00"),
    "checkin": (
        {"checkin[name]": "Café", "checkin[latitude]": "48,85", "checkin[longitude]": "2.35"},
        {"type": ["h-card"],
         "properties": {"name": ["Café"], "latitude": ["48.85"], "longitude": ["2.35"]}},
    ),
    "location": (
        {"location[latitude]": "-3", "location[longitude]": "170.5"},
        {"type": ["h-geo"], "properties": {"latitude": ["-3"], "longitude": ["170.5"]}},
    ),
    "ingredient": ({"ingredient": "Flour\r\n\r\n Salt "}, "Flour"),
    "visibility": ({"visibility": "unlisted"}, "unlisted"),
    "category": ({"category": "sea, Paris"}, "sea"),
    "lang": ({"lang": " pt-BR "}, "pt-BR"),
    **{name: ({f"{name}[]": URL}, URL) for name in ("photo", "video", "audio")},
    **{name: ({name: f" {URL} "}, URL) for name in FIELDS if FIELDS[name].widget == "url"},
}  # fmt: skip


def asked_of(kind: str) -> list[Asked]:
    fields, needed = fields_of(KINDS[kind]), KINDS[kind].required
    return [each for each in fields if each.widget != "files" or each.name in needed]


def sent(kind: str) -> list[Field]:
    """All fields of a post type, filled in; a photo would change the type of most."""
    fields: list[Field] = [("csrf", "x"), ("once", "o"), ("kind", kind), ("do", "")]
    for asked in asked_of(kind):
        values = TYPED.get(asked.name, ({asked.name: "Words"}, None))[0]
        fields += list(values.items())
    return fields


def create(kind: str, fields: list[Field], status: str = "published") -> Create:
    typed = values.read(fields).typed
    found = micropub_request.read_values(fields_of(KINDS[kind]), typed, ZONE)
    action = parse_action(
        RequestBody("json", json=micropub_request.creation(KINDS[kind], found, typed, status))
    )
    assert isinstance(action, Create)
    return action


@pytest.mark.parametrize("kind", KINDS)
def test_every_post_type_of_the_site_has_a_form(kind: str) -> None:
    action = create(kind, sent(kind))
    assert discover(action.post) == kind
    for asked in asked_of(kind):
        expected = TYPED.get(asked.name, ({}, "Words"))[1]
        assert action.post.first(asked.name) == expected, asked.name


@pytest.mark.parametrize("kind", KINDS)
def test_only_required_fields_of_a_type_are_required(kind: str) -> None:
    needed = [
        field for field in sent(kind)
        if field[0].partition("[")[0] in {*KINDS[kind].required, "kind"}
    ]  # fmt: skip
    typed = values.read(needed).typed
    found = micropub_request.read_values(fields_of(KINDS[kind]), typed, ZONE)
    assert micropub_request.missing(KINDS[kind], found) == {}
    assert set(micropub_request.missing(KINDS[kind], {})) == set(KINDS[kind].required)
    assert discover(create(kind, needed).post) in {kind, "note"}


@pytest.mark.parametrize("kind", KINDS)
def test_submitting_an_unchanged_form_changes_nothing(kind: str) -> None:
    post = create(kind, sent(kind)).post
    typed = values.typed_of(post, ZONE)
    fields = fields_of(KINDS[kind], post.properties)
    unchanged = micropub_request.update(URL, fields, post, typed, typed, ZONE)
    assert unchanged.keys() == {"action", "url"}


def edited(properties: dict[str, Any], **changes: str) -> dict[str, Json]:
    """The update that results from editing a post in the form."""
    post = Post("entry", MappingProxyType({name: tuple(v) for name, v in properties.items()}))
    was = values.typed_of(post, ZONE)
    typed = was
    for name, text in changes.items():
        typed = typed.with_text(name.replace("_", "-"), text)
    asked = micropub_request.update(URL, list(FIELDS.values()), post, was, typed, ZONE)
    if len(asked) > 2:
        assert isinstance(parse_action(RequestBody("json", json=asked)), Update)
    return {name: value for name, value in asked.items() if name not in {"action", "url"}}


def test_an_edit_only_updates_changed_properties() -> None:
    post = {"content": ["One"], "category": ["a", "b"], "published": ["2026-01-02T03:04:05-07:00"]}
    assert edited(post, content="Two") == {"replace": {"content": ["Two"]}}
    assert edited(post, category="b, c") == {"replace": {"category": ["b", "c"]}}
    assert edited(post, content="") == {"delete": ["content"]}
    assert edited(post, category="a; b;", content="One") == {}
    # The form shows minutes: what was not changed keeps its seconds and its offset.
    assert edited(post, published="2026-01-02T11:04") == {}


def test_properties_without_a_field_are_kept() -> None:
    card = {"type": ["h-card"], "properties": {"name": ["Ann"]}}
    place = {"type": ["h-card"], "properties": {"name": ["Bar"], "locality": ["Paris"]}}
    cite = {"type": ["h-cite"], "properties": {"url": [URL], "name": ["A page"]}}
    assert edited({"category": ["a", card]}, category="b") == {"replace": {"category": ["b", card]}}
    assert edited({"in-reply-to": [cite, "https://b.example/"]}) == {}
    assert edited({"in-reply-to": [cite, URL]}, in_reply_to="https://c.example/") == {
        "replace": {"in-reply-to": ["https://c.example/", URL]}
    }
    changed: Any = edited({"checkin": [place]}, **{"checkin[name]": "Café"})
    assert changed["replace"]["checkin"][0]["properties"] == {
        "name": ["Café"],
        "locality": ["Paris"],
    }
    assert edited({"content": [{"html": "<p>a</p>"}]}) == {}
    assert edited({"content": [{"html": "<p>a</p>"}]}, **{"content[html]": "<p>b</p>"}) == {
        "replace": {"content": [{"html": "<p>b</p>"}]}
    }


def test_further_values_are_kept_when_the_first_is_removed() -> None:
    other = "https://b.example/"
    assert edited({"in-reply-to": [URL, other]}, in_reply_to="") == {
        "replace": {"in-reply-to": [other]}
    }
    assert edited({"read-of": ["A", "B"]}, read_of="") == {"replace": {"read-of": ["B"]}}
    bar: Json = {"type": ["h-card"], "properties": {"name": ["Bar"]}}
    assert edited({"location": ["Home", bar]}, **{"location[name]": ""}) == {
        "replace": {"location": [bar]}
    }
    flour = {"type": ["h-item"], "properties": {"name": ["Flour"], "amount": ["1 kg"]}}
    assert edited({"ingredient": [flour, "Salt"]}, ingredient="Flour\nWater") == {
        "replace": {"ingredient": [flour, "Water"]}
    }


def test_a_moved_place_keeps_its_type() -> None:
    known = {"locality": ["Paris"], "latitude": ["48"], "longitude": ["2"]}
    place = {"type": ["h-adr"], "properties": known}
    changed: Any = edited({"location": [place]}, **{"location[latitude]": "48.5"})
    assert changed["replace"]["location"][0] == {
        "type": ["h-adr"],
        "properties": {**known, "latitude": ["48.5"]},
    }


def test_normalisation_by_browsers_is_not_a_change() -> None:
    """Browsers remove line breaks in single-line fields, and the form has no alt text for
    videos.
    """
    post = Post("entry", MappingProxyType({
        "summary": ("In\nshort ",), "name": (" A  title",), "category": ("a\nb", "c"),
        "video": ({"value": f"{URL}.mp4", "alt": "Waves"},), "location": ("At\nhome",),
    }))  # fmt: skip
    was = values.typed_of(post, ZONE)
    back: list[Field] = [
        (name, text.strip().replace("\n", "")) for name, (text,) in was.texts.items()
    ]
    back += [("video[]", ""), *(("video[]", each.url) for each in was.files["video"])]
    fields = list(FIELDS.values())
    same = micropub_request.update(URL, fields, post, was, values.read(back).typed, ZONE)
    assert same.keys() == {"action", "url"}
    more = values.read([*back, ("video[]", f"{URL}-2.mp4")]).typed
    assert micropub_request.update(URL, fields, post, was, more, ZONE)["replace"] == {
        "video": [{"value": f"{URL}.mp4", "alt": "Waves"}, f"{URL}-2.mp4"]
    }


def test_photos_are_in_order_with_their_alt_texts() -> None:
    fields: list[Field] = [
        ("photo[]", ""),
        ("photo[]", "https://me.example/media/a.jpg"),
        ("mp-photo-alt[0]", "A\r\nhill"),
        ("photo[]", "https://me.example/media/b.jpg"),
        ("mp-photo-alt[1]", ""),
        ("photo[]", File("c.jpg", b"data")),
        ("mp-photo-alt[2]", "The sea"),
        ("photo[]", File("", b"")),
    ]
    filled = values.read(fields)
    assert filled.typed.files["photo"] == (
        Attached("https://me.example/media/a.jpg", "A\nhill"),
        Attached("https://me.example/media/b.jpg"),
    )
    assert [(name, file.filename, alt) for name, file, alt in filled.uploads] == [
        ("photo", "c.jpg", "The sea")
    ]
    typed = filled.typed.with_files("photo", values.moved(filled.typed.files["photo"], 1, -1))
    assert micropub_request.values_of(FIELDS["photo"], typed, ZONE) == [
        "https://me.example/media/b.jpg",
        {"value": "https://me.example/media/a.jpg", "alt": "A\nhill"},
    ]
    there = filled.typed.files["photo"]
    assert values.moved(there, 0, -1) == values.moved(there, 9, 1) == there


def test_an_alt_text_is_changed_and_a_photo_removed() -> None:
    photos: list[Json] = [{"value": f"{URL}.jpg", "alt": "Old", "x": "kept"}, f"{URL}-2.jpg"]
    post = Post("entry", MappingProxyType({"photo": tuple(photos)}))
    was = values.typed_of(post, ZONE)
    one, two = was.files["photo"]

    def update(*files: Attached) -> dict[str, Json]:
        typed = was.with_files("photo", files)
        return micropub_request.update(URL, [FIELDS["photo"]], post, was, typed, ZONE)

    assert update(one, Attached(two.url, "New"))["replace"] == {
        "photo": [photos[0], {"value": two.url, "alt": "New"}]
    }
    assert update(replace(one, alt="New"))["replace"] == {
        "photo": [{"value": f"{URL}.jpg", "alt": "New", "x": "kept"}]
    }
    assert update(two)["replace"] == {"photo": [photos[1]]}
    assert update()["delete"] == ["photo"]


def test_a_photo_that_is_an_object_keeps_its_caption_with_another_alt_text() -> None:
    said: dict[str, Json] = {"url": [URL], "summary": ["The pier"]}
    photo: dict[str, Json] = {"type": ["h-photo"], "properties": {**said, "alt": ["Old"]}}
    post = Post("entry", MappingProxyType({"photo": (photo,)}))
    was = values.typed_of(post, ZONE)
    (one,) = was.files["photo"]
    assert one.alt == "Old"
    for alt, kept in (("New", {**said, "alt": ["New"]}), ("", said)):
        typed = was.with_files("photo", [replace(one, alt=alt)])
        made = micropub_request.update(URL, [FIELDS["photo"]], post, was, typed, ZONE)
        assert made["replace"] == {"photo": [{"type": ["h-photo"], "properties": kept}]}


def test_a_form_without_a_field_does_not_change_it() -> None:
    post = Post("entry", MappingProxyType({"photo": (URL,), "category": ("a",), "rsvp": ("yes",)}))
    typed = values.read([("content", "Words")]).typed
    was = values.typed_of(post, ZONE)
    asked = micropub_request.update(URL, list(FIELDS.values()), post, was, typed, ZONE)
    assert asked == {"action": "update", "url": URL, "replace": {"content": ["Words"]}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in-reply-to", "javascript:alert(1)"),
        ("like-of", "example.org/without-a-scheme"),
        ("start", "tomorrow"),
        ("checkin[latitude]", "91"),
        ("checkin[latitude]", "nan"),
        ("visibility", "private"),
        ("lang", "German"),
    ],
)
def test_invalid_input_is_reported_at_its_field(name: str, text: str) -> None:
    typed = FormValues({name: (text,), "checkin[longitude]": ("1",), "checkin[name]": ("x",)})
    with pytest.raises(Problems) as caught:
        micropub_request.read_values(FIELDS.values(), typed, ZONE)
    asked = name.partition("[")[0]
    assert asked in caught.value.by_field
    assert caught.value.by_field[asked].endswith((".", "none."))


def test_an_event_that_ends_before_it_begins_is_refused() -> None:
    fields = list(FIELDS.values())
    times = FormValues({"start": ("2027-03-28T12:00",), "end": ("2027-03-28T11:59",)})
    with pytest.raises(Problems, match="before the beginning") as caught:
        micropub_request.read_values(fields, times, ZONE)
    assert [*caught.value.by_field] == ["end"]
    with pytest.raises(Problems, match="before the beginning"):
        micropub_request.update(URL, fields, Post("event", {}), FormValues(), times, ZONE)
    # What a post has already is no error of the form that shows it.
    micropub_request.update(URL, fields, Post("event", {}), times, times, ZONE)
    same = times.with_text("end", "2027-03-28T12:00")
    assert micropub_request.read_values(fields, same, ZONE)["end"]


def test_the_request_id_depends_on_the_form_and_its_input() -> None:
    one: dict[str, Json] = {"properties": {"content": ["a"], "name": ["b"]}}
    same: dict[str, Json] = {"properties": {"name": ["b"], "content": ["a"]}}
    other: dict[str, Json] = {"properties": {"content": ["c"]}}
    assert (
        micropub_request.named_once("w", one)
        == micropub_request.named_once("w", same)
        != micropub_request.named_once("w", other)
    )
    assert micropub_request.named_once("w", one) != micropub_request.named_once("v", one)


def test_a_post_without_content_is_listed_by_its_summary() -> None:
    assert title_of(Post(properties={"summary": ("Only\nthis",)})) == "Only this"
