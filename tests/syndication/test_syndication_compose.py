"""The copy of each type of post at Mastodon and Bluesky."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.micropub.post import Post
from bridge.settings import Target
from bridge.syndication.compose import measure, text
from bridge.syndication.compose.composer import (
    Composed,
    CopySource,
    for_bluesky,
    for_mastodon,
    source_of,
)
from bridge.syndication.compose.measure import mastodon, mastodon_length
from bridge.syndication.compose.page import read_html, read_page
from bridge.syndication.compose.post_page import PagePhoto, PostPage
from bridge.syndication.compose.text import RichText, facets

VECTORS: dict[str, Any] = json.loads(
    Path(__file__).with_name("syndication_vectors.json").read_text(encoding="utf-8")
)
URL = "https://example.org/2026/11/26/hello/"
LONG = VECTORS["truncation"][1]["text"]
WHEN = datetime(2026, 11, 26, 18, tzinfo=UTC)


def source(html: str = "", **properties: Any) -> CopySource:
    listed = {
        name.replace("_", "-"): tuple(value) if isinstance(value, list) else (value,)
        for name, value in properties.items()
    }
    post = Post("entry", {"content": ({"html": html},), **listed} if html else listed)
    rich, pictures = read_html(html, URL)
    return source_of(post, PostPage(content=rich, language="en-GB", pictures=pictures), URL, WHEN)


def toot(post: CopySource, **settings: Any) -> Composed:
    return for_mastodon(post, Target(uid="u", name="M", **settings), mastodon())


def skeet(post: CopySource, **settings: Any) -> Composed:
    return for_bluesky(post, Target(uid="u", name="B", **settings))


def lists(rich: RichText) -> list[list[Any]]:
    return [[each.start, each.end, each.kind, each.value] for each in facets(rich)]


def test_what_is_hidden_behind_a_warning_is_not_shown_at_bluesky() -> None:
    post = source("<p>The butler did it.</p>", content_warning="Spoilers", photo="https://e.org/a")
    made = skeet(post)
    assert made.text == f"Spoilers\n\n{URL}"
    assert made.photos == ()
    assert made.card is not None
    assert "butler" not in f"{made.card}"
    there = toot(post)
    assert (there.warning, there.text) == ("Spoilers", "The butler did it.")


@pytest.mark.parametrize("vector", VECTORS["anchors"], ids=lambda each: each["bluesky_text"])
def test_links_under_words(vector: Mapping[str, Any]) -> None:
    made = skeet(source(vector["html"]))
    assert made.text == vector["bluesky_text"]
    assert lists(made.rich) == vector["facets"]
    made = toot(source(vector["html"]))
    assert made.text == vector["mastodon_text"]
    assert mastodon_length(made.text) == vector["mastodon_length"]


@pytest.mark.parametrize("vector", VECTORS["truncation"], ids=lambda each: each["name"])
def test_a_note_is_cut_where_it_has_to_be(vector: Mapping[str, Any]) -> None:
    post = source(f"<p>{vector['text']}</p>")
    made = skeet(post)
    assert made.text == vector["bluesky"]["text"]
    assert lists(made.rich) == vector["bluesky"]["facets"]
    assert toot(post).text == vector["mastodon"]["text"]
    if made.cut:
        assert made.card is not None
        assert (made.card.url, made.card.own) == (URL, True)


def test_an_article_is_its_name_and_its_address() -> None:
    post = source("<p>Long words.</p>", name="On paper & folds", summary="Tear first.")
    assert toot(post).text == f"On paper & folds\n\n{URL}"
    made = skeet(post)
    assert made.text == f"On paper & folds\n\n{URL}"
    assert lists(made.rich) == [[18, 18 + len(URL), "link", URL]]
    assert made.card is not None
    assert (made.card.title, made.card.description) == ("On paper & folds", "Tear first.")
    for link in ("never", "if-cut", "always"):
        assert toot(post, link=link).text.endswith(URL)


def test_the_card_of_an_article_has_its_first_photo_and_the_post_has_none() -> None:
    featured = {"value": "https://example.org/a.jpg", "alt": "Folds"}
    made = skeet(source("<p>Long words.</p>", name="On paper", featured=featured))
    assert made.card is not None
    assert made.card.picture == "https://example.org/a.jpg"
    assert made.photos == ()


@pytest.mark.parametrize(
    ("link", "fits", "is_cut"), [("if-cut", False, True), ("always", True, True), ("never", 0, 0)]
)
def test_the_permalink_is_there_as_set(link: Any, fits: bool, is_cut: bool) -> None:
    for made in (toot(source("<p>Short</p>"), link=link), skeet(source("<p>Short</p>"), link=link)):
        assert made.text == (f"Short\n\n{URL}" if fits else "Short")
    made = skeet(source(f"<p>{LONG}</p>"), link=link)
    assert made.cut
    assert made.text.endswith(URL if is_cut else "…")


def test_photos_go_with_their_alt_texts_and_more_than_four_with_the_permalink() -> None:
    photos = [{"value": f"https://example.org/{n}.jpg?of=a.mp4", "alt": f"{n}"} for n in range(5)]
    for make in (toot, skeet):
        made = make(source("<p>Look</p>", photo=photos[:4]))
        assert (made.text, len(made.photos), made.card) == ("Look", 4, None)
        assert made.photos[3] == PagePhoto("https://example.org/3.jpg?of=a.mp4", "3")
        made = make(source("<p>Look</p>", photo=photos))
        assert (made.text, len(made.photos), made.card) == (f"Look\n\n{URL}", 4, None)
        assert make(source(photo=photos[:1])).text == ""
        nested = {"url": ["https://example.org/n.jpg"], "alt": ["Nested"]}
        made = make(source(photo={"type": ["h-photo"], "properties": nested}))
        assert made.photos == (PagePhoto("https://example.org/n.jpg", "Nested"),)


def test_pictures_of_the_text_are_photos_and_no_words() -> None:
    made = skeet(source('<p>Look <img src="/a.jpg" alt="A sea"> here</p>'))
    assert made.text == "Look here"
    assert made.photos == (PagePhoto("https://example.org/a.jpg", "A sea"),)


@pytest.mark.parametrize("sent_as", ["video", "photo"])
def test_a_video_is_linked_to(sent_as: str) -> None:
    made = skeet(source("<p>Look</p>", **{sent_as: "https://example.org/a.MP4#t=1"}))
    assert made.text == f"Look\n\n{URL}"
    assert (made.photos, made.card is not None) == ((), True)
    assert toot(source(audio="https://example.org/a.mp3")).text == URL


def test_the_first_link_to_elsewhere_gets_a_card() -> None:
    made = skeet(source('<p>I like <a href="https://cheese.example/">cheese</a>.</p>'))
    assert made.card is not None
    assert (made.card.url, made.card.title, made.card.own) == (
        "https://cheese.example/",
        "cheese",
        False,
    )
    assert skeet(source("<p>Nothing to see</p>")).card is None


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"in_reply_to": "https://a.example/1"}, "Agreed\n\nhttps://a.example/1"),
        (
            {"bookmark_of": "https://a.example/1", "name": "A page"},
            "A page\n\nAgreed\n\nhttps://a.example/1",
        ),
        ({"like_of": "https://a.example/1"}, "Agreed\n\nhttps://a.example/1"),
        ({"name": "A walk", "checkin": {"type": ["h-card"]}}, "A walk\n\nAgreed"),
    ],
)
def test_a_response_shows_the_url_of_its_target(properties: dict[str, Any], words: str) -> None:
    assert toot(source("<p>Agreed</p>", **properties)).text == words
    assert skeet(source("<p>Agreed</p>", **properties)).text == words


def test_a_like_without_words_is_a_heart_and_an_address() -> None:
    assert toot(source(like_of="https://a.example/1")).text == "♥ https://a.example/1"


def test_a_bookmark_that_is_cut_has_both_addresses() -> None:
    made = skeet(source(f"<p>{LONG}</p>", bookmark_of="https://a.example/1"))
    assert made.text.endswith(f"…\n\nhttps://a.example/1\n\n{URL}")
    assert measure.BLUESKY.fits(made.text)


def test_a_reply_in_the_network_mentions_the_author_and_not_the_url() -> None:
    post = source("<p>Agreed, @bob</p>", in_reply_to="https://social.example/@alice/1")
    target = Target(uid="u", name="M")
    made = for_mastodon(post, target, mastodon(), answers=True, mention="alice@social.example")
    assert made.text == "@alice@social.example Agreed, @\u2060bob"
    assert for_bluesky(post, target, answers=True).text == "Agreed, @bob"


def test_tags_come_last_and_as_many_as_fit() -> None:
    tags = ["indie web", "paper", "Hello"]
    assert toot(source("<p>#hello</p>", category=tags), tags=True).text == (
        "#hello\n\n#IndieWeb #Paper"
    )
    assert toot(source("<p>Hi</p>", category=tags)).text == "Hi"
    made = skeet(source(f"<p>{'a ' * 145}</p>", category=tags), tags=True)
    assert made.text.endswith("a\n\n#IndieWeb")
    assert measure.BLUESKY.fits(made.text)


@pytest.mark.parametrize(
    ("post", "target", "account", "wanted"),
    [
        ("public", "public", "public", "public"),
        ("unlisted", "public", "public", "unlisted"),
        ("public", "unlisted", "public", "unlisted"),
        ("unlisted", "public", "private", "private"),
        ("public", "public", "unlisted", "unlisted"),
    ],
)
def test_visibility_is_lowered_and_never_raised(
    post: str, target: Any, account: str, wanted: str
) -> None:
    made = for_mastodon(
        source("<p>x</p>", visibility=post),
        Target(uid="u", name="M", visibility=target),
        mastodon(),
        privacy=account,
    )
    assert made.visibility == wanted


def test_languages_in_the_form_that_each_network_knows() -> None:
    assert toot(source("<p>x</p>")).language == "en"
    assert skeet(source("<p>x</p>")).language == "en-GB"


def test_a_content_warning_takes_room() -> None:
    post = source(f"<p>{'word ' * 98}</p>", content_warning="Long words ahead")
    made = toot(post)
    assert made.warning == "Long words ahead"
    assert mastodon_length(made.text + made.warning) <= 500


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>One</p>\n<p>Two<br>\nthree</p>", "One\n\nTwo\nthree"),
        ("a &amp;amp; b &lt;b&gt;", "a &amp; b <b>"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "• a\n• b\n  • c"),
        ('<ol start="3"><li><p>a</p></li><li>b</li></ol><p>c</p>', "3. a\n4. b\n\nc"),
        ("<blockquote><p>a</p><p>b<br>c</p></blockquote><p>d</p>", "> a\n>\n> b\n> c\n\nd"),
        ("<pre><code>a:\n    b\n\nc\n</code></pre><p>d</p>", "a:\n    b\n\nc\n\nd"),
        ('a<sup id="fnref:1"><a class="footnote-ref" href="#fn:1">1</a></sup> b'
         '<div class="footnote"><ol><li>c</li></ol></div>', "a b"),
        ("<h2>a<a class='headerlink' href='#a'>¶</a></h2><p>b</p>", "a\n\nb"),
        ("<p>a<script>b</script><span hidden>c</span> <q>d</q></p>", "a “d”"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
         "a | b\n1 | 2"),
        ("e\u0301", "é"),
        ("<!-- no --><p> a\u00a0b </p>", "a\u00a0b"),
        ("<div>" * 400 + "deep", "deep"),
        ("<p><del>Monday</del> Tuesday, <s>10</s> 11</p>", "~~Monday~~ Tuesday, ~~10~~ 11"),
        ("<math><msup><mi>x</mi><mn>2</mn></msup><annotation>x</annotation></math>.", "x^2."),
        ("<math><msup><mrow/><mn>14</mn></msup><mi>C</mi></math>", "^14C"),
        (
            "is <math><mfrac><mrow> <mi>a</mi> <mo>+</mo> <mi>b</mi> </mrow><mn>2</mn></mfrac>"
            "<mo>&it;</mo><msqrt><msub><mi>x</mi><mn>12</mn></msub></msqrt></math>, so",
            "is (a+b)/2√(x_12), so",
        ),
        (
            "<math><munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover>"
            "<mroot><mi>x</mi><mn>3</mn></mroot><mtext> if <b>so</b></mtext></math>",
            "∑_i^nx^(1/3) if so",
        ),
        ("a<math display=block>" + "<mrow>" * 400 + "deep", "a\n\ndeep"),
        ("<span class=katex><b class=katex-mathml><math><mi>x</mi></math></b>x</span>", "x"),
    ],
)  # fmt: skip
def test_html_becomes_text(html: str, words: str) -> None:
    assert read_html(html, URL)[0].text.strip(" ") == words


def test_the_entry_of_a_page_is_found_by_its_address() -> None:
    page = read_page(
        f"""<html lang="de"><body><div class="h-feed">
        <div class="h-entry"><a class="u-url" href="/other/">x</a><p class="e-content">No</p></div>
        <article class="h-entry"><a class="u-url" href="{URL}">
        <time class="dt-published" datetime="2026-11-26T18:00:00+01:00"></time></a>
        <div class="e-content" lang="fr"><p>Oui <a href="/x">là</a></p></div>
        <div class="u-comment h-cite"><p class="e-content">Not me</p></div></article>
        </div></body></html>""",
        URL,
    )
    assert page is not None
    assert page.content.text == "Oui là"
    assert page.content.links[0].value == "https://example.org/x"
    assert page.language == "fr"
    assert page.stamps == frozenset({datetime(2026, 11, 26, 17, tzinfo=UTC)})


_PIECES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
        st.sampled_from(["https://e.example/a?b=c", "#tag", "@bob", "👨‍👩‍👧‍👦", "日本語日本語"]),
    ),
    max_size=60,
)


@given(
    _PIECES,
    st.sampled_from(["p", "li", "b", "blockquote", "pre"]),
    st.booleans(),
    st.sampled_from(["if-cut", "always", "never"]),
    st.booleans(),
)
def test_whatever_a_post_says_its_copies_are_valid(
    pieces: list[str], tag: str, named: bool, link: Any, tags: bool
) -> None:
    html = "".join(f'<{tag}><a href="/{n}">{escape(each)}</a> {escape(each)}</{tag}>'
                   for n, each in enumerate(pieces))  # fmt: skip
    extra: dict[str, Any] = {"category": pieces}
    if named:
        extra["name"] = "".join(pieces)
    post = source(html, **extra)
    made = skeet(post, link=link, tags=tags)
    encoded, last = made.text.encode(), 0
    assert measure.BLUESKY.fits(made.text)
    for facet in facets(made.rich):
        assert last <= facet.start < facet.end <= len(encoded)
        encoded[facet.start : facet.end].decode()
        last = facet.end
    made = toot(post, link=link, tags=tags)
    assert mastodon_length(made.text) <= 500
    assert text.without_stray_mentions(made.text) == made.text
