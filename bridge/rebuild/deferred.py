"""A rebuilder that starts once the site's settings have told the output folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bridge.rebuild import BuildStatus, Rebuilder
from bridge.store import Version

_log = logging.getLogger(__name__)


class DeferredRebuilder:
    """A :class:`~bridge.rebuild.Rebuilder` that becomes another one when its folder is known.

    Loading a site takes seconds, which nothing else has to wait for: the bridge answers before.
    """

    is_local = True

    def __init__(
        self, find: Callable[[], Awaitable[Path]], make: Callable[[Path], Rebuilder]
    ) -> None:
        """``find`` tells the folder of pages, ``make`` what builds to it."""
        self._find = find
        self._make = make
        self._rebuilder: Rebuilder | None = None
        self._found = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = None

    @property
    def output(self) -> Path | None:
        """The folder of pages, once it is known."""
        return None if self._rebuilder is None else self._rebuilder.output

    @property
    def previews(self) -> Path | None:
        """The folder of the pages of private drafts, once it is known."""
        return None if self._rebuilder is None else self._rebuilder.previews

    async def start(self) -> None:
        """Begin to look for the folder, and to build as soon as it is found."""
        self._task = asyncio.create_task(self._begin(), name="rebuild later")

    def changed(self, version: Version) -> None:
        """Have this version built soon. The first build is of the newest, whatever it is."""
        if self._rebuilder is not None:
            self._rebuilder.changed(version)

    async def live(self, version: Version, page: str, seconds: float) -> bool:
        """Wait until a page shows a version, within ``seconds`` altogether."""
        begun = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._found.wait()
        if self._rebuilder is None:
            return False
        left = seconds - (time.monotonic() - begun)
        return await self._rebuilder.live(version, page, left)

    def status(self) -> BuildStatus:
        """What is going on."""
        if self._rebuilder is not None:
            return self._rebuilder.status()
        if self._problem is not None:
            return BuildStatus("failed", reason=self._problem)
        return BuildStatus("building")

    async def close(self) -> None:
        """End cleanly."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._rebuilder is not None:
            await self._rebuilder.close()

    async def _begin(self) -> None:
        try:
            self._rebuilder = self._make(await self._find())
            await self._rebuilder.start()
        except Exception as error:  # noqa: BLE001 - told at /status, with the bridge at work
            _log.exception("Building could not begin")
            self._problem = f"{type(error).__name__}: {error}"
        finally:
            self._found.set()
