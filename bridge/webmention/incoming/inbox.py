"""Received webmentions that are not settled, on disk before they are answered:
``STATE/keep/mentions/``.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from bridge.errors import InsufficientStorage, Unavailable
from bridge.runtime import private
from bridge.runtime.durable import write_durably
from bridge.webmention.mention import Mention

log = logging.getLogger(__name__)

#: ``waiting`` to be verified, ``approved`` and to be committed with the next batch, ``pending``
#: the owner's word; all others are settled.
State: TypeAlias = Literal[
    "waiting", "approved", "pending", "shown", "no-link", "unreachable", "gone", "refused"
]
_OPEN = frozenset({"waiting", "approved", "pending"})
#: So many may wait to be verified, so many for the owner, and so many are remembered.
_WAITING = 1_000
_PENDING = 2_000
_REMEMBERED = 20_000
#: After so many new ones it is looked what can be forgotten.
_PRUNED = 100
#: Seconds for which a sender can look up what became of a mention.
_KEPT = 30 * 86400.0
_ID = re.compile(r"[0-9a-f]{24}")


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One webmention: a source that says it links to a target, and what became of that.

    ``received`` and ``changed`` are in seconds since the epoch. ``sent`` counts how often it came,
    ``tries`` the looks at its source that failed one after the other; ``due`` is when to look
    again. ``missing`` is when the source of one that is shown was first not there, ``misses`` how
    often. ``mention`` is what will be the file, until it is one, and ``digest`` its ``HASH12``.
    ``counted``: there were too many of its kind for a file, and it is in their number already.
    """

    source: str
    target: str
    received: float
    changed: float
    state: State = "waiting"
    why: str = ""
    sent: int = 1
    tries: int = 0
    due: float = 0.0
    missing: float = 0.0
    misses: int = 0
    mention: dict[str, Any] | None = None
    digest: str = ""
    counted: bool = False

    @property
    def id(self) -> str:
        """The same for each time that it is sent: so the second is an update of the first."""
        return id_of(self.source, self.target)

    def of_mention(self) -> Mention:
        """The mention in it. There has to be one."""
        return Mention(**(self.mention or {}))

    def settle(self, state: State, why: str = "", *, now: float) -> None:
        """It has come to an end, or to where it waits for the owner."""
        self.state, self.why, self.changed, self.tries, self.due = state, why, now, 0, 0.0
        if state not in _OPEN:
            self.mention = None


def id_of(source: str, target: str) -> str:
    """The name of a webmention in addresses and on disk."""
    return hashlib.sha256(f"{source}\n{target}".encode()).hexdigest()[:24]


class Inbox:
    """Every record, in memory and in a file each. Its methods block; use it from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self._new = 0

    def start(self, now: float) -> None:
        """Read what the last run has left."""
        private.make_folder(self._folder)
        self.load()
        self.prune(now)

    def load(self) -> None:
        """Read every record; changes nothing on disk."""
        decoder = msgspec.json.Decoder(Record)
        for file in sorted(self._folder.glob("*.json")):
            try:
                record = decoder.decode(file.read_bytes())
            except (OSError, msgspec.DecodeError) as error:
                log.warning("%s cannot be read, and is passed over: %s", file, error)
                continue
            self._records[record.id] = record

    def get(self, name: str) -> Record | None:
        """The record of this id."""
        return self._records.get(name) if _ID.fullmatch(name) else None

    def in_state(self, *states: State) -> list[Record]:
        """Records in these states, the oldest first."""
        with self._lock:
            found = [each for each in self._records.values() if each.state in states]
        return sorted(found, key=lambda each: (each.received, each.id))

    def take(self, source: str, target: str, now: float) -> Record:
        """A webmention has come: when this returns it is on disk.

        Raises :class:`Unavailable` where too many wait already, :class:`InsufficientStorage` where
        the disk is full.
        """
        record = self.get(id_of(source, target))
        if record is None:
            if len(self.in_state("waiting")) >= _WAITING:
                raise Unavailable(
                    "Too many webmentions are waiting to be verified. Send it again later.",
                    retry_after=600,
                )
            record = Record(source=source, target=target, received=now, changed=now)
        else:
            record.sent += 1
            record.due, record.tries = 0.0, 0
            if record.state != "approved":
                record.state, record.why, record.changed = "waiting", "", now
        self.write(record)
        return record

    def write(self, record: Record) -> None:
        """Keep a record as it is now. Raises :class:`InsufficientStorage`."""
        try:
            write_durably(self._folder / f"{record.id}.json", msgspec.json.encode(record))
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise InsufficientStorage("The disk is full; nothing was stored.") from error
            raise
        with self._lock:
            self._new += record.id not in self._records
            self._records[record.id] = record
            is_time = self._new >= _PRUNED
        if is_time:
            self._new = 0
            self.prune(record.changed)

    def remove(self, record: Record) -> None:
        """Forget a record."""
        with self._lock:
            self._records.pop(record.id, None)
        (self._folder / f"{record.id}.json").unlink(missing_ok=True)

    def prune(self, now: float) -> None:
        """Forget what was settled long ago, and the oldest where there is too much."""
        for record in list(self._outlived(now)):
            self.remove(record)

    def _outlived(self, now: float) -> Iterator[Record]:
        with self._lock:
            every = sorted(self._records.values(), key=lambda each: each.changed)
        pending = [each for each in every if each.state == "pending"]
        yield from _too_many(pending)
        settled = [each for each in every if each.state not in _OPEN and not each.misses]
        too_many = max(0, len(every) - _REMEMBERED)
        for number, record in enumerate(settled):
            if number < too_many or record.changed < now - _KEPT:
                yield record


def _too_many(pending: Sequence[Record]) -> Iterator[Record]:
    """Of more than may wait for the owner, the oldest of those sites that have sent the most: so a
    flood pushes out itself, and not what others have said."""
    by_site: defaultdict[str, deque[Record]] = defaultdict(deque)
    for record in pending:
        by_site[_site(record.source)].append(record)
    for _ in range(len(pending) - _PENDING):
        yield max(by_site.values(), key=len).popleft()


def _site(url: str) -> str:
    """The last two labels of a host: the owner of a domain can have any number of hosts in it."""
    host = url.partition("://")[2].partition("/")[0].lower()
    return ".".join(host.split(".")[-2:])
