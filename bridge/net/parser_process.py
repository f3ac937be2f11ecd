"""The process that parses untrusted pages, one after the other.

:mod:`bridge.net.sandboxed_parse` starts it and talks to it over a socket, its standard input. To
parse HTML as browsers do takes libraries that the bridge itself does without, since they take
memory, and a page made for it can keep a parser busy for minutes: here it costs the limits of this
process and nothing else. What fails ends the process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import math
import os
import resource
import socket
import struct
from typing import Any

from bridge.runtime.memory import give_back

#: Of a question: the length of what is asked, as JSON, and that of the page behind it.
QUESTION = struct.Struct(">II")
#: Of an answer: its length, as JSON, and whether there may be another question.
ANSWER = struct.Struct(">I?")

_CPU_SECONDS = 20
_MEMORY = 1024**3
#: A process that has ever used so much memory parses no other page: what is freed stays its own.
_LARGE_KILOBYTES = 150 * 1024


def main() -> None:
    """Parse pages until the bridge closes its end of the socket."""
    os.nice(10)
    with contextlib.suppress(ValueError):  # macOS takes no limit on memory
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=0) as bridge, bridge.makefile("rb") as questions:
        while head := questions.read(QUESTION.size):
            asked, page = map(questions.read, QUESTION.unpack(head))
            _limit_processor_time()
            answer = json.dumps(_parse(page, **json.loads(asked))).encode()
            bridge.sendall(ANSWER.pack(len(answer), not _is_large()) + answer)
            del asked, page, answer
            # A parsed page refers to itself all over.
            gc.collect()
            give_back()


def _parse(page: bytes, function: str, arguments: list[str]) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(page, *arguments)


def _limit_processor_time() -> None:
    """Have this process end after some more seconds of processor time: a limit for each page."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(usage.ru_utime + usage.ru_stime) + _CPU_SECONDS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _is_large() -> bool:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _LARGE_KILOBYTES


if __name__ == "__main__":
    main()
