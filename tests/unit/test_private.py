"""Files with secrets and drafts are accessible to the bridge's user only."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from git_kit import git

from bridge.commands import demo, mentions, serve
from bridge.commands.checks.repo import check_repo
from bridge.errors import Refused
from bridge.indieauth.database import Database
from bridge.posts.index_tables import open_tables
from bridge.runtime import private
from bridge.settings import IndieAuth, Publish, Settings, Site, Webmention
from bridge.store import StoreBroken
from bridge.store.setup import clone_bare
from bridge.store.transaction import writer


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_cannot_be_written_leaves_no_empty_file(tmp_path: Path) -> None:
    """An empty ``bridge.toml`` was taken for one that exists already."""
    with pytest.raises(UnicodeError):
        private.write(tmp_path / "new", "\udce9")
    assert not (tmp_path / "new").exists()


def test_a_second_bridge_with_the_same_state_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_END_SECONDS", -2)
    state = tmp_path / "state"
    with serve.only_bridge(state):
        assert mode(state) == 0o700
        second = serve.only_bridge(state)
        with pytest.raises(Refused, match=r"another bridge uses .*\[site\] state"):
            second.__enter__()
        with serve.only_bridge(tmp_path / "another"):
            pass
    with serve.only_bridge(state):
        pass


def test_a_demo_whose_state_another_bridge_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_END_SECONDS", -2)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # which a demo changes
    state = tmp_path / "state"
    monkeypatch.setenv("BRIDGE_SITE__STATE", str(state))
    with serve.only_bridge(state), pytest.raises(Refused, match=f"another bridge uses {state}"):
        demo.demo(tmp_path / "demo", 0)


def test_the_state_of_a_demo_can_be_moved_elsewhere_with_a_link_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = list[object]()

    async def serve_nothing(*given: object) -> None:
        served.extend(given)

    monkeypatch.setattr(serve, "_END_SECONDS", -2)
    monkeypatch.setattr(demo, "_serve", serve_nothing)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # which a demo changes
    demo.demo(tmp_path / "demo", 0)
    state = tmp_path / "demo" / "state"
    state.symlink_to(state.rename(tmp_path / "elsewhere"))
    served.clear()
    demo.demo(tmp_path / "demo", 0)
    assert served


def test_a_bridge_that_ends_is_waited_for_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    ended = threading.Event()
    first = private.held(folder, 0)
    first.__enter__()

    def end() -> None:
        ended.set()
        first.__exit__(None, None, None)

    threading.Timer(0.1, end).start()
    with private.held(folder, 600):
        assert ended.is_set()


def test_a_command_that_is_not_done_yet_says_whether_the_bridge_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mentions, "_SECONDS", 0.0)
    settings = Settings(
        site=Site(me="https://me.example/", repo=tmp_path / "repo", state=tmp_path / "state"),
        webmention=Webmention(receive=True),
    )
    mentions.decide(settings, "approve", ["x"])
    with private.held(tmp_path / "state", 0):
        mentions.decide(settings, "approve", ["x"])
    stopped, running = capsys.readouterr().out.splitlines()
    assert "is not running" in stopped
    assert "still busy" in running


def test_created_files_are_private_from_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    private.write(tmp_path / "bridge.toml", "secret")
    private.make_folder(tmp_path / "a" / "state")
    assert (tmp_path / "bridge.toml").read_text() == "secret"
    assert mode(tmp_path / "bridge.toml") == 0o600
    assert mode(tmp_path / "a" / "state") == 0o700
    assert caplog.text == "", "none of them was open to others before"


def test_the_repo_with_the_drafts_is_private_and_a_clone_that_fails_leaves_nothing(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "source", tmp_path / "bridge" / "site.git"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    with pytest.raises(StoreBroken, match="cannot be cloned"):
        clone_bare(str(source), target, "other")
    assert not target.exists()
    git(source, "commit", "-q", "--allow-empty", "-m", "Begin")
    clone_bare(str(source), target, "main")
    assert mode(target) == 0o700


@pytest.mark.parametrize("was", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_open_permissions_are_restricted_and_reported(
    tmp_path: Path, was: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("secret")
    file.chmod(was)
    caplog.set_level(logging.WARNING)
    assert private.tighten([file, tmp_path / "absent"]) == [file]
    assert mode(file) == 0o600
    assert "bridge.toml was accessible to other users" in caplog.text
    assert private.tighten([file]) == []


def test_stricter_permissions_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("secret")
    file.chmod(0o400)
    assert private.tighten([file]) == []
    assert mode(file) == 0o400


def test_files_of_other_users_are_left_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("secret")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    assert private.tighten([file]) == [file]
    assert "is accessible to other users of this machine: Operation not permitted" in caplog.text


def test_databases_are_private_with_all_that_is_beside_them(tmp_path: Path) -> None:
    for name, opening in (("indieauth.sqlite", Database), ("index.sqlite", open_tables)):
        opening(tmp_path / name).close()
        for _ in range(2):
            opened = opening(tmp_path / name)
            modes = {path.name: oct(mode(path)) for path in tmp_path.glob(f"{name}*")}
            assert len(modes) >= 2, "there is a journal beside it"
            assert set(modes.values()) == {"0o600"}, modes
            opened.close()
            # As an earlier version, or a copy from a backup, has left it.
            (tmp_path / name).chmod(0o644)


async def privacy(file: Path, settings: Settings) -> str:
    """The line about it in the output of ``check``."""
    async for finding in check_repo(settings, file):
        if finding.subject == "privacy":
            return str(finding)
    raise AssertionError("there is no such line")


async def test_check_has_a_line_about_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo, file = tmp_path / "repo", tmp_path / "bridge.toml"
    git(tmp_path, "init", "-q", "-b", "main", "laptop")
    git(tmp_path / "laptop", "commit", "-q", "--allow-empty", "-m", "First")
    git(tmp_path, "clone", "-q", "--bare", "laptop", str(repo))
    file.write_text("secret")
    Database(tmp_path / "indieauth.sqlite").close()
    settings = Settings(
        site=Site(me="https://me.example/", repo=repo),
        indieauth=IndieAuth(enabled=True, database=tmp_path / "indieauth.sqlite"),
        publish=Publish(remote="", author="Ada <ada@example.com>"),
    )
    line = await privacy(file, settings)
    assert line.startswith("ok ")
    assert f"{file} could be opened by other users" in line or f"{file}, " in line
    assert mode(file) == 0o600
    assert "accessible to this user only" in await privacy(file, settings)

    file.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    line = await privacy(file, settings)
    assert line.startswith("note")
    assert f"chmod go= {file}" in line


@pytest.mark.parametrize("held", [private.held, writer])
def test_a_program_that_is_being_started_does_not_hold_a_lock(
    held: Callable[[Path, float], AbstractContextManager[None]], tmp_path: Path
) -> None:
    """Between fork and exec it has the files of this process open."""
    folder = str(tmp_path.resolve())
    with held(tmp_path, 0):
        files = Path("/proc/self/fd").iterdir()
        inherited = [os.dup(int(each.name)) for each in files if os.path.realpath(each) == folder]
    try:
        assert inherited
        with held(tmp_path, 0):
            pass
    finally:
        for file in inherited:
            os.close(file)
