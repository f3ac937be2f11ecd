"""The program that imports Pelican, and of which every process that runs the site's code is a fork.

It runs none of the site's code. It gets orders and the pipes of forks through the socket that is
its standard input.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import os
import signal
import socket
import sys
import time
from typing import Any

import msgspec

from bridge.runtime.release_memory import release_memory
from bridge.site.launch import ForkOrder

#: Imported before the first order, which may come later.
_FIRST = "bridge.site.pelican.serve"
_PIPES = 4
#: What Python itself sets when it starts: this one where the language is C, or is not on this
#: machine. A fork's is that of its parent, which was started with the same language.
_PYTHONS_OWN = {b"LC_CTYPE"}
_PR_SET_NAME = 15


def main() -> int:
    """Fork until the bridge ends. Returns the exit status; in a fork, that of its program."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no fork is waited for
    control = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a file descriptor
        os.dup2(nothing.fileno(), 0)
    _import(_FIRST)
    while True:
        order, pipes = _receive(control)
        if order is None:
            return 0
        _import(order.module)
        if _fork(pipes):
            control.close()
            return _become(order)


def _receive(control: socket.socket) -> tuple[ForkOrder | None, list[int]]:
    size, pipes, _, _ = socket.recv_fds(control, 4, _PIPES)
    data = bytearray()
    while size and len(data) < int.from_bytes(size, "big"):
        if not (more := control.recv(1 << 20)):
            return None, pipes
        data += more
    return (msgspec.msgpack.decode(data, type=ForkOrder) if size else None), pipes


def _fork(pipes: list[int]) -> bool:
    """Fork; whether this is the fork, with its standard streams. It tells its process id through
    the last of the pipes.
    """
    telling = pipes[-1]
    try:
        pid = os.fork()
    except OSError as error:
        _tell(telling, -(error.errno or errno.EAGAIN))
        pid = -1
    if pid:
        for pipe in pipes:
            os.close(pipe)
        return False
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    _tell(telling, os.getpid())
    os.close(telling)
    for number, pipe in enumerate(pipes[:-1]):
        os.dup2(pipe, number)
        os.close(pipe)
    return True


def _import(module: str) -> None:
    """Import a module that forks share. If that fails, the fork fails alike, and says why."""
    if module in sys.modules:
        return
    with contextlib.suppress(Exception):
        importlib.import_module(module)
    gc.collect()
    # Collecting garbage in a fork would write to the memory that it shares.
    gc.freeze()
    release_memory()


def _tell(pipe: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the bridge no longer waits for this fork
        os.write(pipe, number.to_bytes(4, "big", signed=True))


def _become(order: ForkOrder) -> int:
    """Do what the program would do that is started like this; returns its exit status."""
    os.chdir(order.folder)
    own = {name: os.environb[name] for name in _PYTHONS_OWN & os.environb.keys()}
    wanted = {**order.environment, **own}
    for name in os.environb.keys() - wanted.keys():
        del os.environb[name]
    os.environb.update(wanted)
    time.tzset()
    sys.argv = [order.module, *order.arguments]
    if sys.platform == "linux":
        prctl: Any = ctypes.CDLL(None).prctl
        prctl(_PR_SET_NAME, os.fsencode(order.module)[-15:], 0, 0, 0)
    code: int = importlib.import_module(order.module).main(list(order.arguments))
    return code


if __name__ == "__main__":
    sys.exit(main())
