"""Unusual sites: the resident build gives the same output as ``pelican``."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pelican
import pytest
from rebuild_kinds import differing
from rebuild_site import CONF, commit, files, make, new_store, post, settings, settled, worker_for
from soak_kit import SOAK, in_soak
from warm_kit import run_module

from bridge.commands.checks.site import check_site
from bridge.rebuild.rebuilder import importing_from
from bridge.rebuild.worker import Worker
from bridge.runtime import process
from bridge.settings import Content, Rebuild, Settings, Site
from bridge.store.git import GitStore

SIMPLE = Path(pelican.__file__).parent / "themes" / "simple"
POSTS: Mapping[str, bytes] = {
    "content/draft.md": post("Draft", 3, Status="draft"),
    "content/hidden.md": post("Hidden", 4, Status="hidden"),
    "content/pages/about.md": b"Title: About\n\nMe.\n",
    "content/media/x.png": b"not really a picture",
    "content/eins.md": post("Eins", 5, Slug="post-5", Lang="de"),
    **{f"content/post-{day}.md": post(f"Post {day}", day, Tags="t8;") for day in range(5, 15)},
}
PUBLISH = b"""
import os, sys
sys.path.append(os.curdir)
from pelicanconf import *
SITEURL = "https://blog.example.com"
DELETE_OUTPUT_DIRECTORY = True
"""
PATTERNS = b"""
DEFAULT_PAGINATION = 3
PAGINATION_PATTERNS = (
    (1, "{base_name}/", "{base_name}/index.html"),
    (2, "{base_name}/page/{number}/", "{base_name}/page/{number}/index.html"),
)
"""
BY_DATE = b"""
ARTICLE_URL = "{date:%Y}/{date:%m}/{date:%d}/{slug}/"
ARTICLE_SAVE_AS = ARTICLE_URL + "index.html"
YEAR_ARCHIVE_SAVE_AS = "{date:%Y}/index.html"
"""
ABSOLUTE = b"""
import os
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "content")
"""
#: A kind of posts stays out of the home page.
QUIET = b"""
DEFAULT_PAGINATION = 3
PLUGINS = ["pelican_indieauth"]
INDIEAUTH_BRIDGE = "https://bridge.example.com/"
INDIEAUTH_JSON_FEED = "feed.json"
INDIEAUTH_NOT_ON_HOME = ["like"]
"""
LIKE = '{"type":["h-entry"],"properties":{"like-of":["https://example.org/"]},"title":"synthetic"}'
#: Writes a file as soon as it is loaded, and another into a folder of pages.
EARLY = b"""
import os
from pelican import signals

def write(pelican):
    for name in ("data.json", "pages/data.json"):
        file = os.path.join(pelican.output_path, name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "w") as out:
            out.write("{}")

def register():
    signals.initialized.connect(write)
"""
EARLY_CONF = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["early"]\nPLUGIN_PATHS = ["plugins"]')
Files = Mapping[str, bytes]

#: What is in the repo besides, and which file has the settings.
SITES: Mapping[str, tuple[Files, str]] = {
    "emptied first": (
        {"pelicanconf.py": CONF + b'OUTPUT_PATH = "public"\nDELETE_OUTPUT_DIRECTORY = True\n'},
        "pelicanconf.py",
    ),
    "files written while plugins are loaded": (
        {"pelicanconf.py": EARLY_CONF, "plugins/early.py": EARLY},
        "pelicanconf.py",
    ),
    "files written while plugins are loaded, and emptied": (
        {
            "pelicanconf.py": EARLY_CONF + b"DELETE_OUTPUT_DIRECTORY = True\n",
            "plugins/early.py": EARLY,
        },
        "pelicanconf.py",
    ),
    "published": ({"pelicanconf.py": CONF, "publishconf.py": PUBLISH}, "publishconf.py"),
    "in a folder": (
        {"conf/pelicanconf.py": CONF.replace(b'"content"', b'"../content"')},
        "conf/pelicanconf.py",
    ),
    "absolute path": ({"pelicanconf.py": CONF + ABSOLUTE}, "pelicanconf.py"),
    "files from elsewhere": (
        {"pelicanconf.py": CONF + b'STATIC_PATHS = ["media", "../extra"]\n', "extra/e": b"extra"},
        "pelicanconf.py",
    ),
    "copied with their sources": (
        {"pelicanconf.py": CONF + b'STATIC_PATHS = [""]\nSTATIC_EXCLUDE_SOURCES = False\n'},
        "pelicanconf.py",
    ),
    "files moved": (
        {
            "pelicanconf.py": CONF
            + b'STATIC_PATHS = ["x"]\nEXTRA_PATH_METADATA = {"x/CNAME": {"path": "CNAME"}}\n',
            "content/x/CNAME": b"example.com",
        },
        "pelicanconf.py",
    ),
    "files moved where a folder is": (
        {
            "pelicanconf.py": CONF
            + b'THEME = "theme"\nTHEME_STATIC_DIR = "sub/./static//"\n'
            + b'STATIC_PATHS = ["x"]\nEXTRA_PATH_METADATA = {"x/a": {"path": ""}, '
            b'"x/b": {"path": "./sub//b"}, "x/c": {"path": "d/"}, "x/d": {"path": "e/../f"}}\n',
            **{f"content/x/{name}": name.encode() for name in "abcd"},
            "theme/static/css/site.css": b"a {}",
        },
        "pelicanconf.py",
    ),
    "page patterns": ({"pelicanconf.py": CONF + PATTERNS}, "pelicanconf.py"),
    "by date": ({"pelicanconf.py": CONF + BY_DATE}, "pelicanconf.py"),
    "relative": ({"pelicanconf.py": CONF + b"RELATIVE_URLS = True\n"}, "pelicanconf.py"),
    "quiet kinds": ({"pelicanconf.py": CONF + QUIET}, "pelicanconf.py"),
    "with a cache": (
        {"pelicanconf.py": CONF + b"CACHE_CONTENT = LOAD_CONTENT_CACHE = True\n"},
        "pelicanconf.py",
    ),
}


#: What other tests here, or of the settings, show as well.
ALSO = {"absolute path", "copied with their sources", "files moved", "by date", "page patterns"}


@pytest.fixture(params=[in_soak(name) if name in ALSO else name for name in SITES])
def files_and_settings(request: pytest.FixtureRequest) -> tuple[Files, str]:
    return SITES[request.param]


@pytest.fixture
def store(bare_store: GitStore, files_and_settings: tuple[Files, str]) -> GitStore:
    commit(bare_store, {**files_and_settings[0], **POSTS})
    return bare_store


@pytest.fixture
async def worker(
    store: GitStore, files_and_settings: tuple[Files, str], tmp_path: Path
) -> AsyncIterator[Worker]:
    settings = Settings(
        site=Site(
            me="https://example.com/", repo=tmp_path / "site.git", settings=files_and_settings[1]
        ),
        rebuild=Rebuild(mode="resident"),
    )
    worker = worker_for(settings, store, tmp_path)
    await worker.start()
    yield worker
    await worker.close()


def clean(
    checkout: Path, settings: str, output: Path, content: str = "content"
) -> dict[str, bytes]:
    """The output of ``pelican``."""
    environment = importing_from((checkout / settings).parent, process.environment({}))
    arguments = (content, "-s", settings, "-o", output)
    # Compiled settings are recognised by second and size; two versions can share both.
    env = {**environment, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = run_module("pelican", *arguments, cwd=checkout, env=env)
    assert ended.returncode == 0, ended.stderr
    return files(output)


async def test_it_is_what_pelican_makes_of_it(
    worker: Worker, store: GitStore, files_and_settings: tuple[Files, str], tmp_path: Path
) -> None:
    checkout = tmp_path / "state" / "rebuild" / "checkout"
    changes: tuple[dict[str, bytes | None], ...] = (
        {},
        {"content/new.md": post("New", 20, Tags="t8;"), "content/post-6.md": None},
        {"content/post-9.md": post("Post 9", 9, Tags="t8;", Mf2=LIKE)},
        {
            "content/post-9.md": post("Post 9", 9, Tags="t8;"),
            "content/a.md": post("A", 9, Mf2=LIKE),
        },
    )
    for number, change in enumerate(changes):
        version = commit(store, change) if change else store.head()
        assert version is not None
        worker.changed(version)
        await settled(worker, version)
        assert worker.status().state == "idle", worker.status()
        assert worker.status().slow is None
        if number < 2 and not SOAK:
            continue  # what is wrong here is still wrong after the next change
        expected = clean(checkout, files_and_settings[1], tmp_path / f"clean-{number}")
        assert expected.keys()
        assert differing(expected, files(tmp_path / "output")) == []


#: Pelican's own theme, as people copy it into their repo.
LOOK = {
    f"look/{file.relative_to(SIMPLE).as_posix()}": file.read_bytes()
    for file in SIMPLE.rglob("*.html")
}
AT_ROOT = CONF.replace(b'PATH = "content"', b'PATH = "."')
IN_FOLDERS = AT_ROOT.replace(b'THEME = "simple"', b'THEME = "look"')
IN_FOLDERS += b'ARTICLE_PATHS = ["posts"]\nPAGE_PATHS = ["pages"]\nSTATIC_PATHS = [""]\n'


LINKS = "[x]({filename}linked.md) ![x]({static}/media/x.png)"


@pytest.mark.parametrize(
    ("conf", "folder", "unread"),
    [(AT_ROOT, "", {"README.md", "notes/todo.md"}), (IN_FOLDERS, "posts/", set())],
    ids=["beside everything", "in folders of the root"],
)
async def test_posts_at_the_root_of_the_repo(
    bare_store: GitStore, tmp_path: Path, conf: bytes, folder: str, unread: set[str]
) -> None:
    """Git's files, the theme's, a README and the built pages are not taken for posts."""
    store = bare_store
    start = {
        "pelicanconf.py": conf,
        "README.md": b"# A site\n\nNo post.\n",
        "notes/todo.md": b"Nothing to do.\n",
        "media/x.png": b"not really a picture",
        "pages/about.md": b"Title: About\n\nMe.\n",
        f"{folder}linked.md": post("Linked", 2),
        f"{folder}one.md": post("One", 3, body=LINKS),
        **(LOOK if b"look" in conf else {}),
    }  # fmt: skip
    commit(store, start)
    settings = Settings(
        site=Site(me="https://example.com/", repo=tmp_path / "site.git"),
        content=Content(folder=""),
        rebuild=Rebuild(mode="resident"),
    )
    worker = worker_for(settings, store, tmp_path)
    await worker.start()
    changes: list[dict[str, bytes | None]] = [
        {f"{folder}new.md": post("New", 20, Tags="a;"), "media/y.png": b"another"},
        {f"{folder}bad.md": post("Bad", 21, Slug="one"), "README.md": b"# Another\n"},
    ]
    if folder:
        article = LOOK["look/templates/article.html"].replace(b"{{ super() }}", b"", 1)
        changes.append({"look/templates/article.html": article + b"<!-- changed -->"})
    try:
        for number, change in enumerate(changes):
            version = commit(store, change)
            worker.changed(version)
            await settled(worker, version)
            status = worker.status()
            assert (status.state, status.slow) == ("idle", None), status
            bad = {f"{folder}bad.md"} if number else set()
            assert {path for path, _ in status.left_out} == unread | bad
        plain = tmp_path / "plain"
        shutil.copytree(tmp_path / "state" / "rebuild" / "checkout", plain)
        (plain / folder / "bad.md").unlink()
        (plain / ".git").rename(tmp_path / "git")  # which is never published
        expected = clean(plain, "pelicanconf.py", tmp_path / "clean", ".")
        assert differing(expected, files(tmp_path / "output")) == []
        assert "new.html" in expected
    finally:
        await worker.close()


async def test_names_that_are_not_utf8_are_reported_and_the_site_is_built_by_command(
    tmp_path: Path,
) -> None:
    """No message to the site's process can carry them; `pelican` builds such a site."""
    store = new_store(tmp_path / "site.git")
    try:
        names = [os.fsdecode(b"content/caf\xe9.md"), os.fsdecode(b"content/images/\xe9.txt")]
        version = commit(
            store,
            {"content/one.md": post("One", 1), names[0]: post("Two", 2), names[1]: b"text"}
            | {"pelicanconf.py": CONF + b"STATIC_PATHS = ['images']\n"},
        )
        found = [str(each) async for each in check_site(store, version, settings(tmp_path / "out"))]
        worker = make(store, tmp_path, "resident")
        await worker.start()
        try:
            worker.changed(version)
            await settled(worker, version)
            status, built = worker.status(), files(tmp_path / "output")
        finally:
            await worker.close()
        edited = {"content/one.md": post("First", 1)}
        renamed = {"content/cafe.md": post("Two", 2), names[0]: None, names[1]: None}
        slow = []
        # As after a restart: that the names are there is not new.
        worker = make(store, tmp_path, "resident")
        await worker.start()
        try:
            for change in (edited, renamed, {"content/three.md": post("Three", 3)}):
                version = commit(store, change)
                worker.changed(version)
                await settled(worker, version)
                slow.append(worker.status().slow is not None)
        finally:
            await worker.close()
    finally:
        store.close()
    assert (status.state, "two.html" in built) == ("idle", True), status
    assert os.fsdecode(b"images/\xe9.txt") in built
    assert status.slow is not None
    assert r"the name of a file is not UTF-8: content/" in status.slow.reason
    told = "\n".join(found)
    assert r"no page for content/caf\xe9.md (Its name is not UTF-8: rename it.)" in told
    assert "ok   comparison" in told
    assert slow == [True, False, False]
