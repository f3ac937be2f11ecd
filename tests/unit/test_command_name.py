"""The command as it is named in messages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge.runtime.command_name import command, install, with_config


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, *, path: str, typed: str) -> None:
    """An installation in ``folder``, with ``path`` as the shell's PATH."""
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "micropub-bridge"):
        (folder / "bin" / name).write_text("#!/bin/sh\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setenv("PATH", path)


def test_a_command_in_path_is_named_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, path=str(tmp_path / "bin"), typed="micropub-bridge")
    assert command() == "micropub-bridge"


def test_another_installation_is_named_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = "bridge-env/bin/micropub-bridge"
    installed(tmp_path / "bridge-env", monkeypatch, path="/usr/bin", typed=typed)
    assert command() == typed


def test_a_module_is_named_by_the_command_beside_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, path="/usr/bin", typed="/x/bridge/__main__.py")
    assert command() == str(tmp_path / "bin" / "micropub-bridge")


def test_a_command_names_the_settings_file_unless_it_is_the_usual_one() -> None:
    assert with_config("micropub-bridge owner reset", Path("bridge.toml")).endswith(" reset")
    elsewhere = with_config("micropub-bridge owner reset", Path("/my site/bridge.toml"))
    assert elsewhere == "micropub-bridge owner reset -c '/my site/bridge.toml'"


def test_packages_are_installed_by_what_made_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert install("x") == f"{sys.executable} -m pip install x"
    # As `uv venv` makes it: no pip.
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setattr(sys, "executable", "/srv/my env/bin/python")
    assert install("x") == "uv pip install --python '/srv/my env/bin/python' x"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "pipx_metadata.json").write_text("{}")
    assert install("x") == f"pipx inject {tmp_path.name} x"
