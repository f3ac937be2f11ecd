"""Clients from npm, installed once, and the demo that they post to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_kit import Demo, demo_in

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node.js finds them and the test scripts."""
    folder = tmp_path_factory.mktemp("node") / "clients"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    install = ["npm", "ci", "--no-audit", "--no-fund"]
    run = subprocess.run(install, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_in(
        tmp_path_factory.mktemp("clients") / "demo",
        BRIDGE_WEBMENTION__SEND="false",
        BRIDGE_PUBLISH__REMOTE="",
    ) as bridge:
        yield bridge
