"""A post without a name or text gets a title from its subject, never from the time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from content_site import WHEN, load_rules

from bridge.content.convert import new_file, read
from bridge.content.edit import edit
from bridge.content.file import Mf2Line
from bridge.content.rules import SiteRules
from bridge.micropub.post import Json, Post

URL = "https://music.example/a/very/long/address/that/no/phone/can/break/1"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    folder: Path = tmp_path_factory.mktemp("site")
    return load_rules(folder)


def h(root: str, **properties: Json) -> dict[str, Any]:
    named = {name.replace("_", "-"): [value] for name, value in properties.items()}
    return {"type": [f"h-{root}"], "properties": named}


@pytest.mark.parametrize(
    ("properties", "title"),
    [
        ({"like-of": URL}, "Like of music.example"),
        ({"like-of": h("cite", url=URL, name="A song")}, "Like of “A song”"),
        ({"like-of": {"value": URL}}, "Like of music.example"),
        ({"like-of": URL, "repost-of": URL}, "Repost of music.example"),
        ({"jam-of": URL}, "Jam of music.example"),
        ({"lang": "de", "jam-of": URL}, "Jam of music.example"),
        ({"follow-of": h("card", name="Bob", url=URL)}, "Follow of “Bob”"),
        ({"in-reply-to": URL, "rsvp": "remote"}, "RSVP to music.example"),
        ({"in-reply-to": h("cite", content="Well said.")}, "Reply to “Well said.”"),
        (
            {"read-of": h("cite", name="Emma", uid="isbn:1"), "read-status": "to-read"},
            "Wants to read “Emma”",
        ),
        ({"read-of": "Emma", "read-status": "Reading"}, "Reading “Emma”"),
        ({"read-of": "Emma", "read-status": "abandoned"}, "Abandoned “Emma”"),
        ({"read-of": "Emma", "read-status": "<b>"}, "Read “Emma”"),
        ({"read-of": "Emma", "read-status": "finished"}, "Read “Emma”"),
        ({"watch-of": "A film"}, "Watched “A film”"),
        ({"play-of": h("cite", uid="x:1")}, "Played “x:1”"),
        ({"checkin": h("card", name="Café")}, "At Café"),
        ({"item": h("product", name="A pen"), "rating": "5"}, "Review of A pen"),
        ({"drank": h("food", name="Coffee")}, "Drank: Coffee"),
        ({"weight": h("measure", num=80.5, unit="kg")}, "Weight: 80.5 kg"),
        ({"mood": "happy"}, "Mood: happy"),
        ({"flag": True}, "Flag: true"),
        (
            {"content": "Look:\n```python\nif a < b:\n    pass\n```\nSo"},
            "Look: if a &lt; b: pass So",
        ),
        ({"content": "Not https://. or http:// alone"}, "Not https://. or http:// alone"),
        ({"content": "~~~\nx ~~~ y\n~~~"}, "x ~~~ y"),
        ({"checkin": h("geo", u="35", latitude="48.2", longitude="16.4")}, "At 48.2, 16.4"),
        (
            {"content": {"html": f'<p><img src="{URL}" alt="The &lt;sea&gt;"></p>'}},
            "The &lt;sea&gt;",
        ),
        ({"content": {"html": f'<video src="{URL}"></video>'}}, "Video"),
        ({"content": f"![]({URL})"}, "Photo"),
        ({"itinerary": h("leg", origin=h("adr", locality="Paris"))}, "Itinerary: Paris"),
        (
            {"itinerary": h("leg", origin="ZRH", destination=h("adr", locality="Bern"))},
            "Itinerary: ZRH – Bern",
        ),
        ({"itinerary": h("leg", origin="ZRH", operator="SR")}, "Itinerary: ZRH"),
        ({"poll-option": "red"}, "Poll option: red"),
        ({"like-of": {"url": URL, "name": "A track"}}, "Like of “A track”"),
        ({"workout": {"distance": 5.2, "unit": "km"}}, "Workout: 5.2"),
        ({"weight": {"value": 80, "unit": "kg"}}, "Weight: 80 kg"),
        ({"price": h("price", num=3, currency="EUR")}, "Price: 3 EUR"),
        ({"price": {"value": 3, "currency": "EUR"}}, "Price: 3 EUR"),
        ({"a": {"b": {"c": {"d": {"e": "deep"}}}}}, "A: deep"),
        ({"featured": URL}, "Photo"),
        ({"setting": {"film": "Fast"}}, "Setting: Fast"),
        ({"photo": {"value": URL, "alt": "The sea"}}, "The sea"),
        ({"photo": {"value": URL, "caption": "The pier"}}, "The pier"),
        ({"photo": h("photo", url=URL, summary="The pier", alt="The sea")}, "The sea"),
        ({"photo": URL}, "Photo"),
        ({"sensitive": "true", "location-visibility": "public", "photo": URL}, "Photo"),
        ({"video": URL}, "Video"),
        ({"rsvp": "yes"}, "RSVP: yes"),
        ({"location": h("adr", locality="Berlin")}, "At Berlin"),
        ({"category": "river"}, "river"),
        ({"content": f"See ({URL})."}, "See (music.example/…)"),
        ({"content": "見て「https://a.example/x」。"}, "見て「a.example/x」。"),
        (
            {"content": "Geschwindigkeitsbegrenzung a.very.long.name.of.a.module"},
            "Geschwindigkeitsbegrenzung a.very.long.name.of…",
        ),
        (
            {"content": "Die Donaudampfschifffahrtsgesellschaftskapitänsmütze lag da"},
            "Die Donaudampfschifffah… lag da",
        ),
        ({"content": "κ" * 40 + " ж" * 3}, "κ" * 19 + "… ж ж ж"),
        ({"content": "e\u0301" * 60}, "e\u0301" * 9 + "…"),
        ({"content": "ภาษาไทย" * 6}, "ภาษาไทย" * 6),
        ({"mood": f"happy {'x' * 40}"}, f"Mood: happy {'x' * 19}…"),
        ({"mood": {"html": "<b>so</b> so"}}, "Mood: so so"),
        ({"mood": {"html": f'<img src="{URL}" alt="A smile">'}}, "Mood: A smile"),
        ({"sleep": h("sleep", start="2026-11-20T23:00:00+01:00")}, "Sleep: 2026-11-20"),
        ({"start": "2026-12-01 10:00"}, "On: 2026-12-01"),
        ({"content": "👨‍👩‍👧‍👦" * 30}, "👨‍👩‍👧‍👦" * 10 + "…"),
        ({"mood": "🇨🇭" * 60}, "Mood: " + "🇨🇭" * 27 + "…"),
        ({"content": "日本" * 60}, "日本" * 35 + "…"),
        (
            {"content": "Words[^1] and\n\n[^1]: A note", "p3k-content-type": "text/markdown"},
            "Words and",
        ),
        # What is unsafe makes HTML of Markdown.
        (
            {
                "content": "Use `<b>` tags *now*\n\n<script>x</script>",
                "p3k-content-type": "text/markdown",
            },
            "Use &lt;b&gt; tags now",
        ),
    ],
)
def test_a_generated_title_describes_the_post(
    rules: SiteRules, properties: dict[str, Json], title: str
) -> None:
    post = Post(properties={name: (value,) for name, value in properties.items()})
    file = new_file(post, when=WHEN, rules=rules)
    assert file.get("Title") == title
    assert Mf2Line.of(file).synthetic_title


def test_footnotes_that_never_end_are_searched_for_in_no_time(rules: SiteRules) -> None:
    """They took half a minute of processor time."""
    given: dict[str, tuple[Json, ...]] = {
        "content": ('Sea <sup id="fnref:a">x' * 5_000 + " Sea" * 75_000,),
        "p3k-content-type": ("text/markdown",),
    }
    begun = time.process_time()
    new_file(Post(properties=given), when=WHEN, rules=rules)
    assert time.process_time() - begun < 14


def test_only_a_review_is_called_one(rules: SiteRules) -> None:
    item = h("product", name="A pen")
    for type_, title in (("review", "Review of A pen"), ("listing", "Listing: A pen")):
        file = new_file(Post(type_, {"item": (item,)}), when=WHEN, rules=rules)
        assert file.get("Title") == title


@pytest.mark.parametrize(
    ("properties", "title"),
    [
        ({"start": "2026-12-01T18:00", "performer": "Ann"}, "Event on 2026-12-01"),
        ({"start": "2026-12-01", "location": "Hall"}, "Event at Hall, 2026-12-01"),
        ({"start": "2026-12-01", "summary": "Cake for all"}, "Cake for all"),
    ],
)
def test_an_event_without_a_name_is_called_by_its_place_and_day(
    rules: SiteRules, properties: dict[str, Json], title: str
) -> None:
    post = Post("event", {name: (value,) for name, value in properties.items()})
    assert new_file(post, when=WHEN, rules=rules).get("Title") == title


def test_a_text_that_an_app_calls_html_is_called_by_its_words(rules: SiteRules) -> None:
    said = {"p3k-content-type": ("text/html",)}
    post = Post(properties={"content": ("<b>bold</b> &amp; <i>it",), **said})
    assert new_file(post, when=WHEN, rules=rules).get("Title") == "bold & it"
    picture = Post(properties={"content": (f'<img src="{URL}" alt="">',), **said})
    assert new_file(picture, when=WHEN, rules=rules).get("Title") == "Photo"


@pytest.mark.parametrize(
    "value",
    [None, True, [], [[]], {}, {"properties": []}, {"properties": {}},
     {"properties": {"url": [{}]}}, {"value": None},
     {"a": {"b": {"c": {"d": {"e": "deep"}}}}}, "http://[", "\x00", 1e300],
)  # fmt: skip
@pytest.mark.parametrize("name", ["like-of", "jam-of", "checkin", "item", "mood", "photo"])
def test_a_title_is_generated_for_senseless_properties(
    rules: SiteRules, name: str, value: Json
) -> None:
    file = new_file(Post(properties={name: (value,)}), when=WHEN, rules=rules)
    assert file.get("Title")


def test_a_generated_title_follows_its_source(rules: SiteRules) -> None:
    file = new_file(Post(properties={"mood": ("happy",)}), when=WHEN, rules=rules)
    old = read(file, rules)
    new = old.with_properties({"mood": ("tired",)})
    assert edit(file, old, new, when=WHEN, rules=rules).get("Title") == "Mood: tired"
    own = file.with_header("Title", "My own")
    named = read(own, rules)
    new = named.with_properties({"mood": ("tired",)})
    assert edit(own, named, new, when=WHEN, rules=rules).get("Title") == "My own"


@pytest.mark.parametrize("unseen", ["\u2800", "\u200b\u2060", "\u3164", "\u00ad"])
def test_an_invisible_name_is_not_a_title(unseen: str, rules: SiteRules) -> None:
    sent = Post("entry", {"name": (unseen,), "content": ("Words",), "summary": (unseen,)})
    file = new_file(sent, when=WHEN, rules=rules)
    assert file.get("Title") == "Words"
    assert file.get("Summary") is None
    assert read(file, rules).all("name") == (unseen,)
    assert read(file, rules).all("summary") == (unseen,)


def test_a_text_of_a_lone_surrogate_gets_a_title(rules: SiteRules) -> None:
    """Bytes of a hand-written file that are no UTF-8 are read as surrogates."""
    file = new_file(Post("entry", {"content": ("\ud800",)}), when=WHEN, rules=rules)
    assert file.get("Title")
