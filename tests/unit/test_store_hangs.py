"""A git process that hangs stops neither the reading of objects nor the end of the bridge."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from bridge.store import StoreBroken
from bridge.store.object_database import ObjectDatabase
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
