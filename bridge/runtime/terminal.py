"""Untrusted texts on the owner's terminal, and in the log.

A post, a plugin or a stranger's page may hold codes that control a terminal, or line ends that
make a line of the log look like one of the bridge's own. And what reads the log may stop reading.
"""

from __future__ import annotations

import logging
import os
import re
import select
import sys
from contextlib import suppress
from typing import TextIO

#: Control characters but tab, line separators, and what changes the direction of what follows.
_CONTROL = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str, *, indent: str | None = None) -> str:
    """The text with escapes in place of control characters: ``\\x1b``.

    With ``indent`` lines stay lines; all but the first begin with it.
    """
    lines = [text] if indent is None else text.split("\n")
    escaped = (_CONTROL.sub(lambda found: repr(found[0])[1:-1], line) for line in lines)
    return f"\n{indent}".join(escaped)


class TerminalOutput:
    """Writes to a stream, such as a pipe to another program, without waiting for its reader.

    One that stops reading would otherwise block the bridge. It is waited for once; after that,
    output is dropped until it reads again.
    """

    def __init__(self, stream: TextIO | None, *, patience: float = 0.5) -> None:
        """``patience`` is in seconds. ``None`` stands for a stream that is closed."""
        self._stream = stream
        self._patience = patience
        self._left = patience

    def write(self, text: str) -> None:
        """Write a text, or as much of it as is taken. Raises ``OSError``."""
        if self._stream is None:
            return
        try:
            file = self._stream.fileno()
        except (OSError, ValueError):
            # Not a file: it takes everything.
            self._stream.write(text)
            return
        data = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
        while data and self._is_ready(file):
            self._stream.flush()
            # A pipe that is ready takes as much as this at once.
            data = data[os.write(file, data[: select.PIPE_BUF]) :]

    def _is_ready(self, file: int) -> bool:
        poll = select.poll()
        poll.register(file, select.POLLOUT)
        is_ready = bool(poll.poll(1000 * self._left))
        self._left = self._patience if is_ready else 0
        return is_ready


class LogHandler(logging.Handler):
    """Writes the log to the standard error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._output = TerminalOutput(stream or sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; where that fails, there is no place to say so."""
        try:
            text = f"{self.format(record)}\n"
        except Exception:  # noqa: BLE001 - as in every handler of the standard library
            self.handleError(record)
            return
        with suppress(OSError, ValueError):
            self._output.write(text)


def tell(text: str) -> None:
    """Print lines to the standard output, which may be closed, full, or not be read."""
    with suppress(OSError, ValueError):
        TerminalOutput(sys.stdout).write(f"{text}\n")


class LogFormat(logging.Formatter):
    """Only the first line of a record begins like one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        return visible(super().format(record), indent="    ")
