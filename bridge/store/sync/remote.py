"""Keeps the remote and the branch in sync, outside of requests, with retries."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar

from git import GitError
from msgspec import Struct
from msgspec.structs import replace

from bridge.runtime.backoff import doubled, jittered
from bridge.runtime.threads import ThreadPool
from bridge.store import StoreError, Version
from bridge.store.git import GitStore
from bridge.store.sync.refusals import remedy
from bridge.store.sync.round import MergeConflict, SyncRound
from bridge.store.sync.transport import RemoteIsBusy, RemoteWaits, Transport, TransportError

__all__ = ["LAST_ERROR", "MergeConflict", "Remote", "RemoteStatus"]

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_LOOK = 1.0  # seconds between looks at files: has the branch moved, here or in a local remote?
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 900.0
_LONGEST_BUSY = 5.0  # for other git commands, which end soon, however often there are some
_LONGEST_WAIT = 60.0  # for a remote on this machine, where another try is cheap
_GRACE = 1.5  # seconds that closing waits for a push that is on its way
_END = 1.5  # and then for git, which has been terminated

#: In the state folder: why the last attempt failed.
LAST_ERROR = "remote-error"

State = Literal["ok", "behind", "waiting", "failed", "none"]


class RemoteStatus(Struct, frozen=True):
    """The state of the remote.

    ``behind`` is the number of commits that the remote lacks, ``ahead`` of those that we lack.
    ``state`` is ``ok``; ``behind`` while something is on its way; ``failed`` with the reason in
    ``error``, what helps in ``remedy`` (``""`` if that is not known), and the time of the next try
    (seconds since the epoch) in ``retry``; ``waiting``, with ``error`` and ``retry``, for what the
    owner has to see to in their clone; ``none`` without a remote. ``conflicts`` are files of which
    both versions were kept, until the owner has deleted the one or the other.
    """

    state: State = "none"
    behind: int = 0
    ahead: int = 0
    error: str | None = None
    remedy: str = ""
    retry: float | None = None
    conflicts: tuple[MergeConflict, ...] = ()


class Remote:
    """Keeps the branch and the one of the same name in a remote together.

    Whatever makes the branch move that is not a commit of ours, in the remote or in this repo, is
    reported to ``on_moved``, on the event loop.
    """

    def __init__(
        self,
        store: GitStore,
        name: str,
        *,
        state: Path,
        on_moved: Callable[[Version], None],
        token: str = "",
        poll: float = 60.0,
        is_post: Callable[[str], bool] = lambda _: True,
        recreates: bool = True,
    ) -> None:
        """``name`` is git's name of the remote, ``""`` for none; ``state`` a folder of ours.
        ``token`` is for https, perhaps as ``user:token``. A remote on the network is asked every
        ``poll`` seconds. ``is_post`` tells by its message which commits are kept even if the
        remote is forced back to before them, ``recreates`` whether a branch that the remote has
        lost is created again, where it has another main branch."""
        self._store = store
        self._name = name
        self._on_moved = on_moved
        self._poll = poll
        self._transport = Transport(store.bare_repo, name, token, state, store.disk)
        self._last_error = state / LAST_ERROR
        self._round = SyncRound(store, self._transport, is_post, recreates=recreates)
        self._thread = ThreadPool(1, "remote", first=1)
        self._status = RemoteStatus()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()  # nothing is on its way
        self._settled.set()
        self._fetch = True
        self._seen: Version | None = None
        self._failures = 0
        self._waits: RemoteWaits | None = None
        self._remedy = ""
        self._longest = _LONGEST_PAUSE
        self._stamp: object = None  # of the owner's clone, while something waits for them
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, with what was left from the previous run."""
        self._seen = self._store.head()
        if self._name and await self._in_thread(self._transport.url):
            self._set(RemoteStatus("behind"))
        else:
            if self._name:
                _log.warning(
                    "the repo has no remote named %r: nothing is pushed. Correct [publish] remote,"
                    ' or set it to ""', self._name,
                )  # fmt: skip
            self._name = ""
        self._task = asyncio.create_task(self._run(), name="remote")

    def changed(self, version: Version) -> None:
        """Schedule the push of a new commit of ours. Returns at once."""
        self._seen = version
        if not self._name:
            return
        status = replace(self._status, behind=self._status.behind + 1)
        # While the remote fails, a new post does not shorten the pause.
        if status.state not in {"failed", "waiting"}:
            status = replace(status, state="behind")
            self._wake.set()
        self._set(status)

    async def fetch_now(self) -> None:
        """Synchronise at once: the remote has something new, or works again."""
        if self._name:
            self._fetch = True
            self._wake.set()

    def status(self) -> RemoteStatus:
        """The present state."""
        return self._status

    async def close(self) -> None:
        """Shut down. A running push may finish; one that fails is left for the next start.

        Returns within some seconds, whatever the remote and git do.
        """
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await self._settled.wait()
            await asyncio.to_thread(self._transport.stop)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_END)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        if self._name:
            with _logged("the files that were kept beside others cannot be listed"):
                conflicts = await self._in_thread(self._round.conflicts)
                self._set(replace(self._status, conflicts=conflicts))
        while True:
            if self._name:
                await self._sync()
            await self._wait()

    async def _sync(self) -> None:
        """One round of synchronisation, with its result."""
        fetch, self._fetch = self._fetch, False
        self._wake.clear()
        error = await self._in_thread(self._attempt, fetch)
        self._failures = self._failures + 1 if error else 0
        if error:
            self._fetch = True
            if error != self._status.error:
                _log.warning("remote %s: %s", self._name, error)
        await self._look(error)

    def _attempt(self, fetch: bool) -> str | None:
        """One round in the thread; returns why it failed, if it did. ``check`` is told, too."""
        error = self._run_round(fetch)
        with suppress(OSError):  # a full disk is reported by what needs it
            if error:
                self._last_error.write_text(error, encoding="utf-8")
            else:
                self._last_error.unlink(missing_ok=True)
        return error

    def _run_round(self, fetch: bool) -> str | None:
        """One round; returns why it failed, if it did."""
        local = self._transport.local
        # Read before the attempt: what the owner does during it is a reason for another one.
        before = local.stamp() if local else None
        self._longest = _LONGEST_WAIT if local else _LONGEST_PAUSE
        self._waits, self._remedy = None, ""
        try:
            self._round.run(fetch=fetch)
        except RemoteIsBusy as busy:
            self._longest = _LONGEST_BUSY
            return str(busy)
        except RemoteWaits as waits:
            self._waits = waits
            changed = local is None or local.stamp() != before
            self._stamp = None if changed or local is None else local.stamp(waits.paths)
            return str(waits)
        except TransportError as error:
            self._remedy = remedy(str(error), self._store.bare_repo.common)
            return str(error)
        except (StoreError, GitError, OSError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not end synchronisation
            _log.exception("a round with the remote failed in a way that it should not")
            return f"{type(error).__name__}: {error}"
        return None

    async def _look(self, error: str | None) -> None:
        """Update the status, and report new commits."""
        before = self._seen
        self._tell()
        status = self._status
        try:
            counts = await self._in_thread(self._round.counts)
            if before != self._seen or status.conflicts:
                status = replace(status, conflicts=await self._in_thread(self._round.conflicts))
            if counts is not None:
                status = replace(status, behind=counts.behind, ahead=counts.ahead)
                if counts.behind and not error:
                    self._wake.set()
        except (StoreError, GitError, OSError) as trouble:
            error = error or str(trouble)
        retry = time.time() + self._pause() if error else None
        waiting = self._wake.is_set() and not error
        state: State = "failed" if error else "behind" if waiting else "ok"
        if error and self._waits:
            state = "waiting"
        helps = self._remedy if state == "failed" else ""
        self._set(replace(status, state=state, error=error, remedy=helps, retry=retry))

    def _set(self, status: RemoteStatus) -> None:
        self._status = status
        if status.state == "behind":
            self._settled.clear()
        else:
            self._settled.set()

    async def _wait(self) -> None:
        """Wait until there is something to do: a post, the end of a pause, or a change in the files
        of this repo or of a remote on this machine."""
        if self._failures:
            pause = self._pause()
        else:
            pause = math.inf if self._transport.local else self._poll
        deadline = time.monotonic() + pause
        while (rest := deadline - time.monotonic()) > 0 or not self._name:
            # Not wait_for: that loses a cancellation which comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK, rest) if self._name else _LOOK):
                    await self._wake.wait()
            if self._wake.is_set():
                # The next round does what it was set for; without a remote there is nothing to do.
                self._wake.clear()
                return
            if self._tell() and self._name and not self._failures:
                self._set(replace(self._status, state="behind"))
                return
            if await asyncio.to_thread(self._has_news):
                break
        self._fetch = True

    def _has_news(self) -> bool:
        """Whether something has happened in a remote on this machine. Starts no git process."""
        local, waits = self._transport.local, self._waits
        if local is None:
            return False
        return local.has_news() or bool(waits and local.stamp(waits.paths) != self._stamp)

    def _tell(self) -> bool:
        """Report commits that are not ours; returns whether there were any."""
        try:
            head = self._store.head()
        except StoreError:
            return False  # the next request, or the next round, says what is wrong
        if head is None or head == self._seen:
            return False
        self._seen = head
        with _logged("a listener failed"):
            self._on_moved(head)
        return True

    def _pause(self) -> float:
        """Longer after each failure, with jitter."""
        return jittered(doubled(_FIRST_PAUSE, self._failures - 1, self._longest), 0.2)

    async def _in_thread(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


@contextmanager
def _logged(what: str) -> Iterator[None]:
    """Log errors of secondary work, so that the main work continues."""
    try:
        yield
    except Exception:  # noqa: BLE001 - of any kind
        _log.exception("%s", what)
