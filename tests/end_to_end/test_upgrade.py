"""``init`` with the ``bridge.toml`` of an earlier version, which kept its state in the repo's
folder.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path

import aiohttp
import pytest
from bridge_kit import picture
from cli_kit import commit, done, git, publish, quickstart, refused, served
from demo_kit import demo_in, wait_until

UPLOAD = "media/2026/11/sea.jpg"
TOML = """\
# What each setting does, and all the others: docs/settings.md
[site]
me = "https://example.com/"   # mine
repo = {repo}
settings = "publishconf.py"

[server]
host = "127.0.0.1"
port = 0
public_url = "https://bridge.example.com/"

[indieauth]
enabled = true   # the bridge signs you in; false where [auth] names another token endpoint

[content]
folder = "content"

[publish]
remote = {remote}

[rebuild]
{output}
"""


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = quickstart(tmp_path_factory.mktemp("stock") / "site")
    (site / ".gitignore").write_text("output\n")
    commit(site)
    return site


@pytest.fixture
def site(stock: Path, tmp_path: Path) -> Path:
    (tmp_path / "bridge").mkdir()
    return Path(shutil.copytree(stock, tmp_path / "site"))


def as_before(common: Path) -> None:
    """The state of an earlier version in its repo's folder, after it was killed while writing."""
    state = common / "micropub-bridge"
    for folder in ("tmp", "settings", "rebuild/checkout/content", "rebuild/shadow", "media/cache"):
        (state / folder).mkdir(parents=True)
    for empty in ("lock", "journal", "housekeeping.lock", "index.sqlite", "askpass"):
        (state / empty).touch()
    (state / "rebuild/output.json").write_text("{}")
    (state / "rebuild/checkout.json").write_text("{}")
    waiting = state / "media/files" / UPLOAD
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(picture())
    line = {"path": UPLOAD, "type": "image/jpeg", "published": "2026-11-21T10:00:00Z", "alt": "Sea"}
    (state / "media/uploads.jsonl").write_text(json.dumps(line) + "\n")
    (state / "tmp/ref").write_text("half")
    os.link(state / "tmp/ref", common / "refs/heads/main.lock")


async def it_works(bridge: Path, http: aiohttp.ClientSession, output: Path) -> None:
    """The bridge serves, still has the pending upload, and posts go live."""
    with served(bridge) as running:
        async with http.get(f"{running.url}{UPLOAD}") as answer:
            assert answer.status == 200
            assert await answer.read() == picture()
        await running.post(http, "Hello from an app")
        wait_until((output / "hello-from-an-app.html").exists)


async def test_a_bridge_that_committed_in_the_owners_clone(
    site: Path, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    bridge = tmp_path / "bridge"
    git("config", "user.name", "Ada Owner", cwd=site)
    toml = TOML.format(repo=json.dumps(str(site)), remote='""', output="# output = ...")
    (bridge / "bridge.toml").write_text(toml)
    as_before(site / ".git")
    (site / "content/draft.txt").write_text("mine, and not committed")
    assert f"run: micropub-bridge init {site}" in refused("serve", cwd=bridge)

    told = done("init", cwd=bridge)

    for part in (
        f"[site] repo = '{bridge}/site.git'",
        "[publish] remote = 'origin'",
        f"[rebuild] output = '{site}/output'",
        f"pushed to your clone, {site}",
        "receive.denyCurrentBranch is now updateInstead",
        f" to {bridge}/state.",
    ):
        assert part in told
    text = (bridge / "bridge.toml").read_text()
    assert 'me = "https://example.com/"   # mine\n' in text
    changed = {"repo": str(bridge / "site.git")}
    settings = tomllib.loads(text)
    assert settings["site"] == tomllib.loads(toml)["site"] | changed
    assert settings["rebuild"] == {"output": str(site / "output")}
    assert not (site / ".git/micropub-bridge").exists()
    assert not (site / ".git/refs/heads/main.lock").exists()
    assert (bridge / "state/rebuild/output.json").exists()
    assert not (bridge / "state/rebuild/checkout.json").exists()
    await it_works(bridge, http, site / "output")
    wait_until(lambda: git("log", "-1", "--format=%s", cwd=site) == "Note: Hello from an app")
    assert git("status", "--porcelain", cwd=site) == "?? content/draft.txt"
    assert "exists already" in refused("init", cwd=bridge)


async def test_a_bridge_with_a_bare_clone_of_its_own(
    site: Path, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    bridge, remote = tmp_path / "bridge", publish(site, tmp_path / "remote.git")
    git("clone", "--quiet", "--bare", remote, bridge / "site.git", cwd=bridge)
    toml = TOML.format(repo='"site.git"', remote='"origin"', output='output = "output"')
    toml = toml.replace('remote = "origin"', 'remote = "origin"\nauthor = "Ada <ada@example.com>"')
    (bridge / "bridge.toml").write_text(toml)
    as_before(bridge / "site.git")
    assert "run: micropub-bridge init" in refused("serve", cwd=bridge)
    told = done("init", cwd=bridge)
    assert told.startswith("Kept bridge.toml.\n")
    assert (bridge / "bridge.toml").read_text() == toml
    assert not (bridge / "site.git/micropub-bridge").exists()
    await it_works(bridge, http, bridge / "output")
    assert git("log", "-1", "--format=%s", "main", cwd=remote) == "Note: Hello from an app"


def test_unpushed_posts_are_kept_by_the_upgrade(site: Path, tmp_path: Path) -> None:
    bridge = tmp_path / "bridge"
    remote = publish(site, tmp_path / "remote.git")
    (site / "content/unpushed.md").write_text("Title: Unpushed\nDate: 2026-01-03\n\nHello.\n")
    commit(site, "Note: Unpushed")
    toml = TOML.format(repo=json.dumps(str(site)), remote='"origin"', output='mode = "none"')
    (bridge / "bridge.toml").write_text(toml)
    done("init", "--remote", remote, cwd=bridge)
    assert git("log", "-1", "--format=%s", cwd=bridge / "site.git") == "Note: Unpushed"
    assert git("config", "remote.origin.url", cwd=bridge / "site.git") == str(remote)
    assert "mode" in tomllib.loads((bridge / "bridge.toml").read_text())["rebuild"]


def test_a_missing_bare_clone_is_created_again(site: Path, tmp_path: Path) -> None:
    bridge = tmp_path / "bridge"
    done("init", site, "--yes", cwd=bridge)
    before = (bridge / "bridge.toml").read_bytes()
    shutil.rmtree(bridge / "site.git")
    assert "micropub-bridge init CLONE" in refused("init", cwd=bridge)
    assert "Kept bridge.toml and created" in done("init", site, cwd=bridge)
    assert (bridge / "bridge.toml").read_bytes() == before
    assert git("rev-parse", "main", cwd=bridge / "site.git") == git("rev-parse", "main", cwd=site)


def test_obstacles_to_the_upgrade_are_reported_and_nothing_is_changed(
    site: Path, tmp_path: Path
) -> None:
    bridge = tmp_path / "bridge"
    toml = TOML.format(repo=json.dumps(str(site)), remote='""', output='mode = "none"')
    (bridge / "bridge.toml").write_text(toml)
    as_before(site / ".git")
    (site / ".git/MERGE_HEAD").write_text(git("rev-parse", "HEAD", cwd=site))
    assert "a merge is under way" in refused("init", cwd=bridge)
    (site / ".git/MERGE_HEAD").unlink()
    (site / ".git/shallow").write_text(git("rev-parse", "HEAD", cwd=site))
    assert f"git -C {site} fetch --unshallow" in refused("init", cwd=bridge)
    assert (bridge / "bridge.toml").read_text() == toml
    assert [path.name for path in bridge.iterdir()] == ["bridge.toml"]
    assert (site / ".git/micropub-bridge/media/files" / UPLOAD).exists()


def test_a_demo_of_an_earlier_version_continues(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with demo_in(folder, BRIDGE_REBUILD__MODE="none") as demo:
        port = demo.site.split(":")[2].rstrip("/")
    shutil.rmtree(folder / "site.git")
    shutil.rmtree(folder / "state")
    git("config", "--unset", "receive.denyCurrentBranch", cwd=folder / "site")
    git("config", "user.name", "Demo Owner", cwd=folder / "site")
    publish(folder / "site", folder / "remote.git")
    (folder / "bridge.toml").write_text(
        "# The settings of a demo. Written anew when it starts.\n"
        f'[site]\nme = "http://127.0.0.1:{port}/"\nrepo = "site"\n\n'
        f'[server]\nport = {port}\npublic_url = "http://127.0.0.1:{port}/"\n\n'
        '[indieauth]\nenabled = true\n\n[rebuild]\noutput = "output"\n'
    )
    with demo_in(folder, BRIDGE_REBUILD__MODE="none") as again:
        assert again.clone == folder / "site"
        again.in_step()
