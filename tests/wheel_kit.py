"""The wheel of this project, as a pytest plugin: all files that need it share one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import ROOT, git


def tracked(*folders: str) -> list[str]:
    """Every file that git tracks, and new files that it does not ignore."""
    which = ("--cached", "--others", "--exclude-standard")
    return git("ls-files", "-z", *which, "--", *folders, cwd=ROOT).rstrip("\0").split("\0")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tracked files, so that it can contain nothing else."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked("."):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, source)
    shutil.rmtree(source)
    (file,) = built.glob("*.whl")
    return file


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
