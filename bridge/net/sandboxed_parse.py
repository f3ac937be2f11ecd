"""Parses untrusted pages and pictures in subprocesses with limits of time and memory.

The process that parses pages (:mod:`bridge.net.parser_process`) is reused for a while: starting one
takes a third of a second of processor time, ten times as long as parsing a page.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bridge.net.parser_process import ANSWER, QUESTION

log = logging.getLogger(__name__)

_PROJECT = Path(__file__).parents[2]
#: How long an idle process is kept, and how many of them.
_IDLE_SECONDS = 60.0
_MOST_IDLE = 2


async def parse_in_subprocess(function: str, *arguments: str, page: bytes, seconds: float) -> Any:
    """Call ``function`` (``"package.module:name"``) with the page and ``arguments`` in another
    process.

    Returns its result, as JSON has it, or ``None`` if it fails or exceeds its limits of time and
    memory. Cancelling this ends the call.
    """
    try:
        parser = _parsers.take()
    except OSError as error:
        log.warning("no process can be started for %s: %s", function, error)
        return None
    keep = False
    try:
        async with asyncio.timeout(seconds):
            answer, keep = await parser.ask(function, arguments, page)
    except TimeoutError:
        log.info("%s took too long", function)
        return None
    except (OSError, EOFError):
        # A process that exceeds its limits is killed.
        return None
    finally:
        if keep:
            _parsers.put_back(parser)
        else:
            await asyncio.to_thread(parser.end)
    return json.loads(answer)


class _Parser:
    """A process that parses pages, with this end of the socket to it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*_PYTHON, "-m", "bridge.net.parser_process"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        self._socket.setblocking(False)
        self.since = time.monotonic()

    async def ask(
        self, function: str, arguments: tuple[str, ...], page: bytes
    ) -> tuple[bytes, bool]:
        """Parse a page; returns the result, and whether the process takes another page.

        Raises ``OSError`` or ``EOFError`` if the process has ended.
        """
        request = json.dumps({"function": function, "arguments": arguments}).encode()
        data = QUESTION.pack(len(request), len(page)) + request + page
        await asyncio.get_running_loop().sock_sendall(self._socket, data)
        size, more = ANSWER.unpack(await self._receive(ANSWER.size))
        return await self._receive(size), more

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    async def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            some = await asyncio.get_running_loop().sock_recv(self._socket, size - len(received))
            if not some:
                raise EOFError
            received += some
        return bytes(received)


class _Parsers:
    """The idle processes; one pool for the whole bridge."""

    def __init__(self) -> None:
        self._idle: list[_Parser] = []

    def take(self) -> _Parser:
        """An idle process, or a new one."""
        while self._idle:
            parser = self._idle.pop()
            if not parser.has_ended():
                return parser
            parser.end()
        return _Parser()

    def put_back(self, parser: _Parser) -> None:
        """Keep a process for the next page, for a while."""
        parser.since = time.monotonic()
        self._idle.append(parser)
        while len(self._idle) > _MOST_IDLE:
            self._idle.pop(0).end()
        asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._end_idle)

    def end_all(self) -> None:
        """End all idle processes."""
        while self._idle:
            self._idle.pop().end()

    def _end_idle(self) -> None:
        while self._idle and time.monotonic() - self._idle[0].since >= _IDLE_SECONDS:
            self._idle.pop(0).end()


_parsers = _Parsers()
atexit.register(_parsers.end_all)


async def run_in_subprocess(*arguments: str, data: bytes, seconds: float) -> bytes | None:
    """Run a Python program on ``data``; returns its output, or ``None`` if it fails or takes too
    long.

    ``arguments`` are ``-m`` and a module, and the program's own. It limits its own memory and
    processor time. Cancelling this ends it.
    """
    process = await asyncio.create_subprocess_exec(
        *_PYTHON,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(data)
    except TimeoutError:
        log.info("%s took too long", " ".join(arguments))
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # A process over its limits is killed.
    return output if process.returncode == 0 else None


#: ``-P``: nothing is imported from wherever the bridge was started.
_PYTHON = (sys.executable, "-P", "-W", "ignore")


def _environment() -> dict[str, str]:
    """An environment without secrets, in which the bridge's modules can be imported."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    search = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
    return {**ours, "PYTHONPATH": os.pathsep.join(search)}
