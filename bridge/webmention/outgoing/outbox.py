"""The outbox: what is to be sent, on disk before anything is; one file for each post.

A file is written beside its place, synced, and renamed over it. The files are kept for as long as
their posts are there: they say who has heard of a post, and so who has to hear that it changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from bridge.runtime import private
from bridge.runtime.durable import TEMPORARY, write_durably

log = logging.getLogger(__name__)

#: A post that links to more tells the first of them.
MOST_TARGETS = 100
#: So many posts that are done are shown to the owner.
_RECENT = 100
_CURSOR = "cursor"


class Delivery(msgspec.Struct, omit_defaults=True):
    """One page that a post mentions.

    ``state``: ``waiting`` until ``next`` (seconds since the epoch), ``sent``, ``failed`` for
    ``reason``, or ``none`` where the page takes no webmentions. ``status`` is what its endpoint
    last answered. ``linked``: the post links to it still; one that does not is forgotten once it
    has been told. ``heard``: it has accepted a mention before.
    """

    target: str
    state: Literal["waiting", "sent", "failed", "none"] = "waiting"
    tries: int = 0
    next: float = 0.0
    status: int = 0
    reason: str = ""
    at: float = 0.0
    linked: bool = True
    heard: bool = False


class Outgoing(msgspec.Struct, omit_defaults=True):
    """What one post tells other sites.

    ``source`` is what they know it by: its first public address; ``url`` where it is now, in
    ``save_as`` of the output, made of the file ``path`` of the repo. ``version`` is what is to be
    seen there, ``gone`` that nothing is.

    ``state``: ``held`` for the owner to release; ``waiting`` until the world sees that version
    (looked for at ``next``, ``looks`` times so far, since ``since``); ``unseen`` where it never
    did; ``live``. Then the deliveries are made, in ``round``.

    ``published``, ``updated`` and ``links`` are what the page has to show to be that version,
    ``before`` are the links of the version before, where no one wrote down who was told of it.
    ``digest`` is what readers saw when it was last told. ``answered``: what is shown below a reply
    has changed by word of these hosts, which the page that it replies to hears at most once an
    hour (``told_upstream``); ``only_upstream``: no other is told, since nothing else changed.
    """

    source: str
    url: str
    path: str = ""
    save_as: str = ""
    version: str = ""
    state: Literal["held", "waiting", "unseen", "live"] = "waiting"
    gone: bool = False
    since: float = 0.0
    next: float = 0.0
    looks: int = 0
    reason: str = ""
    published: str = ""
    updated: str = ""
    links: list[str] = []
    before: list[str] = []
    digest: str = ""
    round: int = 0
    answered: list[str] = []
    only_upstream: bool = False
    told_upstream: float = 0.0
    deliveries: list[Delivery] = []

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do about it."""
        return self.state == "live" and all(each.state != "waiting" for each in self.deliveries)

    @property
    def last(self) -> float:
        """When something was last sent, or tried."""
        return max((each.at for each in self.deliveries), default=self.since)


class Outbox:
    """The files, and what is under way in memory. For use on the event loop; writing waits for
    the disk in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: By source: everything that is not done, and what was done lately.
        self.active: dict[str, Outgoing] = {}
        #: What was done last, the newest at the end.
        self.recent: dict[str, Outgoing] = {}
        self.cursor: str | None = None
        # One thread: a later state never comes before an earlier one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")

    def load(self) -> None:
        """Read what an earlier process has left; blocks. A file that cannot be read is logged, and
        left for the owner to look at."""
        private.make_folder(self._folder)
        for file in sorted(self._folder.iterdir()):
            if file.name.startswith(TEMPORARY):
                file.unlink(missing_ok=True)
            elif file.name == _CURSOR:
                self.cursor = file.read_text(encoding="ascii", errors="replace").strip() or None
            elif (found := self._read(file)) is not None:
                (self.recent if found.is_done else self.active)[found.source] = found
        newest = sorted(self.recent.values(), key=lambda each: each.last)[-_RECENT:]
        self.recent = {each.source: each for each in newest}

    def find(self, source: str) -> Outgoing | None:
        """What is known of a post; blocks for the disk where it is not under way."""
        known = self.active.get(source) or self.recent.get(source)
        return known or self._read(self._file(source))

    async def put(self, outgoing: Outgoing) -> None:
        """Write a post's state; when this returns it is on disk."""
        self.active[outgoing.source] = outgoing
        data = msgspec.json.format(msgspec.json.encode(outgoing), indent=1)
        await self._in_turn(lambda: self._write(self._file(outgoing.source), data))
        self.recent.pop(outgoing.source, None)
        if outgoing.is_done and self.active.get(outgoing.source) is outgoing:
            del self.active[outgoing.source]
            self.recent[outgoing.source] = outgoing
            while len(self.recent) > _RECENT:
                del self.recent[next(iter(self.recent))]

    async def forget(self, source: str) -> None:
        """There is no more to be told of a post, now or later."""
        self.active.pop(source, None)
        self.recent.pop(source, None)
        await self._in_turn(lambda: self._file(source).unlink(missing_ok=True))

    async def move_cursor(self, version: str) -> None:
        """Everything up to this version is in the outbox, on disk."""
        if version != self.cursor:
            data = version.encode()
            await self._in_turn(lambda: self._write(self._folder / _CURSOR, data))
            self.cursor = version

    def close(self) -> None:
        """Let the thread go; blocks until it has written what it was given."""
        self._thread.shutdown()

    def _file(self, source: str) -> Path:
        return self._folder / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.json"

    def _read(self, file: Path) -> Outgoing | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Outgoing)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s cannot be read, and is passed over: %s", file, error)
            return None

    async def _in_turn(self, work: Callable[[], None]) -> None:
        done: Future[None] = self._thread.submit(work)
        await asyncio.wrap_future(done)

    def _write(self, file: Path, data: bytes) -> None:
        write_durably(file, data)


def begin_anew(folder: Path) -> None:
    """Sending is off: what is committed in the meantime is old by the time that it is on again."""
    (folder / _CURSOR).unlink(missing_ok=True)
