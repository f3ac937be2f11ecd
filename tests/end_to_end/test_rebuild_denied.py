"""Files that a build may not read are reported, in every build mode."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rebuild_site import CONF, commit, make, settled, small_site

from bridge.desk.status import site_facts
from bridge.runtime.confinement import landlock_version
from bridge.settings import IndieAuth, Settings, Site
from bridge.site.messages import SiteReport
from bridge.site.sandbox import Sandbox, make_sandbox
from bridge.store.git import GitStore

pytestmark = pytest.mark.skipif(
    landlock_version() < 1 and not os.environ.get("CI"), reason="needs Linux 5.13 with Landlock"
)

LOOKING = """
from pelican import signals

def look(generators):
    for path in {paths!r}:
        try:
            open(path).close()
        except OSError:
            pass

def register():
    signals.all_generators_finalized.connect(look)
"""


@pytest.mark.parametrize("mode", ["resident", "command"])
async def test_files_outside_of_the_site_are_named_while_the_site_is_built(
    bare_store: GitStore, tmp_path: Path, mode: str
) -> None:
    outside = tmp_path / "elsewhere" / "colours.json"
    outside.parent.mkdir()
    outside.write_text("{}")
    looked_at: Sequence[str] = (
        str(outside),
        str(tmp_path / "elsewhere" / "not-there"),
        "/etc/shadow",
    )
    small_site(bare_store)
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["looking"]\nPLUGIN_PATHS = ["plugins"]')
    files = {"pelicanconf.py": conf, "plugins/looking.py": LOOKING.format(paths=looked_at).encode()}
    version = commit(bare_store, files)
    rebuilder = make(bare_store, tmp_path, mode)
    await rebuilder.start()
    try:
        await settled(rebuilder, version)
        status = rebuilder.status()
        assert status.state == "idle", status.reason
        assert status.denied == (str(outside),)
    finally:
        await rebuilder.close()


@pytest.mark.parametrize("mode", ["resident", "command"])
async def test_a_plugin_that_may_not_be_read_is_not_gone_on_without(
    bare_store: GitStore, tmp_path: Path, mode: str
) -> None:
    """`pelican` would find it: it would be another site."""
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "ours.py").write_text("def register(): pass")
    small_site(bare_store)
    paths = f"PLUGIN_PATHS = [{str(outside)!r}]".encode()
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["ours"]\n' + paths)
    version = commit(bare_store, {"pelicanconf.py": conf})
    rebuilder = make(bare_store, tmp_path, mode)
    await rebuilder.start()
    try:
        await settled(rebuilder, version)
        status = rebuilder.status()
        assert status.state == "failed"
        assert "Cannot load plugin `ours`" in str(status.reason)
        assert f"may not read {outside}: [site] folders" in str(status.reason)
        assert status.denied == (str(outside),)
    finally:
        await rebuilder.close()


def test_only_what_a_setting_could_allow_is_noted(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    sandbox = Sandbox(tmp_path / "state")
    # It is one list, also for the copies of a sandbox that differ in something else.
    replace(sandbox, extra={"A": "b"}).note_denied(
        [str(there), str(there), str(tmp_path / "gone"), "/proc/1/environ", "/etc/passwd"]
    )
    assert sandbox.denied == [str(there)]
    free = Sandbox(tmp_path / "state", confined=False)
    free.note_denied([str(there)])
    assert free.denied == []


def test_no_setting_is_named_for_files_of_the_bridge_or_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A post that names them is no reason to let the site's code read all that is beside them."""
    home, bridge = tmp_path / "home" / "me", tmp_path / "home" / "me" / "bridge"
    names = ("bridge.toml", "indieauth.sqlite", "state/keep/q.json", "site.git/config")
    theirs = ("themes/x/base.html", "../pictures/a.png", "../../../srv/theme/b.html")
    for name in (*names, *theirs):
        (bridge / name).parent.mkdir(parents=True, exist_ok=True)
        (bridge / name).touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(bridge)
    settings = Settings(
        site=Site("https://example.com/", bridge / "site.git", state=bridge / "state"),
        indieauth=IndieAuth(database=bridge / "indieauth.sqlite"),
    )
    sandbox = make_sandbox(settings, bridge / "state")
    never = [*(str(bridge / name) for name in names), str(bridge), str(home), str(home.parent)]
    may = [str((bridge / name).resolve()) for name in theirs]
    sandbox.note_denied([*never, *may])
    condition = SiteReport("", denied=tuple(sandbox.denied))
    found: Any = site_facts(condition, sandbox.is_beside_secrets)["denied"]
    assert [each["path"] for each in found if each["setting"] is None] == never
    assert [each["path"] for each in found if each["setting"] == "[site] folders"] == may
    told = [record.getMessage() for record in caplog.records]
    assert sum("[site] folders" in line for line in told) == len(may)
    assert sum("nothing should allow it" in line for line in told) == len(never)
