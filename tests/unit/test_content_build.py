"""A real Pelican run with hostile posts: every page is built, and nothing leaks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from bs4 import BeautifulSoup
from content_site import WHEN, load_rules, post, site_of
from soak_kit import SOAK
from test_content_note import SURPRISES
from test_content_properties import NASTY
from warm_kit import run_module

from bridge.content.convert import new_file
from bridge.content.rules import SiteRules
from bridge.content.titles_and_slugs import candidates
from bridge.micropub.post import Post, Properties
from bridge.site.messages import Location

SECRET = "the-secret-of-the-machine"


def nasty_posts() -> list[tuple[Post, Properties]]:
    """All of them in soak tests, otherwise every fourth of each kind."""
    return [*all_nasty_posts()][:: 1 if SOAK else 4]


def all_nasty_posts() -> Iterator[tuple[Post, Properties]]:
    for number, nasty in enumerate(NASTY):
        yield post(content=f"note {nasty} {number}"), {"slug": (nasty,)}
        yield post(name=f"{nasty} name", content=f"# {nasty}\n\n{nasty}"), {}
        yield post(content={"html": f"<p>{nasty}</p><img alt='{nasty}' src=\"{nasty}\">"}), {}
        yield post(content="tags", category=(nasty, f"x{nasty}", "t8"), summary=nasty), {}
        yield post(content="x", author=nasty, photo=nasty, like_of=nasty, save_as=nasty), {}
    for surprise in SURPRISES:
        yield post(content=surprise), {}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("site")
    (root / "secret").write_text(SECRET)
    (root / "content" / "pages").mkdir(parents=True)
    (root / "content" / "secret.md").write_text(f"Not a post. {SECRET}")
    rules = load_rules(
        root,
        FEED_ALL_ATOM="all.atom.xml",
        FEED_ALL_RSS="all.rss.xml",
        TAG_FEED_ATOM="tag/{slug}.atom.xml",
        STATIC_PATHS=["media"],
        DEFAULT_PAGINATION=1000,
    )
    placed = list(place(root, rules))
    arguments = ("-s", "pelicanconf.py", "-o", "output", "--verbose")
    run = run_module("pelican", *arguments, cwd=root, env=os.environ)
    return {"root": root, "run": run, "placed": placed}


def place(root: Path, rules: SiteRules) -> Iterator[tuple[Post, Location]]:
    """Write the files as the publisher does, with the first free slug."""
    taken: set[str] = set()
    for entry, commands in nasty_posts():
        file = new_file(entry, commands=commands, when=WHEN, rules=rules)
        for slug in candidates(file.get("Slug") or ""):
            path = rules.path.path(
                slug=slug,
                category=site_of(rules).category_slug(file.get("Category") or ""),
                published=WHEN,
            )
            text = file.with_header("Slug", slug).text()
            location = site_of(rules).locate(text, path)
            if location.save_as not in taken:
                break
        taken.add(location.save_as)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
        yield entry, location


def test_the_build_succeeds(built: dict[str, Any]) -> None:
    run = built["run"]
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Traceback" not in run.stderr
    # Only the file that is not a post is left out.
    left_out = re.findall(r"Skipping \S+|Could not process \S+", run.stderr.replace("\n", " "))
    assert [line for line in left_out if "secret" not in line] == []


def test_every_page_has_the_predicted_url(built: dict[str, Any]) -> None:
    output = built["root"] / "output"
    missing = [
        where.save_as for _, where in built["placed"] if not (output / where.save_as).is_file()
    ]
    assert missing == []
    pages = {where.save_as for _, where in built["placed"]}
    assert len(pages) == len(built["placed"])
    assert {str(page.relative_to(output)) for page in output.glob("2026/**/*.html")} == pages


def test_no_page_is_active_and_no_file_leaks(built: dict[str, Any]) -> None:
    output = built["root"] / "output"
    for file in output.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes()
    for _, where in built["placed"]:
        soup = BeautifulSoup((output / where.save_as).read_text("utf-8"), "html5lib")
        content = soup.select_one(".entry-content")
        assert content is not None
        for tag in content.find_all(True):
            assert tag.name not in {"script", "style", "iframe", "svg", "form"}
            assert not any(name.startswith("on") for name in tag.attrs)
            assert not str(tag.get("href", "")).lower().strip().startswith(("javascript:", "data:"))


def test_feeds_are_well_formed(built: dict[str, Any]) -> None:
    output = built["root"] / "output"
    feeds = [*output.glob("*.xml"), *output.glob("tag/*.xml")]
    assert len(feeds) > 3
    for feed in feeds:
        ET.parse(feed)


def test_the_text_of_notes_is_on_their_pages(built: dict[str, Any]) -> None:
    output = built["root"] / "output"
    shown = {
        where.save_as: BeautifulSoup((output / where.save_as).read_text("utf-8"), "html5lib")
        .select(".entry-content")[0]
        .get_text()
        for _, where in built["placed"]
    }
    for entry, where in built["placed"]:
        if entry.text("content") in SURPRISES:
            words = str(entry.text("content")).replace("\u202e", "").split()
            page = shown[where.save_as].replace("\u202e", "")
            assert "".join(words) in "".join(page.split())
