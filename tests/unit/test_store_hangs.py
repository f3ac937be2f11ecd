"""A git process that hangs stops neither the reading of objects nor the end of the bridge."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from git_kit import ADA, git, put
from process_kit import is_running

from bridge.store import StoreBroken, history, object_database
from bridge.store import repo as store_repo
from bridge.store.git import GitStore
from bridge.store.object_database import ObjectDatabase, _Answers
from bridge.store.repo import _MANY_PACKS, BoundedGit, Housekeeper, open_bare_repo
from bridge.store.sync import transport
from bridge.store.sync.rebase import Replay


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
    database = _PatientLater(opened.repo, opened.format, seconds=1)
    first, second = _blob(repo, b"first"), _blob(repo, b"second")
    assert database.read(first, "blob") == b"first"
    pid = database._process.pid
    os.kill(pid, signal.SIGSTOP)
    assert [*database.read_many([first, second], "blob")] == [b"first", b"second"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    database.close()


def _instead_of_git(folder: Path, patch: pytest.MonkeyPatch, script: str) -> None:
    """Have these lines of a shell script run before git, whenever that is started."""
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "git"
    program.write_text(f'#!/bin/sh\n{script}\nexec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


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
    _instead_of_git(
        tmp_path,
        monkeypatch,
        f"if rm {shlex.quote(str(stops))} 2>/dev/null; then read name;"
        " printf '%s blob 14\\nthe wh' $name; exec sleep 600; fi",
    )

    def receive(file: int, seconds: float) -> bytes:
        return store_repo.receive(file, 60 if stops.exists() else seconds)

    # A shell that the machine has not come to yet does not hang.
    monkeypatch.setattr(object_database, "receive", receive)
    database = _PatientLater(opened.repo, opened.format, seconds=0.1)
    assert database.read(blob, "blob") == b"the whole text"
    assert not stops.exists()
    database.close()


def test_half_an_answer_is_waited_for_as_long_as_one_that_has_not_begun() -> None:
    back, told = os.pipe()
    with os.fdopen(back, "rb") as answers, os.fdopen(told, "wb", buffering=0) as git:
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
    reader.join(300)
    assert [str(error) for error in failed] == ["the store is closed"]


def test_a_command_that_hangs_is_ended_with_its_children_and_is_no_failure_of_git(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_bare_repo(repo, "")
    pids = tmp_path / "pids"
    file = shlex.quote(str(pids))
    _instead_of_git(tmp_path, monkeypatch, f"sleep 600 & echo $$ $! > {file}.new;"
                    f" mv {file}.new {file}; trap '' TERM; wait")  # fmt: skip
    ask = partial(opened.repo.git.config, "--get", "a.b", with_exceptions=False)
    with pytest.raises(StoreBroken, match=r"^git config stood still for 0.5 seconds$"):
        ask(kill_after_timeout=0.5)
    deadline = time.monotonic() + 300
    started = [int(pid) for pid in pids.read_text().split()] if pids.exists() else []
    while any(map(is_running, started)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_command_may_take_long_as_long_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([*range(10), 9])
    monkeypatch.setattr(store_repo, "processor_time", lambda _: next(used))
    process = BoundedGit().execute(["sleep", "600"], as_process=True, start_new_session=True)
    with pytest.raises(TimeoutError, match=r"^stood still for 0.01 seconds$"):
        store_repo.communicate(process, 0.01)
    assert [*used] == []
    store_repo.kill(process)


def test_a_push_that_stands_still_is_ended(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repo, "remote", "add", "origin", "https://git.example/x.git")
    store = GitStore(repo, author=ADA)
    head = put(store, "a.md", "text")
    _instead_of_git(tmp_path, monkeypatch, 'case "$*" in *" push "*) exec sleep 600 ;; esac')
    monkeypatch.setattr(transport, "communicate", partial(store_repo.communicate, seconds=0.3))
    remote = transport.Transport(store.bare_repo, "origin", "", tmp_path, store.disk)
    with pytest.raises(transport.TransportError, match=r"^git stood still for 0.3 seconds: perh"):
        remote.push(bytes.fromhex(head), None)
    store.close()


#: What a fetch says beside ``git gc --prune=now``, which removes its temporary files.
_PRUNED = "fatal: unable to rename temporary '*.pack' file to 'x.pack'"


def test_a_fetch_waits_for_another_process_that_updates_the_same_ref(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``check`` fetches while the running bridge pushes, which updates the same ref."""
    store, theirs, fetches = GitStore(repo, author=ADA), tmp_path / "theirs", tmp_path / "fetches"
    head = put(store, "a.md", "text")
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(theirs))
    git(repo, "remote", "add", "origin", str(theirs))
    remote = transport.Transport(store.bare_repo, "origin", "", tmp_path, store.disk)
    lock = repo / f"{remote.tracking}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    _instead_of_git(
        tmp_path, monkeypatch,
        f'case "$*" in *" fetch "*) echo >> {fetches};'
        f' case "$(wc -l < {fetches})" in 2) rm {lock} ;; 3) echo "{_PRUNED}" >&2; exit 128 ;; esac'
        " ;; esac",
    )  # fmt: skip
    remote.fetch()
    assert git(repo, "rev-parse", remote.tracking) == head
    head = put(store, "a.md", "newer text")
    git(repo, "push", "--quiet", str(theirs), f"{head}:main")
    remote.fetch()
    assert git(repo, "rev-parse", remote.tracking) == head

    monkeypatch.setattr(transport, "_MOMENT", 0)
    git(repo, "push", "--quiet", str(theirs), f"{put(store, 'a.md', 'other text')}:main")
    lock.touch()
    with pytest.raises(transport.TransportError, match=r"main\.lock': File exists"):
        remote.fetch()
    lock.unlink()

    # What does not go away by itself: all would be fetched anew, ten times.
    git(repo, "update-ref", "-d", remote.tracking)
    git(repo, "update-ref", f"{remote.tracking}/old", head)
    before = fetches.read_text()
    with pytest.raises(transport.TransportError, match="cannot lock ref"):
        remote.fetch()
    assert fetches.read_text() == f"{before}\n"
    store.close()


def test_a_merge_that_was_killed_is_not_taken_for_a_conflict(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GitStore(repo, author=ADA)
    base = bytes.fromhex(put(store, "a.md", "one\ntwo\nthree\nfour\nfive\n"))
    ours = bytes.fromhex(put(store, "a.md", "ONE\ntwo\nthree\nfour\nfive\n"))
    git(repo, "update-ref", "refs/heads/main", base.hex())
    theirs = bytes.fromhex(put(store, "a.md", "one\ntwo\nthree\nfour\nFIVE\n"))
    _instead_of_git(tmp_path, monkeypatch, 'case "$*" in *merge-file*) kill -9 $$ ;; esac')
    with pytest.raises(StoreBroken, match=r"^git merge-file was ended by signal 9$"):
        Replay(store.bare_repo, store.database, ADA).onto(theirs, ours, ())
    store.close()


def test_a_history_that_git_does_not_go_on_with_has_an_end(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GitStore(repo, author=ADA)
    head = put(store, "a.md", "text")
    _instead_of_git(tmp_path, monkeypatch, 'case "$*" in *log*) exec sleep 600 ;; esac')
    monkeypatch.setattr(history, "_SECONDS", 0.01)
    with pytest.raises(StoreBroken, match="cannot be read: git did not answer"):
        [*store.log(head)]
    with pytest.raises(StoreBroken, match="cannot be read: git did not answer"):
        [*store.removals([""], head)]
    store.close()


def test_packs_that_git_never_joins_have_an_end_and_do_not_delay_that_of_the_bridge(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_bare_repo(repo, "")
    for number in range(_MANY_PACKS):
        (repo / "objects" / "pack" / f"{number}.pack").touch()
    pids = tmp_path / "pids"
    _instead_of_git(tmp_path, monkeypatch, f"echo $$ >> {shlex.quote(str(pids))}; exec sleep 600")
    short = Housekeeper(opened, seconds=0.5)
    short._tidy()
    assert "small packs could not be joined: git repack stood still for 0.5 seconds" in caplog.text
    pids.unlink(missing_ok=True)
    long = Housekeeper(opened)
    for _ in range(_MANY_PACKS):
        long.committed()
    deadline = time.monotonic() + 300
    while not pids.exists() or not pids.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pid = int(pids.read_text())
    os.kill(pid, signal.SIGSTOP)
    long.close()
    assert not is_running(pid)
