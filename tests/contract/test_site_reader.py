"""The behaviour of every :class:`~bridge.site.site_reader.SiteReader`, in whichever process it
runs.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pelican import signals
from site_kit import CONF, InProcessSite, lay_out, process, start_of

from bridge.errors import InsufficientStorage, InvalidRequest, SiteBroken
from bridge.site.messages import (
    IndexedPost,
    LaterPages,
    Locate,
    PostQuestions,
    ReservedPage,
    Source,
    Unread,
)

POST = "Title: A walk\nDate: 2026-11-21\nSlug: x\nCategory: Notes\n\nSome *words*.\n"
PLUGIN = """
from pelican import signals
def shout(generator, metadata):
    metadata["title"] = metadata["title"].upper()
def register():
    signals.article_generator_context.connect(shout)
"""
HEADINGS = """
import pathlib
from pelican.readers import MarkdownReader
class FirstHeading(MarkdownReader):
    def read(self, path):
        content, metadata = super().read(path)
        first = pathlib.Path(path).read_text().splitlines()[0]
        metadata.setdefault("title", first.strip("# "))
        return content, metadata
READERS = {"md": FirstHeading}
"""

#: As where the disk of the state folder is full.
FULL = """
import errno
from pelican.readers import MarkdownReader
class Full(MarkdownReader):
    def read(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")
READERS = {"md": Full}
"""


def files(**texts: str) -> list[Source]:
    return [
        Source(f"content/{name.replace('_', '.')}", name, text.encode())
        for name, text in texts.items()
    ]


@pytest.fixture(params=["in process", "in a process of its own"])
def new(request: pytest.FixtureRequest) -> Any:
    """Make a reader for the site in a folder."""
    own = request.param == "in a process of its own"
    return lambda folder: process(folder) if own else InProcessSite(start_of(folder))


@pytest.fixture
async def reader(new: Any, tmp_path: Path) -> AsyncIterator[Any]:
    reader = new(lay_out(tmp_path / "site", {}))
    await reader.load()
    yield reader
    await reader.close()


async def test_one_request_describes_a_new_post_completely(reader: Any) -> None:
    place = Locate(POST, slug_from=("!", "A Walk"))
    answer = await reader.ask(
        PostQuestions(
            slugs=("Ä b",), names=(("tag", "!!"), ("tag", "b")), texts=(("md", "*x*"),), place=place
        )
    )
    assert answer.slugs == ("a-b",)
    assert answer.names == ("", "b")
    assert answer.texts[0].html == "<p><em>x</em></p>"
    assert "<em>words</em>" in answer.whole.html
    assert answer.places[0].slug == "a-walk"
    assert answer.places[0].path == "content/notes/2026/a-walk.md"
    more = await reader.ask(PostQuestions(place=Locate(POST, slug_from=("A Walk",), first=2)))
    assert [each.slug for each in more.places[:2]] == ["a-walk-2", "a-walk-3"]
    assert more.places[0].location.url == "https://example.com/2026/a-walk-2/"
    assert more.places[0].location.save_as == "2026/a-walk-2/index.html"


async def test_an_existing_file_keeps_its_path(reader: Any) -> None:
    text = POST.replace("Slug: x\n", "")
    (place,) = (await reader.ask(PostQuestions(place=Locate(text, "content/by-hand.md")))).places
    assert (place.slug, place.path) == (None, "content/by-hand.md")
    assert place.location.url == "https://example.com/2026/a-walk/"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("Date: 2026-11-21\nSlug: x\n\nx\n", "no title"), (POST + "Status: skip", "")],
)
async def test_a_post_that_pelican_would_skip_is_refused(
    reader: Any, text: str, reason: str
) -> None:
    text = text if reason else POST.replace("Slug", "Status: skip\nSlug")
    with pytest.raises(InvalidRequest, match=reason or "skip"):
        await reader.ask(PostQuestions(place=Locate(text, "content/x.md")))


async def test_files_are_described(reader: Any) -> None:
    page = "Title: About\nslug: about\n\nx\n"
    described = await reader.describe(
        [
            *files(a_md=POST, b_md="Title: no date\n\nx\n", c_txt="x"),
            Source("content/pages/about.md", "p", page.encode()),
            Source("content/media/up.md", "u", POST.encode()),
        ]
    )
    entry, unread, other, about, upload = described
    assert isinstance(entry, IndexedPost)
    assert (entry.url, entry.type, entry.channel) == (
        "https://example.com/2026/x/",
        "article",
        "Notes",
    )
    assert isinstance(unread, Unread)
    assert "date" in unread.reason
    assert other is None
    assert about == ReservedPage("content/pages/about.md", "pages/about.html")
    assert upload is None


async def test_the_error_for_unreadable_settings_has_the_reason(new: Any, tmp_path: Path) -> None:
    reader = new(lay_out(tmp_path / "site", {}, "import nothing_of_that_name"))
    with pytest.raises(SiteBroken, match="nothing_of_that_name"):
        await reader.load()
    await reader.close()


async def test_a_full_disk_is_no_fault_of_the_post(new: Any, tmp_path: Path) -> None:
    """A client keeps what was refused for that. No file is taken for one that cannot be read."""
    reader = new(lay_out(tmp_path / "site", {}, f"{CONF}{FULL}"))
    try:
        await reader.load()
        with pytest.raises(InsufficientStorage):
            await reader.ask(PostQuestions(place=Locate(POST)))
        with pytest.raises(InsufficientStorage):
            await reader.describe(files(a_md=POST))
    finally:
        await reader.close()


async def test_plugins_and_readers_of_the_site_are_used(new: Any, tmp_path: Path) -> None:
    conf = "PATH='content'\nSITEURL='https://e.example'\nTIMEZONE='UTC'\nPLUGIN_PATHS=['p']\n"
    folder = lay_out(
        tmp_path / "site", {"p/shout.py": PLUGIN}, f"{conf}PLUGINS=['shout']\n{HEADINGS}"
    )
    reader = new(folder)
    try:
        facts = await reader.load()
        gc.collect()  # what nothing holds any more is gone
        assert not facts.by_formatting
        (entry,) = await reader.describe(files(a_md="# A *heading*\n\nDate: x\n"))
        assert isinstance(entry, Unread)
        (entry,) = await reader.describe(files(a_md="date: 2026-01-02\n\n# A heading\n\nx\n"))
        assert isinstance(entry, IndexedPost)
        assert entry.found["name"] == ["DATE: 2026-01-02"]
    finally:
        await reader.close()
        signals.article_generator_context.receivers.clear()


async def test_lists_that_would_share_a_file_are_reported(new: Any, tmp_path: Path) -> None:
    reader = new(lay_out(tmp_path / "site", {}, CONF + "DEFAULT_PAGINATION = 2\n"))
    await reader.load()
    text = POST.replace("Category", "Tags: t8\nCategory")
    (first, *_) = (await reader.ask(PostQuestions(place=Locate(text, slug_from=("x",))))).places
    listed = {each.listing: each for each in first.listed}
    assert listed["category feeds/notes.atom.xml"].conflicting[0] == "author feeds/notes.atom.xml"
    assert listed["tag tag/t8.html"].numbered
    conflicting = await reader.conflicting_lists(LaterPages("tag tag/t8.html", 4))
    assert conflicting.listings == ("tag tag/t83.html",)
    conflicting = await reader.conflicting_lists(LaterPages("tag tag/t83.html", 0))
    assert ("tag tag/t8.html", 5) in conflicting.large
    await reader.close()
