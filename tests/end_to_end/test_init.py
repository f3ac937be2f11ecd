"""``init`` on sites as people have them, and the result of using the file that it writes."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import pelican
import pytest
from cli_kit import (
    ROOT,
    commit,
    done,
    git,
    publish,
    quickstart,
    refused,
    run,
    served,
    set_port,
)
from demo_kit import wait_until
from soak_kit import SOAK, in_soak

from bridge.commands.init.existing_site import ExistingSite
from bridge.store import StoreBroken
from bridge.store.owner_clone import claim
from bridge.store.setup import clone_bare, inspect_clone


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock site, committed, without a remote; each test copies it."""
    site = quickstart(tmp_path_factory.mktemp("stock") / "site")
    commit(site)
    return site


@pytest.fixture
def site(stock: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stock, tmp_path / "site"))


@pytest.fixture
def bridge(tmp_path: Path) -> Path:
    """The folder for the bridge."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    return folder


def written(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "bridge.toml").read_text())


async def post_and_find(bridge: Path, http: aiohttp.ClientSession, output: Path) -> None:
    """The written file works: a post is live at the URL that the app was given."""
    set_port(bridge / "bridge.toml")
    with served(bridge) as running:
        url = await running.post(http, "Hello from an app")
        assert url == "https://example.com/hello-from-an-app.html"
        wait_until((output / "hello-from-an-app.html").exists)


async def test_a_remote_that_is_named_gets_the_posts_and_the_clone_stays_as_it_is(
    site: Path, bridge: Path, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    remote = publish(site, tmp_path / "remote.git")
    before = (site / ".git" / "config").read_bytes()
    told = done("init", site, "--yes", "--remote", "../remote.git", cwd=bridge)
    assert f"The bridge pushes to {remote}." in told
    assert (site / ".git" / "config").read_bytes() == before

    assert 'INDIEAUTH_BRIDGE = "https://bridge.example.com/"' in told
    assert 'INDIEAUTH_WEBMENTION = "https://bridge.example.com/webmention"' in told
    assert "and commit and push that" in told
    assert "PLUGINS" not in told, "Pelican finds it by itself where nothing is said"
    assert (bridge / "bridge.toml").stat().st_mode & 0o777 == 0o600
    settings = written(bridge)
    assert settings["site"] == {
        "me": "https://example.com/",
        "repo": str(bridge / "site.git"),
        "settings": "publishconf.py",
    }
    assert settings["server"]["public_url"] == "https://bridge.example.com/"
    assert settings["publish"] == {
        "remote": "origin",
        "author": "Ada Owner <ada@example.com>",
    }
    assert settings["indieauth"]["name"] in (site / "pelicanconf.py").read_text()
    (line,) = (bridge / "bridge.toml").read_text().splitlines()[:1]
    named = bridge / line.rpartition(" ")[2]
    assert "# Settings" in named.read_text(), "a file to be opened from anywhere"
    assert f"build your site into {bridge / 'output'}: let your web server serve" in told
    if not SOAK:
        return
    await post_and_find(bridge, http, bridge / "output")
    assert git("log", "-1", "--format=%an %s", "main", cwd=remote) == (
        "Ada Owner Note: Hello from an app"
    )
    assert git("status", "--porcelain", cwd=site) == ""


async def test_without_a_remote_on_the_network_the_clone_itself_is_the_remote(
    site: Path, bridge: Path, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    publish(site, tmp_path / "elsewhere.git")  # the branch's upstream, but on this machine
    told = done("init", site, "--yes", cwd=bridge)
    assert f"The bridge pushes to your clone, {site}" in told
    assert "receive.denyCurrentBranch is now updateInstead" in told
    assert f"the hook {site}/.git/hooks/push-to-checkout is installed" in told
    assert "and commit that." in told
    assert written(bridge)["site"]["repo"] == str(bridge / "site.git")
    assert written(bridge)["publish"]["remote"] == "origin"
    assert git("config", "remote.origin.url", cwd=bridge / "site.git") == str(site)
    assert git("config", "receive.denyCurrentBranch", cwd=site) == "updateInstead"
    await post_and_find(bridge, http, bridge / "output")
    wait_until(lambda: git("log", "-1", "--format=%s", cwd=site) == "Note: Hello from an app")
    assert list(site.glob("content/notes/*/*/hello-from-an-app.md"))
    assert git("status", "--porcelain", cwd=site) == ""
    plain = {"HEAD", "FETCH_HEAD", "config", "description", "hooks", "info", "objects"}
    plain |= {"branches", "packed-refs", "refs"}
    assert {path.name for path in (bridge / "site.git").iterdir()} <= plain
    assert (bridge / "state" / "keep").is_dir()


def test_an_upstream_on_the_network_is_the_remote(site: Path, bridge: Path, tmp_path: Path) -> None:
    upstream = tmp_path / "upstream.git"
    git("clone", "--quiet", "--bare", site, upstream, cwd=tmp_path)
    git("branch", "--move", "main", "trunk", cwd=upstream)
    git("remote", "add", "hub", "https://host.invalid/site.git", cwd=site)
    git("config", "branch.main.remote", "hub", cwd=site)
    git("config", "branch.main.merge", "refs/heads/trunk", cwd=site)
    instead = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{upstream}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://host.invalid/site.git",
    }
    ended = run("init", site, "--yes", cwd=bridge, env=instead)
    assert ended.returncode == 0, ended.stderr
    assert "The bridge pushes to https://host.invalid/site.git." in ended.stdout
    assert git("symbolic-ref", "--short", "HEAD", cwd=bridge / "site.git") == "trunk"
    assert not (site / ".git" / "hooks" / "push-to-checkout").exists()


@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_a_site_that_has_no_post_yet(
    stock: Path, bridge: Path, tmp_path: Path, http: aiohttp.ClientSession, mode: str
) -> None:
    empty = shutil.ignore_patterns(".git", "first.md")
    site = Path(shutil.copytree(stock, tmp_path / "new", ignore=empty))
    commit(site)
    done("init", site, "--yes", cwd=bridge)  # git keeps no empty folder: no content there
    config = bridge / "bridge.toml"
    text = config.read_text()
    config.write_text(text.replace("[rebuild]\n", f'[rebuild]\nmode = "{mode}"\n'))
    assert config.read_text() != text
    set_port(bridge / "bridge.toml")
    with served(bridge):
        wait_until((bridge / "output" / "index.html").exists)
    await post_and_find(bridge, http, bridge / "output")


async def test_a_site_in_a_folder_of_its_repo_that_pelican_is_run_in(
    stock: Path, bridge: Path, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    repo = tmp_path / "repo"
    blog = Path(shutil.copytree(stock, repo / "blog", ignore=shutil.ignore_patterns(".git")))
    (blog / "content").rename(blog / "posts")
    conf = blog / "pelicanconf.py"
    beside = 'EXTRA = open("extra.html").read()\n'
    conf.write_text(conf.read_text().replace('PATH = "content"', 'PATH = "posts"') + beside)
    (blog / "extra.html").write_text("<b>")
    (repo / "README").write_text("Mine")
    commit(repo)

    done("init", repo, "--yes", cwd=bridge)
    assert written(bridge)["site"]["settings"] == "blog/publishconf.py"
    assert written(bridge)["content"]["folder"] == "blog/posts"
    assert "run_in" not in written(bridge)["site"]
    assert "comparison: `pelican` builds the same" in run("check", cwd=bridge).stdout
    if SOAK:
        await post_and_find(bridge, http, bridge / "output")
    assert git("status", "--porcelain", cwd=repo) == ""


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ('EXTRA = open("blog/publishconf.py").read()', ()),
        # Pelican also looks for a theme in the folder that it is run in.
        ('THEME = "my-theme"', () if SOAK else ("--skip-build",)),
    ],
)
def test_a_site_in_a_folder_whose_settings_want_to_be_read_from_the_root(
    stock: Path, bridge: Path, tmp_path: Path, line: str, options: tuple[str, ...]
) -> None:
    repo = tmp_path / "repo"
    blog = Path(shutil.copytree(stock, repo / "blog", ignore=shutil.ignore_patterns(".git")))
    (repo / "my-theme" / "templates").mkdir(parents=True)
    (repo / "my-theme" / "templates" / "page.html").write_text("{{ page.content }}")
    with (blog / "pelicanconf.py").open("a") as conf:
        conf.write(f"{line}\n")
    commit(repo)
    done("init", repo, "--yes", *options, cwd=bridge)
    assert written(bridge)["site"]["run_in"] == "."
    if SOAK:
        assert "comparison: `pelican` builds the same" in run("check", cwd=bridge).stdout


@pytest.mark.parametrize(("line", "run_in"), [("", None), ("TAGS = [('../tags.txt', 1)]", "blog")])
def test_a_site_in_a_folder_whose_posts_are_elsewhere_is_run_where_it_finds_its_files(
    stock: Path, bridge: Path, tmp_path: Path, line: str, run_in: str | None
) -> None:
    """With nothing that tells, in the root, as from a Makefile there."""
    repo = tmp_path / "repo"
    blog = Path(shutil.copytree(stock, repo / "blog", ignore=shutil.ignore_patterns(".git")))
    (blog / "content").rename(repo / "doc")
    (repo / "tags.txt").write_text("one")
    conf = blog / "pelicanconf.py"
    text = conf.read_text().replace('PATH = "content"', 'PATH = "../doc"')
    conf.write_text(f"{text}{line}\n")
    commit(repo)
    named = ("--settings", "blog/pelicanconf.py", "--me", "https://ada.example/")
    done("init", repo, "--yes", "--skip-build", *named, cwd=bridge)
    assert written(bridge)["content"]["folder"] == "doc"
    assert written(bridge)["site"].get("run_in") == run_in


def test_a_site_in_a_folder_with_a_link_to_its_posts_is_run_in_that_folder(
    stock: Path, bridge: Path, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    blog = Path(shutil.copytree(stock, repo / "blog", ignore=shutil.ignore_patterns(".git")))
    (blog / "content").rename(repo / "doc")
    (blog / "content").symlink_to("../doc")
    commit(repo)
    named = ("--settings", "blog/pelicanconf.py", "--me", "https://ada.example/")
    done("init", repo, "--yes", "--skip-build", *named, cwd=bridge)
    assert written(bridge)["content"]["folder"] == "doc"
    assert written(bridge)["site"]["run_in"] == "blog"


def test_posts_go_where_pelican_looks_for_articles(site: Path, bridge: Path) -> None:
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write('ARTICLE_PATHS = ["blog"]\n')
    commit(site)
    done("init", site, "--yes", cwd=bridge)
    assert written(bridge)["content"]["path"] == (
        "blog/{category}/{published:%Y}/{published:%m}/{slug}.md"
    )


@pytest.mark.parametrize(
    ("past", "rule", "told"),
    [
        (0, "{published:%Y}/{published:%m}/{slug}.md", "New posts go to the folder of their year"),
        (1, "%Y/{category}/{published:%Y}/{published:%m}/{slug}.md", "the newest folder of"),
    ],
)
def test_posts_go_to_the_folder_of_their_year(
    past: int, rule: str, told: str, site: Path, bridge: Path
) -> None:
    this_year = date.today().year - past  # noqa: DTZ011
    years = [str(this_year - 1), str(this_year - 2), str(this_year)]
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write(f"ARTICLE_PATHS = {[f'posts/{year}' for year in years]}\n")
    commit(site)
    said = done("init", site, "--yes", "--skip-build", cwd=bridge)
    expected = f"posts/{rule.replace('%Y', str(this_year), 1) if past else rule}"
    assert written(bridge)["content"]["path"] == expected
    assert told in said


def test_paths_are_relative_to_a_link_to_the_settings(site: Path, bridge: Path) -> None:
    (site / "conf").mkdir()
    (site / "pelicanconf.py").rename(site / "conf/real.py")
    (site / "pelicanconf.py").symlink_to("conf/real.py")
    commit(site)
    named = ("--settings", "pelicanconf.py", "--me", "https://you.example/")
    done("init", site, "--yes", *named, cwd=bridge)
    assert written(bridge)["site"]["settings"] == "pelicanconf.py"


def test_lines_are_added_to_the_settings_that_have_the_list_of_plugins(
    bridge: Path, tmp_path: Path
) -> None:
    site = quickstart(tmp_path / "site", url="https://ada.example")
    (site / "publishconf.py").unlink()
    (site / "words.py").write_text('AUTHOR = "Ada"\nHOME = "Home"\n')
    conf = site / "pelicanconf.py"
    conf.write_text(f"from words import *\n{conf.read_text()}\nPLUGINS = []\n")
    commit(site)
    named = ("--settings", "pelicanconf.py", "--me", "https://ada.example/")
    told = done("init", site, "--yes", *named, cwd=bridge)
    assert f"Add these lines at the end of {conf}:" in told


def test_a_list_of_plugins_is_made_longer_and_what_is_there_is_not_asked_for(
    site: Path, bridge: Path
) -> None:
    conf = site / "pelicanconf.py"
    (site / "mine.py").write_text("def register():\n    pass\n")
    # A plugin may be named, and may be imported.
    conf.write_text(conf.read_text() + "import mine\nPLUGINS = [mine]\n")
    commit(site)
    line = 'PLUGINS = [*PLUGINS, "pelican_indieauth"]'
    assert line in done("init", site, "--yes", cwd=bridge)

    # As on a site that had a bridge on another machine.
    bridge_line = 'INDIEAUTH_BRIDGE = "https://posts.example.com"'
    mentions = 'INDIEAUTH_WEBMENTION = "https://posts.example.com/webmention"'
    conf.write_text(f"{conf.read_text()}{line}\n{bridge_line}\n{mentions}\n")
    commit(site)
    (bridge / "bridge.toml").unlink()
    assert "needs no changes" in done("init", site, "--yes", cwd=bridge)
    assert 'public_url = "https://posts.example.com/"' in (bridge / "bridge.toml").read_text()


def test_a_site_built_by_its_host_is_not_built_here(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    workflow = site / ".github" / "workflows" / "pages.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("steps:\n- run: pip install pelican && pelican content\n")
    commit(site)
    remote = publish(site, tmp_path / "remote.git")
    told = done("init", site, "--remote", remote, "--yes", cwd=bridge)
    assert written(bridge)["rebuild"] == {"mode": "none"}
    assert "Your host builds the site, by .github/workflows/pages.yml, and needs the plugin" in told


def test_a_host_that_installs_the_plugin_need_not_be_told_to(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "docs" / "deploy" / "netlify.toml", site)
    shutil.copy(ROOT / "docs" / "deploy" / "requirements.txt", site)
    commit(site)
    told = done("init", site, "--remote", publish(site, tmp_path / "r.git"), "--yes", cwd=bridge)
    assert written(bridge)["rebuild"] == {"mode": "none"}
    assert "pelican-indieauth" not in told


def test_the_url_of_a_repo_will_do_where_there_is_no_clone(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    remote = publish(site, tmp_path / "remote.git")
    told = done("init", remote.as_uri(), "--yes", cwd=bridge)
    assert "Add these lines at the end of pelicanconf.py" in told
    assert "DISPLAY_CATEGORIES_ON_MENU = False" in told
    assert git("remote", "get-url", "origin", cwd=bridge / "site.git") == remote.as_uri()
    assert written(bridge)["site"]["me"] == "https://example.com/"


def test_the_branch_that_the_owner_works_on_is_the_one(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    remote = publish(site, tmp_path / "remote.git")
    git("switch", "--quiet", "--create", "source", cwd=site)
    git("push", "--quiet", "--set-upstream", "origin", "source", cwd=site)
    told = done("init", site, "--remote", remote, "--yes", cwd=bridge)
    assert "Posts are committed to the branch source as " in told
    assert git("symbolic-ref", "--short", "HEAD", cwd=bridge / "site.git") == "source"


def test_in_the_owners_clone_git_status_stays_clean(site: Path) -> None:
    done("init", "--yes", cwd=site)
    done("token", "create", "phone", cwd=site)
    assert (site / "bridge.toml").exists()
    assert (site / "indieauth.sqlite").exists()
    assert git("status", "--porcelain", cwd=site) == ""


def test_two_questions_each_with_an_answer_to_suggest(site: Path, bridge: Path) -> None:
    told = done("init", site, cwd=bridge, text="www.ada.example\n\n")
    assert "Your site's URL [https://example.com/]:" in told
    assert "The bridge's public URL [https://bridge.ada.example/]:" in told
    assert written(bridge)["site"]["me"] == "https://www.ada.example/"


def test_a_machine_that_does_not_know_the_owner_uses_the_sites_usual_author(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    git("config", "--unset", "user.name", cwd=site)
    told = done("init", site, "--yes", cwd=bridge)
    assert "Posts are committed to the branch main as Ada Owner <ada@example.com>." in told
    assert written(bridge)["publish"]["author"] == "Ada Owner <ada@example.com>"

    other = tmp_path / "from-a-url"
    other.mkdir()
    done("init", publish(site, tmp_path / "remote.git"), "--yes", cwd=other)
    assert written(other)["publish"]["author"] == "Ada Owner <ada@example.com>"


def test_a_machine_that_is_configured_for_another_author_asks(site: Path, bridge: Path) -> None:
    git("config", "user.name", "root", cwd=site)
    told = done("init", site, cwd=bridge, text="\n\nAda\nAda <ada@home.example>\n")
    assert "The author of your posts, for git [root <ada@example.com>]:" in told
    assert "'Ada' cannot be the author of commits" in told
    assert written(bridge)["publish"]["author"] == "Ada <ada@home.example>"


def test_an_empty_folder_without_a_name_of_the_site_says_to_name_it(bridge: Path) -> None:
    assert "micropub-bridge init ~/my-site" in refused("init", cwd=bridge)


def test_a_bridge_on_this_machine_listens_where_its_url_says(site: Path, bridge: Path) -> None:
    done("init", site, "--public-url", "localhost:8123", "--yes", cwd=bridge)
    server = written(bridge)["server"]
    assert server["public_url"] == "http://localhost:8123/"
    assert server["port"] == 8123


def test_urls_that_disagree_are_reported(site: Path, bridge: Path) -> None:
    urls = ("--me", "https://ada.example/", "--public-url", "https://ada.example/")
    told = done("init", site, *urls, "--yes", cwd=bridge)
    assert "https://example.com/ (SITEURL)" in told
    assert "share the host name ada.example" in told


def test_without_a_terminal_the_suggestions_are_used(site: Path, bridge: Path) -> None:
    done("init", site, cwd=bridge, text="")
    assert written(bridge)["site"]["me"] == "https://example.com/"


def test_a_url_missing_in_the_settings_must_be_given(bridge: Path, tmp_path: Path) -> None:
    site = quickstart(tmp_path / "site", url="")
    commit(site)
    assert "--me" in refused("init", site, cwd=bridge)
    told = done("init", site, "--me", "https://ada.example/", cwd=bridge)
    assert 'SITEURL = "https://ada.example"' in told
    assert written(bridge)["site"]["settings"] == "pelicanconf.py"


def test_a_url_is_added_to_the_settings_that_set_it_last(bridge: Path, tmp_path: Path) -> None:
    site = quickstart(tmp_path / "site", url="")
    publish = site / "publishconf.py"
    publish.write_text('from pelicanconf import *\nSITEURL = ""\n')
    commit(site)
    options = ("--me", "https://ada.example/", "--settings", "publishconf.py")
    told = done("init", site, *options, cwd=bridge)
    assert told.count('SITEURL = "https://ada.example"') == 1
    line = told.partition(f"In {publish}, which sets SITEURL as well, write:")[2].split("\n")[2]
    assert line.strip() == 'SITEURL = "https://ada.example"'


@pytest.mark.parametrize(
    "address", ["https://ada.example:8443/", in_soak("192.0.2.1"), in_soak("ftp://x.example")]
)
def test_a_url_that_cannot_sign_in_is_refused(site: Path, bridge: Path, address: str) -> None:
    assert "cannot be your site's URL" in refused("init", site, "--me", address, cwd=bridge)
    assert not list(bridge.iterdir())


def test_a_second_time_changes_nothing(site: Path, bridge: Path) -> None:
    done("init", site, "--yes", cwd=bridge)
    before = (bridge / "bridge.toml").read_bytes()
    assert "exists already" in refused("init", site, "--yes", cwd=bridge)
    assert (bridge / "bridge.toml").read_bytes() == before

    (bridge / "bridge.toml").unlink()
    (site / "later.py").write_text((site / "publishconf.py").read_text())
    commit(site)
    done("init", site, "--yes", cwd=bridge)
    assert (bridge / "bridge.toml").read_bytes() == before, "and the clone is used again"
    (bridge / "bridge.toml").unlink()
    done("init", site, "--yes", "--settings", "later.py", cwd=bridge)

    second = bridge.with_name("second")
    second.mkdir()
    hooks = site / ".git/hooks"
    hooks.rename(away := site / ".git/away")
    hooks.touch()
    told = refused("init", site, "--yes", "--author", "J\udce9r <j@example.com>", cwd=second)
    assert "not in UTF-8: 'author =" in told
    told = refused("init", site, "--yes", cwd=second)
    assert f"the hook {hooks}/push-to-checkout cannot be written" in told
    assert not list(second.iterdir()), "a failure leaves nothing behind"
    hooks.unlink()
    away.rename(hooks)
    told = done("init", site, "--yes", cwd=second)
    assert f"Another bridge has its repo at {bridge / 'site.git'}" in told

    (other := bridge.with_name("by-another-name")).symlink_to(bridge)
    assert claim(site, bridge / "site.git")
    assert not claim(site, other / "site.git"), "it is the same one"
    git("config", "micropub-bridge.repo", f"{bridge}/{'x' * 300}", cwd=site)
    assert not claim(site, bridge / "site.git"), "nothing can be there"
    git("config", "--add", "micropub-bridge.repo", "/nowhere", cwd=site)
    assert not claim(site, bridge / "site.git"), "as where the file was merged by hand"


def test_a_detached_head_matters_only_without_a_remote(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    git("checkout", "--quiet", "--detach", cwd=site)
    git("branch", "--quiet", "-D", "main", cwd=site)
    told = refused("init", site, "--yes", cwd=bridge)
    assert f"No branch is checked out in {site}. Run: git -C {site} switch --create main" in told
    git("switch", "--quiet", "--create", "main", cwd=site)
    remote = publish(site, tmp_path / "remote.git")
    git("checkout", "--quiet", "--detach", cwd=site)
    done("init", site, "--remote", remote, "--yes", cwd=bridge)


def test_a_folder_without_a_site_is_refused_with_a_remedy(bridge: Path, tmp_path: Path) -> None:
    told = refused("init", "git.example.com/me/site", cwd=bridge)
    assert told.startswith("git.example.com/me/site is not there.")
    assert "such as https://" in told
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "git init" in refused("init", empty, cwd=bridge)
    git("init", cwd=empty)
    assert "no commit yet" in refused("init", empty, cwd=bridge)
    (empty / "x").touch()
    commit(empty)
    assert "no pelicanconf.py" in refused("init", empty, cwd=bridge)
    assert not list(bridge.iterdir())


def test_what_settings_ask_of_the_environment_is_written_down(site: Path, bridge: Path) -> None:
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write("import os\nMOOD = os.environ['SITE_MOOD']\n")
        conf.write('SITENAME = os.environ.get("SITE_NAME", "x") + os.getenv("SITE_OTHER", "")\n')
    commit(site)
    told = refused("init", site, "--yes", cwd=bridge)
    assert "the environment variable SITE_MOOD, which is not set" in told
    assert '[site] environment = { SITE_MOOD = "..." }' in told
    given = {"SITE_MOOD": 'fi"ne', "SITE_NAME": "Mine"}
    assert run("init", site, "--yes", cwd=bridge, env=given).returncode == 0
    assert written(bridge)["site"]["environment"] == given
    if SOAK:
        assert "comparison: `pelican` builds the same" in run("check", cwd=bridge).stdout


def test_settings_that_pelican_cannot_read_are_named(site: Path, bridge: Path) -> None:
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write("import no_such_module\n")
    told = refused("init", site, "--yes", cwd=bridge)
    assert "pelicanconf.py" in told
    assert "no_such_module" in told


def test_a_remote_that_cannot_be_cloned_is_refused_without_its_password(
    site: Path, bridge: Path
) -> None:
    git("remote", "add", "origin", "https://me:hunter2@127.0.0.1:1/site.git", cwd=site)
    git("config", "branch.main.remote", "origin", cwd=site)
    git("config", "branch.main.merge", "refs/heads/main", cwd=site)
    told = refused("init", site, "--yes", cwd=bridge)
    assert "https://127.0.0.1:1/site.git cannot be cloned" in told
    assert "hunter2" not in told
    assert not list(bridge.iterdir())


def test_a_site_that_was_never_pushed_is_to_be_pushed_first(
    site: Path, bridge: Path, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    git("init", "--bare", "--initial-branch=main", remote, cwd=site)
    told = refused("init", site, "--remote", remote, cwd=bridge)
    assert "git push --set-upstream origin main" in told


def test_settings_that_are_in_no_commit_are_to_be_committed_first(
    stock: Path, bridge: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "README").touch()
    commit(site)
    shutil.copytree(stock, site, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    assert "commit it first" in refused("init", site, "--yes", cwd=bridge)
    assert not list(bridge.iterdir())


def test_a_reader_of_the_sites_own_is_no_hindrance(site: Path, bridge: Path) -> None:
    """``init`` reads the clone without write access, so it cannot even write a test post."""
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write(
            "from pelican.readers import MarkdownReader\n"
            "class Dated(MarkdownReader):\n"
            "    def read(self, path):\n"
            "        assert path.rpartition('/')[2][:4].isdigit(), 'a date in the name is wanted'\n"
            "        return super().read(path)\n"
            'READERS = {"md": Dated}\n'
        )
    commit(site)
    done("init", site, "--yes", cwd=bridge)
    assert (bridge / "bridge.toml").exists()


@pytest.mark.soak
async def test_posts_at_the_root_of_the_repo(
    site: Path, bridge: Path, http: aiohttp.ClientSession
) -> None:
    """PATH = ".": beside the theme, the settings, a README and git's own files."""
    conf = site / "pelicanconf.py"
    text = conf.read_text().replace('PATH = "content"', 'PATH = "."')
    text += 'ARTICLE_PATHS = ["posts"]\nPAGE_PATHS = []\nTHEME = "look"\nPLUGINS = []\n'
    conf.write_text(text)
    (site / "content").rename(site / "posts")
    theme = Path(pelican.__file__).parent / "themes" / "simple"
    shutil.copytree(theme, site / "look")
    (site / "README.md").write_text("# How this site is made\n")
    commit(site)
    assert "outside of it for the bridge" in refused("init", "--yes", cwd=site)
    ended = run("init", site, "--yes", cwd=bridge, proving=True)
    told = ended.stdout
    assert "`pelican` builds the same" in told, ended
    assert "full run of Pelican" not in told
    content = written(bridge)["content"]
    assert content["folder"] == "."
    assert content["path"].startswith("posts/{category}/")
    await post_and_find(bridge, http, bridge / "output")
    wait_until(lambda: [*site.glob("posts/notes/*/*/hello-from-an-app.md")])
    assert not [*bridge.glob("output/**/README*"), *bridge.glob("output/**/look")]


def test_posts_need_a_folder_in_the_repo(site: Path, bridge: Path) -> None:
    conf = site / "pelicanconf.py"
    conf.write_text(conf.read_text().replace('PATH = "content"', 'PATH = ".."'))
    commit(site)
    assert "outside the repo" in refused("init", site, "--yes", cwd=bridge)


@pytest.mark.parametrize("output", ["docs", in_soak(".")])
def test_pages_that_the_owner_commits_are_not_ignored(
    output: str, site: Path, bridge: Path
) -> None:
    """As in repos whose pages GitHub Pages serves."""
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write(f'OUTPUT_PATH = "{output}"\n')
    with (site / "publishconf.py").open("a") as conf:
        conf.write("DELETE_OUTPUT_DIRECTORY = False\n")
    (site / output).mkdir(exist_ok=True)
    (site / output / "index.html").write_text("a page")
    commit(site)
    told = done("init", site, "--yes", cwd=bridge)
    assert f"Your repo has the built pages, too (in {output}/)" in told
    (site / output / "new.html").write_text("another page")
    git("add", ".", cwd=site)
    assert f"{output}/new.html".removeprefix("./") in git("ls-files", cwd=site)


def test_posts_in_a_submodule_are_refused(site: Path, bridge: Path) -> None:
    """They are commits of another repo, which the bridge does not write to."""
    posts = shutil.copytree(site, site.with_name("posts"))
    allowed = ("-c", "protocol.file.allow=always")
    git("rm", "-r", "-q", "content", cwd=site)
    shutil.rmtree(site / "content", ignore_errors=True)
    git(*allowed, "submodule", "--quiet", "add", posts, "content", cwd=site)
    commit(site)
    assert f"{site / 'content'} is a submodule" in refused("init", site, "--yes", cwd=bridge)
    assert not (bridge / "bridge.toml").exists()


def test_a_theme_outside_of_the_repo_is_named_with_both_ways_out(site: Path, bridge: Path) -> None:
    theme = site.parent / "themes" / "mine"
    (theme / "templates").mkdir(parents=True)
    with (site / "pelicanconf.py").open("a") as conf:
        paths = f'["../themes", "plugins", "{site}/more"]'
        conf.write(f'THEME = "../themes/mine"\nPLUGIN_PATHS = {paths}\n')
    (site / "more").mkdir()
    (site / "plugins").mkdir()
    commit(site)
    told = done("init", site, "--yes", cwd=bridge)
    assert f'    THEME = "{theme}"\n' in told
    # Each line can be copied as it is: what else the setting names stays, in the checkout's terms.
    assert f'    PLUGIN_PATHS = ["{theme.parent}", "plugins", "more"]\n' in told
    assert told.count("folders = ") == 1
    assert f'    folders = ["{theme}", "{theme.parent}"]\n' in told


def test_a_folder_in_the_clone_that_is_named_by_its_whole_path(site: Path, bridge: Path) -> None:
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write(f'PLUGIN_PATHS = ["plugins", "{site}/more"]\n')
    (site / "more").mkdir()
    (site / "plugins").mkdir()
    commit(site)
    told = done("init", site, "--yes", cwd=bridge)
    assert f"PLUGIN_PATHS names {site / 'more'}, in your clone" in told
    assert '    PLUGIN_PATHS = ["plugins", "more"]\n' in told
    assert "folders = " not in told


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (".github/workflows/site.yml", "name: Pelican site CI\njobs: {b: {uses: ./}}\n"),
        (".github/workflows/pelican.yml", "jobs: {b: {uses: ./}}\n"),
        (".travis.yml", "script: make publish\n"),
        ("vercel.json", '{"buildCommand": "pelican content"}'),
    ],
)
def test_build_recipes_of_hosts_are_found(recipe: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / recipe
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    conf = tmp_path / "pelicanconf.py"
    assert ExistingSite(tmp_path, conf, conf, {}, tmp_path).built_elsewhere() == recipe


@pytest.mark.parametrize(
    ("theme", "found"), [("theme", "."), ("static/theme/", "."), ("./look", "."), ("/", None)]
)
def test_committed_pages_are_found_where_the_makefile_builds_them(
    theme: str, found: str | None, site: Path
) -> None:
    """Into the root of the repo, and the sources are in a folder of it."""
    (site / "_pelican").mkdir()
    conf = (site / "pelicanconf.py").rename(site / "_pelican" / "pelicanconf.py")
    values = {"OUTPUT_PATH": "output", "THEME_STATIC_DIR": theme}
    existing = ExistingSite(site, conf, conf, values, site)
    theme = theme.strip("/")
    (site / "content" / "index.html").write_text("a page of the owner's")
    commit(site)
    assert existing.committed_pages() is None
    (site / theme).mkdir(parents=True, exist_ok=True)
    (site / theme / "main.css").touch()
    (site / "index.html").write_text("a built page")
    commit(site)
    assert existing.committed_pages() == found


def test_pages_are_not_written_among_the_owners_files(site: Path, bridge: Path) -> None:
    done("init", site, "--yes", cwd=bridge)
    config = bridge / "bridge.toml"
    text = re.sub(r"(?m)^port = .*", "port = 0", config.read_text())
    config.write_text(text.replace('output = "output"', f'output = "{site}"'))
    before = sorted(site.rglob("*.html"))
    ended = run("serve", cwd=bridge)
    assert ended.returncode == 1
    assert (
        f"bridge.toml: rebuild.output: {str(site)!r} is your clone, or contains it" in ended.stderr
    )
    assert "Traceback" not in ended.stderr
    assert sorted(site.rglob("*.html")) == before


async def test_a_site_whose_makefile_names_the_folder_of_posts(
    site: Path, bridge: Path, http: aiohttp.ClientSession
) -> None:
    """As in quickstarts before 3.4, whose settings do not name it."""
    conf = site / "pelicanconf.py"
    conf.write_text(conf.read_text().replace('PATH = "content"', ""))
    commit(site)
    told = done("init", site, "--yes", cwd=bridge)
    assert '    PATH = "content"\n' in told
    assert written(bridge)["content"]["folder"] == "content"
    if SOAK:
        await post_and_find(bridge, http, bridge / "output")


def test_advice_on_what_the_bridge_cannot_decide(site: Path, bridge: Path) -> None:
    (site / "publishconf.py").unlink()
    conf = site / "pelicanconf.py"
    lines = 'ARTICLE_PATHS = ["2020", "2021"]\nSITEURL = "http://localhost:8000"\n'
    conf.write_text(f'{conf.read_text()}{lines}LOCALE = ["xx_YY.UTF-8"]\n')
    commit(site)
    told = done("init", site, "--yes", cwd=bridge)
    assert "New posts go to content/2021/" in told
    assert "Pelican also looks in 2020" in told
    assert "    DISPLAY_CATEGORIES_ON_MENU = False\n    INDIEAUTH_NOT_ON_HOME" in told
    assert "only this machine can reach" in told
    assert "locale xx_YY.UTF-8 is not on this machine" in told
    assert "echo 'xx_YY.UTF-8 UTF-8' >> /etc/locale.gen; locale-gen" in told


def shallow(site: Path) -> tuple[Path, str]:
    git("commit", "--quiet", "--allow-empty", "--message", "More", cwd=site)
    clone = site.with_name("shallow")
    git("clone", "--quiet", "--depth", "1", site.as_uri(), clone, cwd=site)
    return clone, f"{clone} is a shallow clone. Run: git -C {clone} fetch --unshallow."


def in_a_rebase(site: Path) -> tuple[Path, str]:
    git("commit", "--quiet", "--allow-empty", "--message", "More", cwd=site)
    edit = "sequence.editor=sed -i s/^pick/edit/"
    git("-c", edit, "rebase", "--quiet", "--interactive", "HEAD~1", cwd=site)
    return site, f"a rebase is under way in {site}. End it there: git rebase --continue"


def in_a_bisect(site: Path) -> tuple[Path, str]:
    git("commit", "--quiet", "--allow-empty", "--message", "More", cwd=site)
    git("bisect", "start", "HEAD", "HEAD~1", cwd=site)
    return site, f"a bisect is under way in {site}. End it there: git bisect reset"


@pytest.mark.parametrize("make", [shallow, in_a_rebase, in_a_bisect])
def test_a_clone_that_is_not_ready_is_refused_with_the_command_and_left_alone(
    site: Path, bridge: Path, make: Callable[[Path], tuple[Path, str]]
) -> None:
    clone, told = make(site)
    before = {path: path.stat().st_mtime_ns for path in clone.rglob("*")}
    assert refused("init", clone, "--yes", cwd=bridge).startswith(told)
    assert {path: path.stat().st_mtime_ns for path in clone.rglob("*")} == before
    assert not list(bridge.iterdir())


def test_a_clone_that_cannot_be_written_is_refused_unless_another_repo_is_named(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda place, _: Path(place) != site / ".git")
    with pytest.raises(StoreBroken, match=f"{site} cannot be written by this user.*--remote"):
        inspect_clone(site)
    assert inspect_clone(site, str(tmp_path / "remote.git")).root == site


def test_another_users_clone_is_refused_with_what_to_do(
    site: Path, bridge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: me + 1)
        with pytest.raises(StoreBroken, match=f"{site} belongs to another user.*Run the bridge as"):
            inspect_clone(site)
    with monkeypatch.context() as patch:
        # Git's own view of it, where the bridge could not know: a folder above that is another's.
        patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        with pytest.raises(StoreBroken, match="belongs to another user"):
            clone_bare(str(site), bridge / "site.git", "main")
    assert not list(bridge.iterdir())
