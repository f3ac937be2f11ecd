"""The remedies of ``check`` for what Pelican reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge.commands.checks.build import _check_pages, remedy_of
from bridge.rebuild.build import BuildOutcome

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


@pytest.mark.parametrize("theme", ["pelican-alchemy", "themes/mine"])
def test_a_theme_that_is_not_installed_is_to_be_installed_or_committed(
    theme: str, tmp_path: Path
) -> None:
    remedy = remedy_of(f"ValueError: Could not find the theme {theme}", tmp_path)
    assert "commit it" in remedy
    assert f"{sys.executable} -m pip install" in remedy
    assert "pelican-themes --install" in remedy


def test_a_theme_in_another_folder_is_to_be_named(tmp_path: Path) -> None:
    remedy = remedy_of(f"ValueError: Could not find the theme {tmp_path}", tmp_path)
    assert f'folders = ["{tmp_path}"]' in remedy


def test_a_file_that_the_site_may_not_read_is_named_with_the_setting(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("x")
    remedy = remedy_of(f"PermissionError: [Errno 13] Permission denied: '{file}'", tmp_path)
    assert f'below [site]: folders = ["{tmp_path}"]' in remedy


def test_no_remedy_lets_the_site_read_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "you"))
    for place in (tmp_path / "you", tmp_path, Path("/")):
        remedy = remedy_of(f"Permission denied: '{place / 'page.html'}'", tmp_path)
        assert "folders = [" not in remedy
        assert "a folder of its own" in remedy


@pytest.mark.parametrize(
    ("missing", "told"),
    [("asciidoctor", "If asciidoctor is a program"), ("parts/one.txt", "Fix these files.")],
)
def test_a_program_that_a_reader_needs_is_named(missing: str, told: str, tmp_path: Path) -> None:
    reason = f"FileNotFoundError: [Errno 2] No such file or directory: '{missing}'"
    outcome = BuildOutcome((), (("content/a.adoc", f"Could not process ./a.adoc: {reason}"),))
    (found,) = _check_pages(tmp_path, outcome, tmp_path)
    assert found.remedy.startswith(told)


def test_only_some_of_many_files_that_are_left_out_are_named(tmp_path: Path) -> None:
    files = tuple((f"content/{n}.md", "the reader fails") for n in range(40))
    (found,) = _check_pages(tmp_path, BuildOutcome((), files), tmp_path)
    assert found.fact.count("the reader fails") == 10
    assert found.fact.endswith("; 30 more, for which see /status of a running bridge")
