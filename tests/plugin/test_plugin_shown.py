"""No post has an empty page: every property is displayed, and parsed back from the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import feedparser
import pytest
from bs4 import BeautifulSoup
from plugin_site import SITE, THEMES, Built, build, note, post
from soak_kit import in_soak

from pelican_indieauth.errors import SettingError

TRACK = "https://music.example/track/1"


def h(root: str, **properties: Any) -> dict[str, Any]:
    """A nested object; a single value stands for a list."""
    return {
        "type": [f"h-{root}"],
        "properties": {
            name.replace("_", "-"): value if isinstance(value, list) else [value]
            for name, value in properties.items()
        },
    }


def unnamed(**properties: Any) -> dict[str, Any]:
    return note(h("entry", **properties)["properties"])


VIENNA = {"street_address": "Herrengasse 14", "locality": "Wien", "region": "Wien"}
OWN = "{static}/media/a.jpg"
BOOK = h("cite", name="A Book", author="Some One", uid="isbn:9780141439600")
#: Posts without text: the properties, what must be displayed, and what a parser must find.
SHOWN: dict[str, tuple[dict[str, Any], list[str], dict[str, Any]]] = {
    "jam": (unnamed(jam_of=TRACK), ["music.example/track/1"], {"jam-of": [TRACK]}),
    "odd-of": (unnamed(wish_of=TRACK), ["Wish of", "music.example"], {"wish-of": [TRACK]}),
    "wish": (
        unnamed(wish_of=h("product", name="A pen", price="€ 30", photo=OWN, url=TRACK)),
        ["Wish of A pen (Price: € 30)"],
        {"wish-of": [TRACK]},
    ),
    "ate": (
        unnamed(ate=h("food", name="Soup", photo=[{"value": OWN, "alt": "Red"}, TRACK])),
        ["Ate: Soup (Photo: music.example/track/1)"],
        {"ate": ["Soup"]},
    ),
    "own-json": (
        unnamed(
            like_of={"url": TRACK, "name": "A track", "author": {"name": "Some One"}},
            workout={"kind": "run", "distance": 5.2, "unit": "km"},
            weight={"value": 80, "unit": "kg"},
            checkin={"name": "A pub", "latitude": 1.5, "longitude": 2.5},
            syndication={"url": "https://copy.example/1"},
        ),
        ["A track", "Some One", "Kind: run, Distance: 5.2, Unit: km", "80 kg", "A pub", "copy."],
        {"like-of": [TRACK], "weight": ["80 kg"], "syndication": ["https://copy.example/1"]},
    ),
    "pictured-inside": (
        unnamed(gizmo=h("gizmo", name="G", knob=h("knob", name="K", photo=OWN), when="2026-01-01")),
        ["Gizmo: G (When: Thu 01 January 2026) Knob: K"],
        {"gizmo": ["G"]},
    ),
    "follow": (
        unnamed(follow_of=h("card", name="Bob", url="https://bob.example/")),
        ["Follows Bob"],
        {"follow-of": ["https://bob.example/"]},
    ),
    "quotation": (
        unnamed(quotation_of=h("cite", url=TRACK, content="Well said.", author="Bob")),
        ["Quoted", "Bob", "Well said."],
        {"quotation-of": [TRACK]},
    ),
    "play": (
        unnamed(play_of=h("cite", name="Chess", url="https://chess.example/")),
        ["Played Chess"],
        {"play-of": ["https://chess.example/"]},
    ),
    "guest": (
        unnamed(
            like_of=TRACK,
            author=[h("card", name="Jane", url="https://jane.example/", photo=TRACK), "Joe"],
        ),
        ["Written by Jane, Joe"],
        {"author": ["Ann", "Jane", "Joe"]},
    ),
    "guest-by-address": (
        unnamed(like_of=TRACK, author=["https://jane.example/", {"name": "Joe"}]),
        ["Written by jane.example, Joe"],
        {"author": ["Ann", "jane.example", "Joe"]},
    ),
    "drank": (
        unnamed(drank=h("food", name="Coffee", url="https://coffee.example/")),
        ["Drank: Coffee"],
        {"drank": ["Coffee"]},
    ),
    "weight": (
        unnamed(weight=h("measure", num="80.5", unit="kg")),
        ["Weight: 80.5 kg"],
        {"weight": ["80.5 kg"]},
    ),
    "named-weight": (
        unnamed(weight=h("measure", name="In the morning", num=80, unit="kg", scale="old")),
        ["Weight: In the morning (80 kg, Scale: old)"],
        {"weight": ["In the morning"]},
    ),
    "workout": (
        unnamed(workout=h("item", name="Run", distance=h("measure", num=5, unit="km"))),
        ["Workout: Run (Distance: 5 km)"],
        {"workout": ["Run"]},
    ),
    "mood": (unnamed(mood=["happy", "tired"]), ["Mood", "happy"], {"mood": ["happy", "tired"]}),
    "itinerary": (
        unnamed(itinerary=h("leg", operator="AA", destination=h("adr", locality="Paris"))),
        ["AA", "Destination: Paris"],
        {},
    ),
    "poll": (unnamed(poll_option=["red", "blue"]), ["Poll option", "blue"], {}),
    "own-making": (unnamed(setting={"iso": 100, "flash": False}), ["Iso: 100"], {}),
    "digits": (unnamed(x_2="seen"), ["X 2: seen"], {}),
    "book": (
        unnamed(read_of=BOOK, read_status="finished"),
        ["A Book by Some One"],
        {"read-of": ["A Book"], "read-status": ["finished"]},
    ),
    "words": (unnamed(watch_of="A film"), ["A film"], {"watch-of": ["A film"]}),
    "no-address": (
        unnamed(bookmark_of=h("cite", name="A leaflet"), like_of="a song"),
        ["A leaflet", "a song"],
        {"bookmark-of": ["A leaflet"], "like-of": ["a song"]},
    ),
    "venue": (unnamed(checkin=h("card", name="Café")), ["Café"], {"checkin": ["Café"]}),
    "remote": (
        unnamed(in_reply_to=TRACK, rsvp="remote"),
        ["RSVP: remote"],
        {"rsvp": ["remote"], "in-reply-to": [TRACK]},
    ),
    "recipe": (
        h(
            "recipe",
            ingredient=["1 egg", "flour"],
            instructions={
                "html": '<ol><li onclick="x()">Mix <a href="//e.example">it</a></li></ol>'
            },
            **{"yield": "4", "duration": "PT1H30M", "photo": f"{SITE}/cake.jpg"},
        ),
        ["1 egg", "flour", "Mix it", "Yield: 4", "1 h 30 min"],
        {"ingredient": ["1 egg", "flour"], "yield": ["4"], "duration": ["PT1H30M"]},
    ),
    "product": (
        h("product", brand="Pens Ltd", price="€ 3", url="https://pens.example/", description="Red"),
        ["Brand: Pens Ltd", "Price: € 3", "Red", "pens.example"],
        {"brand": ["Pens Ltd"], "price": ["€ 3"], "description": ["Red"]},
    ),
    "resume": (
        h("resume", skill=["Git", "Tea"], experience=h("event", name="Work", start="2020-01-01")),
        ["Git", "Tea", "Work"],
        {"skill": ["Git", "Tea"]},
    ),
    "all-day": (
        h("event", start="2026-12-24", end="2026-12-27"),
        ["24 December 2026", "27 December 2026"],
        {"start": ["2026-12-24"], "end": ["2026-12-27"]},
    ),
    "all-of-one-day": (
        h("event", start="2026-12-24", end="2026-12-24"),
        ["24 December 2026"],
        {"start": ["2026-12-24"], "end": ["2026-12-24"]},
    ),
    "open-ended": (
        h("event", start="2026-12-05T18:00+01:00", duration="PT2H", url="https://hall.example/"),
        ["5 December 2026, 18:00", "2 h", "hall.example"],
        {"start": ["2026-12-05T18:00:00+0100"], "duration": ["PT2H"]},
    ),
    "one-day": (
        h("event", start=["2026-12-05 18:00", "2026-12-06 18:00"], end="2026-12-05 21:30"),
        ["5 December 2026, 18:00", "21:30", "6 December 2026"],
        {"start": ["2026-12-05T18:00:00", "2026-12-06T18:00:00"]},
    ),
    "in-utc": (
        h(
            "event",
            start="2026-12-31T23:30:00Z",
            end="9999-12-31T23:30Z",
            door="2026-07-01T22:00Z",
        ),
        ["1 January 2027, 00:30", "31 December 9999, 23:30", "02 July 2026, 00:00"],
        {"start": ["2027-01-01T00:30:00+0100"], "door": ["2026-07-02T00:00:00+0200"]},
    ),
    "on-a-line": (
        unnamed(tool=h("item", name="Pan", note={"html": f'<p>Hot<img src="{OWN}" alt="A pan">'})),
        ["Pan (Note: Hot A pan)"],
        {"tool": ["Pan"]},
    ),
    "quoted": (
        unnamed(repost_of=h("cite", content={"html": "<p>A</p><ul><li>b<li>c</ul>d<br>e"})),
        ["A b c d e"],
        {},
    ),
    "person": (
        unnamed(mood="happy", category=["a", h("card", name="Bob", url="https://bob.example/")]),
        ["With: Bob"],
        {"category": ["Bob"]},
    ),
    "places": (
        unnamed(
            location=["Berlin", "geo:1,2", h("adr", locality="Bern", postal_code="3000")],
            checkin=[h("adr", street_address="Main 1", postal_code="4000", locality="Basel")],
        ),
        ["Main 1, 4000, Basel", "Berlin", "1,2", "3000"],
        {"checkin": ["Main 1, 4000, Basel"]},
    ),
    "swarm": (
        unnamed(
            checkin=h("card", name="Café", latitude=48.2, longitude=16.4, **VIENNA),
            location=h("adr", latitude=48.2, longitude=16.4, **VIENNA),
        ),
        ["Café"],
        {"checkin": ["Café"]},
    ),
    "two-things": (
        h("review", item=[h("product", name="A"), h("product", name="B")], rating="0"),
        ["A", "B", "0"],
        {"item": ["A", "B"], "rating": ["0"]},
    ),
    "reviewed-book": (
        h(
            "review",
            item=h("cite", name="Emma", author="Jane Austen", photo=f"{SITE}/media/e.jpg"),
            rating="4",
        ),
        ["Emma (by Jane Austen)"],
        {"item": ["Emma"]},
    ),
    "reviewed-product": (
        h(
            "review",
            item=h(
                "product",
                name="Pen",
                price="€ 3",
                brand=h("card", name="Pens Ltd"),
                me=SITE,
                rel="me",
            ),
        ),
        ["Pen (Price: € 3, Brand: Pens Ltd)"],
        {"item": ["Pen"]},
    ),
    "prices": (
        h(
            "product",
            price=[{"value": 3, "currency": "EUR"}, h("price", num="4", unit="kg", currency="CHF")],
            offer=h("offer", price={"num": 5, "currency": "USD"}),
        ),
        ["3 EUR", "4 kg (Currency: CHF)", "Price: 5 USD"],
        {"price": ["3 EUR", "4 kg (Currency: CHF)"], "offer": ["Price: 5 USD"]},
    ),
    "bare-review": (
        h("review", item=TRACK, rating="4"),
        ["music.example/track/1", "4"],
        {"item": ["music.example/track/1"], "rating": ["4"]},
    ),
    "shouted": (
        unnamed(read_of=BOOK, read_status="READING"),
        ["Reading A Book"],
        {"read-status": ["reading"]},
    ),
    "half-a-place": (
        unnamed(location=h("geo", longitude=2)),
        ["Location: Longitude: 2"],
        {"location": ["Longitude: 2"]},
    ),
    "place-by-url": (
        unnamed(location=TRACK, checkin=TRACK),
        [" music.example/track/1"],
        {"location": ["music.example/track/1"], "checkin": [TRACK]},
    ),
    "given-up": (
        unnamed(read_of=h("cite", name="Emma", photo=f"{SITE}/e.jpg"), read_status="abandoned"),
        ["Abandoned Emma"],
        {"read-status": ["abandoned"]},
    ),
    "blank": (
        unnamed(photo=[f"{SITE}/a b.jpg", {"value": f" {SITE}/c.jpg ", "alt": "C"}]),
        [],
        {"photo": [f"{SITE}/a%20b.jpg", f"{SITE}/c.jpg"]},
    ),
    "contact": (
        h("card", name="Ann", email="mailto:a@a.example", tel="tel:+41"),
        ["Email: a@a.example", "+41"],
        {"email": ["mailto:a@a.example"], "tel": ["tel:+41"]},
    ),
    "featured": (unnamed(featured=f"{SITE}/f.jpg"), [], {"featured": [f"{SITE}/f.jpg"]}),
    "photo-object": (
        unnamed(photo=h("photo", url=f"{SITE}/o.jpg", alt="An object")),
        [],
        {"photo": [f"{SITE}/o.jpg"]},
    ),
    "captions": (
        unnamed(
            photo=[
                {"value": OWN, "alt": "A red <b>", "caption": "The <i>pier</i>", "name": "a.jpg"},
                h("photo", url=f"{SITE}/b.jpg", alt="Blue", name="IMG_2.JPG", summary="At dusk"),
                {"value": f"{SITE}/c.jpg", "alt": "The same", "caption": "The same"},
                {"value": f"{SITE}/d.jpg", "alt": "Green", "name": "A walk"},
                {"value": f"{SITE}/e.jpg", "name": "Photo 28.11.26, 10 11 12.jpg"},
                {"value": f"{SITE}/f.png", "name": "IMG_20261128_101112"},
            ],
            video={"value": f"{SITE}/v.mp4", "caption": {"html": "<p>The <b>film</b></p>"}},
            audio=h("x-sound", url=f"{SITE}/s.mp3", name="The sound"),
            featured={"value": f"{SITE}/f.jpg", "caption": "In front"},
        ),
        ["The <i>pier</i>", "At dusk", "A walk", "The film", "The sound", "In front"],
        {"photo": [f"{SITE}/media/a.jpg", *(f"{SITE}/{n}.jpg" for n in "bcde"), f"{SITE}/f.png"]},
    ),
    "children": (unnamed(children=h("cite", name="A child")), ["Children: A child"], {}),
    "song": (
        unnamed(
            listen_of=h(
                "cite", name="Song", author=h("card", name="Band", url="https://band.example/")
            )
        ),
        ["Song by Band"],
        {"listen-of": ["Song"]},
    ),
    "film-as-photo": (
        unnamed(
            photo=[f"{SITE}/v.MP4#t=1", {"value": f"{SITE}/s.mp3", "alt": "A"}, f"{SITE}/p.gif"]
        ),
        [],
        {
            "photo": [f"{SITE}/p.gif"],
            "video": [f"{SITE}/v.MP4#t=1"],
            "audio": [f"{SITE}/s.mp3"],
        },
    ),
    "photo-as-film": (
        unnamed(video=[f"{SITE}/p.jpg?x.mp4", f"{SITE}/sound.m4a"], audio=f"{SITE}/sound.mp4"),
        [],
        {
            "photo": [f"{SITE}/p.jpg?x.mp4"],
            "video": [f"{SITE}/sound.m4a"],
            "audio": [f"{SITE}/sound.mp4"],
        },
    ),
    "document-as-photo": (
        unnamed(photo=f"{SITE}/plan.pdf"),
        ["File: example.com/plan.pdf"],
        {"file": [f"{SITE}/plan.pdf"], "photo": []},
    ),
    "sensitive": (
        unnamed(photo=f"{SITE}/a.jpg", sensitive="true"),
        ["Sensitive content"],
        {"photo": [f"{SITE}/a.jpg"]},
    ),
    "sensitive-in-json": (
        unnamed(photo=f"{SITE}/a.jpg", sensitive=True),
        ["Sensitive content"],
        {"photo": [f"{SITE}/a.jpg"]},
    ),
    "harmless": (
        unnamed(photo=f"{SITE}/a.jpg", sensitive="false"),
        [],
        {"photo": [f"{SITE}/a.jpg"]},
    ),
    "capitals": (
        unnamed(Author="Eve", URL=TRACK, Mood="good", Summary="In short"),
        ["Mood: good", "In short"],
        {"url": [f"{SITE}/capitals.html"], "mood": ["good"], "author": ["Ann"]},
    ),
    "comment": (
        unnamed(comment=h("cite", author=h("card", name="Al"), content="Yes")),
        ["Comment: by Al, Yes"],
        {"comment": ["by Al, Yes"]},
    ),
    "machines": (
        unnamed(watch_of=TRACK, trakt={"id": 1, "film": {f"x{n}": "y" for n in range(20)}}),
        ["Trakt", "Id: 1"],
        {"watch-of": [TRACK]},
    ),
    "wish-for-machines": (
        unnamed(
            wish_of=h("product", name="A pen", price="€ 3", **{f"x{n}": "y" for n in range(20)})
        ),
        ["Wish of A pen", "X19: y"],
        {"wish-of": ["A pen"]},
    ),
    "poster": (
        unnamed(video={"value": f"{SITE}/v.mp4", "poster": f"{SITE}/p.jpg", "alt": 'A "cat"'}),
        [],
        {"video": [f"{SITE}/v.mp4"]},
    ),
}
SUMMARIES = {
    "indiepass": f"Liked: {TRACK}",
    "finished-book": "Finished reading: A Book, by Some One",
    "loved": "Loved A Book",
}
SUMMARY = "Only a summary here"


@pytest.fixture(scope="module", params=["simple", "sample"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    posts = {slug: post(slug, mf2) for slug, (mf2, _, _) in SHOWN.items()}
    like, book = unnamed(like_of=TRACK), unnamed(read_of=BOOK, read_status="finished")
    for slug, summary in SUMMARIES.items():
        posts[slug] = post(slug, like if slug == "indiepass" else book, summary=summary)
    posts["summary"] = post("summary", note({}), summary=SUMMARY)
    files = [
        {"value": OWN, "caption": "The  pier"},
        {"value": f"{SITE}/b.jpg", "caption": "Dusk &  sea"},
    ]
    film = {"value": f"{SITE}/v.mp4", "caption": "The film"}
    embedded = f"![a]({OWN}) ![b]({SITE}/b.jpg) [v]({SITE}/v.mp4)\n\n*Dusk* &\nsea"
    posts["embedded"] = post("embedded", note({"photo": files, "video": [film]}), embedded)
    named = {"properties": {"featured": files[:1]}}
    posts["essay"] = post("essay", named, f"Words\n\n![a]({OWN})", summary="In short")
    folder: Path = tmp_path_factory.mktemp("site")
    settings = {**THEMES[request.param], "INDIEAUTH_JSON_FEED": "feed.json"}
    return build(folder, posts, FEED_MAX_ITEMS=100, **settings)


@pytest.mark.parametrize("slug", SHOWN)
def test_posted_properties_are_shown_and_parsed(built: Built, slug: str) -> None:
    _, words, expected = SHOWN[slug]
    page = BeautifulSoup(built.text(f"{slug}.html"), "html.parser").find(class_="h-entry")
    assert page is not None
    shown = " ".join(page.get_text().split())
    assert [word for word in words if word not in shown] == []
    (entry,) = [item for item in built.parsed(f"{slug}.html")["items"] if "h-entry" in item["type"]]
    found = entry["properties"]
    assert {name: [_plain(value) for value in found.get(name, [])] for name in expected} == expected
    assert found["url"] == [f"{SITE}/{slug}.html"] * len(found["url"])
    whose, *guests = found["author"]
    assert _plain(whose) == "Ann"
    assert not guests or "author" in expected


def test_captions_are_below_their_files_in_pages_and_feeds(built: Built) -> None:
    page = BeautifulSoup(built.text("captions.html"), "html.parser")
    (entry,) = page.select(".h-entry")
    captions = [found.get_text() for found in entry.select("figure:has(img.u-photo) > figcaption")]
    assert captions == ["The <i>pier</i>", "At dusk", "A walk"]
    for never in ("a.jpg", "The same", "10 11 12", "IMG_2026"):
        assert never not in entry.get_text()
    feed = feedparser.parse(built.text("feeds/all.atom.xml")).entries
    (content,) = [each.content[0].value for each in feed if each.link.endswith("/captions.html")]
    below = BeautifulSoup(content, "html.parser").select("figcaption")
    assert {"At dusk", "The film", "The sound", "In front"} <= {each.get_text() for each in below}


def test_a_caption_of_a_file_in_the_body_is_shown_once(built: Built) -> None:
    entry = BeautifulSoup(built.text("embedded.html"), "html.parser").select_one(".h-entry")
    assert entry is not None
    for found in entry.select("[hidden]"):
        found.decompose()
    shown = " ".join(entry.get_text().split())
    assert [shown.count(caption) for caption in ("The pier", "Dusk & sea", "The film")] == [1, 1, 1]
    # Nor is it in a list that has no body.
    assert "The  pier" in built.text("essay.html")
    for page in built.output.glob("index*.html"):
        listed = BeautifulSoup(page.read_text("utf-8"), "html.parser")
        for entry in listed.select(".h-entry:has(a[href$='essay.html'])"):
            assert "In short" in entry.text
            assert "The  pier" not in entry.text


@pytest.mark.parametrize("root", ["recipe", "product", "resume"])
def test_a_post_keeps_its_root_class(built: Built, root: str) -> None:
    (entry,) = [e for e in built.parsed(f"{root}.html")["items"] if "h-entry" in e["type"]]
    assert set(entry["type"]) == {"h-entry", f"h-{root}"}


def test_nested_objects_keep_their_parts(built: Built) -> None:
    (weight,) = built.entry("weight.html")["weight"]
    assert weight["type"] == ["h-measure"]
    assert weight["properties"] == {"num": ["80.5"], "unit": ["kg"]}
    (emma,) = built.entry("given-up.html")["read-of"]
    assert [_plain(photo) for photo in emma["properties"]["photo"]] == [f"{SITE}/e.jpg"]
    (wish,) = built.entry("wish.html")["wish-of"]
    assert (wish["type"], wish["properties"]["price"]) == (["h-product"], ["€ 30"])
    (read,) = built.entry("book.html")["read-of"]
    assert read["type"] == ["h-cite"]
    assert "url" not in read["properties"]
    assert read["properties"]["uid"] == ["isbn:9780141439600"]
    (heard,) = built.entry("song.html")["listen-of"]
    (band,) = heard["properties"]["author"]
    assert band["properties"] == {"name": ["Band"], "url": ["https://band.example/"]}
    (drank,) = built.entry("drank.html")["drank"]
    assert drank["properties"]["url"] == ["https://coffee.example/"]


def test_a_thing_shows_its_picture_from_this_site_and_no_other(built: Built) -> None:
    for slug, alternative in {"wish": "", "ate": "Red", "given-up": ""}.items():
        page = BeautifulSoup(built.text(f"{slug}.html"), "html.parser")
        (image,) = page.select("[class*='-of '] img.u-photo, .p-ate img.u-photo")
        picture = f"{SITE}/{'e.jpg' if slug == 'given-up' else 'media/a.jpg'}"
        assert (image["src"], image["alt"]) == (picture, alternative)


def test_nested_objects_without_a_property_are_children(built: Built) -> None:
    (entry,) = [e for e in built.parsed("children.html")["items"] if "h-entry" in e["type"]]
    (child,) = entry["children"]
    assert (child["type"], child["properties"]["name"]) == (["h-cite"], ["A child"])


def test_sensitive_pictures_are_opened_by_the_reader(built: Built) -> None:
    pages = {s: BeautifulSoup(built.text(f"{s}.html"), "html.parser") for s in SHOWN}
    closed = {slug for slug, page in pages.items() if page.select_one("details img.u-photo")}
    assert closed == {"sensitive", "sensitive-in-json"}


def test_what_is_for_machines_is_opened_by_the_reader(built: Built) -> None:
    for slug, label in {"machines": "Trakt", "wish-for-machines": "Wish of A pen"}.items():
        page = BeautifulSoup(built.text(f"{slug}.html"), "html.parser")
        assert [each.get_text() for each in page.select("details summary")] == [label]
    (wish,) = built.entry("wish-for-machines.html")["wish-of"]
    assert wish["properties"]["price"] == ["€ 3"]


def test_a_place_that_is_sent_twice_is_shown_once(built: Built) -> None:
    page = BeautifulSoup(built.text("swarm.html"), "html.parser")
    shown = [each for each in page.select(".p-street-address") if not each.find_parent(hidden=True)]
    assert len(shown) == 1
    for name in ("checkin", "location"):
        (place,) = built.entry("swarm.html")[name]
        assert [_plain(each) for each in place["properties"]["region"]] == ["Wien"]
        assert place["properties"]["latitude"] == ["48.2"]


def test_a_video_has_its_poster_and_a_label(built: Built) -> None:
    (video,) = BeautifulSoup(built.text("poster.html"), "html.parser").find_all("video")
    assert (video["poster"], video["aria-label"]) == (f"{SITE}/p.jpg", 'A "cat"')


def test_steps_are_a_list_without_attributes(built: Built) -> None:
    (entry,) = [e for e in built.parsed("recipe.html")["items"] if "h-entry" in e["type"]]
    (steps,) = entry["properties"]["instructions"]
    assert steps["html"] == "<ol><li>Mix it</li></ol>"


def test_the_sites_pictures_in_the_html_of_a_property_are_shown(tmp_path: Path) -> None:
    html = f'Stir<img src="{OWN}" alt=\'A "pan" <b\'><img src="https://a.example/b.gif" alt="so">'
    alone = f"<p><img src='{OWN}'></p>"
    posts = {"a": post("a", h("recipe", instructions={"html": html}, hint={"html": alone}))}
    page = BeautifulSoup(build(tmp_path, posts).text("a.html"), "html.parser")
    pictures = page.select(".e-instructions img, .e-hint img")
    assert [(each["src"], each["alt"]) for each in pictures] == [
        (f"{SITE}/media/a.jpg", 'A "pan" <b'),
        (f"{SITE}/media/a.jpg", ""),
    ]
    steps = page.select_one(".e-instructions")
    assert steps is not None
    assert steps.get_text(" ", strip=True) == "Stir so"


def test_a_post_with_only_a_summary_shows_it(built: Built) -> None:
    assert built.entry("summary.html")["summary"] == [SUMMARY]
    page = BeautifulSoup(built.text("summary.html"), "html.parser")
    assert page.find(class_="p-summary").get_text() == SUMMARY  # type: ignore[union-attr]


def test_what_an_app_says_of_a_target_is_not_shown_twice(built: Built) -> None:
    shown = {}
    for slug, summary in SUMMARIES.items():
        page = BeautifulSoup(built.text(f"{slug}.html"), "html.parser")
        shown[slug] = any(p.get("hidden") is None for p in page.select("p.p-summary"))
        assert built.entry(f"{slug}.html")["summary"] == [summary]
    assert shown == {"indiepass": False, "finished-book": False, "loved": True}


def test_a_long_url_can_wrap_on_a_phone(tmp_path: Path) -> None:
    long, short = f"https://example.org/{'a' * 60}", "https://example.org/a"
    posts = {"a": post("a", unnamed(like_of=[long, short], wish_of=long, mood=long))}
    page = BeautifulSoup(build(tmp_path, posts).text("a.html"), "html.parser")
    links = page.select("a[class^='u-']")
    assert [("anywhere" in str(a.get("style"))) for a in links] == [True, False, True, True]


def test_a_long_word_beside_the_text_can_wrap_on_a_phone(tmp_path: Path) -> None:
    long = "x" * 60
    kinds = {
        "mood": unnamed(mood=long),
        "cite": unnamed(like_of=h("cite", name="A", content=long, url=f"{SITE}/a")),
        "place": unnamed(location=[h("card", name=long)]),
        "caption": unnamed(photo={"value": f"{SITE}/a.jpg", "caption": long}),
        "short": unnamed(mood="x"),
    }
    built = build(tmp_path, {slug: post(slug, mf2) for slug, mf2 in kinds.items()})
    styled = {
        slug: "overflow-wrap" in built.text(f"{slug}.html").partition('class="h-entry"')[2][:60]
        for slug in kinds
    }
    assert styled == {slug: slug != "short" for slug in kinds}
    assert "overflow-wrap" not in built.text("feeds/all.atom.xml")


def test_a_long_url_in_a_text_can_wrap_on_a_phone(tmp_path: Path) -> None:
    long = f"<https://example.org/{'a' * 60}>"
    posts = {
        "word": post("word", note({}), f"A {'x' * 60} word"),
        "long": post("long", note({}), f"See {long}"),
        "kept": post("kept", note({"like-of": ["https://a.example/"]}), f"See {long}"),
        "short": post("short", note({}), "See <https://example.org/>"),
    }
    site = build(tmp_path, posts, INDIEAUTH_JSON_FEED="feed.json", **THEMES["simple"])
    breaking = "overflow-wrap: break-word"
    for slug, times in {"word": 1, "long": 1, "kept": 1, "short": 0}.items():
        page = BeautifulSoup(site.text(f"{slug}.html"), "html.parser")
        styles = [str(each.get("style")) for each in page.select(".e-content")]
        assert sum(breaking in style for style in styles) == times
    assert site.text("index.html").count(breaking) == 3
    for feed in ("feeds/all.atom.xml", "feeds/all.rss.xml", "feed.json"):
        assert "overflow-wrap" not in site.text(feed), feed


def test_right_to_left_text_is_aligned_right(tmp_path: Path) -> None:
    long = f"<https://example.org/{'a' * 60}>"
    texts = {"he": "שלום", "ar": f"مرحبا {long}", "en": "Hello", "ja": "日本語"}
    posts = {slug: post(slug, note({}), text) for slug, text in texts.items()}
    site = build(tmp_path, posts, **THEMES["simple"])
    for slug in posts:
        (body,) = BeautifulSoup(site.text(f"{slug}.html"), "html.parser").select(".e-content")
        assert body.get("dir") == ("auto" if slug in {"he", "ar"} else None)
    for feed in ("feeds/all.atom.xml", "feeds/all.rss.xml"):
        assert "dir=" not in site.text(feed)
        assert "e-content" not in site.text(feed)


def test_the_day_of_an_event_is_shown_once(built: Built) -> None:
    page = BeautifulSoup(built.text("all-of-one-day.html"), "html.parser")
    assert [each["datetime"] for each in page.select("time.dt-start")] == ["2026-12-24"]
    assert not page.select("time.dt-end")
    evening = BeautifulSoup(built.text("one-day.html"), "html.parser")
    assert [each.get_text() for each in evening.select("time.dt-end")] == ["21:30"]


def test_a_list_begins_with_its_number_where_apps_post(tmp_path: Path) -> None:
    posts = {"list": post("list", body="3. c\n4. d\n\n    0. e")}
    built = build(tmp_path / "a", posts)
    lists = BeautifulSoup(built.text("list.html"), "html.parser").select(".e-content ol")
    assert [each.get("start") for each in lists] == ["3", "0"]
    alone = {"INDIEAUTH_BRIDGE": None, "INDIEAUTH_ME": ["https://a.example/"]}
    assert "<ol>" in build(tmp_path / "b", posts, **alone).text("list.html")


def test_no_feed_item_is_empty(built: Built) -> None:
    atom = feedparser.parse((built.output / "feeds/all.atom.xml").read_bytes())
    said = {entry.link: entry.content[0].value for entry in atom.entries}
    said |= {
        i["url"] + "#json": i["content_html"] for i in json.loads(built.text("feed.json"))["items"]
    }
    assert len(said) == 2 * len([*SHOWN, *SUMMARIES, "summary", "embedded", "essay"])
    for link, markup in said.items():
        item = BeautifulSoup(markup, "html.parser")
        assert item.get_text().strip() or item.find(["img", "video"]), link
        assert "class=" not in markup, link


@pytest.mark.parametrize("theme", ["simple", in_soak("notmyidea"), "sample"])
def test_post_types_can_be_excluded_from_the_home_page_and_main_feeds(
    tmp_path: Path, theme: str
) -> None:
    like = note({"like-of": [TRACK]})
    posts = {f"like-{n}": post(f"like-{n}", like, category="likes") for n in range(12)}
    posts["words"] = post("words", note({}), "Some words.", date="2026-11-01T10:00:00+01:00")
    built = build(
        tmp_path,
        posts,
        INDIEAUTH_NOT_ON_HOME=["like"],
        INDIEAUTH_JSON_FEED="feed.json",
        CATEGORY_FEED_ATOM="feeds/{slug}.xml",
        DEFAULT_PAGINATION=5,
        **THEMES[theme],
    )
    home = built.text("index.html")
    assert "words.html" in home
    assert "like-1.html" not in home
    assert "index2.html" not in built.pages()
    for feed in ("feeds/all.atom.xml", "feeds/all.rss.xml", "feed.json"):
        assert "/words.html" in built.text(feed)
        assert "/like-1.html" not in built.text(feed)
    assert "/like-1.html" in built.text("feeds/likes.xml")
    assert "like-1.html" in built.text("archives.html")
    assert "music.example" in built.text("like-1.html")


@pytest.mark.parametrize("kinds", ["like", ["likes"], 7, [None]])
def test_unknown_post_types_in_settings_stop_the_build(tmp_path: Path, kinds: Any) -> None:
    with pytest.raises(SettingError, match="INDIEAUTH_NOT_ON_HOME"):
        build(tmp_path, {}, INDIEAUTH_NOT_ON_HOME=kinds)


def _plain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return value["value"] if "value" in value else value["properties"]["name"][0]


def test_posts_have_a_bridgy_fed_link_if_configured(tmp_path: Path) -> None:
    posts = {"a": post("a", note({}), "Words")}
    assert "fed.brid.gy" not in build(tmp_path, posts).text("a.html")
    built = build(tmp_path, posts, INDIEAUTH_BRIDGY_FED=True)
    (link,) = BeautifulSoup(built.text("a.html"), "html.parser").select(".h-entry a.u-bridgy-fed")
    assert link["href"] == "https://fed.brid.gy/"
    assert link.has_attr("hidden")
    assert "fed.brid.gy" not in built.text("feeds/all.atom.xml")


WIDE = """![wide](https://a.example/w.jpg)

<img src="https://a.example/v.jpg" style="width: 1em">

| a | b |
|---|---|
| 1 | 2 |

    code
"""


def test_what_an_app_sent_is_no_wider_than_a_phone(tmp_path: Path) -> None:
    posts = {"app": post("app", note({}), WIDE), "own": post("own", None, WIDE)}
    site = build(tmp_path, posts, **THEMES["simple"])
    page = BeautifulSoup(site.text("app.html"), "html.parser")
    styles = [str(image["style"]) for image in page.select(".e-content img")]
    assert styles == ["max-width: 100%; height: auto", "width: 1em"]
    assert [str(div["style"]) for div in page.select(".e-content div:has(> table)")] == [
        "overflow-x: auto"
    ]
    assert [str(code["style"]) for code in page.select(".e-content pre")] == ["overflow-x: auto"]
    assert site.text("index.html").count('<pre style="overflow-x: auto">') == 1, "in the list, too"
    # Notmyidea hides what has no display of its own there.
    assert site.text("index.html").count('<img style="display: inline-block; max-width') == 1
    assert "overflow-x" not in site.text("own.html"), "the owner's own is the theme's to show"
    assert "max-width" not in site.text("own.html")
