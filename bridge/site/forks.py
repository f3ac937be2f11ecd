"""Starts the processes that run the site's code, as forks of one that has imported Pelican.

They share the memory of what it has imported, which it does once for all that start at about the
same time. That process itself runs none of the site's code and is not confined; its forks confine
themselves before they do. It ends soon, since its own copy of what they have changed is of no use.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import errno
import io
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.subprocess import PIPE, SubprocessStreamProtocol
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bridge.runtime.confinement import Grants
from bridge.runtime.process import exists, installed_code
from bridge.site.launch import SEARCHED_LATER, ForkOrder, encoded, program_argv, unconfined

_PROGRAM = "bridge.site.pelican.parent"
#: Variables that nothing reads before a fork has its own.
_LATER = {SEARCHED_LATER, "HOME", "TMPDIR", "PELICAN_INDIEAUTH_PREVIEWS"}
#: Seconds to wait for a fork: on a busy machine importing Pelican takes long.
_PATIENCE = 120
#: Seconds after which no other process is expected to start.
_IDLE = 10.0
#: What asyncio takes for an exit status that is not known.
_UNKNOWN = 255
#: Seconds between looks at whether a fork has ended: at first, and at most.
_LOOK, _LOOK_AGAIN = 0.01, 1.0
_PR_SET_CHILD_SUBREAPER = 36


async def start(
    module: str,
    grants: Grants | None,
    *,
    folder: Path,
    environment: Mapping[str, str],
    limit: int = 1 << 16,
    last: bool = False,
) -> asyncio.subprocess.Process:
    """Start one of our programs in a folder and in a session of its own: its ``main`` gets the
    grants by which it has to confine itself. A line that it writes may have ``limit`` bytes.
    ``last``: no other one is started soon.

    Sets have the same order in all of them, as in builds by a command. Its exit status may
    be unknown. Raises ``OSError``.
    """
    variables = {**unconfined(environment), "PYTHONHASHSEED": "0"}
    order = ForkOrder(
        module,
        (encoded(grants),),
        os.fsencode(folder),
        {os.fsencode(name): os.fsencode(value) for name, value in variables.items()},
    )
    starting = asyncio.create_task(_start(variables, msgspec.msgpack.encode(order), limit))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The caller does not get it, and cannot end it.
        starting.add_done_callback(_end)
        await asyncio.wait([starting])
        raise
    finally:
        if last:
            _PARENTS.end()
        else:
            asyncio.get_running_loop().call_later(_IDLE, _PARENTS.end, _IDLE)


async def _start(
    variables: Mapping[str, str], order: bytes, limit: int
) -> asyncio.subprocess.Process:
    loop = asyncio.get_running_loop()
    forking = loop.run_in_executor(None, _PARENTS.fork, variables, order)
    try:
        fork = await asyncio.shield(forking)
    except asyncio.CancelledError:
        # The loop is being closed.
        forking.add_done_callback(_discard)
        raise
    protocol, connected = SubprocessStreamProtocol(limit, loop), loop.create_future()
    transport = _ForkTransport(loop, protocol, connected, fork)
    try:
        await connected
    except BaseException:
        transport.close()
        raise
    return asyncio.subprocess.Process(transport, protocol, loop)


def _end(starting: asyncio.Task[asyncio.subprocess.Process]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result()._transport.close()  # type: ignore[attr-defined]


def _discard(forking: asyncio.Future[_Fork]) -> None:
    if not forking.cancelled() and forking.exception() is None:
        # It ends by itself without these.
        for pipe in forking.result().pipes:
            pipe.close()


class _Fork:
    """What asyncio's transport needs to know of a process, as :class:`subprocess.Popen` has it."""

    def __init__(self, pid: int, pipes: Sequence[io.FileIO]) -> None:
        self.pid = pid
        self.pipes = pipes
        self.stdin, self.stdout, self.stderr = pipes
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def exit_status(self) -> int | None:
        """Its exit status; ``None`` where it has not ended."""
        try:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            # It is its parent's child, or has no parent any more.
            return None if exists(self.pid) else _UNKNOWN
        return os.waitstatus_to_exitcode(status) if ended else None


class _ForkTransport(BaseSubprocessTransport):
    """The pipes of a fork, and its end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: SubprocessStreamProtocol,
        connected: asyncio.Future[None],
        fork: _Fork,
    ) -> None:
        super().__init__(
            loop, protocol, (_PROGRAM,), False, PIPE, PIPE, PIPE, 0, connected, fork=fork
        )
        try:
            tells_end = os.pidfd_open(fork.pid)
        except (AttributeError, OSError):
            # Only Linux has that, since 5.3; or it has ended already.
            self._wait_for(loop, fork, _LOOK)
        else:
            loop.add_reader(tells_end, self._ends, loop, fork, tells_end)

    def _start(self, *_: Any, **given: Any) -> None:
        self._proc = given["fork"]

    def _ends(self, loop: asyncio.AbstractEventLoop, fork: _Fork, tells_end: int) -> None:
        loop.remove_reader(tells_end)
        os.close(tells_end)
        self._wait_for(loop, fork, _LOOK)

    def _wait_for(self, loop: asyncio.AbstractEventLoop, fork: _Fork, pause: float) -> None:
        if (status := fork.exit_status()) is None:
            # Its parent's child is there until a moment after it has ended.
            loop.call_later(pause, self._wait_for, loop, fork, min(2 * pause, _LOOK_AGAIN))
        else:
            self._process_exited(status)


class _Parent:
    """The process that has imported Pelican. ``needs`` says what it was started with."""

    def __init__(self, variables: Mapping[str, str], needs: object) -> None:
        self.needs = needs
        self.used = time.monotonic()
        with contextlib.ExitStack() as ours:
            control, theirs = socket.socketpair()
            ours.enter_context(control)
            with theirs:
                self._process = subprocess.Popen(
                    program_argv(_PROGRAM, None),
                    env=dict(variables),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            ours.pop_all()
        control.settimeout(_PATIENCE)
        self._control = control

    def send(self, order: bytes, streams: Sequence[int]) -> None:
        """Ask for a fork. Raises ``ConnectionError`` if the process has ended, ``TimeoutError`` if
        it hangs.
        """
        self.used = time.monotonic()
        socket.send_fds(self._control, [len(order).to_bytes(4, "big")], streams)
        self._control.sendall(order)

    def end(self) -> None:
        """Kill the process. Its forks go on, as children of this process where that is possible."""
        with _adopting():
            # Without this socket it ends by itself.
            self._control.close()
            self._process.kill()
            self._process.wait()


class _Parents:
    """One at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parent: _Parent | None = None

    def fork(self, variables: Mapping[str, str], order: bytes) -> _Fork:
        """A new fork. Blocks. Raises ``OSError``."""
        needs = (
            # After an upgrade, what starts uses what is installed now.
            installed_code(),
            {name: value for name, value in variables.items() if name not in _LATER},
        )
        with self._lock:
            try:
                return self._ask(variables, needs, order)
            except ConnectionError:
                # It was killed, for its memory perhaps.
                return self._ask(variables, needs, order)

    def end(self, idle: float = 0) -> None:
        """End the process, if nothing has been forked for ``idle`` seconds."""
        if not self._lock.acquire(blocking=False):
            return  # it is forking
        try:
            if self._parent is not None and time.monotonic() - self._parent.used >= idle:
                self._end()
        finally:
            self._lock.release()

    def _ask(self, variables: Mapping[str, str], needs: object, order: bytes) -> _Fork:
        if self._parent is None or self._parent.needs != needs:
            self._end()
            self._parent = _Parent(variables, needs)
        with contextlib.ExitStack() as ours:
            try:
                with contextlib.ExitStack() as theirs:
                    stdin, to_stdin = _pipe(theirs, ours)
                    from_stdout, stdout = _pipe(ours, theirs)
                    from_stderr, stderr = _pipe(ours, theirs)
                    told, telling = _pipe(ours, theirs)
                    pipes = (stdin, stdout, stderr, telling)
                    self._parent.send(order, [each.fileno() for each in pipes])
                pid = _pid(told)
            except TimeoutError as error:
                self._end()
                reason = "Pelican could not be imported in time"
                raise TimeoutError(errno.ETIMEDOUT, reason) from error
            except ConnectionError as error:
                self._end()
                reason = "the process that imports Pelican has ended"
                raise ConnectionResetError(errno.ECONNRESET, reason) from error
            told.close()
            ours.pop_all()
        return _Fork(pid, (to_stdin, from_stdout, from_stderr))

    def _end(self) -> None:
        if self._parent is not None:
            self._parent.end()
            self._parent = None


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Within the block, children of a child that ends become children of this process: who ends
    this one finds them. Only Linux can do that.
    """
    if sys.platform != "linux":
        yield
        return
    prctl: Any = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _pipe(reads: contextlib.ExitStack, writes: contextlib.ExitStack) -> tuple[io.FileIO, io.FileIO]:
    """A pipe, whose ends are closed with these."""
    read, write = os.pipe()
    return (
        reads.enter_context(io.FileIO(read, "r")),
        writes.enter_context(io.FileIO(write, "w")),
    )


def _pid(told: io.FileIO) -> int:
    """The process id that a fork tells first, or its parent the error that there is none."""
    waiting = select.poll()
    waiting.register(told, select.POLLIN)
    if not waiting.poll(_PATIENCE * 1000):
        raise TimeoutError
    if not (number := told.read(4)):
        raise ConnectionResetError
    pid = int.from_bytes(number, "big", signed=True)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return pid


_PARENTS = _Parents()
atexit.register(_PARENTS.end)
