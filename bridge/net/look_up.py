"""Looks up a host name in a thread that may wait for it, without aiohttp."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

_SECONDS = 5.0


def look_up(
    host: str,
    port: int,
    *,
    seconds: float = _SECONDS,
    getaddrinfo: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo,
) -> list[str]:
    """The addresses of a host.

    Raises OSError where it has none, and after ``seconds``: the end of the bridge waits for the
    thread that calls this, and the system's own limits are longer.
    """
    found, reason = set[str](), ["no answer came in time"]

    def work() -> None:
        try:
            answers = getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.update(str(address[0]) for *_, address in answers)
        except (OSError, UnicodeError) as error:
            reason[0] = str(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive() or not found:
        raise OSError(reason[0])
    return sorted(found)
