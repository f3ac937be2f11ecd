"""Clients from npm, installed once and outside of the clone, and the demo that they post to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_kit import Demo, demo_in
from partner_kit import install_from_npm, installed

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node.js finds them and the test scripts."""
    folder = tmp_path_factory.mktemp("node") / "clients"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    ours = sorted((HERE / "rel-parser").iterdir())
    packages = installed(HERE / "package-lock.json", _install, *ours)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return folder


def _install(lock: Path, folder: Path) -> None:
    shutil.copytree(HERE / "rel-parser", folder / "rel-parser")
    install_from_npm(lock, folder)


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_in(
        tmp_path_factory.mktemp("clients") / "demo",
        BRIDGE_WEBMENTION__SEND="false",
        BRIDGE_PUBLISH__REMOTE="",
    ) as bridge:
        yield bridge
