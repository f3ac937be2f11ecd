"""Headers in YAML, which only a reader of the site's own understands."""

from __future__ import annotations

import time

import pytest

from bridge.content.file import Mf2Line, PelicanFile
from bridge.errors import Conflict

FLOW = """---
title: "A: quoted title"
date: 2020-01-02 03:04
tags: [one, "two, three", 'it''s']   # of mine
slug: a
---

Body.
"""
BLOCK = """---
title: Block list
# A note to myself
tags:
  - one
  - two words

summary: |
  several

  lines
extra:
  deep: {a: [b]}
status: "published"
...
Body
"""


@pytest.mark.parametrize("text", [FLOW, BLOCK, FLOW.replace("\n", "\r\n"), "\ufeff" + BLOCK])
def test_it_is_taken_apart_and_put_together_again(text: str) -> None:
    file = PelicanFile.parse(text, "a.md")
    assert file.text() == text
    assert file.body.strip() in {"Body.", "Body"}


def test_values_are_what_they_say() -> None:
    flow, block = PelicanFile.parse(FLOW, "a.md"), PelicanFile.parse(BLOCK, "a.md")
    assert flow.get("Title") == "A: quoted title"
    assert flow.get("Tags") == "one; two, three; it's;"
    assert block.get("Tags") == "one; two words;"
    assert block.get("Summary") == "several lines"
    assert block.get("Status") == "published"


def test_one_header_is_changed_and_nothing_else() -> None:
    flow, block = PelicanFile.parse(FLOW, "a.md"), PelicanFile.parse(BLOCK, "a.md")
    for file in (flow, block):
        for line in [each for each in file.lines if each.key]:
            assert file.with_header(line.key, line.value) == file
    changed = flow.with_header("Tags", "one; new: tag;").text()
    assert changed == FLOW.replace("""[one, "two, three", 'it''s']""", '[one, "new: tag"]')
    changed = block.with_header("Tags", "one; two words; yes;").text()
    assert changed == BLOCK.replace("words\n", 'words\n  - "yes"\n')
    assert block.with_header("Tags", None).text() == BLOCK.replace(
        "tags:\n  - one\n  - two words\n", ""
    )
    changed = block.with_header("Summary", "Short").text()
    assert changed == BLOCK.replace("|\n  several\n\n  lines", "Short")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tags: [ñandú, 'it''s', 日本]\n", "tags: [ñandú, 'it''s', 日本, été]\n"),
        ("tags: [ 'one', \"C\" ]\n", "tags: [ 'one', \"C\", été ]\n"),
        ("tags: [a,b]  # mine\n", "tags: [a,b,été]  # mine\n"),
        ("tags: [\n  a,  # one\n  b,\n]\n", "tags: [\n  a,  # one\n  b, été,\n]\n"),
        ("tags: [\n  a,\n  b,\n]\n", "tags: [\n  a,\n  b,\n  été,\n]\n"),
        ("tags: [a, {b: c}, [d]]\n", "tags: [a, {b: c}, [d], été]\n"),
        ("tags: # mine\n  - a\n  # b\n\n  - c\n", "tags: # mine\n  - a\n  # b\n\n  - c\n  - été\n"),
        ("tags:\n  - a\n  - k: v\n    l: w\n", "tags:\n  - a\n  - k: v\n    l: w\n  - été\n"),
        ("tags:\n  - >-\n    a\n    b\n  - c\n", "tags:\n  - >-\n    a\n    b\n  - c\n  - été\n"),
        ("tags:\n- 'a'\n- ö  # mine\n", "tags:\n- 'a'\n- ö  # mine\n- été\n"),
    ],
)
def test_items_that_stay_in_a_list_are_written_as_before(before: str, after: str) -> None:
    file = PelicanFile.parse(f"---\ntitle: 'x'\n{before}---\nText\n", "a.md")
    changed = file.with_header("Tags", f"{file.get('Tags')} été;")
    assert changed.text() == f"---\ntitle: 'x'\n{after}---\nText\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tags: [ a,b,  c ]\n", "tags: [ b,  c ]\n"),
        ("tags:\n  # mine\n  - a  # one\n  - b\n\n  - c\n", "tags:\n  # mine\n  - b\n\n  - c\n"),
        ("tags: [\n  a,  # one\n  b,\n  it's, c]\n", "tags: [\n  b,\n  it's, c]\n"),
    ],
)
def test_an_item_that_is_removed_leaves_the_others_as_before(before: str, after: str) -> None:
    file = PelicanFile.parse(f"---\ntitle: 'x'\n{before}---\nText\n", "a.md")
    changed = file.with_header("Tags", (file.get("Tags") or "").removeprefix("a; "))
    assert changed.text() == f"---\ntitle: 'x'\n{after}---\nText\n"


@pytest.mark.parametrize("item", ["- a\n    long tag", "- >-\n    a\n    long tag"])
def test_an_item_over_several_lines_may_go_to_another_place(item: str) -> None:
    head = f"---\ntitle: 'x'\ntags:\n  {item}\n  - 'b'\n---\nText\n"
    file = PelicanFile.parse(head, "a.md")
    assert file.get("Tags") == "a long tag; b;"
    changed = file.with_header("Tags", "b; a long tag;").text()
    assert changed == "---\ntitle: 'x'\ntags:\n  - 'b'\n  - a long tag\n---\nText\n"


def test_a_comment_is_no_value() -> None:
    file = PelicanFile.parse("---\ntitle: # none\ntags:\n- # none\n- b\n---\n", "a.md")
    assert (file.get("Title"), file.get("Tags")) == ("", "b;")


@pytest.mark.parametrize("tags", ["&mine [a, b]", "*mine", "!!set {a, b}", "{a: 1}  # x"])
def test_a_list_of_tags_that_cannot_be_read_is_not_replaced(tags: str) -> None:
    file = PelicanFile.parse(f"---\ntitle: 'x'\ntags: {tags}\n---\nText\n", "a.md")
    with pytest.raises(Conflict, match="change it in the file"):
        file.with_header("Tags", "new;")
    for none in ("", "null", "~  # none"):
        empty = PelicanFile.parse(f"---\ntitle: 'x'\ntags: {none}\n---\nText\n", "a.md")
        assert "tags: [new]" in empty.with_header("Tags", "new;").text()


def test_comments_beside_and_below_a_header_stay() -> None:
    head = "---\ntitle: 'a # b' # mine\nstatus: draft # still\n  # more\n\nslug: a\n---\nText\n"
    file = PelicanFile.parse(head, "a.md").with_header("Status", "published")
    changed = file.with_header("Title", "New: title")
    assert changed.text() == head.replace("draft", "published").replace("'a # b'", '"New: title"')


@pytest.mark.parametrize("tags", ["one, two words, three", "Ünder, 日本, x-1 y"])
def test_tags_without_quotes_stay_without_them(tags: str) -> None:
    head = f"---\ntitle: 'a'\ntags: {tags}\nextra:\n- a\n---\nText\n"
    file = PelicanFile.parse(head, "a.md")
    longer = file.with_header("Tags", f"{file.get('Tags')}, four")
    assert longer.text() == head.replace(tags, f"{tags}, four")
    assert longer.with_header("Tags", tags).text() == head


def test_what_is_added_is_yaml() -> None:
    file = PelicanFile.parse(BLOCK, "a.md")
    line = Mf2Line(properties={"like-of": ("https://example.org/it's: #1",)})
    new = (
        file.with_header("Modified", "2026-11-21T13:00:00+01:00")
        .with_header("Title", 'A: "b" #c \\')
        .with_header("Authors", "Jo; Ann Lee;")
        .with_header("Mf2", line.text())
    )
    text = new.text()
    assert 'title: "A: \\"b\\" #c \\\\"\n' in text
    assert "modified: 2026-11-21T13:00:00+01:00\nauthors: [Jo, Ann Lee]\nmf2: '" in text
    again = PelicanFile.parse(text, "a.md")
    assert again.get("Title") == 'A: "b" #c \\'
    assert Mf2Line.of(again) == line


@pytest.mark.parametrize("tags", ["tags:\n- a\n- b c\n", "# mine\ntags:\n    - a\n    - b c\n"])
def test_yaml_may_be_added_to_a_head_that_had_none(tags: str) -> None:
    line = Mf2Line(properties={"like-of": ("https://example.org/it's",)})
    plain = PelicanFile.parse("---\ntitle: A\n---\nBody\n", "a.md")
    text = plain.with_header("Mf2", line.text()).text().replace("title", f"{tags}title")
    file = PelicanFile.parse(text, "a.md")
    assert (file.get("Title"), file.get("Tags"), file.body) == ("A", "a; b c;", "Body\n")
    assert Mf2Line.of(file) == line
    again = PelicanFile.parse(
        file.with_header("Mf2", line.with_changes(draft=True).text()).text(), "a.md"
    )
    assert (again.get("Tags"), Mf2Line.of(again).draft) == ("a; b c;", True)


@pytest.mark.parametrize(
    "text",
    [
        "---\nTitle: A\nTags: a, b\n---\n\nBody\n",
        "---\nTitle: A\nTags: a\n    b\n---\nBody\n",
        "Title: A\nTags: [a, b]\n\nBody\n",
        "---\nTitle: A\n\nA line\n\n- a list\n\n---\n\nmore\n",
        "---\nTitle: [A]\n\nBody of words\n---\n",
        "---\n\nA rule, and no head\n",
        "---\nTitle: 'A'\n",
        '---\nTitle: "A" and "B"\nTags: a\n---\nBody\n',
        "---\nTitle: [A] B\nSummary: *so*\n---\nBody\n",
        "---\nTitle: [A] B [C]\nSummary: {A} and {B}\n---\nBody\n",
        "---\nTitle: 'Twas\n---\nBody\n",
        '---\nTitle: A\nMf2: {"type":["h-entry"],"properties":{}}\n---\nBody\n',
        "---\nTitle: 'A'\nMf2: {}\n---\nBody\n",
    ],
)
def test_files_that_pelicans_own_reader_understands_are_read_as_it_does(text: str) -> None:
    file = PelicanFile.parse(text, "a.md")
    assert type(file.syntax).__name__ == "MarkdownSyntax"
    assert file.text() == text


def test_a_head_without_end_is_soon_read() -> None:
    """Neither many lines nor many quotes cost more than their length."""
    for text in (
        "---\ntags:\n" + "  - x\n\n" * 30_000 + "...\n",
        "---\ntags: [" + "'a' \"b\" " * 5_000 + "\n---\n",
        "---\ntags: [" + "['\"[" * 5_000 + "\n---\n",
        "---\ntags: " + '"' * 20_000 + "\n---\n",
    ):
        begun = time.process_time()
        assert PelicanFile.parse(text, "a.md").text() == text
        assert time.process_time() - begun < 5
