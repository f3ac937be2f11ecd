"""The plugin assigns a post the same type as the bridge."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup, Tag
from post_types import CASES

from bridge.content.file import title_digest
from bridge.micropub.post import Json
from pelican_indieauth.entry import text
from pelican_indieauth.entry.copies import ScaledCopies
from pelican_indieauth.entry.reading import Reader
from pelican_indieauth.entry.urls import Urls

URLS = Urls("https://example.com", "https://example.com", {}, "{path}")


@pytest.mark.parametrize(("properties", "expected"), CASES)
def test_bridge_and_plugin_agree_on_the_type(properties: dict[str, Json], expected: str) -> None:
    named = {name.replace("_", "-"): [value] for name, value in properties.items()}
    title = "own" if "name" in properties else "synthetic"
    line = json.dumps({"type": ["h-entry"], "properties": named, "title": title})
    article = SimpleNamespace(metadata={"mf2": line}, url="a.html", title="A post", _content="")
    assert Reader(URLS, ScaledCopies({}), None).entry(article).kind == expected


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Tom &amp; me: a walk", ""),
        ('Tom&nbsp;<span class="amp">&amp;</span> me: a&#160;walk', ""),
        ("Real Title", "Real Title"),
    ],
)
def test_a_handwritten_title_is_the_name(title: str, name: str) -> None:
    digest = title_digest("Tom &amp; me: a walk")
    line = json.dumps({"properties": {}, "title": "synthetic", "title-digest": digest})
    article = SimpleNamespace(metadata={"mf2": line}, url="a.html", title=title, _content="")
    entry = Reader(URLS, ScaledCopies({}), None).entry(article)
    assert entry.name == name
    assert entry.kind == ("article" if name else "note")


def _none(_: str) -> None:
    """Allows no picture."""


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (
            """<IMG src="https://a.example/" alt='A &lt;b&gt; "x"'>""",
            "A &lt;b&gt; &quot;x&quot;",
        ),
        ('<img alt="a > b <i>c" src="x"/>', "a &gt; b &lt;i&gt;c"),
        ("""<img data-alt="no" title='alt="no"' alt=yes>""", "yes"),
        ('<img src="x">', ""),
    ],
)
def test_another_sites_picture_in_the_html_of_a_property_is_its_alternative_text(
    picture: str, words: str
) -> None:
    shown = text.simplified(f"<p>so{picture}on</p>", _none)
    assert shown == (f"<p>so {words} on</p>" if words else "<p>soon</p>")


def test_a_picture_of_the_site_keeps_nothing_but_its_source_and_alternative_text() -> None:
    sent = """<img onerror=x() src='{static}/a.jpg' alt='"><script>' style="top: 0" srcset="b">"""
    shown = text.simplified(sent, lambda source: f"https://me.example/{source[-5:]}")
    (picture,) = BeautifulSoup(shown, "html.parser")
    assert isinstance(picture, Tag)
    assert (picture["src"], picture["alt"]) == ("https://me.example/a.jpg", '"><script>')
    assert picture.attrs.keys() == {"src", "alt", "loading", "style"}
    assert "display: block" in picture["style"]


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("<math><msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><mn>1</mn></math>", "x^2+1"),
        ('<math display=block alttext="x &lt; 2"><mi>y</mi></math>', "x < 2"),
        (
            "<MATH><semantics><mrow>\n <mfrac><mrow><mi>a</mi> <mo>+</mo> <mi>&beta;</mi></mrow>"
            "<msqrt><mn>12</mn></msqrt></mfrac></mrow><annotation>x</annotation></semantics></MATH>",
            "(a+β)/(√12)",
        ),
        ("<math><mtext>if <script>alert(1)</script></mtext><mi>&lt;b&gt;</mi></math>", "if<b>"),
        ("<math>" * 3 + "<mi>x</mi></math>", "x"),
    ],
)
def test_a_formula_in_the_html_of_a_property_is_written_out(formula: str, words: str) -> None:
    assert text.sanitised(f"so {formula}, thus") == f"so {words}, thus"
    shown = text.simplified(f"<p>so {formula}</p>", _none)
    assert "math" not in shown.lower()
    assert text.sanitised(shown).strip() == f"so {words}"


def test_a_strangers_formula_does_not_keep_a_build_busy() -> None:
    begin = time.process_time()
    text.sanitised(f"<math><{'a-' * 30_000}></math>")
    assert time.process_time() - begin < 3
