"""Any input of a client becomes a file that Pelican reads, with no other content, and that is
read back as the same post.
"""

from __future__ import annotations

import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from content_site import WHEN, load_rules, properties_of, site_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pelican.contents import Article
from pelican.readers import Readers
from soak_kit import any_text, rounds

from bridge.content.convert import new_file, read
from bridge.content.edit import edit
from bridge.content.file import PelicanFile
from bridge.content.rules import SiteRules
from bridge.errors import InvalidRequest
from bridge.micropub.post import Post

LATER = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = {"title", "date", "modified", "slug", "category", "tags", "status", "summary", "author",
        "lang", "mf2"}  # fmt: skip
SLOW = settings(max_examples=rounds(25, 2_000), suppress_health_check=list(HealthCheck))

NASTY = [
    "\nSlug: injected", "\r\nSave_as: index.html", "\u2028Template: x", "Status: skip\n\n",
    "---", "...", "\x00\x01\x02\x03\x0b\x1b", "\ud800", "\ufeff", "\x85", "    more",
    "<script>alert(1)</script>", "</div></p>", "\" onmouseover=\"alert(1)", "' x='",
    "{static}/../secret", "{attach}secret", "|static|/../secret", "{filename}x", "{: onclick=x }",
    "](javascript:alert(1))", "<a href='javascript:alert(1)'>", "data:text/html,x",
    "<img src=x onerror=alert(1)>", "![x]({static}/../secret)", "&lt;script&gt;", "&#x3c;b>",
    "../../etc/passwd", "/etc/passwd", "..", ".", "~", "C++", "#", ";", ",", "%7Bstatic}/x", "a/b",
    "<!--", "-->", "<![CDATA[", "<?php", "&nbsp;", "```\n", "    code\n", "\t", "x" * 300,
]  # fmt: skip
words = st.one_of(st.sampled_from(NASTY), any_text(12))
texts = st.lists(words, min_size=1, max_size=4).map("".join).filter(str.strip)
json_values = st.recursive(
    st.one_of(texts, st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False),
              st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2),
        st.dictionaries(texts, inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)  # fmt: skip
nested = st.fixed_dictionaries(
    {
        "type": st.just(["h-card"]),
        "properties": st.dictionaries(
            st.sampled_from(["name", "url", "photo", "latitude"]),
            st.lists(json_values, min_size=1, max_size=2),
            max_size=3,
        ),
    }
)
contents = st.one_of(texts, texts.map(lambda html: {"html": html}))
published = st.one_of(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        datetime.isoformat
    ),
    st.sampled_from(["2026-11-21", "2026-11-21T18:37:00+0200", "1795289496", "2026-11-21 8:05"]),
)


def some(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, min_size=1, max_size=most).map(tuple)


def one(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return values.map(lambda value: (value,))


properties = st.fixed_dictionaries(
    {},
    optional={
        "name": one(texts),
        "content": one(contents),
        "summary": one(texts),
        "category": some(st.one_of(texts, nested)),
        "published": one(published),
        "post-status": one(st.sampled_from(["draft", "published", "publish"])),
        "visibility": one(st.sampled_from(["public", "unlisted"])),
        "author": some(st.one_of(texts, nested), 2),
        "photo": some(st.one_of(texts, st.fixed_dictionaries({"value": texts, "alt": texts}))),
        "in-reply-to": some(st.one_of(texts, nested), 2),
        "checkin": one(nested),
        "save_as": some(texts),
        "template": some(texts),
        "location": one(json_values),
        "lang": one(st.one_of(texts, st.sampled_from(["de", "pt-BR", " de ", "../de"]))),
    },
)
posts = st.builds(
    lambda kind, found: Post(kind, MappingProxyType(found)),
    st.sampled_from(["entry", "event"]),
    properties,
)
commands = st.fixed_dictionaries({}, optional={"slug": one(texts), "syndicate-to": some(texts)})


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


# One test for all of this, since making up a post takes longer than each.
@SLOW
@given(post=posts, wishes=commands)
def test_any_post_is_read_back_from_a_file_in_which_pelican_finds_nothing_else(
    rules: SiteRules, post: Post, wishes: dict[str, Any]
) -> None:
    file = new_file(post, commands=wishes, when=WHEN, rules=rules)
    assert_read_back(rules, post, file)
    assert_only_what_belongs_there(rules, file)
    path = "content/notes/2026/x.md"
    assert site_of(rules).quick_locate(file, path) == site_of(rules).locate(file.text(), path)
    assert_in_the_content_folder(rules, file)
    old = read(file, rules)
    assert edit(file, old, old, when=LATER, rules=rules) == file, "an update without a change"


def assert_read_back(rules: SiteRules, post: Post, file: PelicanFile) -> None:
    found = read(PelicanFile.parse(file.text()), rules)
    assert found.type == post.type
    server_set = "" if post.first("published") else "published"
    assert properties_of(found, without=server_set) == properties_of(post)


def assert_only_what_belongs_there(rules: SiteRules, file: PelicanFile) -> None:
    article = article_of(rules, file)
    assert article.is_valid()
    assert set(article.metadata) - {"reader"} <= KEYS
    assert article.title
    assert article.slug == file.get("Slug")
    assert re.fullmatch(r"[\w.~-]+", article.slug)
    assert_harmless(rules, article)


def assert_in_the_content_folder(rules: SiteRules, file: PelicanFile) -> None:
    path = rules.path.path(
        slug=file.get("Slug") or "",
        category="notes",
        published=WHEN,
    )
    assert re.fullmatch(r"content/[\w~-]+/\d{4}/\d\d/[\w.~-]+\.md", path)
    assert ".." not in path.split("/")
    assert len(path.rpartition("/")[2].encode()) <= 200


@SLOW
@given(before=posts, after=posts)
def test_any_post_can_become_any_other(rules: SiteRules, before: Post, after: Post) -> None:
    after = Post(before.type, after.properties)
    file = new_file(before, when=WHEN, rules=rules)
    old = read(file, rules)
    edited = PelicanFile.parse(edit(file, old, after, when=LATER, rules=rules).text())
    assert article_of(rules, edited).is_valid()
    assert_harmless(rules, article_of(rules, edited))
    found = properties_of(read(edited, rules), without="updated")
    # Pelican cannot show a post without its Date, so that stays when ``published`` is deleted.
    kept = {} if after.first("published") else {"published": found["published"]}
    assert found == {**properties_of(after), **kept}


@SLOW
@given(channel=texts)
def test_any_channel_is_a_category_or_refused(rules: SiteRules, channel: str) -> None:
    post = Post(properties={"content": ("x",)})
    try:
        file = new_file(post, commands={"channel": (channel,)}, when=WHEN, rules=rules)
    except InvalidRequest:
        return
    article = article_of(rules, file)
    assert article.is_valid()
    assert not re.search(r"""[<>"\n]""", article.category.name)
    assert re.fullmatch(r"category/[^/]+\.html", article.category.save_as)


def article_of(rules: SiteRules, file: PelicanFile) -> Article:
    """The article that Pelican's reader makes of the file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x.md").write_bytes(file.text().encode())
        readers = Readers({**site_of(rules).settings, "PATH": folder})
        return readers.read_file(folder, "x.md", Article)


def assert_harmless(rules: SiteRules, article: Article) -> None:
    """Nothing in the page acts, and nothing in it reaches for a file but those of the media folder.

    Looked at without the code under test: by what a browser would act upon.
    """
    for html in (article._content, article.metadata.get("summary", "")):
        for tag in re.findall(r"<[^>]*>", html):
            assert not re.match(
                r"(?i)<(script|iframe|object|embed|style|form|svg|link|meta)\b", tag
            )
            assert not re.search(r"(?i)\son\w+\s*=", re.sub(r"""\"[^"]*\"|'[^']*'""", "", tag))
            assert not re.search(r"(?i)(href|src)\s*=\s*[\"']?\s*(javascript|data):", tag)
        reached = {match["path"] for match in article._get_intrasite_link_regex().finditer(html)}
        assert all(re.match(r"\{static\}/media/[\w~-]", link) for link in reached)
        assert not any(".." in link for link in reached)
    for shown in (article.title, *(tag.name for tag in getattr(article, "tags", ()))):
        assert not re.search(r"[<>\"]", shown)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", article._content)
