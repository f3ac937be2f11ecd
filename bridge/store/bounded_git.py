"""Runs git with limits of time.

A git process that hangs is terminated, and is never mistaken for one that failed. GitPython's own
limit looks like a failure of the command, which may have a meaning: a merge with conflicts, a
setting that is not there. It also leaves a thread behind that the end of the bridge would wait for.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from git import Git, GitCommandError, Repo

from bridge.runtime.process import processor_time, signal_group
from bridge.store import StoreBroken

#: How long a command may stall: no use of the processor, by it or its children. One that makes
#: progress may take longer: a large file over a slow connection takes hours.
SECONDS = 300.0
_LONGEST = 6 * 3600.0
_LOOK = 5.0
_GRACE = 0.5  # for git to clean up
_UNKILLABLE = 5.0
_CHUNK = 1 << 16  # bytes: as many as a pipe holds
#: The bridge's own repos run no hooks that the owner has for every repo: they are for work, and may
#: ask, wait or refuse. Nor does git sign a push, which asks for a password.
_UNATTENDED = ("-c", f"core.hooksPath={os.devnull}", "-c", "push.gpgSign=false")


class BoundedGit(Git):
    """GitPython's, except that no command runs hooks, or stands still for longer than
    ``kill_after_timeout`` seconds (by default :data:`SECONDS`).

    Raises :class:`StoreBroken` if git was ended for that, or by any signal. A
    process that is returned itself (``as_process``) has no limit.
    """

    def execute(  # type: ignore[override]  # GitPython has an overload for each kind of result
        self,
        command: str | Sequence[Any],
        *,
        as_process: bool = False,
        kill_after_timeout: float | None = None,
        stdout_as_string: bool = True,
        strip_newline_in_stdout: bool = True,
        with_exceptions: bool = True,
        **options: Any,
    ) -> Any:
        """Run a command; returns what it printed."""
        if command[0] in {"git", self.GIT_PYTHON_GIT_EXECUTABLE}:
            command = [command[0], *_UNATTENDED, *command[1:]]
        if as_process:
            return super().execute(command, as_process=True, **options)
        seconds = SECONDS if kill_after_timeout is None else kill_after_timeout
        process: Any = super().execute(command, as_process=True, start_new_session=True, **options)
        try:
            out, err = communicate(process, seconds)
        except TimeoutError as error:
            raise StoreBroken(f"{_name(command)} {error}") from error
        finally:
            kill(process)
        status: int = process.returncode
        if status < 0:
            raise StoreBroken(f"{_name(command)} was ended by signal {-status}")
        if status and with_exceptions:
            raise GitCommandError(process.args, status, err.removesuffix(b"\n"), out)
        if strip_newline_in_stdout:
            out = out.removesuffix(b"\n")
        return os.fsdecode(out) if stdout_as_string else out


class BoundedRepo(Repo):
    """A repo whose commands are bounded."""

    GitCommandWrapperType = BoundedGit


def communicate(process: Any, seconds: float = SECONDS, stdin: bytes = b"") -> tuple[bytes, bytes]:
    """What a git process that leads a session of its own prints until its end.

    ``stdin`` is what it reads. Raises :class:`TimeoutError` if it has stalled for ``seconds``: it
    is still running then.
    """
    begun = since = time.monotonic()
    used: int | None = None
    given: bytes | None = stdin
    while True:
        try:
            out, err = process.communicate(given, timeout=min(_LOOK, seconds))
        except subprocess.TimeoutExpired as error:
            given, before, used = None, used, processor_time(process.pid)
            now = time.monotonic()
            since = since if used == before else now
            if now - since >= seconds:
                raise TimeoutError(f"stood still for {seconds:g} seconds") from error
            if now - begun >= _LONGEST:
                raise TimeoutError(f"took longer than {_LONGEST:g} seconds") from error
        else:
            return out, err


def receive(file: int, seconds: float) -> bytes:
    """Some more of what a git process prints; ``b""`` at the end.

    Raises :class:`TimeoutError` after ``seconds`` without any.
    """
    coming = select.poll()
    coming.register(file, select.POLLIN)
    if not coming.poll(1000 * seconds):
        raise TimeoutError(f"git did not answer within {seconds:g} seconds")
    return os.read(file, _CHUNK)


def terminate(process: Any) -> None:
    """End a git process that leads a process group, with its children: first by request, then by
    force. ``process`` is GitPython's, which it does not annotate.
    """
    for kind in (signal.SIGTERM, signal.SIGKILL):
        signal_group(process.pid, kind, has_leader=process.proc.poll() is None)
        with suppress(subprocess.TimeoutExpired):
            process.proc.wait(_GRACE)
            if kind == signal.SIGTERM:
                continue
            return


def kill(process: Any) -> None:
    """End a git process by force, with its children if it leads a process group, and close its
    pipes.

    Once nothing refers to a process, GitPython terminates it and waits: that would never end for
    one that hangs.
    """
    running = process.proc
    if running is None:
        return
    if running.poll() is None:
        with suppress(ProcessLookupError):
            if os.getpgid(running.pid) == running.pid:
                os.killpg(running.pid, signal.SIGKILL)
        running.kill()
        try:
            running.wait(_UNKILLABLE)
        except subprocess.TimeoutExpired:
            process.proc = None  # it waits for a disk that is gone: GitPython waits for it no more
    for pipe in filter(None, (running.stdin, running.stdout, running.stderr)):
        with suppress(BrokenPipeError):
            pipe.close()


def _name(command: str | Sequence[Any]) -> str:
    """``git`` and its subcommand, for messages."""
    words = command.split() if isinstance(command, str) else [*map(str, command)]
    skip = False
    for word in words[1:]:
        if not skip and not word.startswith("-"):
            return f"git {word}"
        skip = word in {"-c", "-C"}
    return "git"
