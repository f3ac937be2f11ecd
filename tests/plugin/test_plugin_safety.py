"""Whatever a file contains is displayed as text, and links only lead to web URLs."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import feedparser
import pytest
from bs4 import BeautifulSoup
from jinja2 import Environment
from plugin_site import SITE, SPREAD, THEMES, build, note, post

from pelican_indieauth.entry.urls import Urls
from pelican_indieauth.templating import prepare

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{static}/../secret"
EVIL_URLS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "//evil.example/",
    "/\\evil.example/",
    "https://evil.example/ onclick=alert(1)",
    "https:evil",
    "https://[::1",
    "ftp://example.org/",
    "relative/path",
    "{static}/../secret",
    "{static}/a\ud800.jpg",
    "{filename}/a.md",
    "{attach}a.jpg",
    "",
]
CARD = {
    "type": ["h-card"],
    "properties": {
        name: [EVIL]
        for name in ("name", "url", "latitude", "longitude", "locality", "street-address")
    },
}
CITE = {
    "type": ["h-cite"],
    "properties": {
        "url": ['https://example.org/"><script>alert(1)</script>'],
        "name": [EVIL],
        "author": [CARD],
        "content": [{"html": f"<b>hi</b>{EVIL}<style>x</style>&lt;script&gt;"}],
    },
}
PROPERTIES: dict[str, Any] = {
    **{name: [CITE] for name in ("in-reply-to", "like-of", "repost-of", "bookmark-of", "read-of")},
    **{name: ['https://example.org/"onmouseover="x'] for name in ("watch-of", "listen-of")},
    **{name: [EVIL] for name in ("rsvp", "read-status", "rating", "best", "start", "end")},
    "photo": [
        {"value": 'https://example.org/a.jpg"onerror="alert(1)', "alt": EVIL, "srcset": EVIL},
        {"value": "https://example.org/b.jpg", "width": '"><script>', "srcset": "javascript:x 2x"},
        {"value": "{static}/../../etc/passwd"},
    ],
    "video": [EVIL, "javascript:alert(1)"],
    "audio": [*EVIL_URLS],
    "checkin": [CARD],
    "location": [EVIL],
    "syndication": ["javascript:alert(1)", 'https://social.example/"><script>'],
    **{name: [EVIL, CITE, CARD] for name in ("jam-of", "follow-of", "ate", "weight", "mood")},
    "instructions": [{"html": f"<ol><li {EVIL}>x</li></ol><a href='javascript:x'>y</a>{EVIL}"}],
    "featured": [{"value": 'https://example.org/a.jpg"onerror="alert(1)', "alt": EVIL}, EVIL],
    "website": ["javascript:alert(1)", 'https://example.org/"onclick="x'],
    "duration": ['PT1H"><script>', "PT1H"],
    'x"><script>alert(5)</script>': ["x", {'y" onclick="z': [EVIL]}],
    "url": ['https://example.org/"><script>alert(6)</script>'],
    "item": [{"type": ['h-x"><script>'], "properties": {"name": [EVIL], "url": [EVIL]}}],
}


@pytest.mark.parametrize("theme", SPREAD)
@pytest.mark.parametrize("root", ["h-entry", "h-event", "h-review", 'h-"><script>'])
def test_content_of_a_post_cannot_inject_markup(tmp_path: Path, theme: str, root: str) -> None:
    title = html.escape("<script>alert(3)</script>" + EVIL, quote=True).replace("{", "&#123;")
    mf2 = {"type": [root], "properties": PROPERTIES, "syndicate-to": [EVIL], "aliases": [EVIL]}
    built = build(
        tmp_path,
        {"a": post("a", mf2, "Words", title=title, tags=f"{html.escape('<script>alert(4)')};")},
        **THEMES[theme],
    )
    for page in built.pages():
        soup = BeautifulSoup(built.text(page), "html.parser")
        assert not [script for script in soup("script") if "alert" in (script.string or "")]
        for element in soup(True):
            assert not [name for name in element.attrs if name.startswith("on")], page
            for name in ("href", "src", "srcset", "cite", "poster"):
                value = str(element.get(name) or "")
                assert "script:" not in value.lower(), page
                assert "secret" not in value, page
    for feed in (built.output / "feeds").rglob("*.xml"):
        for entry in feedparser.parse(feed.read_bytes(), sanitize_html=False).entries:
            written = entry.content[0].value if "content" in entry else entry.summary
            shown = BeautifulSoup(written, "html.parser")
            assert not shown("script")
            assert not [
                name for element in shown(True) for name in element.attrs if name.startswith("on")
            ]


@pytest.mark.parametrize("url", EVIL_URLS)
def test_only_web_urls_become_links(url: str) -> None:
    urls = Urls(SITE, SITE, {}, "{path}")
    assert urls.web(url) is None
    assert urls.any(url) is None


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://example.org/a?b=c&d=e#f", "https://example.org/a?b=c&d=e#f"),
        ("https://example.org/%7Bx%7D/ü", "https://example.org/%7Bx%7D/ü"),
        ('https://example.org/"<>{|}', "https://example.org/%22%3C%3E%7B%7C%7D"),
        (" https://example.org/ ", "https://example.org/"),
        ("HTTPS://EXAMPLE.ORG/", "HTTPS://EXAMPLE.ORG/"),
        ("/a/b.jpg", f"{SITE}/a/b.jpg"),
        ("{static}/media/a b.jpg", f"{SITE}/media/a%20b.jpg"),
        ("|static|/media/a.jpg", f"{SITE}/media/a.jpg"),
    ],
)
def test_urls_keep_their_meaning(url: str, safe: str) -> None:
    assert Urls(SITE, SITE, {}, "{path}").web(url) == safe


@pytest.mark.parametrize(
    ("url", "owners"),
    [
        ("https://example.org/about", True),
        ("http://EXAMPLE.org:80/", True),
        ("https://www.example.org:443", True),
        ("https://example.org:99999/", True),
        ("https://example.org:8443/", False),
        ("https://zoe.example/", False),
    ],
)
def test_a_url_of_the_site_is_the_owners_and_another_port_is_another_site(
    url: str, owners: bool
) -> None:
    root = "https://example.org"
    assert Urls(root, root, {}, "{path}").is_owners(url) == owners


@pytest.mark.parametrize("url", ["mailto:ann@example.com", "tel:+49", "geo:1,2"])
def test_a_card_may_have_other_contact_urls(url: str) -> None:
    urls = Urls(SITE, SITE, {}, "{path}")
    assert urls.any(url) == url
    assert urls.web(url) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        '{"properties": []}',
        '{"type": {}, "properties": {"photo": 7, "start": {}, "in-reply-to": [null, [], 1, {}]}}',
        '{"type": [1], "properties": {"checkin": [{"properties": {"geo": [{"properties": 1}]}}]}}',
        '{"properties": {}, "aliases": {"a": 1}, "references": [1], "title": ["synthetic"]}',
        "[" * 100_000,
    ],
)
def test_an_invalid_mf2_line_does_not_remove_the_post(
    tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    built = build(tmp_path, {"a": post("a", None, "Words").replace("Slug:", f"Mf2: {line}\nSlug:")})
    assert built.entry("a.html")["name"] == ["a"]
    if not line.startswith('{"') and line:
        assert "Mf2 line" in caplog.text


def test_titles_cannot_inject_markup_through_striptags(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "article.html").write_text(
        "<p>{{ article.title|striptags }}</p><i>{{ article.title|striptags|truncate(9999) }}</i>"
        "<b>{{ article.title|striptags|e }}</b><u>{{ article.title|striptags|forceescape }}</u>"
        "<s>{{ article.title|striptags|urlencode }}</s>"
    )
    title = html.escape('Tom & Jerry <script>alert("x")</script>')
    built = build(
        tmp_path,
        {"a": post("a", None, "Words", title=title)},
        THEME_TEMPLATES_OVERRIDES=[str(tmp_path / "own")],
    )
    page = built.text("a.html")
    assert "<script" not in page
    soup = BeautifulSoup(page, "html.parser")
    for tag in ("p", "i", "b", "u"):
        assert soup(tag)[0].text == 'Tom & Jerry <script>alert("x")</script>'
    assert soup("s")[0].text == "Tom%20%26%20Jerry%20%3Cscript%3Ealert%28%22x%22%29%3C/script%3E"


def test_patched_filters_accept_the_same_input() -> None:
    environment = Environment(autoescape=False)  # as Pelican's is
    before = Environment(autoescape=False)
    prepare(environment)
    for source in ("{{ 7|striptags }}", "{{ 'a b'|urlencode }}", "{{ {'a': 'b c'}|urlencode }}"):
        assert environment.from_string(source).render() == before.from_string(source).render()


def test_html_of_a_citation_is_escaped(tmp_path: Path) -> None:
    content = (
        '<p>Hi <b>you</b></p><script>bad()</script><a href="javascript:x">link</a> &amp; 1 < 2'
    )
    reference = {"type": ["h-cite"], "properties": {"content": [{"html": content}]}}
    mf2 = note(
        {"in-reply-to": ["https://example.org/"]}, references={"https://example.org/": reference}
    )
    built = build(tmp_path, {"a": post("a", mf2, "Words")})
    (target,) = built.entry("a.html")["in-reply-to"]
    assert target["properties"]["content"] == ["Hi you link & 1 < 2"]


def test_citations_are_truncated(tmp_path: Path) -> None:
    cite = {
        "type": ["h-cite"],
        "properties": {"url": ["https://example.org/"], "content": ["word " * 1000]},
    }
    built = build(tmp_path, {"a": post("a", note({"in-reply-to": [cite]}), "Words")})
    (target,) = built.entry("a.html")["in-reply-to"]
    assert len(target["properties"]["content"][0]) < 510


def test_pelican_keeps_the_mf2_line_unchanged(tmp_path: Path) -> None:
    alt = "quotes \" ' ; <b> & {static} \\ line\nbreak é 😀"
    mf2 = note({"photo": [{"value": "https://example.org/a.jpg", "alt": alt}]})
    assert "\n" not in json.dumps(mf2)
    built = build(tmp_path, {"a": post("a", mf2, "Words")})
    (photo,) = built.entry("a.html")["photo"]
    assert photo["alt"] == alt.replace("\n", " ")


def test_invalid_characters_do_not_stop_the_build(tmp_path: Path) -> None:
    bad = "a\x00b\x0bc\ud800d\uffffe"
    cite = {"type": ["h-cite"], "properties": {"url": ["https://e.example/"], "name": [bad]}}
    mf2 = note(
        {
            "photo": [{"value": "https://e.example/a.jpg", "alt": bad}],
            "in-reply-to": [cite, f"https://e.example/{bad}"],
            "location": [bad],
        }
    )
    built = build(tmp_path, {"a": post("a", mf2, "Words")})
    assert built.entry("a.html")["photo"][0]["alt"] == "a b c d e"
    assert not feedparser.parse((built.output / "feeds/all.atom.xml").read_bytes()).bozo
