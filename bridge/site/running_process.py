"""One run of the site's process, with the questions that it has not answered yet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Sequence

import msgspec

from bridge.runtime.process import Tail, close_pipes, exited, piped, signal_group
from bridge.site.messages import UNASKED, Denied, Frame, Frames, Question, Reply, Start

log = logging.getLogger(__name__)

_GRACE = 5.0
_encode = msgspec.msgpack.Encoder().encode
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


class ProcessGone(Exception):
    """The process ended before it had answered."""


class Overdue(ProcessGone):
    """The question was not answered in time, so the process was killed."""


class RunningProcess:
    """One process, from its start to its end."""

    def __init__(
        self, process: asyncio.subprocess.Process, denied: Callable[[Sequence[str]], None]
    ) -> None:
        self.process = process
        self._stdin = piped(process.stdin)
        self.printed = Tail()
        self.ready: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._denied = denied
        self._expected: dict[int, asyncio.Future[Reply]] = {UNASKED: self.ready}
        #: Includes questions whose requests have been given up, since the process still works on
        #: them. The timer of each kills the process if it is not answered in time.
        self._unanswered: dict[int, asyncio.TimerHandle | None] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._number = 0
        printed = self.printed.follow(piped(process.stderr))
        self._tasks = [asyncio.create_task(self._read_replies()), asyncio.create_task(printed)]

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._tasks[0].done()

    async def ask(
        self, question: Question | Start, kind: int, seconds: float, late: float | None = None
    ) -> Reply:
        """Send a question, and wait for its answer.

        After ``late`` seconds without it the process is killed, also where the request has been
        given up before: a process that hangs would stop every later one. Raises
        :class:`ProcessGone`; :class:`Overdue` where this question was the late one.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        if isinstance(question, Start):
            number, future = UNASKED, self.ready
        else:
            self._number = number = self._number % 0xFFFFFFFF + 1
            self._expected[number] = future
        frame = Frame(number, kind, int(seconds * 1000), _encode(question))
        try:
            if self.ended:
                raise ProcessGone
            self._unanswered[number] = (
                None if late is None else loop.call_later(late, self._kill, number)
            )
            self._idle.clear()
            self._stdin.write(frame.pack())
            await self._stdin.drain()
            return await future
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ProcessGone from error
        finally:
            self._expected.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # marks it as retrieved

    async def becomes_idle(self, seconds: float) -> bool:
        """Wait until every question is answered; whether that was within ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._idle.is_set()

    async def end(self) -> None:
        """Kill the process and its children."""
        self._kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await exited(self.process)
        await close_pipes(self.process, *self._tasks)
        self._give_up()

    def _kill(self, late: int | None = None) -> None:
        """Kill the process and its children, because of the ``late`` question."""
        if late is not None:
            log.error("The site's process does not answer, and is started again")
            future = self._expected.get(late)
            if future is not None and not future.done():
                future.set_exception(Overdue())
        is_left = self.process.returncode is None
        signal_group(self.process.pid, signal.SIGKILL, has_leader=is_left)

    async def _read_replies(self) -> None:
        stdout = piped(self.process.stdout)
        frames = Frames()
        try:
            while data := await stdout.read(1 << 20):
                for frame in frames.feed(data):
                    self._handle(frame)
        except (ValueError, msgspec.DecodeError) as error:
            log.error("The site's process gave an invalid answer: %s", error)  # noqa: TRY400 - no trace
        finally:
            self._give_up()

    def _handle(self, frame: Frame) -> None:
        reply = _replies.decode(frame.body)
        if isinstance(reply, Denied):
            self._denied(reply.paths)
            return
        future = self._expected.get(frame.number)
        if future is not None and not future.done():
            future.set_result(reply)
        timer = self._unanswered.pop(frame.number, None)
        if timer is not None:
            timer.cancel()
        if not self._unanswered:
            self._idle.set()

    def _give_up(self) -> None:
        for future in self._expected.values():
            if not future.done():
                future.set_exception(ProcessGone())
        for timer in filter(None, self._unanswered.values()):
            timer.cancel()
        self._unanswered.clear()
        self._idle.set()
        if self.ready.done() and not self.ready.cancelled():
            self.ready.exception()  # marks it as retrieved; :meth:`ask` has raised it
