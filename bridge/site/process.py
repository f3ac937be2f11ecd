"""The bridge's side of the site's process: sends it questions, and restarts it when it ends.

One run of it comes first below, with the questions that it has not answered yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from bridge.errors import (
    InsufficientStorage,
    InvalidRequest,
    SiteBroken,
    SiteLate,
    SiteReplaced,
    Unavailable,
)
from bridge.runtime.private import is_full
from bridge.runtime.process import Tail, close_pipes, exited, piped, signal_group, to_its_end
from bridge.runtime.threads import APP
from bridge.settings import prefix_of
from bridge.site import forks
from bridge.site.messages import (
    MANY,
    QUICK,
    TEXT,
    UNASKED,
    Answer,
    ConflictingLists,
    Denied,
    Describe,
    Described,
    Frame,
    Frames,
    IndexedPost,
    LaterPages,
    Locate,
    PostQuestions,
    Question,
    Ready,
    Refusal,
    Reply,
    ReservedPage,
    SiteFacts,
    Source,
    Start,
    Unread,
    invalid_answer,
    is_inside,
    may_be_at,
    refused,
    shown_if_not_utf8,
)
from bridge.site.sandbox import MOST_DENIED, Sandbox
from bridge.site.site_reader import (
    HANDFUL,
    USUAL_LIMITS,
    AnswerLimits,
    Overdue,
    ProcessGone,
)

log = logging.getLogger(__name__)

_GRACE = 5.0
_encode = msgspec.msgpack.Encoder().encode
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


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
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if isinstance(question, Start):
            number, future = UNASKED, self.ready
        else:
            number = self._next_number()
            self._expected[number] = future
        try:
            if self.ended:
                raise ProcessGone
            self._send(number, question, kind, seconds, late)
            await self._stdin.drain()
            return await future
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ProcessGone from error
        finally:
            self._expected.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # marks it as retrieved

    def warm_up(self, question: Question, kind: int, seconds: float, late: float) -> None:
        """Send a question whose answer nobody waits for, if there is nothing else to answer."""
        if not self.ended and not self._unanswered:
            self._send(self._next_number(), question, kind, seconds, late)

    def _next_number(self) -> int:
        self._number = self._number % 0xFFFFFFFF + 1
        return self._number

    def _send(
        self, number: int, question: Question | Start, kind: int, seconds: float, late: float | None
    ) -> None:
        self._unanswered[number] = (
            None
            if late is None
            else asyncio.get_running_loop().call_later(late, self._kill, number)
        )
        self._idle.clear()
        # Every app waits for the index.
        app = 0 if isinstance(question, Describe) else APP.get()
        self._stdin.write(Frame(number, kind, int(seconds * 1000), _encode(question), app).pack())

    async def becomes_idle(self, seconds: float) -> bool:
        """Wait until every question is answered; whether that was within ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._idle.is_set()

    async def end(self) -> None:
        """Kill the process and its children. A cancelled caller still waits until that is done."""
        await to_its_end(self._end())

    async def _end(self) -> None:
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


_PROGRAM = "bridge.site.pelican.serve"
#: The question of :meth:`SiteProcess.expect`: about a post like most others.
_USUAL = PostQuestions(
    texts=(("md", "A note."),),
    place=Locate("Title: A note\nDate: 2000-01-01 00:00\nSlug: -\n\nA note.\n", "", ("a note",)),
)
_Reply = TypeVar("_Reply")


def _replaced() -> SiteReplaced:
    return SiteReplaced("The site's settings have changed. Try again.", retry_after=2)


def _exited() -> Unavailable:
    return Unavailable("The site's own code exited unexpectedly.", retry_after=5)


def _not_started(error: OSError) -> Unavailable | InsufficientStorage:
    if is_full(error):
        return InsufficientStorage("The disk is full: the site's own code cannot be started.")
    return Unavailable(f"The site's own code cannot be started: {error.strerror}.")


class SiteProcess:
    """A :class:`~bridge.site.site_reader.SiteReader` in a process of its own.

    It is started by :meth:`start` or :meth:`load`, and restarted after it has ended or did not
    answer in time.
    """

    def __init__(
        self, start: Start, sandbox: Sandbox, *, limits: AnswerLimits = USUAL_LIMITS
    ) -> None:
        """``start`` describes the site, whose checkout has to exist by the time of :meth:`load`."""
        self._start = start
        self._content = "" if start.content == "." else prefix_of(start.content)
        self._sandbox = sandbox
        self._limits = limits
        self._running: RunningProcess | None = None
        #: A process that has not loaded the site yet.
        self._started: RunningProcess | None = None
        self._starting = asyncio.Lock()
        self._may_ask = asyncio.Event()
        self._may_ask.set()
        self._facts: SiteFacts | None = None
        self._closed = False
        self._asking = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self.confined = False
        self.denied: list[str] = []

    @property
    def facts(self) -> SiteFacts:
        """The settings as of the last start. Raises :class:`Unavailable` before the first."""
        if self._facts is None:
            raise Unavailable("The site's settings have not been read yet.", retry_after=1)
        return self._facts

    async def start(self) -> None:
        """Start the process: Pelican is imported, which takes as long as loading most sites does,
        and needs none of their files. Raises :class:`Unavailable`, :class:`InsufficientStorage`.
        """
        async with self._starting:
            await self._waiting()

    async def load(self) -> SiteFacts:
        """Have the process load the site; it is started if it has not been.

        Raises :class:`SiteBroken` where settings or plugins cannot be loaded.
        """
        await self._process()
        return self.facts

    def expect(self) -> None:
        """Prepare for a question about a new post; returns at once.

        Meanwhile the process answers one of no consequence: its code and data have left the
        processor's caches since the last post, and the first answer takes three times as long as
        the next one.
        """
        if self._running is None or not self._may_ask.is_set() or not self.facts.by_formatting:
            return  # a plugin may want to see each post once
        self._running.warm_up(_USUAL, TEXT, *self._deadlines(TEXT))

    async def ask(self, question: PostQuestions) -> Answer:
        """The answers about one post."""
        kind = TEXT if question.texts or question.place else QUICK
        answer = await self._ask(question, Answer, kind)
        pairs = (
            (question.slugs, answer.slugs),
            (question.names, answer.names),
            (question.texts, answer.texts),
        )
        if any(len(asked) != len(answered) for asked, answered in pairs):
            raise invalid_answer()
        place, template = question.place, self._start.template
        if place and not all(may_be_at(place, x, self._content, template) for x in answer.places):
            raise invalid_answer()
        return answer

    async def conflicting_lists(self, question: LaterPages) -> ConflictingLists:
        """The lists that would want a page of another list."""
        return await self._ask(question, ConflictingLists, QUICK)

    async def describe(
        self, files: Sequence[Source], *, again: bool = False
    ) -> list[IndexedPost | ReservedPage | Unread | None]:
        """What each of these files is; one that takes too long is :class:`Unread`.

        One that was late though it did not cost too much is asked for ``again``, once: the machine
        may have been busy, but a file that never ends must not hold up the index for ever.
        """
        if not files:
            return []
        unnamed = [shown_if_not_utf8(each.path) for each in files]
        if any(unnamed):
            named = [file for file, shown in zip(files, unnamed, strict=True) if not shown]
            rest = iter(await self.describe(named))
            return [
                Unread(shown, "Its name is not UTF-8: rename it.") if shown else next(rest)
                for shown in unnamed
            ]
        limit = self._limits.text + self._limits.each_of_many * (len(files) - 1)
        try:
            # A handful, which a request may wait for, does not queue behind the whole site.
            kind = TEXT if len(files) <= HANDFUL else MANY
            question = Describe(tuple(files))
            described = (await self._ask(question, Described, kind, limit)).files
        except InvalidRequest as error:
            if len(files) == 1:
                return [Unread(files[0].path, error.description)]
        except SiteLate as error:
            if len(files) == 1 and not again:
                return await self.describe(files, again=True)
            if len(files) == 1:
                return [Unread(files[0].path, error.description)]
        else:
            if len(described) != len(files):
                raise invalid_answer()
            return [
                Unread(file.path, "Its page would be outside of the output folder: check its slug.")
                if isinstance(each, IndexedPost | ReservedPage) and not is_inside(each.save_as)
                else each
                for file, each in zip(files, described, strict=True)
            ]
        half = (len(files) + 1) // 2
        return [*await self.describe(files[:half]), *await self.describe(files[half:])]

    async def all_answered(self) -> None:
        """Wait until every question is answered. Each has a deadline."""
        await self._all_answered.wait()

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the process idle until the block ends, so that the files it reads can be replaced.

        The text of a question is written to one of these files. A question that is not answered in
        time is repeated after the block; new ones wait for its end.
        """
        self._may_ask.clear()
        try:
            async with self._starting:
                running = self._running
                if running is not None and not await running.becomes_idle(self._limits.moving):
                    await self._drop(running)
                yield
        finally:
            self._may_ask.set()

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        ending = filter(None, (self._running, self._started))
        self._running = self._started = None
        for each in ending:
            await each.end()

    async def _ask(
        self,
        question: Question,
        expected: type[_Reply],
        kind: int,
        seconds: float | None = None,
    ) -> _Reply:
        self._asking += 1
        self._all_answered.clear()
        try:
            return await self._answer(question, expected, kind, seconds)
        finally:
            self._asking -= 1
            if not self._asking:
                self._all_answered.set()

    async def _answer(
        self, question: Question, expected: type[_Reply], kind: int, seconds: float | None
    ) -> _Reply:
        limit, late = self._deadlines(kind, seconds)
        lost = 0
        while True:
            await self._may_ask.wait()
            running = await self._process()
            try:
                reply = await running.ask(question, kind, limit, late)
            except Overdue as error:
                await self._drop(running)
                raise Unavailable("The site's own code does not answer.", retry_after=2) from error
            except ProcessGone:
                if not self._may_ask.is_set():
                    continue  # it was ended so that the files can be replaced
                printed = running.printed.text[-2000:].rstrip()
                log.error("The site's process has ended. %s", printed)  # noqa: TRY400 - no trace
                await self._drop(running)
                lost += 1
                if lost > 1:
                    raise _exited() from None
                continue
            if isinstance(reply, Refusal):
                raise refused(reply)
            if not isinstance(reply, expected):
                raise invalid_answer()
            return reply

    def _deadlines(self, kind: int, seconds: float | None = None) -> tuple[float, float]:
        """How long an answer may take, and after how long the process is killed, in seconds."""
        limit = seconds or (self._limits.quick if kind == QUICK else self._limits.text)
        # On a busy machine a process waits for the processor, too.
        return limit, 5 * limit if kind == QUICK else 3 * limit + self._limits.overdue

    async def _process(self) -> RunningProcess:
        """The process; it is started if it is not running."""
        if self._running is not None and not self._running.ended:
            return self._running
        async with self._starting:
            if self._running is not None and not self._running.ended:
                return self._running
            if self._running is not None:
                await self._running.end()
            self._running = None
            running = await self._waiting()
            try:
                ready = await self._load(running)
            except ProcessGone as error:
                await running.end()
                if self._closed:
                    raise _replaced() from error
                if self._facts is not None:
                    # The same settings were loaded before: it was killed, for its memory perhaps.
                    raise _exited() from error
                # Its output is complete now.
                output = " ".join(running.printed.text.split())[-500:]
                raise SiteBroken(
                    f"Pelican's settings end the process that loads them. {output}".rstrip()
                ) from error
            except BaseException:
                await running.end()
                raise
            finally:
                self._started = None
            if self._sandbox.confined and not ready.confined and self._facts is None:
                log.warning(
                    "This system has no Landlock: the site's own code, and who may commit "
                    "posts, can read every file that the bridge can"
                )
            self._facts, self.confined = ready.facts, ready.confined
            self._running = running
            return running

    async def _waiting(self) -> RunningProcess:
        """A process that has not loaded the site; until it has, :meth:`close` finds it here."""
        if self._started is not None and self._started.ended:
            # It had not seen the settings: it was killed, for its memory perhaps.
            await self._started.end()
            self._started = None
        if self._started is None and not self._closed:
            self._started = await self._launch()
        if self._started is None or self._closed:
            await self.close()  # again, if it was closed meanwhile
            raise _replaced()
        return self._started

    async def _load(self, running: RunningProcess) -> Ready:
        """Make a new process load the site's settings. Raises :class:`SiteBroken`, and
        :class:`ProcessGone`.
        """
        if not self._start.is_owners:
            # The text of a question is written to its future path until it is answered.
            content = Path(self._start.checkout, self._start.content)
            await asyncio.to_thread(content.mkdir, parents=True, exist_ok=True)
        try:
            async with asyncio.timeout(self._limits.loading):
                reply = await running.ask(self._start, QUICK, self._limits.loading)
        except TimeoutError as error:
            seconds = f"{self._limits.loading:.0f}"
            raise SiteBroken(
                f"Pelican's settings cannot be loaded: it takes longer than {seconds} seconds."
            ) from error
        if isinstance(reply, Ready):
            return reply
        raise SiteBroken(
            reply.reason
            if isinstance(reply, Refusal)
            else "The site's own code gave an invalid answer."
        )

    async def _launch(self) -> RunningProcess:
        checkout = [Path(self._start.checkout)]
        if self._start.is_owners:
            permit = partial(self._sandbox.grants, read=checkout)
        else:
            # Settings and plugins may create files, as they do in a build.
            permit = partial(self._sandbox.grants, write=checkout)
        try:
            environment = self._sandbox.environment()
            process = await forks.start(
                _PROGRAM,
                # It looks at every package that is installed.
                await asyncio.to_thread(permit),
                # The checkout may not be there yet; the process goes there to load the site.
                folder=Path(environment["HOME"]),
                environment=environment,
            )
        except OSError as error:
            raise _not_started(error) from error
        return RunningProcess(process, self._note_denied)

    def _note_denied(self, paths: Sequence[str]) -> None:
        for path in paths:
            if path not in self.denied and len(self.denied) < MOST_DENIED:
                self.denied.append(path)
                self._sandbox.tell_denied("The site's code", path)

    async def _drop(self, running: RunningProcess) -> None:
        if self._running is running:
            self._running = None
        await running.end()
