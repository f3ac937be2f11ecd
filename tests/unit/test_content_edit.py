"""An update changes only what it names, as a diff of the file shows."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import ndiff
from typing import Any

import pytest
from bs4 import BeautifulSoup
from content_site import WHEN, load_rules, post, properties_of
from hypothesis import given
from hypothesis import strategies as st

from bridge.content.convert import channel, new_file, read
from bridge.content.edit import edit
from bridge.content.file import Mf2Line, PelicanFile
from bridge.content.rules import SiteRules
from bridge.errors import Conflict, InvalidRequest

LATER = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
HAND_WRITTEN = """\
title: An  *old* post &amp; more
Date:   2010-12-03 10:20
Tags: a, b c
X-Unknown: kept
authors: Jane; Joe
summary: Once *upon*
    a time

Some *Markdown* with [an image]({static}/images/x.png).

<iframe src="https://video.example/1"></iframe>
"""
MODIFIED = "+ Modified: 2027-01-02T04:04:05+01:00"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


def changes(
    text: str, rules: SiteRules, commands: dict[str, Any] | None = None, **new: Any
) -> list[str]:
    """The lines that an update removes and adds."""
    file = PelicanFile.parse(text)
    old = read(file, rules)
    wanted = old.with_properties(post(**new).properties)
    edited = edit(file, old, wanted, commands=commands or {}, when=LATER, rules=rules)
    again = PelicanFile.parse(edited.text())
    assert properties_of(read(again, rules), without="updated") == properties_of(
        wanted, without="updated"
    )
    lines = ndiff(text.splitlines(), edited.text().splitlines())
    return [line for line in lines if line[0] in "+-"]


FORMS = "First line\r\n*second*\r\n\r\n- [list](https://example.com/)\r\n"


@pytest.mark.parametrize("content", [FORMS, {"html": "<p>one\r\n<b>two</b></p>"}])
@pytest.mark.parametrize("name", [(), ("A title",)])
def test_a_text_from_a_form_is_returned_with_its_line_ends_and_is_in_the_file_once(
    rules: SiteRules, content: Any, name: tuple[str, ...]
) -> None:
    sent = post(content=content, name=name) if name else post(content=content)
    written = new_file(sent, when=WHEN, rules=rules).text()
    assert '"line-ends":"crlf"' in written
    assert '"properties":{}' in written
    assert read(PelicanFile.parse(written), rules).all("content") == (content,)
    # A change of anything else leaves the text alone; another text has line ends of its own.
    tagged = changes(written, rules, category=("x",))
    assert not [line for line in tagged if "Mf2" in line]
    file = PelicanFile.parse(written)
    old = read(file, rules)
    new = old.with_properties({"content": ("one\n\ntwo",)})
    again = edit(file, old, new, commands={}, when=LATER, rules=rules)
    assert "line-ends" not in again.text()
    assert read(again, rules).all("content") == ("one\n\ntwo",)
    by_hand = read(file.with_body("By hand.\n"), rules).first("content")
    assert by_hand in ("By hand.", {"html": "By hand."})


def test_a_handwritten_post_is_parsed(rules: SiteRules) -> None:
    found = properties_of(read(PelicanFile.parse(HAND_WRITTEN), rules))
    assert found == {
        "name": ("An  *old* post & more",),
        "published": ("2010-12-03T10:20:00+01:00",),
        "category": ("a", "b c"),
        "author": ("Jane", "Joe"),
        "summary": ("Once *upon*\na time",),
        "content": (HAND_WRITTEN.partition("\n\n")[2].rstrip("\n"),),
    }


@pytest.mark.parametrize(
    ("header", "properties"),
    [
        ("Status: draft", {"post-status": ("draft",)}),
        ("Status: Hidden", {"visibility": ("unlisted",)}),
        ("Status: published", {"post-status": ("published",)}),
        ("Tags: Paris, France;", {"category": ("Paris, France",)}),
        ("Tags:", {}),
        ("Tags: a, b,\n    c, d", {"category": ("a", "b", "c", "d")}),
        ("Tags:\n    a\n    b", {"category": ("a", "b")}),
        ("Tags: Paris, France;\nTags: Rome", {"category": ("Paris, France", "Rome")}),
        ("Authors: Jane;\n    Joe", {"author": ("Jane", "Joe")}),
        ("Modified: 2011-01-01", {"updated": ("2011-01-01T00:00:00+01:00",)}),
        ("Date: never", {}),
        ("Date: 2010-12-03_10:20\nTimezone: UTC", {"published": ("2010-12-03T10:20:00+00:00",)}),
        ("Timezone: Nowhere/Else\nDate: 2010-12-03", {}),
        ("Mf2: {broken", {}),
        ("Mf2: [1]", {}),
        ('Mf2: {"type": "h-entry", "properties": {"x": "y"}}', {"x": ("y",)}),
        ("Author: Jane", {"author": ("Jane",)}),
    ],
)
def test_headers_are_parsed(header: str, properties: dict[str, Any], rules: SiteRules) -> None:
    assert properties_of(read(PelicanFile.parse(f"{header}\n\n"), rules)) == properties


@pytest.mark.parametrize(
    ("by_hand", "tags"),
    [("Tags: lake, sea\n", ("lake", "sea")), ("Tags: lake;\n", ("lake",)), ("", ())],
)
def test_a_hand_edit_of_the_tags_keeps_the_people_who_are_tagged(
    by_hand: str, tags: tuple[str, ...], rules: SiteRules
) -> None:
    mf2 = (
        '{"type":["h-entry"],"properties":{"category":["lake",'
        '{"type":["h-card"],"properties":{"name":["Zo"]}}]}}'
    )
    card = {"type": ["h-card"], "properties": {"name": ["Zo"]}}
    found = read(PelicanFile.parse(f"Title: x\n{by_hand}Mf2: {mf2}\n\nx\n"), rules)
    assert found.all("category") == (*tags, card)


def test_the_category_is_the_channel() -> None:
    assert channel(PelicanFile.parse("category: Notes\n\n")) == "Notes"
    assert channel(PelicanFile.parse("category:\n\n")) is None


def test_tags_are_added_to_a_hand_written_post(rules: SiteRules) -> None:
    assert changes(HAND_WRITTEN, rules, category=("a", "b c", "new")) == [
        "- Tags: a, b c",
        "+ Tags: a, b c, new",
        MODIFIED,
    ]


@pytest.mark.parametrize(
    ("tags", "then"),
    [
        ("one,two,  three", "one,two,  three,  new"),
        ("one ,two", "one ,two,new"),
        ("one", "one, new"),
        ("one;  two;three", "one;  two;three;new"),
    ],
)
def test_the_blanks_in_a_list_of_tags_stay(tags: str, then: str, rules: SiteRules) -> None:
    written = HAND_WRITTEN.replace("a, b c", tags)
    before = read(PelicanFile.parse(written), rules).all("category")
    assert changes(written, rules, category=(*before, "new"))[:2] == [
        f"- Tags: {tags}",
        f"+ Tags: {then}",
    ]


@pytest.mark.parametrize(
    ("tags", "gone", "then"),
    [
        ("one,two,  three", "two", "one,  three"),
        ("one,two,  three", "one", "two,  three"),
        ("one,  two,three", "three", "one,  two"),
        ("one;two; three;", "two", "one; three;"),
        ("one; two;three ;", "one", "two;three ;"),
        ("a, b; c", "c", "a, b;"),
        ("one,,two, three", "two", "one,, three"),
        ("one, C<T>,two", "one", "C<T>,two"),
    ],
)
def test_a_tag_that_is_removed_leaves_the_others_as_they_are(
    tags: str, gone: str, then: str, rules: SiteRules
) -> None:
    written = HAND_WRITTEN.replace("a, b c", tags)
    before = read(PelicanFile.parse(written), rules).all("category")
    left = tuple(tag for tag in before if tag != gone)
    assert len(left) == len(before) - 1
    assert changes(written, rules, category=left) == [
        f"- Tags: {tags}",
        f"+ Tags: {then}",
        MODIFIED,
    ]


def test_a_person_tagged_by_url_is_kept_beside_the_tags(rules: SiteRules) -> None:
    sent = ("https://person.example/", "lake")
    file = new_file(post(content="x", category=sent), when=WHEN, rules=rules)
    assert file.get("Tags") == "lake;"
    assert read(file, rules).all("category") == sent
    by_hand = file.with_header("Tags", "lake, sea")
    assert read(by_hand, rules).all("category") == ("lake", "sea", "https://person.example/")
    written = HAND_WRITTEN.replace("a, b c", "https://a.example/,b")
    assert changes(written, rules, category=("https://a.example/", "b", "new"))[:2] == [
        "- Tags: https://a.example/,b",
        "+ Tags: https://a.example/,b,new",
    ]


def test_tags_on_several_lines_are_kept_when_one_is_added(rules: SiteRules) -> None:
    written = HAND_WRITTEN.replace("a, b c", "a,\n    b c, d\n    e")
    assert set(changes(written, rules, category=("a", "b c", "d", "e", "new"))) == {
        "- Tags: a,",
        "-     b c, d",
        "-     e",
        "+ Tags: a, b c, d, e, new",
        MODIFIED,
    }
    assert changes(written, rules, name="Another")[-1] == MODIFIED


def test_the_name_of_a_hand_written_post_changes_its_title(rules: SiteRules) -> None:
    assert changes(HAND_WRITTEN, rules, name="A <new> one") == [
        "- title: An  *old* post &amp; more",
        "+ title: A &lt;new&gt; one",
        MODIFIED,
    ]


def test_active_content_of_the_owner_is_kept_when_a_client_edits(rules: SiteRules) -> None:
    content = HAND_WRITTEN.partition("\n\n")[2].rstrip("\n")
    assert changes(HAND_WRITTEN, rules, content=content.replace("Some", "Much")) == [
        MODIFIED,
        "- Some *Markdown* with [an image]({static}/images/x.png).",
        "+ Much *Markdown* with [an image]({static}/images/x.png).",
    ]


def test_active_content_added_by_a_client_is_neutralised(rules: SiteRules) -> None:
    file = PelicanFile.parse(HAND_WRITTEN)
    old = read(file, rules)
    sent = f"{old.text('content')}\n\n[x](javascript:x) ![y]({{static}}/../secret)"
    edited = edit(file, old, old.with_properties({"content": (sent,)}), when=LATER, rules=rules)
    assert "javascript" not in edited.body
    assert "secret" in edited.body
    assert "{static}/../secret" not in edited.body
    assert read(edited, rules).first("content") == sent


def test_properties_unknown_to_pelican_are_stored_in_mf2(rules: SiteRules) -> None:
    photo = {"value": "https://bridge.example/media/2026/x.jpg", "alt": "X"}
    assert changes(HAND_WRITTEN, rules, photo=photo) == [
        MODIFIED,
        '+ Mf2: {"type":["h-entry"],"properties":{"photo":[{"value":"{static}/media/2026/x.jpg",'
        '"alt":"X"}]}}',
    ]


def test_an_unlisted_draft_is_published_and_stays_unlisted(rules: SiteRules) -> None:
    text = new_file(
        post(content="x", post_status="draft", visibility="unlisted"), when=WHEN, rules=rules
    ).text()
    lines = changes(text, rules, post_status="published")
    assert "- Status: draft" in lines
    assert "+ Status: hidden" in lines


def test_a_deleted_property_leaves_no_trace(rules: SiteRules) -> None:
    text = new_file(
        post(content="x", category=("a;b", "c"), summary="s", photo="https://x.y/z"),
        when=WHEN,
        rules=rules,
    ).text()
    file = PelicanFile.parse(text)
    old = read(file, rules)
    bare = old.with_properties({"category": (), "summary": (), "photo": ()})
    edited = edit(file, old, bare, when=LATER, rules=rules)
    assert edited.get("Tags") is None
    assert edited.get("Summary") is None
    assert Mf2Line.of(edited).properties == {}


def test_deleting_published_keeps_the_date_header(rules: SiteRules) -> None:
    file = PelicanFile.parse(HAND_WRITTEN)
    old = read(file, rules)
    edited = edit(file, old, old.with_properties({"published": ()}), when=LATER, rules=rules)
    assert edited.get("Date") == "2010-12-03 10:20"


def test_a_name_is_added_to_a_note_and_removed(rules: SiteRules) -> None:
    file = new_file(post(content="Hello *world*"), when=WHEN, rules=rules)
    old = read(file, rules)
    named = edit(file, old, old.with_properties({"name": ("Greeting",)}), when=LATER, rules=rules)
    assert named.get("Title") == "Greeting"
    assert not Mf2Line.of(named).synthetic_title
    old = read(named, rules)
    unnamed = edit(named, old, old.with_properties({"name": ()}), when=LATER, rules=rules)
    assert unnamed.get("Title") == "Hello world"
    assert unnamed.get("Mf2") == file.get("Mf2")


def test_a_generated_title_follows_the_content_but_the_url_is_kept(rules: SiteRules) -> None:
    text = new_file(post(content="Hello"), when=WHEN, rules=rules).text()
    changed = changes(text, rules, content="Good bye")
    assert [line for line in changed if "Mf2:" not in line] == [
        "- Title: Hello",
        "+ Title: Good bye",
        MODIFIED,
        "- Hello",
        "+ Good bye",
    ]


def test_text_that_replaces_html_is_text(rules: SiteRules) -> None:
    text = new_file(post(content={"html": "<p>x</p>"}), when=WHEN, rules=rules).text()
    file = PelicanFile.parse(text)
    old = read(file, rules)
    edited = edit(file, old, old.with_properties({"content": ("# x",)}), when=LATER, rules=rules)
    assert edited.body == "\\# x\n"
    assert Mf2Line.of(edited).form == "text"


def test_a_hand_edit_takes_precedence_over_the_original(rules: SiteRules) -> None:
    sent = post(
        name="A\nname", content="x\r\ny", category=("a;b",), published="2026-11-21T17:37:00Z"
    )
    text = new_file(sent, when=WHEN, rules=rules).text()
    for before, after in (
        ("Title: A name", "Title: Another"),
        ("Tags: a,b;", "Tags: c;"),
        ("Date: 2026-11-21T18:37:00+01:00", "Date: 2025-01-01"),
        ("x\ny\n", "by hand\n"),
    ):
        assert before in text
        text = text.replace(before, after)
    assert properties_of(read(PelicanFile.parse(text), rules)) == {
        "name": ("Another",),
        "content": ("by hand",),
        "category": ("c",),
        "published": ("2025-01-01T00:00:00+01:00",),
    }


def test_other_line_endings_are_not_a_hand_edit(rules: SiteRules) -> None:
    text = new_file(post(content={"html": "<P>x\n"}), when=WHEN, rules=rules).text()
    found = read(PelicanFile.parse(text.replace("\n", "\r\n")), rules)
    assert found.first("content") == {"html": "<P>x\n"}


def test_commands_beside_an_update_move_the_post(rules: SiteRules) -> None:
    lines = changes(
        HAND_WRITTEN,
        rules,
        {"slug": ("New Place",), "channel": ("Walks",), "syndicate-to": ("https://s.example/",)},
    )
    assert "+ Slug: new-place" in lines
    assert "+ Category: Walks" in lines
    assert any('"syndicate-to":["https://s.example/"]' in line for line in lines)


def test_unknown_keys_in_mf2_and_aliases_are_kept(rules: SiteRules) -> None:
    line = '{"type":["h-entry"],"properties":{"x":["1"]},"aliases":["old/"],"mine":[1]}'
    text = f"Title: x\nDate: 2026-01-01\nMf2: {line}\n\nx\n"
    assert changes(text, rules, x=("2",)) == [
        MODIFIED,
        f"- Mf2: {line}",
        '+ Mf2: {"type":["h-entry"],"properties":{"x":["2"]},"aliases":["old/"],"mine":[1]}',
    ]


def test_a_broken_mf2_line_is_not_overwritten(rules: SiteRules) -> None:
    file = PelicanFile.parse('Title: x\nMf2: {"type":\n\nx')
    with pytest.raises(Conflict, match="Correct it in the file"):
        edit(file, read(file, rules), post(name="y"), when=LATER, rules=rules)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"visibility": "private"}, "private"),
        ({"visibility": "protected"}, "public, unlisted"),
        ({"post_status": "queued"}, "draft, published"),
        ({"published": "soon"}, "is not a date"),
        ({"x": float("nan")}, "JSON"),
    ],
)
def test_values_that_the_site_cannot_store_are_refused_with_a_remedy(
    properties: dict[str, Any], problem: str, rules: SiteRules
) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        new_file(post(content="x", **properties), when=WHEN, rules=rules)
    file = PelicanFile.parse(HAND_WRITTEN)
    old = read(file, rules)
    with pytest.raises(InvalidRequest, match=problem):
        edit(file, old, old.with_properties(post(**properties).properties), when=LATER, rules=rules)


def test_a_site_whose_default_is_draft_gets_published_posts(tmp_path_factory: Any) -> None:
    rules = load_rules(tmp_path_factory.mktemp("site"), DEFAULT_METADATA={"status": "draft"})
    assert new_file(post(content="x"), when=WHEN, rules=rules).get("Status") == "published"


def test_a_time_in_utc_is_read_back_unchanged(rules: SiteRules) -> None:
    """In the site's time zone it is on another day and in another month, in date, path and slug."""
    sent = post(content="🎉", published="2026-10-31T23:30:00Z")
    file = new_file(sent, when=WHEN, rules=rules)
    assert file.get("Date") == "2026-11-01T00:30:00+01:00"
    assert (file.get("Slug") or "").startswith("2026-11-01-")
    assert read(file, rules).all("published") == ("2026-10-31T23:30:00Z",)


def test_a_file_with_utc_dates_is_read_back_unchanged(rules: SiteRules) -> None:
    """A file written by an earlier version, with dates in UTC."""
    sent = post(name="A", content="x", published="2026-11-21T17:37:00.5Z")
    text = new_file(sent, when=WHEN, rules=rules).text()
    old = text.replace("Date: 2026-11-21T18:37:00+01:00", "Date: 2026-11-21T17:37:00+00:00")
    assert old != text
    file = PelicanFile.parse(old)
    found = read(file, rules)
    assert found.all("published") == ("2026-11-21T17:37:00.5Z",)
    changed = found.with_properties({"category": ("new",)})
    edited = edit(file, found, changed, when=LATER, rules=rules)
    assert edited.get("Date") == "2026-11-21T17:37:00+00:00"
    by_hand = PelicanFile.parse(old.replace("17:37:00+00:00", "17:38:00+00:00"))
    assert read(by_hand, rules).all("published") == ("2026-11-21T17:38:00+00:00",)


CODE = 'print("hi <b>")\n  indented *as* it `was`\n\n```not a fence```'


def shown(file: PelicanFile, rules: SiteRules) -> BeautifulSoup:
    return BeautifulSoup(rules.site.render(file.body).html, "html.parser")


@pytest.mark.parametrize(
    "kind", ["code/python", "code/x-unknown", "code/c++", "code/<b>", "code/", "CODE/Python"]
)
@pytest.mark.parametrize("name", [{"name": "snippet.py"}, {}])
def test_code_stays_code(kind: str, name: dict[str, str], rules: SiteRules) -> None:
    """Quill's code editor sends the format in a separate property."""
    sent = post(content=CODE, **name, **{"p3k-content-type": (kind,)})
    file = new_file(sent, when=WHEN, rules=rules)
    page = shown(file, rules)
    (block,) = page.select("pre")
    assert block.get_text().strip("\n") == CODE
    assert page.get_text().strip("\n") == CODE
    old = read(file, rules)
    assert old.all("content") == (CODE,)
    edited = edit(
        file, old, old.with_properties({"content": ("<i>2</i>",)}), when=LATER, rules=rules
    )
    assert shown(edited, rules).select("pre")[0].get_text().strip("\n") == "<i>2</i>"
    assert read(edited, rules).all("content") == ("<i>2</i>",)


def test_a_client_may_declare_the_format_of_its_text(rules: SiteRules) -> None:
    text = "# Words"
    for kind, name, is_heading in (
        ("text/markdown", {}, True),
        ("text/plain", {"name": "A title"}, False),
        ("text/html", {}, False),
        ("", {"name": "A title"}, True),
    ):
        sent = post(content=text, **name, **{"p3k-content-type": (kind,) if kind else ()})
        file = new_file(sent, when=WHEN, rules=rules)
        assert bool(shown(file, rules).select("h1")) is is_heading, kind
        assert read(file, rules).all("content") == (text,)
    html = post(content="A <b>bold</b> word", **{"p3k-content-type": ("text/html",)})
    file = new_file(html, when=WHEN, rules=rules)
    assert shown(file, rules).select("b")
    assert read(file, rules).all("content") == ("A <b>bold</b> word",)


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (
            "a *starred* note with [a link](https://x.example/?a=1&b=2) and `code`",
            "a starred note with a link and code",
        ),
        ("A view ![teal](https://x.example/teal.jpg)", "A view teal"),
        ("**Why** not", "Why not"),
        ("2 * 3 * 4 and snake_case #two", "2 * 3 * 4 and snake_case #two"),
    ],
)
def test_a_generated_title_is_the_displayed_text(
    content: str, title: str, rules: SiteRules
) -> None:
    assert new_file(post(content=content), when=WHEN, rules=rules).get("Title") == title


def test_the_title_of_a_note_that_became_markdown_by_hand_is_the_displayed_text(
    rules: SiteRules,
) -> None:
    made = new_file(post(content="three words here\n- a\n- b\n#two"), when=WHEN, rules=rules)
    by_hand = made.with_body(made.body.replace("\\- b", "- b").rstrip() + "\n\n- *c*\n")
    old = read(by_hand, rules)
    tagged = edit(
        by_hand, old, old.with_properties({"category": ("new",)}), when=LATER, rules=rules
    )
    assert tagged.body == by_hand.body
    assert tagged.get("Title") == "three words here - a - b #two c"


@pytest.mark.parametrize("before", ["some first words", "some *first* words"])
def test_a_handwritten_title_survives_an_edit_of_the_text(before: str, rules: SiteRules) -> None:
    made = new_file(post(content=before), when=WHEN, rules=rules)
    # Earlier versions left the stars in.
    for file in (made, made.with_header("Title", before)):
        old = read(file, rules)
        changed = edit(
            file, old, old.with_properties({"content": ("other",)}), when=LATER, rules=rules
        )
        assert changed.get("Title") == "other"
    # Earlier versions did not note which Title they had made.
    earlier = made.with_header("Mf2", Mf2Line.of(made).with_changes(title_digest=None).text())
    for file in (made, earlier):
        by_hand = file.with_header("Title", "Real Title")
        old = read(by_hand, rules)
        changed = edit(
            by_hand, old, old.with_properties({"content": ("other",)}), when=LATER, rules=rules
        )
        assert changed.get("Title") == "Real Title"


def test_a_handwritten_title_does_not_turn_a_note_into_markdown(rules: SiteRules) -> None:
    sent = "#hashtag and https://a.example/x\n1. two\nlines"
    made = new_file(post(content=sent), when=WHEN, rules=rules)
    by_hand = made.with_header("Title", "Real Title")
    old = read(by_hand, rules)
    assert old.all("content") == (sent,)
    new = old.with_properties({"content": (f"{sent}\n#more",)})
    edited = edit(by_hand, old, new, when=LATER, rules=rules)
    assert edited.body == by_hand.body.removesuffix("\n") + "  \n\\#more\n"
    assert read(edited, rules).all("content") == (f"{sent}\n#more",)
    named = old.with_properties({"name": ("Another",), "content": ("- a\n- b",)})
    article = edit(by_hand, old, named, when=LATER, rules=rules)
    assert article.body == "- a\n- b\n", "an app that names it makes an article of it"


def test_a_handwritten_title_is_the_name(rules: SiteRules) -> None:
    made = new_file(post(content="some first words"), when=WHEN, rules=rules)
    assert "name" not in read(made, rules).properties
    by_hand = made.with_header("Title", "Real Title")
    assert read(by_hand, rules).all("name") == ("Real Title",)
    # A change of the text alone makes no name of the title that was made up of it.
    corrected = made.with_body("some better words\n")
    assert "name" not in read(corrected, rules).properties
    assert changes(by_hand.text(), rules, category="x")[0] == "+ Tags: x;"
    # A name that is taken away again leaves a title that is made up.
    old = read(by_hand, rules)
    without = edit(by_hand, old, old.with_properties({"name": ()}), when=LATER, rules=rules)
    assert without.get("Title") == "some first words"
    assert "name" not in read(without, rules).properties


#: What a note may be before a hand comes, and what the hand adds.
NOTES = ["Plain words", "#tag first\n1. not a list", "Stars (*) and https://x.example/?a=1&b=2"]
BY_HAND = [
    "- list\n- of two",
    "1. one\n2. two",
    "* starred\n    * deeper",
    "[l](https://y.example/?a=1&b=2)",
    '[l](https://y.example/ "A title")',
    "[l](/about/)",
    "[r][1]\n\n[1]: https://y.example/",
    "![i]({static}/images/x.png)",
    "[![i]({static}/images/x.png)](https://y.example/)",
    "## A heading",
    "A heading\n---------",
    "> quoted\n> twice",
    "    code(1)",
    "```python\nprint(1)\n```",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "Some <b>bold</b> words &copy; me",
    "A line\nand the next of one paragraph",
    "https://bare.example/*/page",
    "needless \\- and \\> escapes, &amp;",
    "***\n\nbelow",
]


@given(note=st.sampled_from(NOTES), hand=st.lists(st.sampled_from(BY_HAND), max_size=3))
def test_handwritten_additions_to_a_note_survive_an_edit_by_an_app(
    note: str, hand: list[str], rules: SiteRules
) -> None:
    made = new_file(post(content=note), when=WHEN, rules=rules)
    text = made.text() + "".join(f"\n{part}\n" for part in hand)
    before = read(PelicanFile.parse(text), rules).first("content")
    assert isinstance(before, str)
    changed = changes(text, rules, content=f"{before}\n\nAnd a line.")
    head = ("Title: ", "Modified: ", "Mf2: ")
    body = [line for line in changed if line != "+ " and not line[2:].startswith(head)]
    assert body == ["+ And a line."]


def test_a_note_of_an_earlier_version_is_read_back_unchanged(rules: SiteRules) -> None:
    made = new_file(post(content="x"), when=WHEN, rules=rules)
    # These stars and this link are not escaped any more.
    earlier = made.with_body("a \\* b, \\[l](<https://x.example/?a=1&b=2>)\n")
    assert read(earlier, rules).all("content") == ("a * b, [l](https://x.example/?a=1&b=2)",)


def test_a_title_generated_from_a_list_is_the_displayed_text(rules: SiteRules) -> None:
    made = new_file(post(content="#first words"), when=WHEN, rules=rules)
    file = PelicanFile.parse(f"{made.text()}\n- a list\n")
    old = read(file, rules)
    new = old.with_properties({"content": ("\\#other *words*\n\n- a list",)})
    assert edit(file, old, new, when=LATER, rules=rules).get("Title") == "#other words a list"


@pytest.mark.parametrize(
    ("sent", "tags"),
    [
        (("C++", "C#", "c"), "C++;"),
        (("same", "Same", "SAME "), "same;"),
        (("café", "Cafe", "tea"), "café; tea;"),
        (("a b", "a-b", "a  b"), "a b;"),
    ],
)
def test_tags_with_the_same_slug_are_shown_once_and_all_read_back(
    sent: tuple[str, ...], tags: str, rules: SiteRules
) -> None:
    file = new_file(post(content="x", category=sent), when=WHEN, rules=rules)
    assert file.get("Tags") == tags
    assert read(file, rules).all("category") == sent
    text = new_file(post(content="x", category=sent), when=WHEN, rules=rules).text()
    changed = changes(text, rules, category=(*sent, "new"))
    assert [line for line in changed if "Tags" in line] == [
        f"- Tags: {tags}",
        f"+ Tags: {tags[:-1]}; new;",
    ]


def test_a_handwritten_tag_leaves_the_others_unchanged(rules: SiteRules) -> None:
    sent = ("c;d", '"q"', "x")
    file = new_file(post(content="x", category=sent), when=WHEN, rules=rules)
    by_hand = file.with_header("Tags", f"{file.get('Tags')} new;")
    old = read(by_hand, rules)
    assert old.all("category") == (*sent, "new")
    new = old.with_properties({"category": ("c;d", "x", "new")})
    edited = edit(by_hand, old, new, when=LATER, rules=rules)
    assert edited.get("Tags") == "c,d; x; new;"
    assert read(edited, rules).all("category") == ("c;d", "x", "new")
