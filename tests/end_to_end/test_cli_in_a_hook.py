"""Started from another repo's git hook, the bridge uses the repo in its settings."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from cli_kit import commit, git, quickstart, run, served, set_port
from demo_kit import wait_until


@pytest.fixture
def hook(tmp_path: Path) -> dict[str, str]:
    """The variables that git sets in a hook of ``elsewhere``, and git configuration from the
    environment.
    """
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    commit(elsewhere)
    return {
        "GIT_DIR": str(elsewhere / ".git"),
        "GIT_WORK_TREE": str(elsewhere),
        "GIT_INDEX_FILE": str(elsewhere / ".git" / "index"),
        "GIT_OBJECT_DIRECTORY": str(elsewhere / ".git" / "objects"),
        "GIT_COMMON_DIR": str(elsewhere / ".git"),
        "GIT_PREFIX": "sub/",
    }


def everything_in(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


async def test_the_repo_of_the_hook_is_left_alone(
    tmp_path: Path, hook: dict[str, str], http: aiohttp.ClientSession
) -> None:
    site, bridge = quickstart(tmp_path / "site"), tmp_path / "bridge"
    bridge.mkdir()
    commit(site)
    before = everything_in(tmp_path / "elsewhere")
    ended = run("init", site, "--yes", cwd=bridge, env=hook)
    assert ended.returncode == 0, ended.stderr
    set_port(bridge / "bridge.toml")
    with served(bridge, **hook) as running:
        await running.post(http, "Hello from an app")
        wait_until((bridge / "output" / "hello-from-an-app.html").exists)
        wait_until(lambda: git("log", "-1", "--format=%s", "main", cwd=site).startswith("Note"))
    assert git("log", "-1", "--format=%s", "main", cwd=site) == "Note: Hello from an app"
    assert git("status", "--porcelain", cwd=site) == ""
    assert git("fsck", "--strict", "--no-dangling", cwd=site) == ""
    assert everything_in(tmp_path / "elsewhere") == before


def test_settings_for_git_in_the_environment_count(tmp_path: Path) -> None:
    site, bridge = quickstart(tmp_path / "site"), tmp_path / "bridge"
    bridge.mkdir()
    commit(site)
    git("config", "--unset", "user.name", cwd=site)
    git("remote", "add", "origin", "https://host.invalid/site.git", cwd=site)
    git("config", "branch.main.remote", "origin", cwd=site)
    git("config", "branch.main.merge", "refs/heads/main", cwd=site)
    publish_to = tmp_path / "remote.git"
    git("clone", "--quiet", "--bare", site, publish_to, cwd=tmp_path)
    instead = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{publish_to}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://host.invalid/site.git",
    }
    ended = run("init", site, "--yes", cwd=bridge, env=instead)
    assert ended.returncode == 0, ended.stderr
    remote = git("config", "remote.origin.url", cwd=bridge / "site.git")
    assert remote == "https://host.invalid/site.git"
