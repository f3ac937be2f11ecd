"""The remedies of ``check`` for what Pelican reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.commands.checks.build import remedy_of

OTHER = "cannot import name 'soft_unicode' from 'markupsafe' (/env/markupsafe/__init__.py)"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("No module named 'smartypants'", "Install the package that has it"),
        (OTHER, "The installed version of the package that has markupsafe is not one that"),
        (f"Cannot load plugin `old` {OTHER}", "'PACKAGE==VERSION'), or take it out of PLUGINS."),
    ],
)
def test_a_package_that_is_missing_and_one_of_another_version_differ(
    reason: str, told: str, tmp_path: Path
) -> None:
    assert told in remedy_of(reason, tmp_path)
