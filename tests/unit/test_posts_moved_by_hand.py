"""A post that its owner moves by hand keeps the addresses that apps were told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from git_kit import git, push
from publishing_kit import Bench, bench

from bridge.errors import InvalidRequest
from bridge.posts.commits import commit_message

BASE = "https://example.com/"
PATH = "content/by-hand.md"
TEXT = "Title: By hand\nDate: 2026-01-01\nSlug: first\n\nWritten by its owner.\n\nAnd more words.\n"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, {PATH: TEXT}, "") as made:
        await made.catalogue.refresh()
        # An app was told this address.
        made.push(
            {"x.txt": ""}, commit_message("update", "x", url=f"{BASE}first.html", client_id=None)
        )
        yield made


def at(slug: str) -> str:
    return TEXT.replace("first", slug)


async def slug_becomes(site: Bench, slug: str) -> None:
    """The owner pulls, edits and pushes; then the bridge follows."""
    site.pull()
    before = site.posts.find(f"{BASE}first.html").save_as.removesuffix(".html")
    text = site.read(PATH).replace(f"Slug: {before}", f"Slug: {slug}")
    await site.arrived({PATH: text})
    await site.moved.catch_up()


async def name_of(site: Bench, url: str) -> object:
    return (await site.source(url))["name"]


def aliases(site: Bench, path: str) -> list[str]:
    return [each for each in ("first.html", "second.html", "third.html") if each in site.read(path)]


async def test_another_slug(site: Bench) -> None:
    """Moved twice, then back: each address leads to the post, and the file says so."""
    await site.arrived({PATH: at("second")})
    # The index knows before anything is committed.
    assert await name_of(site, f"{BASE}first.html") == "By hand"
    await site.moved.catch_up()
    assert site.changed() == ['+Mf2: {"type":["h-entry"],"properties":{},"aliases":["first.html"]}']
    head = site.store.head()
    await site.moved.catch_up()
    assert site.store.head() == head
    await slug_becomes(site, "third")
    assert aliases(site, PATH) == ["first.html", "second.html"]
    await slug_becomes(site, "first")
    assert aliases(site, PATH) == ["second.html", "third.html"]
    for slug in ("first", "second", "third"):
        await site.update(f"{BASE}{slug}.html", name=slug)
        assert await name_of(site, f"{BASE}first.html") == slug


@pytest.mark.parametrize(
    "text",
    [TEXT.replace("Slug: first\n", ""), at("second"), at("second").replace("its owner", "me")],
)
async def test_another_file_name(site: Bench, text: str) -> None:
    new = "content/renamed.md"
    await site.arrived({PATH: None, new: text, "content/other.md": "Title: Other\n\nAnother.\n"})
    await site.moved.catch_up()
    assert aliases(site, new) == ["first.html"]
    assert await site.undelete(f"{BASE}first.html") == site.posts.find(f"{BASE}first.html").url
    await site.delete(f"{BASE}first.html")
    with pytest.raises(InvalidRequest):
        await name_of(site, f"{BASE}first.html")
    assert await site.undelete(f"{BASE}first.html") != f"{BASE}first.html"
    assert await name_of(site, f"{BASE}first.html") == "By hand"


async def test_another_file_name_in_a_merged_branch(site: Bench) -> None:
    """As a pull request brings it: the merge commit removes the file, too."""
    new = "content/renamed.md"
    site.pull()
    git(site.clone, "checkout", "-q", "-b", "rename")
    git(site.clone, "mv", PATH, new)
    (site.clone / new).write_text(at("second"))
    git(site.clone, "commit", "-q", "-a", "-m", "Another name")
    git(site.clone, "checkout", "-q", "main")
    git(site.clone, "merge", "-q", "--no-ff", "-m", "Merge", "rename")
    push(site.clone, str(site.bare))
    await site.catalogue.refresh()
    assert await site.undelete(f"{BASE}first.html") == f"{BASE}second.html"


async def test_urls_that_no_app_has_seen_get_no_redirect(site: Bench) -> None:
    """Apps that list posts find it nevertheless."""
    await site.arrived({"content/own.md": TEXT.replace("first", "own").replace("By", "My")})
    await site.arrived({"content/own.md": TEXT.replace("first", "new").replace("By", "My")})
    head = site.store.head()
    await site.moved.catch_up()
    assert site.store.head() == head
    assert await name_of(site, f"{BASE}own.html") == "My hand"


async def test_other_settings(site: Bench) -> None:
    """All posts are elsewhere: their files stay as they are, and apps find them."""
    conf = site.read("pelicanconf.py") + '\nARTICLE_URL = ARTICLE_SAVE_AS = "x/{slug}.html"\n'
    await site.arrived({"pelicanconf.py": conf})
    head = site.store.head()
    await site.moved.catch_up()
    assert site.store.head() == head
    await site.update(f"{BASE}first.html", name="Mine")
    assert await name_of(site, f"{BASE}x/first.html") == "Mine"


async def test_many_at_once(site: Bench) -> None:
    files = {f"content/{n}.md": f"Title: Post {n}\nDate: 2026-01-01\n\nx\n" for n in range(101)}
    await site.arrived(files)
    await site.arrived({name: text.replace("Post", "Essay") for name, text in files.items()})
    head = site.store.head()
    await site.moved.catch_up()
    assert site.store.head() == head
    assert await name_of(site, f"{BASE}post-7.html") == "Essay 7"


async def test_another_post_takes_the_address(site: Bench) -> None:
    other = TEXT.replace("By hand", "Other").replace("Written by its owner", "Quite another text")
    await site.arrived({PATH: at("second"), "content/other.md": other})
    await site.moved.catch_up()
    assert await name_of(site, f"{BASE}first.html") == "Other"
    await site.arrived({"content/other.md": None})
    assert await name_of(site, f"{BASE}first.html") == "By hand"


async def test_a_file_with_another_post_and_a_deleted_one_are_not_moved(site: Bench) -> None:
    await site.arrived({PATH: at("second")})
    await site.arrived(
        {PATH: "Title: New\nDate: 2026-02-02\n\nNothing of the first post is here.\n"}
    )
    for slug in ("first", "second"):
        with pytest.raises(InvalidRequest):
            await name_of(site, f"{BASE}{slug}.html")
    await site.arrived({PATH: None, "content/next.md": "Title: Next\n\nThe next one.\n"})
    with pytest.raises(InvalidRequest):
        await name_of(site, f"{BASE}new.html")


async def test_a_rewritten_post_that_says_where_it_was_is_the_same(site: Bench) -> None:
    """As where an app gives a post another text and another slug at once."""
    await site.arrived({PATH: at("second")})
    mf2 = 'Mf2: {"type":["h-entry"],"properties":{},"aliases":["second.html"]}'
    await site.arrived({PATH: f"Title: New\nDate: 2026-02-02\n{mf2}\n\nNothing is as it was.\n"})
    for slug in ("first", "second"):
        assert await name_of(site, f"{BASE}{slug}.html") == "New"


async def test_another_note_with_the_same_headers_is_another_post(site: Bench) -> None:
    note = "Title: N{0}\nDate: 2026-01-0{0}\nSlug: note-{0}\nCategory: notes\nAuthor: Jane Doe\n"
    note += "Status: published\nTags: short, personal\n\nNumber {0}\n"
    await site.arrived({"content/1.md": note.format(1)})
    await site.arrived({"content/1.md": None, "content/2.md": note.format(2)})
    with pytest.raises(InvalidRequest):
        await name_of(site, f"{BASE}note-1.html")


async def test_a_redirect_that_the_owner_removes_is_not_added_again(site: Bench) -> None:
    await site.arrived({PATH: at("second")})
    await site.moved.catch_up()
    assert aliases(site, PATH) == ["first.html"]
    site.pull()
    await site.arrived({PATH: at("second")})
    await site.moved.catch_up()
    assert not aliases(site, PATH)
    assert await name_of(site, f"{BASE}first.html") == "By hand"


async def test_a_draft_is_found_and_has_no_redirect(site: Bench) -> None:
    await site.arrived(
        {"content/d.md": "Title: D\nStatus: draft\nDate: 2026-01-01\n\nDraft text\n"}
    )
    await site.arrived({"content/d.md": "Title: D\nDate: 2026-01-01\n\nDraft text\n"})
    head = site.store.head()
    await site.moved.catch_up()
    assert site.store.head() == head
    assert await name_of(site, f"{BASE}drafts/d.html") == "D"
