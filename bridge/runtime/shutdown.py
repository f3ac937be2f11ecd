"""Ends the process in time, even if something hangs.

Threads cannot be stopped from outside, nor can a build that ignores signals, so closing everything
in order may never finish. Whatever was acknowledged is on disk by then.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from bridge.runtime.threads import start

_AGAIN = 0.25  # seconds
#: As much of a pause counts, however long it was: while the machine stands still, as a virtual one
#: may for seconds, nothing could have ended.
_MOST_COUNTED = 1.0

log = logging.getLogger(__name__)


class LastResort:
    """Ends what hangs by force: some seconds after a signal the child processes, for which tasks
    and threads may wait, and some seconds later the process itself.

    It waits in a thread, because the event loop itself may hang.
    """

    def __init__(self, seconds: float, *, children: float) -> None:
        """``children`` is after how many of the ``seconds`` child processes are killed."""
        self._seconds = seconds
        self._children = children
        self._waiting, self._telling = os.pipe()
        start(threading.Thread(target=self._watch, name="last resort", daemon=True))

    def begin(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Start counting. Safe in a signal handler: it takes no lock."""
        del number, frame
        os.write(self._telling, b"!")

    def _watch(self) -> None:
        os.read(self._waiting, 1)
        try:
            self._wait()
            log.error(
                "shutdown took longer than %g seconds and is forced; still running:", self._seconds
            )
            _tell_where()
            kill_descendants(os.getpid())
        finally:
            # Also where memory is too short for what comes before.
            os._exit(1)

    def _wait(self) -> None:
        passed, before = 0.0, time.monotonic()
        while passed < self._seconds:
            # A task whose program was killed may go on and start the next one.
            with suppress(MemoryError):
                if passed >= self._children and (count := kill_descendants(os.getpid())):
                    log.warning("shutdown has to end programs that hang: %d", count)
            time.sleep(_AGAIN)
            # On a busy machine pauses are longer, and looking for programs takes time as well.
            now = time.monotonic()
            passed += min(now - before, _MOST_COUNTED)
            before = now


def _tell_where() -> None:
    """Print what each thread is doing, as far as that can be done without waiting: all threads
    are stopped at the same time, and the output can be a pipe that nothing reads.
    """
    with suppress(OSError, ValueError, AttributeError):
        output = sys.stderr.fileno()
        os.set_blocking(output, False)
        faulthandler.dump_traceback(output, all_threads=True)


def kill_descendants(ancestor: int) -> int:
    """End all child processes, as far as ``/proc`` lists them; returns how many there were."""
    parents = dict[int, int]()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # The format is "42 (a name, perhaps with brackets) S 41 …".
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(entry.parent.name)] = int(parent)
    found = [ancestor]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    for process in found[1:]:
        with suppress(ProcessLookupError, PermissionError):
            # A build leads a process group of its own, which may have further members.
            if os.getpgid(process) == process:
                os.killpg(process, signal.SIGKILL)
            os.kill(process, signal.SIGKILL)
    return len(found) - 1
