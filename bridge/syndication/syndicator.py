"""Schedules syndication: follows the commits, plans jobs, and runs them.

A post's file says which copies it is to have (``syndicate-to`` in its ``Mf2`` line) and
which it has (``syndication``). The syndicator has the changes of each commit turned into jobs
(:mod:`.jobs.planner`) and runs them (:mod:`.jobs.copier`), with one worker per target, so that no
target waits for another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

from bridge.content.file import Mf2Line
from bridge.errors import BridgeError
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer
from bridge.posts.post_files import PostReader
from bridge.posts.reservations import Reservations
from bridge.store import ContentStore, StoreError, Version
from bridge.syndication.api import ApiError, digest
from bridge.syndication.jobs.copier import Copier, PostPageSource
from bridge.syndication.jobs.ledger import RETRIES, Job, Ledger
from bridge.syndication.jobs.outcomes import LOOKS, OFF_LOOK, Outcomes
from bridge.syndication.jobs.planner import Planner, copies_of
from bridge.syndication.jobs.writeback import WriteBack
from bridge.syndication.networks import Account, CopyRefused

log = logging.getLogger(__name__)

#: Seconds after which the branch is checked even without a notification.
_POLL = 30.0
#: How long a finished copy waits for the others of its post, in seconds: one commit records all.
_TOGETHER = 5.0
_NEWEST = 100
_LONGEST_SLEEP = 600.0
#: Pause after an unexpected error, in seconds.
_AFTER_FAULT = 60.0


class Syndicator:
    """The follower of the branch and the workers of the targets."""

    def __init__(
        self,
        store: ContentStore,
        catalogue: Catalogue,
        posts: PostReader,
        reservations: Reservations,
        committer: Committer,
        ledger: Ledger,
        live: PostPageSource,
        *,
        folder: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        retries: Sequence[float] = RETRIES,
        looks: Sequence[float] = LOOKS,
        together: float = _TOGETHER,
    ) -> None:
        """``folder`` is the content folder. The other keywords are for tests."""
        self._store = store
        self._catalogue = catalogue
        self._posts = posts
        self._live = live
        self._now = now
        self._outcomes = Outcomes(ledger, self._seconds, retries, looks)
        self._together = together
        self._accounts: dict[str, Account] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._moved = asyncio.Event()
        self._wakes: dict[str, asyncio.Event] = {}
        self._running = set[str]()
        self._files = WriteBack(posts, reservations, committer, ledger, self._accounts)
        self._folder = folder
        self.ledger = ledger

    def start(self, accounts: Mapping[str, Account]) -> None:
        """Start the workers. ``accounts`` are the targets with a type, by uid."""
        self._accounts.update(accounts)
        self._planner = Planner(
            self._store,
            self._catalogue,
            self.ledger,
            self._accounts,
            self._running,
            folder=self._folder,
            seconds=self._seconds,
        )
        self._copier = Copier(
            self._posts,
            self._live,
            self.ledger,
            self._outcomes,
            self._planner,
            self._files,
            self._accounts,
            self._running,
            self._seconds,
            self._together,
        )
        self._wakes = {uid: asyncio.Event() for uid in accounts}
        self._moved.set()
        self._tasks = [asyncio.create_task(_forever(self._follow), name="syndication")]
        for account in accounts.values():
            name = f"copies at {account.target.name}"
            work = _forever(partial(self._work, account))
            self._tasks.append(asyncio.create_task(work, name=name))

    def changed(self, version: Version) -> None:
        """Called after every new commit. Returns at once."""
        del version
        self._moved.set()

    async def close(self) -> None:
        """Stop at once; unfinished jobs are on disk."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The targets at which copies are made, by uid."""
        return MappingProxyType(self._accounts)

    # What the owner decides.

    def retry(self, name: str) -> bool:
        """Retry a job at once; false if there is no such job."""
        job = self.ledger.jobs.get(name)
        if job is None:
            return False
        job.state, job.next, job.tries, job.looks, job.error = "waiting", 0.0, 0, 0, ""
        job.since = self._seconds()
        self.ledger.save(job)
        if trouble := self.ledger.trouble(job.uid):
            trouble.asked = 0.0
        self._wake(job.uid)
        return True

    def connected(self, uid: str) -> None:
        """Called when the owner has connected or disconnected an account: retries its jobs."""
        self.ledger.set_trouble(uid, None)
        for job in list(self.ledger.jobs.values()):
            if job.uid == uid and job.state == "waiting" and not job.looks:
                job.next = 0.0
        self._wake(uid)

    async def skip(self, name: str) -> bool:
        """Drop a job and the request for its copy; false if there is no such job."""
        job = self.ledger.jobs.get(name)
        if job is None:
            return False
        if job.action == "post":
            await self._files.record_none(job)
        self.ledger.drop(job)
        return True

    async def unlink(self, name: str) -> bool:
        """Remove the URL of a copy that is gone from its post's file; false if it is not missing.

        ``name`` is the hash of the URL. Raises what a commit raises.
        """
        missing = (each for each in self.ledger.answers.values() if each.missing)
        answers = next((each for each in missing if digest(each.url) == name), None)
        if answers is None:
            return False
        index, copy = self._catalogue.index, self.ledger.copies.get(answers.url)
        # The file may have been copied: then each of them links to it.
        found = [index.find(answers.post), *map(index.find_by_path, copy.paths if copy else ())]
        for entry in {entry.path: entry for entry in found if entry is not None}.values():
            await self._files.record_none(
                Job(entry.path, answers.uid, "delete", entry.url, self._seconds(), old=answers.url)
            )
        if copy is not None:
            copy.deleted = True
            self.ledger.save_copy(copy)
        answers.missing = 0.0
        self.ledger.save_answers(answers)
        return True

    def is_taken(self, url: str) -> bool:
        """Whether the copy at ``url`` is already that of some post."""
        if url in self.ledger.copies:
            return True
        newest = self._catalogue.index.newest(limit=_NEWEST)
        for entry in newest:
            with suppress(BridgeError, StoreError):
                file, _ = self._posts.open(entry)
                if url in copies_of(Mf2Line.of(file)):
                    return True
        return False

    # Following the branch and running jobs.

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._moved.wait()
            self._moved.clear()
            if self._store.head() == self.ledger.cursor() and self._knows_targets():
                continue
            try:
                await self._planner.catch_up()
            except (BridgeError, StoreError, OSError) as error:
                log.warning("syndication could not be planned, next try later: %s", error)
                asyncio.get_running_loop().call_later(_POLL, self._moved.set)
            for uid in self._accounts:
                self._wake(uid)

    def _knows_targets(self) -> bool:
        return self.ledger.uids() == {*self._accounts}

    def _wake(self, uid: str) -> None:
        if uid in self._wakes:
            self._wakes[uid].set()

    async def _work(self, account: Account) -> None:
        uid = account.target.uid
        wake = self._wakes[uid]
        while True:
            wake.clear()
            job, wait = self._next(uid)
            if job is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await wake.wait()
                continue
            await self._attempt(account, job)

    def _next(self, uid: str) -> tuple[Job | None, float]:
        """The next job that is due and 0, or ``None`` and the seconds until one is."""
        waiting = [
            job
            for job in list(self.ledger.jobs.values())
            if job.uid == uid and job.state == "waiting"
        ]
        if not waiting:
            return None, _LONGEST_SLEEP
        first = min(waiting, key=lambda job: (self._outcomes.wait(job), job.next, job.since))
        wait = self._outcomes.wait(first)
        return (first, 0.0) if wait <= 0 else (None, min(wait, _LONGEST_SLEEP))

    async def _attempt(self, account: Account, job: Job) -> None:
        """Try a job once and store the outcome."""
        action = job.action
        if account.is_off(self.ledger, self._seconds()):
            self._outcomes.postpone(job, OFF_LOOK)
            return
        self._running.add(job.name)
        try:
            await self._copier.do(account, job)
        except ApiError as error:
            self._outcomes.failed(account, job, action, error)
        except CopyRefused as error:
            self._outcomes.give_up(job, action, str(error))
        except (BridgeError, StoreError, OSError) as error:
            name = account.target.name
            log.warning("%s could not be copied to %s, next try later: %s", job.url, name, error)
            self._outcomes.retry(job, action, str(error), None)
        except Exception as error:
            # A bug in one copy must not stop the others.
            log.exception("%s could not be copied to %s", job.url, account.target.name)
            self._outcomes.retry(job, action, f"{type(error).__name__}: {error}", None)
        finally:
            self._running.discard(job.name)
            self._copier.progressed()

    def _seconds(self) -> float:
        return self._now().timestamp()


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work`` again, after a pause, whenever it raises."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("syndication has failed unexpectedly and is restarted in a minute")
            await asyncio.sleep(_AFTER_FAULT)
