"""Posts in reStructuredText and HTML, which the bridge does not create, but sites contain."""

from __future__ import annotations

import copy
import re
import tempfile
from datetime import UTC, datetime
from difflib import ndiff
from pathlib import Path
from typing import Any

import pytest
from content_site import load_rules, post, properties_of, site_of
from hypothesis import given
from hypothesis import strategies as st
from pelican.contents import Article
from pelican.readers import Readers, RstReader
from pelican.settings import DEFAULT_CONFIG

from bridge.content.convert import read
from bridge.content.edit import edit
from bridge.content.file import Mf2Line, PelicanFile
from bridge.content.rules import SiteRules

LATER = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
RST = """\

My *old* post
#############

:date: 2010-12-03 10:20
:tags: a, b_c
:X-Mine: kept
:summary: One \\*line\\*
    and another
:authors: Jane; Joe

Some *text* with ``code``.

- a list
"""
HTML = """\
<!DOCTYPE html>
<html>
 <head>
  <title>My old &amp; post</title>
  <meta charset="utf-8">
  <meta name="date" content="2010-12-03 10:20" />
  <META content='a, "b"' name="keywords">
  <meta name="summary" content="One &lt;b&gt;line&lt;/b&gt;">
 </head>
 <body class="x">
  <p>Some <i>text</i></p>
 </body>
</html>
"""
FILES = {"content/old.rst": RST, "content/old.html": HTML}
MODIFIED = "2027-01-02T04:04:05+01:00"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


def edited(path: str, rules: SiteRules, **new: Any) -> tuple[PelicanFile, list[str]]:
    """The file after an update, and the lines that changed."""
    file = PelicanFile.parse(FILES[path], path)
    old = read(file, rules)
    wanted = old.with_properties(post(**new).properties)
    changed = edit(file, old, wanted, when=LATER, rules=rules)
    again = PelicanFile.parse(changed.text(), path)
    assert properties_of(read(again, rules), without="updated") == properties_of(wanted)
    lines = ndiff(FILES[path].splitlines(), changed.text().splitlines())
    return again, [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_kept_byte_for_byte(path: str) -> None:
    for text in (FILES[path], FILES[path].replace("\n", "\r\n"), "", "text", "\ufefftext\n"):
        assert PelicanFile.parse(text, path).text() == text


@given(st.text(alphabet=":ab =#\n\t.<>/headbodytitle", max_size=60))
def test_any_text_is_kept_byte_for_byte(text: str) -> None:
    for path in FILES:
        assert PelicanFile.parse(text, path).text() == text


def test_restructured_text_is_parsed(rules: SiteRules) -> None:
    assert properties_of(read(PelicanFile.parse(RST, "x.rst"), rules)) == {
        "name": ("My *old* post",),
        "published": ("2010-12-03T10:20:00+01:00",),
        "category": ("a", "b_c"),
        "summary": ("One *line* and another",),
        "author": ("Jane", "Joe"),
        "content": (RST.partition("Joe\n\n")[2].rstrip("\n"),),
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (".. -*- mode: rst -*-\n\n", ""),
        ("..\n   A licence\n\n   of many words\n.. and another comment\n\n", ""),
        ("", "Of a few lines\n==============\n\n"),
        (".. ours\n\n", "Of a few lines\n==============\n"),
        (".. role:: key\n   :class: k\n\n.. _top:\n\n", ""),
        (
            "",
            ".. role:: key\n\n.. |x| image:: x.png\n   :alt: x\n\n.. meta::\n   :robots: none\n\n",
        ),
        ("", "Of a few lines\n==============\n\n.. default-role:: code\n\n.. ours\n\n"),
    ],
    ids=["a comment", "comments", "a subtitle", "both", "a role", "definitions", "all"],
)
def test_headers_come_after_what_is_not_shown_and_a_subtitle(
    before: str, after: str, rules: SiteRules
) -> None:
    text = before + RST.replace("#############\n\n", f"#############\n\n{after}").lstrip()
    file = PelicanFile.parse(text, "x.rst")
    assert properties_of(read(file, rules))["content"] == (RST.partition("Joe\n\n")[2].rstrip(),)
    assert file.get("Date") == "2010-12-03 10:20"
    assert file.text() == text
    assert [str(tag) for tag in article_of(text, "content/x.rst", rules).tags] == ["a", "b_c"]
    changed = file.with_header("Tags", "b").text()
    assert changed == text.replace(":tags: a, b_c", ":tags: b")


@pytest.mark.parametrize(
    "body",
    [".. contents::\n\nT\n=\n\n:date: x\n", "T\n=\n\nS\n-\n\n:a: list\n\nS 2\n---\n\nx\n"],
    ids=["a directive", "a section"],
)
def test_field_lists_in_the_text_are_not_headers(body: str) -> None:
    file = PelicanFile.parse(body, "x.rst")
    assert file.get("date") is None
    assert body.endswith(file.body)
    assert len(file.body) >= len(body) - len("T\n=\n\n")


def test_html_files_are_parsed(rules: SiteRules) -> None:
    assert properties_of(read(PelicanFile.parse(HTML, "x.html"), rules)) == {
        "name": ("My old & post",),
        "published": ("2010-12-03T10:20:00+01:00",),
        "category": ("a", '"b"'),
        "summary": ("One <b>line</b>",),
        "content": ({"html": "<p>Some <i>text</i></p>"},),
    }


def test_headers_of_restructured_text_change_one_by_one(rules: SiteRules) -> None:
    assert edited("content/old.rst", rules, category=("a", "x_*y*"))[1] == [
        "- :tags: a, b_c",
        "+ :tags: a, x\\_\\*y\\*",
        f"+ :modified: {MODIFIED}",
    ]


def test_a_title_keeps_its_adornment(rules: SiteRules) -> None:
    name = "A much <longer> *title*, 日本"
    file, _ = edited("content/old.rst", rules, name=name)
    title = "A much <longer> \\*title\\*, 日本"
    # The two Japanese characters are twice as wide.
    titled = RST.replace("My *old* post\n#############", f"{title}\n{'#' * (len(title) + 2)}")
    joe = ":authors: Jane; Joe\n"
    assert file.text() == titled.replace(joe, f"{joe}:modified: {MODIFIED}\n")


def test_headers_of_html_change_one_by_one(rules: SiteRules) -> None:
    assert edited("content/old.html", rules, category=("c&d", "e"))[1] == [
        '-   <META content=\'a, "b"\' name="keywords">',
        '+   <META content="c&amp;d, e" name="keywords">',
        f'+   <meta name="modified" content="{MODIFIED}">',
    ]
    assert edited("content/old.html", rules, name="A <new> one")[1][:2] == [
        "-   <title>My old &amp; post</title>",
        "+   <title>A &lt;new&gt; one</title>",
    ]


@pytest.mark.parametrize(
    ("path", "head", "text"),
    [
        (
            "a.md",
            "Title: A\nDate: 2010-12-03\n\n",
            "Old [x]({filename}hand.md#p) ![i]({static}/images/x.png) [a]({attach}a.pdf) {index}\n",
        ),
        (
            "html.md",
            'Title: A\nDate: 2010-12-03\nMf2: {"content":"html"}\n\n',
            '<div><p>Old <a href="{filename}b.md">x</a> <img src="{static}/x.png"></p></div>\n',
        ),
        (
            "a.rst",
            "A\n#\n\n:date: 2010-12-03\n\n",
            "Old `x <{filename}hand.md>`_ and `a <|static|/a.pdf>`_.\n\n.. image:: {static}x.png\n",
        ),
        (
            "a.html",
            '<title>A</title><meta name="date" content="2010-12-03"></head><body>\n',
            '<p>Old <a href="{filename}b.md">x</a> <img src="{attach}x.png"></p>\n</body>\n',
        ),
    ],
)
def test_the_owners_links_to_own_files_survive_an_edit(
    path: str, head: str, text: str, rules: SiteRules
) -> None:
    file = PelicanFile.parse(head + text, f"content/{path}")
    old = read(file, rules)
    content = old.first("content")
    sent: Any = (
        {"html": str(content["html"]).replace("Old", "New")}
        if isinstance(content, dict)
        else str(content).replace("Old", "New")
    )
    changed = edit(file, old, old.with_properties({"content": (sent,)}), when=LATER, rules=rules)
    assert changed.text().endswith(text.replace("Old", "New"))


def test_a_client_adds_no_links_to_files_beside_the_owners(rules: SiteRules) -> None:
    head = 'Title: A\nDate: 2010-12-03\nMf2: {"content":"html"}\n\n'
    file = PelicanFile.parse(f'{head}<div><a href="{{filename}}b.md">x</a></div>\n', "content/a.md")
    old = read(file, rules)
    for target in ("{filename}b.md2", "{filename}c.md", "|filename|b.md"):
        sent: Any = {"html": f"<a href='{target}'>y</a> <a href=\"{{filename}}b.md\">x</a>"}
        new = old.with_properties({"content": (sent,)})
        changed = edit(file, old, new, when=LATER, rules=rules)
        assert set(rules.site.links.find(changed.body)) == {"{filename}b.md"}


def test_an_edit_of_html_keeps_its_indentation(rules: SiteRules) -> None:
    html = "<p>Some <i>more</i></p>"
    _, changes = edited("content/old.html", rules, content={"html": html}, mood="fine")
    assert [line[:25] for line in changes] == [
        '+   <meta name="modified"',
        '+   <meta name="mf2" cont',
        "-   <p>Some <i>text</i></",
        "+   <p>Some <i>more</i></",
    ]


def test_an_edit_of_restructured_text_changes_the_line_that_was_edited(rules: SiteRules) -> None:
    blocks = (
        ".. note::\n\n   Mind `the gap <https://x.example/>`_.\n\n.. code-block:: sh\n\n   ls *"
    )
    file = PelicanFile.parse(f"{RST}\n{blocks}\n", "old.rst")
    old = read(file, rules)
    (text,) = old.all("content")
    assert isinstance(text, str)
    wanted = old.with_properties({"content": (text.replace("Mind", "Minded"),)})
    changed = edit(file, old, wanted, when=LATER, rules=rules)
    assert changed.body == file.body.replace("Mind", "Minded")
    assert changed.get("Mf2") is None


def test_what_comes_before_the_headers_is_defined_for_the_text(rules: SiteRules) -> None:
    defined = ".. role:: pressed\n   :class: p\n\n.. |site| replace:: *mine*\n\n"
    head = RST.partition("Joe\n\n")[0].replace("###\n\n", f"###\n\n{defined}")
    text = f"{head}Joe\n\nPress :pressed:`Ctrl` at |site|.\n"
    file = PelicanFile.parse(text, "old.rst")
    old = read(file, rules)
    assert old.first("content") == "Press :pressed:`Ctrl` at |site|."
    wanted = old.with_properties({"content": ("Press :pressed:`Alt` at |site|.",)})
    changed = edit(file, old, wanted, when=LATER, rules=rules)
    before, after = text.replace("Ctrl", "Alt").split(":authors: Jane; Joe\n")
    assert changed.text() == f"{before}:authors: Jane; Joe\n:modified: {MODIFIED}\n{after}"
    assert article_of(changed.text(), "content/old.rst", rules).date.year == 2010


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize(
    "content",
    ["# Words\n\nand *more*\n", {"html": "<p>a <b>b</b>\n\n<pre>x\n\n y</pre>"}, "a\r\nb"],
)
def test_a_client_can_replace_the_content(path: str, content: Any, rules: SiteRules) -> None:
    file, _ = edited(path, rules, content=content)
    article = article_of(file.text(), path, rules)
    assert "<div" in article._content or "<p" in article._content
    assert "Some" not in article._content


@pytest.mark.parametrize(
    ("path", "text"),
    [("old.rst", RST), ("old.md", "Title: My post\nDate: 2010-12-03 10:20\n\n\nSome text.\n\n")],
)
@pytest.mark.parametrize("content", ["Words, and\nmore\n", "\n\nWords\n\nand more"])
def test_newlines_around_a_text_do_not_have_it_written_twice(
    path: str, text: str, content: str, rules: SiteRules
) -> None:
    written = PelicanFile.parse(text, path)
    old = read(written, rules)
    wanted = old.with_properties({"content": (content,)})
    file = edit(written, old, wanted, when=LATER, rules=rules)
    line = Mf2Line.of(file)
    assert "content" not in line.properties
    assert line.form is None
    assert line.changes
    assert read(file, rules).all("content") == (content,)
    # A text without such newlines needs no line any more.
    old = read(file, rules)
    wanted = old.with_properties({"content": ("Words",)})
    assert edit(file, old, wanted, when=LATER, rules=rules).get("Mf2") is None


@pytest.mark.parametrize("path", FILES)
def test_nested_properties_survive_the_format(path: str, rules: SiteRules) -> None:
    tricky = {
        "value": "https://bridge.example/media/x.jpg",
        "alt": '*a* `b` _c_ |d| \\ "e" <f> &g;',
    }
    file, _ = edited(path, rules, photo=tricky, in_reply_to="https://x.y/a_b_?c=*d*")
    article = article_of(file.text(), path, rules)
    assert article.metadata["mf2"] == file.get("Mf2")


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize(
    ("properties", "key", "seen"),
    [
        ({"name": "A *new* <b>title</b>"}, "title", "A *new* &lt;b&gt;title&lt;/b&gt;"),
        ({"summary": "A `new` & <b>one</b>"}, "summary", "A `new` &amp; &lt;b&gt;one&lt;/b&gt;"),
        ({"post_status": "draft"}, "status", "draft"),
        ({"published": "2011-01-01T00:00:00Z"}, "date", "2011-01-01 01:00:00+01:00"),
        ({"author": "Me_"}, "author", "Me_"),
    ],
)
def test_pelican_reads_the_changed_file(
    path: str, properties: dict[str, Any], key: str, seen: str, rules: SiteRules
) -> None:
    file = PelicanFile.parse(FILES[path], path)
    old = read(file, rules)
    wanted = old.with_properties(post(**properties).properties)
    changed = edit(file, old, wanted, when=LATER, rules=rules)
    article = article_of(changed.text(), path, rules)
    assert article.is_valid()
    read_by_pelican = re.sub(r"</?p[^>]*>\n?", "", str(article.metadata[key]))
    assert read_by_pelican.replace(" & ", " &amp; ") == seen


def article_of(text: str, path: str, rules: SiteRules) -> Article:
    """The article that Pelican's reader makes of the file."""
    name = Path(path).name
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(text.encode())
        return Readers({**site_of(rules).settings, "PATH": folder}).read_file(folder, name, Article)


def read_by_pelican(text: str, path: Path) -> set[str]:
    path.write_text(text, encoding="utf-8")
    _, metadata = RstReader(copy.deepcopy(DEFAULT_CONFIG)).read(str(path))
    return {key for key in ("title", "date", "tags") if metadata.get(key)}


@pytest.mark.parametrize(
    "block",
    [
        *(".. note::\n   x", "..  note::\n   x", ".. note ::\n   x", "..\tNote::\n   x"),
        *(".. note::x", ".. foo::bar", ".. http://a::b", ".. :date: x", ".. [x"),
        *(
            ".. class:: a",
            "..  class:: a",
            ".. class:: a\n\n   shown",
            ".. ROLE:: r",
            ".. title:: T",
        ),
        *(".. raw:: html\n\n   <b>", ".. header:: h", ".. footer::\n\n   f", ".. contents::"),
        *(".. target-notes::", ".. section-numbering::", ".. meta::\n   :description: x"),
        *(".. [1] foot", ".. [#] auto", ".. [#a] auto", ".. [*] star", ".. [CIT] cited"),
        *(".. _t: https://x.example/", "__ https://x.example/", ".. __: https://x.example/"),
        *("..", "..\n\n   quoted", "..\n   comment", ".. comment\n   more\n\n   more"),
        *(".. |s| replace:: x", ".. |a b| unicode:: 0xA9", ".. image:: a.png", ".. rubric:: x"),
        *(".. code-block:: python\n\n   x", ".. code:: python\n\n   x", ".. container:: c\n\n   x"),
    ],
)
@pytest.mark.parametrize("between", ["", "Title\n=====\n\n"])
def test_what_stands_before_the_fields_of_rest_is_what_docutils_skips(
    block: str, between: str, tmp_path: Path
) -> None:
    title = "" if between else "Title\n=====\n\n"
    reference = "`x`__" if "__" in block else "x"
    text = f"{between}{block}\n\n{title}:date: 2020-01-02\n:tags: a, b\n\n{reference}.\n"
    file = PelicanFile.parse(text, "a.rst")
    assert file.text() == text
    found = {key for key in ("title", "date", "tags") if file.get(key)}
    assert found == read_by_pelican(text, tmp_path / "a.rst")


@pytest.mark.parametrize("block", [".. -*- mode: rst -*-", "..\n   comment", ".. sectnum::"])
@pytest.mark.parametrize("fields", [":title: x\n:date: 2020-01-02\n", ":title: x\n"])
def test_fields_of_rest_may_come_after_a_comment_where_there_is_no_title(
    block: str, fields: str, tmp_path: Path
) -> None:
    text = f"{block}\n\n{fields}\nText.\n"
    file = PelicanFile.parse(text, "a.rst")
    found = {key for key in ("title", "date", "tags") if file.get(key)}
    assert found == read_by_pelican(text, tmp_path / "a.rst")
    changed = file.with_header("Slug", "b")
    assert changed.text() == text.replace(fields, f"{fields}:slug: b\n")
