"""Mentions on pages: correct, on the right post, once, in any theme."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from plugin_site import BRIDGE, SITE, SPREAD, THEMES, Built, build, items, note, post, theme, write
from soak_kit import in_soak

PROPERTIES = {
    "in-reply-to": "comment",
    "like-of": "like",
    "repost-of": "repost",
    "bookmark-of": "bookmark",
    "mention-of": "mention",
}
XSS = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def mention(kind: str, who: str, target: str = f"{SITE}/hello.html", **more: Any) -> dict[str, Any]:
    """A mention as the bridge writes it."""
    return {
        "type": "entry",
        "url": f"https://{who}.example/{kind}",
        "published": "2026-11-26T15:00:00+01:00",
        "author": {
            "type": "card",
            "name": who.title(),
            "url": f"https://{who}.example/",
            "photo": "{static}/media/faces/9f3c.webp",
        },
        "content": {"text": f"{who} says\nand more"},
        "wm-property": kind,
        "wm-source": f"https://{who}.example/{kind}",
        "wm-target": target,
        "wm-received": "2026-11-26T14:01:12Z",
        "wm-via": "webmention",
        "wm-children": [],
        **more,
    }


def put(folder: Path, *mentions: Mapping[str, Any], below: str = "mentions/hello") -> None:
    """Write mentions as files."""
    for number, each in enumerate(mentions):
        name = f"content/{below}/reply-{number:012x}.json"
        write(folder, {name: json.dumps(each)})


EVERY = [mention(kind, who) for kind in PROPERTIES for who in ("amy", "bob")]
POSTS = {
    "hello": post("hello", note({}), "Hello you."),
    "other": post("other", None, "Another, of <div>more</div> words."),
}


def site(folder: Path, *mentions: Mapping[str, Any], **settings: Any) -> Built:
    """A site with these mentions."""
    put(folder, *mentions)
    write(folder, {"content/media/faces/9f3c.webp": "webp"})
    return build(folder, POSTS, **settings)


@pytest.mark.parametrize("name", SPREAD)
def test_each_kind_of_mention_is_on_its_post_once(tmp_path: Path, name: str) -> None:
    settings = THEMES[name]
    built = site(tmp_path, *EVERY, **settings)
    entry = built.entry("hello.html")
    for kind, wanted in PROPERTIES.items():
        found = entry[wanted]
        assert [each["type"] for each in found] == [["h-cite"], ["h-cite"]]
        urls = [each["properties"]["url"][0] for each in found]
        assert urls == [f"https://{who}.example/{kind}" for who in ("amy", "bob")]
        authors = [each["properties"]["author"][0] for each in found]
        assert [each["properties"]["name"] for each in authors] == [["Amy"], ["Bob"]]
        if kind == "in-reply-to":
            text = found[0]["properties"]["content"][0]
            assert text.split() == ["amy", "says", "and", "more"]
    page = BeautifulSoup(built.text("hello.html"), "html5lib")
    for link in page.select('a[href*=".example/"]'):
        if "amy" in str(link["href"]) or "bob" in str(link["href"]):
            assert set(link["rel"]) == {"nofollow", "ugc"}
    for path in built.pages():
        cites = [each for each in items(built.parsed(path)["items"]) if "h-cite" in each["type"]]
        assert len(cites) == (len(EVERY) if path == "hello.html" else 0), path


@pytest.mark.parametrize("name", ["simple", in_soak("notmyidea"), "sample"])
def test_without_mentions_the_output_is_unchanged(tmp_path: Path, name: str) -> None:
    built = site(tmp_path / "a", *EVERY, **THEMES[name])
    without = build(tmp_path / "b", POSTS, INDIEAUTH_MENTIONS=False, **THEMES[name])
    for path in {*built.pages(), "feeds/all.atom.xml", "feeds/all.rss.xml"} - {"hello.html"}:
        assert built.text(path) == without.text(path), path
    put(tmp_path / "b", *EVERY)
    off = build(tmp_path / "b", POSTS, INDIEAUTH_MENTIONS=False, **THEMES[name])
    assert "amy" not in off.text("hello.html")


def test_mention_files_are_not_copied_to_the_output(tmp_path: Path) -> None:
    paths = [".", "", "mentions", "mentions/hello", "media"]
    put(tmp_path, *EVERY)
    write(tmp_path, {"content/mentions/rules.json": "{}", "content/mentions/gone/1.json": "{}"})
    for number, path in enumerate(paths):
        output = str(tmp_path / f"output{number}")
        build(tmp_path, POSTS, STATIC_PATHS=[path], OUTPUT_PATH=output)
        assert not list(Path(output).rglob("*.json")), path


def test_a_post_keeps_its_mentions_when_it_or_the_site_moves(tmp_path: Path) -> None:
    moved = {"hello": post("hello", note({}, aliases=["/2025/hello/"]), "Hello.")}
    put(
        tmp_path,
        mention("like-of", "old", "https://former.example/2025/hello/"),
        mention("like-of", "new", f"{SITE}/hello.html#part"),
        mention("like-of", "none", f"{SITE}/nothing.html"),
    )
    built = build(tmp_path, moved)
    likes = built.entry("hello.html")["like"]
    assert {each["properties"]["url"][0] for each in likes} == {
        "https://old.example/like-of",
        "https://new.example/like-of",
    }


@pytest.mark.parametrize("name", SPREAD)
def test_markup_in_mentions_is_text_in_any_theme(tmp_path: Path, name: str) -> None:
    bad = [
        mention(kind, "eve", content={"text": XSS}, name=XSS, url=url)
        for kind in PROPERTIES
        for url in ("javascript:alert(1)", f"https://eve.example/?{kind}=%22{XSS}")
    ]
    for each in bad:
        each["author"] = {"name": XSS, "url": f'https://eve.example/"{XSS}', "photo": XSS}
        each["wm-children"] = [{"url": "https://c.example/", "author": {"name": XSS}}]
    built = site(tmp_path, *bad, **THEMES[name])
    soup = BeautifulSoup(built.text("hello.html"), "html5lib")
    assert "alert(1)" in soup.get_text()
    for element in soup.find_all(True):
        assert "onerror" not in element.attrs
        assert element.name != "script" or "alert" not in element.get_text()
        assert not any(str(value).startswith("javascript:") for value in element.attrs.values())


def test_a_page_has_its_mentions_for_a_theme_that_shows_them(tmp_path: Path) -> None:
    own = theme(
        tmp_path,
        page="{% if page.mentions %}{{ page.mentions.likes[0].url }}{% else %}none{% endif %}",
    )
    write(tmp_path / "content", {"pages/about.md": "Title: About\nSlug: about\n\nMe.\n"})
    target = f"{SITE}/pages/about.html"
    assert build(tmp_path, POSTS, THEME=own).text("pages/about.html") == "none"
    put(tmp_path, mention("like-of", "amy", target))
    page = build(tmp_path, POSTS, THEME=own).text("pages/about.html")
    assert page == "https://amy.example/like-of"


def test_a_query_makes_no_other_post_of_a_target_unless_addresses_have_queries(
    tmp_path: Path,
) -> None:
    count = "{{ home_mentions.count }} {{ article.mentions.count }}"
    own, hello = theme(tmp_path, article=count), f"{SITE}/hello.html"
    targets = (f"{hello}?utm_source=x", f"{hello}?a=1&b#c", f"{SITE}/?x", f"{SITE}/?p=hello")
    put(tmp_path, *(mention("like-of", f"a{n}", each) for n, each in enumerate(targets)))
    assert build(tmp_path, POSTS, THEME=own).text("hello.html") == "2 2"
    built = build(tmp_path, POSTS, THEME=own, ARTICLE_URL="?p={slug}")
    assert built.text("hello.html") == "0 1"


def test_mentions_of_the_home_page_are_available_in_every_template(tmp_path: Path) -> None:
    said = (
        "{% for each in home_mentions.likes %}{{ each.url }} {% endfor %}{{ home_mentions.count }}"
    )
    own = theme(tmp_path, index=said, article=said)
    assert build(tmp_path, POSTS, THEME=own).text("index.html") == "0"
    put(tmp_path, mention("like-of", "amy", f"{SITE}/?ref=x"), mention("like-of", "bob"))
    built = build(tmp_path, POSTS, THEME=own)
    assert built.text("index.html") == "https://amy.example/like-of 1"
    assert built.text("hello.html") == "https://amy.example/like-of 1"


def test_unreadable_files_are_skipped_and_markup_is_escaped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = mention("in-reply-to", "eve", content={"text": XSS}, name=XSS)
    bad["author"] = {
        "name": XSS,
        "url": "javascript:alert(1)",
        "photo": "https://eve.example/x.png",
    }
    bad["wm-children"] = [{"url": "javascript:x"}, {"url": "https://c.example/", "author": 3}]
    put(tmp_path, bad)
    write(
        tmp_path,
        {
            "content/mentions/hello/like-1.json": "{",
            "content/mentions/hello/like-2.json": "[]",
            "content/mentions/hello/like-3.json": '{"wm-target": 1}',
            "content/mentions/hello/more.json": '{"like-of": 12}',
        },
    )
    page = build(tmp_path, POSTS).text("hello.html")
    soup = BeautifulSoup(page, "html5lib")
    assert not soup.select(".indieauth-mentions script, .indieauth-mentions [onerror]")
    assert "javascript:" not in page
    assert "eve.example/x.png" not in page, "a picture elsewhere would tell who reads the page"
    assert "And 12 more" in page
    assert "https://c.example/" in page
    assert sum("is ignored" in record.message for record in caplog.records) == 3


def test_likes_of_copies_are_counted_without_names(tmp_path: Path) -> None:
    copies = {"https://a.example/1": {"like-of": 3, "repost-of": 1}, "https://b.example/2": {}}
    counts = json.dumps({"wm-target": f"{SITE}/hello.html", "counts": copies})
    write(tmp_path, {"content/mentions/hello/counts.json": counts})
    page = build(tmp_path, POSTS).text("hello.html")
    assert "And 4 more" in page


def test_labels_and_the_form_can_be_configured(tmp_path: Path) -> None:
    put(tmp_path, *EVERY)
    words = {"replies": "Antworten", "mention-send": "Los"}
    endpoint = f"{BRIDGE}webmention"
    page = build(
        tmp_path, POSTS, INDIEAUTH_WORDS=words, INDIEAUTH_MENTIONS_FORM=True,
        INDIEAUTH_WEBMENTION=endpoint,
    ).text("hello.html")  # fmt: skip
    assert "<h2>Antworten</h2>" in page
    assert f'action="{endpoint}"' in page
    assert "<button>Los</button>" in page
    assert f'<link rel="webmention" href="{endpoint}" />' in page


def test_themes_can_use_lists_and_a_macro(tmp_path: Path) -> None:
    own = theme(
        tmp_path,
        article='{% import "indieauth/entry.html" as indieauth %}'
        '<article class="h-entry">{{ article.mentions.count }} '
        "{% for reply in article.mentions.replies %}[{{ reply.author }}: {{ reply.text }}, "
        "{{ reply.published.year }}, {{ reply.via }}, {{ reply.face }}]{% endfor %}"
        "{{ indieauth.mentions(article, level=3) }}</article>",
    )
    page = site(tmp_path, *EVERY, THEME=own).text("hello.html")
    assert "10 [Amy: amy says\nand more, 2026, webmention" in page
    assert f"{SITE}/media/faces/9f3c.webp]" in page
    assert page.count("<h3>Replies</h3>") == 1


def test_markup_in_mentions_is_text_in_a_theme_without_autoescape(tmp_path: Path) -> None:
    bad = mention("in-reply-to", "eve", content={"text": f"{XSS}\n{XSS}"}, name=XSS, via=XSS)
    bad["author"]["name"] = XSS
    bad["wm-children"] = [{"url": "https://c.example/?a=1&b=2", "author": {"name": XSS}}]
    for name in ("text", "name", "author"):
        said = "{% for each in article.mentions.replies %}{{ each.NAME }} {{ each.NAME|e }}"
        said += "{% for child in each.children %}{{ child.author }}{% endfor %}{% endfor %}"
        own = theme(tmp_path, article=f"<p>{said.replace('NAME', name)}</p>")
        soup = BeautifulSoup(site(tmp_path, bad, THEME=own).text("hello.html"), "html5lib")
        assert not soup.select("script, img"), name
        assert soup.get_text().count(XSS) >= 3, "nothing is escaped twice"


def test_a_mentions_folder_with_another_name(tmp_path: Path) -> None:
    put(tmp_path, *EVERY, below="said/hello")
    built = build(tmp_path, POSTS, INDIEAUTH_MENTIONS="said", STATIC_PATHS=["."])
    assert len(built.entry("hello.html")["like"]) == 2
    assert not (built.output / "said").exists()


@pytest.mark.parametrize("published", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_an_invalid_time_does_not_stop_the_build(tmp_path: Path, published: str) -> None:
    built = site(tmp_path, mention("in-reply-to", "amy", published=published), EVERY[1])
    assert "amy says" in built.text("hello.html")
    assert "Bob" in built.text("hello.html")


def test_endlessly_nested_replies_do_not_stop_the_build(tmp_path: Path) -> None:
    nested = mention("in-reply-to", "amy")
    for _ in range(400):
        nested = mention("in-reply-to", "amy") | {"wm-children": [nested]}
    built = site(tmp_path, nested, EVERY[1])
    assert built.text("hello.html").count("amy says") < 10
    assert "Bob" in built.text("hello.html")
