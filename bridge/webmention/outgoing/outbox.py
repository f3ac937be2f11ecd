"""The outbox: what is to be sent, on disk before anything is sent; one file per post.

Files are replaced atomically and synced. They are kept for as long as their posts exist, since they
record which pages were notified and so must be notified of changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from bridge.runtime import private
from bridge.runtime.private import TEMPORARY, write_durably
from bridge.runtime.threads import ThreadPool

log = logging.getLogger(__name__)

#: A post with more links sends webmentions to the first of them.
MOST_TARGETS = 100
#: Number of completed posts that are shown to the owner.
_RECENT = 100
_CURSOR = "cursor"


def outbox_folder(state: Path) -> Path:
    """The folder of the outbox. Like everything in ``keep/`` it must not be deleted
    (``docs/settings.md``).
    """
    return state / "keep" / "webmention" / "outbox"


class Delivery(msgspec.Struct, omit_defaults=True):
    """One target of a post's webmentions.

    ``state``: ``waiting`` until ``next`` (seconds since the epoch), ``sent``, ``failed`` for
    ``reason``, or ``none`` where the target does not accept webmentions. ``status`` is the
    endpoint's last HTTP status. ``linked``: the post still links to it; if not, it is forgotten
    once notified. ``heard``: it has accepted a webmention before.
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
    """The webmentions of one post.

    ``source`` is the URL that targets know: the post's first public one; ``url`` is its present
    URL, served from ``save_as`` in the output and written in the file ``path`` of the repo.
    ``version`` is the commit whose post must be live, ``gone`` means that it was deleted.

    ``state``: ``held`` until the owner releases it; ``waiting`` until that version is live (checked
    at ``next``, ``looks`` times so far, since ``since``); ``unseen`` if it never was; ``live``.
    Then the deliveries of this ``round`` are made.

    ``published``, ``updated`` and ``links`` are what the page must show to be that version,
    ``before`` the links of the previous version where no deliveries were recorded. ``digest`` is
    the page's content when it was last sent. ``answered``: hosts whose replies below this post have
    changed, of which the page that it replies to itself is notified at most once an hour
    (``told_upstream``); ``only_upstream``: nothing else changed, so no other target is notified.
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
        """Whether nothing is left to send."""
        return self.state == "live" and all(each.state != "waiting" for each in self.deliveries)

    @property
    def last(self) -> float:
        """The time of the last attempt."""
        return max((each.at for each in self.deliveries), default=self.since)


class OutboxReport(Struct, frozen=True):
    """The contents of the outbox as shown to the owner, newest first."""

    sent: Sequence[tuple[Outgoing, Delivery]]
    waiting: Sequence[tuple[Outgoing, Delivery]]
    failed: Sequence[tuple[Outgoing, Delivery]]
    held: Sequence[Outgoing]
    unseen: Sequence[Outgoing]
    coming: Sequence[Outgoing]


class Outbox:
    """The outbox files, and the entries in progress in memory.

    Call it on the event loop; a thread of its own does the writing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Entries that are not done, and those completed lately, by source.
        self.active: dict[str, Outgoing] = {}
        #: Entries completed last, newest at the end.
        self.recent: dict[str, Outgoing] = {}
        self.cursor: str | None = None
        # A single thread, so that an earlier state never overwrites a later one.
        self._thread = ThreadPool(1, "outbox", first=1)

    def load(self) -> None:
        """Load the entries of an earlier process; blocks. A file that cannot be read is logged and
        left in place.
        """
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
        """The entry of a post, or ``None``; reads the disk (and blocks) if it is not in
        progress.
        """
        known = self.active.get(source) or self.recent.get(source)
        return known or self._read(self._file(source))

    async def put(self, outgoing: Outgoing) -> None:
        """Store an entry; on disk when this returns."""
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
        """Remove the entry of a post that has no more to send."""
        self.active.pop(source, None)
        self.recent.pop(source, None)
        await self._in_turn(lambda: self._file(source).unlink(missing_ok=True))

    async def move_cursor(self, version: str) -> None:
        """Record, on disk, that everything up to this commit is in the outbox."""
        if version != self.cursor:
            data = version.encode()
            await self._in_turn(lambda: self._write(self._folder / _CURSOR, data))
            self.cursor = version

    def report(self) -> OutboxReport:
        """What was sent, what is waiting, what failed and why."""
        known = (*self.active.values(), *self.recent.values())
        each = [(out, one) for out in known for one in out.deliveries]
        each.sort(key=lambda pair: pair[1].at, reverse=True)

        def those(state: str) -> list[tuple[Outgoing, Delivery]]:
            return [pair for pair in each if pair[1].state == state]

        waiting = [(out, one) for out, one in those("waiting") if out.state == "live"]
        return OutboxReport(
            sent=those("sent"),
            waiting=waiting,
            failed=those("failed"),
            held=[out for out in known if out.state == "held"],
            unseen=[out for out in known if out.state == "unseen"],
            coming=[out for out in known if out.state == "waiting"],
        )

    async def release(self, now: float) -> int:
        """Let the held webmentions be sent; returns the number of posts."""
        held = [out for out in self.active.values() if out.state == "held"]
        for out in held:
            out.state, out.since, out.next, out.looks = "waiting", now, now, 0
            await self.put(out)
        return len(held)

    async def try_again(self, now: float) -> int:
        """Let failed deliveries be retried, and posts that were never seen live be checked again;
        returns the number of posts.
        """
        known = (*self.active.values(), *self.recent.values())
        failed = [
            out
            for out in known
            if out.state == "unseen" or any(each.state == "failed" for each in out.deliveries)
        ]
        for out in failed:
            if out.state == "unseen":
                out.state, out.since, out.next, out.looks = "waiting", now, now, 0
            for each in out.deliveries:
                if each.state == "failed":
                    each.state, each.tries, each.next, each.reason = "waiting", 0, now, ""
            await self.put(out)
        return len(failed)

    async def discard(self) -> int:
        """Discard the held webmentions; returns the number of posts."""
        held = [out for out in self.active.values() if out.state == "held"]
        for out in held:
            out.state = "live"
            for each in out.deliveries:
                if each.state == "waiting":
                    each.state, each.reason = "none", "the owner decided not to send it"
            await self.put(out)
        return len(held)

    def close(self) -> None:
        """Stop the thread; blocks until pending writes are done."""
        self._thread.shutdown()

    def _file(self, source: str) -> Path:
        return self._folder / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.json"

    def _read(self, file: Path) -> Outgoing | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Outgoing)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s cannot be read and is ignored: %s", file, error)
            return None

    async def _in_turn(self, work: Callable[[], None]) -> None:
        done: Future[None] = self._thread.submit(work)
        await asyncio.wrap_future(done)

    def _write(self, file: Path, data: bytes) -> None:
        write_durably(file, data)


def forget_cursor(folder: Path) -> None:
    """Remove the cursor while sending is off, so that commits of that time are not sent later."""
    (folder / _CURSOR).unlink(missing_ok=True)
