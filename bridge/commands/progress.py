"""Progress of long steps: an updated line in a terminal, plain lines elsewhere.

Written to standard error, so that programs can read a command's output.
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

#: Seconds after which progress is shown, and between two plain lines.
_AFTER = 1.0
_BETWEEN = 10.0
#: Seconds after which a step without details says how long it takes already.
_EVERY = 30.0


@contextmanager
def step(
    what: str,
    *,
    out: TextIO | None = None,
    after: float = _AFTER,
    between: float = _BETWEEN,
    every: float = _EVERY,
) -> Iterator[Callable[[str], None]]:
    """Show the progress of the enclosed step if it takes longer than ``after`` seconds.

    ``what`` is a phrase such as "Cloning the site". The yielded function is called with details.
    Where it is not, the time is shown ``every`` so many seconds.
    """
    progress, ended = _Progress(what, out or sys.stderr, between), threading.Event()

    def show() -> None:
        if ended.wait(after):
            return
        progress.begin()
        while not ended.wait(every):
            progress.tell_time()

    threading.Thread(target=show, name="progress", daemon=True).start()
    try:
        yield progress.update
    finally:
        ended.set()
        progress.end()


class _Progress:
    """The progress output of one step."""

    def __init__(self, what: str, out: TextIO, between: float) -> None:
        self._what = what
        self._out = out
        self._between = between
        self._detail = ""
        self._began = time.monotonic()
        self._last = 0.0
        self._stop: Callable[[], None] | None = None
        self._update: Callable[[str], None] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Show the step."""
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

    def update(self, detail: str) -> None:
        """Show the details."""
        with self._lock:
            self._detail = detail
            if self._update is not None:
                self._update(self._line())

    def tell_time(self) -> None:
        """Show for how long the step has run, unless its details show that it goes on."""
        with self._lock:
            if self._update is not None and not self._ended and not self._detail:
                seconds = time.monotonic() - self._began
                self._update(f"{self._what}: for {seconds:.0f} seconds …")

    def end(self) -> None:
        """End the output."""
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
