"""The links in every page's head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from plugin_site import BRIDGE, SPREAD, THEMES, build, post, theme

from pelican_indieauth.discovery.endpoints import Link, configured, links
from pelican_indieauth.discovery.head import HeadLinks
from pelican_indieauth.errors import SettingError
from pelican_indieauth.pages import finish_file
from pelican_indieauth.site import KEY, site_of

FROM_BRIDGE = (
    Link("authorization_endpoint", f"{BRIDGE}auth"),
    Link("token_endpoint", f"{BRIDGE}token"),
    Link("micropub", f"{BRIDGE}micropub"),
    Link("micropub_media", f"{BRIDGE}media"),
    Link("indieauth-metadata", f"{BRIDGE}.well-known/oauth-authorization-server"),
)
LINKS = (Link("micropub", "https://b.example/m?a=1&b=2"), Link("me", "mailto:ann@example.com"))
HEAD = HeadLinks(LINKS)
WIDE = "Donaudampfschifffahrtsgesellschaft"
BREAKS = "style=overflow-wrap:anywhere;white-space:normal"
ELEMENTS = (
    '<link rel="micropub" href="https://b.example/m?a=1&amp;b=2" />'
    '<link rel="me" href="mailto:ann@example.com" />'
)


def test_the_bridge_is_the_only_required_setting() -> None:
    assert links({"INDIEAUTH_BRIDGE": BRIDGE}) == FROM_BRIDGE
    assert links({"INDIEAUTH_BRIDGE": BRIDGE.rstrip("/")}) == FROM_BRIDGE


def test_with_another_indieauth_server_the_bridge_is_for_posting_only() -> None:
    found = links(
        {
            "INDIEAUTH_BRIDGE": BRIDGE,
            "INDIEAUTH_AUTHORIZATION_ENDPOINT": "https://auth.example/",
            "INDIEAUTH_TOKEN_ENDPOINT": "https://token.example/",
        }
    )
    assert found == (
        Link("authorization_endpoint", "https://auth.example/"),
        Link("token_endpoint", "https://token.example/"),
        Link("micropub", f"{BRIDGE}micropub"),
        Link("micropub_media", f"{BRIDGE}media"),
    )


def test_metadata_is_advertised_if_configured() -> None:
    found = links(
        {
            "INDIEAUTH_BRIDGE": BRIDGE,
            "INDIEAUTH_AUTHORIZATION_ENDPOINT": "https://auth.example/",
            "INDIEAUTH_METADATA": "https://auth.example/metadata",
        }
    )
    assert Link("indieauth-metadata", "https://auth.example/metadata") in found


def test_each_url_can_be_set_separately() -> None:
    found = links(
        {
            "INDIEAUTH_BRIDGE": BRIDGE,
            "INDIEAUTH_MICROPUB": "https://other.example/micropub",
            "INDIEAUTH_MICROSUB": "https://other.example/microsub",
            "INDIEAUTH_WEBMENTION": "https://other.example/webmention",
            "INDIEAUTH_HUB": "https://hub.example/",
            "INDIEAUTH_ME": ["https://github.com/ann", "mailto:ann@example.com"],
        }
    )
    by_rel = {link.rel: link.href for link in found if link.rel != "me"}
    assert by_rel["micropub"] == "https://other.example/micropub"
    assert by_rel["microsub"] == "https://other.example/microsub"
    assert by_rel["webmention"] == "https://other.example/webmention"
    assert by_rel["hub"] == "https://hub.example/"
    assert found[-2:] == (
        Link("me", "https://github.com/ann"),
        Link("me", "mailto:ann@example.com"),
    )


def test_a_hosted_server_needs_one_setting() -> None:
    found = links({"INDIEAUTH_SERVER": "indieauth.com", "INDIEAUTH_BRIDGE": BRIDGE})
    assert found == (
        Link("authorization_endpoint", "https://indieauth.com/auth"),
        Link("token_endpoint", "https://tokens.indieauth.com/token"),
        Link("micropub", f"{BRIDGE}micropub"),
        Link("micropub_media", f"{BRIDGE}media"),
    )
    hosted = {link.rel: link.href for link in links({"INDIEAUTH_SERVER": "micro.blog"})}
    assert hosted["micropub"] == "https://micro.blog/micropub"
    assert hosted["token_endpoint"] == "https://micro.blog/indieauth/token"
    assert "indieauth-metadata" not in hosted


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"INDIEAUTH_BRIDGE": "bridge.example.com"}, "absolute URL"),
        ({"INDIEAUTH_BRIDGE": "/bridge/"}, "absolute URL"),
        ({"INDIEAUTH_BRIDGE": 7}, "not a string"),
        ({"INDIEAUTH_BRIDGE": "https://b.example/?a=b"}, "query"),
        ({"INDIEAUTH_MICROPUB": "javascript:alert(1)"}, "absolute URL"),
        ({"INDIEAUTH_MICROPUB": "https://b.example/ x"}, "character"),
        ({"INDIEAUTH_MICROPUB": "https://[b.example/"}, "not a URL"),
        ({"INDIEAUTH_ME": ["data:text/html,x"]}, "absolute URL"),
        ({"INDIEAUTH_ME": {"x": "y"}}, "list"),
        ({"INDIEAUTH_SERVER": "myspace.com"}, "'indieauth.com', 'micro.blog'"),
        ({"INDIEAUTH_MARKUP": "yes"}, "True or False"),
        ({"INDIEAUTH_HEADERS": ["iis"]}, "'_headers', '.htaccess', 'nginx', 'caddy'"),
        ({"INDIEAUTH_WORDS": {"liked": "Mag"}}, "like-of"),
        ({"INDIEAUTH_WORDS": "Mag"}, "dictionary"),
        ({"INDIEAUTH_JSON_FEED": "/feed.json"}, "feeds/all.json"),
        ({"INDIEAUTH_MEDIA_FOLDER": "../secret"}, "inside the content folder"),
        ({"INDIEAUTH_PHOTO": "me.jpg", "AUTHOR": "Ann"}, "/media/me.jpg"),
    ],
)
def test_an_invalid_setting_is_reported_with_value_and_remedy(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingError, match=re.escape(says)) as error:
        site_of(settings)
    (name,) = set(settings) - {"AUTHOR"}
    assert str(error.value).startswith(name)


def test_an_invalid_setting_stops_the_build_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="INDIEAUTH_MICROPUB"):
        build(tmp_path, {"a": post("a")}, INDIEAUTH_MICROPUB="/micropub")
    assert not (tmp_path / "output").exists()


def test_a_misspelt_setting_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, {"a": post("a")}, INDIEAUTH_MICROPBU="https://b.example/")
    assert "INDIEAUTH_MICROPBU is not a setting" in caplog.text
    assert "Did you mean INDIEAUTH_MICROPUB?" in caplog.text


def test_empty_settings_configure_nothing() -> None:
    assert not configured({"INDIEAUTH_BRIDGE": "", "INDIEAUTH_ME": [], "SITEURL": "x"})
    assert configured({"INDIEAUTH_MARKUP": False})


@pytest.mark.parametrize("name", SPREAD)
def test_every_page_of_every_theme_advertises_the_bridge(tmp_path: Path, name: str) -> None:
    posts = {"a": post("a", tags="river", author="Ann"), "b": post("b", status="draft")}
    built = build(tmp_path, posts, **THEMES[name])
    expected = "".join(f'<link rel="{link.rel}" href="{link.href}" />' for link in FROM_BRIDGE)
    assert len(built.pages()) >= 6
    for page in built.pages():
        head = built.text(page).partition("</head>")[0]
        assert head.count(expected) == 1, page
        rels = built.parsed(page)["rels"]
        assert {rel: rels[rel] for rel in ("micropub", "token_endpoint")} == {
            "micropub": [f"{BRIDGE}micropub"],
            "token_endpoint": [f"{BRIDGE}token"],
        }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<!doctype html><html><head>", "<title>x</title></head><body></body></html>"),
        ('<HTML><HEAD profile="a>b">', "<TITLE>x</TITLE></HEAD><BODY></BODY></HTML>"),
        ("<!-- <head> --><html><head\n>", "<title>x</title></head><body></body>"),
        ('<html data-x="<head>"><head>', "</head><body><header>x</header></body>"),
        ('<html><head><meta charset="utf-8">', "<title>x</title></head><body></body>"),
        ("<head>", "<script>'</head><body>'</script></head><body></body>"),
        ("<head>", "<!--[if IE]></head><![endif]--><title>x</title></head>"),
        ("<html><title>x <head></title>", "<body><header>x</header>"),
        ("<!doctype html><html>", "<body><header>x</header></body></html>"),
        ("<!doctype html><script>'<head>'</script><title>x</title>", "<p>No body either"),
        ("<html><!-- no title here <title> --><head>", "<title>x</title></head>"),
    ],
)
def test_unusual_heads_get_the_links_and_are_otherwise_unchanged(before: str, after: str) -> None:
    assert HEAD.put_into(before + after) == before + ELEMENTS + after


@pytest.mark.parametrize("page", ["", "plain text", "<p>A fragment</p>", "<header>x</header>"])
def test_output_that_is_not_a_page_is_unchanged(page: str) -> None:
    assert HEAD.put_into(page) == page


@pytest.mark.parametrize(
    "there",
    [
        ELEMENTS,
        "<link href='https://b.example/m?a=1&b=2' rel=micropub>"
        '<LINK REL="me author" HREF="mailto:ann@example.com">',
    ],
)
def test_existing_links_are_not_repeated(there: str) -> None:
    page = f"<html><head><title>x</title>{there}</head><body></body></html>"
    assert HEAD.put_into(page) == page


def test_links_in_comments_or_with_another_rel_do_not_count() -> None:
    page = f'<head><!--{ELEMENTS}--><link rel="x" href="mailto:ann@example.com"></head>'
    assert HEAD.put_into(page) == page.replace("<head>", f"<head>{ELEMENTS}")


def test_adding_links_twice_is_the_same_as_once() -> None:
    once = HEAD.put_into("<head></head>")
    assert HEAD.put_into(once) == once


def test_a_theme_with_links_of_its_own_keeps_them(tmp_path: Path) -> None:
    base = f'<head><link rel="micropub" href="{BRIDGE}micropub"></head><body>{{{{ x }}}}</body>'
    folder = theme(tmp_path, base=base, index=base)
    built = build(tmp_path, {"a": post("a")}, THEME=folder)
    assert built.text("index.html").count('rel="micropub"') == 1
    assert built.text("index.html").count('rel="token_endpoint"') == 1


def test_files_other_than_pages_are_unchanged(tmp_path: Path) -> None:
    opml = f"<opml><head><title>x</title></head><body><a href=''>{WIDE}</a></body></opml>"
    folder = theme(tmp_path, feeds=opml, plain="<head></head>")
    built = build(
        tmp_path,
        {"a": post("a")},
        THEME=folder,
        DIRECT_TEMPLATES=["index", "feeds", "plain"],
        FEEDS_SAVE_AS="feeds.opml",
        PLAIN_SAVE_AS="folder.d/page",
    )
    assert built.text("feeds.opml") == opml
    assert 'rel="micropub"' in built.text("folder.d/page")


def test_wide_titles_and_links_can_break_but_not_in_scripts_and_attributes(tmp_path: Path) -> None:
    page, link = tmp_path / "a.html", f"<a href='/a'>{WIDE}</a>"
    script = f'<script>x = {{"y": "{link}"}};</script><!-- {link} --><textarea>{link}</textarea>'
    styled = f'<h1 STYLE="color: red">{WIDE}</h1>'
    popover = f'<p title="<i>i</i> {link}"></p>'
    page.write_text(f"{script}{styled}{popover}<h2>{WIDE}</h2>{link}<h3>x {WIDE[:9]}</h3>{script}")
    finish_file(str(page), {KEY: site_of({"INDIEAUTH_BRIDGE": BRIDGE}), "output_file": "a.html"})
    broken = link.replace("<a", f"<a {BREAKS}")
    assert page.read_text("utf-8").endswith(
        f"{script}{styled}{popover.replace(link, broken)}<h2 {BREAKS}>{WIDE}</h2>{broken}"
        f"<h3>x {WIDE[:9]}</h3>{script}"
    )


def test_pages_made_without_a_template_have_the_links_too(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_bytes(b"<head></head>\xff")
    context = {KEY: site_of({"INDIEAUTH_BRIDGE": BRIDGE}), "output_file": "a.html"}
    for _ in range(2):
        finish_file(str(page), context)
        assert page.read_bytes().endswith(b"</head>\xff")
        assert page.read_bytes().count(b'rel="micropub"') == 1
