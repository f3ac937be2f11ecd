"""The cost of a post is at most proportional to its length, whatever it contains."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from content_site import WHEN, load_rules, post
from soak_kit import in_soak

from bridge.content.convert import new_file, read
from bridge.content.edit import edit
from bridge.content.file import PelicanFile
from bridge.content.markup import note
from bridge.content.markup.changes import restore
from bridge.content.markup.commonmark import adapt
from bridge.content.rules import SiteRules

#: Twice as many characters took minutes, a quarter of which is far above the limit.
LENGTH = 10_000
SECONDS = 5.0


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


def processor_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


@pytest.mark.parametrize(
    "piece",
    [
        "[[",
        "<https://",
        "a\n\n",
        "**a & [",
        "``a`",
        "<![CDATA[",
        *map(in_soak, ["[a", "[a](", "<img ", "\n", "> \n", "**a ", "_a & "]),
    ],
)
def test_notes_of_any_characters_are_fast_to_write_read_and_edit(
    piece: str, rules: SiteRules
) -> None:
    sent = (piece * LENGTH)[:LENGTH]

    def life() -> None:
        file = PelicanFile.parse(new_file(post(content=sent), when=WHEN, rules=rules).text())
        found = read(file, rules)
        assert found.all("content") == (sent,)
        changed = found.with_properties({"content": (f"before\n{sent}\nafter",)})
        edited = edit(file, found, changed, when=WHEN, rules=rules)
        assert read(edited, rules).all("content") == changed.all("content")

    assert processor_seconds(life) < SECONDS


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        ("__a", " b"),
        ("**a", "*b"),
        ("_a", " [b"),
        ("~~a", " ~b"),
        ("```\n", "*a*\n"),
        ("*a\n", "b\n"),
    ],
)
def test_a_mark_that_nothing_closes_costs_no_more_than_the_text(start: str, piece: str) -> None:
    sent = start + piece * LENGTH

    def both() -> None:
        note.plain(sent)
        assert note.decode(note.encode(sent)) == sent

    assert processor_seconds(both) < SECONDS


@pytest.mark.parametrize(
    "piece",
    [
        *("\\<", "<details>\n", "> ```\n", "**a*b", "~~a ~~b ", "- a\n1. b\n", "> ", "> - "),
        ">\n\n",
    ],
)
def test_an_article_of_any_characters_is_adapted_at_once(piece: str) -> None:
    sent = (piece * 10 * LENGTH)[: 10 * LENGTH]
    assert processor_seconds(lambda: restore(*adapt(sent))) < 2 * SECONDS


@pytest.mark.parametrize("piece", [" ", "<meta name=", "<title>", '<meta content="'])
def test_a_file_of_html_is_taken_apart_at_once(piece: str) -> None:
    head = (piece * LENGTH)[: 10 * LENGTH]
    text = f"<html><head>{head}</head><body>x</body></html>"
    assert processor_seconds(lambda: PelicanFile.parse(text, "a.html")) < SECONDS
