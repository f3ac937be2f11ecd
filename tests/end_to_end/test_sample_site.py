"""The sample site, built by Pelican as its owner would, and parsed as other sites would."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

import feedparser
import html5lib
import mf2py
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, sync_playwright
from soak_kit import in_soak
from warm_kit import run_module

SAMPLE = Path(__file__).parents[2] / "sample_site"
HOME = "https://maren.example"
BRIDGE = "https://bridge.maren.example/"


def build(site: Path, output: Path, *options: str, home: str = HOME) -> Path:
    """Run Pelican from a folder that is not the site's; any error or warning fails."""
    run = run_module(
        "pelican",
        "-s",
        site / "pelicanconf.py",
        "-o",
        output,
        "--fatal",
        "warnings",
        *options,
        cwd=output.parent,
        env={
            **os.environ,
            "SITE_URL": home,
            "INDIEAUTH_BRIDGE": BRIDGE,
            "PYTHONPATH": str(SAMPLE.parent),
        },
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return output


def copy_of_the_sample(folder: Path) -> Path:
    """A copy of the site to change, without output of earlier builds."""
    ignored = shutil.ignore_patterns("output", "__pycache__")
    return Path(shutil.copytree(SAMPLE, folder / "site", ignore=ignored))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SAMPLE, tmp_path_factory.mktemp("sample") / "output")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site, built for and served at the same URL."""
    output = tmp_path_factory.mktemp("served") / "output"

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Test output is for failures."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(output)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        home = f"http://127.0.0.1:{server.server_port}"
        build(SAMPLE, output, home=home)
        yield home
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def pages(output: Path) -> list[Path]:
    return sorted(output.rglob("*.html"))


def post_pages(output: Path) -> list[Path]:
    found = sorted(output.glob("*/20??/??/*/index.html"))
    assert len(found) >= 12
    return found


def address(output: Path, page: Path) -> str:
    return f"{HOME}/{page.relative_to(output).as_posix().removesuffix('index.html')}"


def items(output: Path, page: Path) -> list[dict[str, Any]]:
    parsed = mf2py.parse(doc=page.read_text(), url=address(output, page))
    return list(parsed["items"])


def entry(output: Path, path: str) -> dict[str, Any]:
    """The properties of the one post on a page."""
    page = output / path / "index.html"
    [found] = [item for item in items(output, page) if "h-entry" in item["type"]]
    return {**found["properties"], "type": found["type"]}


def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html5lib")


@pytest.fixture(scope="module")
def trees(output: Path) -> dict[Path, BeautifulSoup]:
    """All pages, parsed once for all tests."""
    return {page: soup(page) for page in pages(output)}


# --- microformats -------------------------------------------------------------------------


def test_every_post_page_has_exactly_one_top_level_item_and_it_is_the_entry(output: Path) -> None:
    for page in post_pages(output):
        [found] = items(output, page)
        assert "h-entry" in found["type"], page
        assert found["properties"]["url"] == found["properties"]["uid"] == [address(output, page)]


def test_every_post_has_its_author_and_date(output: Path) -> None:
    for page in post_pages(output):
        [found] = items(output, page)
        [author] = found["properties"]["author"]
        assert author["properties"]["name"] == ["Maren Vidal"]
        assert author["properties"]["url"] == [f"{HOME}/"]
        assert author["properties"]["photo"][0]["value"] == f"{HOME}/images/maren.png"
        [published] = found["properties"]["published"]
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:?\d\d", published)


def test_only_posts_with_a_real_name_have_a_name(output: Path) -> None:
    named = {"articles", "bookmarks", "events", "reviews"}
    for page in post_pages(output):
        [found] = items(output, page)
        category = page.relative_to(output).parts[0]
        assert ("name" in found["properties"]) == (category in named), page


def test_an_article_has_name_summary_content_update_and_categories(output: Path) -> None:
    post = entry(output, "articles/2026/11/a-book-that-opens-flat")
    assert post["name"] == ["A book that opens flat"]
    assert post["summary"][0].startswith("Five stations, one length of thread")
    assert "<h2>Five stations</h2>" in post["content"][0]["html"]
    assert post["updated"] == ["2026-11-09T19:05:00+0100"]
    assert post["category"] == ["bookbinding", "how-to"]


def test_a_note_has_only_content(output: Path) -> None:
    post = entry(output, "notes/2026/11/first-frost-on-the-workshop-window")
    assert post["content"][0]["value"].startswith("First frost on the workshop window.")
    assert not {"name", "summary", "photo", "in-reply-to"} & set(post)


def test_a_reply_has_a_citation_of_its_target(output: Path) -> None:
    post = entry(output, "replies/2026/11/always-tear-first")
    [cite] = post["in-reply-to"]
    assert cite["type"] == ["h-cite"]
    assert cite["value"] == "https://lena.example.org/2026/11/paper-grain"
    assert cite["properties"]["author"][0]["properties"]["name"] == ["Lena Okafor"]
    assert cite["properties"]["content"][0].startswith("I have a drawer full")
    assert post["content"][0]["value"].startswith("Always tear a corner first")


@pytest.mark.parametrize(
    ("path", "name", "url"),
    [
        (
            "likes/2026/11/darning-a-fishing-net",
            "like-of",
            "https://tomas.example.com/darning-a-fishing-net",
        ),
        (
            "reposts/2026/10/hand-tools-library",
            "repost-of",
            "https://commons.example.org/notes/2026/hand-tools",
        ),
        (
            "bookmarks/2026/10/where-the-text-stands",
            "bookmark-of",
            "https://typography.example.com/margins",
        ),
    ],
)
def test_likes_reposts_and_bookmarks_have_their_target(
    output: Path, path: str, name: str, url: str
) -> None:
    [cite] = entry(output, path)[name]
    assert cite["value"] == url
    assert cite["properties"]["name"][0]


def test_an_rsvp_has_its_value_and_event(output: Path) -> None:
    post = entry(output, "rsvps/2026/09/homebrew-website-club-october")
    assert post["rsvp"] == ["yes"]
    assert post["in-reply-to"][0]["value"].startswith("https://meetup.example.org/")


def test_photos_keep_their_order_and_alt_texts(output: Path) -> None:
    [alone] = entry(output, "photos/2026/11/the-lake-at-ten-to-five")["photo"]
    assert alone["value"] == f"{HOME}/media/2026/11/lake-at-dusk.jpg"
    assert alone["alt"].startswith("A rowing boat lies still")
    several = entry(output, "photos/2026/11/three-papers-from-one-tray")["photo"]
    assert [Path(photo["value"]).stem for photo in several] == [
        "marbled-stone",
        "marbled-comb",
        "marbled-swirl",
    ]
    assert all(photo["alt"] for photo in several)


def test_a_checkin_has_its_place(output: Path) -> None:
    post = entry(output, "checkins/2026/10/refuge-des-trois-lacs")
    [place] = post["checkin"]
    assert place["type"] == ["h-card"]
    assert place["properties"]["name"] == ["Refuge des Trois Lacs"]
    assert place["properties"]["latitude"] == ["45.9262"]
    assert place["properties"]["longitude"] == ["6.4418"]
    assert len(post["photo"]) == 1


def test_an_event_has_start_end_and_location(output: Path) -> None:
    post = entry(output, "events/2026/10/an-evening-of-paper-and-thread")
    assert set(post["type"]) == {"h-entry", "h-event"}
    assert post["start"] == ["2026-12-05T18:00:00+0100"]
    assert post["end"] == ["2026-12-05T21:00:00+0100"]
    assert post["location"][0]["properties"]["name"] == ["Atelier Vidal"]
    assert post["location"][0]["properties"]["locality"] == ["Annecy"]


def test_a_review_has_item_and_rating(output: Path) -> None:
    post = entry(output, "reviews/2026/05/linen-thread-review")
    assert set(post["type"]) == {"h-entry", "h-review"}
    assert post["item"][0]["type"] == ["h-product"]
    assert (post["rating"], post["best"]) == (["5"], ["5"])


def test_a_recording_can_be_played(output: Path) -> None:
    [audio] = entry(output, "audio/2026/08/the-ferry-bell")["audio"]
    assert audio == f"{HOME}/media/2026/08/ferry-bell.wav"


def test_the_home_page_has_the_owners_card_and_a_feed_of_complete_entries(output: Path) -> None:
    card, feed = items(output, output / "index.html")
    assert card["type"] == ["h-card"]
    assert card["properties"]["url"] == card["properties"]["uid"] == [f"{HOME}/"]
    assert card["properties"]["photo"][0]["value"] == f"{HOME}/images/maren.png"
    assert feed["type"] == ["h-feed"]
    assert len(feed["children"]) == 10
    for child in feed["children"]:
        assert "h-entry" in child["type"]
        assert {"url", "uid", "published", "author"} <= set(child["properties"])


def test_the_home_page_links_to_the_owners_profiles(output: Path) -> None:
    parsed = mf2py.parse(doc=(output / "index.html").read_text(), url=f"{HOME}/")
    assert {"https://social.example/@maren", f"{HOME}/"} <= set(parsed["rels"]["me"])


def test_every_page_advertises_the_bridge(trees: dict[Path, BeautifulSoup]) -> None:
    for page, tree in trees.items():
        links = tree.select('head > link[rel="micropub"]')
        assert [link["href"] for link in links] == [f"{BRIDGE}micropub"], page


# --- feeds, links, HTML -------------------------------------------------------------------


def test_feeds_are_well_formed_and_none_of_their_items_is_empty(output: Path) -> None:
    feeds = sorted(output.rglob("feed.xml"))
    assert output / "feed.xml" in feeds
    assert output / "notes" / "feed.xml" in feeds
    for feed in feeds:
        parsed = feedparser.parse(feed.read_text())
        assert not parsed.bozo, feed
        assert parsed.entries
        for item in parsed.entries:
            assert item.link.startswith(f"{HOME}/")
            assert item.content[0].value.strip(), item.link
    assert len(feedparser.parse((output / "feed.xml").read_text()).entries) == len(
        post_pages(output)
    )


def test_all_html_is_valid(output: Path) -> None:
    for page in pages(output):
        parser = html5lib.HTMLParser()
        parser.parse(page.read_text())
        assert not parser.errors, (page, parser.errors)


def test_all_internal_links_and_files_exist(output: Path, trees: dict[Path, BeautifulSoup]) -> None:
    broken = set()
    for page, tree in trees.items():
        ids = {element["id"] for element in tree.select("[id]")}
        for element in tree.select("[href], [src]"):
            url, fragment = urldefrag(
                urljoin(address(output, page), str(element.get("href") or element.get("src")))
            )
            if fragment and url == address(output, page):
                assert fragment in ids
            if url.startswith(HOME):
                target = output / unquote(url.removeprefix(HOME)).lstrip("/")
                if not (target / "index.html" if url.endswith("/") else target).is_file():
                    broken.add((page.relative_to(output).as_posix(), url))
    assert not broken


def test_the_style_sheet_names_only_files_that_exist(output: Path) -> None:
    style = output / "theme" / "css" / "main.css"
    named = re.findall(r'url\("([^"]+)"\)', style.read_text())
    assert named
    assert all((style.parent / name).is_file() for name in named)


def test_no_resources_from_other_hosts_and_no_scripts(trees: dict[Path, BeautifulSoup]) -> None:
    for page, tree in trees.items():
        assert not tree.select("script, iframe, [onclick], [onerror], [onload]"), page
        loaded = tree.select('[src], link[rel="stylesheet"], link[rel="icon"]')
        assert all(str(e.get("src") or e.get("href")).startswith(f"{HOME}/") for e in loaded)


def test_drafts_are_in_no_list_and_ask_not_to_be_indexed(output: Path) -> None:
    draft = output / "drafts" / "three-kinds-of-paste" / "index.html"
    assert soup(draft).select_one('meta[name="robots"][content="noindex"]')
    others = [page for page in (*pages(output), *output.rglob("*.xml")) if page != draft]
    assert not [page for page in others if "Three kinds of paste" in page.read_text()]


# --- people -------------------------------------------------------------------------------


def test_each_page_has_one_main_heading_a_title_and_a_language(
    trees: dict[Path, BeautifulSoup],
) -> None:
    titles = []
    for page, tree in trees.items():
        assert len(tree.select("h1")) == 1, page
        (html,), (title,) = tree.select("html"), tree.select("title")
        assert html["lang"] in ("en", "fr")
        titles.append(title.string)
    assert len(set(titles)) == len(titles)


def test_a_post_in_another_language_says_so_everywhere(output: Path) -> None:
    own = soup(output / "notes" / "2026" / "09" / "une-page-par-jour" / "index.html")
    assert own.select("html")[0]["lang"] == "fr"
    [listed] = soup(output / "page" / "2" / "index.html").select('article[lang="fr"]')
    assert "Une page par jour" in listed.text


def test_every_image_has_an_alt_attribute_and_every_photo_a_text(
    trees: dict[Path, BeautifulSoup],
) -> None:
    for page, tree in trees.items():
        assert all(image.has_attr("alt") for image in tree.select("img"))
        assert all(image["alt"] for image in tree.select(".photos img")), page


def test_the_first_link_skips_to_the_content(trees: dict[Path, BeautifulSoup]) -> None:
    for tree in trees.values():
        first, *_ = tree.select("body a")
        assert first["href"] == "#main"
        assert [element.name for element in tree.select("#main")] == ["main"]


@pytest.mark.browser
@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_colour_scheme(
    served: str, browser: Browser, scheme: Any
) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 640}, color_scheme=scheme)
    for path in ("/", "/about/", "/archives/", "/articles/2026/06/what-is-in-the-tool-roll/"):
        page.goto(served + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, *_ = map(int, re.findall(r"\d+", colour))
    assert (red < 60) == (scheme == "dark")
    page.close()


@pytest.mark.browser
@pytest.mark.soak
def test_the_keyboard_reaches_the_content_in_two_keys(served: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{served}/archives/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.close()


# --- whatever comes -----------------------------------------------------------------------

HOSTILE = """\
Title: &lt;script&gt;alert(1)&lt;/script&gt; "'><img src=x onerror=alert(2)> &amp; AT&T
Date: 2026-11-20T10:00:00+01:00
Slug: hostile
Category: "><script>alert(3)</script> odd
Tags: "><img src=x onerror=alert(4)>; C++; 🎉; &lt;b onclick=alert(5)&gt;;
Author: "><script>alert(6)</script>
Mf2: {"type": ["h-entry"], "title": "synthetic", "properties": {"in-reply-to": ["https://example.org/?a=\\"><script>alert(7)</script>", "javascript:alert(8)"], "photo": [{"value": "https://example.org/a.jpg", "alt": "\\"><script>alert(9)</script>"}], "checkin": [{"type": ["h-card"], "properties": {"name": ["<script>alert(10)</script>"], "url": ["javascript:alert(11)"]}}]}, "references": {"https://example.org/?a=\\"><script>alert(7)</script>": {"type": ["h-cite"], "properties": {"name": ["</a><script>alert(12)</script>"], "content": ["<img src=x onerror=alert(13)>"]}}}}

Good text.
"""  # noqa: E501  (one Mf2 line is one line)

CITING = """\
Title: A thing
Date: 2026-11-20T10:00:00+01:00
Slug: thing
Category: notes
Mf2: {"type": ["h-entry"], "title": "synthetic", "properties": {"%s-of": [{"type": ["h-product"], "properties": {"name": ["W"], "price": ["€ <b>9"]%s}}]}}

Good text.
"""  # noqa: E501


def without_scripts(output: Path) -> None:
    shown = [page for page in pages(output) if "alert(" in page.read_text()]
    assert len(shown) > 3
    for page in shown:
        for element in soup(page).find_all(True):
            assert element.name != "script", page
            assert not [name for name in element.attrs if name.startswith("on")], (page, element)
            for name in ("href", "src"):
                assert not str(element.get(name)).startswith("javascript:"), page


@pytest.mark.parametrize(
    "options", [(), in_soak(("-e", "PLUGINS=[]"))], ids=["plugin", "no plugin"]
)
def test_no_text_of_a_post_becomes_markup(tmp_path: Path, options: tuple[str, ...]) -> None:
    site = copy_of_the_sample(tmp_path)
    (site / "content" / "hostile.md").write_text(HOSTILE)
    # Also here, since a build takes long: what is known of a thing is shown with every verb.
    verbs = ("like", "repost", "bookmark", "read", "watch", "listen", "wish")
    much = "".join(f', "x{chr(97 + n)}": ["y"]' for n in range(20))
    for verb in (*verbs, "watch-much"):
        word, _, long = verb.partition("-")
        text = CITING.replace("Slug: thing", f"Slug: {verb}") % (word, much if long else "")
        (site / "content" / f"{verb}.md").write_text(text)
    output = build(site, tmp_path / "output", *options)
    without_scripts(output)
    [page] = output.glob("*/2026/11/hostile/index.html")
    assert "Good text." in page.read_text()
    for verb in () if options else (*verbs, "watch-much"):
        page = next(output.glob(f"*/2026/11/{verb}/index.html"))
        [entry] = items(output, page)
        [thing] = entry["properties"][f"{verb.partition('-')[0]}-of"]
        assert thing["type"] == ["h-product"]
        assert thing["properties"]["price"] == ["€ <b>9"]
        folded = soup(page).select_one("details .p-price")
        assert bool(folded) == verb.endswith("much")


def test_without_the_plugin_the_theme_shows_every_post(tmp_path: Path) -> None:
    output = build(SAMPLE, tmp_path / "output", "-e", "PLUGINS=[]")
    for page in post_pages(output):
        assert [item["type"] for item in items(output, page)] == [["h-entry"]]


ODD_NAMES = [
    "Category: tags",
    "Category: about",
    "Category: archives",
    "Category: page",
    "Category: drafts",
    "Category: 🎉",
    "Tags: 🎉; page; tags; ++;",
]


@pytest.mark.parametrize(
    "names",
    [ODD_NAMES, *(pytest.param([name], marks=pytest.mark.soak) for name in ODD_NAMES)],
    ids=lambda names: names[0] if len(names) == 1 else "all",
)
def test_no_category_or_tag_overwrites_a_page(tmp_path: Path, names: list[str]) -> None:
    site = copy_of_the_sample(tmp_path)
    head = "Title: Odd one\nDate: 2026-11-20T10:00:00+01:00"
    for slug, name in enumerate(12 * names):
        text = f"{head}\nSlug: {slug}\n{name}\n\nText.\n"
        (site / "content" / f"{slug}.md").write_text(text)
    output = build(site, tmp_path / "output")
    assert "I am Maren" in (output / "about" / "index.html").read_text()
    assert soup(output / "archives" / "index.html").select("h1")[0].string == "Archive"
    assert soup(output / "tags" / "index.html").select("h1")[0].string == "Tags"


def test_the_settings_can_be_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Callable[[str], dict[str, Any]] = __import__(
        "pelican.settings", fromlist=["read_settings"]
    ).read_settings
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SITE_URL", raising=False)
    monkeypatch.delenv("INDIEAUTH_BRIDGE", raising=False)
    settings = read(str(SAMPLE / "pelicanconf.py"))
    assert settings["PATH"] == str(SAMPLE / "content")
    assert settings["THEME"] == str(SAMPLE / "theme")
    assert settings["SITEURL"] == "http://localhost:8000"
    assert not settings["INDIEAUTH_BRIDGE"]
