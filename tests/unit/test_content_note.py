"""A note's text survives Markdown: the page shows it unchanged, and it is read back unchanged."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from types import MappingProxyType
from typing import Any

import pytest
from content_site import WHEN, load_rules, properties_of
from hypothesis import given
from hypothesis import strategies as st
from markdown import Markdown
from markdown_it import MarkdownIt

from bridge.content.convert import new_file, read
from bridge.content.edit import edit
from bridge.content.file import Mf2Line, PelicanFile, printable
from bridge.content.markup import note
from bridge.content.rules import SiteRules
from bridge.micropub.post import Post
from bridge.micropub.values import normalise

EXTENSIONS = ["extra", "codehilite", "meta", "toc", "admonition", "wikilinks", "sane_lists"]

SURPRISES = [
    "#indieweb is fun",
    "## two",
    "first line\nsecond line",
    "1. one\n2. two",
    "2026. What a year",
    "- dash\n+ plus\n* star",
    "-\n--\n---\n- - -\n***\n_ _ _\n===\n==",
    "Title\n===",
    "Title\n---",
    "> quoted",
    "    indented\n\ttabbed",
    "[id]: https://example.org",
    "*[HTML]: Hypertext\nHTML",
    "[^1]\n\n[^1]: note",
    "[TOC]",
    "[[wiki]] [x] [x][y] ![x](y)",
    "<b>bold</b> <script>alert(1)</script> <!-- c --> <me@example.org> </p>",
    "&copy; &amp; &lt; AT&T & co &#35;",
    "2*3*4 a * b snake_case __init__ _it *",
    "`",
    "``x`` `a",
    "```\ncode\n```",
    "~~~\ncode\n~~~",
    "a | b\n--|--\n1 | 2",
    "|---|\n|:-:|",
    "term\n: definition",
    "text {: onclick=alert(1) }\n{: .x }",
    "# x {#id}",
    "{static}/../etc/passwd |static|/x {!include!}",
    "!!! note\n    inside",
    "??? x\n/// y\n%% z",
    "C:\\new\\temp \\* \\\\ \\",
    "trailing  \nspaces \t",
    "wzxhzdk:0 klzzwxh:0000",
    "Key: value\nOther: value",
    "a\n\n\n\nb",
    '--8<-- "/etc/passwd"',
    "½ 🎉 日本語 \u202e",
]
#: Text that shows little or nothing, and ends lines where a file or Markdown would cut it off.
BLANKS = [
    "  \n",
    "\n  \n \n\n",
    "\t\n\t",
    "a\n  \nb",
    "  \n   \na  \n  ",
    "\n\na\n\n",
    "\xa0",
    "\xa0  \n\xa0\xa0\n",
    "a\u3000\n\u2003b",
    "\u2028a\u2029",
    "\u200b\n\u200b  \n\u200c",
    "\u2060 a \u2060",
]


def shown(markdown: str) -> str:
    """The text that a browser shows for a body."""
    html = Markdown(extensions=EXTENSIONS).convert(f"Title: x\n\n{markdown}")
    lines = re.sub(r"<br ?/?>\n?", "\n", html).replace("</p>\n<p>", "\n\n")
    return unescape(re.sub(r"<[^>]*>", "", lines))


def as_browsers_do(plain: str) -> str:
    """The text with white space and empty lines collapsed, as in HTML."""
    lines = [" ".join(line.split()) for line in plain.split("\n")]
    return re.sub(r"\n{2,}", "\n\n", "\n".join(lines)).strip()


@pytest.mark.parametrize("sent", SURPRISES)
def test_the_page_shows_what_was_written(sent: str) -> None:
    assert as_browsers_do(shown(note.encode(sent))) == as_browsers_do(sent)


@pytest.mark.parametrize("sent", [*SURPRISES, *BLANKS])
def test_the_text_is_read_back(sent: str) -> None:
    assert note.decode(note.encode(sent)) == sent


ANY = st.text(
    alphabet=st.one_of(
        st.sampled_from(list("#*_`[]()<>{}!-+.:=|~&;\\ \t\n/@^%?'\"1aZé")), st.characters()
    ),
    max_size=80,
).map(printable)


@given(ANY)
def test_any_text_is_read_back(sent: str) -> None:
    assert note.decode(note.encode(sent)) == sent


#: Hardly anything but what is white space to someone, and what surrounds it in a file.
MOSTLY_BLANK = st.text(
    alphabet=st.one_of(
        st.sampled_from(" \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2003\u200b\u2028\u2029\u3000\ufeff"),
        st.sampled_from("a:-#;&"),
    ),
    min_size=1,
    max_size=20,
)


@given(MOSTLY_BLANK.map(printable))
def test_any_white_space_is_read_back(sent: str) -> None:
    assert note.decode(note.encode(sent)) == sent


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


@given(content=MOSTLY_BLANK, summary=MOSTLY_BLANK, name=MOSTLY_BLANK)
def test_white_space_in_a_post_is_read_back_from_its_file(
    content: str, summary: str, name: str, rules: SiteRules
) -> None:
    given = {"content": content, "summary": summary, "name": name}
    sent: dict[str, tuple[Any, ...]] = {
        key: values for key, value in given.items() if (values := normalise(key, [value]))
    }
    file = new_file(Post("entry", MappingProxyType(sent)), when=WHEN, rules=rules)
    found = properties_of(read(PelicanFile.parse(file.text()), rules), without="published")
    assert found == sent


def test_handwritten_character_references_are_decoded_as_in_browsers() -> None:
    assert note.decode("&#8212; &#65; &#55296; &#0;") == "\u2014 A \ufffd \ufffd"


#: Without what is meant as Markdown in a note, too.
LITERAL = ANY.filter(
    lambda sent: not re.search(r"[*`_]|\]\(|~~", sent) and not re.search(r"http", sent)
)


@given(LITERAL)
def test_any_literal_text_is_shown_unchanged(sent: str) -> None:
    # Control characters that are white space to Python are none to Markdown.
    sent = re.sub(r"[^\S \n\t]", " ", sent)
    assert as_browsers_do(shown(note.encode(sent))) == as_browsers_do(sent)


#: What people mean as Markdown, with words of several languages; and what stands between.
WORDS = ["word", "Wörter", "言葉", "كلمة", "שלום", "a, b", "so!", "(so)", "„so“", "«so»", "“so”"]
MEANT = (
    *("*{}*", "**{}**", "***{}***", "_{}_", "~~{}~~", "**a *{}* b**", "`{}`", "<{U}>"),
    *("[{}]({U})", "![{}]({U})", '[{}]({U} "T")', "**[{}]({U})**", "*`{}`*", "{}", "x_y 5 * 3"),
)
BETWEEN = [*(" ", "\n", ", ", ". ", "! ", "; ", ": ", " – ", " (", ") ", " „", "“ ", " «", "» ")]
PIECES = st.builds(
    lambda meant, words, url: meant.replace("{U}", url).replace("{}", " ".join(words)),
    st.sampled_from(MEANT),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2),
    st.sampled_from(["https://a.example/x_y_(z)?q=1&r=2#f", "http://a.example:80/~u/*/it's"]),
)
COMMONMARK = MarkdownIt("commonmark").enable("strikethrough")


def elements(html: str) -> str:
    """HTML without what the two parsers write differently."""
    html = html.replace("<strong><em>", "<em><strong>").replace("</em></strong>", "</strong></em>")
    html = re.sub(r"(</?)s>", r"\1del>", html.replace("&quot;", '"').replace("&#47;", "/"))
    html = html.replace("&#39;", "'")
    html = re.sub(r"<br ?/?>|</?p>", " ", html).replace("%E2", "")
    html = re.sub(r'<img src="(.*?)" alt="(.*?)"', r'<img alt="\2" src="\1"', html)
    return " ".join(html.replace(" />", ">").split())


@given(st.lists(st.tuples(PIECES, st.sampled_from(BETWEEN)), min_size=1, max_size=5))
def test_intended_markdown_is_read_as_commonmark(parts: list[tuple[str, str]]) -> None:
    sent = "so " + "".join(map("".join, parts)).strip()
    assert elements(shown_html(sent)) == elements(COMMONMARK.render(sent))
    assert note.decode(note.encode(sent)) == sent


@given(ANY)
def test_text_cannot_inject_elements(sent: str) -> None:
    html = Markdown(extensions=EXTENSIONS).convert(f"Title: x\n\n{note.encode(sent)}")
    tags = set(re.findall(r"<\s*/?([a-zA-Z]+)", html))
    assert tags <= {"p", "br", "a", "em", "strong", "code", "img", "del"}
    assert not re.search(r"""(?:href|src)="(?!https?://)""", html)


def test_intended_markdown_is_kept() -> None:
    sent = "A [link](https://example.org/a_(b)), **strong** and *stressed* words, `code`."
    html = Markdown(extensions=EXTENSIONS).convert(note.encode(sent))
    assert '<a href="https://example.org/a_(b)">link</a>' in html
    assert "<strong>strong</strong> and <em>stressed</em> words, <code>code</code>." in html
    assert note.encode(sent) == sent


def test_a_bare_url_becomes_a_link_without_surrounding_punctuation() -> None:
    html = shown_html("See https://example.org/Foo_(bar). Or (http://x.y/?a=1&b=2)!")
    assert '<a href="https://example.org/Foo_(bar)">https://example.org/Foo_(bar)</a>.' in html
    assert '(<a href="http://x.y/?a=1&amp;b=2">http://x.y/?a=1&amp;b=2</a>)!' in html


def test_hard_wrapped_text_flows_and_a_poem_keeps_its_lines() -> None:
    wrapped = (
        "This text came from a mail program that breaks each line where the\n"
        "next word would not have fitted any more, so that its newlines mean\n"
        "nothing at all."
    )
    assert "<br" not in shown_html(wrapped)
    assert shown_html("Roses are red\nViolets are blue").count("<br") == 1


def test_a_list_with_long_lines_is_not_reflowed() -> None:
    line = "- a line of some considerable length, as it would be if it were wrapped"
    assert shown_html("\n".join([line] * 4)).count("<br") == 3


def test_a_summary_stays_on_one_line() -> None:
    assert note.encode_line("# a\n b  c") == "\\# a b c"


def test_a_hand_edit_of_the_body_is_read_as_text() -> None:
    assert note.decode("Now <https://example.org>  \n\\# and &amp;amp; 5 < 6") == (
        "Now https://example.org\n# and &amp; 5 < 6"
    )


def shown_html(sent: str) -> str:
    return Markdown(extensions=EXTENSIONS, output_format="html").convert(note.encode(sent))


#: What people write, and the one link (or none) that they mean.
LINKS = [
    ("[x](https://a.example/?a=1&amp;b=2) &amp; y", ["https://a.example/?a=1&b=2"]),
    ("**[x](</a?b=c d&amp;e>)** [y](/it's?a&amp;b 'T')", ["/a?b=c d&e", "/it's?a&b"]),
    ("[![p](/p.jpg?a&amp;b)](/?c&amp;amp;d)", ["/?c&amp;d"]),
    ("[a](https://x.example/?x=1&y=2)", ["https://x.example/?x=1&y=2"]),
    ("[a](https://x.example/it's*so*)", ["https://x.example/it's*so*"]),
    ("[m](mailto:a@b.example)", ["mailto:a@b.example"]),
    ("[r](/about/)", ["/about/"]),
    ("[n](y) and regex[0](x)", []),
    (
        "https://web.archive.org/web/*/https://example.org/",
        ["https://web.archive.org/web/*/https://example.org/"],
    ),
    (
        "https://shop.example/list?filter[colour]=red,",
        ["https://shop.example/list?filter[colour]=red"],
    ),
    ("https://fonts.example/css?family=Open|Lato", ["https://fonts.example/css?family=Open|Lato"]),
    ("https://[2001:db8::1]/x", ["https://[2001:db8::1]/x"]),
    ("見てhttps://example.jp/a。次は", ["https://example.jp/a"]),
    ("(「https://example.jp/a」)", ["https://example.jp/a"]),
    ("“https://a.example/it's” and so on", ["https://a.example/it's"]),
    (
        "‘https://a.example/don’t’ ‚https://b.example/‘",
        ["https://a.example/don’t", "https://b.example/"],
    ),
    (
        "رأيت https://ar.example/b؟ ثم https://ar.example/c، هنا",
        ["https://ar.example/b", "https://ar.example/c"],
    ),
    ("यह https://hi.example/ख।अब", ["https://hi.example/ख"]),
    ("דף https://he.example/א, סוף", ["https://he.example/א"]),
    ("ይህ https://am.example/a።", ["https://am.example/a"]),
    ("טקסט〔https://a.example/b〕", ["https://a.example/b"]),
    ("*https://a.example/b*", ["https://a.example/b"]),
    ("[https://a.example/b]", ["https://a.example/b"]),
    ("HTTP://A.example/x", ["HTTP://A.example/x"]),
    (
        "See www.a.example/b_c?x=[1]&y. (WWW.a.example)",
        ["http://www.a.example/b_c?x=[1]&y", "http://WWW.a.example"],
    ),
    (
        "www. or www.example, awww.a.example, me@www.a.example, http://a.example/www.b.example",
        ["http://a.example/www.b.example"],
    ),
    ("*www.a.example* 見てwww.a.example。", ["http://www.a.example"]),
    (
        "[C:\\x www.a.example](https://b.example/) www.c.example,[x](https://d.example/)",
        [
            "http://www.a.example",
            "https://b.example/",
            "http://www.c.example",
            "https://d.example/",
        ],
    ),
    ("https://en.example/wiki/Foo_(bar).", ["https://en.example/wiki/Foo_(bar)"]),
    ("See <https://x.example/a_b?c=[1]&d>.", ["https://x.example/a_b?c=[1]&d"]),
    ("<https://a.example/> <HTTP://B.example/*>", ["https://a.example/", "HTTP://B.example/*"]),
    ("<https://a.example/ b>, <https://>", ["https://a.example/"]),
    ("[a](https://x.example/{x}|y)", ["https://x.example/{x}|y"]),
    ("[a](gemini://x.example/) [b](geo:1,2)", ["gemini://x.example/", "geo:1,2"]),
    ("[a](javascript:alert(1)) [b](data:text/html,x) [c](file:///etc/passwd)", []),
    ("[a\nb](https://x.example/)", ["https://x.example/"]),
    ("**https://x.example/**", ["https://x.example/"]),
    ("https://a.example/\u2028https://b.example/", ["https://a.example/", "https://b.example/"]),
]


def test_a_url_in_angle_brackets_is_shown_without_them(rules: SiteRules) -> None:
    assert shown_html("See <https://x.example/a_b>.") == (
        '<p>See <a href="https://x.example/a_b">https:&#47;/x.example/a_b</a>.</p>'
    )
    assert note.plain("See <https://x.example/a_b>.") == "See https://x.example/a_b."
    sent = f"<{rules.media.prefixes[0]}a.jpg>"
    file = new_file(Post("entry", MappingProxyType({"content": (sent,)})), when=WHEN, rules=rules)
    assert file.body == "[a.jpg]({static}/media/a.jpg)\n"
    assert read(PelicanFile.parse(file.text()), rules).all("content") == (sent,)


CODE = "Look\n```python\nif *a*:\n\n    x = [b](https://x.example/) ** 2\n```\nand **so**"


@pytest.mark.parametrize("path", ["[a]?b&lt;c", "a[1]=b&#65;&c", "a]b&amp;c", "[[a]]?b&copy;"])
@pytest.mark.parametrize("start", ["<https://x.example/", "www.x.example/"])
def test_a_url_with_brackets_is_shown_as_a_link(start: str, path: str) -> None:
    url = f"{start}{path}".removeprefix("<")
    sent = f"See {start}{path}{'>' if start[0] == '<' else ''} there"
    encoded = note.encode(sent)
    assert note.decode(encoded) == sent
    assert note.is_encoded(encoded)
    assert note.is_encoded(encoded.replace(r"\]", "]")), "as an earlier version wrote it"
    html = Markdown(extensions=["extra", "meta"]).convert(encoded)
    assert (
        re.sub(r"</?(?:p|a)\b[^>]*>", "", html).replace("&amp;", "&").replace("&#47;", "/")
        == f"See {url} there"
    )
    assert html.count("<a ") == 1


def test_code_between_fences_is_shown_as_it_was_typed() -> None:
    html = shown_html(CODE)
    shown_text = unescape(re.sub(r"<[^>]*>", "", html)).replace("\xa0", " ")
    assert shown_text == CODE.replace("\n\n", "\n").replace("**so**", "so")
    assert "<strong>so</strong>" in html
    assert "<em>" not in html
    assert note.plain(CODE) == CODE.replace("**so**", "so")
    assert note.decode(note.encode(CODE)) == CODE
    assert "<em>" in shown_html("```\n*a* and no end")


@pytest.mark.parametrize(
    "sent", ["A poem\n  with a step\n    and a further one", "\tx\n \t y\n z", "  \u3000a"]
)
def test_indentation_is_seen(sent: str) -> None:
    lines = re.sub(r"<[^>]*>", "", shown_html(sent)).split("\n")
    for line, shown_line in zip(sent.split("\n"), lines, strict=True):
        indent = len(line) - len(line.lstrip())
        seen = unescape(shown_line)
        assert len(seen) - len(seen.lstrip()) == indent
        assert indent < 2 or not seen.startswith((" ", "\t"))
    assert note.decode(note.encode(sent)) == sent


@pytest.mark.parametrize(
    "earlier",
    [
        "&#32;   code  \n&#9;tab",
        "&lt;<https://x.example/>>",
        "\\*a  \nb\\*",
        '[a](/it\'s "T") \\*',
        "\\[x](<http://a.b/?c&amp;d>)",
    ],
)
def test_what_an_earlier_version_wrote_is_still_text(earlier: str) -> None:
    assert note.is_encoded(earlier)


def test_an_edit_of_one_line_keeps_emphasis_across_lines(rules: SiteRules) -> None:
    sent = "This is *very\nimportant* here\nand # there"
    file = new_file(Post("entry", MappingProxyType({"content": (sent,)})), when=WHEN, rules=rules)
    old = read(file, rules)
    for changed in ("This is *very\nimportant here\nand # there", f"{sent}\n*so*", "x\n*so"):
        new = old.with_properties({"content": (changed,)})
        edited = edit(file, old, new, when=WHEN, rules=rules)
        assert edited.body == f"{note.encode(changed)}\n"
        assert read(edited, rules).all("content") == (changed,)


@pytest.mark.parametrize(("written", "targets"), LINKS)
def test_urls_become_links_as_intended(written: str, targets: list[str]) -> None:
    encoded = note.encode(written)
    shown = Markdown(extensions=EXTENSIONS).convert(encoded)
    assert [unescape(found) for found in re.findall(r'href="([^"]*)"', shown)] == targets
    assert note.decode(encoded) == written


def test_an_upload_in_a_notes_text_is_linked_as_the_sites_own_file(rules: SiteRules) -> None:
    url = f"{rules.media.prefixes[0]}2026/11/lake.jpg"
    sent = f"A view ![lake]({url}) and [the file]({url})"
    post = Post("entry", MappingProxyType({"content": (sent,)}))
    file = new_file(post, when=WHEN, rules=rules)
    own = "{static}/media/2026/11/lake.jpg"
    assert f"![lake]({own}) and [the file]({own})" in file.body
    assert read(PelicanFile.parse(file.text()), rules).all("content") == (sent,)


UPLOAD = "https://bridge.example/media/2026/11/teal_1-f6157e52bbc0.jpg"
STATIC = "{static}/media/2026/11/teal_1-f6157e52bbc0.jpg"


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (UPLOAD, f"![]({STATIC})"),
        (f"A view:\n{UPLOAD}\n\nThe sea", f"A view:  \n![]({STATIC})\n\nThe sea"),
        (f"See {UPLOAD}.", f"See [teal\\_1-f6157e52bbc0.jpg]({STATIC})."),
        (f"{UPLOAD} {UPLOAD}", " ".join([f"[teal\\_1-f6157e52bbc0.jpg]({STATIC})"] * 2)),
        (UPLOAD.replace(".jpg", ".mp3"), f"[teal\\_1-f6157e52bbc0.mp3]({STATIC[:-3]}mp3)"),
        (f"![teal]({UPLOAD}) and [t]({UPLOAD})", f"![teal]({STATIC}) and [t]({STATIC})"),
        (f'A <img src="{UPLOAD}" alt="b">', f'A <img src="{STATIC}" alt="b">'),
        # Not an upload: an address of another's.
        ("https://a.example/media/x.jpg", "<https://a.example/media/x.jpg>"),
        (f"{UPLOAD}?size=2", f"![]({STATIC}?size=2)"),
    ],
)
def test_a_bare_upload_url_is_linked_as_the_sites_own_file(
    sent: str, body: str, rules: SiteRules
) -> None:
    file = new_file(Post("entry", MappingProxyType({"content": (sent,)})), when=WHEN, rules=rules)
    assert file.body == f"{body}\n"
    assert read(file, rules).all("content") == (sent,)
    assert "content" not in Mf2Line.of(file).properties, "the body alone says it"
    assert "media" not in (file.get("Title") or "") or "?" in sent or "a.example" in sent
    assert "bridge.example" not in file.text() or "?" in sent


def test_a_link_whose_text_is_the_uploads_url_is_read_back_unchanged(rules: SiteRules) -> None:
    for sent in (f"[teal\\_1-f6157e52bbc0.jpg]({UPLOAD})", f"![]({UPLOAD})"):
        post = Post("entry", MappingProxyType({"content": (sent,)}))
        assert read(new_file(post, when=WHEN, rules=rules), rules).all("content") == (sent,)


@pytest.mark.parametrize(("end", "title"), [("jpg", "Photo"), ("mp4", "Video"), ("pdf", "File")])
def test_a_note_with_only_a_file_is_titled_by_its_type(
    end: str, title: str, rules: SiteRules
) -> None:
    url = UPLOAD.replace(".jpg", f".{end}")
    file = new_file(Post("entry", MappingProxyType({"content": (url,)})), when=WHEN, rules=rules)
    assert file.get("Title") == title


@pytest.mark.parametrize(
    "sent",
    [
        "(*) test (*)",
        "(*^_^*)",
        "regex ^a.*b.*$ and 2*3*4 and *.py, *.txt",
        "Leser*innen und Autor*innen",
        "a * b * c",
        "*) x (*",
        "*so\n\nit*",
        "* a\n* b\n  * c",
        "5*\n*excluding taxes",
        "5*! and 6*!",
        "*_* and T_T",
        "f(*args, **kwargs), **/*.py, 2**3**4",
        "(*´▽*)(*ノωノ)",
        "****a****",
        "__init__ and _ so _ and a_b_c and ____ and (_ _) and o_O ^_^ T_T",
        "5~~6 ~~~ a ~~ b ~~, そうだね~~楽しい~~ はい~~",
        'the "*" or "*" key, \'**\' and \'**\', „*“ und „*“, »*« »*«, ‘_’ or ‘_’, "~~" "~~"',
        "(*'ω'*) o(*￣▽￣*)ブ (*ﾟ▽ﾟ*) (*‘ω‘*)",
        "rm *-old* x **-1 and y **-2, 2*3* 4**5** x_y_ z",
        "*\u200b* **\u2067\u2069** _\u200d_",
        "¯\\_(ツ)_/¯ and A_b_ and C:\\_old_ and a=_b_ and ;_x_; and X~~y~~ and \\~~z~~",
    ],
)
def test_asterisks_without_emphasis_are_shown(sent: str) -> None:
    html = shown_html(sent)
    assert "<em>" not in html
    assert "<strong>" not in html
    assert note.plain(sent) == sent
    lines = unescape(re.sub(r"<[^>]*>", "", html).replace("</p>", "")).replace("\xa0", " ")
    assert lines.replace("\n", "") == sent.replace("\n", "")


@pytest.mark.parametrize(
    ("sent", "html", "words"),
    [
        ("*so* and **so**.", "<em>so</em> and <strong>so</strong>.", "so and so."),
        ('("*so*", *yes!*)', '("<em>so</em>", <em>yes!</em>)', '("so", yes!)'),
        (
            "**b [l](https://y.example/it's) c**",
            '<strong>b <a href="https://y.example/it&#39;s">l</a> c</strong>',
            "b l c",
        ),
        (  # Python-Markdown takes an apostrophe for the start of a title
            "[l](https://y.example/it's) ![i](/it's 'T') [t](https://y.example/ 'T')",
            '<a href="https://y.example/it&#39;s">l</a> <img alt="i" src="/it&#39;s" title="T">'
            ' <a href="https://y.example/" title="T">t</a>',
            "l i t",
        ),
        (
            "[*so* it](https://y.example/?a=1&b=2)",
            '<a href="https://y.example/?a=1&amp;b=2"><em>so</em> it</a>',
            "so it",
        ),
        (
            "[![i](https://x.example/i.png)](https://y.example/)",
            '<a href="https://y.example/"><img alt="i" src="https://x.example/i.png"></a>',
            "i",
        ),
        (
            '[l](https://y.example/ "A title")',
            '<a href="https://y.example/" title="A title">l</a>',
            "l",
        ),
        (
            "[l](https://y.example/ 'A title')",
            '<a href="https://y.example/" title="A title">l</a>',
            "l",
        ),
        (
            "[`a[0]`](https://y.example/)",
            '<a href="https://y.example/"><code>a[0]</code></a>',
            "a[0]",
        ),
        ("[[PDF] l](https://y.example/)", '<a href="https://y.example/">[PDF] l</a>', "[PDF] l"),
        (
            "[https://a.example/x_y_](https://y.example/)",
            '<a href="https://y.example/">https://a.example/x_y_</a>',
            "https://a.example/x_y_",
        ),
        ("[t](tel:+491), [u](../x/)", '<a href="tel:+491">t</a>, <a href="../x/">u</a>', "t, u"),
        ("![](https://a.example/i.png)", '<img alt="" src="https://a.example/i.png">', ""),
        ("[s](#top)", '<a href="#top">s</a>', "s"),
        ("**b *c* d**", "<strong>b <em>c</em> d</strong>", "b c d"),
        (
            "*b **c** d* ***e***",
            "<em>b <strong>c</strong> d</em> <strong><em>e</em></strong>",
            "b c d e",
        ),
        ("**`c` d**", "<strong><code>c</code> d</strong>", "c d"),
        (
            "これは**強調**です。「*斜体*」",
            "これは<strong>強調</strong>です。「<em>斜体</em>」",
            "これは強調です。「斜体」",
        ),
        ("これは`code`です", "これは<code>code</code>です", "これはcodeです"),
        ("it`s 5 o`clock", "it`s 5 o`clock", "it`s 5 o`clock"),
        (
            "`<b> & {x} C:\\n &lt;` and ``a`b``, `` ` ``",
            "<code>&lt;b&gt; &amp; {x} C:\\n &amp;lt;</code> and <code>a`b</code>, <code>`</code>",
            "<b> & {x} C:\\n &lt; and a`b, `",
        ),
        (
            "**Q & A <3 [x] z**, **$5**, **🎉 Party**, *yes ✨*, **_a_**, _**b**_",
            "<strong>Q &amp; A &lt;3 [x] z</strong>, <strong>$5</strong>,"
            " <strong>🎉 Party</strong>,"
            " <em>yes ✨</em>, <strong><em>a</em></strong>, <em><strong>b</strong></em>",
            "Q & A <3 [x] z, $5, 🎉 Party, yes ✨, a, b",
        ),
        (
            "[l](HTTPS://Y.example/), https:// and https://. xhttps://y.example",
            '<a href="HTTPS://Y.example/">l</a>, https:// and https://. xhttps://y.example',
            "l, https:// and https://. xhttps://y.example",
        ),
        (
            "https://a.example/c* d https://a.example/e* f",
            '<a href="https://a.example/c">https://a.example/c</a>* d '
            '<a href="https://a.example/e">https://a.example/e</a>* f',
            "https://a.example/c* d https://a.example/e* f",
        ),
        ("**Autor*innen** hier", "<strong>Autor*innen</strong> hier", "Autor*innen hier"),
        (
            "_so it is_ and (_so_), __very much so__.",
            "<em>so it is</em> and (<em>so</em>), <strong>very much so</strong>.",
            "so it is and (so), very much so.",
        ),
        (
            "~~old **b** `c`~~ new, ~~[l](https://y.example/)~~.",
            '<del>old <strong>b</strong> <code>c</code></del> new, <del><a href="https://y.example/">l'
            "</a></del>.",
            "old b c new, l.",
        ),
        (
            "**~~b~~** [~~l~~](/y/)",
            '<strong><del>b</del></strong> <a href="/y/"><del>l</del></a>',
            "b l",
        ),
        (
            '[l](<https://y.example/a (b) c>) ![i](</i j.png> "t")',
            '<a href="https://y.example/a (b) c">l</a> <img alt="i" src="/i j.png" title="t">',
            "l i",
        ),
        ("[l]( https://y.example/ )", '<a href="https://y.example/">l</a>', "l"),
        (
            "so *it\nis* and **that\ntoo**, _lo\nw_, ~~a\nb~~",
            "so <em>it<br>\nis</em> and <strong>that<br>\ntoo</strong>,"
            " <em>lo<br>\nw</em>, <del>a<br>\nb</del>",
            "so it\nis and that\ntoo, lo\nw, a\nb",
        ),
        (
            "*so\n- it\n# is*",
            "<em>so<br>\n- it<br>\n# is</em>",
            "so\n- it\n# is",
        ),
        (
            "![a [b] <c>](https://a.example/i.png) [x < y > z](https://y.example/)",
            '<img alt="a [b] &lt;c&gt;" src="https://a.example/i.png">'
            ' <a href="https://y.example/">x &lt; y &gt; z</a>',
            "a [b] <c> x < y > z",
        ),
        (
            'so <img src="https://a.example/i_j.png?a=1&b=*" alt="A *b* c" width="3" /> it\n'
            '<img alt="" src="https://a.example/k.png">',
            'so <img src="https://a.example/i_j.png?a=1&b=*" alt="A *b* c" width="3"> it<br>\n'
            '<img alt="" src="https://a.example/k.png">',
            "so A *b* c it\n",
        ),
        (
            '<img src="x"> <img src="https://a.example/" onerror="x"> <b>',
            '&lt;img src="x"&gt; &lt;img src="'
            '<a href="https://a.example/">https://a.example/</a>" onerror="x"&gt; &lt;b&gt;',
            '<img src="x"> <img src="https://a.example/" onerror="x"> <b>',
        ),
        (
            "**Pelican**s are **50**%, *so*s not, 2**3**a neither",
            "<strong>Pelican</strong>s are <strong>50</strong>%, *so*s not, 2**3**a neither",
            "Pelicans are 50%, *so*s not, 2**3**a neither",
        ),
        ("/*so*/ and/*or* /* so */", "/*so*/ and/<em>or</em> /* so */", "/*so*/ and/or /* so */"),
        ("a\u2028b\u2029c", "a\u2028<br>\nb\u2029<br>\nc", "a\u2028b\u2029c"),
    ],
)
def test_nested_intended_markdown_is_kept(sent: str, html: str, words: str) -> None:
    assert shown_html(sent).replace(" />", ">") == f"<p>{html}</p>"
    assert note.decode(note.encode(sent)) == sent
    assert note.plain(sent) == words


@pytest.mark.parametrize(
    "sent",
    [
        "यह *नहीं*। अब _नहीं_ है, **यह नहीं** ~~नहीं~~",
        "ครับ*ที่*ครับ **ไม่** `code` ดู`code`ครับ",
        "যা **খুশি** তাই, *വളരെ നന്ദി*",
        "قال *مرحبًا* ثم **أهلًا**، *كتابٌ*؟",
        "*e\u0301te\u0301* **שָׁלוֹם**",
        "*ありがとう！*ね **「引用」**です",
        "*Ποιός;* **Ναι·** *Բարև՛* **հա։** *ሰላም*።",
        "„**hallo**“ ‚*so*‘ »**so**« ›_so_‹ ”*hej*” “~~so~~”, ¿**qué**? ¡*hola*! …*so*…",
        "**„Wichtig“** *»so«* *›so‹* ***«so»***",
        '"*«¿Qué?»*" “*‘#so’*” “**‘…so’**”',
        "\u200f*עברית* \u2067**x**\u2069 *\u2067x\u2069*",
        "**-5 °C** **+1** **→ here** **...and** *…so*, **so →**",
        "🎉**so**🎉 ❤\ufe0f*so*✨ ~~so~~👍🏽",
        "*👩🏽\u200d🚀* **🇩🇪** *1\ufe0f\u20e3* **🏴\U000e0067\U000e007f** *20₺* *№5* *♥*",
    ],
)
def test_words_are_stressed_in_every_script(sent: str) -> None:
    html = shown_html(sent)
    assert not re.search(r"[*~`]", html)
    assert html.count("<em>") + html.count("<strong>") + html.count("<del>") >= 2
    assert note.plain(sent) == re.sub(r"[*~`]|(?<=[ ›])_|_(?=[ ‹])", "", sent)
    assert note.decode(note.encode(sent)) == sent


@pytest.mark.cold
def test_the_grammar_is_not_compiled_while_the_bridge_starts() -> None:
    code = (
        "from bridge.content.markup import note, note_grammar\n"
        "slow = note_grammar.tokens, note_grammar.in_label\n"
        "print(*(each.cache_info().currsize for each in slow))\n"
        "note.prepare()\n"
        "print(*(each.cache_info().currsize for each in slow))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0", "1", "1"]
