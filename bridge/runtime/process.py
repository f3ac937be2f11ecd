"""Runs programs from argv lists, each in a process group of its own, with a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from msgspec import Struct

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Stream = TypeVar("_Stream")

_PROJECT = Path(__file__).parents[2]
_INSTALLED = (".dist-info", ".egg-info", ".pth", ".egg-link")
_KEPT = 200_000
_GRACE = 2.0  # less than the whole bridge has to shut down
_LOOK = 0.1
_AFTERWARDS = 10.0  # seconds for the children of a program that has ended to close its pipes


class Ended(Struct, frozen=True):
    """How a program ended, and the last part of its output."""

    code: int
    text: str


class TookTooLong(Exception):
    """The program exceeded its time limit and was ended."""


def installed_code() -> str:
    """A name for the bridge's code and for every installed package: another one after an upgrade
    of any of them.
    """
    files = set(_own_code())
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            files.update(entry.path for entry in entries if entry.name.endswith(_INSTALLED))
    found = hashlib.sha256(sys.version.encode())
    for file in sorted(files):
        with contextlib.suppress(OSError):
            changed = os.stat(file).st_mtime_ns  # noqa: PTH116 - there are hundreds
            found.update(os.fsencode(f"{file}\0{changed}\0"))
    return found.hexdigest()


@cache
def _own_code() -> Sequence[str]:
    """The bridge's files and the plugin's, which are the same as long as this process runs."""
    ours = (_PROJECT / "bridge", _PROJECT / "pelican_indieauth")
    return [str(file) for package in ours for file in package.rglob("*.py")]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a build: ours without the bridge's settings and secrets.

    This project's plugin can be imported there, whether or not it is installed.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    path = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
    return {**ours, "PATH": program_path(), "PYTHONPATH": os.pathsep.join(path), **extra}


def program_path() -> str:
    """The ``PATH`` for the site's code: ours, with this Python's virtual environment activated.

    Plugins start programs that were installed with them (``sphinx-build``), and a Makefile starts
    ``pelican``; a service is started without activating anything.
    """
    path, own = os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)
    return path if own in path.split(os.pathsep) else f"{own}{os.pathsep}{path}"


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a blocking function in a thread. A cancelled caller still waits for it to end.

    Nothing else may touch the same files while it runs.
    """
    return await to_its_end(asyncio.to_thread(function, *args, **kwargs))


async def to_its_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Do this work, which ends by itself. A cancelled caller still waits for its end."""
    running = asyncio.create_task(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def run(
    argv: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    seconds: float,
    text: bytes = b"",
) -> Ended:
    """Run a program to its end. Raises :class:`TookTooLong`, and ``OSError`` if it cannot be
    started.

    If this is cancelled, the program is ended. ``text`` is the program's input.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    tail = Tail(_KEPT)
    pipes = [
        asyncio.create_task(_feed(process, text)),
        asyncio.create_task(tail.follow(piped(process.stdout))),
    ]
    try:
        async with asyncio.timeout(seconds):
            code = await exited(process)
        # What it leaves running, such as ssh with ControlPersist, may keep its pipes open.
        await close_pipes(process, *pipes, seconds=_AFTERWARDS)
        return Ended(code, tail.text)
    except TimeoutError as error:
        raise TookTooLong(f"{argv[0]} was still running after {seconds:.0f} seconds") from error
    finally:
        if process.returncode is None:
            await end(process)
        await close_pipes(process, *pipes)


async def end(process: asyncio.subprocess.Process) -> None:
    """End a program started by :func:`run` or similar, with all its child processes: those that do
    not terminate on request, and those that it has left running, are killed.
    """
    if process.returncode is None:
        signal_group(process.pid, signal.SIGTERM, has_leader=True)
        await _wait(process)
    signal_group(process.pid, signal.SIGKILL, has_leader=process.returncode is None)
    await _wait(process)


def signal_group(group: int, number: int, *, has_leader: bool) -> None:
    """Send a signal to a process group that we have started, if it has members. ``has_leader``:
    its leader's exit status has not been collected yet.
    """
    with contextlib.suppress(ProcessLookupError):
        if not has_leader and exists(group):
            # The system gives a leader's number to another process only once its group is empty.
            return
        os.killpg(group, number)


def exists(process: int) -> bool:
    """Whether there is a process with this id, even one that has ended and was not waited for."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _wait(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await exited(process)


async def exited(process: asyncio.subprocess.Process) -> int:
    """Wait for the end of a program; returns its exit status.

    asyncio's own ``wait`` also waits until no other program has its pipes open.
    """
    waiting = asyncio.create_task(process.wait())
    try:
        while process.returncode is None:
            await asyncio.wait([waiting], timeout=_LOOK)
        return process.returncode
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def close_pipes(
    process: asyncio.subprocess.Process, *tasks: asyncio.Task[None], seconds: float = _GRACE
) -> None:
    """Close our ends of the pipes to a program that has ended, once these tasks have read and
    written what there is; but other programs may keep theirs open for longer than that.
    """
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    process._transport.close()  # type: ignore[attr-defined]  # asyncio has no public name for it


def processor_time(session: int) -> int | None:
    """How much processor time the programs of a session have used, in the system's ticks; ``None``
    where that cannot be found out.
    """
    used, found = 0, False
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The format is "42 (a name, perhaps with brackets) S 41 …".
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                # Its own, and that of the children that have ended.
                used, found = used + sum(map(int, fields[11:15])), True
    return used if found else None


class Tail:
    """The end of a program's output. All of it is read, or the program would block."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._kept = b""

    async def follow(self, stream: asyncio.StreamReader) -> None:
        """Read to the end."""
        while chunk := await stream.read(65_536):
            self._kept = (self._kept + chunk)[-self._most :]

    @property
    def text(self) -> str:
        """What was printed last."""
        return self._kept.decode("utf-8", errors="replace")


def piped(stream: _Stream | None) -> _Stream:
    """A stream of a process, which must have been started with a ``PIPE`` for it.

    Raises :class:`RuntimeError` otherwise.
    """
    if stream is None:
        raise RuntimeError("the process was started without this pipe")
    return stream


async def _feed(process: asyncio.subprocess.Process, text: bytes) -> None:
    stdin = piped(process.stdin)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(text)
        await stdin.drain()
    stdin.close()
