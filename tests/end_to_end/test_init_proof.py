"""``init`` and ``check`` build the site once, and report differences to ``pelican``'s output."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_kit import commit, git, publish, quickstart, run
from owner_kit import Owner


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = quickstart(tmp_path / "my-site")
    commit(site)
    return site


@pytest.fixture
def bridge(tmp_path: Path) -> Path:
    folder = tmp_path / "bridge"
    folder.mkdir()
    return folder


def proof(site: Path, bridge: Path, **variables: str) -> str:
    ended = run("init", site, "--yes", cwd=bridge, env=variables, proving=True)
    assert ended.returncode == 0, ended.stderr
    assert "bridge.rebuild" not in ended.stderr, "what builds log is said in plain words"
    return ended.stdout.partition("The site is built once")[2]


def add(site: Path, path: str, text: str) -> None:
    file = site / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as opened:
        opened.write(text)


def test_a_site_is_the_same_but_for_uncommitted_files_and_check_sees_what_is_committed_later(
    site: Path, bridge: Path
) -> None:
    add(site, ".gitignore", "secret-theme/\n")
    commit(site)
    add(site, "secret-theme/templates/index.html", "x")
    add(site, "content/first.md", "and more\n")
    add(site, "content/second.md", "Title: Second\n\n")
    told = proof(site, bridge)
    assert "ok   comparison: `pelican` builds the same " in told, told
    assert "ok   articles: all can be read" in told
    assert "BAD" not in told, told
    assert "note plugin: " in told, "the line that init says to add is not there yet"
    (line,) = [line for line in told.splitlines() if "your folder" in line]
    assert "has files that are not committed: " in line
    for name in ("secret-theme/", "content/first.md", "content/second.md"):
        assert name in line

    # What is committed after that counts, before the bridge has ever run.
    add(site, "pelicanconf.py", "import no_such_module\n")
    commit(site)
    told = run("check", cwd=bridge).stdout
    assert f"its newest commit, {git('rev-parse', 'HEAD', cwd=site)[:10]}, is checked" in told
    assert re.search("(?m)^BAD  Pelican settings: .*no_such_module", told), told


@pytest.mark.soak
def test_a_plugin_that_is_only_in_the_owners_folder_is_missing_with_that_said(
    site: Path, bridge: Path
) -> None:
    add(site, "pelicanconf.py", 'PLUGIN_PATHS = ["plugins"]\nPLUGINS = ["mine"]\n')
    commit(site)
    add(site, ".git/info/exclude", "plugins/\n")
    add(site, "plugins/mine.py", "def register(): pass\n")
    told = proof(site, bridge)
    assert "note build: a plugin or Pelican logs an error: Cannot load plugin `mine`" in told
    assert "built without that plugin" in told
    assert "has files that are not committed: plugins/" in told


def test_what_the_bridge_may_not_read_and_where_no_new_post_can_be_is_named_with_the_cause(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "elsewhere" / "motto.txt"
    add(outside.parent, outside.name, "carpe diem")
    plugin = (
        "from datetime import datetime\n"
        "from pathlib import Path\n"
        "from pelican import readers, signals\n"
        "def read(pelican):\n"
        "    try:\n"
        f"        pelican.settings['SITESUBTITLE'] = Path({str(outside)!r}).read_text()\n"
        "    except OSError:\n"
        "        pass\n"
        "class Dated(readers.MarkdownReader):\n"
        "    def read(self, path):\n"
        "        if Path(path).name.count('-') > 2:\n"
        "            datetime.strptime(Path(path).name[:10], '%Y-%m-%d')\n"
        "        return super().read(path)\n"
        "def add(found):\n"
        "    found.reader_classes['md'] = Dated\n"
        "def register():\n"
        "    signals.initialized.connect(read)\n"
        "    signals.readers_init.connect(add)\n"
    )
    add(site, "content/2026-02-03-a-post.md", "Title: A post\nDate: 2026-02-03\n\nText.\n")
    add(site, "plugins/motto.py", plugin)
    add(site, "pelicanconf.py", 'PLUGIN_PATHS = ["plugins"]\nPLUGINS = ["motto"]\n')
    commit(site)
    told = proof(site, bridge)
    assert "note comparison: " in told
    assert "index.html" in told
    assert f"Possible causes: the site's code may not read {outside}" in told
    # What it takes for its own are posts with the date in the name of the file.
    assert "BAD  new posts: No new post can be read in content/" in told
    assert "does not match format '%Y-%m-%d'" in told
    assert "needs another file name ([content] path in bridge.toml)" in told


def test_posts_in_a_submodule_are_named_which_apps_cannot_list(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    """One in the content folder itself, one behind a link, and one that has pictures only."""
    post = "Title: {0}\nDate: 2026-02-03\nSlug: {0}\n\nText.\n"
    allowed = ("-c", "protocol.file.allow=always")
    for name, file in (("talks", "t.md"), ("data", "2026/d.md"), ("pictures", "README.md")):
        other = Owner(tmp_path / name)
        other.write({file: "Words.\n" if name == "pictures" else post.format(name)})
        place = "data" if name == "data" else f"content/{name}"
        git(*allowed, "submodule", "--quiet", "add", str(other.bare), place, cwd=site)
    (site / "content" / "years").symlink_to("../data/2026")
    commit(site)
    publish(site, tmp_path / "remote.git")
    told = proof(site, bridge)
    assert "note articles: posts in content/talks, content/years are in a submodule" in told, told


def test_available_submodules_and_allowed_folders_make_no_difference(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    theme = Owner(tmp_path / "theme")
    theme.write({"templates/index.html": "{% extends '!simple/index.html' %}", "static/a.css": "a"})
    allowed = ("-c", "protocol.file.allow=always")
    git(*allowed, "submodule", "--quiet", "add", str(theme.bare), "themes/t", cwd=site)
    asking = "import subprocess\nLOG = ['git', '-C', 'themes/t', 'log', '--format=%ct']\n"
    asking += (
        "SITESUBTITLE = subprocess.run(LOG, check=True, capture_output=True).stdout.decode()\n"
    )
    add(site, "pelicanconf.py", f'THEME = "themes/t"\n{asking}')
    commit(site)
    outside = tmp_path / "pictures"
    outside.mkdir()
    (outside / "tree.txt").write_text("A tree")
    (site / "content" / "images").symlink_to(outside)
    commit(site)
    publish(site, tmp_path / "remote.git")
    told = proof(site, bridge, BRIDGE_SITE__FOLDERS=f'["{outside}"]')
    assert "ok   comparison: `pelican` builds the same " in told, told
    assert "checkout" not in told, told
    # They are kept for the bridge, in a folder that other users cannot read from the start.
    assert (bridge / "state").stat().st_mode & 0o777 == 0o700
