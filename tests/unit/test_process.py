"""Programs that are run end in time, and so does the wait for them, whatever they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_kit import is_running

from bridge.rebuild.resident.warm_process import ResidentProcess
from bridge.runtime import process
from bridge.runtime.shutdown import kill_descendants
from bridge.site.process import RunningProcess

ROOT = Path(__file__).parents[2]
#: A program in a session of its own, which keeps the pipes open.
DAEMON = "setsid sleep 600 & echo $! > pid; echo done"


async def _run(folder: Path, script: str, seconds: float = 300) -> process.Ended:
    command = ["sh", "-c", script]
    return await process.run(
        command, folder=folder, env={"PATH": os.environ["PATH"]}, seconds=seconds
    )


async def _gone(pid: int) -> None:
    async with asyncio.timeout(300):
        while is_running(pid):
            await asyncio.sleep(0.01)


async def test_a_program_has_ended_though_it_has_left_one_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_AFTERWARDS", 0.2)
    ended = await _run(tmp_path, DAEMON)
    pid = int(tmp_path.joinpath("pid").read_text())
    assert ended == process.Ended(0, "done\n")
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


async def test_a_program_that_takes_too_long_is_ended_with_those_that_it_has_started(
    tmp_path: Path,
) -> None:
    script = "(trap '' TERM; sleep 600) & echo $! > pid; wait"
    pid = tmp_path / "pid"
    for seconds in (1, 10, 100):  # on a busy machine it may have started nothing after one
        with pytest.raises(process.TookTooLong, match=f"still running after {seconds} seconds"):
            await _run(tmp_path, script, seconds=seconds)
        if pid.exists() and pid.read_text():
            break
    await _gone(int(pid.read_text()))


async def test_what_a_program_has_left_running_is_ended_with_it(tmp_path: Path) -> None:
    running = await asyncio.create_subprocess_exec(
        *("sh", "-c", "sleep 600 & echo $!"),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    pid = int(await process.piped(running.stdout).readline())
    assert await process.exited(running) == 0
    assert is_running(pid)
    await process.end(running)
    await _gone(pid)
    await process.close_pipes(running)


async def test_a_program_that_has_the_number_of_one_that_has_ended_is_left_alone() -> None:
    ended = await asyncio.create_subprocess_exec("true", start_new_session=True)
    await process.exited(ended)
    other = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    ended.pid = other.pid
    await process.end(ended)
    assert is_running(other.pid)
    await process.end(other)
    assert not is_running(other.pid)


async def test_a_program_that_is_stopped_is_ended(tmp_path: Path) -> None:
    running = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    os.kill(running.pid, signal.SIGSTOP)
    async with asyncio.timeout(300):
        # Of two signals that have not arrived, SIGTERM comes first.
        while ") T " not in Path(f"/proc/{running.pid}/stat").read_text():
            await asyncio.sleep(0.01)
    await process.end(running)
    assert running.returncode == -signal.SIGKILL


async def test_programs_that_hang_are_killed_with_those_that_they_have_started() -> None:
    running = await asyncio.create_subprocess_exec(
        *("sh", "-c", "trap '' TERM; setsid sleep 600 & echo $!; wait"),
        stdout=asyncio.subprocess.PIPE,
    )
    pid = int(await process.piped(running.stdout).readline())
    os.kill(pid, signal.SIGSTOP)
    assert kill_descendants(running.pid) == 1
    await _gone(pid)
    await running.wait()


#: Waits for a program that is stopped, as a thread would.
WAITS = """
import os, signal, subprocess
from bridge.runtime.shutdown import LastResort

last_resort = LastResort(600, children=0.1)
child = subprocess.Popen(["sleep", "600"])
os.kill(child.pid, signal.SIGSTOP)
last_resort.begin()
print(child.wait())
"""


def test_the_end_of_the_bridge_ends_programs_that_it_would_wait_for() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WAITS], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ended.stdout == f"{-signal.SIGKILL}\n"


#: Its own messages would wait for the reader, too.
FORCED = """
import logging, time
from bridge.runtime.shutdown import LastResort

logging.disable()
LastResort(0.3, children=0.1).begin()
time.sleep(600)
"""


def test_the_end_of_the_bridge_waits_for_no_reader_of_its_output() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    with subprocess.Popen([sys.executable, "-c", FORCED], stderr=writer, cwd=ROOT) as running:
        assert running.wait(300) == 1
    os.close(reader)
    os.close(writer)


#: A list of all processes takes memory.
SHORT_OF_MEMORY = """
import time
from bridge.runtime import shutdown

def fail(_):
    raise MemoryError

shutdown.kill_descendants = fail
shutdown.LastResort(0.6, children=0.1).begin()
time.sleep(600)
"""


def test_the_end_of_the_bridge_needs_no_memory() -> None:
    command = [sys.executable, "-c", SHORT_OF_MEMORY]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 1
    assert "longer than 0.6 seconds" in ended.stderr


#: Each pause takes a minute longer than it should.
STANDS_STILL = """
import threading, time
from types import SimpleNamespace
from bridge.runtime import shutdown

paused = threading.Semaphore(0)

def sleep(seconds):
    paused.release()
    time.sleep(seconds)

shutdown.time = SimpleNamespace(
    sleep=sleep, monotonic=lambda: time.monotonic() + 60 * paused._value
)
shutdown.LastResort(10, children=0.1).begin()
while paused._value < 4:
    time.sleep(0.01)
"""


def test_a_machine_that_stands_still_is_not_taken_for_a_bridge_that_hangs() -> None:
    subprocess.run([sys.executable, "-c", STANDS_STILL], check=True, cwd=ROOT)


#: Each pause, and each search for programs, takes much longer than it should.
IS_BUSY = """
import os, time
from types import SimpleNamespace
from bridge.runtime import shutdown

clock, end = [0.0], os._exit

def take(seconds):
    clock[0] += seconds
    return 0

shutdown.time = SimpleNamespace(sleep=lambda _: take(0.4), monotonic=lambda: clock[0])
shutdown.kill_descendants = lambda _: take(0.2)
os._exit = lambda _: (print(clock[0], flush=True), end(0))
shutdown.LastResort(8, children=5).begin()
time.sleep(600)
"""


def test_on_a_busy_machine_a_bridge_that_hangs_ends_as_soon() -> None:
    command = [sys.executable, "-c", IS_BUSY]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert 8 <= float(ended.stdout) <= 9


async def test_the_processor_time_of_a_program_is_also_that_of_its_children() -> None:
    script = "(i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done); echo; read wait"
    running = await asyncio.create_subprocess_exec(
        *("sh", "-c", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert (process.processor_time(running.pid) or 0) < 10_000
    await process.piped(running.stdout).readline()
    used = process.processor_time(running.pid)
    assert used
    await process.end(running)
    assert process.processor_time(running.pid) is None
    await process.close_pipes(running)


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 6, 10])
@pytest.mark.parametrize("kind", ["site", "build"])
async def test_a_process_is_ended_though_the_one_who_ends_it_is_cancelled(
    kind: str, rounds: int
) -> None:
    """It was left running, or its pipes open: nobody else ends it a second time."""
    pipe = asyncio.subprocess.PIPE
    before = set(Path("/proc/self/fd").iterdir())
    running = await asyncio.create_subprocess_exec(
        *("sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )
    await process.piped(running.stdout).readline()
    ends = (
        ResidentProcess(running).end
        if kind == "build"
        else RunningProcess(running, lambda _: None).end
    )
    ending = asyncio.create_task(ends())
    for _ in range(rounds):
        await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    assert not is_running(running.pid)
    assert not set(Path("/proc/self/fd").iterdir()) - before
