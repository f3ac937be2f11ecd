"""The received webmentions, on disk in ``STATE/keep/mentions/`` before each is answered, and the
queue of those to verify.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from bridge.errors import InsufficientStorage, Unavailable
from bridge.runtime import private
from bridge.runtime.private import is_full, write_durably
from bridge.webmention.mention import Mention, domain_of

log = logging.getLogger(__name__)

#: ``waiting`` for verification, ``approved`` and waiting for the next commit, ``pending`` the
#: owner's decision. All other states are final.
State: TypeAlias = Literal[
    "waiting", "approved", "pending", "shown", "no-link", "unreachable", "gone", "refused"
]
_OPEN = frozenset({"waiting", "approved", "pending"})
#: Largest numbers of records that wait for verification, that wait for the owner, and in all.
_WAITING = 1_000
_PENDING = 2_000
_REMEMBERED = 20_000
#: Old records are removed after this many new ones.
_PRUNED = 100
#: For how many seconds a sender can look up the state of a mention.
_KEPT = 30 * 86400.0
#: How many verifications of one sender run at most.
_EACH = 2
#: After so many seconds a verification counts as slow, and goes on beside its worker.
_PATIENCE = 2.0
#: How many slow ones run at most, in addition to those that the workers wait for.
_SLOW = 24
_ID = re.compile(r"[0-9a-f]{24}")


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One webmention (a source that claims to link to a target) and its state.

    ``received``, ``changed`` and ``due`` (the next verification) are in seconds since the epoch.
    ``sent`` counts how often it was received, ``tries`` the failed fetches in a row. ``missing`` is
    when the source of a shown mention was first found missing, ``misses`` how often since.
    ``mention`` is the verified mention until it has a file, or that the owner refused; ``digest``
    the file's ``HASH12``. ``restored``: the owner has asked for it after it was refused.
    ``counted``: it is counted in ``more.json`` in place of a file.
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
    restored: bool = False

    @property
    def id(self) -> str:
        """A hash of source and target, so that a webmention that is sent again updates the same
        record.
        """
        return id_of(self.source, self.target)

    def of_mention(self) -> Mention:
        """The verified mention of this record, which must have one."""
        return Mention(**(self.mention or {}))

    def set_state(self, state: State, why: str = "", *, now: float) -> None:
        """Change the state; ``why`` is shown to the sender."""
        self.state, self.why, self.changed, self.tries, self.due = state, why, now, 0, 0.0
        if state not in _OPEN:
            self.restored = False
        if state not in _OPEN and state != "refused":
            self.mention = None


def id_of(source: str, target: str) -> str:
    """The id of a webmention, in URLs and file names."""
    return hashlib.sha256(f"{source}\n{target}".encode()).hexdigest()[:24]


class Inbox:
    """All records, in memory and one file each. The methods block and are thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self._new = 0

    def start(self, now: float) -> None:
        """Load the records of the previous run and remove old ones."""
        private.make_folder(self._folder)
        self.load()
        self.prune(now)

    def load(self) -> None:
        """Load every record; changes nothing on disk."""
        decoder = msgspec.json.Decoder(Record)
        for file in sorted(self._folder.glob("*.json")):
            try:
                record = decoder.decode(file.read_bytes())
            except FileNotFoundError:
                continue  # the serving process has removed an old one
            except (OSError, msgspec.DecodeError) as error:
                log.warning("%s cannot be read and is ignored: %s", file, error)
                continue
            self._records[record.id] = record

    def get(self, name: str) -> Record | None:
        """The record with this id, or ``None``."""
        return self._records.get(name) if _ID.fullmatch(name) else None

    def in_state(self, *states: State) -> list[Record]:
        """The records in these states, oldest first."""
        with self._lock:
            found = [each for each in self._records.values() if each.state in states]
        return sorted(found, key=lambda each: (each.received, each.id))

    def receive(self, source: str, target: str, now: float) -> Record:
        """Add or update the record of a received webmention; on disk when this returns.

        Raises :class:`Unavailable` where too many are waiting, :class:`InsufficientStorage` where
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
        """Store a record's present state. Raises :class:`InsufficientStorage`."""
        try:
            write_durably(self._folder / f"{record.id}.json", msgspec.json.encode(record))
        except OSError as error:
            if is_full(error):
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
        """Remove a record."""
        with self._lock:
            self._records.pop(record.id, None)
        (self._folder / f"{record.id}.json").unlink(missing_ok=True)

    def prune(self, now: float) -> None:
        """Remove records that reached a final state long ago, and the oldest ones over the
        limit.
        """
        for record in list(self._expired(now)):
            self.remove(record)

    def _expired(self, now: float) -> Iterator[Record]:
        with self._lock:
            every = sorted(self._records.values(), key=lambda each: each.changed)
        pending = [each for each in every if each.state == "pending"]
        yield from _over_limit(pending)
        settled = [each for each in every if each.state not in _OPEN and not each.misses]
        too_many = max(0, len(every) - _REMEMBERED)
        for number, record in enumerate(settled):
            if number < too_many or record.changed < now - _KEPT:
                yield record


def _over_limit(pending: Sequence[Record]) -> Iterator[Record]:
    """The records over the limit of pending ones, oldest first of the sites that have sent the
    most: a flood evicts its own mentions and not those of others.
    """
    by_site: defaultdict[str, deque[Record]] = defaultdict(deque)
    for record in pending:
        by_site[domain_of(urlsplit(record.source).netloc)].append(record)
    for _ in range(len(pending) - _PENDING):
        yield max(by_site.values(), key=len).popleft()


class VerificationQueue:
    """Ids of records to verify, which several workers share: each is queued once, and no two
    workers have the same one.

    Senders take turns, each has at most two at once, and each site of a source has one, so that a
    sender of many mentions delays only its own. A mention that several senders have sent gets the
    turns of all of them. Servers that answer slowly do not hold up the workers.

    ``verify`` is called with an id and the sender whose turn it is, and must not raise. ``site_of``
    returns the site of a record's source.
    """

    def __init__(
        self,
        verify: Callable[[str, str], Coroutine[Any, Any, None]],
        site_of: Callable[[str], str],
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._verify = verify
        self._patience = patience
        self._verifying = set[asyncio.Task[None]]()
        self._slow = 0
        self._site_of = site_of
        #: The ids that wait, by sender; the next sender first.
        self._waiting: dict[str, dict[str, None]] = {}
        self._queued: defaultdict[str, set[str]] = defaultdict(set)
        self._busy_sites = set[str]()
        self._busy_senders = Counter[str]()
        #: Set, and replaced, when something is added or done.
        self._changed = asyncio.Event()
        self._timers = set[asyncio.TimerHandle]()

    def add(self, name: str, sender: str = "", delay: float = 0.0) -> None:
        """Queue an id, at once or after ``delay`` seconds. It may be in the queue already.

        ``sender`` is who has sent it, ``""`` if that is not known.
        """
        if delay <= 0:
            self._add_now(name, sender)
            return

        def add_now() -> None:
            self._timers.discard(timer)
            self._add_now(name, sender)

        timer = asyncio.get_running_loop().call_later(delay, add_now)
        self._timers.add(timer)

    async def work(self) -> None:
        """Verify one after the other, until cancelled. Several workers may run."""
        while True:
            while (taken := self._take()) is None:
                await self._changed.wait()
            await self._start(*taken)

    async def join(self) -> None:
        """Wait until everything that was queued without a delay is verified."""
        while self._queued or self._busy_sites:
            await self._changed.wait()

    async def close(self) -> None:
        """Cancel what runs, and what was added with a delay."""
        for timer in self._timers:
            timer.cancel()
        for verifying in self._verifying:
            verifying.cancel()
        await asyncio.gather(*self._verifying, return_exceptions=True)

    async def _start(self, name: str, site: str, sender: str) -> None:
        """Verify one, and wait for that unless it is slow."""
        verifying = asyncio.create_task(self._run(name, site, sender), name="verification")
        self._verifying.add(verifying)
        verifying.add_done_callback(self._verifying.discard)
        await asyncio.wait({verifying}, timeout=self._patience)
        if not verifying.done() and self._slow < _SLOW:
            self._slow += 1
            verifying.add_done_callback(self._slow_ended)
        else:
            await asyncio.wait({verifying})

    async def _run(self, name: str, site: str, sender: str) -> None:
        try:
            await self._verify(name, sender)
        finally:
            self._busy_sites.discard(site)
            self._busy_senders -= Counter([sender])
            self._wake()

    def _slow_ended(self, _: asyncio.Task[None]) -> None:
        self._slow -= 1

    def _take(self) -> tuple[str, str, str] | None:
        """The next id with its site and sender, which have a worker now; ``None`` if all wait."""
        for sender, names in self._waiting.items():
            if self._busy_senders[sender] >= _EACH:
                continue
            for name in names:
                if (site := self._site_of(name)) in self._busy_sites:
                    continue
                for each in self._queued.pop(name):
                    del self._waiting[each][name]
                    if not self._waiting[each]:
                        del self._waiting[each]
                if sender in self._waiting:
                    self._waiting[sender] = self._waiting.pop(sender)
                self._busy_sites.add(site)
                self._busy_senders[sender] += 1
                return name, site, sender
        return None

    def _add_now(self, name: str, sender: str) -> None:
        self._waiting.setdefault(sender, {})[name] = None
        self._queued[name].add(sender)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
