"""Which links of a page get a webmention, and what counts as a change of it."""

from __future__ import annotations

import pytest

from bridge.webmention.outgoing.links import read

URL = "https://me.example/2026/hello/"


def links(inside: str, around: str = "{}") -> list[str]:
    entry = f'<article class="h-entry">{inside}<a class="u-url" href="{URL}">#</a></article>'
    found: list[str] = read(around.format(entry).encode(), URL)["links"]
    return found


@pytest.mark.parametrize(
    "name", ["in-reply-to", "like-of", "repost-of", "bookmark-of", "tag-of", "read-of", "listen-of"]
)
def test_the_page_that_a_post_responds_to_is_notified(name: str) -> None:
    assert links(f'<a class="u-{name}" href="https://b.example/x">x</a>') == ["https://b.example/x"]


def test_of_a_citation_the_page_is_notified_and_not_its_author() -> None:
    cite = (
        '<div class="u-in-reply-to h-cite"><a class="p-author h-card" href="https://b.example/">'
        'Bob</a> <a class="u-url" href="https://b.example/post">the post</a></div>'
    )
    assert links(cite) == ["https://b.example/post"]


def test_links_in_the_text_count_nofollow_or_not() -> None:
    text = (
        '<div class="e-content"><p><a href="https://b.example/1">1</a>'
        '<a rel="nofollow" href="https://b.example/2?a=b&amp;c">2</a></p></div>'
    )
    assert links(text) == ["https://b.example/1", "https://b.example/2?a=b&c"]


def test_the_source_of_a_quote_is_notified() -> None:
    quote = (
        '<div class="e-content"><blockquote>Words<footer><cite><a href="https://b.example/q">b</a>'
        "</cite></footer></blockquote></div>"
        '<footer><div><a class="u-category" href="https://c.example/">c</a></div></footer>'
    )
    assert links(quote) == ["https://b.example/q"]


def test_people_who_are_named_are_notified() -> None:
    named = '<a class="u-category h-card" href="https://bob.example/">Bob</a>'
    assert links(named) == ["https://bob.example/"]


@pytest.mark.parametrize(
    "part",
    [
        '<nav><a href="https://b.example/">next</a></nav>',
        '<footer><a href="https://b.example/">theme</a></footer>',
        '<a class="u-syndication" href="https://b.example/">copy</a>',
        '<a class="u-url" href="https://b.example/">permalink</a>',
        '<p class="p-author h-card"><a class="u-url" href="https://b.example/">me</a></p>',
        '<div class="u-comment h-cite"><a class="u-url" href="https://b.example/">Bob</a></div>',
        '<div class="e-content"><div class="u-comment h-cite"><div class="e-content">'
        '<a href="https://b.example/">Bob</a></div></div></div>',
        '<span class="u-like h-cite"><a href="https://b.example/">Bob</a></span>',
        '<div class="u-in-reply-to h-cite"><a class="u-url" href="/own">re</a>'
        '<div class="e-content">Their <a href="https://b.example/">words</a></div></div>',
        '<p><a href="https://b.example/">outside of the text</a></p>',
        '<div class="e-content"><a href="mailto:b@b.example">mail</a></div>',
        '<div class="e-content"><a href="javascript:alert(1)">no</a></div>',
        '<div class="e-content"><a href="http://[">no</a></div>',
    ],
)
def test_other_links_are_not_notified(part: str) -> None:
    assert [link for link in links(part) if not link.startswith("https://me.example/")] == []


def test_links_outside_of_the_entry_do_not_count() -> None:
    around = (
        '<div class="e-content"><a href="https://b.example/">x</a></div>{}'
        '<article class="h-entry"><a class="u-url" href="/other/">other</a>'
        '<div class="e-content"><a href="https://c.example/">x</a></div></article>'
    )
    assert links('<p class="e-content"><a href="https://d.example/">x</a></p>', around) == [
        "https://d.example/"
    ]


def test_a_page_is_notified_once_whatever_the_fragment() -> None:
    text = (
        '<div class="e-content"><a href="https://b.example/x#one">1</a>'
        '<a href="https://b.example/x#two">2</a><a href="https://b.example/x">3</a></div>'
    )
    assert links(text) == ["https://b.example/x#one"]


def test_links_are_kept_as_they_are_written_and_relative_ones_resolved() -> None:
    text = (
        '<div class="e-content"><a href=" HTTPS://B.example/%7Ex/?q=%2F ">1</a>'
        '<a href="../there">2</a></div>'
    )
    assert links(text) == ["HTTPS://B.example/%7Ex/?q=%2F", "https://me.example/2026/there"]


def test_of_several_entries_the_pages_own_speaks_however_it_says_its_address() -> None:
    entries = "".join(
        f'<div class="h-entry"><data class="u-url" value="{url}"></data>'
        f'<div class="e-content"><a href="https://b.example{path}">x</a></div></div>'
        for url, path in ((f"{URL}other", "/1"), (URL, "/2"))
    )
    assert read(entries.encode(), URL)["links"] == ["https://b.example/2"]


@pytest.mark.parametrize("name", ["h-full", "with-sidebar", "h-feed", "search-form", "h-100"])
def test_a_class_of_a_style_sheet_is_no_microformat(name: str) -> None:
    around = f'<body class="{name}"><div class="{name}">{{}}</div></body>'
    text = f'<div class="{name} e-content"><p class="{name}"><a href="https://b.example/">x</a></p>'
    assert links(f"{text}</div>", around) == ["https://b.example/"]


def test_a_page_of_several_entries_with_none_of_its_own_tells_nothing() -> None:
    two = '<p class="h-entry e-content"><a href="https://b.example/">x</a></p>' * 2
    assert read(two.encode(), URL)["links"] == []


@pytest.mark.parametrize(
    ("meta", "gone"),
    [
        ('<meta http-equiv="Status" content="410 Gone">', True),
        ('<META HTTP-EQUIV="status" CONTENT=" 410">', True),
        ('<meta http-equiv="Status" content="404">', False),
        ('<meta name="Status" content="410 Gone">', False),
        ('<!-- <meta http-equiv="Status" content="410 Gone"> -->', False),
    ],
)
def test_a_tombstone_is_known(meta: str, gone: bool) -> None:
    assert read(f"<head>{meta}</head>".encode(), URL)["gone"] is gone


def digest(inside: str) -> str:
    return str(read(f'<article class="h-entry">{inside}</article>'.encode(), URL)["digest"])


ENTRY = (
    '<h1 class="p-name">One</h1><div class="e-content"><p>Some <b>words</b>.'
    '<img class="u-photo" src="/a.jpg"></p></div><a class="u-like-of" href="https://b.example/">b</a>'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [("One", "Two"), ("words", "Words"), ("a.jpg", "b.jpg"), ("like-of", "repost-of"),
     ("https://b.example/", "https://c.example/")],
)  # fmt: skip
def test_what_readers_see_is_a_change(old: str, new: str) -> None:
    assert digest(ENTRY) != digest(ENTRY.replace(old, new))


@pytest.mark.parametrize(
    "more",
    [
        '<a class="u-syndication" href="https://social.example/1">copy</a>',
        '<time class="dt-updated" datetime="2026-01-01">today</time>',
        '<div class="u-comment h-cite"><p class="e-content">Hi</p><img src="/face.webp"></div>',
        "<nav><a href='https://next.example/'>next</a></nav>",
    ],
)
def test_what_the_bridge_adds_to_a_page_is_none(more: str) -> None:
    assert digest(ENTRY) == digest(ENTRY + more)


def test_what_a_cited_page_says_is_no_change_of_the_post() -> None:
    cite = '<div class="u-like-of h-cite"><a class="u-url" href="https://d.example/">d</a>{}</div>'
    said = '<p class="p-name">Theirs</p><img src="/them.jpg"><div class="e-content">Words</div>'
    assert digest(cite.format("")) == digest(cite.format(said))


def test_the_times_of_the_entry_are_found() -> None:
    page = (
        '<article class="h-entry"><footer><a class="u-url" href="/2026/hello/">'
        '<time class="dt-published" datetime="2026-11-26T10:00:00+01:00">x</time></a></footer>'
        '<time class="dt-updated">2026-11-27</time><div class="u-comment h-cite">'
        '<time class="dt-published" datetime="2020-01-01">x</time></div></article>'
    )
    said = read(page.encode(), URL)
    assert (said["published"], said["updated"]) == ("2026-11-26T10:00:00+01:00", "2026-11-27")
