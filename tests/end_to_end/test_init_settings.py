"""Which files ``init`` recognises as Pelican's settings, whatever their names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from cli_kit import commit

from bridge.commands.init.existing_site import find_site
from bridge.errors import Refused, SiteBroken
from bridge.runtime.confinement import landlock_version

BASE = 'SITENAME = "A"\nAUTHOR = "Me"\nTIMEZONE = "UTC"\nPATH = "content"\n'
LIVE = 'SITEURL = "https://example.com"\n'


def repo(folder: Path, files: Mapping[str, str], *, posts: str = "content") -> Path:
    """The owner's clone, with a post."""
    first = {f"{posts}/a.md": "Title: A\nDate: 2026-01-02\n\nx\n"}
    for name, text in {**first, **files}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    commit(folder)
    return folder


@pytest.mark.parametrize(
    ("files", "conf", "settings"),
    [
        ({"publishconf.py": BASE + LIVE}, "publishconf.py", "publishconf.py"),
        ({"settings.py": BASE + LIVE, "tools.py": "A = 1\n"}, "settings.py", "settings.py"),
        (
            {"pelicanconf_local.py": BASE, "live.py": f"from pelicanconf_local import *\n{LIVE}"},
            "pelicanconf_local.py",
            "live.py",
        ),
        (
            {
                "Makefile": "publish:\n\tpelican content -o out -s production.py\n",
                "production.py": BASE + LIVE,
                "staging.py": BASE + 'SITEURL = "https://try.example.com"\n',
            },
            "production.py",
            "production.py",
        ),
        (
            {
                "pelicanconf.py": BASE,
                "conf_local.py": 'from pelicanconf import *\nSITEURL = "http://localhost:8000"\n',
                "live.py": BASE + LIVE,
                "tasks.py": 'CONFIG = {"settings_publish": "live.py"}\n',
            },
            "pelicanconf.py",
            "live.py",
        ),
        (
            {"site/conf.py": BASE.replace("content", "../content") + LIVE},
            "site/conf.py",
            "site/conf.py",
        ),
        (
            {
                "conf/__init__.py": "",
                "conf/base.py": BASE.replace("content", "../content"),
                "conf/prod.py": f"from conf.base import *\n{LIVE}",
            },
            "conf/base.py",
            "conf/prod.py",
        ),
        (
            {
                "pelicanconf.py": BASE + LIVE,
                "try.py": 'from pelicanconf import *\nSITEURL = "https://try.example.com"\n',
            },
            "pelicanconf.py",
            "pelicanconf.py",
        ),
    ],
    ids=[
        "publishconf alone",
        "settings.py",
        "a base",
        "a Makefile",
        "tasks.py",
        "in a folder",
        "a package",
        "one for trying out",
    ],
)
def test_it_finds_what_the_site_is_published_with(
    tmp_path: Path, files: Mapping[str, str], conf: str, settings: str
) -> None:
    root = repo(tmp_path / "site", files)
    site = find_site(root, root)
    assert (site.conf, site.settings) == (root / conf, root / settings)
    assert site.address == "https://example.com/"
    assert site.content == "content"


def test_where_it_is_not_clear_it_asks_or_says_how_to_name_them(tmp_path: Path) -> None:
    one = BASE + LIVE
    root = repo(tmp_path / "site", {"one.py": one, "two.py": one, "pelicanconf.txt": ""})
    with pytest.raises(Refused, match=r"one\.py, two\.py.*--settings FILE"):
        find_site(root, root)
    asked: list[list[str]] = []

    def choose(found: list[str]) -> str:
        asked.append(found)
        return "two.py"

    assert find_site(root, root, choose=choose).settings == root / "two.py"
    assert asked == [["one.py", "two.py"]]
    assert find_site(root, root, named="one.py").settings == root / "one.py"
    with pytest.raises(Refused, match="give Pelican's settings file"):
        find_site(root, root, named="three.py")


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ("Makefile", "INPUTDIR=$(BASEDIR)/src\nhtml:\n\tpelican $(INPUTDIR) -o out\n"),
        ("build.sh", "pelican src -o out -s pelicanconf.py\n"),
        ("tasks.py", 'run("pelican src/ -s pelicanconf.py")\n'),
        (".github/workflows/a.yml", "jobs: {a: {steps: [{run: pelican src -s x.py}]}}\n"),
    ],
)
def test_a_folder_that_only_a_recipe_names(tmp_path: Path, recipe: str, text: str) -> None:
    """Else posts would be put at the root of the repo, where no one looks for them."""
    root = tmp_path / "site"
    conf = BASE.replace('PATH = "content"', "") + LIVE
    repo(root, {"pelicanconf.py": conf, "src/b.md": "x", recipe: text}, posts="src")
    site = find_site(root, root)
    assert site.content == "src"
    assert any('PATH = "src"' in each for each in site.notes)


@pytest.mark.parametrize(
    ("path", "content"),
    [('PATH = "."', ""), ('PATH = ""', ""), ("", "content"), ('PATH = "a/"', "a")],
)
def test_where_posts_are(tmp_path: Path, path: str, content: str) -> None:
    """At the root of the repo, too. A Makefile names ``content`` where no setting does."""
    conf = BASE.replace('PATH = "content"', path) + LIVE
    root = repo(tmp_path / "site", {"pelicanconf.py": conf, "a/b.md": "x"})
    assert find_site(root, root).content == content


@pytest.mark.parametrize(
    ("files", "content"),
    [
        # `pelican -s conf/pelicanconf.py`: where no folder is named, it is the current one.
        ({"look/templates/x.html": "x"}, ""),
        ({"Makefile": "INPUTDIR=$(BASEDIR)/texts\n"}, "texts"),
        ({"conf/texts/b.md": "x", "conf/Makefile": "INPUTDIR=$(BASEDIR)/texts\n"}, "conf/texts"),
    ],
)
def test_where_posts_are_for_settings_in_a_folder(
    tmp_path: Path, files: Mapping[str, str], content: str
) -> None:
    conf = BASE.replace('PATH = "content"', 'THEME = "look"') + LIVE
    root = repo(tmp_path / "site", {"conf/pelicanconf.py": conf, **files}, posts="texts")
    site = find_site(root, root)
    assert site.content == content
    named = os.path.relpath(content or ".", "conf")
    assert any(f'PATH = "{named}"' in each for each in site.notes) == bool(content)


def test_settings_that_make_files_make_none_in_the_clone() -> None:
    # The memory that processes share, where tests have their folders, may be written to.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        made = 'open("made.txt", "w").write("1")\nTHEME = "theme"\n'
        root = repo(
            Path(folder, "site"),
            {"pelicanconf.py": BASE + LIVE + made, "theme/templates/x.html": "x"},
        )
        site = find_site(root, root)
        assert (site.content, site.values["THEME"]) == ("content", str(root / "theme"))
        assert not (root / "made.txt").exists()


@pytest.mark.skipif(
    landlock_version() < 1 and not os.environ.get("CI"), reason="needs Linux 5.13 with Landlock"
)
def test_settings_that_import_from_a_folder_beside_the_clone_are_refused_with_the_cause() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        shared = Path(folder, "shared")
        shared.mkdir()
        (shared / "common_settings.py").write_text("NICE = 1\n")
        other = "import sys\nsys.path.insert(0, '../shared')\nfrom common_settings import NICE\n"
        root = repo(Path(folder, "site"), {"pelicanconf.py": BASE + LIVE + other})
        cause = f"may read the repo, but not {shared}: have what it needs in the repo"
        with pytest.raises(SiteBroken, match=cause):
            find_site(root, root)
