"""Processes that run the site's code are forks of one that has imported Pelican."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from process_kit import is_running

from bridge.runtime import process
from bridge.site import forks, launch

#: What a program that is forked prints of itself.
PROGRAM = """
import json, os, sys, time

def main(arguments):
    word = sys.stdin.readline().strip()
    if word == "exit":
        return 7
    if word == "close":
        os.closerange(3, 1000)
    print(json.dumps({
        "word": word,
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": {n: v for n, v in os.environ.items() if n.isascii() and v.isascii()},
        "bytes": os.environb.get(b"BYTES", b"").hex(),
        "zone": time.tzname,
        "parent": os.getppid(),
        "session": os.getsid(0),
        "files": sorted(map(int, os.listdir("/proc/self/fd"))),
        "hash": hash("a"),
        "pelican": "pelican" in sys.modules,
    }), flush=True)
    if word in ("stay", "close"):
        sys.stdin.read()
    if word in ("fork", "service"):
        if (child := os.fork()) == 0:
            if word == "service":
                os.setsid()
            time.sleep(600)
        print(child, flush=True)
    return 0
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "modules"
    folder.mkdir()
    folder.joinpath("said.py").write_text(PROGRAM)
    return folder


@pytest.fixture(autouse=True)
def own_parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test has the parent of another, which may be forking still. It lasts as long as its test,
    however long that takes.
    """
    own = forks._Parents()
    monkeypatch.setattr(forks, "_PARENTS", own)
    monkeypatch.setattr(forks, "_IDLE", 3_600.0)
    yield
    own.end()


def variables(program: Path, **more: str) -> dict[str, str]:
    # What the bridge itself may import from; the site's own folders are added after confinement.
    return {"PATH": os.environ["PATH"], "HOME": str(program), **more}


@contextlib.asynccontextmanager
async def started(
    program: Path, *, last: bool = False, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await forks.start(
        "said", None, folder=program, environment=variables(program, **more), last=last
    )
    try:
        yield running
    finally:
        await process.end(running)
        await process.close_pipes(running)


async def said(running: asyncio.subprocess.Process, word: str = "stay") -> dict[str, object]:
    process.piped(running.stdin).write(f"{word}\n".encode())
    line = await process.piped(running.stdout).readline()
    found: dict[str, object] = json.loads(line)
    return found


@pytest.fixture(autouse=True)
def importable(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = os.pathsep.join([str(program), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", search)


async def test_forks_have_their_own_environment_folder_and_pipes(program: Path) -> None:
    async with started(program, HOME="/a") as one, started(program, TMPDIR="/b") as two:
        first, second = await said(one), await said(two)
    assert first["parent"] == second["parent"]
    assert variables_of(first)["HOME"] == "/a"
    assert variables_of(second)["HOME"] == str(program)
    assert "TMPDIR" not in variables_of(first)
    assert first["arguments"] == second["arguments"] == ["null"]
    assert first["folder"] == second["folder"] == str(program)
    assert (first["session"], second["session"]) == (one.pid, two.pid)
    assert first["pelican"] is True
    # Their streams, and the folder that is listed.
    assert first["files"] == second["files"]
    assert isinstance(first["files"], list)
    assert len(first["files"]) == 4


def variables_of(what: dict[str, object]) -> dict[str, str]:
    found = what["environment"]
    assert isinstance(found, dict)
    return found


async def test_those_that_start_together_have_one_parent_which_ends_with_the_last(
    program: Path,
) -> None:
    """Its forks are children of this process then, as if it had started them."""
    async with started(program) as one:
        parent = (await said(one))["parent"]
        assert isinstance(parent, int)
        assert parent != os.getpid()
        async with started(program, last=True) as two:
            assert not is_running(parent)
            assert (await said(two))["parent"] in (parent, os.getpid())
            assert parent_of(one.pid) == parent_of(two.pid) == os.getpid()
            assert children() >= {one.pid, two.pid}
    assert children().isdisjoint({one.pid, two.pid}), "their exit status is collected"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(each) for task in tasks for each in task.read_text().split()}


async def test_an_idle_parent_ends(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_IDLE", 0.2)
    async with started(program) as one:
        parent = forks._PARENTS._parent
        assert parent is not None
        await gone(parent._process.pid)
        assert is_running(one.pid)
    assert not is_running(one.pid)


@pytest.mark.parametrize("last", [False, True])
async def test_the_end_of_a_fork_is_noticed(program: Path, last: bool) -> None:
    async with started(program, last=last) as one:
        process.piped(one.stdin).write(b"exit\n")
        async with asyncio.timeout(300):
            code = await process.exited(one)
    assert code in ({7} if last else {7, forks._UNKNOWN})


@pytest.mark.parametrize("last", [False, True])
async def test_a_fork_that_has_closed_all_files_has_not_ended(program: Path, last: bool) -> None:
    """As libraries for services do. It is ended all the same."""
    async with started(program, last=last) as one:
        await said(one, "close")
        await asyncio.sleep(0.2)
        assert one.returncode is None
    await gone(one.pid)


async def test_what_a_fork_has_forked_is_ended_with_it(program: Path) -> None:
    async with started(program, last=True) as one:
        await said(one, "fork")
        async with asyncio.timeout(300):
            await process.exited(one)
        (left,) = [
            int(each.name) for each in Path("/proc").glob("[0-9]*") if in_group(each, one.pid)
        ]
    await gone(left)


def in_group(entry: Path, group: int) -> bool:
    with contextlib.suppress(OSError, ValueError):
        state, _, of = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:3]
        return state != "Z" and int(of) == group
    return False


@pytest.mark.parametrize("last", [False, True])
async def test_a_fork_has_ended_though_it_leaves_a_service_with_its_files(
    program: Path, last: bool
) -> None:
    async with started(program, last=last) as one:
        await said(one, "service")
        left = int(await process.piped(one.stdout).readline())
        try:
            async with asyncio.timeout(300):
                assert await process.exited(one) in ({0} if last else {0, forks._UNKNOWN})
            assert is_running(left)
            assert one.pid not in children()
        finally:
            os.kill(left, signal.SIGKILL)


async def test_a_parent_that_was_killed_takes_no_fork_with_it(program: Path) -> None:
    async with started(program) as one:
        parent = (await said(one))["parent"]
        assert isinstance(parent, int)
        os.kill(parent, signal.SIGKILL)
        async with started(program) as two:
            assert (await said(two))["parent"] != parent
            assert is_running(one.pid)
    await gone(one.pid)
    assert not is_running(two.pid)


async def gone(pid: int) -> None:
    async with asyncio.timeout(300):
        while is_running(pid):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("rounds", "again"), [(0, 0), (1, 1), (2, 0), (3, 0), (5, 1), (8, 0)])
async def test_a_start_that_is_cancelled_leaves_nothing(
    program: Path, rounds: int, again: int
) -> None:
    async with started(program) as one:
        parent = (await said(one))["parent"]
        before = set(Path("/proc/self/fd").iterdir())
        starting = asyncio.create_task(
            forks.start("said", None, folder=program, environment=variables(program))
        )
        for _ in range(rounds):
            await asyncio.sleep(0)
        starting.cancel()
        for _ in range(again):
            await asyncio.sleep(0)
            starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        async with asyncio.timeout(300):
            while set(Path("/proc/self/fd").iterdir()) - before:
                await asyncio.sleep(0.01)
            while (
                kin := {
                    int(each.name)
                    for each in Path("/proc").glob("[0-9]*")
                    if in_family(each, parent)
                }
            ) - {one.pid}:
                await asyncio.sleep(0.01)
        assert kin == {one.pid}


@pytest.mark.parametrize("refused", [False, True])
async def test_no_parent_stays_after_a_start_that_is_cancelled_or_fails(
    program: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    monkeypatch.setattr(forks, "_IDLE", 0.1)
    ended, cancelled = set[int](), threading.Event()
    forked = forks._pid

    def pid(told: io.FileIO) -> int:
        ended.add(forked(told))
        if refused:
            raise BlockingIOError(errno.EAGAIN, "no more processes")
        assert cancelled.wait(300)
        return max(ended)

    monkeypatch.setattr(forks, "_pid", pid)
    starting = asyncio.create_task(
        forks.start("said", None, folder=program, environment=variables(program))
    )
    async with asyncio.timeout(300):
        while (parent := forks._PARENTS._parent) is None:
            await asyncio.sleep(0.01)
    if not refused:
        starting.cancel()
        await asyncio.sleep(0)
    cancelled.set()
    await asyncio.wait([starting])
    assert starting.cancelled() is not refused
    await gone(parent._process.pid)
    assert len(ended) == 1
    if refused:
        return  # that one was forked, other than in earnest
    await gone(*ended)
    async with asyncio.timeout(300):
        while not children().isdisjoint(ended):
            await asyncio.sleep(0.01)


def test_a_loop_that_is_closed_during_a_start_leaves_nothing_open(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cancels all of its tasks, and waits for its threads."""
    may_end, forked = threading.Event(), forks._pid
    made: list[forks._Fork] = []

    def pid(told: io.FileIO) -> int:
        assert may_end.wait(300)
        return forked(told)

    def fork(pid: int, pipes: Sequence[io.FileIO]) -> forks._Fork:
        made.append(forks_fork(pid, pipes))
        return made[-1]

    forks_fork = forks._Fork
    monkeypatch.setattr(forks, "_pid", pid)
    monkeypatch.setattr(forks, "_Fork", fork)

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        start = forks.start("said", None, folder=program, environment=variables(program))
        starting.append(loop.create_task(start))
        while forks._PARENTS._parent is None:
            await asyncio.sleep(0.01)
        loop.call_later(0.1, may_end.set)

    starting: list[object] = []
    asyncio.run(leave())
    assert [pipe.closed for each in made for pipe in each.pipes] == [True] * 3


def in_family(entry: Path, parent: object) -> bool:
    with contextlib.suppress(OSError, ValueError):
        state, of = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:2]
        return state != "Z" and int(of) == parent
    return False


@pytest.mark.parametrize(
    ("more", "shared"),
    [
        ({"HOME": "/", "SITE_NAME": "x"}, False),
        ({"HOME": "/", "TMPDIR": "/"}, True),
        ({"PYTHONOPTIMIZE": "1"}, False),
        ({"LC_ALL": "C"}, False),
    ],
)
async def test_what_is_read_when_python_starts_needs_a_parent_of_its_own(
    program: Path, more: dict[str, str], shared: bool
) -> None:
    async with started(program) as one:
        first = await said(one)
        async with started(program, last=False, **more) as two:
            second = await said(two)
    assert variables_of(second).items() >= more.items()
    assert (first["parent"] == second["parent"]) is shared
    assert first["hash"] == second["hash"]


@pytest.mark.cold  # as one that is forked for a test, Python sets nothing
@pytest.mark.parametrize(
    "more",
    [
        *({}, {"LANG": "C"}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C"}),
        *({"LC_CTYPE": "C"}, {"LC_CTYPE": "xx_XX.UTF-8"}, {"LC_CTYPE": "C.UTF-8"}),
    ],
)
async def test_a_fork_has_the_environment_that_python_makes_of_its_own(
    program: Path, more: dict[str, str]
) -> None:
    """It sets ``LC_CTYPE`` where the language is C, or none that this machine has."""
    shown = "import json, os; print(json.dumps(dict(os.environ)))"
    given = {**launch.unconfined(variables(program, **more)), "PYTHONHASHSEED": "0"}
    as_usual = subprocess.run(
        [sys.executable, "-c", shown], env=given, check=True, capture_output=True
    )
    async with started(program, last=False, **more) as one:
        assert variables_of(await said(one)) == json.loads(as_usual.stdout)


async def test_after_an_upgrade_what_starts_uses_what_is_installed(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(program) as one:
        first = await said(one)
        monkeypatch.setattr(forks, "installed_code", lambda: "another")
        async with started(program) as two:
            assert (await said(two))["parent"] != first["parent"]
        assert is_running(one.pid)


async def test_a_program_that_cannot_be_imported_says_why(program: Path) -> None:
    program.joinpath("said.py").write_text("import not_there\n")
    async with started(program) as one:
        assert await process.piped(one.stdout).read() == b""
        assert b"No module named 'not_there'" in await process.piped(one.stderr).read()


async def test_a_fork_that_is_refused_is_an_error_of_the_system() -> None:
    read, write = os.pipe()
    with io.FileIO(read) as told:
        os.write(write, (-11).to_bytes(4, "big", signed=True))
        os.close(write)
        with pytest.raises(BlockingIOError, match="temporarily unavailable"):
            forks._pid(told)


async def test_a_parent_that_hangs_is_replaced(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(program) as one:
        parent = (await said(one))["parent"]
        assert isinstance(parent, int)
        os.kill(parent, signal.SIGSTOP)
        monkeypatch.setattr(forks, "_PATIENCE", 0.1)
        with pytest.raises(TimeoutError):
            await forks.start("said", None, folder=program, environment=variables(program))
        assert not is_running(parent)
        monkeypatch.setattr(forks, "_PATIENCE", 600)
        async with started(program) as two:
            await said(two)


async def test_a_parent_that_hangs_is_replaced_though_it_reads_nothing(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_PATIENCE", 0.1)
    many = {f"TMP{number}": "x" * 100_000 for number in range(9)}
    monkeypatch.setattr(forks, "_LATER", forks._LATER | many.keys())
    ask = forks._Parent.send

    def stopped(parent: forks._Parent, order: bytes, streams: Sequence[int]) -> None:
        os.kill(parent._process.pid, signal.SIGSTOP)
        ask(parent, order, streams)

    monkeypatch.setattr(forks._Parent, "send", stopped)
    with pytest.raises(TimeoutError, match="could not be imported in time"):
        await forks.start("said", None, folder=program, environment=variables(program, **many))


async def test_what_ends_every_parent_is_named(program: Path) -> None:
    program.joinpath("said.py").write_text("raise SystemExit\n")
    with pytest.raises(ConnectionError, match="the process that imports Pelican has ended"):
        await forks.start("said", None, folder=program, environment=variables(program))


async def test_names_that_are_not_utf8_reach_a_fork(program: Path) -> None:
    odd = os.fsdecode(b"\xff")
    folder = program / odd
    folder.mkdir()
    running = await forks.start(
        "said", None, folder=folder, environment=variables(program, BYTES=odd)
    )
    try:
        assert (await said(running))["bytes"] == "ff"
    finally:
        await process.end(running)
        await process.close_pipes(running)
