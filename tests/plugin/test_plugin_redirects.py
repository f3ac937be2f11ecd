"""Earlier URLs of posts redirect to the present ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from plugin_site import SITE, build, note, post


def moved(slug: str, *aliases: str, **keys: Any) -> str:
    return post(slug, note({}, aliases=list(aliases)), "Words", **keys)


def test_a_former_url_redirects_to_the_present_one(tmp_path: Path) -> None:
    posts = {"a": moved("a", "old/a.html", "older/"), "b": moved("b", "/b-once.html")}
    built = build(tmp_path, posts)
    for path, slug in {"old/a.html": "a", "older/index.html": "a", "b-once.html": "b"}.items():
        page = BeautifulSoup(built.text(path), "html.parser")
        target = f"{SITE}/{slug}.html"
        said = {
            selector: [element[name] for element in page.select(selector)[:1]]
            for selector, name in (
                ("meta[http-equiv=refresh]", "content"), ("link[rel=canonical]", "href"),
                ("meta[name=robots]", "content"), ("a", "href"),
            )
        }  # fmt: skip
        assert said == {
            "meta[http-equiv=refresh]": [f"0; url={target}"], "link[rel=canonical]": [target],
            "meta[name=robots]": ["noindex"], "a": [target],
        }  # fmt: skip
        assert 'rel="micropub"' in built.text(path)


def test_an_existing_page_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "content" / "media").mkdir(parents=True)
    (tmp_path / "content" / "media" / "a.html").write_text("static")
    taken = ["b.html", "index.html", "tag/x.html", "media/a.html", "category/notes.html"]
    posts = {"a": moved("a", *taken, "archives.html", tags="x;"), "b": moved("b", "free.html")}
    built = build(tmp_path, posts)
    for path in (*taken, "archives.html"):
        assert 'http-equiv="refresh"' not in built.text(path), path
    assert "refresh" in built.text("free.html")


def test_a_page_left_from_an_earlier_build_is_replaced(tmp_path: Path) -> None:
    build(tmp_path, {"a": moved("a")})
    built = build(tmp_path, {"a": moved("new", "a.html")})
    assert "refresh" in built.text("a.html")
    assert f"{SITE}/new.html" in built.text("a.html")
    # A second build changes nothing: the redirect does not count as a page of the site.
    again = build(tmp_path, {"a": moved("new", "a.html")})
    assert again.text("a.html") == built.text("a.html")


def test_the_first_of_two_posts_keeps_the_former_url(tmp_path: Path) -> None:
    built = build(tmp_path, {"a": moved("a", "x.html"), "b": moved("b", "x.html")})
    assert built.text("x.html").count("refresh") == 1


@pytest.mark.parametrize(
    "alias", ["../up.html", "..", "", ".", "a/../../up.html", "\\up", "a.html/b"]
)
def test_an_impossible_path_is_left_out(tmp_path: Path, alias: str) -> None:
    built = build(tmp_path, {"a": moved("a", alias)})
    assert not (tmp_path / "up.html").exists()
    assert "refresh" not in built.text("a.html")
    assert built.entries("a.html")


def test_a_title_cannot_break_out_of_a_redirect(tmp_path: Path) -> None:
    mf2 = {"properties": {}, "aliases": ["x.html"]}
    built = build(tmp_path, {"a": post("a", mf2, title="&lt;script&gt;alert(1)&lt;/script&gt;")})
    assert "<script" not in built.text("x.html")
    assert "&lt;script&gt;" in built.text("x.html")


def test_nothing_redirects_to_a_draft(tmp_path: Path) -> None:
    built = build(tmp_path, {"a": moved("a", "x.html", status="draft")})
    assert (built.output / "drafts" / "a.html").exists()
    assert not (built.output / "x.html").exists()


def test_the_text_of_redirects_can_be_configured(tmp_path: Path) -> None:
    built = build(tmp_path, {"a": moved("a", "x.html")}, INDIEAUTH_WORDS={"moved": "Umgezogen"})
    assert "Umgezogen" in built.text("x.html")
