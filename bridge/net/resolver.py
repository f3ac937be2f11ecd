"""Looks up host names in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from bridge.runtime.threads import start

#: Concurrent lookups. Further ones wait; every caller has a timeout.
_MOST = 16

_Found = list[tuple[Any, ...]]


class Resolver(AbstractResolver):
    """The system's resolver, called in daemon threads.

    A lookup that hangs cannot be cancelled. In the event loop's own few threads, a handful would
    delay all other work that is done there, and the end of the process.
    """

    def __init__(
        self, getaddrinfo: Callable[..., _Found] = socket.getaddrinfo, *, most: int = _MOST
    ) -> None:
        """``most`` lookups run at once."""
        self._getaddrinfo = getaddrinfo
        self._free = asyncio.Semaphore(most)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises OSError if it has none."""
        await self._free.acquire()
        found: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        arguments = (host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        thread = threading.Thread(target=self._look_up, args=(found, arguments), daemon=True)
        try:
            start(thread)
        except OSError:
            self._free.release()
            raise
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in await found
        ]

    async def close(self) -> None:
        """Nothing to do: lookups end by themselves."""

    def _look_up(self, found: asyncio.Future[_Found], arguments: tuple[object, ...]) -> None:
        """Runs in a thread."""
        result: _Found = []
        error: Exception | None = None
        try:
            result = self._getaddrinfo(*arguments)
        except (OSError, UnicodeError) as failed:
            error = OSError(str(failed))
        with contextlib.suppress(RuntimeError):  # the loop has been closed since
            found.get_loop().call_soon_threadsafe(self._finish, found, result, error)

    def _finish(
        self, found: asyncio.Future[_Found], result: _Found, error: Exception | None
    ) -> None:
        self._free.release()
        if found.done():
            return  # its caller has given up
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(result)
