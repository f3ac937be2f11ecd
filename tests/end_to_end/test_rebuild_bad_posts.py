"""A post that breaks the build is left out, with the reason, and returns when it is fixed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from rebuild_kinds import clean, differing
from rebuild_site import CONF, commit, files, post, settings, settled, small_site
from soak_kit import SOAK, in_soak

from bridge.rebuild import Rebuilder
from bridge.rebuild.rebuilder import importing_from, make_rebuilder
from bridge.rebuild.worker import BuildTiming
from bridge.runtime import process
from bridge.store.git import GitStore

QUICK = BuildTiming(debounce=0.01, again=())

Change = dict[str, bytes | None]
After = Callable[[Change], Awaitable[dict[str, str]]]


@pytest.fixture
def store(bare_store: GitStore) -> GitStore:
    small_site(bare_store)
    return bare_store


#: For what the site's Pelican finds, whichever way it is run: `make soak` has both.
once = pytest.mark.parametrize(
    "rebuilder", ["resident", *(["command"] if SOAK else [])], indirect=True
)


@pytest.fixture(params=["command", "resident"])
async def rebuilder(
    request: pytest.FixtureRequest, store: GitStore, tmp_path: Path
) -> AsyncIterator[Rebuilder]:
    config = settings(tmp_path / "output", mode=request.param)
    rebuilder = make_rebuilder(
        config, store, tmp_path / "state", output=tmp_path / "output", timing=QUICK
    )
    await rebuilder.start()
    head = store.head()
    assert head is not None
    await settled(rebuilder, head)
    yield rebuilder
    await rebuilder.close()


@pytest.fixture
def after(store: GitStore, rebuilder: Rebuilder) -> After:
    """Commit a change and wait for the build; returns the posts left out, with reasons."""

    async def after(change: Change) -> dict[str, str]:
        version = commit(store, change)
        rebuilder.changed(version)
        await settled(rebuilder, version)
        assert rebuilder.status().state == "idle", rebuilder.status()
        return dict(rebuilder.status().left_out)

    return after


async def test_a_post_whose_page_is_taken(
    after: After, tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    left_out = await after(
        {"content/again.md": post("Again", 5, Slug="one"), "content/fine.md": post("Fine", 5)}
    )
    assert list(left_out) == ["content/again.md"]
    # Pelican itself only says that it cannot overwrite a file, by its path in the state folder.
    assert left_out["content/again.md"] == (
        "two pages are to be written to one.html"
        if "command" in request.node.name
        else "content/again.md and content/one.md are both to be written to one.html: change the"
        " slug of one"
    )
    assert {"one.html", "fine.html"} <= files(tmp_path / "output").keys()
    assert b"Again" not in (tmp_path / "output" / "one.html").read_bytes()
    caplog.set_level("INFO")
    assert await after({"content/again.md": None}) == {}
    assert "started again" not in caplog.text, "it is a post, although none that was read"


#: A plugin that looks at the files of posts, and asks git for their dates.
LOOKING = b"""
import subprocess
from pathlib import Path
from pelican import signals

def look(generator):
    folder = Path(generator.path)
    asked = ["git", "log", "-1", "--format=%s", "--", "2020/bad.md"]
    generator.context["LOOKED_AT"] = " ".join([
        "log:", subprocess.run(asked, cwd=folder, capture_output=True, text=True).stdout.strip(),
        "size:", str((folder / "2020" / "bad.md").stat().st_size),
        "status:", subprocess.run(["git", "status", "--porcelain"], cwd=folder.parent,
                                  capture_output=True, text=True).stdout,
    ])

def register():
    signals.article_generator_finalized.connect(look)
"""


@once
async def test_its_file_stays_for_all_but_pelicans_generators(after: After, tmp_path: Path) -> None:
    """There is no page, link or copy of it; git, and plugins that read the file, still find it."""
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["looking"]\nPLUGIN_PATHS = ["plugins"]')
    conf = conf.replace(b'["media"]', b'["media", "2020"]')
    conf += b'THEME_TEMPLATES_OVERRIDES = ["over"]\n'
    subtitle = b'{% extends "!simple/index.html" %}{% block title %}{{ LOOKED_AT }}{% endblock %}'
    bad = post("Again", 5, Slug="one", Category="only here", Tags="nowhere;")
    left_out = await after(
        {
            "pelicanconf.py": conf,
            "plugins/looking.py": LOOKING,
            "over/index.html": subtitle,
            "content/2020/bad.md": bad,
            "content/2020/beside.txt": b"beside",
            "content/linking.md": post("L", 6, body="[x]({filename}2020/bad.md) [y](#y)"),
        }
    )
    assert left_out.keys() == {"content/2020/bad.md"}
    checkout, output = tmp_path / "state" / "rebuild" / "checkout", tmp_path / "output"
    assert (checkout / "content" / "2020" / "bad.md").read_bytes() == bad
    pages = files(output)
    assert f"log: A change size: {len(bad)} status: </title>".encode() in pages["index.html"]
    assert b'href="{filename}2020/bad.md"' in pages["l.html"]
    assert "2020/beside.txt" in pages
    assert not [name for name in pages if "bad" in name or "only-here" in name or "nowhere" in name]
    # As plain pelican does without the post, which the plugin then only misses.
    plain = tmp_path / "plain"
    shutil.copytree(checkout, plain)
    (plain / "content" / "2020" / "bad.md").unlink()
    (plain / "plugins" / "looking.py").write_text("def register(): pass")
    expected = clean(plain, tmp_path / "clean", importing_from(plain, process.environment({})))
    assert set(differing(expected, pages)) <= {"index.html"}
    # And it comes back without a new process or a new file.
    assert await after({"content/one.md": None}) == {}
    assert b"Again" in (output / "one.html").read_bytes()


@once
async def test_an_unlucky_tag(after: After, tmp_path: Path) -> None:
    conf = CONF.replace(b"DEFAULT_PAGINATION = 5", b"DEFAULT_PAGINATION = 1")
    posts = {f"content/t{day}.md": post(f"T {day}", day, Tags="t8;") for day in (6, 7, 8)}
    assert await after({"pelicanconf.py": conf, **posts}) == {}
    left_out = await after({"content/unlucky.md": post("Unlucky", 9, Tags="t83;")})
    assert list(left_out) == ["content/unlucky.md"]
    assert (tmp_path / "output" / "tag" / "t83.html").exists(), "page 3 of t8 is there"


@once
async def test_a_template_that_fails_on_a_post(after: After, tmp_path: Path) -> None:
    template = b'{% extends "!simple/article.html" %}{% block content %}'
    template += b"{% if article.title == 'Bad' %}{{ article.nothing.at_all }}{% endif %}"
    template += b"{{ super() }}{% endblock %}"
    override = CONF + b'THEME_TEMPLATES_OVERRIDES = ["templates"]\n'
    assert await after({"templates/article.html": template, "pelicanconf.py": override}) == {}
    left_out = await after({"content/bad.md": post("Bad", 5), "content/fine.md": post("Fine", 5)})
    assert list(left_out) == ["content/bad.md"]
    assert (tmp_path / "output" / "fine.html").exists()


@once
async def test_a_date_that_is_none(after: After, tmp_path: Path) -> None:
    left_out = await after(
        {
            "content/when.md": b"Title: When\nDate: the day after\n\nText\n",
            "content/fine.md": post("Fine", 5),
        }
    )
    assert list(left_out) == ["content/when.md"]
    assert (tmp_path / "output" / "fine.html").exists()


@once
async def test_a_status_that_aborts_pelican(after: After, tmp_path: Path) -> None:
    left_out = await after(
        {"content/skip.md": post("S", 5, Status="Skip"), "content/fine.md": post("Fine", 5)}
    )
    assert list(left_out) == ["content/skip.md"]
    assert (tmp_path / "output" / "fine.html").exists()


async def test_it_comes_back_once_it_is_fixed(after: After, tmp_path: Path) -> None:
    assert await after({"content/again.md": post("Again", 5, Slug="one")})
    assert await after({"content/new.md": post("New", 6)}), "a new post does not fix it"
    assert await after({"content/again.md": post("Again", 5, Slug="again")}) == {}
    assert (tmp_path / "output" / "again.html").exists()


@once
async def test_it_comes_back_when_what_was_in_its_way_goes(after: After, tmp_path: Path) -> None:
    assert await after({"content/again.md": post("Again", 5, Slug="one")})
    assert await after({"content/one.md": None}) == {}
    assert b"Again" in (tmp_path / "output" / "one.html").read_bytes()


@once
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"1 / 0\n", "division by zero"),
        (b'MARKDOWN = {"extension_configs": {"nonesuch": {}}}\n', "files could not be read"),
        (
            b"from pelican import signals\ndef read(generator):\n    import nonesuch\n"
            b"signals.static_generator_preread.connect(read)\n",
            "No module named 'nonesuch'",
        ),
    ],
    ids=[
        "that fail",
        "with which no post can be read",
        "for which something is not installed",
    ],
)
async def test_settings_leave_the_last_good_site(
    after: After,
    store: GitStore,
    rebuilder: Rebuilder,
    tmp_path: Path,
    wrong: bytes,
    reason: str,
) -> None:
    await after({"content/four.md": post("Four", 4)})
    before = files(tmp_path / "output")
    version = commit(store, {"pelicanconf.py": CONF + wrong, "content/new.md": post("New", 6)})
    rebuilder.changed(version)
    await settled(rebuilder, version)
    status = rebuilder.status()
    assert (status.state, status.version == version) == ("failed", False)
    assert reason in (status.reason or "")
    assert files(tmp_path / "output") == before
    fixed = commit(store, {"pelicanconf.py": CONF})
    rebuilder.changed(fixed)
    assert await rebuilder.live(fixed, "new.html", 300)


async def test_a_content_folder_that_was_renamed_leaves_the_last_good_site(
    store: GitStore, rebuilder: Rebuilder, tmp_path: Path
) -> None:
    before = files(tmp_path / "output")
    head = store.head()
    assert head is not None
    there = {path: store.read(path, head) for path, _ in store.files("content", head)}
    moved: Change = {f"texts/{path[8:]}": blob.data for path, blob in there.items() if blob}
    conf = CONF.replace(b'"content"', b'"texts"')
    version = commit(store, {**moved, **dict.fromkeys(there), "pelicanconf.py": conf})
    rebuilder.changed(version)
    await settled(rebuilder, version)
    status = rebuilder.status()
    assert status.state == "failed", status
    assert 'folder = "texts"' in (status.reason or "")
    assert files(tmp_path / "output") == before
    back = commit(store, {path: blob.data for path, blob in there.items() if blob})
    rebuilder.changed(back)
    assert await rebuilder.live(back, "one.html", 300)


@pytest.mark.parametrize("mode", ["resident", "command"])
async def test_a_site_is_not_built_without_the_posts_that_its_settings_name(
    store: GitStore, tmp_path: Path, mode: str
) -> None:
    """As after a move to another machine, with a bridge.toml from before a rename."""
    head = store.head()
    assert head is not None
    there = {path: store.read(path, head) for path, _ in store.files("content", head)}
    moved: Change = {f"texts/{path[8:]}": blob.data for path, blob in there.items() if blob}
    conf = CONF.replace(b'"content"', b'"texts"')
    commit(store, {**moved, **dict.fromkeys(there), "pelicanconf.py": conf})
    config = settings(tmp_path / "output", mode=mode)
    rebuilder = make_rebuilder(
        config, store, tmp_path / "state", output=tmp_path / "output", timing=QUICK
    )
    await rebuilder.start()
    try:
        async with asyncio.timeout(300):
            while rebuilder.status().state != "failed":
                await asyncio.sleep(0.05)
        reason = rebuilder.status().reason or ""
        assert 'PATH in pelicanconf.py is texts: write folder = "texts"' in reason
        assert not files(tmp_path / "output")
        back = commit(store, {path: blob.data for path, blob in there.items() if blob})
        rebuilder.changed(back)
        assert await rebuilder.live(back, "one.html", 300)
    finally:
        await rebuilder.close()


@once
async def test_a_misspelt_content_folder_leaves_the_last_good_site(
    store: GitStore, rebuilder: Rebuilder, tmp_path: Path
) -> None:
    before = files(tmp_path / "output")
    await rebuilder.close()
    config = settings(tmp_path / "output")
    config = replace(config, content=replace(config.content, folder="contents"))
    again = make_rebuilder(
        config, store, tmp_path / "state", output=tmp_path / "output", timing=QUICK
    )
    await again.start()
    async with asyncio.timeout(300):
        while again.status().state != "failed":
            await asyncio.sleep(0.05)
    status = again.status()
    await again.close()
    assert 'write folder = "content"' in (status.reason or "")
    assert files(tmp_path / "output") == before


@once
async def test_a_template_that_fails_on_every_post_leaves_the_last_good_site(
    after: After, store: GitStore, rebuilder: Rebuilder, tmp_path: Path
) -> None:
    """Each page names another post in its failure; the posts are not the cause."""
    await after({f"content/{day}.md": post(f"Post {day}", day) for day in range(11, 18)})
    before = files(tmp_path / "output")
    conf = b'THEME_TEMPLATES_OVERRIDES = ["over"]\n'
    template = b"{{ article.title | fail }}"
    broken = (
        b"def fail(title):\n    raise ValueError(repr(title))\nJINJA_FILTERS = {'fail': fail}\n"
    )
    version = commit(store, {"pelicanconf.py": CONF + conf + broken, "over/article.html": template})
    rebuilder.changed(version)
    await settled(rebuilder, version)
    assert rebuilder.status().state == "failed"
    assert files(tmp_path / "output") == before


@once
async def test_a_template_that_fails_on_a_late_page_leaves_the_last_good_site(
    after: After, store: GitStore, rebuilder: Rebuilder, tmp_path: Path
) -> None:
    """Images, feeds and the home page are written before the failure; none of them is published."""
    await after({"content/four.md": post("Four", 4)})
    before = files(tmp_path / "output")
    conf = b'SITENAME = "Another"\nTHEME_TEMPLATES_OVERRIDES = ["over"]\n'
    change = {
        "pelicanconf.py": CONF + conf,
        "over/tag.html": b"{{ 1 / 0 }}",
        "content/new.md": post("New", 6, body="![x]({static}/media/new.png)"),
        "content/media/new.png": b"not really a picture either",
        "content/media/x.png": b"another",
    }
    version = commit(store, change)
    rebuilder.changed(version)
    await settled(rebuilder, version)
    status = rebuilder.status()
    assert status.state == "failed", status
    assert files(tmp_path / "output") == before
    fixed = commit(store, {"over/tag.html": b"fine"})
    rebuilder.changed(fixed)
    assert await rebuilder.live(fixed, "new.html", 300)
    await settled(rebuilder, fixed)
    now = files(tmp_path / "output")
    assert {"new.html", "media/new.png"} <= now.keys()
    assert b"Another" in now["index.html"]


@pytest.mark.parametrize("mode", [in_soak("command"), "resident"])
async def test_a_post_that_makes_very_much_of_itself(
    mode: str, store: GitStore, tmp_path: Path
) -> None:
    """Each tag has a page, on which a theme may list all tags."""
    output = tmp_path / "output"
    config = settings(output, mode=mode, max_growth=400_000)
    rebuilder = make_rebuilder(config, store, tmp_path / "state", output=output, timing=QUICK)
    await rebuilder.start()
    try:
        head = store.head()
        assert head is not None
        await settled(rebuilder, head)
        before = files(output).keys()
        tags = "; ".join(f"tag {number}" for number in range(300))
        change = {"content/fine.md": post("Fine", 5), "content/many.md": post("Many", 5, Tags=tags)}
        version = commit(store, change)
        rebuilder.changed(version)
        await settled(rebuilder, version)
        status = rebuilder.status()
        assert status.state == "idle", status
        assert [path for path, _ in status.left_out] == ["content/many.md"]
        assert "larger by more than 400,000 bytes" in dict(status.left_out)["content/many.md"]
        now = files(output).keys()
        assert before <= now
        assert "fine.html" in now
        assert not [name for name in now if "tag-2" in name or "many" in name]
    finally:
        await rebuilder.close()
