"""What plugins leave in the output besides files: `pelican` goes on, and so does the bridge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from rebuild_site import CONF, commit, files, make, post, settled, small_site

from bridge.runtime.confinement import landlock_version
from bridge.store.git import GitStore

LEAVING = b"""
import os
from pathlib import Path
from pelican import signals

def leave(pelican):
    output = Path(pelican.settings["OUTPUT_PATH"])
    for name in ("pipe", "nowhere", "around", "secret", "linked.txt"):
        (output / name).unlink(missing_ok=True)
    os.mkfifo(output / "pipe")
    (output / "nowhere").symlink_to("not/there")
    (output / "around").symlink_to("around")
    (output / "secret").symlink_to("/etc/shadow")
    (output / "made.txt").write_text("made")
    (output / "linked.txt").symlink_to("made.txt")

def register():
    signals.finalized.connect(leave)
"""


@pytest.mark.parametrize("mode", ["resident", "command"])
async def test_what_is_no_file_is_not_published(
    bare_store: GitStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    small_site(bare_store)
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["leaving"]\nPLUGIN_PATHS = ["plugins"]')
    changes: list[Mapping[str, bytes | None]] = [
        {"pelicanconf.py": conf, "plugins/leaving.py": LEAVING},
        {"content/new.md": post("New", 9)},
        {"content/new.md": None},
    ]
    rebuilder = make(bare_store, tmp_path, mode)
    version = commit(bare_store, changes[0])
    await rebuilder.start()
    try:
        for change in changes[1:]:
            await settled(rebuilder, version)
            assert rebuilder.status().state == "idle", rebuilder.status()
            built = files(tmp_path / "output")
            assert built["linked.txt"] == built["made.txt"] == b"made"
            assert "index.html" in built
            there = {each.name for each in (tmp_path / "output").iterdir()}
            assert {"pipe", "nowhere", "around"}.isdisjoint(there)
            assert "secret" not in there or not landlock_version()
            version = commit(bare_store, change)
            rebuilder.changed(version)
        await settled(rebuilder, version)
        assert rebuilder.status().state == "idle", rebuilder.status()
    finally:
        await rebuilder.close()
    assert "takes over" not in caplog.text
