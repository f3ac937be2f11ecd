"""Cleans uploads in subprocesses: a limited number at once, for a limited time, one large
photo at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec.structs import asdict

from bridge.errors import PayloadTooLarge, Unavailable
from bridge.media.formats.picture import REFUSALS, PhotoRules, Picture
from bridge.media.formats.sniff import Kind
from bridge.runtime.threads import APP, Turns

log = logging.getLogger(__name__)

_PROGRAM = "bridge.media.formats.clean"
_PROJECT = Path(__file__).parents[2]


class Cleaner:
    """Cleans uploads by these rules.

    ``processor_seconds`` limits the processor time of one file, ``seconds`` its elapsed time on a
    busy machine, where it may be sent again. After ``patience`` seconds a file counts as slow and
    gives its place to others: ``slow`` of them may run in addition to the ``at_once`` regular ones.
    At most ``most_waiting`` files wait for a place, those of each app in turn, none longer than
    ``waiting`` seconds. A file whose client has disconnected is still processed, so that a retry
    finds it done.
    """

    def __init__(
        self,
        rules: PhotoRules,
        *,
        processor_seconds: int = 60,
        seconds: float = 180.0,
        patience: float = 2.0,
        at_once: int = 2,
        slow: int = 2,
        waiting: float = 120.0,
        most_waiting: int = 30,
    ) -> None:
        self._rules = rules
        self._processor_seconds = processor_seconds
        self._seconds = seconds
        self._patience = patience
        self._turns = Turns(at_once)
        self._waiting = waiting
        self._may_wait = most_waiting
        #: How many files of each app wait.
        self._of_apps = Counter[int]()
        self._slow_left = slow
        self._one_large = asyncio.Lock()

    async def clean(self, data: bytes, kind: Kind) -> Picture:
        """Run :func:`bridge.media.formats.clean.clean` on a file.

        Cancelling ends the subprocess. Raises what that function raises, :class:`PayloadTooLarge`
        for a file that costs too much time or memory, and :class:`Unavailable` where too many files
        wait, or the machine is too busy.
        """
        async with self._turn():
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # ``-P``: nothing is imported from the current folder.
                *("-P", "-W", "ignore", "-m", _PROGRAM),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
            try:
                return await self._answer(process, data, kind)
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        app = APP.get()
        # One app alone leaves a third of the queue to others.
        if not self._may_wait or 2 * self._may_wait <= self._of_apps[app]:
            raise _too_many()
        self._may_wait -= 1
        self._of_apps[app] += 1
        try:
            async with asyncio.timeout(self._waiting):
                await self._turns.acquire()
        except TimeoutError as error:
            raise _too_many() from error
        finally:
            self._may_wait += 1
            self._of_apps -= Counter([app])
        held = True

        def lower_priority() -> None:
            nonlocal held
            if self._slow_left:
                self._slow_left -= 1
                held = False
                self._turns.release()

        timer = asyncio.get_running_loop().call_later(self._patience, lower_priority)
        try:
            yield
        finally:
            timer.cancel()
            if held:
                self._turns.release()
            else:
                self._slow_left += 1

    async def _answer(
        self, process: asyncio.subprocess.Process, data: bytes, kind: Kind
    ) -> Picture:
        request = {
            "kind": kind.extension,
            "rules": asdict(self._rules),
            "seconds": self._processor_seconds,
            "sizes": [len(data)],
        }
        stdin, stdout = process.stdin, process.stdout
        try:
            if stdin is None or stdout is None:
                raise ValueError("no pipes")
            async with contextlib.AsyncExitStack() as stack:
                deadline = await stack.enter_async_context(asyncio.timeout(self._seconds))
                stdin.write(json.dumps(request).encode() + b"\n" + data)
                await stdin.drain()
                reply = json.loads(await stdout.readline())
                if reply.get("wait"):
                    # Waiting for another large photo does not count as this one's time.
                    deadline.reschedule(None)
                    await stack.enter_async_context(self._one_large)
                    deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
                    stdin.write(b'{"sizes": []}\n')
                    reply = json.loads(await stdout.readline())
                if "refused" in reply:
                    raise REFUSALS[reply["refused"]](reply["why"])
                whole, *copies = [await stdout.readexactly(size) for size in reply["sizes"]]
        except TimeoutError as error:
            raise Unavailable(
                "This file was not processed in time: the machine is busy. Send it again in a"
                " minute.",
                retry_after=60,
            ) from error
        except (ValueError, OSError, asyncio.IncompleteReadError) as error:
            # At its limits the process dies, maybe in the middle of its answer.
            log.info("a file of type %s could not be processed: %r", kind.type, error)
            raise PayloadTooLarge(
                "This file takes too long to process. Make it smaller and send it again."
            ) from error
        return Picture(
            whole, reply["width"], reply["height"], tuple(zip(reply["copies"], copies, strict=True))
        )


def _too_many() -> Unavailable:
    return Unavailable(
        "Many files are being processed at the moment. Send this one again in a minute.",
        retry_after=60,
    )


def _environment() -> dict[str, str]:
    """An environment without secrets; the second variable keeps thread stacks from counting
    as memory.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    search = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
    return {**ours, "PYTHONPATH": os.pathsep.join(search), "MALLOC_ARENA_MAX": "2"}
