"""The plugin in all the ways that Pelican is used."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pelican
import pytest
from pelican.plugins import signals
from plugin_site import (
    BRIDGE,
    PLUGIN,
    SITE,
    THEMES,
    Built,
    build,
    note,
    post,
    theme,
    write,
    write_settings,
)
from soak_kit import in_soak

import pelican_indieauth

ROOT = Path(pelican_indieauth.__file__).parents[1]
CITED = "https://example.org/post"
POSTS = {
    "hand": post("hand", None, "By *hand* & <b>more</b>.", title="Tom & Jerry"),
    "like": post("like", note({"like-of": [CITED]})),
    "photo": post("photo", note({"photo": [{"value": "{static}/media/b.jpg", "alt": "b"}]}), "x"),
    "draft": post("draft", note({"like-of": [CITED]}), status="draft"),
    "hidden": post("hidden", note({"like-of": [CITED]}), status="hidden"),
}


def with_photo(folder: Path) -> Path:
    """A site's folder with a photo."""
    write(folder / "content", {"media/b.jpg": "jpeg"})
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """All files in a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def run(folder: Path, *arguments: str, path: str = str(ROOT), **settings: Any) -> None:
    """Run the ``pelican`` command in a process. No bytecode is cached: settings written twice
    within a second, with the same length, would not be read again.
    """
    write_settings(folder, **settings)
    subprocess.run(
        [sys.executable, "-m", "pelican", "-s", "pelicanconf.py", "--fatal", "errors", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=300,
    )


@pytest.mark.parametrize("name", ["simple", in_soak("notmyidea"), in_soak("reflex"), "sample"])
def test_without_settings_the_output_is_unchanged(tmp_path: Path, name: str) -> None:
    write(with_photo(tmp_path) / "content", {f"{slug}.md": text for slug, text in POSTS.items()})
    unset = dict.fromkeys((*THEMES[name], "INDIEAUTH_BRIDGE", "INDIEAUTH_MARKUP"))
    chosen = {**unset, **{k: v for k, v in THEMES[name].items() if not k.startswith("INDIE")}}
    others = [plugin for plugin in chosen.get("PLUGINS") or [] if plugin != PLUGIN]
    outputs = []
    for number, plugins in enumerate(([*others], [*others, PLUGIN], [PLUGIN, *others])):
        output = tmp_path / f"output{number}"
        run(tmp_path, **{**chosen, "PLUGINS": plugins, "OUTPUT_PATH": str(output)})
        outputs.append(files(output))
    assert len(outputs[0]) > 10
    assert outputs[0] == outputs[1] == outputs[2]


def test_relative_urls_change_nothing_about_the_links(tmp_path: Path) -> None:
    built = build(
        with_photo(tmp_path), POSTS, RELATIVE_URLS=True, ARTICLE_SAVE_AS="a/b/{slug}.html"
    )
    assert f'href="{BRIDGE}micropub"' in built.text("a/b/like.html")
    (entry,) = built.entries("a/b/photo.html")
    assert entry["properties"]["photo"][0]["value"] == f"{SITE}/media/b.jpg"


def test_without_siteurl_pages_still_have_one_entry(tmp_path: Path) -> None:
    built = build(with_photo(tmp_path), POSTS, SITEURL="")
    assert built.entry("photo.html")["photo"][0]["value"] == f"{SITE}/media/b.jpg"


@pytest.mark.parametrize("layer", ["reader", "generator"])
def test_a_cache_changes_nothing(tmp_path: Path, layer: str) -> None:
    cache = {"CACHE_CONTENT": True, "LOAD_CONTENT_CACHE": True, "CONTENT_CACHING_LAYER": layer}
    first = files(build(with_photo(tmp_path), POSTS, **cache).output)
    assert list((tmp_path / "cache").iterdir())
    assert files(build(tmp_path, POSTS, **cache).output) == first
    assert files(build(tmp_path, POSTS, **{**cache, "LOAD_CONTENT_CACHE": False}).output) == first


def test_one_process_can_build_repeatedly(tmp_path: Path) -> None:
    first = files(build(with_photo(tmp_path), POSTS).output)
    assert files(build(tmp_path, POSTS).output) == first
    changed = build(tmp_path, POSTS, INDIEAUTH_BRIDGE="https://other.example/")
    assert "https://other.example/micropub" in changed.text("hand.html")
    without = build(tmp_path, POSTS, INDIEAUTH_BRIDGE="")
    assert "micropub" not in without.text("hand.html")
    assert "h-entry" not in without.text("hand.html")


def test_the_plugin_may_be_listed_first_last_or_twice(tmp_path: Path) -> None:
    def shout(generators: Any) -> None:
        for article in generators[0].articles:
            article._content = article._content.replace("more", "MORE")

    def compress(finished: Any) -> None:
        for page in Path(finished.output_path).rglob("*.html"):
            page.with_suffix(".html.gz").write_bytes(gzip.compress(page.read_bytes()))

    other = SimpleNamespace(
        register=lambda: (
            signals.all_generators_finalized.connect(shout),
            signals.finalized.connect(compress),
        )
    )
    for order in ([PLUGIN, other], [other, PLUGIN], [PLUGIN, other, PLUGIN]):
        built = build(with_photo(tmp_path), POSTS, PLUGINS=order)
        for slug in ("hand", "like", "photo", "hidden"):
            assert len(built.entries(f"{slug}.html")) == 1
        page = built.output / "hand.html"
        assert page.read_text("utf-8").count('rel="micropub"') == 1
        assert "MORE" in page.read_text("utf-8")
        assert "MORE" in built.text("feeds/all.atom.xml")
        assert "h-entry" not in built.text("feeds/all.atom.xml")
        assert gzip.decompress(page.with_suffix(".html.gz").read_bytes()) == page.read_bytes()


def test_another_plugin_may_access_content_early(tmp_path: Path) -> None:
    def ask(generator: Any) -> None:
        for article in generator.articles:
            assert "h-entry" not in article.content + article.summary

    asking = SimpleNamespace(
        register=lambda: signals.article_generator_finalized.connect(ask),
    )
    built = build(with_photo(tmp_path), POSTS, PLUGINS=[asking, PLUGIN])
    for slug in ("hand", "like", "photo"):
        assert len(built.entries(f"{slug}.html")) == 1
    assert "Liked" in built.text("index.html")


def test_drafts_are_marked_up_too(tmp_path: Path) -> None:
    built = build(with_photo(tmp_path), POSTS)
    assert built.entry("drafts/draft.html")["like-of"] == [CITED]
    assert built.entry("hidden.html")["like-of"] == [CITED]


def test_sites_in_several_languages(tmp_path: Path) -> None:
    photo = note({"photo": [{"value": "{static}/media/b.jpg", "alt": "b"}]})
    posts = {
        "photo": post("photo", photo, "English", lang="en"),
        "photo-de": post("photo", photo, "Deutsch ![b]({static}/media/b.jpg)", lang="de"),
    }
    german = {"INDIEAUTH_WORDS": {"like-of": "Mag"}}
    built = build(
        with_photo(tmp_path),
        posts,
        PLUGINS=["i18n_subsites", PLUGIN],
        DEFAULT_LANG="en",
        I18N_SUBSITES={"de": german},
    )
    for path, text in {"photo.html": "English", "de/photo.html": "Deutsch"}.items():
        assert text in built.text(path)
        assert 'rel="micropub"' in built.text(path)
        assert built.entry(path)["photo"][0]["value"] == f"{SITE}/media/b.jpg"
        assert built.entry(path)["author"][0]["properties"]["url"] == [f"{SITE}/"]
    assert built.entry("de/photo.html")["url"] == [f"{SITE}/de/photo.html"]
    assert not (built.output / "de" / "_headers").exists()


@pytest.mark.parametrize("folder", ["media", "uploads"])
def test_uploads_are_copied_without_a_setting(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "content", {f"{folder}/b.jpg": "jpeg"})
    posts = {"a": post("a", note({"photo": [f"{{static}}/{folder}/b.jpg"]}))}
    built = build(tmp_path, posts, INDIEAUTH_MEDIA_FOLDER=folder)
    assert (built.output / folder / "b.jpg").read_text() == "jpeg"
    assert built.entry("a.html")["photo"] == [{"alt": "", "value": f"{SITE}/{folder}/b.jpg"}]


def test_a_file_moved_by_another_plugin_is_found(tmp_path: Path) -> None:
    built = build(
        with_photo(tmp_path),
        POSTS,
        STATIC_PATHS=["media"],
        STATIC_SAVE_AS="files/{path}",
        STATIC_URL="files/{path}",
    )
    assert built.entry("photo.html")["photo"][0]["value"] == f"{SITE}/files/media/b.jpg"
    assert (built.output / "files" / "media" / "b.jpg").exists()


def test_a_theme_with_its_own_markup_is_left_alone(tmp_path: Path) -> None:
    page = '<head></head><body><article class="h-entry">{{ article.content }}</article></body>'
    folder = theme(tmp_path, article=page)
    built = build(with_photo(tmp_path), POSTS, THEME=folder)
    assert built.text("hand.html").count("h-entry") == 1
    assert "e-content" not in built.text("hand.html")


def test_macros_for_themes_with_their_own_markup(tmp_path: Path) -> None:
    page = (
        '{% import "indieauth/entry.html" as indieauth %}<head></head><body>'
        '<article class="h-entry">{{ indieauth.facts(article) }}'
        "{{ indieauth.author(article, visible=True) }}{{ indieauth.context(article) }}"
        "{{ indieauth.media(article) }}<div class=e-content>{{ article.content }}</div>"
        "{{ indieauth.place(article) }}{{ indieauth.categories(article) }}"
        "{{ indieauth.syndication(article) }}</article><i>{{ article.entry.kind }}</i></body>"
    )
    folder = theme(tmp_path, article=page)
    settings = {"INDIEAUTH_MARKUP": False, "INDIEAUTH_PHOTO": "/media/b.jpg"}
    for escaping in (False, True):
        built = build(
            with_photo(tmp_path),
            POSTS,
            THEME=folder,
            JINJA_ENVIRONMENT={"autoescape": escaping},
            **settings,
        )
        assert built.entry("like.html")["like-of"] == [CITED]
        assert built.entry("photo.html")["photo"][0]["alt"] == "b"
        author = built.entry("hand.html")["author"][0]["properties"]
        assert author["photo"] == [{"alt": "", "value": f"{SITE}/media/b.jpg"}]
        assert "<i>like</i>" in built.text("like.html")


def test_a_theme_can_replace_the_macros(tmp_path: Path) -> None:
    page = '{% import "indieauth/entry.html" as i %}{{ i.context(article) }}'
    folder = theme(tmp_path, article=page)
    write(
        tmp_path / "theme" / "templates" / "indieauth",
        {"entry.html": "{% macro context(article) %}mine: {{ article.entry.kind }}{% endmacro %}"},
    )
    built = build(tmp_path, {"like": POSTS["like"]}, THEME=folder)
    assert built.text("like.html") == "mine: like"


def test_labels_in_another_language(tmp_path: Path) -> None:
    words = {"like-of": "Gefällt <mir>"}
    built = build(with_photo(tmp_path), POSTS, INDIEAUTH_WORDS=words)
    assert "Gefällt &lt;mir&gt; <a" in built.text("like.html")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip installs it: Pelican, and the project's wheel."""
    folder: Path = tmp_path_factory.mktemp("installed")
    target = folder / "site-packages"
    shutil.copytree(
        Path(pelican.__file__).parent,
        target / "pelican",
        ignore=lambda where, names: names if Path(where).name == "i18n_subsites" else [],
    )
    with zipfile.ZipFile(wheel) as wheel_file:
        wheel_file.extractall(target)
    return target


@pytest.mark.parametrize(
    "plugins", [None, in_soak(["indieauth"]), ["pelican_indieauth", "indieauth"]]
)
def test_pelican_finds_the_installed_plugin(
    tmp_path: Path, installed: Path, plugins: list[str] | None
) -> None:
    write(tmp_path / "content", {"like.md": POSTS["like"]})
    run(tmp_path, path=str(installed), PLUGINS=plugins)
    built = Built(tmp_path / "output")
    assert built.entry("like.html")["like-of"] == [CITED]
    assert built.text("like.html").count('rel="micropub"') == 1


@pytest.mark.cold
def test_importing_the_plugin_is_cheap() -> None:
    code = (
        "import sys, pelican; before = set(sys.modules);"
        "import pelican_indieauth as plugin; plugin.register();"
        "print(*(name for name in set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert {name.partition(".")[0] for name in result.stdout.split()} == {"pelican_indieauth"}
