"""Edits of a Pelican file's headers change single lines, and keep all other bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown import Markdown

from bridge.content.file import PelicanFile

HAND_WRITTEN = (
    "\ufefftitle:   An old post\r\nDATE: 2010-12-03 10:20\r\nTags : not a key\r\n\r\nBody\r\n"
)
MIXED = (
    "---\n"
    "title:  Hello   \n"
    "  X-Mine:keep me\n"
    "authors: A\n"
    "    B\n"
    "\tC\n"
    "tags: a, b\n"
    "Tags: c\n"
    "---\n"
    "Tags: in the body\n"
)


def test_parsed_files_are_written_byte_for_byte() -> None:
    for text in (HAND_WRITTEN, MIXED, "", "\n", "no header\n", "Title: x", "a: b\rc: d\r\rbody"):
        assert PelicanFile.parse(text).text() == text


@given(st.text(alphabet="abT:-. \t\r\n\ufeff\x02\x0b\x85{}", max_size=80))
def test_any_text_is_written_byte_for_byte(text: str) -> None:
    assert PelicanFile.parse(text).text() == text


@example("---:")
@example("a: b\n---c: d\n")
@example("---c: d\na: b\n")
@given(st.text(alphabet="abT:-._ \t\n\x02", max_size=60))
def test_keys_are_what_markdown_reads_as_metadata(text: str) -> None:
    reader = Markdown(extensions=["markdown.extensions.meta"])
    reader.convert(text)
    file = PelicanFile.parse(text)
    assert {key: list(file.values(key)) for key in file.keys()} == reader.Meta  # type: ignore[attr-defined] # noqa: SIM118 - not a mapping


def test_repeated_keys_and_continuation_lines_are_values_of_one_key() -> None:
    file = PelicanFile.parse(MIXED)
    assert file.values("Authors") == ("A", "B", "C")
    assert file.values("tags") == ("a, b", "c")
    assert file.get("x-mine") == "keep me"
    assert file.get("nothing") is None
    assert file.body == "Tags: in the body\n"


def test_changing_a_key_changes_only_its_line() -> None:
    file = PelicanFile.parse(MIXED).with_header("Title", "Bye")
    assert file.text() == MIXED.replace("Hello   ", "Bye")
    assert file.with_header("x-MINE", "yes").text() == file.text().replace("keep me", "yes")


def test_setting_the_same_value_changes_nothing() -> None:
    file = PelicanFile.parse(MIXED)
    assert file.with_header("Title", "Hello") == file


def test_a_changed_key_has_one_value() -> None:
    file = PelicanFile.parse(MIXED).with_header("Tags", "x;").with_header("authors", "D")
    assert file.values("tags") == ("x;",)
    assert file.text() == MIXED.replace("A\n    B\n\tC\n", "D\n").replace(
        "tags: a, b\nTags: c\n", "tags: x;\n"
    )


def test_a_key_is_removed_with_its_continuation_lines() -> None:
    file = PelicanFile.parse(MIXED).with_header("Authors", None)
    assert file.text() == MIXED.replace("authors: A\n    B\n\tC\n", "")
    assert file.with_header("Nothing", None) == file


def test_a_new_key_comes_last_but_before_mf2() -> None:
    file = PelicanFile.parse("Title: x\nMf2: {}\n\nBody").with_header("Modified", "now")
    assert file.text() == "Title: x\nModified: now\nMf2: {}\n\nBody"


def test_line_endings_and_byte_order_mark_are_kept() -> None:
    file = PelicanFile.parse(HAND_WRITTEN)
    assert file.with_body("new\nbody\n").text().endswith("new\r\nbody\r\n")
    assert file.with_header("Slug", "x").text().startswith("\ufefftitle:   An old post\r\nDATE")
    assert "Slug: x\r\n" in file.with_header("Slug", "x").text()


@pytest.mark.parametrize("text", ["", "Body without header", "    indented code", "Title: x"])
def test_headers_are_separated_from_the_body(text: str) -> None:
    before = PelicanFile.parse(text)
    file = PelicanFile.parse(before.with_header("Slug", "s").text())
    assert file.get("Slug") == "s"
    assert file.body == before.body


@pytest.mark.parametrize(
    "value", ["a\nSlug: x", "a\rb", "a\u2028b", "\x85", "a\x02", " a", "\ud800"]
)
def test_a_value_with_line_breaks_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a header"):
        PelicanFile().with_header("Title", value)


def test_an_invalid_key_is_refused() -> None:
    with pytest.raises(ValueError, match="not a header"):
        PelicanFile().with_header("Ti tle", "x")
