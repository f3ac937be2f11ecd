"""Makes copies of posts where they are wanted, once: from the files to the networks and back.

What is wanted is in a post's own file (``syndicate-to`` of its ``Mf2`` line), and so is what is
done (``syndication``). This follows the versions of the site, writes down what each brings to do
(:mod:`.jobs`), and does it, one worker for each target, so that none waits for another.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from types import MappingProxyType
from typing import Protocol, TypeAlias

from bridge.content.file.front_matter import PelicanFile
from bridge.content.file.mf2 import Mf2Line
from bridge.errors import BridgeError
from bridge.micropub.post import Post
from bridge.posts.catalogue import Catalogue
from bridge.posts.commit_message import commit_message
from bridge.posts.commits import Committer, retry_on_conflict
from bridge.posts.reader import PostReader
from bridge.posts.reservations import Placing
from bridge.settings import Target
from bridge.site.messages import Entry
from bridge.store import BlobId, Change, ContentStore, StoreError, Version
from bridge.syndication.api import ApiError
from bridge.syndication.compose import Source, source_of
from bridge.syndication.jobs import RETRIES, Copy, Job, Ledger, Trouble
from bridge.syndication.networks import Made, Network, Refused
from bridge.syndication.shown import Page

log = logging.getLogger(__name__)

#: Seconds between looks whether a page is live; then each minute for half an hour, then every ten.
_LOOKS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, *(60.0,) * 30)
_LATER_LOOKS = 600.0
_DAY = 86_400.0
#: Copies are edited no more often than this.
_BETWEEN_EDITS = 600.0
#: A target that refuses its token is asked again this often, or at once with another token.
_OFF_SECONDS = 3_600.0
_OFF_LOOK = 30.0
#: Seconds after which a commit is seen that no one has told of.
_POLL = 30.0
_NEWEST = 100
_LONGEST_SLEEP = 600.0
_TITLE = 80


#: A file of a post before and after.
_Change: TypeAlias = tuple[str, PelicanFile | None, PelicanFile | None]


class Live(Protocol):
    """Knows pages as the world sees them."""

    async def page(self, entry: Entry, stamps: Sequence[datetime]) -> Page | None:
        """The page of a post; ``None`` while the world does not see this version of it."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """A target, its network, and a name for its token, which changes with that."""

    target: Target
    network: Network
    token: Callable[[], str]


@dataclass(frozen=True, slots=True)
class _Opened:
    base: Version
    entry: Entry
    file: PelicanFile
    blob: BlobId

    @property
    def mf2(self) -> Mf2Line:
        return Mf2Line.of(self.file)


class Syndicator:
    """The loop and its workers. ``accounts`` are those with a type, by their uids."""

    def __init__(
        self,
        store: ContentStore,
        catalogue: Catalogue,
        posts: PostReader,
        placing: Placing,
        committer: Committer,
        ledger: Ledger,
        live: Live,
        *,
        folder: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        retries: Sequence[float] = RETRIES,
        looks: Sequence[float] = _LOOKS,
    ) -> None:
        """``folder`` is the content folder."""
        self._store = store
        self._catalogue = catalogue
        self._posts = posts
        self._placing = placing
        self._committer = committer
        self._live = live
        self._folder = folder
        self._now = now
        self._retries = retries
        self._looks = looks
        self._accounts: Mapping[str, Account] = MappingProxyType({})
        self._tasks: list[asyncio.Task[None]] = []
        self._moved = asyncio.Event()
        self._wakes: dict[str, asyncio.Event] = {}
        self._running = set[str]()
        self.ledger = ledger

    def start(self, accounts: Mapping[str, Account]) -> None:
        """Begin to work."""
        self._accounts = MappingProxyType(dict(accounts))
        self._wakes = {uid: asyncio.Event() for uid in accounts}
        self._moved.set()
        self._tasks = [asyncio.create_task(self._follow(), name="syndication")]
        for account in accounts.values():
            name = f"copies at {account.target.name}"
            self._tasks.append(asyncio.create_task(self._work(account), name=name))

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
        return self._accounts

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
            await self._record(job, None)
        self.ledger.drop(job)
        return True

    # ---- which versions bring what ---------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._moved.wait()
            self._moved.clear()
            if self._store.head() == self.ledger.cursor():
                continue
            try:
                # No further than the index: it has to know the posts.
                await self._catch_up(await self._catalogue.refresh(patient=True))
            except (BridgeError, StoreError, OSError) as error:
                log.warning("what there is to copy is not known just now: %s", error)
                asyncio.get_running_loop().call_later(_POLL, self._moved.set)
            for uid in self._accounts:
                self._wake(uid)

    async def _catch_up(self, head: Version) -> None:
        """Files are read in a thread; what is to be done about them is decided here."""
        cursor = self.ledger.cursor()
        changes = None
        if cursor is not None:
            with suppress(StoreError):
                changes = await asyncio.to_thread(self._changes, cursor, head)
        if changes is not None:
            self._look_at(changes)
        else:
            for path, file in await asyncio.to_thread(self._wanting, head):
                self._want(path, file, again=False, lost=True)
        self.ledger.move_cursor(head)

    def _wanting(self, head: Version) -> list[tuple[str, PelicanFile]]:
        """Where nothing is remembered: the files that want something."""
        listed = self._store.files(self._folder, head)
        files = [(path, blob) for path, blob in listed if _is_post(path)]
        blobs = self._store.blobs(blob for _, blob in files)
        return [
            (path, _parsed(path, blob.data))
            for (path, _), blob in zip(files, blobs, strict=True)
            if b'"syndicate-to"' in blob.data
        ]

    def _changes(self, old: Version, new: Version) -> list[_Change]:
        inside = [each for each in self._store.diff(old, new) if self._is_inside(each.path)]
        wanted = [blob for each in inside for blob in (each.old, each.new) if blob]
        read = {blob.id: blob.data for blob in self._store.blobs(dict.fromkeys(wanted))}
        return [
            (
                each.path,
                _parsed(each.path, read[each.old]) if each.old else None,
                _parsed(each.path, read[each.new]) if each.new else None,
            )
            for each in inside
        ]

    def _look_at(self, files: Sequence[_Change]) -> None:
        there = {url for _, _, new in files if new for url in copies_of(Mf2Line.of(new))}
        for path, old, new in files:
            if new is not None:
                gone = {url for url in copies_of(Mf2Line.of(new)) if self._is_deleted(url)}
                self._want(path, new, again=bool(gone) and old is None, lost=False)
                if old is not None and _says(old) != _says(new):
                    self._edit(path, new)
            elif old is not None:
                self._delete(path, old, there)

    def _is_inside(self, path: str) -> bool:
        return path.startswith(f"{self._folder}/") and _is_post(path)

    def _is_deleted(self, url: str) -> bool:
        copy = self.ledger.copies.get(url)
        return copy is not None and copy.deleted

    def _want(self, path: str, file: PelicanFile, *, again: bool, lost: bool) -> None:
        """Write down the copies that a file wants and has not."""
        mf2 = Mf2Line.of(file)
        entry = self._catalogue.index.find_by_path(path)
        if entry is None:
            return
        for uid in self._accounts:
            job = self.ledger.job(path, uid)
            copy = self._copy_at(uid, mf2)
            is_again = again and copy is not None and copy in self.ledger.copies
            if job is not None and job.action == "delete" and not lost:
                # Deleted, and there again before that was done.
                self.ledger.drop(job)
                job = None
            if job is not None and job.state == "failed" and not lost:
                # What was wrong with the post may be right by now.
                self._begin(job)
            if job is not None or not (uid in mf2.syndicate_to or is_again):
                continue
            made = self._new_job(path, uid, entry, file)
            if is_again and copy:
                made.old, made.old_id = copy, self.ledger.copies[copy].id
            if lost:
                made.maybe = True
                made.started = entry.published
                if entry.published < self._seconds() - _DAY:
                    made.state = "held"
                    made.error = "it was wanted before the bridge's memory of copies was lost"
            self.ledger.save(made)

    def _edit(self, path: str, file: PelicanFile) -> None:
        entry = self._catalogue.index.find_by_path(path)
        for url in copies_of(Mf2Line.of(file)):
            copy = self.ledger.copies.get(url)
            account = self._accounts.get(copy.uid) if copy else None
            if copy is None or account is None or not account.target.edit or entry is None:
                continue
            if copy.deleted or self.ledger.job(path, copy.uid) is not None:
                if (job := self.ledger.job(path, copy.uid)) and job.action == "edit":
                    job.since, job.looks = self._seconds(), 0
                    self.ledger.save(job)
                continue
            job = self._new_job(path, copy.uid, entry, file)
            job.action, job.old, job.old_id = "edit", url, copy.id
            job.next = copy.edited + _BETWEEN_EDITS if copy.edited else 0.0
            self.ledger.save(job)

    def _delete(self, path: str, old: PelicanFile, there: set[str]) -> None:
        mf2 = Mf2Line.of(old)
        for uid, account in self._accounts.items():
            job, url = self.ledger.job(path, uid), self._copy_at(uid, mf2)
            under_way = job is not None and job.name in self._running
            if (
                job is not None
                and job.action == "post"
                and not (job.maybe or job.copy or under_way)
            ):
                self.ledger.drop(job)
                job = None
            if url in there or not account.target.delete:
                if job is not None:
                    self.ledger.drop(job)
                continue
            if url is None and job is None:
                continue
            gone = job or Job(path, uid, "delete", url or "", self._seconds())
            known = self.ledger.copies.get(url or gone.copy)
            gone.action, gone.state, gone.next, gone.tries = "delete", "waiting", 0.0, 0
            gone.old = url or gone.copy
            gone.old_id = known.id if known else gone.copy_id
            gone.since = self._seconds()
            self.ledger.save(gone)

    def _new_job(self, path: str, uid: str, entry: Entry, file: PelicanFile) -> Job:
        title = _shown(unescape(file.get("Title") or "")) or entry.url
        return Job(path, uid, "post", entry.url, self._seconds(), title=title)

    def _begin(self, job: Job) -> None:
        job.state, job.next, job.tries, job.looks = "waiting", 0.0, 0, 0
        job.since = self._seconds()
        self.ledger.save(job)

    def _copy_at(self, uid: str, mf2: Mf2Line) -> str | None:
        """The copy at a target that a file names."""
        network = self._accounts[uid].network
        for url in copies_of(mf2):
            known = self.ledger.copies.get(url)
            if (known is not None and known.uid == uid) or network.is_mine(url):
                return url
        return None

    # ---- doing it --------------------------------------------------------------------------

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
        first = min(waiting, key=lambda job: (job.next, job.since))
        wait = first.next - self._seconds()
        return (first, 0.0) if wait <= 0 else (None, min(wait, _LONGEST_SLEEP))

    async def _attempt(self, account: Account, job: Job) -> None:
        """Try a job once, and write down what comes of it."""
        uid = account.target.uid
        if self._is_off(account):
            self._later(job, _OFF_LOOK)
            return
        self._running.add(job.name)
        try:
            await self._do(account, job)
            self.ledger.off(uid, None)
        except ApiError as error:
            self._failed(account, job, error)
        except Refused as error:
            self._give_up(job, str(error))
        except (BridgeError, StoreError, OSError) as error:
            log.warning("%s is not copied to %s yet: %s", job.url, account.target.name, error)
            self._again(job, str(error), None)
        except Exception as error:
            # A bug in one copy must not end the work on all others.
            log.exception("%s cannot be copied to %s", job.url, account.target.name)
            self._again(job, f"{type(error).__name__}: {error}", None)
        finally:
            self._running.discard(job.name)

    def _is_off(self, account: Account) -> bool:
        trouble = self.ledger.trouble(account.target.uid)
        if trouble is None or trouble.token != account.token():
            return False
        return self._seconds() - trouble.asked < _OFF_SECONDS

    async def _do(self, account: Account, job: Job) -> None:
        match job.action:
            case "post":
                await self._post(account, job)
            case "edit":
                await self._change(account, job)
            case "delete":
                await self._remove(account, job)

    async def _post(self, account: Account, job: Job) -> None:
        uid = job.uid
        if not job.copy:
            opened = await self._open(job.path)
            if opened is None:
                self.ledger.drop(job)
                return
            known = self._copy_at(uid, opened.mf2)
            if known is not None and known != job.old:
                # Copied by hand, or by a try whose end was not written down.
                await self._finish(job, None)
                return
            if uid not in opened.mf2.syndicate_to and not job.old:
                self.ledger.drop(job)
                return
            source = await self._source(account, job, opened)
            if source is None:
                return
            made = await account.network.post(job, source)
            job.copy, job.copy_id, job.text = made.url, made.id, made.text or job.text
            self.ledger.save(job)
            self._keep(job, made)
            await self._finish(job, job.copy)
            # What was changed while it was copied is not in the copy.
            now = await self._open(job.path)
            changed = now is not None and _says(now.file) != _says(opened.file)
            if now is not None and (changed or job.tries):
                # An earlier try may have said what the post said then.
                self._edit(job.path, now.file)
            return
        await self._finish(job, job.copy)

    async def _finish(self, job: Job, copy: str | None) -> None:
        await self._record(job, copy)
        # Deleted while it was copied: then that is what is left to do.
        if self.ledger.jobs.get(job.name) is job and job.action == "post":
            self.ledger.drop(job)

    def _keep(self, job: Job, made: Made) -> None:
        if job.old and job.old != made.url:
            self.ledger.forget(job.old)
        self.ledger.keep(
            Copy(made.url, job.uid, made.id, made.text, made.alts, made=self._seconds())
        )

    async def _source(self, account: Account, job: Job, opened: _Opened) -> Source | None:
        """The post as the world sees it; ``None`` where that is not yet so, or never will be."""
        entry = opened.entry
        post = await self._posts.read(opened.file, entry)
        if entry.status == "draft" or _is_private(post, opened.mf2):
            # Should it be published, that is a new version of its file.
            self.ledger.drop(job)
            return None
        seconds = self._seconds()
        if entry.published > seconds:
            self._later(job, entry.published - seconds)
            return None
        page = await self._live.page(entry, _stamps(post))
        if page is None:
            self._not_live(job)
            return None
        job.looks, job.url = 0, entry.url
        published = datetime.fromtimestamp(entry.published, UTC)
        source = source_of(post, page, entry.url, published)
        if account.target.require_alt and any(not photo.alt for photo in source.photos):
            raise Refused("a photo has no alt text: add one, and it is copied")
        return source

    async def _change(self, account: Account, job: Job) -> None:
        copy, opened = self.ledger.copies.get(job.old), await self._open(job.path)
        if copy is None or opened is None:
            self.ledger.drop(job)
            return
        source = await self._source(account, job, opened)
        if source is None:
            return
        made = await account.network.edit(job, source, copy)
        if made is not None:
            copy.text, copy.alts, copy.edited = made.text, made.alts, self._seconds()
            self.ledger.keep(copy)
        self.ledger.drop(job)

    async def _remove(self, account: Account, job: Job) -> None:
        job.old, job.old_id = job.old or job.copy, job.old_id or job.copy_id
        await account.network.delete(job)
        if (copy := self.ledger.copies.get(job.old)) is not None:
            copy.deleted = True
            self.ledger.keep(copy)
        elif job.old:
            gone = Copy(job.old, job.uid, job.old_id, made=self._seconds(), deleted=True)
            self.ledger.keep(gone)
        if self.ledger.jobs.get(job.name) is job:
            self.ledger.drop(job)

    # ---- the post's own file ---------------------------------------------------------------

    async def _open(self, path: str) -> _Opened | None:
        base = await self._catalogue.refresh(patient=True)
        entry = self._catalogue.index.find_by_path(path)
        if entry is None:
            return None
        file, blob = await asyncio.to_thread(self._posts.open, entry)
        return None if Mf2Line.is_broken(file) else _Opened(base, entry, file, blob)

    async def _record(self, job: Job, copy: str | None) -> None:
        """Move a target in the post's file from what is wanted to what is done: one commit."""

        async def attempt() -> None:
            async with self._placing.turn(job.path):
                opened = await self._open(job.path)
                if opened is None:
                    return
                mf2 = _recorded(opened.mf2, job, copy)
                if mf2 == opened.mf2:
                    return
                file = opened.file.with_header("Mf2", mf2.text())
                name = self._accounts[job.uid].target.name if job.uid in self._accounts else job.uid
                subject = f"Copy at {name}" if copy else f"No copy at {name}"
                message = commit_message(
                    "syndicated", f"{subject}: {job.title}", url=opened.entry.url, client_id=None
                )
                change = Change(job.path, file.text().encode(), opened.blob)
                await self._committer.commit([change], message, opened.base)

        await retry_on_conflict(attempt)

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

    # ---- when it does not work -------------------------------------------------------------

    def _failed(self, account: Account, job: Job, error: ApiError) -> None:
        uid, name = job.uid, account.target.name
        if error.denied:
            old = self.ledger.trouble(uid)
            since = old.since if old else self._seconds()
            trouble = Trouble(str(error), since, account.token(), self._seconds())
            self.ledger.off(uid, trouble)
            log.error("%s refuses its token: %s", name, error)
            job.error = str(error)
            self._later(job, _OFF_LOOK)
            return
        if error.passing:
            log.warning("%s is not copied to %s yet: %s", job.url, name, error)
            self._again(job, str(error), error.retry_after)
            return
        self._give_up(job, str(error))

    def _again(self, job: Job, error: str, retry_after: float | None) -> None:
        job.error = error
        if job.tries >= len(self._retries):
            self._give_up(job, error)
            return
        pause = self._retries[job.tries] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        job.tries += 1
        self._later(job, pause if retry_after is None else retry_after)

    def _give_up(self, job: Job, error: str) -> None:
        log.error("%s is not copied: %s", job.url, error)
        job.state, job.error = "failed", error
        self._write(job)

    def _not_live(self, job: Job) -> None:
        if self._seconds() - job.since > _DAY:
            self._give_up(job, "its page has not become live in a day")
            return
        looks = self._looks
        pause = looks[job.looks] if job.looks < len(looks) else _LATER_LOOKS
        job.looks += 1
        self._later(job, pause)

    def _later(self, job: Job, seconds: float) -> None:
        job.next = self._seconds() + seconds
        self._write(job)

    def _write(self, job: Job) -> None:
        """Save a job that may have been dropped, or become another, in the meantime."""
        if self.ledger.jobs.get(job.name) is job:
            try:
                self.ledger.save(job)
            except OSError:
                log.exception("what is to be copied cannot be written down")

    def _seconds(self) -> float:
        return self._now().timestamp()


def copies_of(mf2: Mf2Line) -> list[str]:
    """The copies that a file names."""
    return [each for each in mf2.properties.get("syndication", ()) if isinstance(each, str)]


def _recorded(mf2: Mf2Line, job: Job, copy: str | None) -> Mf2Line:
    wanted = tuple(uid for uid in mf2.syndicate_to if uid != job.uid)
    named = list(mf2.properties.get("syndication", ()))
    if copy is not None:
        if job.old and job.old != copy:
            named = [each for each in named if each != job.old]
        named += [] if copy in named else [copy]
    properties = {**mf2.properties, "syndication": tuple(named)}
    if not named:
        del properties["syndication"]
    return mf2.with_changes(syndicate_to=wanted, properties=MappingProxyType(properties))


def _is_post(path: str) -> bool:
    return path.rpartition(".")[2].lower() in {
        "md",
        "markdown",
        "mkd",
        "mdown",
        "rst",
        "html",
        "htm",
    }


def _parsed(path: str, data: bytes) -> PelicanFile:
    return PelicanFile.parse(data.decode("utf-8", "replace"), path)


def _says(file: PelicanFile) -> str:
    """What a file says to readers: without what the bridge notes in it, and when it was changed."""
    mf2 = Mf2Line.of(file)
    properties = {name: value for name, value in mf2.properties.items() if name != "syndication"}
    bare = mf2.with_changes(
        syndicate_to=(), references=MappingProxyType({}), properties=MappingProxyType(properties)
    )
    return file.with_header("Mf2", bare.text()).with_header("Modified", None).text()


def _is_private(post: Post, mf2: Mf2Line) -> bool:
    said = (post.first("visibility"), *mf2.properties.get("visibility", ()))
    return any(str(each or "").strip().lower() == "private" for each in said)


def _stamps(post: Post) -> list[datetime]:
    """When the post says that it was changed last, else published."""
    for name in ("updated", "published"):
        with suppress(ValueError, TypeError):
            found = datetime.fromisoformat(post.text(name) or "")
            return [found] if found.tzinfo is not None else []
    return []


def _shown(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _TITLE else f"{line[:_TITLE]}…"
