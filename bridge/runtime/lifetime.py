"""Closes the parts of an application at shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any, TypeVar

log = logging.getLogger(__name__)

#: Seconds for each part to close. Most need none; :mod:`bridge.runtime.shutdown` limits all
#: together.
_CLOSE_SECONDS = 4.0

_T = TypeVar("_T")


class Lifetime:
    """Closes the parts of an application when it ends, in reverse order of opening."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    def close_later(self, close: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Have a part closed when the application ends. No part can delay the others for long."""
        self._stack.push_async_callback(_close, close)

    def run(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Run something as long as the application runs."""
        task = asyncio.create_task(work, name=name)

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self.close_later(end)

    async def enter(self, part: AbstractAsyncContextManager[_T]) -> _T:
        """Enter a context manager that is exited at shutdown."""
        return await self._stack.enter_async_context(part)


async def _close(close: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Close a part; one that takes too long is left behind.

    ``asyncio.timeout`` would wait until the part has reacted to being cancelled.
    """
    closing = asyncio.create_task(close())
    await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
    if not closing.done():
        log.warning(
            "%s takes too long to close and is abandoned", getattr(close, "__qualname__", close)
        )
        return
    closing.result()
