"""Properties that a client sends cannot change the identity of the site: its author, its URLs, its
endpoints.

Checked with microformats parsers, in pages that Pelican built with several themes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import mf2py
import pytest
from bs4 import BeautifulSoup, SoupStrainer
from plugin_site import SITE, SPREAD, THEMES, Built, build, items, write_settings

from bridge.content.body import Allowlist, encode
from bridge.content.convert import new_file, read
from bridge.content.edit import edit
from bridge.content.file import PelicanFile
from bridge.content.markup import html
from bridge.content.markup.links import MediaUrls
from bridge.content.rules import PathTemplate, SiteRules
from bridge.micropub.action import Create
from bridge.micropub.body import RequestBody
from bridge.micropub.parse import parse_action
from bridge.micropub.post import Post
from bridge.site.pelican.loading import importing_from
from bridge.site.pelican.pelican_site import PelicanSite

EVIL = "https://evil.example/"
WHEN = datetime(2026, 11, 21, 17, 37, tzinfo=UTC)
PROFILE = "https://social.example/@ann"
SETTINGS: dict[str, Any] = {
    "INDIEAUTH_ME": [PROFILE],
    "INDIEAUTH_WEBMENTION": "https://mentions.example/",
    "CATEGORY_FEED_ATOM": None,
}
#: Rels that delegate to another site, and others that are only valid in a page's head.
RELS = tuple(
    """
    me webmention pingback authorization_endpoint token_endpoint micropub micropub_media
    microsub indieauth-metadata ticket_endpoint hub self pgpkey openid.server
    openid2.provider canonical alternate author publisher payment redirect_uri stylesheet
    manifest shortlink amphtml feed syndication http://webmention.org/
    """.split()  # noqa: SIM905  (so many are better read as words)
)
CLASSES = tuple(
    """
    h-card h-entry h-feed h-app h-x-app h-cite h-event u-url u-uid u-photo u-logo p-name
    p-author p-author&#32;h-card dt-published e-content u-in-reply-to vcard hentry hfeed
    hreview vevent author fn url uid photo entry-title entry-content published updated adr
    geo
    """.split()  # noqa: SIM905  (so many are better read as words)
)
LINKS = "".join(
    f'<a {spelling} href="{EVIL}{number}">.</a>'
    for number, rel in enumerate(RELS)
    for spelling in (
        f'rel="{rel}"',
        f"rel={rel.upper()}",
        f'rel="nofollow\n{rel}\t{rel}"',
        f'REL="&#{ord(rel[0])};{rel[1:]}"',
        f'class="x" rel="nofollow&#1;{rel}"',
    )
)
MARKED_UP = "".join(
    f'<{tag} class="{before}{name}" id="{name}"><a class="u-url u-uid url" href="{SITE}/">Eve'
    f'<img class="u-photo photo" src="{EVIL}a.jpg" alt=""></a></{tag}>'
    for name in CLASSES
    for tag, before in (("div", ""), ("span", "x&#9;"), ("div", "x\xa0"), ("p", "x&#1;"))
)
HEAD = (
    f'<link rel="me" href="{EVIL}"><base href="{EVIL}"><meta http-equiv="refresh" content="0">'
    f'<LINK REL=webmention HREF="{EVIL}"></head><link rel=microsub href={EVIL}>'
    f'</div></article></body><body class="h-card"><a rel=me class="u-url" href="{EVIL}">Eve</a>'
)
HTML = LINKS + MARKED_UP + HEAD
MARKDOWN = "".join(
    f"[.]({EVIL}{number}){{rel={rel}}} [.]({EVIL}){{: rel='nofollow {rel}' .{name} #{name} }}\n\n"
    for number, (rel, name) in enumerate(zip(RELS, CLASSES, strict=False))
)
BLOCKS = (
    f"# Head {{.h-card #me}}\n\nA paragraph.\n{{: .h-entry .u-url }}\n\n- item {{rel=me}}\n\n{HTML}"
)
SHORT = (
    f'<a rel="me webmention" class="u-uid u-url" href="{EVIL}">.</a><div class="h-card">Eve</div>'
    f"[.]({EVIL}){{rel=me .h-card}} [x]({EVIL}) {{: .h-entry }}"
)
CARD = {
    "type": ["h-card"],
    "properties": {
        "name": ["Eve"],
        "url": [f"{SITE}/", PROFILE, EVIL],
        "uid": [f"{SITE}/"],
        "photo": [f"{EVIL}a.jpg"],
        "rel": ["me"],
    },
}


def cite(author: Any) -> dict[str, Any]:
    """A citation of another page."""
    about = {"url": ["https://quoted.example/"], "name": ["Quoted"], "author": [author]}
    return {"type": ["h-cite"], "properties": {**about, "content": [SHORT], "uid": [EVIL]}}


def card(url: str) -> dict[str, Any]:
    """A person with this name."""
    return {"type": ["h-card"], "properties": {"name": ["Eve"], "url": [url], "uid": [url]}}


#: Posts of an app that only has the scope ``create``.
POSTS: dict[str, dict[str, Any]] = {
    "html": {"content": [{"html": HTML}]},
    "html-of-an-article": {"name": ["Named"], "content": [{"html": HTML}]},
    "markdown": {"name": ["Named"], "content": [MARKDOWN]},
    "blocks": {"name": ["Named"], "content": [BLOCKS]},
    "raw": {"name": ["Named"], "content": [f"Words\n\n{HTML}"]},
    "text": {"content": [f"{SHORT}\n{{: .h-card }}\n\n{SHORT}"]},
    "texts": {"name": [SHORT], "summary": [SHORT], "content": ["x"]},
    "labels": {"content": ["x"], "category": [SHORT, "me", '"rel="me'], "author": [SHORT]},
    "author": {"content": ["x"], "author": ["Eve"]},
    "author-card": {"content": ["x"], "author": [CARD], "url": [EVIL], "uid": [EVIL]},
    "author-url": {"content": ["x"], "author": [EVIL]},
    "places": {"content": ["x"], "location": [CARD], "checkin": [CARD]},
    "profile": {"content": ["x"], "checkin": [card(PROFILE)], "location": [card(PROFILE + "/")]},
    "home": {"content": ["x"], "checkin": [card("HTTPS://EXAMPLE.COM/")], "location": [f"{SITE}/"]},
    "cited": {"content": ["x"], "in-reply-to": [cite(card(f"{SITE}/"))], "like-of": [cite(CARD)]},
    "cited-profile": {"content": ["x"], "repost-of": [cite(card(PROFILE))]},
    "review": {"content": ["x"], "item": [CARD], "rating": ["5"]},
    "app": {"content": ["x"], "item": [{**CARD, "type": ["h-app"]}], "rating": [SHORT]},
    "media": {"photo": [{"value": f"{EVIL}a.jpg", "alt": SHORT}], "video": [f'{EVIL}"rel="me']},
    "elsewhere": {"content": ["x"], "syndication": [EVIL, f'{EVIL}" rel="me']},
    "facts": {
        "content": ["x"],
        **{name: [CARD, cite(CARD), {**CARD, "type": ["h-feed"]}] for name in ("invitee", "ate")},
        **{name: [EVIL, SHORT, CARD] for name in ("key", "uid", "logo", "p-author", "u-url")},
        "team": [{"type": ["h-entry"], "properties": {"author": [CARD], "url": [f"{SITE}/"]}}],
        "own": [{"author": [CARD], "url": [f"{SITE}/"], "rel": ["me"], "x": {"uid": [f"{SITE}/"]}}],
        "instructions": [{"html": HTML}],
        "jam-of": [CARD, cite(CARD)],
        "featured": [f'{EVIL}"rel="me'],
    },
    "resume": {"name": ["Eve"], "contact": [CARD], "affiliation": [card(PROFILE)]},
    "unknown": {
        "content": ["x"],
        "me": [EVIL],
        "rel": ["me"],
        "h-card": [CARD],
        "follow-of": [CARD],
    },
}
OF_HEADS = SoupStrainer(["link", "base", "meta"])
#: The rels that a page's own links may have, and those that the plugin gives links to copies.
HARMLESS = {"nofollow", "syndication"}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    folder = tmp_path_factory.mktemp("settings")
    write_settings(folder, **SETTINGS)
    media = MediaUrls("media", ("https://bridge.example.com/media/", f"{SITE}/media/"))
    path = PathTemplate("content", "{slug}.md")
    (folder / "content").mkdir()
    with importing_from(folder):
        site = PelicanSite.load(folder / "pelicanconf.py")
    return SiteRules(site, media, path)


@pytest.fixture(scope="module")
def posts(rules: SiteRules) -> dict[str, str]:
    return dict(files(rules))


def files(rules: SiteRules) -> Iterator[tuple[str, str]]:
    for slug, properties in POSTS.items():
        action = parse_action(
            RequestBody("json", json={"type": ["h-entry"], "properties": properties})
        )
        assert isinstance(action, Create)
        file = new_file(action.post, commands=action.commands, when=WHEN, rules=rules)
        yield slug, file.with_header("Slug", slug).text()


def harmless(text: str) -> str:
    """The same post without these properties: its pages as the baseline."""
    file = PelicanFile.parse(text)
    for key in ("Summary", "Tags", "Mf2"):
        file = file.with_header(key, None)
    mf2 = '{"type":["h-entry"],"properties":{}}'
    return file.with_header("Title", "x").with_header("Mf2", mf2).with_body("x\n").text()


@cache
def parsed(built: Built, page: str) -> dict[str, Any]:
    return built.parsed(page)


def rels(page: str, built: Built) -> dict[str, Any]:
    found = parsed(built, page)["rels"]
    return {rel: urls for rel, urls in found.items() if rel not in HARMLESS}


@pytest.mark.parametrize("theme", SPREAD)
def test_properties_of_a_post_do_not_change_the_sites_identity(
    theme: str, tmp_path: Path, posts: dict[str, str]
) -> None:
    settings = {**THEMES[theme], **SETTINGS}
    plain = build(tmp_path / "plain", {s: harmless(t) for s, t in posts.items()}, **settings)
    built = build(tmp_path / "built", posts, **settings)
    slugs = {f"{slug}.html" for slug in POSTS}
    for page in {*slugs, "index.html", "archives.html", "author/ann.html"} & {*plain.pages()}:
        theirs = {
            rel for rel, urls in rels(page, built).items() if any(u.startswith(EVIL) for u in urls)
        }
        assert not theirs, page
        for rel in ("me", "webmention", "token_endpoint", "authorization_endpoint", "micropub"):
            assert rels(page, built).get(rel) == rels(page, plain).get(rel), (page, rel)
        soup = BeautifulSoup(built.text(page), "html.parser", parse_only=OF_HEADS)
        assert not [e for e in soup(["link", "base"]) if EVIL in str(e.attrs)], page
        assert not soup("meta", {"http-equiv": "refresh"}), page
        assert roots(built, page) == roots(plain, page), page
        assert identities(built, page) == identities(plain, page), page
    assert len(slugs & {*built.pages()}) == len(POSTS)


def roots(built: Built, page: str) -> list[tuple[str, ...]]:
    """The root objects that identify the page, at any depth; objects that a post cites do not
    count.
    """
    own = {"h-entry", "h-feed", "h-app", "h-x-app", "h-resume"}
    found = (own.intersection(item["type"]) for item in items(parsed(built, page)["items"]))
    return sorted(tuple(names) for names in found if names)


def identities(built: Built, page: str) -> set[str]:
    """The URLs and authors of entries, and all h-cards that have a URL of the owner."""
    found = set[str]()
    for item in items(parsed(built, page)["items"]):
        told = item["properties"]
        if "h-entry" in item["type"]:
            found |= {f"{key} {told[key]}" for key in ("url", "uid") if key in told}
            first, *guests = told.get("author", [""])
            found.add(f"author {first['properties'] if isinstance(first, dict) else first}")
            assert all(isinstance(guest, str) for guest in guests), "guests have no cards"
        urls = {str(u) for key in ("url", "uid") for u in told.get(key, ())}
        if "h-card" in item["type"] and any(u.lower().startswith((SITE, PROFILE)) for u in urls):
            found.add(f"card {told.get('name')} {urls}")
    return found


def test_properties_of_a_post_do_not_change_the_feeds_identity(
    tmp_path: Path, posts: dict[str, str]
) -> None:
    built = build(tmp_path, posts, INDIEAUTH_JSON_FEED="feed.json", **SETTINGS)
    for name in ("feeds/all.atom.xml", "feeds/all.rss.xml", "feed.json"):
        for text in BeautifulSoup(built.text(name), "xml").find_all(["content", "description"]) or [
            built.text(name)
        ]:
            parsed = mf2py.parse(text if isinstance(text, str) else text.get_text(), url=EVIL)
            assert set(parsed["rels"]) <= HARMLESS, name
            assert not [*items(parsed["items"])], name


def test_harmless_rels_and_classes_are_kept() -> None:
    kept = '<p class="note p-3"><a rel="nofollow noopener tag license" href="/a">x</a></p>'
    assert html.sanitise(kept) == kept
    assert not html.find_unsafe(kept)


def test_the_owners_own_rels_are_kept_by_an_update(rules: SiteRules) -> None:
    own = f"[me]({PROFILE}){{rel=me}}\n"
    kept = encode(
        f"{own}more", markdown=True, rules=rules, allowlist=Allowlist.of(own, "md", rules)
    )
    assert kept.text == f"{own}more\n"


@pytest.mark.parametrize("about", ["content", "like-of"])
def test_an_author_set_by_an_app_is_returned_and_is_not_pelicans_author(
    about: str, rules: SiteRules
) -> None:
    given = {about: ("https://quoted.example/",), "author": ("Eve",)}
    sent = Post("entry", MappingProxyType(given))
    file = new_file(sent, when=WHEN, rules=rules)
    assert file.get("Author") is None
    found = read(PelicanFile.parse(file.text()), rules)
    assert found.all("author") == ("Eve",)
    renamed = found.with_properties({"author": ("Mallory",)})
    edited = edit(file, found, renamed, when=WHEN, rules=rules)
    assert edited.get("Author") is None
    assert read(edited, rules).all("author") == ("Mallory",)
    own = found.with_properties({"author": ("Ann",)})
    assert edit(file, found, own, when=WHEN, rules=rules).get("Author") == "Ann"
