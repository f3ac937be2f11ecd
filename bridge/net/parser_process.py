"""The process that parses untrusted pages, one after the other.

:mod:`bridge.net.sandboxed_parse` starts it and talks to it over a socket, its standard input. HTML
parsers that follow the HTML standard need libraries that take much memory, and a hostile page can
keep one busy for minutes: here only this process pays for both. Whatever fails ends the process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import math
import os
import re
import resource
import socket
import struct
from pathlib import Path
from typing import Any

from bridge.runtime.release_memory import release_memory

#: The header of a request: the lengths of its JSON and of the page that follows.
QUESTION = struct.Struct(">II")
#: The header of a response: the length of its JSON, and whether the process takes another request.
ANSWER = struct.Struct(">I?")

_CPU_SECONDS = 20
_MEMORY = 1024**3
#: A process that ever used this much memory parses no other page: Python rarely returns memory to
#: the system.
_LARGE_KILOBYTES = 150 * 1024


def main() -> None:
    """Parse pages until the bridge closes its end of the socket."""
    os.nice(10)
    with contextlib.suppress(ValueError):  # macOS takes no limit on memory
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=0) as bridge, bridge.makefile("rb") as questions:
        while head := questions.read(QUESTION.size):
            request, page = map(questions.read, QUESTION.unpack(head))
            _limit_processor_time()
            answer = json.dumps(_parse(page, **json.loads(request))).encode()
            bridge.sendall(ANSWER.pack(len(answer), not _is_large()) + answer)
            del request, page, answer
            # A parsed page contains reference cycles.
            gc.collect()
            release_memory()


def _parse(page: bytes, function: str, arguments: list[str]) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(page, *arguments)


def _limit_processor_time() -> None:
    """Set a limit of processor time for the next page; the process is killed when it is reached."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(usage.ru_utime + usage.ru_stime) + _CPU_SECONDS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _is_large() -> bool:
    # On Linux the figure of getrusage begins with that of the program that started this one.
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_bytes()
        if peak := re.search(rb"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
            return int(peak[1]) > _LARGE_KILOBYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _LARGE_KILOBYTES


if __name__ == "__main__":
    main()
