"""URLs of posts equal Pelican's for any settings; so does the fast way to compute them."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.request import urlopen

import pytest
from blinker import Signal
from content_site import load_site, read_site, write_settings
from pelican import readers, signals
from pelican.contents import Article, Content
from soak_kit import SOAK, in_soak

from bridge.commands.checks.site import _check_siteurl
from bridge.content.file import PelicanFile
from bridge.errors import InvalidRequest, SiteBroken
from bridge.rebuild.local.pelican_log import LoggedError, LogSummary
from bridge.settings import Settings, SettingsError, Site
from bridge.site.messages import IndexedPost, Locate, ReservedPage, Source, Unread
from bridge.site.pelican.facts import code_version
from bridge.site.pelican.pelican_site import PelicanSite
from bridge.site.pelican.reading import Room

POST = "Title: A *post*\nDate: 2026-11-21T18:37:00+01:00\nSlug: a-post\nCategory: Notes & Co\n\nx\n"
HERE = "content/notes/2026/a-file.md"

SETTINGS: list[dict[str, Any]] = [
    {},
    {"ARTICLE_URL": "posts/{category}/{date:%Y}/{date:%b}/{date:%-d}/{slug}/"},
    {"ARTICLE_URL": "{author}/{lang}/{slug}", "ARTICLE_SAVE_AS": "{author}/{lang}/{slug}.html"},
    {"ARTICLE_URL": "{path}.html", "ARTICLE_SAVE_AS": "{path}.html"},
    {"ARTICLE_URL": "{date.year}/{slug}", "ARTICLE_SAVE_AS": "{date.year}-{date:%j}/{slug}.html"},
    {"ARTICLE_URL": "{title}", "ARTICLE_SAVE_AS": "{x_mine}/{slug}.html"},
    {"ARTICLE_URL": "/{slug}/", "DRAFT_URL": "d/{slug}/", "DRAFT_SAVE_AS": "d/{slug}/index.html"},
    {"DATE_FORMATS": {"fr": ("xx_YY.utf8", "%d")}},
    {"AUTHOR": "Jane Doe", "TIMEZONE": "America/New_York", "DEFAULT_LANG": "FR"},
    {"FILENAME_METADATA": r"(?P<date>\d{4}-\d{2}-\d{2})_(?P<slug>.*)"},
    {"PATH_METADATA": r"(?P<category>[^/]*)/(?P<date>\d{4})/.*"},
    {"USE_FOLDER_AS_CATEGORY": False, "DEFAULT_CATEGORY": "odds"},
    {"USE_FOLDER_AS_CATEGORY": False, "CATEGORY_SAVE_AS": ""},
    {"DEFAULT_METADATA": {"status": "draft", "author": "Someone", "lang": "de"}},
    {"DEFAULT_METADATA": {"status": "hidden", "date": "2001-02-03"}},
    {"DEFAULT_DATE": (2012, 3, 4, 5, 6)},
    {"DEFAULT_DATE": "2012-03-04"},
    {"DEFAULT_DATE": "fs"},
    {"SLUGIFY_SOURCE": "basename"},
    {"SLUGIFY_PRESERVE_CASE": True, "SLUGIFY_USE_UNICODE": True},
    {"SLUG_REGEX_SUBSTITUTIONS": [(r"\s+", "_")]},
    {"CATEGORY_REGEX_SUBSTITUTIONS": [(r"[^\w]+", "-")]},
    {"WITH_FUTURE_DATES": False},
    {"FORMATTED_FIELDS": ["summary", "title"]},
    {"EXTRA_PATH_METADATA": {"notes": {"slug": "extra"}, "other.md": {"slug": "y"}}},
    {"ARTICLE_PATHS": ["notes"], "ARTICLE_EXCLUDES": ["notes/2025"]},
    {"IGNORE_FILES": [".#*", "a-*"]},
]  # fmt: skip
HEADERS = [
    POST.partition("\n\n")[0],
    'title: no slug: Ünïcödé "quotes" & <b>tags</b>\ndate: 2010-12-03 10:20',
    "Title: x",
    "Title: x\nStatus: draft",
    "Title: x\nDate: 2026-01-01\nStatus: Draft\nLang: fr",
    "Title: x\nDate: 2026-01-01\nStatus: hidden\nLang: en\nAuthors: B, Bea; C",
    "Title: x\nDate: 2026-01-01\nStatus: nonsense",
    "Title: x\nDate: 2026-01-01\nStatus: skip",
    "Title: x\nDate: never",
    "Title: x\nDate: 2026-01-01_10:00\nTimezone: Asia/Tokyo\nAuthor: Me",
    "Title: x\nDate: 2026-01-01\nTimezone: Nowhere",
    "Title: x\nDate: 2026-01-01\nUrl: u/{slug}\nSave_as: s/x.html",
    "Title: x\nDate: 2026-01-01\nSave_as: ../x.html",
    "Title: x\nDate: 3 Jan 2026 10:00 UTC\nCategory:\nSlug:",
    "Title: x\nTitle: y\nDate: 2026-01-01",
    "Title: x\nDate: 2026-01-01\nDate: 2027-01-01\nCategory: a\n    b",
    "Title: x\nDate: 2026-01-01\nLang: a\nLang: b",
    "Title: x\nDate: 2026-01-01\nSettings: y",
    "Title: x\nDate: 2026-01-01\nget_content: y",
    "Title: x\nDate: 2026-01-01\noverride_url: y\npath: z",
    "Title: x\nDate: 2026-01-01\nsummary: *y*\nx_mine: m",
    "Title: x\nDate: 2026-01-01\nSummary:\n    read secret.txt",
    "\ufeffTitle: x\nDate: 2026-01-01\nModified: 2026-01-02",
    "Title: x\nDate: 2026-01-01\nModified: never",
    "Title: x\nDate: 9999-12-31T00:00:00+00:00",
    "Title: x\nDate: 2999-01-01T00:00:00+01:00",
    "Title: C++\nDate: 0999-01-01",
    "---\nTitle: x\nDate: 2026-01-01\n---",
    "no header at all",
]
GOLDEN = Path(__file__).parent.parent / "golden"
_MF2 = '{"type":["h-entry"],"properties":{"category":["a","b "],"in-reply-to":["https://a.b/"]}}'
_FURTHER = ("Tags: a, b", "Tags: a; b\nSummary: x y", "Mf2: {}", f"Mf2: {_MF2}")
_BODIES = ("body\n", "A  post that goes on.\n", "x\n", "")
PATHS = [HERE, "content/2026-05-06_in-the-name.md", "content/other.md", "content/notes/2025/x.md"]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings) or "usual")
def test_the_fast_path_agrees_with_pelican(settings: dict[str, Any], tmp_path: Path) -> None:
    site = load_site(tmp_path, **settings)
    answers = 0
    for header, path in itertools.product(HEADERS, PATHS):
        text = f"{header}\n\nbody\n"
        quick = site.quick_locate(PelicanFile.parse(text), path)
        if quick is None:
            continue
        answers += 1
        assert quick == site.locate(text, path), (header, path)
    # Some settings only Pelican itself can follow; then the quick way must know that.
    unclear = {"EXTRA_PATH_METADATA", "FORMATTED_FIELDS", "IGNORE_FILES", "ARTICLE_PATHS"}
    formats = str(settings)
    assert answers > 10 or unclear & set(settings) or "{title}" in formats


@pytest.mark.parametrize("formatted", [[], ["title"]], ids=["by headers", "by readers"])
def test_posts_without_pages_are_not_all_at_the_home_page(
    formatted: list[str], tmp_path: Path
) -> None:
    """A site that shows its news on the home page only: an app that deleted one deleted another."""
    files = [Source(f"content/{n}.md", n, f"Title: {n}\nDate: 2020-01-02\n\nx\n".encode())
             for n in ("a", "b")]  # fmt: skip
    for number, settings in enumerate(({"ARTICLE_URL": ""}, {})):
        (folder := tmp_path / str(number)).mkdir()
        no_pages = {"ARTICLE_SAVE_AS": "", "FORMATTED_FIELDS": formatted}
        found = load_site(folder, **no_pages, **settings).describe(files)
        urls = [each.url if isinstance(each, IndexedPost) else None for each in found]
        assert len(set(urls)) == (1 if settings else 2)
        assert (urls[0] is None) == bool(settings)


@pytest.mark.parametrize(
    "settings",
    [
        in_soak({}),
        SETTINGS[9],
        in_soak({"DEFAULT_DATE": "2012-03-04"}),
        {"ARTICLE_SAVE_AS": "p/{slug}.html"},
    ],
    ids=lambda settings: "-".join(settings) or "usual",
)
def test_an_index_keeps_the_same_of_a_post_the_fast_way(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    site, slow = load_site(tmp_path, **settings), load_site(tmp_path, **settings)
    slow._quick._possible = False
    texts = [path.read_bytes() for path in sorted(GOLDEN.glob("*.md"))]
    texts += [
        f"{header}\n{more}\n\n{body}".encode()
        for number, header in enumerate(HEADERS)
        for at, more in enumerate(_FURTHER)
        for body in (_BODIES if SOAK else [_BODIES[(number + at) % len(_BODIES)]])
    ]
    files = [Source(HERE, str(number), text) for number, text in enumerate(texts)]
    kept = site.describe(files)
    for entry, again, file in zip(kept, slow.describe(files), files, strict=True):
        assert entry == again, file.data
    quick = site._describer.by_headers(files)
    assert 50 < sum(entry is not None for entry in quick) < len(files)
    assert not any(slow._describer.by_headers(files))


_TEXTS = (
    "A *post* with `code`, <b>HTML</b> and [a link](https://a.example/).\n",
    "\nTitle: not a header\n\n    code\n\n[^1]\n\n[^1]: a note\n",
    "# A heading\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "read secret.txt\n\n<script>alert(1)</script>\n",
    "שלום *עולם* é e\u0301 🎉\n",
    "",
)
_MARKDOWN = {
    "extensions": ["markdown.extensions.extra", "pymdownx.reading", "markdown.extensions.toc"],
    "extension_configs": {"markdown.extensions.codehilite": {"linenums": True}},
}
#: Stands in for the snippets of PyMdown Extensions.
_READING = """\
from pathlib import Path
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

class Reading(Preprocessor):
    def run(self, lines):
        return [
            Path(__file__).with_name(line[5:]).read_text() if line.startswith("read ") else line
            for line in lines
        ]

class ReadingExtension(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Reading(md), "reading", 15)

def makeExtension(**options):
    return ReadingExtension(**options)
"""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"MARKDOWN": _MARKDOWN},
        {"FILENAME_METADATA": r"(?P<date>\d{4}-\d{2}-\d{2})_(?P<slug>.*)"},
        *(in_soak(settings) for settings in SETTINGS[1:]),
    ],
    ids=lambda settings: "-".join(settings) or "usual",
)
def test_a_post_is_placed_and_shown_the_same_without_its_file(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extensions = tmp_path / "pymdownx"
    extensions.mkdir()
    (extensions / "reading.py").write_text(_READING)
    (extensions / "secret.txt").write_text("a secret")
    site = load_site(tmp_path, **settings)
    texts = [f"{header}\n\n{body}" for header in HEADERS for body in _TEXTS]
    slugs = [PelicanFile.parse(text).get("Slug") for text in texts]
    questions = [
        Locate(text, path, first=first)
        for (text, slug), path in itertools.product(zip(texts, slugs, strict=True), ["", HERE])
        for first in ((1, 2) if slug else (1,))
    ]
    with monkeypatch.context() as by_headers:
        by_headers.setattr("bridge.site.pelican.reading.SiteReaders.read", _refused)
        quick = [_placed(site, question) for question in questions]
    assert not (tmp_path / "content" / "notes").exists()
    monkeypatch.setattr(PelicanSite, "_without_reading", lambda *_: None)
    slow = load_site(tmp_path, **settings)
    compared = [
        (got, _placed(slow, question))
        for question, got in zip(questions, quick, strict=True)
        if got
    ]
    for got, wanted in compared:
        assert got == wanted
    # Some settings only Pelican itself can follow.
    unclear = "{title}" in str(settings) or "FORMATTED_FIELDS" in settings
    assert unclear or len(compared) > 30
    effects = {effect for got, _ in compared for effect in got[1].effects}
    assert effects == ({"the file secret.txt"} if "MARKDOWN" in settings else set())


def _placed(site: PelicanSite, question: Locate) -> Any:
    """Where a post may be and what it shows; ``None`` if it cannot be read."""
    try:
        return site.places(question)
    except (InvalidRequest, SiteBroken):
        return None


def _refused(*_: object) -> None:
    raise InvalidRequest("not without its file")


@pytest.mark.parametrize("obstacle", ["link", "file", "folder", "name"])
def test_a_post_is_only_placed_where_a_file_can_be(tmp_path: Path, obstacle: str) -> None:
    (tmp_path / "site").mkdir()
    site = load_site(tmp_path / "site")
    place = tmp_path / "site" / "content" / "notes"
    path = HERE
    if obstacle == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    elif obstacle == "file":
        place.write_text("in place of a folder")
    elif obstacle == "folder":
        (tmp_path / "site" / HERE).mkdir(parents=True)
    else:
        path = f"content/{'a' * 300}.md"
    with pytest.raises(InvalidRequest):
        site.places(Locate(POST, path))
    assert site.places(Locate(POST, "content/fine/x.md"))


def test_a_post_is_read_where_a_link_to_the_content_folder_is(tmp_path: Path) -> None:
    conf = write_settings(tmp_path, ARTICLE_URL="{slug}/")
    (tmp_path / "docs" / "posts").mkdir(parents=True)
    (tmp_path / "content").symlink_to("docs/posts")
    (tmp_path / "shared.txt").write_text("shared by all")
    site = read_site(conf, root=tmp_path, content="docs/posts")
    text = "One\n###\n\n:date: 2026-11-01\n:slug: one\n\n.. include:: ../shared.txt\n"
    found, shown = site.places(Locate(text, "docs/posts/one.rst"))
    assert [(each.path, each.location.url) for each in found] == [
        ("docs/posts/one.rst", "https://example.com/one/")
    ]
    assert "shared by all" in shown.html
    (new, further, *_), _ = site.places(Locate(POST, first=2))
    assert new.path == "docs/posts/notes-co/2026/11/a-post-2.md"
    assert further.location.url == "https://example.com/a-post-3/"
    source = Source("docs/posts/one.rst", "blob", text.encode())
    assert isinstance(site.describe([source])[0], IndexedPost)


def test_an_address_that_the_site_asks_for_any_text_is_not_the_texts_doing(tmp_path: Path) -> None:
    def ask(content: Content) -> None:
        links = re.findall('href="([^"]*)', content._content)
        for address in (f"http://127.0.0.1:9/cover?of={content.slug}", *links):
            with suppress(OSError):
                urlopen(address, timeout=10)

    with signals.content_object_init.connected_to(ask):
        site = load_site(tmp_path)
        assert not site.places(Locate(POST, HERE))[1].effects
        linking = f"{POST}[a link](http://127.0.0.2:9/private)\n"
        effects = site.places(Locate(linking, HERE))[1].effects
    assert effects == {"the address http://127.0.0.2:9/private"}


def test_a_host_with_a_long_name_is_another_where_only_its_end_is(tmp_path: Path) -> None:
    usual, other = (f"http://127.0.0.1:{port:070}/cover" for port in (9, 8))

    def ask(content: Content) -> None:
        for address in (usual, *re.findall('href="([^"]*)', content._content)):
            with suppress(OSError):
                urlopen(address, timeout=10)

    with signals.content_object_init.connected_to(ask):
        site = load_site(tmp_path)
        assert not site.places(Locate(POST, HERE))[1].effects
        effects = site.places(Locate(f"{POST}[a link]({other})\n", HERE))[1].effects
    assert effects == {f"the address {other}"}


def test_a_text_that_markdown_fails_on_changes_no_other(tmp_path: Path) -> None:
    site, text = load_site(tmp_path), f"{POST}\n- a\n- b\n\n1. x\n"
    before = site.render("- a\n\n  b\n- c\n").html, site.places(Locate(text, HERE))
    nested = "".join(f"{'    ' * depth}- a\n" for depth in range(400))
    with pytest.raises(InvalidRequest):
        site.places(Locate(f"{POST}\n{nested}", HERE))
    after = site.render("- a\n\n  b\n- c\n").html, site.places(Locate(text, HERE))
    assert after == before


def test_a_pattern_in_the_settings_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    site = load_site(tmp_path, PATH_METADATA="(")
    with pytest.raises(InvalidRequest, match="unterminated subpattern"):
        site.places(Locate(POST, HERE))


def test_a_post_is_shown_by_the_reader_of_its_own_suffix(tmp_path: Path) -> None:
    site = load_site(tmp_path, READERS={"md": None})
    assert site.places(Locate(POST, "content/x.markdown"))[1].html == "<p>x</p>"


@pytest.mark.parametrize(
    "code",
    [
        "from pelican.readers import MarkdownReader as Patched\n"
        "read = Patched.read\n"
        "Patched.read = lambda *given: (read(*given)[0], {**read(*given)[1], 'slug': 'other'})\n",
        "from pelican.readers import MarkdownReader as Patched\n"
        "Patched.process_metadata = lambda _, name, value: (\n"
        "    'other' if name == 'slug' else super(Patched, _).process_metadata(name, value))\n",
        "from pelican.readers import METADATA_PROCESSORS\n"
        "METADATA_PROCESSORS['slug'] = lambda value, settings: 'other'\n",
        "from pelican.contents import Article\n"
        "Article.slug = property(lambda article: 'other', lambda article, value: None)\n",
    ],
    ids=["read", "added", "processors", "article"],
)
def test_a_site_that_replaces_functions_of_pelican_is_asked(code: str, tmp_path: Path) -> None:
    before = {owner: dict(vars(owner)) for owner in (readers.MarkdownReader, Article)}
    processors = dict(readers.METADATA_PROCESSORS)
    try:
        file = write_settings(tmp_path)
        file.write_text(f"{code}{file.read_text()}")
        ((place,), _) = read_site(file).places(Locate(POST, HERE))
    finally:
        readers.METADATA_PROCESSORS.update(processors)
        for owner, names in before.items():
            for name in vars(owner).keys() - names.keys():
                delattr(owner, name)
            for name in names:
                if vars(owner)[name] is not names[name]:
                    setattr(owner, name, names[name])
    assert place.location.save_as.endswith("other/index.html")


def test_files_of_all_kinds_are_described_in_their_order(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    file = Source(HERE, "blob", POST.encode())
    page = Source("content/pages/about.md", "blob", b"Title: About\n\nx\n")
    bad = Source("content/bad.md", "blob", b"no header at all")
    other = Source("content/x.png", "blob", b"\x89PNG")
    rst = Source("content/old.rst", "blob", b"Old\n###\n\n:date: 2010-12-03\n\ntext\n")
    some = [file, page, bad, other, rst]
    kinds = [IndexedPost, ReservedPage, Unread, type(None), IndexedPost]
    assert [type(each) for each in site.describe(some)] == kinds
    many = 60 * some
    assert site.describe(many) == 60 * site.describe(some)
    assert site.describe([]) == []


@pytest.mark.parametrize("suffix", ["md", "rst"])
def test_a_post_of_which_a_plugin_makes_something_odd_stops_no_other(
    suffix: str, tmp_path: Path
) -> None:
    def untag(content: Content) -> None:
        if content.slug == "odd":
            content.tags = 5

    texts = {
        "md": "Title: x\nDate: 2026-01-01\nSlug: {}\n\ntext\n",
        "rst": "x\n#\n\n:date: 2026-01-01\n:slug: {}\n\ntext\n",
    }
    files = [
        Source(f"content/{each}.{suffix}", "blob", texts[suffix].format(each).encode())
        for each in ("one", "odd", "two")
    ]
    with signals.content_object_init.connected_to(untag):
        found = load_site(tmp_path).describe(files)
    assert [type(each) for each in found] == [IndexedPost, Unread, IndexedPost]
    assert isinstance(found[1], Unread)
    assert found[1].reason.startswith("The bridge cannot tell what it is (TypeError: ")


def test_a_reference_that_python_refuses_to_read_is_no_obstacle(tmp_path: Path) -> None:
    endless = f"&#{'1' * 5_000};"
    text = POST.replace("A *post*", f"A {endless}")
    (entry,) = load_site(tmp_path).describe([Source(HERE, "blob", text.encode())])
    assert isinstance(entry, IndexedPost)
    page = f'<head><title>x</title><meta name="x" content="{endless}" /></head>\n<body>x</body>'
    assert PelicanFile.parse(page, "content/x.html").get("x") == "\ufffd"


def test_a_person_tag_is_found_by_name_and_is_none_of_the_tags(tmp_path: Path) -> None:
    card = {"type": ["h-card"], "properties": {"name": ["Zoë"], "url": ["https://zoe.example/"]}}
    mf2 = {"type": ["h-entry"], "properties": {"category": ["lake", card]}}
    text = POST.replace("\n\n", f"\nTags: lake\nMf2: {json.dumps(mf2)}\n\n", 1)
    (entry,) = load_site(tmp_path).describe([Source(HERE, "blob", text.encode())])
    assert isinstance(entry, IndexedPost)
    assert entry.categories == ("lake",)
    assert "zoë https://zoe.example/" in entry.text


def test_describing_a_post_for_the_index_takes_few_steps(tmp_path: Path) -> None:
    """In the index of a hundred thousand posts each call counts."""
    site = load_site(tmp_path, PLUGINS=[])
    note = Source(HERE, "blob", (GOLDEN / "note.md").read_bytes())
    article = Source(HERE, "blob", POST.encode())
    for source in (note, article):
        assert isinstance(site.describe([source])[0], IndexedPost)
        assert calls(partial(site.describe, 10 * [source])) < 10 * 300


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, those in C included."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


def test_common_settings_use_the_fast_path(tmp_path: Path) -> None:
    """``None`` (the fast way does not apply) is allowed, but not for common settings."""
    site = load_site(tmp_path)
    for header in HEADERS[:2]:
        assert site.quick_locate(PelicanFile.parse(f"{header}\n\nx"), HERE) is not None


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("Date: 2026-01-01", "no title"),
        ("Title: x\nCategory: y", "no date"),
        ("Title: x\nDate: never", "never"),
        ("Title: x\nDate: 2026-01-01\nStatus: gone", "status is 'gone'"),
        ("Title: x\nDate: 2026-01-01\nStatus: Skip", "skip"),
        ("Title: x\nDate: 2026-01-01\nStatus: skip", "skip"),
        ("Title: x\nDate: 2026-01-01\nSave_as: ../../x", "x"),
        ("Title: x\nDate: 2026-01-01\nSettings: x", "."),
    ],
)
def test_posts_that_pelican_would_not_build_are_refused(
    header: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        load_site(tmp_path).locate(f"{header}\n\nx", "content/x.md")


def test_a_post_without_what_its_url_needs_is_refused_by_a_whole_sentence(tmp_path: Path) -> None:
    """A part of a sentence would stay English in the translations."""
    site = load_site(tmp_path, ARTICLE_SAVE_AS="{author}/{slug}.html", AUTHOR="")
    with pytest.raises(InvalidRequest, match=r"break out .*\. .* not have: \{author\}\.$"):
        site.locate("Title: x\nDate: 2026-01-01\n\nx", "content/x.md")


@pytest.mark.parametrize(
    "path",
    ["content/pages/x.md", "elsewhere/x.md", "content/.hidden/x.md", "content/../x.md", "x.md",
     "content/a/.x.md", "/content/x.md", "content//x.md", "content/./x.md"],
)  # fmt: skip
def test_paths_outside_of_the_articles_are_refused(path: str, tmp_path: Path) -> None:
    site = load_site(tmp_path, IGNORE_FILES=[".*"])
    assert not site.is_article(path)
    assert site.quick_locate(PelicanFile.parse(POST), path) is None
    with pytest.raises(InvalidRequest, match="ARTICLE_PATHS"):
        site.locate(POST, path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("IGNORE_FILES", each) for each in ([], [".*"], ["**/.*"], [".#*", "*~", "a"])),
        ("IGNORE_FILES", ["*/x.md"]),
        *(("ARTICLE_PATHS", each) for each in (["."], ["./a"], ["a/", "pages"], ["b/../a"])),
        ("ARTICLE_PATHS", ["x.md"]),
        *(("ARTICLE_EXCLUDES", each) for each in (["a/"], ["a", "./pages"], ["", "pages/../a"])),
    ],
    ids=str,
)  # fmt: skip
def test_articles_are_the_files_that_pelican_looks_for(
    setting: str, value: list[str], tmp_path: Path
) -> None:
    """The default of IGNORE_FILES is ``**/.*`` now; many sites still set the earlier ``.*``."""
    site = load_site(tmp_path, **{setting: value})
    names = ["x.md", ".x.md", ".#x.md", "a/x.md", ".a/x.md", "b/.x.md", "pages/x.md"]
    for name in names:
        (tmp_path / "content" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "content" / name).write_text(POST)
    settings = site.settings
    generator = site._readers.generator
    pelicans = generator.get_files(settings["ARTICLE_PATHS"], settings["ARTICLE_EXCLUDES"])
    found = {name for name in names if site.is_article(f"content/{name}")}
    assert found == {path.removeprefix("./") for path in pelicans}


def test_other_formats_are_located_too(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    rst = "Old\n###\n\n:date: 2010-12-03 10:20\n:slug: old\n\ntext\n"
    html = (
        "<html><head><title>x</title><meta name='date' content='2010-12-03'>"
        "<meta name='slug' content='h'></head><body>y</body></html>"
    )
    assert site.locate(rst, "content/old.rst").url == "https://example.com/2010/12/old/"
    assert site.locate(html, "content/h.html").save_as == "2010/12/h/index.html"
    assert site.quick_locate(PelicanFile.parse(rst), "content/old.rst") is None


def test_posts_in_the_language_of_a_subsite_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_next_subsite(pelican: object) -> None:
        del pelican

    languages = {
        "de": {"SITENAME": "Seite"},
        "fr": {"SITEURL": "https://example.com/francais", "ARTICLE_URL": "a/{slug}.html"},
    }
    languages["fr"]["ARTICLE_SAVE_AS"] = languages["fr"]["ARTICLE_URL"]
    urls = {"ARTICLE_URL": "{slug}.html", "ARTICLE_SAVE_AS": "{slug}.html"}
    text = "Title: x\nDate: 2026-01-01\nSlug: x\nLang: {}\n\ntext\n"
    monkeypatch.setattr(
        create_next_subsite, "__module__", "pelican.plugins.i18n_subsites.i18n_subsites"
    )
    # Another test in this process may have loaded the plugin itself.
    monkeypatch.setattr(signals, "get_writer", Signal())
    alone = load_site(tmp_path, I18N_SUBSITES=languages, **urls)
    with signals.get_writer.connected_to(create_next_subsite):
        site = load_site(tmp_path, I18N_SUBSITES=languages, **urls)
    for lang, address, save_as in (
        ("en", "https://example.com/x.html", "x.html"),
        ("de", "https://example.com/de/x.html", "de/x.html"),
        ("fr", "https://example.com/francais/a/x.html", "fr/a/x.html"),
        ("es", "https://example.com/x-es.html", "x-es.html"),
    ):
        place = site.locate(text.format(lang), "content/x.md")
        assert (place.url, place.save_as) == (address, save_as)
        (described,) = site.describe([Source("content/x.md", "blob", text.format(lang).encode())])
        assert isinstance(described, IndexedPost)
        assert described.url == address
    # Without the plugin the setting means nothing.
    assert alone.locate(text.format("de"), "content/x.md").url == "https://example.com/x-de.html"


@pytest.mark.parametrize("suffix", ["md", "rst"])
def test_a_post_that_pelican_drafts_until_it_is_due_keeps_both_addresses(
    suffix: str, tmp_path: Path
) -> None:
    texts = {
        "md": "Title: x\nDate: {}-01-01\nSlug: x\n\ntext\n",
        "rst": "x\n#\n\n:date: {}-01-01\n:slug: x\n\ntext\n",
    }

    def kept(site: PelicanSite, year: int) -> IndexedPost:
        text = texts[suffix].format(year).encode()
        (found,) = site.describe([Source(f"content/x.{suffix}", "blob", text)])
        assert isinstance(found, IndexedPost)
        return found

    site = load_site(tmp_path, WITH_FUTURE_DATES=False)
    assert site.facts().drafts_until_due
    later = kept(site, 2999)
    assert later.url == "https://example.com/2999/01/x/"
    assert later.save_as == "2999/01/x/index.html"
    assert (later.status, later.aliases) == ("published", ("https://example.com/drafts/x.html",))
    assert kept(site, 2019).aliases == ()
    assert kept(load_site(tmp_path), 2999).aliases == ()


def test_drafts_without_pages_have_the_addresses_that_they_will_have(tmp_path: Path) -> None:
    """``DRAFT_SAVE_AS = ""``: Pelican calls every one of them by the address of the home page."""
    nowhere = {f"DRAFT_{name}": "" for name in ("URL", "SAVE_AS", "LANG_URL", "LANG_SAVE_AS")}
    site = load_site(tmp_path, **nowhere)
    text = "Title: x\nDate: 2026-01-01\nSlug: {}\nStatus: draft\n{}\n\ntext\n"
    for slug, lang, page in (
        ("a", "Lang: en", "2026/01/a/"),
        ("b", "Lang: en", "2026/01/b/"),
        ("a", "Lang: fr", "a-fr.html"),
    ):
        data = text.format(slug, lang)
        place = site.locate(data, HERE)
        save_as = f"{page}index.html" if page.endswith("/") else page
        assert (place.url, place.save_as) == (f"https://example.com/{page}", save_as)
        assert place.status == "draft"
        (kept,) = site.describe([Source(HERE, "blob", data.encode())])
        assert isinstance(kept, IndexedPost)
        assert (kept.url, kept.save_as, kept.status) == (place.url, save_as, "draft")
    outside = text.format("../../../x", "Lang: en")
    with pytest.raises(InvalidRequest, match="break out of output"):
        site.locate(outside, HERE)
    (kept,) = site.describe([Source(HERE, "blob", outside.encode())])
    assert isinstance(kept, Unread)


def test_a_page_whose_name_no_file_system_takes_is_no_post(tmp_path: Path) -> None:
    """It could not be built, nor a page that says that it is gone."""
    site = load_site(tmp_path)
    for slug, kind in (("é" * 127, IndexedPost), ("é" * 128, Unread)):
        text = f"Title: x\nDate: 2026-01-01\nSlug: {slug}\n\ntext\n"
        (kept,) = site.describe([Source(HERE, "blob", text.encode())])
        assert isinstance(kept, kind)


def test_a_slug_that_leads_up_is_followed_as_pelican_does(tmp_path: Path) -> None:
    text = "Title: x\nDate: 2026-01-01\nSlug: ../x\n\ntext\n"
    (kept,) = load_site(tmp_path).describe([Source(HERE, "blob", text.encode())])
    assert isinstance(kept, IndexedPost)
    assert kept.save_as == "2026/x/index.html"


def test_other_code_of_the_bridge_makes_the_index_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may find another address in the same file."""
    known = load_site(tmp_path).facts().fingerprint
    assert load_site(tmp_path).facts().fingerprint == known
    assert len(code_version()) == 64
    monkeypatch.setattr("bridge.site.pelican.pelican_site.code_version", lambda: "another")
    assert load_site(tmp_path).facts().fingerprint != known


def test_pages_are_located_as_pages(tmp_path: Path) -> None:
    site = load_site(tmp_path, PAGE_SAVE_AS="{slug}.html")
    text = "Title: About\n\nx"
    assert site._sources.is_page("pages/about.md")
    assert site.locate_page(text.encode(), "content/pages/about.md").save_as == "about.html"
    with pytest.raises(InvalidRequest, match="pages"):
        site.locate_page(text.encode(), "content/about.md")


def test_a_url_is_ascii(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    text = POST.replace("a-post", "über uns?")
    assert site.locate(text, HERE).url == "https://example.com/2026/11/%C3%BCber%20uns%3F/"


def test_an_empty_siteurl_is_that_of_the_owner(tmp_path: Path) -> None:
    site = read_site(write_settings(tmp_path, SITEURL=""), siteurl="https://me.example/")
    assert site.locate(POST, HERE).url == "https://me.example/2026/11/a-post/"
    there = read_site(write_settings(tmp_path), siteurl="https://me.example/")
    assert there.locate(POST, HERE).url == "https://example.com/2026/11/a-post/"


@pytest.mark.parametrize("siteurl", ["/blog", "//me.example/blog", "https://me.example/blog/"])
def test_a_siteurl_without_scheme_or_host_is_that_of_the_owner(
    siteurl: str, tmp_path: Path
) -> None:
    site = read_site(write_settings(tmp_path, SITEURL=siteurl), siteurl="https://me.example/")
    assert site.locate(POST, HERE).url == "https://me.example/blog/2026/11/a-post/"
    settings = Settings(site=Site(me="https://me.example/", repo=tmp_path))
    found = _check_siteurl(site.facts(), settings)
    assert found.is_good
    assert found.fact.endswith("below https://me.example/blog")


def test_settings_load_without_content_theme_and_plugins(tmp_path: Path) -> None:
    site = load_site(
        tmp_path, THEME="themes/none", PLUGIN_PATHS=["plugins"], PLUGINS=["not_installed"]
    )
    assert "not_installed" in site.facts().problems[0]
    assert site.content_folder == "content"
    assert str(site.zone) == "Europe/Paris"
    assert site.slugify("Hello, Wörld") == "hello-world"


def test_settings_in_a_folder_of_the_repo(tmp_path: Path) -> None:
    folder = tmp_path / "blog"
    folder.mkdir()
    site = read_site(write_settings(folder), root=tmp_path)
    assert site.content_folder == "blog/content"
    assert site.is_article("blog/content/x.md")
    assert not site.is_article("content/x.md")


def test_settings_that_import_other_files_are_evaluated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pelicanconf", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    publish = tmp_path / "publishconf.py"
    publish.write_text(
        "import os, sys\nsys.path.append(os.curdir)\nfrom pelicanconf import *\n"
        "SITEURL = 'https://live.example'\n"
    )
    write_settings(tmp_path)
    assert read_site(publish).siteurl == "https://live.example"
    write_settings(tmp_path, TIMEZONE="Asia/Tokyo")
    assert str(read_site(publish).zone) == "Asia/Tokyo"
    assert "pelicanconf" not in sys.modules


#: As for Markdown 2: Markdown 3 calls it otherwise.
OLD_EXTENSION = """
from markdown import Extension
class Old(Extension):
    def extendMarkdown(self, md, md_globals):
        pass
MARKDOWN = {"extensions": [Old()]}
"""


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("1 / 0", "division"),
        ("import sys; sys.exit(3)", "3"),
        ("import not_there", r"'not_there'\). Install what they name"),
        ("from os import not_there", r"'os' .*\). Its installed version is not one that they"),
        ("MARKDOWN = {'extensions': ['not.there']}", "not"),
        (OLD_EXTENSION, r"'md_globals'\). If an extension .* needs another version of Markdown"),
        ("PATH = '/elsewhere'", "specify a path"),
    ],
)
def test_the_error_for_unusable_settings(
    source: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the site's process runs
    file = tmp_path / "pelicanconf.py"
    file.write_text(f"PLUGINS = []\n{source}")
    with pytest.raises(SettingsError, match=problem):
        read_site(file)


def test_the_date_of_a_draft_without_one_is_none(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    location = site.locate("Title: x\nStatus: draft\n\nx", "content/x.md")
    assert (location.status, location.date) == ("draft", None)


@pytest.mark.parametrize(
    ("settings", "reserved", "free"),
    [
        (
            {"ARTICLE_SAVE_AS": "{slug}.html"},
            ["index.html", "archives.html", "tags.html", "tag/x.html", "category/notes.html",
             "author/me.html", "pages/about.html"],
            ["x.html", "index2.html", "tag.html", "tag/a/b.html", "notes/404.html", "4040.html"],
        ),
        (
            {"ARTICLE_SAVE_AS": "{slug}.html", "DEFAULT_PAGINATION": 5},
            ["index2.html", "tag/x12.html", "category/notes3.html"],
            ["index-2.html"],
        ),
        (
            {"ARTICLE_SAVE_AS": "{slug}/index.html", "CATEGORY_SAVE_AS": "{slug}/index.html",
             "YEAR_ARCHIVE_SAVE_AS": "{date:%Y}/index.html", "INDEX_SAVE_AS": "blog/index.html"},
            ["2026/index.html", "blog/index.html"],
            ["notes/index.html", "index.html", "20265/index.html"],
        ),
        (
            {"ARTICLE_SAVE_AS": "{date:%Y}/{date:%m}/{slug}/index.html", "DIRECT_TEMPLATES": [],
             "DAY_ARCHIVE_SAVE_AS": "{date:%Y}/{date:%m}/{date:%d}/index.html",
             "TEMPLATE_PAGES": {"src/x.html": "colophon.html"}},
            ["2026/11/21/index.html", "colophon.html"],
            ["2026/11/21-things/index.html"],
        ),
        (
            {"DEFAULT_PAGINATION": 5,
             "PAGINATION_PATTERNS": [(1, "/{base_name}/", "{base_name}/index.html"),
                                     (2, "/{base_name}/page/{number}/",
                                      "{base_name}/page/{number}/index.html")]},
            ["tag/x/page/3/index.html", "page/3/index.html"],
            ["2026/11/page/index.html"],
        ),
    ],
)  # fmt: skip
def test_pages_that_are_no_posts_are_known(
    settings: dict[str, Any], reserved: list[str], free: list[str], tmp_path: Path
) -> None:
    site = load_site(tmp_path, **settings)
    assert [page for page in reserved if not site.is_reserved(page)] == []
    assert [page for page in free if site.is_reserved(page)] == []


@pytest.mark.parametrize(
    ("settings", "names", "free"),
    [
        ({}, ["all", "All", "all en"], ["notes", "all things", "tags"]),
        ({"DEFAULT_LANG": "de"}, ["all de"], ["all en"]),
        ({"FEED_ALL_ATOM": None, "FEED_RSS": "feeds/news.atom.xml"}, ["news"], ["all"]),
        ({"CATEGORY_FEED_ATOM": None, "TRANSLATION_FEED_RSS": None}, [], ["all"]),
        ({"CATEGORY_SAVE_AS": "{slug}.html"}, ["all", "index", "Tags"], ["notes"]),
    ],
)
def test_a_category_cannot_use_a_file_of_the_site(
    settings: dict[str, Any], names: list[str], free: list[str], tmp_path: Path
) -> None:
    site = load_site(tmp_path, **settings)
    assert [name for name in names if site.can_be_category(name)] == []
    assert [name for name in free if not site.can_be_category(name)] == []


def test_a_tag_or_author_cannot_use_a_file_of_the_site(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    assert (site.tag_slug("all"), site.can_be_author("all")) == ("all", False)
    assert not load_site(tmp_path, TAG_FEED_ATOM="feeds/{slug}.atom.xml").tag_slug("all")


def test_a_post_keeps_the_date_in_its_url(tmp_path: Path) -> None:
    location = load_site(tmp_path).locate(POST, HERE)
    assert location.date == datetime.fromisoformat("2026-11-21T18:37:00+01:00")


@pytest.mark.parametrize("save_as", ["{slug}.html", "{slug}/index.html"])
def test_no_post_uses_a_path_reserved_by_hosts(save_as: str, tmp_path: Path) -> None:
    """GitHub Pages, Netlify, Cloudflare, Surge, Neocities and web servers reserve some paths,
    as does the bridge itself if it shares the site's host name.
    """
    site = load_site(tmp_path, ARTICLE_SAVE_AS=save_as)
    for slug in ("404", "403", "500", "50x", "4xx", "200", "not_found", "micropub", "media"):
        assert site.is_reserved(save_as.format(slug=slug)), slug
        assert not site.is_reserved(f"notes/{save_as.format(slug=slug)}")
        assert not site.is_reserved(save_as.format(slug=f"{slug}-2"))


@pytest.mark.parametrize(
    ("siteurl", "address"),
    [
        ("//example.com", "https://example.com"),
        ("/blog", "https://me.example/blog"),
        (".", "https://me.example"),
        ("", "https://me.example"),
        ("http://example.com/x/", "http://example.com/x"),
    ],
)
def test_urls_are_always_absolute(siteurl: str, address: str, tmp_path: Path) -> None:
    """Older sites have a SITEURL that begins with ``//``; apps need an absolute URL."""
    settings = write_settings(tmp_path, SITEURL=siteurl)
    site = read_site(settings, siteurl="https://me.example/")
    assert site.siteurl == address
    assert site.absolute("a/") == f"{address}/a/"


@pytest.mark.parametrize(
    ("line", "looks"),
    [
        ("", False),
        ("NAMES = os.listdir('content')", True),
        ("NAMES = [each.name for each in pathlib.Path('content').glob('*')]", True),
        ("NAMES = list(os.walk('.'))", True),
        ("HAS = os.path.isdir('content/notes')", True),
        ("HAS = os.path.isdir('content')", False),
        ("subprocess.run(['true'])", True),
    ],
)
def test_settings_that_look_at_the_folder_of_posts(
    line: str, looks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only these may change with a new folder there."""
    (tmp_path / "content" / "a").mkdir(parents=True)
    file = write_settings(tmp_path)
    file.write_text(f"import os, pathlib, subprocess\n{file.read_text()}{line}\n")
    monkeypatch.chdir(tmp_path)
    assert read_site(file).facts().looks_at_posts is looks


def test_an_error_of_several_lines_is_a_warning_in_one() -> None:
    logged = [LoggedError("\nNo cover for\n  978-3:\n  timed out\n", None)]
    assert LogSummary.of(logged).warnings == ("No cover for 978-3: timed out",)


def test_a_file_in_another_encoding_is_reported_with_the_remedy(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    (found,) = site.describe([Source(HERE, "a", POST.replace("a-post", "é").encode("latin-1"))])
    assert isinstance(found, Unread)
    assert found.reason.endswith("save the file in UTF-8.")
    said = "Could not process x.md: UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe4"
    ((_, reason),) = LogSummary.of([LoggedError(said, "x.md")]).left_out
    assert reason.endswith(": save the file in UTF-8")


@pytest.mark.parametrize(
    ("source", "has_room"),
    [
        ("a.md", True),
        ("there/a.md", True),
        ("new/2026/11/a.md", True),
        ("folder.md", False),
        ("there/post.md/a.md", False),
        ("linked/a.md", True),
        ("linked/new/a.md", True),
        ("outside/a.md", False),
        ("outside/new/a.md", False),
        ("dangling/a.md", False),
        ("loop/a.md", False),
        ("loop/loop/a.md", False),
        ("itself/itself/a.md", True),
        ("itself/outside/a.md", False),
        ("module/a.md", False),
        ("module/new/a.md", False),
        ("to-module/a.md", False),
        (f"{'x' * 300}/a.md", False),
    ],
)
def test_new_files_are_only_made_in_folders_of_the_site_itself(
    tmp_path: Path, source: str, has_room: bool
) -> None:
    root = tmp_path / "site"
    content = root / "content"
    for folder in ("there", "folder.md", "module"):
        (content / folder).mkdir(parents=True)
    (root / "elsewhere").mkdir()
    (tmp_path / "away").mkdir()
    (content / "there" / "post.md").touch()
    (content / "module" / ".git").touch()
    for link, target in {
        "linked": root / "elsewhere",
        "outside": tmp_path / "away",
        "dangling": root / "gone",
        "loop": content / "loop",
        "itself": content,
        "to-module": content / "module",
    }.items():
        (content / link).symlink_to(target)
    assert Room(f"{content}/", str(root)).has(source) is has_room


def test_no_new_file_is_made_in_a_folder_that_cannot_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str) -> None:
        raise PermissionError(path)  # root, as whom tests may run, may look into any

    room = Room(f"{tmp_path}/", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", refused)
        assert not room.has("closed/a.md")
