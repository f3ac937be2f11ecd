"""The program that answers the bridge's questions about a site; its first argument is its grants.

The process that the bridge starts loads the site once, and then only supervises: questions about
texts are answered by a copy of it (a fork, which shares its memory), so that no text can keep it
busy. A copy that takes long keeps its question, and a new copy answers the next ones; a copy whose
question has used up its processor time is killed, and so is one that waits for too long. One that
ends without an answer may have been ended by something else: a new copy gets the question once
more.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from bridge.content.file import PelicanFile
from bridge.content.rules import Rendered
from bridge.errors import BridgeError, InsufficientStorage, SiteBroken
from bridge.runtime.release_memory import release_memory
from bridge.settings import SettingsError
from bridge.site.launch import confine_by
from bridge.site.messages import (
    MANY,
    QUICK,
    TEXT,
    UNASKED,
    Answer,
    Candidate,
    Denied,
    Describe,
    Described,
    Frame,
    Frames,
    LaterPages,
    PostQuestions,
    Question,
    Ready,
    Refusal,
    Reply,
    Start,
    write_all,
)
from bridge.site.pelican.audit import Denials
from bridge.site.pelican.loading import run_as_pelican
from bridge.site.pelican.pelican_site import PelicanSite

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_MOST_MEMORY = 2 << 30
#: An answer may take this many times its processor time: the machine or the disk may be busy, and
#: nothing is wrong with a text that takes longer.
_WAITING = 3
#: How many bytes of messages are read, and how many a pipe holds, so that no side waits for the
#: other within a message about many files.
_AT_ONCE = 1 << 20
#: Objects made since the last search for garbage: a description leaves hardly any, and the usual
#: search after 700 takes a twentieth of the time.
_GARBAGE = 50_000
#: Seconds without work after which a copy that describes many files ends.
_IDLE = 2.0
_DIE_WITH_PARENT = 1


def answer(site: PelicanSite, question: Question) -> Reply:
    """The answer to any question; what cannot be answered is a :class:`Refusal`."""
    try:
        match question:
            case PostQuestions():
                return _answer(site, question)
            case LaterPages():
                return site.conflicting_lists(question)
            case Describe(files=files):
                return Described(tuple(site.describe(files)))
    except SiteBroken as error:
        return Refusal("broken", error.description)
    except InsufficientStorage as error:
        return Refusal("full", error.description)
    except BridgeError as error:
        return Refusal("invalid", error.description)
    except MemoryError:
        return Refusal("slow", "it takes too much memory")
    except Exception as error:  # noqa: BLE001 - readers and plugins raise what they like
        return Refusal("broken", f"The site's own code fails: {type(error).__name__}: {error}")


def _answer(site: PelicanSite, question: PostQuestions) -> Answer:
    places: tuple[Candidate, ...] = ()
    whole, body = Rendered(""), ""
    if question.place is not None:
        places, whole = site.places(question.place)
        body = PelicanFile.parse(question.place.text, question.place.path or "x.md").body.strip()
    return Answer(
        tuple(map(site.slugify, question.slugs)),
        tuple(site.slug_of_list(sort, name) for sort, name in question.names),
        # Most texts are the body of the file that has just been read.
        tuple(
            whole if text.strip() == body and suffix == "md" else site.render(text, suffix)
            for suffix, text in question.texts
        ),
        places,
        whole,
    )


@dataclass(eq=False)
class _Copy:
    """A fork of this process, with the question that it is answering."""

    pid: int
    pipe: socket.socket
    kind: int
    frames: Frames = field(default_factory=Frames)
    job: Frame | None = None
    #: Whether another copy ended without an answer to it.
    asked_again: bool = False
    since: float = 0.0
    used_before: float = 0.0
    detached: bool = False

    def used(self) -> float:
        """The processor time that its question has used, in seconds."""
        return _processor_time(self.pid) - self.used_before


class _Questions:
    """The questions of one kind that wait: those of each app in turn.

    Each comes with whether a copy has ended without an answer to it before.
    """

    def __init__(self) -> None:
        #: By app; the first one is next, unless it was the last and another one waits.
        self._of_apps: dict[int, deque[tuple[Frame, bool]]] = {}
        self._last: int | None = None

    def __bool__(self) -> bool:
        return bool(self._of_apps)

    def has_others(self, app: int) -> bool:
        """Whether a question of another app waits."""
        return any(other != app for other in self._of_apps)

    def add(self, frame: Frame) -> None:
        """Add a question."""
        self._of_apps.setdefault(frame.app, deque()).append((frame, False))

    def add_again(self, frame: Frame) -> None:
        """Add a question to which a copy ended without an answer, before others."""
        waiting = self._of_apps.pop(frame.app, deque())
        waiting.appendleft((frame, True))
        self._of_apps = {frame.app: waiting, **self._of_apps}
        self._last = None

    def take(self) -> tuple[Frame, bool]:
        """Remove the next question."""
        first = next(iter(self._of_apps))
        app = next((each for each in self._of_apps if each != self._last), first)
        waiting, self._last = self._of_apps.pop(app), app
        question = waiting.popleft()
        if waiting:
            self._of_apps[app] = waiting
        return question


class Supervisor:
    """Passes questions on to copies of the process, and limits their time."""

    def __init__(self, site: PelicanSite, start: Start, requests: int, replies: int) -> None:
        self._site = site
        self._start = start
        self._requests, self._replies = requests, replies
        self._frames = Frames()
        # Reused: allocating memory for each message would take as long as relaying it.
        self._read = memoryview(bytearray(_AT_ONCE))
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ, None)
        self._copies: list[_Copy] = []
        self._waiting = {TEXT: _Questions(), MANY: _Questions()}

    def run(self) -> None:
        """Answer questions until the bridge ends."""
        # Garbage of loading the site would be copied into each fork.
        gc.collect()
        release_memory()
        self._fork(TEXT)
        while True:
            for key, _ in self._selector.select(self._pause()):
                if key.data is None:
                    length = os.readv(self._requests, [self._read])
                    if not length:
                        return
                    for frame in self._frames.feed(self._read[:length]):
                        self._receive(frame)
                else:
                    self._read_answer(key.data)
            self._check_deadlines()
            self._dispatch()

    def close(self) -> None:
        """End every copy."""
        for copy in list(self._copies):
            self._end(copy)

    def _receive(self, frame: Frame) -> None:
        if frame.kind == QUICK:
            reply = answer(self._site, _questions.decode(frame.body))
            self._send(frame.number, _encode(reply))
        else:
            self._waiting[frame.kind].add(frame)

    def _dispatch(self) -> None:
        for kind, waiting in self._waiting.items():
            while waiting:
                copy = self._idle(kind)
                if copy is None:
                    break
                frame, copy.asked_again = waiting.take()
                copy.job, copy.since = frame, time.monotonic()
                copy.used_before = _processor_time(copy.pid)
                try:
                    copy.pipe.sendall(frame.pack())
                except OSError:
                    self._lost(copy)

    def _idle(self, kind: int) -> _Copy | None:
        """A copy without work; a new one where there are fewer than allowed."""
        same = [copy for copy in self._copies if copy.kind == kind and not copy.detached]
        for copy in same:
            if copy.job is None:
                return copy
        most = 1 if kind == TEXT else max(1, min(2, os.cpu_count() or 1))
        return self._fork(kind) if len(same) < most else None

    def _read_answer(self, copy: _Copy) -> None:
        """Pass on the answer of a copy."""
        try:
            length = copy.pipe.recv_into(self._read)
        except OSError:
            length = 0
        if not length:
            self._lost(copy)
            return
        for frame in copy.frames.feed(self._read[:length]):
            self._send(frame.number, frame.body)
            if copy.job is not None and frame.number == copy.job.number:
                copy.job, copy.since = None, time.monotonic()
                if copy.detached:
                    self._end(copy)

    def _lost(self, copy: _Copy) -> None:
        if copy.asked_again:
            self._give_up(copy, Refusal("slow", "the site's code ended without an answer"))
            return
        self._end(copy)
        if copy.job is not None:
            self._waiting[copy.kind].add_again(copy.job)

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        for copy in list(self._copies):
            if copy.job is None:
                if copy.kind == MANY and now - copy.since > _IDLE:
                    self._end(copy)
                continue
            limit, passed = copy.job.milliseconds / 1000, now - copy.since
            if passed >= limit and copy.used() >= limit:
                self._give_up(copy, Refusal("slow", "it takes too long"))
            elif passed >= _WAITING * limit:
                self._give_up(copy, Refusal("late"))
            elif copy.kind == TEXT and not copy.detached and passed >= self._patience():
                self._detach(copy)

    def _patience(self) -> float:
        """Seconds for which a text may occupy the copy: fewer while others wait."""
        return self._start.hurried if self._waiting[TEXT] else self._start.patience

    def _detach(self, copy: _Copy) -> None:
        """Let a copy finish its question in the background; it gets no other one."""
        if sum(each.detached for each in self._copies) < self._start.most_slow:
            copy.detached = True
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, copy.pid, 10)
        elif self._is_in_the_way(copy):
            self._give_up(copy, Refusal("busy", "the site is at work on other long texts"))

    def _is_in_the_way(self, copy: _Copy) -> bool:
        """Whether a question that cannot go on in the background has had the copy for long enough:
        where another app waits, that of an app which has others in the background soon has.
        """
        app = 0 if copy.job is None else copy.job.app
        # The bridge's own questions, about posts of the site, have no app.
        has_more = app and any(
            each.detached and each.job is not None and each.job.app == app for each in self._copies
        )
        hurries = has_more and self._waiting[TEXT].has_others(app)
        patience = self._start.hurried if hurries else self._start.patience
        return time.monotonic() - copy.since >= patience

    def _give_up(self, copy: _Copy, refusal: Refusal) -> None:
        """Refuse the question of a copy, and end the copy."""
        self._end(copy)
        if copy.job is not None:
            self._send(copy.job.number, _encode(refusal))

    def _pause(self) -> float | None:
        """Seconds to wait for messages before the time limits are checked."""
        if not any(copy.job is not None or copy.kind == MANY for copy in self._copies):
            return None
        return 0.05

    def _fork(self, kind: int) -> _Copy:
        ours, theirs = socket.socketpair()
        for end in ours, theirs:
            end.settimeout(None)  # the site's code may have set a default
        gc.collect()
        # For good: the next collection would write to all of the memory that the copies share.
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for copy in self._copies:
                copy.pipe.close()
            self._selector.close()
            os.close(self._requests)
            os.close(self._replies)
            _copy_main(self._site, theirs)
        theirs.close()
        if kind == MANY:
            # The first index of a large site takes minutes, and posts are created during it.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, 5)
        copy = _Copy(pid, ours, kind, since=time.monotonic())
        self._copies.append(copy)
        self._selector.register(ours, selectors.EVENT_READ, copy)
        return copy

    def _end(self, copy: _Copy) -> None:
        self._selector.unregister(copy.pipe)
        self._copies.remove(copy)
        copy.pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(copy.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(copy.pid, 0)

    def _send(self, number: int, body: bytes) -> None:
        write_all(self._replies, Frame(number, 0, 0, body).pack())


def _copy_main(site: PelicanSite, pipe: socket.socket) -> NoReturn:
    """A copy: answers one question after the other, until its parent ends."""
    code = 1
    try:
        _die_with_parent()
        gc.set_threshold(_GARBAGE)
        with contextlib.suppress(ValueError, OSError):  # macOS takes no limit on memory
            resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        frames = Frames()
        # One buffer for all messages: Python would get a new one from the system for each.
        buffer = memoryview(bytearray(_AT_ONCE))
        while length := pipe.recv_into(buffer):
            for frame in frames.feed(buffer[:length]):
                reply = _encode(answer(site, _questions.decode(frame.body)))
                if denied := DENIALS.new():
                    pipe.sendall(Frame(UNASKED, 0, 0, _encode(Denied(denied))).pack())
                pipe.sendall(Frame(frame.number, 0, 0, reply).pack())
        code = 0
    except BrokenPipeError:
        code = 0
    finally:
        # The parent's open files must not be flushed a second time.
        os._exit(code)


DENIALS = Denials()


def main(arguments: list[str]) -> int:
    """Serve one bridge until it ends."""
    requests, replies = os.dup(0), os.dup(1)
    for pipe in (requests, replies):
        with contextlib.suppress(OSError, AttributeError):  # only Linux has larger pipes
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _AT_ONCE)
    # The output of the site's settings and extensions must not be mistaken for an answer.
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    start = msgspec.msgpack.decode(_first(requests).body, type=Start)
    grants = confine_by(arguments[0], Path(start.checkout, start.run_in))
    if grants is not None:
        DENIALS.watch(grants)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    reply: Reply
    site = None
    try:
        site = _load(start)
        reply = Ready(site.facts(), grants is not None)
    except SettingsError as error:
        reply = Refusal("broken", str(error).replace(f"{start.checkout}/", ""))
    except BridgeError as error:
        reply = Refusal("broken", error.description)
    if denied := DENIALS.new():
        write_all(replies, Frame(UNASKED, 0, 0, _encode(Denied(denied))).pack())
    write_all(replies, Frame(UNASKED, 0, 0, _encode(reply)).pack())
    if site is None:
        return 1
    supervisor = Supervisor(site, start, requests, replies)
    try:
        supervisor.run()
    finally:
        supervisor.close()
    return 0


def _load(start: Start) -> PelicanSite:
    """The site, in the folder and with the module path that ``pelican`` would have."""
    checkout = Path(start.checkout)
    run_as_pelican(checkout / start.run_in, checkout / start.content, checkout / start.settings)
    settings = checkout / start.settings
    if settings.parent != Path.cwd():
        sys.path.insert(0, str(settings.parent))
    sys.path.insert(0, "")
    return PelicanSite.load(
        settings,
        root=checkout,
        content=start.content,
        siteurl=start.siteurl,
        uploads=start.uploads,
        template=start.template,
    )


def _first(requests: int) -> Frame:
    """The first message; nothing is read beyond it."""
    frames = Frames()
    while data := os.read(requests, 1):
        if found := frames.feed(data):
            return found[0]
    raise SystemExit(2)


def _processor_time(pid: int) -> float:
    """The processor time of a process in seconds (``clock_getcpuclockid``)."""
    if sys.platform != "linux":
        return time.monotonic()
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _die_with_parent() -> None:
    if sys.platform == "linux":
        prctl: Any = ctypes.CDLL(None).prctl
        prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
