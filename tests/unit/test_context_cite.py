"""The h-cite of a page."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.context.cite import AUTHOR_LENGTH, EXCERPT_LENGTH, NAME_LENGTH, cite
from bridge.micropub.post import Json, Properties
from bridge.posts.reply_contexts import targets

URL = "https://other.example/2026/post"


def page(body: str, head: str = "") -> bytes:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


def said(body: str, head: str = "", url: str = URL) -> dict[str, Any]:
    found = cite(page(body, head), url)
    assert found is not None
    assert found["type"] == ["h-cite"]
    properties: dict[str, Any] = found["properties"]
    return properties


ARTICLE = """
<article class="h-entry">
 <h1 class="p-name">On <em>bookbinding</em></h1>
 <span class="p-author h-card"><img class="u-photo" src="/me.jpg" alt="">
 <a class="p-name u-url" href="https://other.example/">Ada</a></span>
 <a class="u-url" href="/2026/post">link</a>
 <div class="e-content"><p>Paper has a grain.</p><script>alert(1)</script></div>
</article>"""


def test_an_entry_has_title_author_and_excerpt() -> None:
    author = {
        "type": ["h-card"],
        "properties": {
            "name": ["Ada"],
            "url": ["https://other.example/"],
            "photo": ["https://other.example/me.jpg"],
        },
    }
    assert said(ARTICLE) == {
        "name": ["On bookbinding"],
        "author": [author],
        "content": ["Paper has a grain."],
    }


def test_a_note_has_no_title_of_its_own() -> None:
    note = '<div class="h-entry"><p class="p-name e-content">Snow at last.</p></div>'
    assert said(note) == {"content": ["Snow at last."]}


def test_a_summary_is_preferred_to_the_content() -> None:
    entry = (
        '<div class="h-entry"><p class="p-summary">Short.</p><p class="e-content">Long.</p></div>'
    )
    assert said(entry)["content"] == ["Short."]


def test_of_many_entries_the_one_with_the_pages_url_counts() -> None:
    feed = '<div class="h-feed"><h1 class="p-name">All</h1>' + "".join(
        f'<div class="h-entry"><a class="u-url p-name" href="/2026/{name}">{name}</a></div>'
        for name in ("one", "post", "two")
    )
    assert said(feed)["name"] == ["post"]
    assert said(feed, url="http://other.example/2026/two/#comments")["name"] == ["two"]


def test_of_many_entries_none_counts_if_none_has_the_pages_url() -> None:
    feed = '<div class="h-entry p-name">a</div><div class="h-entry p-name">b</div>'
    assert said(feed, "<title>A blog</title>") == {"name": ["A blog"]}


def test_the_author_may_be_outside_of_the_entry() -> None:
    entry = '<div class="h-entry"><p class="e-content">Hi</p></div>'
    card = '<a class="h-card" href="https://ada.example/">Ada</a>'
    (author,) = said(card + entry)["author"]
    assert author["properties"] == {"name": ["Ada"], "url": ["https://ada.example/"]}
    by_url = entry.replace("<p", '<a class="u-author" href="https://ada.example/"></a><p', 1)
    other = '<a class="h-card" href="https://bob.example/">Bob</a>'
    assert said(other + card + by_url)["author"] == [author]
    assert said(other * 2 + by_url)["author"][0]["properties"] == {"url": ["https://ada.example/"]}
    by_name = entry.replace("<p", '<i class="p-author">Ada L.</i><p', 1)
    assert said(by_name)["author"][0]["properties"] == {"name": ["Ada L."]}


def test_without_microformats_open_graph_is_used_then_the_title() -> None:
    graph = (
        '<meta property="og:title" content="Title &amp; more"><title>T | Site</title>'
        '<meta property="og:description" content="What it is about.">'
    )
    assert said("<p>text", graph) == {"name": ["Title & more"], "content": ["What it is about."]}
    assert said("<p>text", "<title>\n Only \n a title</title>") == {"name": ["Only a title"]}
    assert said("<p>text", '<meta name="description" content="About">') == {"content": ["About"]}


@pytest.mark.parametrize("html", [b"", b"<p>nothing</p>", b"\0\1\2", b"<title></title>"])
def test_a_page_without_metadata_has_no_cite(html: bytes) -> None:
    assert cite(html, URL) is None


def test_text_is_truncated_to_one_line_of_plain_text() -> None:
    long = "word \u202e\u0000\n" * 3000
    entry = (
        f'<div class="h-entry"><h1 class="p-name">{long}</h1><p class="p-author">{long}</p>'
        f'<p class="p-summary">{long}</p></div>'
    )
    found = said(entry)
    (author,) = found["author"][0]["properties"]["name"]
    for (text,), length in ((found["name"], NAME_LENGTH), (found["content"], EXCERPT_LENGTH)):
        assert length - 6 <= len(text) <= length
        assert text.startswith("word word word")
        assert text.endswith("…")
    assert len(author) <= AUTHOR_LENGTH


def test_emoji_sequences_are_not_split() -> None:
    family = "👨\u200d👩\u200d👧"
    assert said(f'<p class="h-entry p-name">{family}</p>')["name"] == [family]


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "https://a/<b>",
        "https://a/" + "x" * 3000,
    ],
)
def test_an_invalid_link_is_dropped(link: str) -> None:
    entry = f'<div class="h-entry"><a class="p-author h-card" href="{link}">Ada</a></div>'
    assert said(entry)["author"][0]["properties"] == {"name": ["Ada"]}


def test_the_charset_in_the_http_header_is_used() -> None:
    html = "<title>Caf\u00e9</title>".encode("latin-1")
    found = cite(html, URL, "latin-1")
    assert found is not None
    assert found["properties"]["name"] == ["Caf\u00e9"]
    assert cite(b"<title>x</title>", URL, "no-such-encoding") is not None


@given(st.binary(max_size=300))
def test_no_page_raises_an_error(html: bytes) -> None:
    cite(b"<div class='h-entry p-name'>" + html, URL)


def test_targets_are_response_urls_without_a_context() -> None:
    described: Json = {
        "type": ["h-cite"],
        "properties": {"url": ["https://c.example/"], "name": ["Known"]},
    }
    bare: Json = {"type": ["h-cite"], "properties": {"url": ["https://d.example/"]}}
    properties: Properties = {
        "in-reply-to": ("https://a.example/", described, bare, "not a URL", 7),
        "like-of": ("https://a.example/", "https://b.example/"),
        "syndication": ("https://e.example/",),
    }
    assert targets(properties) == ("https://a.example/", "https://d.example/", "https://b.example/")
    assert targets(properties, {"https://a.example/"}) == (
        "https://d.example/",
        "https://b.example/",
    )
