"""The folders of Python's that the site's code may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.runtime import confinement


def test_what_pip_leaves_in_a_clone_can_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = tmp_path / "pelican_indieauth.egg-info"
    left.mkdir()
    here = tmp_path / "bridge" / "runtime" / "confinement.py"
    monkeypatch.setattr(confinement, "__file__", str(here))
    assert left.resolve() in confinement._python_folders()
