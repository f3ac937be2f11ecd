"""Hostile content: it would break a build, or take very long to process."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from content_site import WHEN, load_rules, site_of
from pelican.contents import Article
from pelican.readers import Readers

from bridge.content import body
from bridge.content.convert import read
from bridge.content.edit import edit
from bridge.content.file import PelicanFile, label, printable, title
from bridge.content.markup import html, note
from bridge.content.markup.links import IntrasiteLinks
from bridge.content.rules import SiteRules
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json, Post, discover

NOTATION = r"[{|](?P<what>.*?)[|}]"
#: Pelican's own expression (``Content._get_intrasite_link_regex``).
PELICANS = re.compile(
    rf"""<[^\>]+(?:href|src|poster|data|cite|formaction|action|content)\s*=\s*
    (?P<quote>["\'])(?P<path>{NOTATION}(?P<value>.*?))(?P=quote)""",
    re.VERBOSE,
)
PIECES = ["<", ">", "a", "<a ", "href=", "src = ", "data=", '"', "'", "{static}", "|x|", "{", "}"]
PIECES += ["/p", "\n", " ", "&#123;", "="]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("markdown", [False, True])
@pytest.mark.parametrize("reference", ["&#1;", "&#x1b;", "&#127;", "&#xFFFE;"])
def test_character_references_cannot_break_a_feed(
    reference: str, markdown: bool, rules: SiteRules
) -> None:
    sent = f"a{reference}b <b onclick=x>c</b>"
    content: Json = sent if markdown else {"html": sent}
    written = body.encode(content, markdown=markdown, rules=rules).text
    assert re.sub(r"\s", " ", written).isprintable()


def test_links_to_files_are_found_wherever_pelican_finds_them() -> None:
    links, chance = IntrasiteLinks(NOTATION), random.Random(1)
    for _ in range(20_000):
        source = "".join(chance.choices(PIECES, k=chance.randint(1, 14)))
        found, theirs = set(links.find(source)), {m["path"] for m in PELICANS.finditer(source)}
        assert theirs <= found, source
        disarmed = links.neutralise(source)
        assert not PELICANS.search(disarmed), source
        assert list(links.find(disarmed)) == []


def test_nested_links_are_escaped_in_one_pass() -> None:
    links = IntrasiteLinks(NOTATION)
    for link in ("href='{a}' ", "href='{a", "src='|"):
        hostile = '<p title="' + link * 20_000 + '">'
        assert all(found.startswith(("{", "|")) for found in links.find(hostile))
        disarmed = links.neutralise(hostile)
        assert len(re.findall("&#12[34];", disarmed)) == 20_000
        # Pelican's turn: it takes minutes for what it was before.
        assert not PELICANS.search(disarmed)


def test_a_line_of_dashes_takes_linear_time() -> None:
    line = "-" * 200_000 + "x"
    assert note.decode(note.encode(line)) == line


def test_scripts_take_linear_time() -> None:
    assert html.find_unsafe("<SCRIPT>x</sCript>" * 20_000)
    assert html.find_unsafe("<script>" * 50_000)
    assert not html.find_unsafe(f'<a href="/&#{"1" * 5_000};">x</a>')


def test_parentheses_after_a_url_take_linear_time() -> None:
    line = "http://a" + ")" * 300_000
    assert note.encode(line) == "<http://a>" + ")" * 300_000


def test_labels_that_no_bracket_closes_take_linear_time(rules: SiteRules) -> None:
    sent = "`" + "[https:&#47;" * 50_000 + "`"
    assert body.encode(sent, markdown=False, rules=rules).text == f"{sent}\n"


def test_unclosed_brackets_do_not_keep_pelican_busy(rules: SiteRules) -> None:
    for sent in ("[a]({b) ", "[a](|b) ", '<a href="{b">x</a> '):
        written = body.encode(sent * 20, markdown=True, rules=rules)
        assert not re.search(r"""href\s*=\s*["'][{|]""", rules.site.render(written.text).html)


def test_handwritten_brackets_are_unchanged(rules: SiteRules) -> None:
    own = "[a]({b) [c]({static}/d)\n"
    allowlist = body.Allowlist.of(own, "md", rules)
    kept = body.encode(f"{own}more", markdown=True, rules=rules, allowlist=allowlist)
    assert kept.text == f"{own}more\n"


GROWING = {
    "never closed": "<p>" + "".join(f"<b id=x{n}>" for n in range(900)) + "<p>x</p>" * 900,
    "a long attribute": f"<b title='{'x' * 5_000}'>" + "<p>x</p>" * 5_000,
    "in an attribute": "<b " + "".join(f"<i title='>{n:0900}'>" for n in range(90)) + "<p>" * 900,
    "a long link": f"<a href='/{'x' * 5_000}'>" + "<p>x</p>" * 5_000,
    "few, but grown": "<p>" + "".join(f"<b id=x{n}>" for n in range(150)) + "<p>x</p>" * 150,
    "deep": "<div>" * 50_000,
    "deep, seemingly closed": "<div><!--</div>-->" * 50_000,
}


@pytest.mark.parametrize("sent", GROWING.values(), ids=GROWING)
def test_html_that_would_grow_is_refused(sent: str, rules: SiteRules) -> None:
    with pytest.raises(InvalidRequest, match="HTML"):
        body.encode({"html": sent}, markdown=False, rules=rules)


def test_attributes_are_measured_in_linear_time() -> None:
    for hostile in ("<b a=\"<b a='", "<b " + "a=b " * 50, "<b a", "<b = ", "<b a ", "<b ///"):
        with pytest.raises(InvalidRequest):
            html.refuse_growing_html(hostile * (200_000 // len(hostile)))


def test_a_long_post_with_many_elements_is_not_refused() -> None:
    paragraph = (
        '<p>a <b>b</b> <em class="x">c</em> <code>d</code> <a href="https://x.y/{}">e</a></p>'
    )
    long = "".join(paragraph.format(number) for number in range(600))
    assert html.sanitise(long).count("<a ") == 600


HAND_WRITTEN = {
    "rst": """Written by hand
###############

:date: 2010-10-03 10:20
:summary: Short
:author: Ann

Text.
""",
    "html": """<html><head><title>Written by hand</title>
<meta name="date" content="2010-10-03 10:20">
<meta name="summary" content="Short">
<meta name="author" content="Ann">
</head><body>
<p>Text.</p>
</body></html>
""",
}


def changed(rules: SiteRules, folder: Path, kind: str = "rst", **properties: Any) -> Article:
    """A handwritten post with some properties changed, as Pelican reads it."""
    name = f"x.{kind}"
    file = PelicanFile.parse(HAND_WRITTEN[kind], name)
    old = read(file, rules)
    new = old.with_properties({name: (value,) for name, value in properties.items()})
    edited = edit(file, old, new, when=WHEN, rules=rules)
    again = read(PelicanFile.parse(edited.text(), name), rules)
    assert all(again.all(name) == (value,) for name, value in properties.items())
    (folder / name).write_text(edited.text())
    readers = Readers({**site_of(rules).settings, "PATH": str(folder)})
    return readers.read_file(str(folder), name, Article)


@pytest.mark.parametrize(
    "sent",
    [
        ".. include:: SECRET",
        ".. raw:: html",
        ".. image:: javascript:alert(1)",
        "javascript:alert(1)",
        "See data:text/html,x and file:///etc/passwd",
        "- item",
        "1. one",
        "(a) one",
        "A. Einstein",
        ":field: x",
        ">>> 1 + 1",
        "As follows::",
        "::",
        "====",
        "\\\\\\\\",
        "__ x_ `y <javascript:z>`_ |w| :raw:`v`",
        "10:20, https://example.org/?a=b:c_d and me: you",
    ],
)
def test_a_header_in_restructured_text_cannot_contain_markup(
    sent: str, rules: SiteRules, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("TOP SECRET")
    sent = sent.replace("SECRET", str(tmp_path / "secret.txt"))
    article = changed(rules, tmp_path, summary=sent, name=sent, author=sent)
    for shown in (article.title, article.metadata["summary"]):
        assert html.plain(shown).strip() == sent
        assert not re.search(r"<(?!/?p\b|/?a\b)", shown)
        assert not re.search(r"href=\"(?!https:)", shown)
    assert article.content.strip() == "<p>Text.</p>"


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
@pytest.mark.parametrize("as_html", [False, True])
def test_no_character_ends_the_block_of_the_content(
    end: str, as_html: bool, rules: SiteRules, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP SECRET")
    sent = f"a{end * 2}.. include:: {secret}{end * 2}.. contents::{end * 2}b"
    if not as_html:
        # What is sent as the format's own text may not use the directive at all.
        with suppress(InvalidRequest):
            assert "TOP SECRET" not in changed(rules, tmp_path, content=sent).content
        return
    page = changed(rules, tmp_path, content={"html": sent}).content
    assert "TOP SECRET" not in page
    assert f".. include:: {secret}" in page
    assert "<div>" in page


@pytest.mark.parametrize("kind", ["rst", "html"])
@pytest.mark.parametrize(
    "sent",
    [
        "<b title='x\" onmouseover=alert(1) y=\"'>c</b>",
        "<b title=\"x&quot; ' onmouseover=alert(1) y='\">c</b>",
        '<b title="&lt;/b>&lt;script>alert(1)&lt;/script>">c</b>',
        "<img src=x alt='It&#39;s \"quoted\"'>",
        "&lt;script>alert(1)&lt;/script> &amp;lt;b>",
        "</body></html><script>alert(1)</script>",
        "<a href='/a?b=1&amp;c={d}'>e</a> <code>{static}/x</code>",
    ],
)
def test_client_html_in_a_handwritten_post_is_neutralised(
    sent: str, kind: str, rules: SiteRules, tmp_path: Path
) -> None:
    page = changed(rules, tmp_path, kind, content={"html": sent})._content
    assert not html.find_unsafe(page)
    assert list(rules.site.links.find(page)) == []
    assert html.plain(page).strip() == html.plain(html.sanitise(sent)).strip()


@pytest.mark.parametrize(
    "sent",
    [
        "<a href='{static}/../secret.txt'>x</a>",
        "<img src=x alt=\"src='{attach}secret.txt'\">",
        "<img src=x alt='src=\"|filename|secret.txt\"'>",
    ],
)
def test_client_html_in_a_handwritten_post_cannot_include_files(
    sent: str, rules: SiteRules, tmp_path: Path
) -> None:
    """Pelican resolves character references in HTML files, and outputs the characters."""
    with pytest.raises(InvalidRequest, match="format"):
        changed(rules, tmp_path, "html", content={"html": sent})
    page = changed(rules, tmp_path, "rst", content={"html": sent})._content
    assert list(rules.site.links.find(page)) == []


@pytest.mark.parametrize("kind", ["rst", "html"])
def test_uploads_in_a_handwritten_post(kind: str, rules: SiteRules, tmp_path: Path) -> None:
    sent = '<p><img src="https://bridge.example/media/2026/11/sea.jpg" alt="Sea"></p>'
    page = changed(rules, tmp_path, kind, content={"html": sent})._content
    assert "{static}/media/2026/11/sea.jpg" in page


@pytest.mark.parametrize("reference", ["&#31;", "&#x1F;", "&#11;", "&#x0b", "&#0012;"])
@pytest.mark.parametrize("sent", ['<p class="a{}h-card">x</p>', '[x](/y){{: class="a{}h-card"}}'])
def test_references_to_control_characters_cannot_hide_a_microformat(
    sent: str, reference: str, rules: SiteRules
) -> None:
    """Parsers of microformats take such a character for the space between two classes."""
    written = body.encode(sent.format(reference), markdown=True, rules=rules).text
    assert "h-card" not in rules.site.render(written, "md").html


ENDLESS = "&#" + "1" * 5000 + ";"


@pytest.mark.parametrize(
    "sent",
    [
        f"x {ENDLESS}",
        f"[x](https://e.example/{ENDLESS})",
        f'<a href="{ENDLESS}">x</a>',
        f'<p class="{ENDLESS}">x</p>',
        f'<iframe src="//{ENDLESS}"></iframe>',
    ],
)
def test_a_reference_with_thousands_of_digits_is_a_character_that_is_missing(
    sent: str, rules: SiteRules
) -> None:
    """Python reads no number as long, and raises an error of its own."""
    contents: list[Json] = [sent, {"html": sent}]
    for content in contents:
        written = body.encode(content, markdown=True, rules=rules).text
        assert ENDLESS not in rules.site.render(written, "md").html
        assert discover(Post("entry", {"content": (content,)})) == "note"
    assert title(sent)
    assert label(sent)


@pytest.mark.parametrize("character", ["\x01", "\r", "\r\n", "x\x7f", "é\ufffe"])
def test_megabytes_of_characters_that_no_file_may_hold(character: str) -> None:
    shown = {"\x01": " ", "\r": "\n", "\r\n": "\n", "x\x7f": "x ", "é\ufffe": "é "}[character]
    assert printable(character * 200_001) == shown * 200_001
