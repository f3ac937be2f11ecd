"""Runs a program from an argv list, in a process group of its own, with a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Stream = TypeVar("_Stream")

_PROJECT = Path(__file__).parents[2]
_KEPT = 200_000
_GRACE = 2.0  # less than the whole bridge has for its end


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and the last part of what it printed."""

    code: int
    text: str


class TookTooLong(Exception):
    """The program was still running after its time, and was ended."""


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a build sees of our environment: all but the bridge's own settings, and secrets.

    This project's plugin can be imported there, installed or not.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    path = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
    return {**ours, "PYTHONPATH": os.pathsep.join(path), **extra}


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run what blocks in a thread. A caller that is cancelled waits for its end all the same.

    No one else may touch the same files while it still runs.
    """
    running = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
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
    """Run a program to its end; raises :class:`TookTooLong`, and ``OSError`` if it cannot start.

    Cancelled, it takes the program along. ``text`` is what it reads.
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
    try:
        async with asyncio.timeout(seconds):
            feeding = asyncio.create_task(_feed(process, text))
            printed = await _tail(process)
            await feeding
            return Ended(await process.wait(), printed)
    except TimeoutError as error:
        raise TookTooLong(f"{argv[0]} was still running after {seconds:.0f} seconds") from error
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """End a program that :func:`run` or the like started, with all that it has started."""
    if process.returncode is not None:
        return
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await process.wait()
                return


def piped(stream: _Stream | None) -> _Stream:
    """A stream of a process that was started with a ``PIPE`` for it."""
    if stream is None:
        raise RuntimeError("the process was started without this pipe")
    return stream


async def _feed(process: asyncio.subprocess.Process, text: bytes) -> None:
    stdin = piped(process.stdin)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(text)
        await stdin.drain()
    stdin.close()


async def _tail(process: asyncio.subprocess.Process) -> str:
    """All that a program prints, of which the last part is kept."""
    stdout = piped(process.stdout)
    kept = b""
    while chunk := await stdout.read(65_536):
        kept = (kept + chunk)[-_KEPT:]
    return kept.decode("utf-8", errors="replace")
