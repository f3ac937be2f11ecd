"""CommonMark from apps is rendered by Pelican's Markdown as CommonMark specifies."""

from __future__ import annotations

import re
from itertools import product
from types import MappingProxyType

import pytest
from bs4 import BeautifulSoup
from content_site import WHEN, load_rules
from hypothesis import example, given
from hypothesis import strategies as st
from markdown import Markdown
from markdown_it import MarkdownIt
from soak_kit import SOAK

from bridge.content.convert import new_file, read
from bridge.content.edit import edit
from bridge.content.file import Mf2Line, PelicanFile
from bridge.content.markup.changes import restore
from bridge.content.markup.commonmark import adapt
from bridge.content.rules import SiteRules
from bridge.micropub.post import Post

COMMONMARK = MarkdownIt("commonmark").enable(["table", "strikethrough"])
DIFFERENT = [
    "Shopping:\n- milk\n- eggs\n\nEnd",
    "Steps:\n1. one\n2. two",
    "**Pros**\n* fast\n* small\n\n**Cons**\n1. slow",
    "Text\n* a\n* b\nstill b",
    "- a\n  - b\n  - c\n- d",
    "- a\n  - b\n    - c\n      - d\n  - e\n- f\n\ntext",
    "1. a\n   - b\n   - c\n2. d",
    "- a\n\n  more a\n\n- b",
    "1. a\n\n   more a\n\n2. b",
    "- a\n\n  more a\n- b\n\n  more b\n- c",
    "1. A\n   para\n\n   - n1\n   - n2\n2. B",
    "- a\n  - b\n\n    more b\n\n  more a\n- c",
    "- a\n\n      code\n      more\n- b",
    "- a\n\n  ```\n  code\n  ```\n- b",
    "1. Install:\n   ```sh\n   pip install x\n\n     y\n   ```\n   more\n2. Run",
    "1) a\n2) b",
    "#hashtag and text\n\n#two\n####### seven",
    "- #tag\n- # head",
    "a\\\nb\n\n- c\\\n  d",
    "text\n| a | b |\n|---|:-:|\n| 1 | 2 |",
    "Quote:\n> x\n- y",
    "<b>Bold</b>:\n- a\n- b",
    "```\n#x\n```\ntext\n- list",
    "<!--\n\n- c\n-->\n\n#tag",
    "<pre>\n#tag\n\ntext\n- a\n</pre>\n\ntext\n- b",
    "$$x$$\n- a",
    "> text\n> - a\n> - b\n\nend",
    "> #tag\n> more\n> 1. a\n> 2. b",
    "- a\n# Head\n- b\n> quote\n\n- c\n```\ncode\n```",
    "* a\n\n  more\n  1. b\n  2. c",
    "- a\n  - b\n\n    more\n  - c\n- d\n  1. e\n  2. f",
    "- a\nstill a\n#tag\n- b",
    "~~struck~~ words, ~~two **bold**~~, `~~code~~`, ``a`~~b~~``\n- ~~item~~\n- b",
    "# A ~~head~~\n\n> a ~~quote~~\n\n| a | ~~b~~ |\n|---|---|\n| ~~1~~ | 2 |",
    "~~a~~\\\n~~b~~",
    "Text\n\n```js {1,3} title='x'\n#c\n```\n\n- a",
    "```\n#code\n`````\n#tag",
    "  ```sh\n  # a\n    b\n  ```\n- c",
    "~~~ two words\n# x\n~~~",
    "> Look:\n> ```py\n> # code\n>\n>   x\n> ```\n> more\n\ntext\n\n>```\n>#c\n>```",
    "> ```\n> # open\n\ntext\n- a",
    "- a\n- b\n\n1. c\n2. d\n- e",
    "1. a\n   - b\n\n- c",
    "> quote\n---\ntext\n> - item\n***",
    '<div class="x">\n\n**text**\n- a\n\n</div>',
    "<details><summary>S</summary>\n\n#tag\n1) a\n</details>",
    r"\<b> \&amp; \~\~x\~\~ \$5 5\% \'q\' `\<`",
    "- a\n-\n- b\n\n1. c\n2. \n3. d",
    "**Autor*innen** und **die Leser*innen dort**",
    "***\n---\ntext",
    "a\\\n- b\n\nc\\\n# d",
    "<details>\n<summary>S</summary>\n\nText **b**\n\n- c\n\n</details>\n\n#tag",
    "A\nlong title\n===\n\ntext",
    "A\nlong *title\nof* three\n---\n- a",
    "text\n\nA\nB\n===\nC\n\nD\n\nE\n--",
    "- a\n\nA\nB\n===\n\nC",
    "A\n  ===\ntext",
    "> a\n===",
    "- a\n===\n\nb",
    "- A\n  ===\n  b\n\n  C\n  D\n  ---\n- e\n---",
    "1. A\n   B\n   ===\n2. C\n   - D\n     ---",
    "## a ##  \ntext",
    " # a\n\n   ## b",
    "text\n   # head",
    "* a\n* b\n+ c\n+ d",
    "1. a\n2. b\n1) c",
    "0. a\n1. b\n\n   5) e\n\ntext\n\n> 7) f",
    "- a\n\n* b\n\ntext",
    "text\n[l]: https://x.example/\n\n[l]",
    "- a\n[l]: https://x.example/\n\n[l]",
    "See [1] [2].\n\n[1]: https://x.example/\n[2]: https://y.example/",
    "> a\n\n> b\n\n\n> c",
    "> - a\n>   - b\n>     - c\n> - d\n\ntext",
    "> 1. a\n>    - b\n> 2. c",
    "> text\n> | a | b |\n> |---|---|\n> | 1 | 2 |",
    "> > a\n> > - b\n> >   - c",
    "> # h\ntext",
    "- a\n\n  > b\n  > - c\n\n- d",
    "> **a**\n>\n> 1. b\n>\n>    c\n> 2. d",
    ">a\n>- b\n>  - c",
    "1. ```sh\n   npm i\n   ```\n2. ```\n   b\n   ```\n   text\n3. c",
    "* a\n\n    ```\n    b\n      c\n    ```\n* d",
    "| a | b |\n|---|---|\n| 1 | 2 |\n# h\n\n| a | b |\n|---|---|\n| 1 | 2 |\n> q",
    "| a | b |\n|---|---|\n| 1 | 2 |\n---\nText",
    "1. a\n    ~~~\n    b\n    ~~~\n2. c",
    "> A\n> long title\n> ---\n> b",
    ">A\n>B\n>===\n\ntext\n\n> > C\n> > D\n> > ---\n> > e",
    "- a\n\n  > A\n  > B\n  > ---\n  > c",
    "- a\n  1985. A year\n  - b\n    7. c",
    "> - A\n>   B\n>   ---\n>   c",
    "7. q\n- \n- > q\n> q\n> ===\n\n  1. k",
    "1. a\n- \n   ===\n- b",
    "> ```\n> c\n> ```\n> ```\n> c\n> ```",
    "- a\n\n  ```\n  b\n  ```\n\n  ```\n  c\n  ```\n- d",
    ">     indented\n>\n> ```\n> code *x*\n> ```\n> + a\n> + b",
    "> ~~~\n> code\n> ~~~\n>     indented\n>     more\n\nq",
    "- a\n\n  ```\n  b\n  ```\n\n      c\n      d\n- e",
    "| a | b |\n|---|---|\n| 1 | 2 |\n    indented",
    "| a | b |\n|---|---|\n| 1 | 2 |\n10. a\n11. b",
    "[l]: https://x.example/\nLong\ntitle\n---",
    "[l]: https://x.example/\n- > q\n  > q",
    "- > q\n  > q\n> q\n> - a\n> - b",
    "- > q\n  > q\n> - a\n>   - b",
    *(
        "- a\n  # h\n  ## i ##\n- b\n  ***",
        "- a\n  | a | b |\n  |---|---|\n  | 1 | 2 |\n- b",
        "- b\n  - c\n    | a | b |\n    |---|---|\n    | 1 | 2 |\n\ntext",
        "- | a | b |\n  |---|---|\n  | 1 | 2 |\n      indented\n- a",
        "> | a | b |\n> |---|---|\n> | 1 | 2 |\ntext",
        "a | b \n---|--:|\n1 | 2 |",
        "text\na | b\n|---|---|\n| 1 | 2 |",
        "- # h\ntext",
        "a\n10. ~~one~~\\\nline two",
        "- a\n  7. ~~b~~ \\<c>",
        "a\n10. a\n---",
        "The number is\n14. And\n- \nmore",
        "-   a\n    > q\n    > r\n-   b",
        "-   > q\n    > - r\n    > - s\n-   b",
        "10. > ```\n    > c\n    > ```\n\n    more\n11. b",
        "- > ```\n  > c\n  > ```\n  more",
        "- > q\n\n  > r\n- b",
        "- a\n  - b\n  > q\n  > r",
        "1. a\n   - b\n\n   ```\n   c\n   ```\n2. d",
        "- a\n  - b\n  * c\n\n  1. d\n  2) e",
        "- - a\n  - b\n\n    more\n- c",
        "- 1. a\n  2. b\n- c",
        "- - ```sh\n    c\n    ```\n  - # h\n    text",
        "- - > q\n    > r\n  - > s",
        "-     indented\n      more\n- a",
        "- a\n\n  > q\n  - b",
        "-   ---\n\n_      _\t_",
        "one\\\ntwo\\\\\nthree\n---",
        "  - a\n* b",
    ),
    "٣. a\n٤. b\n\n१२. c\n\n- ３. d\n\n> ٥. e\n\n1234567890. f",
]
ALIKE = [
    "| a | b |\n|---|---|\n| 1 | 2 |\nthree\\\nfour",
    "# Head\n\nText\n\n- a\n- b\n\nText\n\n1. a\n2. b\n\n> quote\n\n---\n\n    code",
    "- a\n    - b\n- c",
    "-   a\n    - b\n-   c",
    "9. a\n10. b\n    - c\n\n        3. d",
    "- a long\n  wrapped item\n- b\n  wrapped",
    "The number is\n14. And\nmore",
    "*stress* at a line's start\n+1 from me\n-5 degrees",
    "```\ntext\n- a\n#tag\n```",
    "    #tag\n    - a",
    "* * *\n\n- - -",
    "a  \nb",
    "> - a\n> - b\n\ntext\n\n> # Head\n> - a\n>\n> - b",
    "Term\n: definition\n\nnote[^1]\n\n[^1]: text\n    - a",
    "<div>\ntext\n- a\n</div>",
    "$a\\,b$ and \\(x\\;y\\)",
    "```python hl_lines='1 2'\nx\n```\n\n```{.py #id}\ny\n```\n\n``` js\nz\n```",
    "<details>\n<summary>S</summary>\n*text*\n</details>\n\n**a*b and c*d**",
    "$$\na\n+ b\n- c\n\\\\\n$$",
    "a ~~ b ~~ c, ~~~d~~~, \\~~e~~, https://a.example/~~f~~, `g\n~~h~~`",
    "```\n~~a~~\n```\n\n    ~~b~~\n\n<pre>\n~~c~~\n</pre>",
    "\\[\na\n- c\n\\]\n\n\\begin{align*}\na\n+ b\n\\end{align*}",
]


def shown(html: str) -> str:
    """The text of a page, regardless of whether list items are paragraphs."""
    html = re.sub("&nbsp;|\xa0", "", html)
    plain = re.sub(r"(</?)s>", r"\1del>", re.sub("<!-- -->", "", html))
    soup = BeautifulSoup(plain, "html.parser")
    for element in soup.find_all(True):
        if element.name == "ol":
            element.name += str(element.get("start", ""))
        element.attrs = {}
        if element.name == "p":
            element.unwrap()
    return re.sub(r"\s*(</?\w+/?>)\s*", r"\1", " ".join(str(soup).split()))


def on_the_site(markdown: str) -> str:
    reader = Markdown(extensions=["extra", "meta", "pelican_indieauth.numbering"])
    return shown(reader.convert(f"Title: x\n\n{markdown}"))


@pytest.mark.parametrize("sent", DIFFERENT)
def test_the_page_is_rendered_as_commonmark(sent: str) -> None:
    written, changes = adapt(sent)
    meant = shown(COMMONMARK.render(sent))
    assert on_the_site(sent) != meant or "pre>" in sent
    assert on_the_site(written) == meant
    if "markdown=" not in written:
        assert shown(COMMONMARK.render(written)) == meant, "no matter who reads it"
    assert restore(written, changes) == sent


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_unclosed_code_extends_to_the_end_of_the_text(end: str) -> None:
    sent = f"Text\n```sh\n# no heading\n- no list{end}"
    written, changes = adapt(sent)
    assert on_the_site(written) == shown(COMMONMARK.render(sent))
    assert restore(written, changes) == sent


@pytest.mark.parametrize("sent", ALIKE)
def test_text_that_both_render_alike_is_unchanged(sent: str) -> None:
    assert adapt(sent) == (sent, ())


PIECES = ["- ", "1. ", "2) ", "    ", "  ", "```\n", "<pre>", "</pre>", "|-|", "\n\n", "\n", "\\\n"]
PIECES += ["> ", "\n===\n", "\n--\n", "[l]: x", "] [a]", "* a\n+ "]


@example("a\n+ 1.")
@example("> lazy\n  line\n   ===")
@given(st.lists(st.sampled_from([*PIECES, *"#*+>|ab~<"]), max_size=40).map("".join))
def test_the_sent_text_is_recovered_from_the_file(sent: str) -> None:
    written, changes = adapt(sent)
    assert restore(written, changes) == sent


#: Blocks of a text, each of which may follow any other, with or without a blank line.
BLOCKS = [
    *(
        "para *em*",
        "two\nlines",
        "- a\n- b",
        "* a\n  * b\n  * c",
        "1. a\n2. b",
        "1) a\n   more\n2) b",
    ),
    *(
        "> q",
        "> q\n> - a\n> - b",
        "> - a\n>   - b",
        "> ```\n> c\n> ```",
        "> # h",
        "```\ncode *x*\n```",
    ),
    *(
        "~~~py\ncode\n~~~",
        "    indented",
        "# h",
        "## h ##",
        "Title\n===",
        "Long\ntitle\n---",
        "---",
    ),
    *("***", "| a | b |\n|---|---|\n| 1 | 2 |", "<b>x</b> y", "[l]: https://x.example/", "see [l]"),
    *("![i](https://x.example/i.png)", "- a\n\n  p\n- b", "- a\n\n      code", "- ```\n  c\n  ```"),
    *("#tag", "- [l](https://x.example/)\n- **b**", "+ a\n+ b", "10. a\n11. b", "- > q\n  > q"),
    *("- a\n  1. b\n  2. c\n- d", "1. a\n\n   ```\n   c\n   ```\n2. b", "~~struck~~ #tag"),
]


def test_any_two_blocks_are_rendered_as_commonmark() -> None:
    pairs = [a + sep + b for a in BLOCKS for b in BLOCKS for sep in ("\n\n", "\n")]
    # Every seventh pair shows as much of each block as all of them.
    different = [
        (sent, on_the_site(adapt(sent)[0]), meant)
        for sent in pairs[:: 1 if SOAK else 7]
        if on_the_site(adapt(sent)[0]) != (meant := shown(COMMONMARK.render(sent)))
    ]
    assert different == []


def test_any_block_in_an_item_is_rendered_as_commonmark() -> None:
    cases = product(
        ("- ", "-   ", "10. ", "- - "),
        ("text\n\n", "text\n", "", "- c\n", "> q\n"),
        BLOCKS,
        ("end", "> q"),
    )
    items = [
        mark + (before + block).replace("\n", "\n" + " " * len(mark)) + f"\n{mark}{after}"
        for mark, before, block, after in cases
    ]
    different = [
        (sent, on_the_site(adapt(sent)[0]), meant)
        for sent in items[:: 1 if SOAK else 7]
        if on_the_site(adapt(sent)[0]) != (meant := shown(COMMONMARK.render(sent)))
    ]
    assert different == []


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


def article(content: str) -> Post:
    return Post("entry", MappingProxyType({"name": ("Named",), "content": (content,)}))


@pytest.mark.parametrize("sent", [*DIFFERENT, *ALIKE, "\n\nText\n- a\n\n"])
def test_an_article_is_read_back_unchanged(sent: str, rules: SiteRules) -> None:
    url = f"{rules.media.prefixes[0]}2026/11/lake.jpg"
    sent = f"![lake]({url}) {url}\n\n{sent}\n- ![lake]({url})\n"
    file = PelicanFile.parse(new_file(article(sent), when=WHEN, rules=rules).text())
    found = read(file, rules)
    assert found.all("content") == (sent,)
    assert "content" not in Mf2Line.of(file).properties, "the text stands in the file once"
    changed = found.with_properties({"content": (f"{sent}\nMore:\n- b",)})
    edited = edit(file, found, changed, when=WHEN, rules=rules)
    assert read(PelicanFile.parse(edited.text()), rules).all("content") == changed.all("content")
    assert edited.body.startswith(file.body.rstrip("\n"))
    assert edited.body.endswith("More:\n\n- b\n")


def test_handwritten_markdown_is_unchanged(rules: SiteRules) -> None:
    file = new_file(article("Shopping:\n- milk"), when=WHEN, rules=rules)
    by_hand = file.with_body("#Heading\nShopping:\n- milk\n")
    found = read(by_hand, rules)
    assert found.all("content") == ("#Heading\nShopping:\n- milk",)
    changed = found.with_properties({"content": ("#Heading\nShopping:\n- milk\n- eggs",)})
    edited = edit(by_hand, found, changed, when=WHEN, rules=rules)
    assert edited.body == "#Heading\nShopping:\n- milk\n- eggs\n"
    assert read(edited, rules).all("content") == changed.all("content")
    assert Mf2Line.of(edited).changes == ()
