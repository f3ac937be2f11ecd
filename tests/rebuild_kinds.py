"""Kinds of changes to a site, one after the other, and the clean build after each."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image
from rebuild_site import commit, make, post, settled
from warm_kit import run_module

from bridge.rebuild.build import BuildOutcome, Task
from bridge.rebuild.local.pelican_log import LogSummary
from bridge.rebuild.rebuilder import importing_from
from bridge.runtime import process
from bridge.store.git import GitStore

Change = Mapping[str, bytes | None]

CONF = """
PATH = "content"
SITENAME = "A site"
SITEURL = "https://example.com"
TIMEZONE = "Europe/Berlin"
AUTHOR = "Me"
STATIC_PATHS = ["media"]
TEMPLATE_PAGES = {{"templates/links.html": "links.html"}}
DEFAULT_PAGINATION = 3
ARTICLE_URL = ARTICLE_SAVE_AS = "{{date:%Y}}/{{slug}}.html"
YEAR_ARCHIVE_SAVE_AS = "{{date:%Y}}/index.html"
MONTH_ARCHIVE_SAVE_AS = "{{date:%Y}}/{{date:%m}}/index.html"
TAG_FEED_ATOM = "feeds/tag-{{slug}}.xml"
CC_LICENSE = {{"name": "CC", "version": "4.0", "slug": "by"}}  # one theme wants it
SEO_ENHANCER = True
SEO_REPORT = False
IMAGE_PROCESS = {{"thumb": ["crop 0 0 50% 50%"]}}
INDIEAUTH_BRIDGE = "https://example.com/"
THEME = {theme!r}
THEME_TEMPLATES_OVERRIDES = ["templates"]
PLUGINS = {plugins!r}
"""


#: Attributes that plugins set on posts, which few themes show.
ARTICLE = b"""\
{% extends "!theme/article.html" %}
{% block content %}{{ super() }}
{% if article.next_article %}Newer: {{ article.next_article.title }}{% endif %}
{% if article.prev_article %}Older: {{ article.prev_article.title }}{% endif %}
{% for other in article.related_posts %}Related: {{ other.title }}{% endfor %}
{% for part in (article.series or {}).all %}Part: {{ part.title }}{% endfor %}
{% endblock %}"""

#: Text in the initial output that shows that a plugin was active.
MARKS = {
    "sitemap": ("sitemap.xml", b"<loc>"),
    "neighbors": ("2026/post-2.html", b"Older: Post 1"),
    "related_posts": ("2026/post-2.html", b"Related: Post 10"),
    "series": ("2026/part-one.html", b"Part: Part one"),
    "image_process": ("2026/thumb.html", b"/media/derivatives/thumb/p.png"),
    "seo": ("2026/post-2.html", b"BreadcrumbList"),
}

RST = b"""\
Including
#########

:date: 2026-11-17 10:00
:slug: including

.. include:: part.inc
"""


def picture(colour: str) -> bytes:
    """A small image."""
    file = io.BytesIO()
    Image.new("RGB", (16, 8), colour).save(file, "PNG")
    return file.getvalue()


def start(theme: str, plugins: list[str]) -> Change:
    """A dozen different posts."""
    posts = {
        f"content/post-{day}.md": post(
            f"Post {day}",
            day,
            body=f"Words *of* the {day}th.\n\nMore words.",
            Slug=f"post-{day}",
            Category=f"Cat {day % 3}",
            Tags=f"tag {day % 4}; often;",
        )
        for day in range(1, 13)
    }
    return {
        "pelicanconf.py": CONF.format(theme=theme, plugins=plugins).encode(),
        "templates/article.html": ARTICLE,
        "templates/special.html": b'{% extends "article.html" %}',
        **posts,
        "content/templates/links.html": b"{{ SITENAME }}, {{ articles | length }} posts",
        "content/part.inc": b"What is included.",
        "content/including.rst": RST,
        "content/linking.md": post(
            "Linking", 13, body="[one]({filename}post-1.md) ![p]({static}/media/p.png)"
        ),
        "content/series-1.md": post("Part one", 14, Series="A tale"),
        "content/pages/about.md": b"Title: About\n\nMe, and [post 2]({filename}/post-2.md).\n",
        "content/thumb.md": post(
            "Thumb", 16, body='<img class="image-process-thumb" src="/media/p.png" alt="p">'
        ),
        "content/media/p.png": picture("red"),
    }


def _changed(day: int, **keys: str) -> bytes:
    whole = {"Slug": f"post-{day}", "Category": f"Cat {day % 3}", "Tags": f"tag {day % 4}; often;"}
    return post(keys.pop("Title", f"Post {day}"), day, **{**whole, **keys})


#: Each is applied after those before it.
CHANGES: tuple[tuple[str, Change], ...] = (
    ("add", {"content/new.md": post("New", 20, Tags="often;", Category="Cat 1")}),
    ("edit the title", {"content/post-6.md": _changed(6, Title="Six, changed")}),
    ("edit the body", {"content/post-7.md": _changed(7, body="Quite other words.")}),
    ("draft", {"content/post-3.md": _changed(3, Status="draft")}),
    ("publish", {"content/post-3.md": _changed(3)}),
    ("hide", {"content/post-3.md": _changed(3, Status="hidden")}),
    ("delete", {"content/post-5.md": None}),
    ("backdate", {"content/post-9.md": post("Post 9", 9, Slug="post-9", Date="2019-03-04")}),
    ("first of a category", {"content/cat.md": post("First", 21, Category="Brand new")}),
    ("last of a category", {"content/cat.md": None}),
    ("first of a tag", {"content/tag.md": post("Tagged", 22, Tags="rare;")}),
    ("last of a tag", {"content/tag.md": post("Tagged", 22)}),
    ("new page", {"content/pages/now.md": b"Title: Now\n\nWhat I do now.\n"}),
    ("slug of what a post links", {"content/post-1.md": _changed(1, Slug="moved")}),
    ("slug of what a page links", {"content/post-2.md": _changed(2, Slug="moved-too")}),
    (
        "media",
        {
            "content/media/q.png": picture("green"),
            "content/photo.md": post("Photo", 23, body="![q]({static}/media/q.png)"),
        },
    ),
    ("media of the same name", {"content/media/p.png": picture("blue")}),
    ("translation", {"content/post-8-de.md": _changed(8, Lang="de", Title="Beitrag 8")}),
    ("processed media goes", {"content/thumb.md": None}),
    ("template page", {"content/templates/links.html": b"Links: {{ articles | length }}"}),
    ("what a post includes", {"content/part.inc": b"What is included now."}),
    ("series", {"content/series-2.md": post("Part two", 15, Series="A tale")}),
    (
        "several at once",
        {
            "content/a.md": post("A", 24, Tags="often; tag 1;"),
            "content/b.md": post("B", 25),
            "content/post-10.md": None,
        },
    ),
    ("author", {"content/a.md": post("A", 24, Author="Someone else")}),
    ("template of its own", {"content/b.md": post("B", 25, Template="special")}),
    ("attach", {"content/c.md": post("C", 26, body="[p]({attach}media/q.png)")}),
    ("save as the home page", {"content/d.md": post("D", 27, Save_as="index.html")}),
    ("home page as it was", {"content/d.md": None}),
)


def without_series(change: Change) -> Change:
    """The same if no plugin handles ``Series``; a theme that looks for one shows a URL."""
    return {path: data and data.replace(b"Series: A tale\n", b"") for path, data in change.items()}


def settings_changed(conf: bytes) -> Change:
    """Another name for the site."""
    return {"pelicanconf.py": conf.replace(b"A site", b"Another name")}


def clean(checkout: Path, output: Path, environment: Mapping[str, str]) -> dict[str, bytes]:
    """The output of the ``pelican`` command for a checkout."""
    shutil.rmtree(output, ignore_errors=True)
    arguments = ("content", "-s", "pelicanconf.py", "-o", output)
    # Python recognises compiled settings by modification second and size; two versions can share
    # both. What is counted while posts are read depends on their order, thus on the hash seed.
    env = {**environment, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    ended = run_module("pelican", *arguments, cwd=checkout, env=env)
    assert ended.returncode == 0, ended.stderr
    return comparable(output)


def comparable(folder: Path) -> dict[str, bytes]:
    """The files of a site, without those that contain the time of the build."""
    return {name: _timeless(name, data) for name, data in _files(folder)}


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in folder.rglob("*"):
        if file.is_file():
            yield file.relative_to(folder).as_posix(), file.read_bytes()


def _timeless(name: str, data: bytes) -> bytes:
    # For lists the sitemap has the time of the build.
    return re.sub(rb"<lastmod>.*?</lastmod>", b"", data) if name == "sitemap.xml" else data


def differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """Names of files that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


class NoFallback:
    """For tests in which the resident build must do everything itself."""

    async def build(self, task: Task) -> BuildOutcome:
        raise AssertionError("the resident build gave up")

    async def make(self, task: Task, folder: Path) -> LogSummary:
        raise AssertionError("no one asked for a comparison")

    async def run_when_idle(self, task: Task) -> str | None:
        """Nothing to look after."""

    def stays_warm(self, changed: Collection[str]) -> bool:
        del changed
        return False

    def needs_warm_up(self) -> bool:
        return False

    def preempt(self) -> None:
        """Nothing to preempt."""

    async def abandon(self) -> None:
        """Nothing to restore."""

    async def close(self) -> None:
        """Nothing to end."""


class BothWays:
    """A site that is built warm, and beside that by ``pelican``."""

    def __init__(self, folder: Path, store: GitStore) -> None:
        self.store = store
        self.output = folder / "output"
        self.checkout = folder / "state" / "rebuild" / "checkout"
        self._clean = folder / "clean"
        self.worker = make(store, folder, "resident")

    @property
    def stays_warm(self) -> bool:
        """Whether changes need no full run of Pelican; all pages may be rendered."""
        slow = self.worker.status().slow
        return slow is None or not slow.by_command

    async def after(self, change: Change) -> list[str]:
        """Build with a change; names of files that are not those of a clean build."""
        version = commit(self.store, change)
        self.worker.changed(version)
        await settled(self.worker, version)
        assert self.worker.status().state == "idle", self.worker.status()
        environment = importing_from(self.checkout, process.environment({}))
        return differing(clean(self.checkout, self._clean, environment), comparable(self.output))


@asynccontextmanager
async def both_ways(
    folder: Path, store: GitStore, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[BothWays]:
    """Such a site, which no build of ``pelican`` has taken over at the end."""
    site = BothWays(folder, store)
    await site.worker.start()
    yield site
    await site.worker.close()
    assert "by command" not in caplog.text, "it is the resident build that is tested"
    assert "takes over" not in caplog.text
