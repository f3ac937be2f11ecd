"""Records finished copies in the posts' files: moves targets from ``syndicate-to`` to
``syndication``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bridge.content.file import Mf2Line, PelicanFile
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer, commit_message, retry_on_conflict
from bridge.posts.reader import PostReader
from bridge.posts.reservations import Reservations
from bridge.site.messages import IndexedPost
from bridge.store import BlobId, Change, Version
from bridge.syndication.accounts import Account
from bridge.syndication.jobs import Job, Ledger


@dataclass(frozen=True, slots=True)
class PostFile:
    """A post's file as of one commit."""

    base: Version
    entry: IndexedPost
    file: PelicanFile
    blob: BlobId

    @property
    def mf2(self) -> Mf2Line:
        """Its ``Mf2`` line."""
        return Mf2Line.of(self.file)


class WriteBack:
    """Reads posts' files and commits the results of syndication to them."""

    def __init__(
        self,
        catalogue: Catalogue,
        posts: PostReader,
        reservations: Reservations,
        committer: Committer,
        ledger: Ledger,
        accounts: Mapping[str, Account],
    ) -> None:
        self._catalogue = catalogue
        self._posts = posts
        self._reservations = reservations
        self._committer = committer
        self._ledger = ledger
        self._accounts = accounts

    async def open(self, path: str) -> PostFile | None:
        """A post's file as of the newest commit, or ``None``."""
        base = await self._catalogue.refresh(patient=True)
        entry = self._catalogue.index.find_by_path(path)
        if entry is None:
            return None
        file, blob = await asyncio.to_thread(self._posts.open, entry)
        return PostFile(base, entry, file, blob)

    async def record(self, job: Job) -> None:
        """Commit the copy's URL, together with those of the post's other finished copies."""
        others = [
            each
            for each in self._ledger.jobs.values()
            if each.path == job.path and each.action == "post" and each.copy and each is not job
        ]
        await self._record([job, *others])

    async def record_none(self, job: Job) -> None:
        """Commit that a copy is no longer requested."""
        await self._record([job], is_made=False)

    async def _record(self, jobs: Sequence[Job], *, is_made: bool = True) -> None:
        async def attempt() -> None:
            async with self._reservations.lock(jobs[0].path):
                opened = await self.open(jobs[0].path)
                if opened is None or Mf2Line.is_broken(opened.file):
                    return
                mf2 = opened.mf2
                for job in jobs:
                    mf2 = _recorded(mf2, job, job.copy if is_made else "")
                if mf2 == opened.mf2:
                    return
                file = opened.file.with_header("Mf2", mf2.text())
                message = commit_message(
                    "syndicated", self._subject(jobs, is_made), url=opened.entry.url, client_id=None
                )
                change = Change(opened.entry.path, file.text().encode(), opened.blob)
                await self._committer.commit([change], message, opened.base)

        await retry_on_conflict(attempt)

    def _subject(self, jobs: Sequence[Job], is_made: bool) -> str:
        order = [*self._accounts]
        uids = sorted(
            (job.uid for job in jobs), key=lambda uid: order.index(uid) if uid in order else -1
        )
        names = [self._accounts[uid].target.name if uid in self._accounts else uid for uid in uids]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        what = ("Copies" if len(names) > 1 else "Copy") if is_made else "No copy"
        return f"{what} at {listed}: {jobs[0].title}"


def _recorded(mf2: Mf2Line, job: Job, copy: str) -> Mf2Line:
    wanted = tuple(uid for uid in mf2.syndicate_to if uid != job.uid)
    named = list(mf2.properties.get("syndication", ()))
    if copy:
        if job.old and job.old != copy:
            named = [each for each in named if each != job.old]
        named += [] if copy in named else [copy]
    properties = {**mf2.properties, "syndication": tuple(named)}
    if not named:
        del properties["syndication"]
    return mf2.with_changes(syndicate_to=wanted, properties=MappingProxyType(properties))
