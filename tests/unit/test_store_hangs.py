"""A git process that hangs stops neither the reading of objects nor the end of the bridge."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from bridge.store import StoreBroken
from bridge.store.object_database import ObjectDatabase, _Answers
from bridge.store.repo import open_bare_repo


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "site.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", repo], check=True)
    return repo


def _blob(repo: Path, words: bytes) -> bytes:
    command = ["git", "-C", str(repo), "hash-object", "-w", "--stdin"]
    return bytes.fromhex(subprocess.check_output(command, input=words).decode().strip())


def test_a_git_process_that_hangs_is_ended_and_another_answers(repo: Path) -> None:
    opened = open_bare_repo(repo, "")
    # Git answers within milliseconds: hundreds of times more are left to it on a busy machine.
    database = ObjectDatabase(opened.repo, opened.format, seconds=2)
    first, second = _blob(repo, b"first"), _blob(repo, b"second")
    assert database.read(first, "blob") == b"first"
    pid = database._process.pid
    os.kill(pid, signal.SIGSTOP)
    assert [*database.read_many([first, second], "blob")] == [b"first", b"second"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    database.close()


class _PatientLater(ObjectDatabase):
    """Waits long for every git process but the first."""

    def _end_process(self) -> None:
        super()._end_process()
        self._seconds = 60


def test_a_git_process_that_stops_in_the_middle_of_an_answer_is_ended(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_bare_repo(repo, "")
    blob = _blob(repo, b"the whole text")
    stops = tmp_path / "stops"
    stops.touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "git"
    program.write_text(
        f"#!/bin/sh\nif rm {stops} 2>/dev/null; then read name;"
        f" printf '%s blob 14\\nthe wh' $name; exec sleep 600; fi\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    database = _PatientLater(opened.repo, opened.format, seconds=1)
    assert database.read(blob, "blob") == b"the whole text"
    assert not stops.exists()
    database.close()


def test_half_an_answer_is_waited_for_as_long_as_one_that_has_not_begun() -> None:
    back, told = os.pipe()
    with open(back, "rb") as answers, open(told, "wb", buffering=0) as git:
        git.write(b"aa blob 3\none\nbb blob 3\ntw")
        expected = _Answers(answers, 0.01)
        assert expected.next() == ("blob", b"one")
        with pytest.raises(TimeoutError, match="git did not answer within"):
            expected.next()


def test_the_end_does_not_wait_for_a_git_process_that_hangs(repo: Path) -> None:
    opened = open_bare_repo(repo, "")
    database = ObjectDatabase(opened.repo, opened.format, seconds=600)
    blob = _blob(repo, b"text")
    database.read(blob, "blob")
    os.kill(database._process.pid, signal.SIGSTOP)
    failed = list[StoreBroken]()

    def read() -> None:
        try:
            database.read(blob, "blob")
        except StoreBroken as error:
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while reader.is_alive() and not database._lock.locked():
        reader.join(0.01)
    database.close()
    reader.join(60)
    assert [str(error) for error in failed] == ["the store is closed"]
