"""Carries out syndication jobs: creates, edits and deletes one copy of a post at a network.

Each action first compares the job with the post's present file, since the post may have changed
while the job was waiting, and again afterwards, since it may have changed while the job ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct, field

from bridge.content.file import Mf2Line
from bridge.micropub.post import Post
from bridge.posts.post_files import OpenPost, PostReader
from bridge.site.messages import IndexedPost
from bridge.syndication.compose.composer import CopySource, source_of
from bridge.syndication.compose.post_page import PostPage
from bridge.syndication.jobs.ledger import Action, Copy, Job, Ledger
from bridge.syndication.jobs.outcomes import Outcomes
from bridge.syndication.jobs.planner import Planner, is_public, visible_content
from bridge.syndication.jobs.writeback import WriteBack
from bridge.syndication.networks import Account, CopyRefused, CreatedCopy


class PostPageSource(Protocol):
    """Fetches posts' pages."""

    async def page(self, entry: IndexedPost, stamps: Sequence[datetime]) -> PostPage | None:
        """The parsed page of a post; ``None`` while this version of the post is not live."""
        ...


class Copier(Struct):
    """Carries out jobs. Several may run at once, one for each target.

    ``running`` has the names of the jobs in progress, ``seconds`` returns the present time, and
    ``together`` is how long a finished copy waits for the other copies of its post, in seconds.
    """

    posts: PostReader
    live: PostPageSource
    ledger: Ledger
    outcomes: Outcomes
    planner: Planner
    files: WriteBack
    accounts: Mapping[str, Account]
    running: Collection[str]
    seconds: Callable[[], float]
    together: float
    _progress: asyncio.Event = field(default_factory=asyncio.Event)

    async def do(self, account: Account, job: Job) -> None:
        """Carry out a job.

        Raises :class:`ApiError`, :class:`CopyRefused`, :class:`BridgeError`, :class:`StoreError`
        and ``OSError``.
        """
        match job.action:
            case "post":
                await self._create(account, job)
            case "edit":
                await self._edit(account, job)
            case "delete":
                await self._delete(account, job)

    def progressed(self) -> None:
        """Wake the jobs that wait for another copy of their post."""
        waiting, self._progress = self._progress, asyncio.Event()
        waiting.set()

    async def _create(self, account: Account, job: Job) -> None:
        opened = await self.files.open(job.path)
        if job.copy:
            # An earlier attempt created it and was interrupted before it was recorded.
            if job.copy not in self.ledger.copies:
                self._keep(job, CreatedCopy(job.copy, job.copy_id, job.text))
            await self._record(job, is_changed=True)
            return
        if opened is None:
            self.planner.cancel(job)
            return
        if Mf2Line.is_broken(opened.file):
            raise CopyRefused("the Mf2 line of the post's file is invalid: correct or remove it")
        known = self.planner.copy_at(job.uid, opened.mf2)
        if known is not None and known != job.old:
            # Copied by hand, or by an earlier attempt that was recorded in the file.
            await self.files.record_none(job)
            self._drop(job, "post")
            return
        if job.uid not in opened.mf2.syndicate_to and known is None:
            self.planner.cancel(job)
            return
        source = await self._source(account, job, opened)
        if source is None:
            return
        made = await account.network.post(job, source)
        self.ledger.set_trouble(job.uid, None)
        job.copy, job.copy_id, job.text = made.url, made.id, made.text or job.text
        self.ledger.save(job)
        self._keep(job, made)
        now = await self.files.open(job.path)
        is_changed = made.earlier or (
            now is not None and visible_content(now.file) != visible_content(opened.file)
        )
        await self._record(job, is_changed=is_changed)

    async def _edit(self, account: Account, job: Job) -> None:
        copy, opened = self.ledger.copies.get(job.old), await self.files.open(job.path)
        if copy is None or opened is None or Mf2Line.is_broken(opened.file):
            # The copy of a deleted post is deleted when the planner sees that commit.
            self._drop(job, "edit")
            return
        source = await self._source(account, job, opened)
        if source is None:
            return
        made = await account.network.edit(job, source, copy)
        if made is not None:
            self.ledger.set_trouble(job.uid, None)
            copy.text, copy.alts, copy.edited = made.text, made.alts, self.seconds()
            self.ledger.save_copy(copy)
        self._drop(job, "edit")
        now = await self.files.open(job.path)
        if now is not None and visible_content(now.file) != visible_content(opened.file):
            self.planner.plan_edits(job.path, now.file)

    async def _delete(self, account: Account, job: Job) -> None:
        job.old, job.old_id = job.old or job.copy, job.old_id or job.copy_id
        await account.network.delete(job)
        self.ledger.set_trouble(job.uid, None)
        if (copy := self.ledger.copies.get(job.old)) is not None:
            copy.deleted = True
            self.ledger.save_copy(copy)
        elif job.old:
            gone = Copy(job.old, job.uid, job.old_id, made=self.seconds(), deleted=True)
            gone.paths = (job.path,)
            self.ledger.save_copy(gone)
        self._drop(job, "delete")
        # The post may have been restored in the meantime: then it gets a new copy.
        now = await self.files.open(job.path)
        if now is not None and is_public(now.file):
            self.planner.plan_copies(job.path, now.file)

    async def _source(self, account: Account, job: Job, opened: OpenPost) -> CopySource | None:
        """The live post; ``None`` where it is not live yet, or not to be copied."""
        entry = opened.entry
        post = await self.posts.read(opened.file, entry)
        if entry.status == "draft" or _is_private(post, opened):
            # Publishing it changes the file, which plans a new job.
            self.planner.cancel(job)
            return None
        seconds = self.seconds()
        if entry.published > seconds:
            self.outcomes.postpone(job, entry.published - seconds)
            return None
        page = await self.live.page(entry, _stamps(post))
        if page is None:
            self.outcomes.not_live(job)
            return None
        job.looks, job.url = 0, entry.url
        published = datetime.fromtimestamp(entry.published, UTC)
        source = source_of(post, page, entry.url, published)
        if account.target.require_alt and any(not photo.alt for photo in source.photos):
            raise CopyRefused("a photo has no alt text: add one, and the post is copied")
        return source

    async def _record(self, job: Job, *, is_changed: bool) -> None:
        """Commit the copy's URL to the post's file and finish the job.

        ``is_changed``: the post may have been edited since the copy was composed.
        """
        await self._wait_for_others(job)
        before = await self.files.open(job.path)
        await self.files.record(job)
        # If the post was deleted while the job ran, the job's action is "delete" now and it stays.
        self._drop(job, "post")
        now = await self.files.open(job.path)
        if now is None or before is None:
            return
        if (
            is_changed
            or visible_content(now.file) != visible_content(before.file)
            or not is_public(now.file)
        ):
            self.planner.plan_edits(job.path, now.file)

    async def _wait_for_others(self, job: Job) -> None:
        """Wait a moment for the post's other copies, so that one commit records all of them."""
        self.progressed()
        end = asyncio.get_running_loop().time() + self.together
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                while any(self._is_imminent(other) for other in self._others(job)):
                    await self._progress.wait()

    def _others(self, job: Job) -> list[Job]:
        jobs = self.ledger.jobs.values()
        return [each for each in jobs if each.path == job.path and each is not job]

    def _is_imminent(self, job: Job) -> bool:
        """Whether a copy will probably be created within ``together`` seconds."""
        if job.action != "post" or job.copy or job.state != "waiting":
            return False
        account, seconds = self.accounts.get(job.uid), self.seconds()
        if account is None or account.is_off(self.ledger, seconds):
            return False
        return job.name in self.running or job.next <= seconds + self.together

    def _keep(self, job: Job, made: CreatedCopy) -> None:
        if job.old and job.old != made.url:
            self.ledger.forget_copy(job.old)
        copy = Copy(made.url, job.uid, made.id, made.text, made.alts, made=self.seconds())
        copy.paths, copy.unseen = (job.path,), True
        self.ledger.save_copy(copy)

    def _drop(self, job: Job, action: Action) -> None:
        """Delete a finished job, unless its action was changed in the meantime."""
        if self.ledger.jobs.get(job.name) is job and job.action == action:
            self.ledger.drop(job)


def _is_private(post: Post, opened: OpenPost) -> bool:
    visibility = str(post.first("visibility") or "").strip().lower()
    return visibility == "private" or not is_public(opened.file)


def _stamps(post: Post) -> list[datetime]:
    """The time at which the post was updated, else published; ``[]`` without a time zone."""
    for name in ("updated", "published"):
        with suppress(ValueError, TypeError):
            found = datetime.fromisoformat(post.text(name) or "")
            return [found] if found.tzinfo is not None else []
    return []
