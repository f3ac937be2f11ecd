"""Counting, facets and cutting, with vectors that a real Bluesky server has accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.syndication.compose import measure, text
from bridge.syndication.compose.measure import BLUESKY, cut, mastodon, mastodon_length
from bridge.syndication.compose.text import RichText, Span, facets

VECTORS: dict[str, Any] = json.loads(
    Path(__file__).with_name("syndication_vectors.json").read_text(encoding="utf-8")
)


def as_lists(rich: RichText) -> list[list[Any]]:
    return [[each.start, each.end, each.kind, each.value] for each in facets(rich)]


@pytest.mark.parametrize("vector", VECTORS["counting_and_facets"], ids=lambda each: each["text"])
def test_lengths_and_facets(vector: dict[str, Any]) -> None:
    words = vector["text"]
    assert mastodon_length(words) == vector["mastodon_length"]
    assert len(text.graphemes(words)) == vector["graphemes"]
    assert BLUESKY.size(words) == (vector["graphemes"], vector["utf8_bytes"])
    assert as_lists(RichText(words)) == vector["facets"]


@pytest.mark.parametrize("vector", VECTORS["truncation"], ids=lambda each: each["name"])
def test_cut_for_bluesky(vector: dict[str, Any]) -> None:
    made = cut_unless_fits(vector, BLUESKY)
    wanted = vector["bluesky"]
    assert made.text == wanted["text"]
    assert BLUESKY.size(made.text) == (wanted["graphemes"], wanted["bytes"])
    assert as_lists(made) == wanted["facets"]


@pytest.mark.parametrize("vector", VECTORS["truncation"], ids=lambda each: each["name"])
def test_cut_for_mastodon(vector: dict[str, Any]) -> None:
    made = cut_unless_fits(vector, mastodon())
    assert made.text == vector["mastodon"]["text"]
    assert mastodon_length(made.text) == vector["mastodon"]["length"]


def cut_unless_fits(vector: dict[str, Any], measure: measure.Measure) -> RichText:
    whole = RichText(vector["text"])
    if measure.fits(whole.text):
        return whole
    return cut(whole, measure, f"\n\n{vector['permalink']}")


@pytest.mark.parametrize(
    ("words", "shielded"),
    [
        ("hi @bob", "hi @\u2060bob"),
        ("@alice@social.example and @bob", "@alice@social.example and @\u2060bob"),
        ("mail me@example.org", "mail me@example.org"),
        ("https://social.example/@bob", "https://social.example/@bob"),
        ("@bob@localhost", "@\u2060bob@localhost"),
        ("(@bob)", "(@\u2060bob)"),
        ("@ bob, @.", "@ bob, @."),
    ],
)
def test_words_after_an_at_sign_mention_no_one(words: str, shielded: str) -> None:
    assert text.without_stray_mentions(words) == shielded


def test_ellipsis_never_becomes_part_of_a_link() -> None:
    words = "Look: https://example.net/a " + "and so on " * 60
    made = cut(RichText(words), mastodon(60), "\n\nhttps://example.org/1")
    assert "https://example.net/a …" in made.text or "https://example.net/a and" in made.text
    for room in range(30, 120):
        made = cut(RichText(words), mastodon(room), "\n\nhttps://example.org/1")
        assert "/a…" not in made.text
        assert "(…" not in made.text


def test_link_in_brackets_goes_with_its_brackets() -> None:
    words = f"{'word ' * 50}cheese (https://cheese.example/{'x' * 120}) and more"
    made = cut(RichText(words), BLUESKY, "\n\nhttps://example.org/1")
    assert made.text.endswith("cheese…\n\nhttps://example.org/1")


def test_tags_become_camel_case_and_only_those_that_are_missing() -> None:
    names = ["indie web", "Paris, France", "2026", "c++", "pelican", "Größe", "in text"]
    assert list(text.hashtags(names, "about #Pelican and #intext")) == [
        "#IndieWeb",
        "#ParisFrance",
        "#C",
        "#Größe",
    ]


_ALPHABET = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(
        [
            *(" ", "\n", "\n\n", "…", "👨‍👩‍👧‍👦", "e\u0301", "🇩🇪", "(", ")", "日本語"),
            *("https://example.org/a", "#tag", "@alice@social.example", "http://localhost/x"),
        ]
    ),
)
TEXTS = st.lists(_ALPHABET, max_size=120).map("".join)
MEASURES = st.one_of(
    st.integers(40, 300).map(lambda most: measure.Measure(most, 10 * most, BLUESKY.cost)),
    st.integers(40, 500).map(mastodon),
    st.just(BLUESKY),
)
LINK = "https://example.org/1"


@given(TEXTS, MEASURES)
def test_what_is_cut_fits_and_is_a_beginning(words: str, measure: measure.Measure) -> None:
    made = cut(RichText(words), measure, f"\n\n{LINK}").text
    assert measure.fits(made)
    assert made.endswith(LINK)
    head = made.removesuffix(LINK).rstrip("\n")
    if head and head != words.rstrip("\n"):
        assert head.endswith("…")
        begun = head.removesuffix("…").rstrip(" ")
        assert words.startswith(begun)
        # Truncated between graphemes, never inside a link, tag or handle.
        assert text.graphemes(begun) == text.graphemes(words)[: len(text.graphemes(begun))]
        for span in text.spans(words):
            assert not span.start < len(begun) < span.end


@given(TEXTS, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=5))
def test_facets_lie_in_the_text_on_characters_and_apart(
    words: str, places: list[tuple[int, int]]
) -> None:
    links = tuple(
        Span(start, start + length, "link", "https://example.org/") for start, length in places
    )
    made = cut(RichText(words, links), BLUESKY, f"\n\n{LINK}")
    encoded, last = made.text.encode(), 0
    for facet in facets(made):
        assert last <= facet.start < facet.end <= len(encoded)
        encoded[facet.start : facet.end].decode()
        last = facet.end


@given(TEXTS)
def test_shielding_is_done_once_and_changes_nothing_to_read(words: str) -> None:
    once = text.without_stray_mentions(words)
    assert text.without_stray_mentions(once) == once
    assert once.replace("@\u2060", "@") == words.replace("@\u2060", "@")
