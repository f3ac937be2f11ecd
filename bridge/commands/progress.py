"""Progress of long steps: a moving line on a terminal, plain lines elsewhere.

On standard error, so that what a command prints can be read by programs.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.markup import escape

#: Seconds after which a step is worth a word, and between plain lines about how far it has come.
_AFTER = 1.0
_BETWEEN = 10.0


@contextmanager
def step(
    what: str, *, out: TextIO | None = None, after: float = _AFTER, between: float = _BETWEEN
) -> Iterator[Callable[[str], None]]:
    """Around something that may take more than a second; call what it yields with how far it is.

    ``what`` is a phrase such as "Cloning the site".
    """
    said = _Said(what, out or sys.stderr, between)
    timer = threading.Timer(after, said.begin)
    timer.daemon = True
    timer.start()
    try:
        yield said.tell
    finally:
        timer.cancel()
        said.end()


class _Said:
    """What has been said of one step."""

    def __init__(self, what: str, out: TextIO, between: float) -> None:
        self._what = what
        self._out = out
        self._between = between
        self._detail = ""
        self._last = 0.0
        self._stop: Callable[[], None] | None = None
        self._update: Callable[[str], None] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """It takes a while."""
        with self._lock:
            if self._ended:
                return
            if self._out.isatty():
                status = Console(file=self._out).status(escape(self._line()))
                status.start()
                self._stop = status.stop
                self._update = lambda line: status.update(escape(line))
            else:
                self._update = self._print
                self._print(self._line())

    def tell(self, detail: str) -> None:
        """How far it has come."""
        with self._lock:
            self._detail = detail
            if self._update is not None:
                self._update(self._line())

    def end(self) -> None:
        """It is done, or has failed."""
        with self._lock:
            self._ended = True
            if self._stop is not None:
                self._stop()

    def _line(self) -> str:
        return f"{self._what}{f': {self._detail}' if self._detail else ''} …"

    def _print(self, line: str) -> None:
        now = time.monotonic()
        if not self._last or now - self._last >= self._between:
            self._last = now
            print(line, file=self._out, flush=True)
