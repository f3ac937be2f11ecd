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

log = logging.getLogger(__name__)


class LastResort:
    """Ends the process by force if it has not ended some seconds after a signal.

    It waits in a thread, because the event loop itself may hang.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting, self._telling = os.pipe()
        threading.Thread(target=self._watch, name="last resort", daemon=True).start()

    def begin(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Start counting. Safe in a signal handler: it takes no lock."""
        del number, frame
        os.write(self._telling, b"!")

    def _watch(self) -> None:
        os.read(self._waiting, 1)
        time.sleep(self._seconds)
        log.error(
            "shutdown took longer than %g seconds and is forced; still running:", self._seconds
        )
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        kill_descendants(os.getpid())
        os._exit(1)


def kill_descendants(ancestor: int) -> None:
    """End all child processes, as far as ``/proc`` lists them."""
    parents = dict[int, int]()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # The format is "42 (a name, perhaps with brackets) S 41 …".
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = [ancestor]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    for process in found[1:]:
        with suppress(ProcessLookupError, PermissionError):
            # A build leads a process group of its own, which may have further members.
            if os.getpgid(process) == process:
                os.killpg(process, signal.SIGKILL)
            os.kill(process, signal.SIGKILL)
