"""The page of a deleted post says so, and has none of its text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from plugin_site import build, note, post


def bury(folder: Path, name: str = "0123456789ab", **told: Any) -> None:
    """Write a tombstone, as the bridge does."""
    gone = folder / "content" / "mentions" / "gone"
    gone.mkdir(parents=True, exist_ok=True)
    (gone / f"{name}.json").write_text(json.dumps(told))


def is_tombstone(text: str) -> bool:
    page = BeautifulSoup(text, "html.parser")
    return [meta["content"] for meta in page.select('meta[http-equiv="Status"]')] == ["410 Gone"]


def test_a_deleted_post_and_its_former_urls_have_a_tombstone_page(tmp_path: Path) -> None:
    bury(tmp_path, pages=["a.html", "old/index.html"], url="https://s.example/a.html")
    built = build(tmp_path, {"b": post("b", note({}), "Words")})
    for path in ("a.html", "old/index.html"):
        page = BeautifulSoup(built.text(path), "html.parser")
        assert is_tombstone(built.text(path))
        assert [meta["content"] for meta in page.select('meta[name="robots"]')] == ["noindex"]
        assert page.select(".h-entry h1.p-name")[0].get_text() == "This post was deleted"
        assert not page.select(".e-content")
    assert not is_tombstone(built.text("b.html"))


def test_a_new_post_at_the_same_url_is_shown(tmp_path: Path) -> None:
    bury(tmp_path, pages=["a.html", "c.html"])
    posts = {
        "a": post("a", note({}), "I am back"),
        "b": post("b", note({}, aliases=["c.html"]), "B"),
    }
    built = build(tmp_path, posts)
    assert "I am back" in built.text("a.html")
    assert "refresh" in built.text("c.html"), "a post that moved leads on"
    assert not is_tombstone(built.text("c.html"))


@pytest.mark.parametrize(
    "pages",
    [
        ["../outside.html"],
        ["/etc/x"],
        "a.html",
        [1, None],
        ["content\\x"],
        [""],
        [f"{'x' * 300}/"],
        ["x/" * 1_500],
        [f"{'あ' * 80}/" * 24],
        ["\ud800/"],
        ["a\0b"],
    ],
)
def test_a_tombstone_for_a_page_outside_the_site_is_ignored(
    pages: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bury(tmp_path, pages=pages)
    (tmp_path / "content" / "mentions" / "gone" / "ffffffffffff.json").write_text("{not json")
    built = build(tmp_path, {"b": post("b", note({}), "Words")})
    assert "Words" in built.text("b.html")
    assert not (tmp_path / "outside.html").exists()
    assert not any(is_tombstone(file.read_text("utf-8")) for file in tmp_path.rglob("x*.html"))


def test_tombstone_files_are_not_copied_to_the_output(tmp_path: Path) -> None:
    bury(tmp_path, pages=["a.html"])
    built = build(tmp_path, {"b": post("b", note({}), "Words")}, STATIC_PATHS=[""])
    assert is_tombstone(built.text("a.html"))
    assert not list((tmp_path / "output").rglob("*.json"))


def test_hosts_are_configured_to_answer_410_where_possible(tmp_path: Path) -> None:
    bury(tmp_path, pages=["old/a/index.html", "b.html", "c.html", "odd name.html", "é.html"])
    built = build(tmp_path, {"c": post("c", note({}), "I am back")}, SITEURL="https://s.example/x")
    assert is_tombstone(built.text("b.html"))
    apache = [line.strip() for line in built.text(".htaccess").splitlines() if "gone" in line]
    assert apache == [
        r'RedirectMatch gone "^/x/b\.html$"',
        r'RedirectMatch gone "^/x/old/a/$"',
        r'RedirectMatch gone "^/x/old/a/index\.html$"',
    ]
    nginx = built.text("indieauth.nginx.conf")
    assert nginx.count("return 410;") == 3
    assert "location = /x/old/a/ { return 410; }" in nginx
    caddy = built.text("indieauth.caddyfile")
    assert "@indieauth_gone path /x/b.html /x/old/a/ /x/old/a/index.html\n" in caddy
    assert 'respond @indieauth_gone "410 Gone" 410\n' in caddy

    (tmp_path / "content" / "mentions" / "gone" / "0123456789ab.json").unlink()
    built = build(tmp_path, {})
    assert "410" not in built.text(".htaccess") + built.text("indieauth.nginx.conf")
    assert "gone" not in built.text("indieauth.caddyfile")
