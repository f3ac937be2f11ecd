"""Feeds and summaries, as feed readers parse them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import feedparser
import pytest
from plugin_site import BRIDGE, SITE, THEMES, Built, build, note, post, theme

CITED = "https://example.org/post"
POSTS = {
    "article": post("article", None, "Once *upon* a time.", title="A walk & more"),
    "note": post("note", note({}), "Just words.", title="Just words"),
    "like": post("like", note({"like-of": [CITED]}), title="example.org/post"),
    "photo": post(
        "photo",
        note({"photo": [{"value": "https://cdn.example.org/a.jpg", "alt": "The sea"}]}),
        "At the sea.",
    ),
    "shown": post(
        "shown",
        note({"photo": [{"value": "{static}/media/b.jpg", "alt": "The sea"}]}),
        "![The sea]({static}/media/b.jpg)",
    ),
    "divs": post("divs", note({"bookmark-of": [CITED]}), "<div><div><p>Deep</p></div></div>"),
    "told": post("told", None, "Long text.", summary="In short."),
    # XML has no such characters: one of them in a feed would stop the whole build.
    "steps": post(
        "steps",
        note({"instructions": [{"html": "<p>Mix\x0b&#1;it\ud800&#xFFFE;</p>"}]}),
        "Words.",
        title="Words",
    ),
}
FEEDS = ["feeds/all.atom.xml", "feeds/all.rss.xml"]


@pytest.fixture(scope="module", params=["simple", "sample"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder: Path = tmp_path_factory.mktemp("site")
    (folder / "content" / "media").mkdir(parents=True)
    (folder / "content" / "media" / "b.jpg").write_bytes(b"jpeg")
    feeds = {"FEED_ALL_ATOM": FEEDS[0], "FEED_ALL_RSS": FEEDS[1]}
    return build(folder, POSTS, **feeds, **THEMES[request.param])


def feed(built: Built, path: str) -> dict[str, Any]:
    """The items of a well-formed feed, by their posts' slugs."""
    parsed = feedparser.parse((built.output / path).read_bytes())
    assert not parsed.bozo
    assert len(parsed.entries) == len(POSTS)
    return {entry.link.removeprefix(f"{SITE}/").split(".")[0]: entry for entry in parsed.entries}


def content(entry: Any) -> str:
    """The HTML that a feed reader displays."""
    return str(entry.content[0].value if "content" in entry else entry.summary)


@pytest.mark.parametrize("path", FEEDS)
def test_feed_titles_are_those_of_the_posts(built: Built, path: str) -> None:
    titles = {slug: entry.title for slug, entry in feed(built, path).items()}
    assert titles.pop("article") == "A walk & more"
    assert titles.pop("told") == "told"
    assert set(titles.values()) == {""}


@pytest.mark.parametrize("path", FEEDS)
def test_a_like_is_not_an_empty_item(built: Built, path: str) -> None:
    like = content(feed(built, path)["like"])
    assert like == f'<p>Liked <a href="{CITED}">example.org/post</a></p>'


@pytest.mark.parametrize("path", FEEDS)
def test_photos_are_in_feeds_once_with_their_alt_text(built: Built, path: str) -> None:
    items = feed(built, path)
    assert 'alt="The sea"' in content(items["photo"])
    assert content(items["photo"]).count("<img") == 1
    assert content(items["shown"]).count("<img") == 1
    assert f'src="{SITE}/media/b.jpg"' in content(items["shown"])


@pytest.mark.parametrize("path", FEEDS)
def test_feeds_have_no_hidden_data(built: Built, path: str) -> None:
    for entry in feed(built, path).values():
        assert not re.search(r'class="|<data|h-entry', content(entry))


@pytest.mark.parametrize("path", FEEDS)
def test_markup_in_a_feed_is_balanced(built: Built, path: str) -> None:
    for entry in feed(built, path).values():
        assert content(entry).count("<div") == content(entry).count("</div>")
    assert "<p>Deep</p>" in content(feed(built, path)["divs"])


def test_a_summary_is_the_sites_own_or_absent(built: Built) -> None:
    items = feed(built, FEEDS[0])
    assert items["told"].summary == "<p>In short.</p>"
    # If the whole post is short, a summary would only repeat it.
    assert "Just words." in content(items["note"])
    assert not (built.output / FEEDS[0]).read_text("utf-8").count('<summary type="html"></summary>')


def test_lists_show_a_text_for_a_like(tmp_path: Path) -> None:
    built = build(tmp_path, {"like": POSTS["like"]}, THEME="simple")
    assert "Liked" in built.text("index.html")


def test_a_page_that_prints_its_summary_still_has_one_entry(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "article.html").write_text(
        "<head><meta name=description content='{{ article.summary|striptags }}'></head>"
        "<body>{{ article.summary }}<hr>{{ article.content }}</body>"
    )
    built = build(tmp_path, POSTS, THEME_TEMPLATES_OVERRIDES=[str(tmp_path / "own")])
    for slug in POSTS:
        assert len(built.entries(f"{slug}.html")) == 1
    assert "In short." in built.text("told.html").partition("<hr>")[0]


def test_words_stay_separate_if_a_theme_strips_tags_from_a_summary(tmp_path: Path) -> None:
    folder = theme(tmp_path, index="{% for a in articles %}{{ a.summary|striptags }}|{% endfor %}")
    posts = {"bookmark": post("bookmark", {"properties": {"bookmark-of": [CITED]}}, "Good.")}
    built = build(tmp_path, posts, THEME=folder)
    assert built.text("index.html") == "Bookmarked example.org/post Good.|"


@pytest.mark.parametrize("path", FEEDS)
def test_a_feed_with_only_summaries_is_readable(tmp_path: Path, path: str) -> None:
    built = build(
        tmp_path, POSTS, RSS_FEED_SUMMARY_ONLY=True, SUMMARY_MAX_LENGTH=2, FEED_APPEND_REF=True
    )
    for entry in feedparser.parse((built.output / path).read_bytes()).entries:
        assert entry.summary
        assert "h-entry" not in entry.summary


def test_feeds_name_the_configured_hub(tmp_path: Path) -> None:
    built = build(tmp_path, POSTS, INDIEAUTH_HUB="https://hub.example/?a=1&b=2")
    for path in FEEDS:
        links = feedparser.parse((built.output / path).read_bytes()).feed.links
        assert {"rel": "hub", "href": "https://hub.example/?a=1&b=2"} in [
            {"rel": link["rel"], "href": link["href"]} for link in links
        ]
    assert BRIDGE in built.text("index.html")


def test_non_ascii_urls_are_found_in_feeds(tmp_path: Path) -> None:
    posts = {"übung": post("übung", note({"like-of": [CITED]}))}
    built = build(tmp_path, posts)
    (entry,) = feedparser.parse((built.output / FEEDS[0]).read_bytes()).entries
    assert entry.title == ""
    assert "Liked" in content(entry)


def test_a_json_feed_needs_no_titles(tmp_path: Path) -> None:
    audio = post("audio", note({"audio": ["https://cdn.example.org/a.mp3"]}), "Listen.")
    bookmark = post("bookmark", {"properties": {"bookmark-of": [CITED]}}, "Good.", tags="a;")
    built = build(
        tmp_path,
        {**POSTS, "audio": audio, "bookmark": bookmark},
        INDIEAUTH_JSON_FEED="feeds/all.json",
        INDIEAUTH_HUB="https://hub.example/",
        INDIEAUTH_PHOTO="/me.jpg",
    )
    parsed = json.loads(built.text("feeds/all.json"))
    assert parsed["version"] == "https://jsonfeed.org/version/1.1"
    assert parsed["home_page_url"] == f"{SITE}/"
    assert parsed["feed_url"] == f"{SITE}/feeds/all.json"
    assert parsed["hubs"] == [{"type": "WebSub", "url": "https://hub.example/"}]
    assert parsed["authors"] == [
        {"name": "Ann", "url": f"{SITE}/", "avatar": f"{SITE}/me.jpg"},
    ]
    items = {item["id"].removeprefix(f"{SITE}/"): item for item in parsed["items"]}
    assert items["article.html"]["title"] == "A walk & more"
    assert "title" not in items["note.html"]
    assert items["like.html"]["content_html"].startswith("<p>Liked <a ")
    assert items["photo.html"]["image"] == "https://cdn.example.org/a.jpg"
    assert items["told.html"]["summary"] == "In short."
    assert items["bookmark.html"]["external_url"] == CITED
    assert items["bookmark.html"]["tags"] == ["a"]
    assert items["note.html"]["date_published"] == "2026-11-21T18:37:00+01:00"
    assert items["audio.html"]["attachments"] == [
        {"url": "https://cdn.example.org/a.mp3", "mime_type": "audio/mpeg"}
    ]
    alternate = f'rel="alternate" href="{SITE}/feeds/all.json" type="application/feed+json"'
    assert alternate in built.text("index.html")
    assert f'<{SITE}/feeds/all.json>; rel="alternate"; type=' in built.text("_headers")
