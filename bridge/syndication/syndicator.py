"""Makes copies of posts where they are wanted, once: from the files to the networks and back.

What is wanted is in a post's own file (``syndicate-to`` of its ``Mf2`` line), and so is what is
done (``syndication``). This follows the versions of the site, has written down what each brings to
do (:mod:`.planning`), and does it, one worker for each target, so that none waits for another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Protocol

from bridge.content.file import Mf2Line
from bridge.errors import BridgeError
from bridge.micropub.post import Post
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer
from bridge.posts.reader import PostReader
from bridge.posts.reservations import Reservations
from bridge.site.messages import IndexedPost
from bridge.store import ContentStore, StoreError, Version
from bridge.syndication.accounts import Account
from bridge.syndication.api import ApiError
from bridge.syndication.compose.composing import Source, source_of
from bridge.syndication.compose.shown import PostPage
from bridge.syndication.jobs import RETRIES, Action, Copy, Job, Ledger
from bridge.syndication.networks import Made, Refused
from bridge.syndication.outcomes import LOOKS, OFF_LOOK, Outcomes
from bridge.syndication.planning import Planner, copies_of, is_public, says
from bridge.syndication.writeback import Opened, WriteBack

log = logging.getLogger(__name__)

#: Seconds after which a commit is seen that no one has told of.
_POLL = 30.0
#: A copy waits so long for the others of its post: one commit says where all are.
_TOGETHER = 5.0
_NEWEST = 100
_LONGEST_SLEEP = 600.0
#: Seconds after a fault of our own, before the work goes on.
_AFTER_FAULT = 60.0


class Live(Protocol):
    """Knows pages as the world sees them."""

    async def page(self, entry: IndexedPost, stamps: Sequence[datetime]) -> PostPage | None:
        """The page of a post; ``None`` while the world does not see this version of it."""
        ...


class Syndicator:
    """The loop and its workers. ``accounts`` are those with a type, by their uids."""

    def __init__(
        self,
        store: ContentStore,
        catalogue: Catalogue,
        posts: PostReader,
        reservations: Reservations,
        committer: Committer,
        ledger: Ledger,
        live: Live,
        *,
        folder: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        retries: Sequence[float] = RETRIES,
        looks: Sequence[float] = LOOKS,
        together: float = _TOGETHER,
    ) -> None:
        """``folder`` is the content folder."""
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
        self._progress = asyncio.Event()
        self._wakes: dict[str, asyncio.Event] = {}
        self._running = set[str]()
        self._files = WriteBack(catalogue, posts, reservations, committer, ledger, self._accounts)
        self._folder = folder
        self.ledger = ledger

    def start(self, accounts: Mapping[str, Account]) -> None:
        """Begin to work."""
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
        self._wakes = {uid: asyncio.Event() for uid in accounts}
        self._moved.set()
        self._tasks = [asyncio.create_task(_for_ever(self._follow), name="syndication")]
        for account in accounts.values():
            name = f"copies at {account.target.name}"
            work = _for_ever(partial(self._work, account))
            self._tasks.append(asyncio.create_task(work, name=name))

    def changed(self, version: Version) -> None:
        """There is a new version: see what it brings."""
        del version
        self._moved.set()

    async def close(self) -> None:
        """Stop at once; what is not done is written down."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The targets at which copies are made, by their uids."""
        return MappingProxyType(self._accounts)

    # ---- what the owner says ---------------------------------------------------------------

    def retry(self, name: str) -> bool:
        """Try a job again at once; whether there is such a job."""
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
        """The owner has connected, or disconnected, an account: see what that changes, at once."""
        self.ledger.off(uid, None)
        for job in list(self.ledger.jobs.values()):
            if job.uid == uid and job.state == "waiting" and not job.looks:
                job.next = 0.0
        self._wake(uid)

    async def skip(self, name: str) -> bool:
        """Never make this copy: it is no longer wanted. Whether there is such a job."""
        job = self.ledger.jobs.get(name)
        if job is None:
            return False
        if job.action == "post":
            await self._files.record_none(job)
        self.ledger.drop(job)
        return True

    def is_taken(self, url: str) -> bool:
        """Whether a copy is that of some post already."""
        if url in self.ledger.copies:
            return True
        newest = self._catalogue.index.newest(limit=_NEWEST)
        for entry in newest:
            with suppress(BridgeError, StoreError):
                file, _ = self._posts.open(entry)
                if url in copies_of(Mf2Line.of(file)):
                    return True
        return False

    # ---- following the site, and doing what is to be done -----------------------------------

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._moved.wait()
            self._moved.clear()
            if self._store.head() == self.ledger.cursor() and self._knows_targets():
                continue
            try:
                # No further than the index: it has to know the posts.
                await self._planner.catch_up(await self._catalogue.refresh(patient=True))
            except (BridgeError, StoreError, OSError) as error:
                log.warning("what there is to copy is not known just now: %s", error)
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
        """The next job, or how long there is none."""
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
        """Try a job once, and write down what comes of it."""
        action = job.action
        if account.is_off(self.ledger, self._seconds()):
            self._outcomes.later(job, OFF_LOOK)
            return
        self._running.add(job.name)
        try:
            await self._do(account, job)
        except ApiError as error:
            self._outcomes.failed(account, job, action, error)
        except Refused as error:
            self._outcomes.give_up(job, action, str(error))
        except (BridgeError, StoreError, OSError) as error:
            log.warning("%s is not copied to %s yet: %s", job.url, account.target.name, error)
            self._outcomes.again(job, action, str(error), None)
        except Exception as error:
            # A bug in one copy must not end the work on all others.
            log.exception("%s cannot be copied to %s", job.url, account.target.name)
            self._outcomes.again(job, action, f"{type(error).__name__}: {error}", None)
        finally:
            self._running.discard(job.name)
            self._tell_progress()

    async def _do(self, account: Account, job: Job) -> None:
        match job.action:
            case "post":
                await self._post(account, job)
            case "edit":
                await self._change(account, job)
            case "delete":
                await self._remove(account, job)

    async def _post(self, account: Account, job: Job) -> None:
        opened = await self._files.open(job.path)
        if job.copy:
            # Made by an earlier try, whose end was not written down.
            if job.copy not in self.ledger.copies:
                self._keep(job, Made(job.copy, job.copy_id, job.text))
            await self._finish(job, is_changed=True)
            return
        if opened is None:
            self._planner.gone(job)
            return
        if Mf2Line.is_broken(opened.file):
            raise Refused("the Mf2 line of the post's file cannot be read: correct or remove it")
        known = self._planner.copy_at(job.uid, opened.mf2)
        if known is not None and known != job.old:
            # Copied by hand, or by a try whose end was not written down.
            await self._files.record_none(job)
            self._drop(job, "post")
            return
        if job.uid not in opened.mf2.syndicate_to and not job.old:
            self._planner.gone(job)
            return
        source = await self._source(account, job, opened)
        if source is None:
            return
        made = await account.network.post(job, source)
        self.ledger.off(job.uid, None)
        job.copy, job.copy_id, job.text = made.url, made.id, made.text or job.text
        self.ledger.save(job)
        self._keep(job, made)
        now = await self._files.open(job.path)
        is_changed = made.earlier or (now is not None and says(now.file) != says(opened.file))
        await self._finish(job, is_changed=is_changed)

    async def _finish(self, job: Job, *, is_changed: bool) -> None:
        """Write down in the post's file where the copy is.

        ``is_changed``: the post may say something else by now.
        """
        await self._gather(job)
        before = await self._files.open(job.path)
        await self._files.record(job)
        # Deleted while it was copied: then that is what is left to do.
        self._drop(job, "post")
        now = await self._files.open(job.path)
        if now is None or before is None:
            return
        if is_changed or says(now.file) != says(before.file) or not is_public(now.file):
            self._planner.edit(job.path, now.file)

    async def _gather(self, job: Job) -> None:
        """Wait a moment for the other copies of the post, so that one commit names all."""
        self._tell_progress()
        end = asyncio.get_running_loop().time() + self._together
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                while any(self._is_near(other) for other in self._others(job)):
                    await self._progress.wait()

    def _others(self, job: Job) -> list[Job]:
        jobs = self.ledger.jobs.values()
        return [each for each in jobs if each.path == job.path and each is not job]

    def _is_near(self, other: Job) -> bool:
        """Whether a copy is likely to be there in a moment."""
        if other.action != "post" or other.copy or other.state != "waiting":
            return False
        account, seconds = self._accounts.get(other.uid), self._seconds()
        if account is None or account.is_off(self.ledger, seconds):
            return False
        return other.name in self._running or other.next <= seconds + self._together

    def _tell_progress(self) -> None:
        """Have those look who wait for another copy."""
        told, self._progress = self._progress, asyncio.Event()
        told.set()

    def _keep(self, job: Job, made: Made) -> None:
        if job.old and job.old != made.url:
            self.ledger.forget(job.old)
        self.ledger.keep(
            Copy(made.url, job.uid, made.id, made.text, made.alts, made=self._seconds())
        )

    async def _source(self, account: Account, job: Job, opened: Opened) -> Source | None:
        """The post as the world sees it; ``None`` where that is not yet so, or never will be."""
        entry = opened.entry
        post = await self._posts.read(opened.file, entry)
        if entry.status == "draft" or _is_private(post, opened):
            # Should it be published, that is a new version of its file.
            self._planner.gone(job)
            return None
        seconds = self._seconds()
        if entry.published > seconds:
            self._outcomes.later(job, entry.published - seconds)
            return None
        page = await self._live.page(entry, _stamps(post))
        if page is None:
            self._outcomes.not_live(job)
            return None
        job.looks, job.url = 0, entry.url
        published = datetime.fromtimestamp(entry.published, UTC)
        source = source_of(post, page, entry.url, published)
        if account.target.require_alt and any(not photo.alt for photo in source.photos):
            raise Refused("a photo has no alt text: add one, and it is copied")
        return source

    async def _change(self, account: Account, job: Job) -> None:
        copy, opened = self.ledger.copies.get(job.old), await self._files.open(job.path)
        if copy is None or opened is None or Mf2Line.is_broken(opened.file):
            # A post that is gone takes its copy along when the version is looked at.
            self._drop(job, "edit")
            return
        source = await self._source(account, job, opened)
        if source is None:
            return
        made = await account.network.edit(job, source, copy)
        if made is not None:
            self.ledger.off(job.uid, None)
            copy.text, copy.alts, copy.edited = made.text, made.alts, self._seconds()
            self.ledger.keep(copy)
        self._drop(job, "edit")
        now = await self._files.open(job.path)
        if now is not None and says(now.file) != says(opened.file):
            self._planner.edit(job.path, now.file)

    async def _remove(self, account: Account, job: Job) -> None:
        job.old, job.old_id = job.old or job.copy, job.old_id or job.copy_id
        await account.network.delete(job)
        self.ledger.off(job.uid, None)
        if (copy := self.ledger.copies.get(job.old)) is not None:
            copy.deleted = True
            self.ledger.keep(copy)
        elif job.old:
            gone = Copy(job.old, job.uid, job.old_id, made=self._seconds(), deleted=True)
            self.ledger.keep(gone)
        self._drop(job, "delete")
        # Back while that was done: then it is to have a copy again.
        now = await self._files.open(job.path)
        if now is not None and is_public(now.file):
            self._planner.want(job.path, now.file)

    def _drop(self, job: Job, action: Action) -> None:
        """A job is done, unless it has become another in the meantime."""
        if self.ledger.jobs.get(job.name) is job and job.action == action:
            self.ledger.drop(job)

    def _seconds(self) -> float:
        return self._now().timestamp()


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    """Have work go on, after a pause, whatever fault of our own ends it."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("making copies has failed unexpectedly, and goes on in a minute")
            await asyncio.sleep(_AFTER_FAULT)


def _is_private(post: Post, opened: Opened) -> bool:
    said = str(post.first("visibility") or "").strip().lower()
    return said == "private" or not is_public(opened.file)


def _stamps(post: Post) -> list[datetime]:
    """When the post says that it was changed last, else published."""
    for name in ("updated", "published"):
        with suppress(ValueError, TypeError):
            found = datetime.fromisoformat(post.text(name) or "")
            return [found] if found.tzinfo is not None else []
    return []
