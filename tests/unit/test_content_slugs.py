"""A post's file is inside the content folder, and its slug is a single safe path segment."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from content_site import PATH, load_site, post, read_site, write_settings
from hypothesis import given
from soak_kit import any_text

from bridge.content.rules import PathTemplate
from bridge.content.titles_and_slugs import candidates, first_slug, requested_slug, slug_sources
from bridge.settings import SettingsError
from bridge.site.messages import Locate
from bridge.site.pelican.pelican_site import PelicanSite as Site

PUBLISHED = datetime(2026, 11, 21, 18, 37, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return load_site(tmp_path_factory.mktemp("site"))


def cite(**properties: str) -> dict[str, Any]:
    return {"type": ["h-cite"], "properties": {key: [text] for key, text in properties.items()}}


@pytest.mark.parametrize(
    ("properties", "slug"),
    [
        ({"name": "A walk by the River!"}, "a-walk-by-the-river"),
        ({"name": "Über «uns» & 日本"}, "uber-uns-ri-ben"),
        ({"name": "C++"}, "c-plus-plus"),
        ({"name": "C# and F#"}, "c-sharp-and-f-sharp"),
        ({"name": "A+"}, "a-plus"),
        ({"content": "#indieweb is https://example.org fun"}, "indieweb-is-fun"),
        ({"content": "one two three four five six seven eight nine"},
         "one-two-three-four-five-six-seven-eight"),
        ({"content": {"html": "<p>Bold <b>move</b></p><script>x</script>"}}, "bold-move"),
        ({"content": {"value": "plain"}}, "plain"),
        ({"name": "🎉", "content": "Party"}, "party"),
        ({"content": "🎉"}, "2026-11-21-183705"),
        ({"content": "¯\\_(ツ)_/¯ __init__ is a_b"}, "tsu-init-is-a-b"),
        ({"name": "snake_case"}, "snake_case"),
        ({"name": "_~ __ a...b"}, "a-b"),
        ({"content": "[A *walk*](https://example.org/x 'Title')!"}, "a-walk"),
        ({"content": "https://www.example.org/2026/a-walk.html"}, "example-org-a-walk"),
        ({"content": "Re: https://example.org/a-walk", "in_reply_to": "https://example.org/a-walk"},
         "reply-to-example-org-a-walk"),
        ({"summary": "Liked 👍 https://example.org/x", "like_of": "https://example.org/x"},
         "like-of-example-org-x"),
        ({"content": "Via https://example.org/a-walk"}, "via-example-org-a-walk"),
        ({"content": "Wow! https://example.org/x https://example.com/y", "mood": "happy"},
         "wow-example-org-x"),
        ({"content": "日本語 https://example.org/x"}, "ri-ben-yu"),
        ({"like_of": "https://example.org/"}, "like-of-example-org"),
        ({"like_of": "https://example.org/2026/11/a-walk.html?x=1#y"},
         "like-of-example-org-a-walk"),
        ({"like_of": "https://example.org:8080/2026/%C3%BCber/5"}, "like-of-example-org-uber"),
        ({"bookmark_of": cite(name="A walk", url="https://example.org/x")},
         "bookmark-of-a-walk"),
        ({"in_reply_to": "https://example.org/party", "rsvp": "yes"},
         "rsvp-to-example-org-party"),
        ({"follow_of": "https://ada.example/"}, "follow-of-ada-example"),
        ({"read_of": cite(name="Emma", uid="isbn:1")}, "read-emma"),
        ({"like_of": "at://did:plc:1/x"}, "like-of-at-didplc1-x"),
        ({"photo": "https://example.org/x.jpg"}, "2026-11-21-183705"),
        ({"photo": {"value": "https://example.org/x.jpg", "alt": "A lake"}}, "a-lake"),
        ({"mood": "happy"}, "mood-happy"),
        ({"content": {"html": '<img src="https://example.org/x.jpg" alt="A lake">'}}, "a-lake"),
        ({"content": {"html": '<img src="https://example.org/x.jpg">'}}, "2026-11-21-183705"),
        ({"checkin": {"type": ["h-card"], "properties": {"name": ["Bar"]}}}, "at-bar"),
        ({"name": "x" * 500}, "x" * 60),
        ({"name": "word " * 50}, "-".join(["word"] * 12)),
        ({"name": ["not text"]}, "2026-11-21-183705"),
    ],
)  # fmt: skip
def test_the_requested_slug_of_a_post(properties: dict[str, Any], slug: str, site: Site) -> None:
    assert first_slug(slug_sources(post(**properties), {}, PUBLISHED), site) == slug


@pytest.mark.parametrize(
    ("wish", "slug"),
    [
        ("my-slug", "my-slug"),
        ("My Slug", "my-slug"),
        ("../../etc/passwd", "etc-passwd"),
        ("/absolute", "absolute"),
        ("a/b\\c", "a-b-c"),
        ("index.html", "index-html"),
        ("...", None),
        ("\x00\n", None),
        ("<b>x</b>", "x"),
        ("%2e%2e%2f", "2e2e2f"),
        ("_under_", "under"),
        ("my__post-2", "my__post-2"),
    ],
)
def test_mp_slug_is_only_a_hint(wish: str, slug: str | None, site: Site) -> None:
    assert requested_slug({"slug": (wish,)}, site) == slug
    named = post(name="fallback")
    assert first_slug(slug_sources(named, {"slug": (wish,)}, PUBLISHED), site) == (
        slug or "fallback"
    )


def test_an_empty_slug_is_not_a_request(site: Site) -> None:
    assert requested_slug({}, site) is None
    assert requested_slug({"slug": (1,)}, site) is None


def test_slugs_are_safe_whatever_the_sites_slugify_settings(tmp_path: Path) -> None:
    odd = load_site(tmp_path, SLUG_REGEX_SUBSTITUTIONS=[], SLUGIFY_USE_UNICODE=True)
    assert first_slug(slug_sources(post(name="Ü ../?x=1#…"), {}, PUBLISHED), odd) == "ü-x-1-sharp"


def test_taken_slugs_are_numbered_up_to_a_limit() -> None:
    assert list(islice(candidates("x"), 3)) == ["x", "x-2", "x-3"]
    every = [*islice(candidates("x", "2026"), 1000)]
    assert (every[199:202], len(every)) == (["x-200", "x-2026", "x-2026-2"], 400)


def test_the_path_follows_the_template() -> None:
    path = PATH.path(slug="a-walk", category="notes", published=PUBLISHED)
    assert path == "content/notes/2026/11/a-walk.md"
    flat = PathTemplate("/blog/content/", "{published:%Y-%m-%d}-{slug}.md")
    assert flat.path(slug="x", category="", published=PUBLISHED) == "blog/content/2026-11-21-x.md"


@given(any_text(300), any_text(300))
def test_slugs_and_categories_stay_inside_the_content_folder(slug: str, category: str) -> None:
    path = PATH.path(slug=slug, category=category, published=PUBLISHED)
    parts = path.split("/")
    assert parts[0] == "content"
    assert len(parts) in {4, 5}
    assert not any(part in {"", ".", ".."} or part.startswith(".") for part in parts)
    assert all(len(part.encode(errors="surrogatepass")) <= 200 for part in parts)
    assert not any(character < " " or character == "\\" for character in path)
    assert path.endswith(".md")


@pytest.mark.parametrize(
    ("pattern", "template", "slug", "name"),
    [
        ("", "{slug}.md", "0800-12-34-call", "post-0800-12-34-call"),
        ("", "{slug}.md", "2024-02-29-x", "2024-02-29-x"),
        ("", "{published:%Y-%m}-{slug}.md", "50-years", "2026-11-post-50-years"),
        (r"(?P<date>\d{4}-\d{2}-\d{2})_(?P<slug>.*)", "{slug}.md", "2026-13-41_x",
         "post-2026-13-41_x"),
        (r"(?P<date>\d{8})", "{slug}.md", "08001234-call", "post-08001234-call"),
        (r"(?P<slug>.+?)(-(?P<lang>[a-z]{2}))?$", "{slug}.md", "where-to", "where-to-post"),
        (r".*(?P<date>\d{8})", "{slug}.md", "call-08001234", "postcallxaiaabcde"),
        (r"(?P<short>.*)", "{slug}.md", "a-b", "a-b"),
        (r"posts/(?P<date>\d{4}/\d\d/\d\d).*", "posts/{published:%Y}/{published:%m}/{slug}.md",
         "50-years", "posts/2026/11/post-50-years"),
        (r"(?P<date>\d{4}-\d\d/\d\d)?.*", "{category}/{slug}.md", "50-years",
         "1234-56/post-50-years"),
        (r"(?P<date>\d{4}-\d\d)?[^/]*/.*", "{category}/{slug}.md", "x", "posts-1234-56/x"),
    ],
)  # fmt: skip
def test_a_new_files_name_says_nothing_that_the_post_does_not(
    tmp_path: Path, pattern: str, template: str, slug: str, name: str
) -> None:
    """Pelican skips a post in whose name it finds a date that does not exist."""
    key = "PATH_METADATA" if "/" in pattern else "FILENAME_METADATA"
    file = write_settings(tmp_path, **({key: pattern} if pattern else {}))
    site = read_site(file, template=template)
    text = "Title: A\nDate: 2026-11-21\nCategory: 1234-56\n\nx\n"
    places, _ = site.places(Locate(text, slug_from=(slug,)))
    assert (places[0].slug, places[0].path) == (slug, f"content/{name}.md")
    for place in places:
        named = text.replace("\n\n", f"\nSlug: {place.slug}\n\n")
        assert place.location == site.locate(named, place.path)
        assert place.location.url == f"https://example.com/2026/11/{place.slug}/"
    assert len({place.path for place in places}) == len(places)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{category}.md", "lacks {slug}"),
        ("{slug}.txt", "end in .md"),
        ("{slug}/{title}.md", "title"),
        ("{slug.md", "expected"),
        ("{}/{slug}.md", "names"),
    ],
)
def test_an_unusable_path_template_is_a_settings_error(template: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        PathTemplate("content", template)
