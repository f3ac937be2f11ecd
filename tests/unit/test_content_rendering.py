"""The site's Markdown keeps nobody waiting: what could take it long is read apart, for a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from content_site import CHOOSY_MARKDOWN, WHEN, load_rules, load_site, post

from bridge.content import body, rendering
from bridge.content.effort import is_quick
from bridge.content.location import Site
from bridge.content.render import compose
from bridge.content.rules import SiteRules
from bridge.errors import InvalidRequest, Unavailable

SENTENCE = (
    "Some words about **this** and `that`, with [a link](https://x.example/a_b?c=d) in them. "
)
LISTED = "".join(f"- [page {n}](https://x.example/{n}) says *more*\n" for n in range(60))
ARTICLE = f"# Head\n\n{LISTED}\n\n" + f"{SENTENCE}And {'so on ' * 40}\n\n" * 60
REFERENCES = "See [it][1], [that][2].\n\n" * 30 + "".join(
    f"[{n}]: https://x.example/{n}\n" for n in range(60)
)
CODE = f"{SENTENCE * 40}\n\n" + "```python\nfor each in range(5):\n    print(each)\n```\n\n" * 6
HTML = (
    "<div>" + f'<p>a <b>b</b> <a href="https://x.example/?a=b">{"c " * 60}</a></p>' * 60 + "</div>"
)
SLOW = {
    "brackets": "[" * 8_000,
    "brackets far apart": ("[" + "x" * 500) * 60,
    "brackets in two paragraphs": "[" * 600 + "\n\n" + "[" * 600,
    "pictures": "![" * 4_000,
    "links": "[](" * 4_000,
    "tags": "<a " * 4_000,
    "tags, each in a paragraph": "<a \n\n" * 900,
    "signs": "<" * 8_000,
    "abbreviations": "*[a]: b\n" * 2_000,
    "one abbreviation": f"*[a]: {'b' * 40_000}\n\n" + "a " * 20_000,
    "one address": f"[a]: http://x/{'b' * 40_000}\n\n" + "[a][a] " * 700,
    "fences": "~~~\n" * 200,
    "code": "    a\n\nb\n\n" * 100,
    "a long line of code": "```adl\n" + "f" * 2_000 + "---\n```\n",
    "a long line of indented code": "text\n\n    :::adl\n    " + "f" * 2_000 + "---\n",
    "a long code": "~~~ adl\n" + "some words of code\n" * 600 + "~~~\n",
    "paragraphs as one": '<p markdown="span">' + "[\n\n" * 1_000,
    "signs all the way": "*a* " * 50_000,
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize(
    "text",
    [ARTICLE, REFERENCES, CODE, HTML, "word " * 15_000, "", "a\n" * 500],
    ids=["article", "references", "code", "html", "prose", "nothing", "poem"],
)
def test_usual_posts_are_read_at_once(text: str) -> None:
    assert is_quick(text)


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_what_could_take_long_is_not(text: str) -> None:
    assert not is_quick(text)


def test_what_is_read_apart_is_the_same(rules: SiteRules, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = rules.site.render(ARTICLE)
    monkeypatch.setattr(rendering, "is_quick", lambda text: False)
    assert rules.site.render(ARTICLE) == at_once
    assert rules.site.render("ü 😀") == "<p>ü 😀</p>"


@pytest.mark.parametrize("markdown", [True, False])
def test_a_text_that_takes_too_long_is_refused_and_ended(
    markdown: bool, rules: SiteRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "_SECONDS", 1.0)
    with pytest.raises(InvalidRequest, match="too long to read"):
        body.encode("[" * 30_000, markdown=markdown, rules=rules)


def test_others_are_read_meanwhile(rules: SiteRules, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = threading.Event(), threading.Event()

    def ask(settings_file: Path, text: str) -> dict[str, str]:
        asked.set()
        assert answered.wait(30)
        return {"html": "slow"}

    monkeypatch.setattr(rendering, "_ask", ask)
    slow = [threading.Thread(target=rules.site.render, args=["[" * 8_000]) for _ in range(2)]
    for thread in slow:
        thread.start()
        assert asked.wait(30)
        asked.clear()
    assert rules.site.render("*quick*") == "<p><em>quick</em></p>"
    # A third would take the last of the threads that everybody shares.
    with pytest.raises(Unavailable):
        rules.site.render("[" * 8_000)
    answered.set()
    for thread in slow:
        thread.join()
    assert rules.site.render("[" * 8_000) == "slow"


def test_html_without_end_is_refused(rules: SiteRules) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        body.encode(f"*[a]: {'b' * 40_000}\n\n" + "a " * 20_000, markdown=True, rules=rules)


def test_a_slow_body_does_not_keep_pelican_from_placing_a_post(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    text = f"Title: x\nDate: 2026-11-21\nSlug: y\n\n{'[' * 30_000}\n"
    assert site.locate(text, "content/x.md").url == "https://example.com/2026/11/y/"
    page = f"Title: x\nSlug: y\n\n{'[' * 30_000}\n"
    assert site.locate_page(page, "content/pages/x.md").save_as == "pages/y.html"


def test_a_slow_summary_is_refused(rules: SiteRules) -> None:
    with pytest.raises(InvalidRequest, match="summary"):
        compose(post(summary="[" * 8_000, name="x"), when=WHEN, rules=rules)


@pytest.mark.parametrize("apart", [False, True])
def test_what_the_sites_markdown_cannot_read_is_refused(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = load_rules(tmp_path)
    file = tmp_path / "pelicanconf.py"
    file.write_text(file.read_text() + CHOOSY_MARKDOWN)
    rules = SiteRules(Site.load(file), rules.media, rules.path)
    if apart:
        monkeypatch.setattr(rendering, "is_quick", lambda text: False)
    for markdown in (False, True):
        with pytest.raises(InvalidRequest, match=r"Markdown cannot read.*indigestible"):
            body.encode("An indigestible text", markdown=markdown, rules=rules)
    assert body.encode("A fine one", markdown=True, rules=rules).text == "A fine one\n"
    with pytest.raises(InvalidRequest, match="Markdown cannot read"):
        compose(post(summary="An indigestible one", name="x"), when=WHEN, rules=rules)
