"""Sites that need more than their tracked files: submodules, links, programs, dates from git's
history.

Each is built by the bridge and, in a clone made by git, by ``pelican``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from git_kit import ADA, git
from msgspec.structs import replace
from owner_kit import Owner
from rebuild_kinds import clean, differing
from rebuild_site import CONF, files, post, settings, settled

from bridge.rebuild import BuildStatus
from bridge.rebuild.rebuilder import importing_from, make_rebuilder
from bridge.rebuild.worker import BuildTiming, Worker
from bridge.runtime import process
from bridge.settings import Content
from bridge.store.checkout.submodules import SiteRemote, SubmoduleCache
from bridge.store.git import GitStore

#: A plugin as people write them: it asks git when a post was last touched.
DATES = """
import subprocess
from pelican import signals

def note(generator):
    for article in generator.articles:
        asked = ["git", "log", "-1", "--format=%s", "--", article.source_path]
        article.touched = subprocess.run(asked, capture_output=True, text=True, check=True).stdout

def register():
    signals.article_generator_finalized.connect(note)
"""
#: And one that has a program of the repo do something.
PROGRAM = """
import subprocess
from pelican import signals

def note(pelican):
    subprocess.run(["tools/mark.sh", pelican.settings["OUTPUT_PATH"]], check=True)

def register():
    signals.finalized.connect(note)
"""
ARTICLE = (
    '{% extends "!simple/article.html" %}'
    "{% block content %}{{ article.touched }}{{ super() }}{% endblock %}"
)
SITE: dict[str, str | None] = {
    "pelicanconf.py": CONF.decode(),
    "content/one.md": post("One", 1).decode(),
    "content/two.md": post("Two", 2, Category="notes").decode(),
}


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    owner = Owner(tmp_path / "owner")
    owner.write(SITE)
    return owner


def configured(**changes: str) -> dict[str, str | None]:
    text = CONF.decode()
    return {
        "pelicanconf.py": text + "".join(f"{name} = {value}\n" for name, value in changes.items())
    }


async def build(owner: Owner, folder: Path, content: str = "content") -> BuildStatus:
    """Build the head of the bare repo with the bridge."""
    store = GitStore(owner.bare, author=ADA)
    worker = make_rebuilder(
        replace(settings(folder / "output", mode="resident"), content=Content(folder=content)),
        store,
        folder / "state",
        output=folder / "output",
        submodules=SubmoduleCache(
            folder / "modules", lambda: SiteRemote(str(owner.bare), {}), lambda _: False
        ),
        timing=BuildTiming(debounce=0.01, again=()),
    )
    assert isinstance(worker, Worker)
    version = store.head()
    assert version is not None
    worker.changed(version)
    await worker.start()
    await settled(worker, version)
    await worker.close()
    store.close()
    return worker.status()


def differences(owner: Owner, folder: Path) -> list[str]:
    """The files that differ from what ``pelican`` builds in a clone."""
    clone = folder / "as-git-does"
    allowed = ("-c", "protocol.file.allow=always")
    git(folder, *allowed, "clone", "-q", "--recurse-submodules", str(owner.bare), str(clone))
    environment = importing_from(clone, process.environment({}))
    return differing(clean(clone, folder / "clean", environment), files(folder / "output"))


async def test_a_theme_that_is_a_submodule(owner: Owner, tmp_path: Path) -> None:
    theme = Owner(tmp_path / "theme")
    theme.write({"templates/index.html": "{% extends '!simple/index.html' %}{% block title %}Ours"
                 "{% endblock %}", "static/a.css": "a"})  # fmt: skip
    owner.module("themes/t", theme.bare)
    owner.write(configured(THEME='"themes/t"'))
    status = await build(owner, tmp_path)
    assert (status.state, status.warnings) == ("idle", ())
    assert differences(owner, tmp_path) == []
    assert b"Ours" in (tmp_path / "output" / "index.html").read_bytes()


async def test_a_submodule_that_cannot_be_had_is_named_with_a_command(
    owner: Owner, tmp_path: Path
) -> None:
    theme = Owner(tmp_path / "theme")
    theme.write({"templates/index.html": ""})
    owner.module("themes/t", theme.bare)
    owner.write(configured(THEME='"themes/t"'))
    theme.bare.rename(tmp_path / "away")
    status = await build(owner, tmp_path)
    # An empty folder is a theme for Pelican: all its templates are those of "simple".
    (warning,) = status.warnings
    assert warning.startswith("themes/t: a submodule whose files are missing: ")
    assert f". To fetch it by hand: git --git-dir={tmp_path}/modules/" in warning


async def test_a_build_that_fails_says_what_the_checkout_lacks(
    owner: Owner, tmp_path: Path
) -> None:
    themes = Owner(tmp_path / "themes")
    themes.write({"ours/templates/index.html": ""})
    owner.module("themes", themes.bare)
    owner.write(configured(THEME='"themes/ours"'))
    themes.bare.rename(tmp_path / "away")
    status = await build(owner, tmp_path)
    assert status.state == "failed"
    assert status.reason is not None
    assert "(what the checkout lacks: themes: a submodule whose files are" in status.reason


async def test_links_modes_programs_and_git_dates(owner: Owner, tmp_path: Path) -> None:
    def odd(clone: Path) -> None:
        (clone / "content" / "images").mkdir()
        (clone / "content" / "images" / "real.txt").write_text("real")
        (clone / "content" / "images" / "link.txt").symlink_to("real.txt")
        (clone / "content" / "shared").symlink_to("../shared")
        (clone / "shared").mkdir()
        (clone / "shared" / "x.txt").write_text("x")
        (clone / "tools").mkdir()
        (clone / "tools" / "mark.sh").write_text('#!/bin/sh\necho made > "$1/made.txt"\n')
        (clone / "tools" / "mark.sh").chmod(0o755)
        (clone / "templates").mkdir()
        (clone / "templates" / "article.html").write_text(ARTICLE)
        (clone / "plugins").mkdir()
        (clone / "plugins" / "dates.py").write_text(DATES)
        (clone / "plugins" / "program.py").write_text(PROGRAM)

    owner.commit(odd)
    owner.write(
        configured(
            STATIC_PATHS='["images", "shared"]',
            PLUGINS='["dates", "program"]',
            PLUGIN_PATHS='["plugins"]',
            THEME_TEMPLATES_OVERRIDES='["templates"]',
        )
    )
    status = await build(owner, tmp_path)
    assert (status.state, status.warnings) == ("idle", ())
    assert differences(owner, tmp_path) == []
    output = tmp_path / "output"
    assert (output / "images" / "link.txt").read_text() == "real"
    assert (output / "shared" / "x.txt").read_text() == "x"
    assert (output / "made.txt").read_text() == "made\n"
    assert b"change" in (output / "one.html").read_bytes(), "git did not say when"


async def test_files_beside_a_link_to_the_posts_are_found(owner: Owner, tmp_path: Path) -> None:
    including = "One\n###\n\n:date: 2026-11-01\n:slug: rst\n\n.. include:: ../shared.txt\n"
    link = "[static]({static}../shared.txt)"

    def moved(clone: Path) -> None:
        (clone / "docs").mkdir()
        (clone / "content").rename(clone / "docs" / "posts")
        (clone / "content").symlink_to("docs/posts")
        (clone / "docs" / "posts" / "one.rst").write_text(including)
        (clone / "docs" / "posts" / "broken.rst").write_text(including.replace("shared", "none"))
        (clone / "docs" / "posts" / "three.md").write_bytes(post("Three", 3, body=link))
        (clone / "shared.txt").write_text("shared by all")

    owner.commit(moved)
    status = await build(owner, tmp_path, "docs/posts")
    assert status.state == "idle"
    assert status.slow is not None
    assert "PATH leads through a link to docs/posts" in status.slow.reason
    assert [file for file, _ in status.left_out] == ["docs/posts/broken.rst"]
    assert differences(owner, tmp_path) == []
    assert b"shared by all" in (tmp_path / "output" / "rst.html").read_bytes()


async def test_a_link_that_leads_outside_is_named_and_nothing_of_it_published(
    owner: Owner, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hush-hush")

    def odd(clone: Path) -> None:
        (clone / "content" / "images").mkdir()
        (clone / "content" / "images" / "own.txt").write_text("own")
        (clone / "content" / "images" / "link.txt").symlink_to(secret)

    owner.commit(odd)
    owner.write(configured(STATIC_PATHS='["images"]'))
    status = await build(owner, tmp_path)
    assert status.state == "idle"
    assert any("content/images/link.txt: a symbolic link" in text for text in status.warnings)
    assert (tmp_path / "output" / "images" / "own.txt").exists()
    assert not any(b"hush-hush" in data for data in files(tmp_path / "output").values())
