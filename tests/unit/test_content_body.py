"""Content in a file's body: HTML is displayed but cannot execute, and Markdown is judged by
its output.
"""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup
from content_site import WHEN, load_rules, post
from hypothesis import given
from hypothesis import strategies as st
from markdown import Markdown

from bridge.content import body
from bridge.content.convert import new_file, read
from bridge.content.file import PelicanFile
from bridge.content.markup import html
from bridge.content.rules import SiteRules

MEDIA_URL = "https://bridge.example/media/2026/x.jpg"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"), html="trust")


def decoded(text: str, form: Any, rules: SiteRules) -> Any:
    return body.decode(PelicanFile(body=text), form, rules)


def of_html(sent: str, rules: SiteRules) -> str:
    return body.encode({"html": sent}, markdown=False, rules=rules).text


@pytest.mark.parametrize(
    "sent",
    [
        "<p>This post has <b>bold</b> and <i>italic</i> text.</p>",
        "plain & simple",
        "<pre>a\n\n\tb\n    c</pre>",
        "<p>one</p>\n\n\n<p>two</p>\n# no heading\n\n    no code",
        '<ul><li>a <a href="https://x.y/?a=1&amp;b=2" title="*t*">b</a></li></ul>',
        "<blockquote>x<br>y</blockquote><hr><table><tbody><tr><td>1</td></tr></tbody></table>",
        '<video controls="" src="https://x.y/v.mp4"></video>',
        "<p>&lt;script&gt; [x]: y *z* _a_ `b` &amp;copy;</p>",
        "<figure><img src=\"https://x.y/z.png\" alt=\"&quot;q&quot;\"><figcaption>c</figcaption>"
        "</figure>",
    ],
)  # fmt: skip
def test_html_is_unchanged_on_the_page(sent: str, rules: SiteRules) -> None:
    written = of_html(sent, rules)
    page = rules.site.render(written).html
    assert tree(page) == tree(f"<div>{sent}</div>")


def tree(source: str) -> str:
    """The elements and texts that a browser sees, without surrounding white space."""
    whole = BeautifulSoup(source.strip(), "html5lib").select_one("body")
    assert whole is not None
    return whole.decode_contents().strip()


@pytest.mark.parametrize(
    "sent",
    [
        "<script>alert(1)</script>",
        "<p onclick=alert(1)>x",
        '<a href="javascript:alert(1)">x</a>',
        "<a href=' &#106;ava\tscript:alert(1)'>x</a>",
        "<iframe src='https://x.y'></iframe>",
        "<form action='https://x.y'><input name=q></form>",
        "<style>*{display:none}</style>",
        "<svg onload=alert(1)><a xlink:href='javascript:x'>y</a></svg>",
        "<img src=x onerror=alert(1)>",
        "<meta http-equiv=refresh content='0;url=https://x.y'>",
        "<base href='https://x.y'>",
        "</div></div></article><script>alert(1)</script>",
        "<math><mtext><table><mglyph><style><!--</style>"
        "<img title='--&gt;&lt;img src=1 onerror=x&gt;'>",
        "<!--><script>alert(1)</script>-->",
        "<div markdown='1' onclick=x>",
    ],
)
def test_active_html_is_neutralised(sent: str, rules: SiteRules) -> None:
    page = rules.site.render(of_html(sent, rules)).html
    assert not html.find_unsafe(page)
    for word in ("<script", "onclick", "onerror", "onload", "javascript:", "<iframe", "<form"):
        assert word not in page.lower().replace("&lt;", "")
    assert page.count("<div") == page.count("</div")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('<img srcset="javascript:x">', "<img>"),
        ('<img srcset="/a.jpg 1x, &#1;javascript:x">', '<img srcset="/a.jpg 1x">'),
        ('<img srcset="/a.jpg,javascript:x, data:image/png;base64,AA 2x, b.jpg 3x">',
         '<img srcset="/a.jpg,javascript:x, b.jpg 3x">'),
        ('<source srcset="vbscript:x, /a.jpg x(1, 2), javascript:y">',
         '<source srcset="/a.jpg x(1, 2)">'),
        ('<blockquote cite="javascript:x">a</blockquote>', "<blockquote>a</blockquote>"),
        ('<a href="/" ping="javascript:x">a</a>', '<a href="/">a</a>'),
        ('<video poster="javascript:x"></video>', "<video></video>"),
    ],
)  # fmt: skip
def test_each_url_of_an_attribute_has_an_allowed_scheme(sent: str, shown: str) -> None:
    assert html.find_unsafe(sent)
    assert html.sanitise(sent) == shown
    assert not html.find_unsafe(shown)


@pytest.mark.parametrize(
    "srcset",
    ["a.jpg", "/a.jpg 1x, https://x.y/b,c.jpg 2x", "{static}/a.jpg 400w,\n {static}/b.jpg 800w,"],
)
def test_candidates_for_a_picture_are_unchanged(srcset: str) -> None:
    sent = f'<img srcset="{srcset}">'
    assert html.sanitise(sent) == sent
    assert not html.find_unsafe(sent)


def test_many_candidates_take_linear_time() -> None:
    for part in (",", "a,", "a (", "a x,", "(,)", "a\t", ",a"):
        html.sanitise(f'<img srcset="javascript:x, {part * (400_000 // len(part))}">')


@pytest.mark.parametrize(
    ("sent", "shown", "words"),
    [
        (
            '<iframe src="https://v.example/e?a=1&amp;b=2" allowfullscreen></iframe>',
            '<p><a href="https://v.example/e?a=1&amp;b=2">v.example/e</a></p>',
            "v.example/e",
        ),
        (
            "<iframe title='A \"film\"' src=//v.example/e></iframe>",
            '<p><a href="https://v.example/e">A "film"</a></p>',
            'A "film"',
        ),
        (
            "<iframe src='https://v.example/\" onclick=\"x'>",
            '<p><a href="https://v.example/&quot; onclick=&quot;x">v.example/" onclick="x</a></p>',
            'v.example/" onclick="x',
        ),
        ("x<iframe src='javascript:alert(1)'></iframe><input value=1>", "x", "x"),
        (
            "<ul><li><input type=checkbox checked disabled> a<li><input type='CHECKBOX'> b</ul>",
            "<ul><li>☑ a</li><li>☐ b</li></ul>",
            "☑ a ☐ b",
        ),
        (
            "<p>so <math display=block onclick=x><msup><mi>x</mi><mn>2</mn></msup><mo>+</mo>"
            "<mn>1</mn><annotation>x</annotation><a href='https://x.example'>y</a></math>.</p>",
            '<p>so <math display="block"><msup><mi>x</mi><mn>2</mn></msup><mo>+</mo>'
            "<mn>1</mn></math>.</p>",
            "so x2+1y.",
        ),
        (
            "<math><mfenced><mi>x</mi></mfenced><menclose><mi>y</mi></menclose></math>",
            "<math><mi>x</mi><mi>y</mi></math>",
            "xy",
        ),
        (
            "<table><tr><td>a</td><td>b</td></tr></table><dl><dt>c<dd>d</dl>e<hr>f",
            "<table><tbody><tr><td>a</td><td>b</td></tr></tbody></table>"
            "<dl><dt>c</dt><dd>d</dd></dl>e<hr>f",
            "a b c d e f",
        ),
    ],
)
def test_what_html_says_is_not_lost(sent: str, shown: str, words: str, rules: SiteRules) -> None:
    assert html.sanitise(sent) == shown
    assert " ".join(html.plain(sent).split()) == words
    assert html.sanitise(shown) == shown
    file = new_file(post(content={"html": sent}), when=WHEN, rules=rules)
    assert read(file, rules).all("content") == ({"html": sent},)


@pytest.mark.parametrize(
    "sent",
    [
        "<img src='{static}/../secret.txt'>",
        '<a href="{attach}secret.txt">x</a>',
        '<a href=" {filename}x.md">x</a>',
        "<a href='|static|/x'>x</a>",
        "<p title=\"href='{static}/../secret.txt'\">x</p>",
        "<img alt=\"src='{static}/x'\" src=y>",
        '<blockquote cite="{static}/x">y</blockquote>',
    ],
)
def test_html_cannot_include_files(sent: str, rules: SiteRules, trusting: SiteRules) -> None:
    for owner in (rules, trusting):
        page = owner.site.render(of_html(sent, owner)).html
        assert list(owner.site.links.find(page)) == []


def test_text_about_static_links_is_unchanged(rules: SiteRules) -> None:
    assert "{static}/x" in of_html("<p>Write <code>{static}/x</code></p>", rules)


def test_trusted_html_may_be_active(trusting: SiteRules) -> None:
    sent = "<script>start({static: '{\"a\": 1}'})</script>"
    assert of_html(sent, trusting) == f"<div>{sent}</div>\n"


@pytest.mark.parametrize(
    "sent",
    [
        "[x](javascript:alert(1))",
        "[x](JaVa&#115;cript:alert(1))",
        "[x]: javascript:alert(1)\n\n[x]",
        "<javascript:alert(1)>\n\n<a href='javascript:x'>y</a>",
        "text\n{: onclick='alert(1)' }",
        "# head {: onmouseover=alert(1) }",
        "![x](y){: onerror=alert(1) }",
        "<script>alert(1)</script>",
        "<div markdown='1'>\n<img src=x onerror=alert(1)>\n</div>",
        "a <b onclick=x>b</b>",
        "<style>*{}</style>",
        "[x]({static}/../secret)",
        "[x](<{static}/../secret>)",
        "[x](\\{static}/../secret)",
        "![x][y]\n\n[y]: {static}/../secret",
        "![href='{static}/../secret'](x)",
        "x\n{: title=\"src='{static}/../secret'\" }",
        "<a href='{attach}secret'>x</a>",
        "x[^1]\n\n[^1]: [y](|static|/../secret)",
    ],
)
def test_active_or_including_markdown_becomes_harmless_html(sent: str, rules: SiteRules) -> None:
    written = body.encode(sent, markdown=True, rules=rules)
    page = rules.site.render(written.text).html
    assert not html.find_unsafe(page)
    assert list(rules.site.links.find(page)) == []


@pytest.mark.parametrize(
    "sent",
    [
        "# Head\n\n*x* **y** `{static}/x` `<script>`\n\n> q\n\n1. a\n2. b\n",
        "| a | b |\n|:--|--:|\n| 1 | 2 |\n",
        "note[^1]\n\n[^1]: foot\n",
        "```python\nprint('<script>')\n```\n",
        "<figure>\n<img src='https://x.y/z.png' alt=z>\n</figure>\n",
        "*[HTML]: Hyper\n\nHTML term\n: definition\n",
        '[mail](mailto:me@x.y) <https://x.y/?a&b> [rel](/about/ "t") [#](#x)\n',
        "<!-- more -->\n\n<br/>\n",
        "text {#id .cls}\n\n# Head {#id .cls}\n",
        "    !code {: onclick=x }\n",
        "Use `[y]({static}/x)` for files.",
    ],
)
def test_ordinary_markdown_is_unchanged(sent: str, rules: SiteRules) -> None:
    assert body.encode(sent, markdown=True, rules=rules) == body.PostBody(f"{sent}\n", "markdown")
    assert decoded(f"{sent}\n", "markdown", rules) == sent


def test_trusted_markdown_may_be_active_but_not_include_files(trusting: SiteRules) -> None:
    acting = "<script>x()</script> [a](javascript:x)"
    assert body.encode(acting, markdown=True, rules=trusting).text == f"{acting}\n"
    reaching = body.encode("<i>[a]({static}/../x)</i>", markdown=True, rules=trusting)
    assert reaching.form == "html"


def test_uploads_are_linked_as_the_sites_own_files(rules: SiteRules) -> None:
    markdown = body.encode(f"![x]({MEDIA_URL})", markdown=True, rules=rules)
    assert markdown.text == "![x]({static}/media/2026/x.jpg)\n"
    assert decoded(markdown.text, "markdown", rules) == f"![x]({MEDIA_URL})"
    sent = f'<img src="{MEDIA_URL}">'
    assert of_html(sent, rules) == '<div><img src="{static}/media/2026/x.jpg"></div>\n'
    assert decoded(of_html(sent, rules), "html", rules) == {"html": sent}


@pytest.mark.parametrize("content", [None, "", {}, {"value": ""}, {"html": 1}, 5, [], True])
def test_no_content_is_an_empty_body(content: Any, rules: SiteRules) -> None:
    assert body.encode(content, markdown=False, rules=rules).text == ""
    assert decoded("", "text", rules) is None


def test_html_without_its_wrapper_is_still_html(rules: SiteRules) -> None:
    assert decoded("<p>x</p>\n", "html", rules) == {"html": "<p>x</p>"}


PIECES = st.sampled_from(
    ["<", ">", "</", "/>", "<!--", "-->", "--!>", "<![CDATA[", "]]>", "<?", "<script", "</script>",
     "<a ", "<b>", "<p ", "<svg", "<style>", "<img ", "</div>", "href=", "src=", "title=",
     "onclick=", "javascript:", "{static}", "|static|", "'", '"', "`", "=", "x", " ", "\n", "\t",
     "&", "&#", ";"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join))
def test_the_check_for_harmless_html_agrees_with_the_sanitiser(source: str) -> None:
    """A browser-like sanitiser finds nothing to remove in HTML that passed the bridge's own
    check.
    """
    if html.find_unsafe(source):
        return
    before, after = (BeautifulSoup(each, "html5lib") for each in (source, html.sanitise(source)))
    acting = [tag for tag in before.find_all(True) if tag.name in {"script", "svg", "style"}]
    assert acting == []
    for tag in before.find_all(True):
        assert not any(name.startswith("on") for name in tag.attrs)
        assert "javascript:" not in str(tag.attrs.get("href", ""))
    assert before.get_text().strip() == after.get_text().strip()


#: Within a formula, browsers read HTML by other rules.
OF_FORMULAS = st.sampled_from(["<math>", "</math>", "<mtext>", "<mi>", "<annotation-xml>", "<p>"])


@given(st.lists(PIECES | OF_FORMULAS, max_size=14).map("".join))
def test_any_html_stays_inside_its_div(source: str) -> None:
    clean = html.sanitise(source)
    assert html.sanitise(clean) == clean, "a browser reads it as it was read here"
    page = Markdown(extensions=["extra"]).convert(f"<div>{clean}</div>\n")
    soup = BeautifulSoup(f"<main>{page}</main><footer>end</footer>", "html5lib")
    assert [child.name for child in soup.select("main > *")] == ["div"]
    assert soup.select("body > *")[-1].name == "footer"
