"""Records finished copies in the posts' files: moves targets from ``syndicate-to`` to
``syndication``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from bridge.content.file import Mf2Line
from bridge.posts.commits import Committer, commit_message, retry_on_conflict
from bridge.posts.post_files import OpenPost, PostReader
from bridge.posts.reservations import Reservations
from bridge.site.messages import IndexedPost
from bridge.store import Change
from bridge.syndication.jobs.ledger import Job, Ledger
from bridge.syndication.networks import Account


class WriteBack:
    """Reads posts' files and commits the results of syndication to them."""

    def __init__(
        self,
        posts: PostReader,
        reservations: Reservations,
        committer: Committer,
        ledger: Ledger,
        accounts: Mapping[str, Account],
    ) -> None:
        self._posts = posts
        self._reservations = reservations
        self._committer = committer
        self._ledger = ledger
        self._accounts = accounts

    async def open(self, path: str) -> OpenPost | None:
        """A post's file as of the newest commit, or ``None``."""
        return await self._posts.open_newest(partial(self._find, path), patient=True)

    def _find(self, path: str) -> IndexedPost | None:
        return self._posts.catalogue.index.find_by_path(path)

    async def record(self, job: Job) -> None:
        """Commit the copy's URL, together with those of the post's other finished copies."""
        others = [
            each
            for each in self._ledger.jobs.values()
            if each.path == job.path and each.action == "post" and each.copy and each is not job
        ]
        await self._record([job, *others])

    async def record_none(self, job: Job) -> None:
        """Commit that there is no copy: it is no longer requested, or, for a deletion, the URL of
        ``job.old`` is removed.
        """
        await self._record([job], is_made=False)

    async def _record(self, jobs: Sequence[Job], *, is_made: bool = True) -> None:
        async def attempt() -> None:
            find = partial(self._find, jobs[0].path)
            async with self._reservations.opened(find, patient=True) as opened:
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
        return f"{what} at {listed}: {jobs[0].title or jobs[0].url}"


def _recorded(mf2: Mf2Line, job: Job, copy: str) -> Mf2Line:
    wanted = tuple(uid for uid in mf2.syndicate_to if uid != job.uid)
    named = list(mf2.properties.get("syndication", ()))
    if job.action == "delete":
        wanted, named = mf2.syndicate_to, [each for each in named if each != job.old]
    if copy:
        if job.old and job.old != copy:
            named = [each for each in named if each != job.old]
        named += [] if copy in named else [copy]
    properties = {**mf2.properties, "syndication": tuple(named)}
    if not named:
        del properties["syndication"]
    return mf2.with_changes(syndicate_to=wanted, properties=MappingProxyType(properties))
