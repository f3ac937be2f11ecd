"""Programs that tests start: a port for one, and whether it runs."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from pathlib import Path

_GIVEN = set[int]()


def port_of_its_own() -> int:
    """A free port of 127.0.0.1 for a program that must be given its number. Linux assigns only
    ports from 32768 on: no server of another test gets this one before the program listens.
    """
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(10_000)
        if port in _GIVEN:  # a program that was told it may not listen yet
            continue
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _GIVEN.add(port)
            return port
    raise AssertionError("no port is free")


def is_running(pid: int) -> bool:
    """Whether a process runs, or is stopped; one that has ended and was not waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # gone before, or after, it was opened
        return False
