"""Derives syndication jobs from commits: which copies to create, edit and delete."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from bridge.content.file import Mf2Line, PelicanFile
from bridge.micropub.post import Post, discover, unescape
from bridge.posts.catalogue import Catalogue
from bridge.posts.linked import found_differences, found_files
from bridge.settings import Target
from bridge.site.messages import IndexedPost
from bridge.store import ContentStore, StoreError, Version
from bridge.syndication.bluesky.records import post_at
from bridge.syndication.compose.composer import source_of
from bridge.syndication.compose.post_page import PostPage
from bridge.syndication.jobs.ledger import Copy, Job, Ledger
from bridge.syndication.networks import Account

_DAY = 86_400.0
#: Smallest pause between two edits of a copy, in seconds.
_BETWEEN_EDITS = 600.0
_TITLE = 80
_POSTS = frozenset({"md", "markdown", "mkd", "mdown", "rst", "html", "htm"})
_RECORD_LOST = "it was requested before the record of copies was lost"
_TARGET_IS_NEW = "it was requested while this target was not configured"

#: A post's file before and after a change, with its path.
_Change: TypeAlias = tuple[str, PelicanFile | None, PelicanFile | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANSWERS = frozenset({"reply", "like", "repost", "rsvp"})
#: URLs of statuses at ActivityPub servers: Mastodon, Pleroma, Misskey and others.
_STATUS = re.compile(
    r"^https?://[^/]+/(?:@[\w.@-]+/(?:statuses/)?\w+|users/[\w.-]+/statuses/\w+|notice/\w+"
    r"|objects/[\w-]+|notes/\w+|p/[\w.-]+/\d+)/?$"
)


class Planner:
    """Compares commits and stores the jobs that follow (:mod:`.ledger`).

    Two versions do not show what was committed between them. The ledger knows what the bridge has
    committed itself: which copies a post has and in which file, whether or not that file says so.

    ``accounts`` are the targets with a type, by uid; ``running`` has the names of jobs in progress,
    which are changed but never dropped.
    """

    def __init__(
        self,
        store: ContentStore,
        catalogue: Catalogue,
        ledger: Ledger,
        accounts: Mapping[str, Account],
        running: set[str],
        *,
        folder: str,
        seconds: Callable[[], float],
    ) -> None:
        """``folder`` is the content folder, ``seconds`` returns the present time."""
        self._store = store
        self._catalogue = catalogue
        self._ledger = ledger
        self._accounts = accounts
        self._running = running
        self._folder = folder
        self._seconds = seconds
        #: The copies whose records have changed and are not on disk yet.
        self._unstored = dict[str, Copy]()
        self._knows_files = False
        self._adopt_renamed_targets()

    async def catch_up(self) -> None:
        """Plan jobs for all changes up to the index's newest commit.

        Files are read in a thread; jobs are decided on the event loop. Raises
        :class:`BridgeError`, :class:`StoreError` and ``OSError``.
        """
        recorded = self._recorded()
        # Up to the index's commit and no further: planning looks posts up in it.
        head = await self._catalogue.refresh(patient=True)
        cursor, known = self._ledger.cursor(), self._ledger.uids()
        changes = None
        if cursor is not None:
            await self._find_files_of_copies(cursor)
            paths = {path for copy in recorded.values() for path in copy.paths}
            with suppress(StoreError):
                changes = await asyncio.to_thread(self._changes, cursor, head, paths)
        new = {*self._accounts} - ({*self._accounts} if known is None else known)
        if changes is None:
            await self._plan_all(head, self._accounts, _RECORD_LOST)
        else:
            self._plan(changes, recorded)
            if new:
                await self._plan_all(head, new, _TARGET_IS_NEW)
        self._ledger.save_uids(self._accounts)
        await asyncio.to_thread(self._ledger.store_copies, [*self._unstored.values()])
        self._unstored.clear()
        self._ledger.move_cursor(head)

    def plan_copies(
        self, path: str, file: PelicanFile, *, uids: Collection[str] | None = None, late: str = ""
    ) -> None:
        """Plan the copies that a file requests in ``syndicate-to`` and does not have.

        ``late`` is a reason to hold them for the owner, where they may have been made long ago.
        """
        mf2 = Mf2Line.of(file)
        entry = self._catalogue.index.find_by_path(path)
        if entry is None:
            return
        for uid in self._accounts if uids is None else uids:
            copy = self.copy_at(uid, mf2)
            job = self._ledger.job(path, uid)
            if job is not None and not late:
                job = self._replan(job, copy)
            known = self._ledger.copies.get(copy) if copy else None
            was_deleted = known is not None and known.deleted
            if job is not None or not (uid in mf2.syndicate_to or was_deleted):
                continue
            made = self._new_job(path, uid, entry, file)
            if was_deleted and copy and known:
                made.old, made.old_id = copy, known.id
            elif copy is None and (standing := self._ledger.standing(path, uid)):
                # The file was replaced by an older version: its link is written again.
                made.copy, made.copy_id, made.text = standing.url, standing.id, standing.text
            elif late:
                # The date may come from a clock that was wrong.
                made.maybe, made.started = True, entry.published - _DAY
                if entry.published < self._seconds() - _DAY:
                    made.state, made.error = "held", late
            self._ledger.save(made)

    def plan_edits(self, path: str, file: PelicanFile) -> None:
        """Plan edits of a post's copies at targets where copies are edited."""
        entry = self._catalogue.index.find_by_path(path)
        for url in copies_of(Mf2Line.of(file)):
            copy = self._ledger.copies.get(url)
            account = self._accounts.get(copy.uid) if copy else None
            if copy is None or copy.deleted or account is None or entry is None:
                continue
            if copy.paths[:1] != (path,) and self._others(url, path):
                # This file was made from the post's, with the URL of its copy.
                continue
            if not (account.target.edit or not is_public(file)):
                continue
            if (job := self._ledger.job(path, copy.uid)) is not None:
                if job.action == "edit":
                    job.since, job.looks = self._seconds(), 0
                    self._ledger.save(job)
                continue
            job = self._new_job(path, copy.uid, entry, file)
            job.action, job.old, job.old_id = "edit", url, copy.id
            job.next = copy.edited + _BETWEEN_EDITS if copy.edited and is_public(file) else 0.0
            self._ledger.save(job)

    def cancel(self, job: Job, *, under_way: bool = False) -> None:
        """Handle a job whose post was deleted or is no longer public: drop it, or delete the copy.

        ``under_way``: the copy is being created at this moment.
        """
        account = self._accounts.get(job.uid)
        old = self._ledger.copies.get(job.old)
        stands = bool(job.old) and not (old is not None and old.deleted)
        may_be_there = under_way or job.maybe or job.copy or stands
        if account is None or not account.target.delete or not may_be_there:
            self._ledger.drop(job)
            return
        job.old = job.copy or job.old
        known = self._ledger.copies.get(job.old)
        job.old_id = known.id if known else job.copy_id or job.old_id
        job.action = "delete"
        self._begin(job)

    def copy_at(self, uid: str, mf2: Mf2Line) -> str | None:
        """The URL of a post's copy at a target, from its file, or ``None``."""
        network = self._accounts[uid].network
        for url in copies_of(mf2):
            known = self._ledger.copies.get(url)
            if (known is not None and known.uid == uid) or network.is_mine(url):
                return url
        return None

    def _files_with_requests(self, head: Version) -> list[tuple[str, PelicanFile]]:
        """The files that request copies, for when there is no earlier commit to compare with."""
        listed = found_files(self._store, self._folder, head)
        files = [(path, blob) for path, blob in listed if _is_post(path)]
        blobs = self._store.blobs(blob for _, blob in files)
        return [
            (path, _parsed(path, blob.data))
            for (path, _), blob in zip(files, blobs, strict=True)
            if b'"syndicate-to"' in blob.data
        ]

    def _changes(self, old: Version, new: Version, paths: Iterable[str]) -> list[_Change]:
        """The posts' files that differ, and those at ``paths`` though they may be the same."""
        found = found_differences(self._store, self._folder, old, new)
        inside = [each for each in found if _is_post(each.path)]
        wanted = [blob for each in inside for blob in (each.old, each.new) if blob]
        read = {blob.id: blob.data for blob in self._store.blobs(dict.fromkeys(wanted))}
        changes = [
            (
                each.path,
                _parsed(each.path, read[each.old]) if each.old else None,
                _parsed(each.path, read[each.new]) if each.new else None,
            )
            for each in inside
        ]
        for path in {*paths}.difference(each.path for each in inside):
            if (blob := self._store.read(path, new)) is not None:
                file = _parsed(path, blob.data)
                changes.append((path, file, file))
        return changes

    def _recorded(self) -> dict[str, Copy]:
        """The copies whose URL was committed to their post's file and not yet seen there."""
        return {
            url: copy
            for url, copy in self._ledger.copies.items()
            if copy.unseen and not any(self._ledger.job(path, copy.uid) for path in copy.paths)
        }

    async def _find_files_of_copies(self, cursor: Version) -> None:
        """Complete the records of earlier versions, which do not say which file each copy is of:
        that which named it at the last commit seen. Done once, before the first changes.
        """
        wanted = {url for url, copy in self._ledger.copies.items() if not copy.paths}
        if self._knows_files or not wanted:
            return
        with suppress(StoreError):
            found = await asyncio.to_thread(self._files_naming, wanted, cursor)
            for url, paths in found.items():
                self._put(self._ledger.copies[url], sorted(paths, key=partial(self._age, url)))
            self._knows_files = True

    def _files_naming(self, urls: Collection[str], at: Version) -> Mapping[str, list[str]]:
        """The posts' files that name each of these copies."""
        files = [each for each in found_files(self._store, self._folder, at) if _is_post(each[0])]
        blobs = self._store.blobs(blob for _, blob in files)
        found: dict[str, list[str]] = {}
        for (path, _), blob in zip(files, blobs, strict=True):
            if b'"syndication"' in blob.data:
                for url in {*copies_of(Mf2Line.of(_parsed(path, blob.data)))}.intersection(urls):
                    found.setdefault(url, []).append(path)
        return found

    def _age(self, url: str, path: str) -> tuple[bool, float, str]:
        """Orders the files that name a copy: first that of its post, then the older ones. Whoever
        made a file from a post's did so later.
        """
        index, known = self._catalogue.index, self._ledger.answers_to(url).post
        post, entry = index.find(known) if known else None, index.find_by_path(path)
        return not (post and post.path == path), entry.published if entry else 0.0, path

    async def _plan_all(self, head: Version, uids: Collection[str], late: str) -> None:
        for path, file in await asyncio.to_thread(self._files_with_requests, head):
            self.plan_copies(path, file, uids=uids, late=late)

    def _plan(self, files: Sequence[_Change], recorded: Collection[str]) -> None:
        there = {url for _, _, new in files if new for url in copies_of(Mf2Line.of(new))}
        for path, _, new in files:
            for copy in self._named_in(new):
                self._assign(copy, path)
        new_places = {visible_content(new): path for path, old, new in files if new and not old}
        for path, old, new in files:
            if old is not None and new is None and (place := new_places.get(visible_content(old))):
                self._move(path, place)
        for path, old, new in files:
            if new is not None:
                self._release(path, new, recorded)
                self.plan_copies(path, new)
                if old is not None and visible_content(old) != visible_content(new):
                    self.plan_edits(path, new)
            elif old is not None:
                self._delete(path, old, there)

    def _replan(self, job: Job, copy: str | None) -> Job | None:
        """What to do with a job after its post was edited: a replacement, or ``None``."""
        if job.action == "delete" and job.name not in self._running:
            # The post was deleted and restored before the deletion of its copy was carried out.
            if copy is not None or not (job.maybe or job.copy):
                self._ledger.drop(job)
                return None
            job.action, job.old = "post", "" if job.old == job.copy else job.old
            self._begin(job)
        elif job.state == "failed" and job.action != "delete":
            # The edit may have corrected what made the job fail.
            self._begin(job)
        return job

    def _move(self, old: str, new: str) -> None:
        """Move the jobs and copies of a renamed file to its new path."""
        for uid in self._accounts:
            if (job := self._ledger.job(old, uid)) is not None:
                former, is_running = job.name, job.name in self._running
                self._ledger.move(job, new)
                if is_running:
                    self._running.remove(former)
                    self._running.add(job.name)
        for copy in self._ledger.copies_at(old):
            others = (path for path in copy.paths if path != new)
            self._put(copy, (new if path == old else path for path in others))

    def _named_in(self, file: PelicanFile | None) -> list[Copy]:
        """The copies that the bridge has made and a file names."""
        urls = copies_of(Mf2Line.of(file)) if file else ()
        return [copy for url in urls if (copy := self._ledger.copies.get(url)) is not None]

    def _assign(self, copy: Copy, path: str) -> None:
        """Take in that the file ``path`` names a copy."""
        if path not in copy.paths or copy.unseen:
            copy.unseen = False
            self._put(copy, dict.fromkeys((*copy.paths, path)))

    def _release(self, path: str, file: PelicanFile, recorded: Collection[str]) -> None:
        """Leave the copies to the owner whose URLs they have removed from the post's file.

        ``recorded`` are those whose URLs had been committed before this version was read. A file
        that still requests the copy is an older version, which does not know its URL.
        """
        mf2 = Mf2Line.of(file)
        if Mf2Line.is_broken(file):
            return
        named = {*copies_of(mf2)}
        for copy in self._ledger.copies_at(path):
            is_known = not copy.unseen or copy.url in recorded
            is_kept = copy.url in named or copy.uid in mf2.syndicate_to or copy.deleted
            if is_known and not is_kept and self._ledger.job(path, copy.uid) is None:
                copy.unseen = False
                self._put(copy, (each for each in copy.paths if each != path))

    def _put(self, copy: Copy, paths: Iterable[str]) -> None:
        """Change the paths of a copy; they are on disk before the cursor moves."""
        self._ledger.put_copy(copy, tuple(paths))
        self._unstored[copy.url] = copy

    def _others(self, url: str, path: str) -> list[str]:
        """The other files on the site that name the copy of the post in ``path``."""
        copy, index = self._ledger.copies.get(url), self._catalogue.index
        paths = copy.paths if copy else ()
        return [each for each in paths if each != path and index.find_by_path(each)]

    def _delete(self, path: str, old: PelicanFile, there: Collection[str]) -> None:
        """Plan the deletion of a deleted post's copies. ``there`` are the copies that other
        files name, as after a move.
        """
        mf2 = Mf2Line.of(old)
        for uid in self._accounts:
            job, url = self._ledger.job(path, uid), self.copy_at(uid, mf2)
            if url is None and (standing := self._ledger.standing(path, uid)):
                url = standing.url
            if url is not None and (url in there or self._others(url, path)):
                if job is not None:
                    self._ledger.drop(job)
                continue
            if job is None and url is None:
                continue
            job = job or Job(path, uid, "delete", url or "", self._seconds())
            job.old = url or job.old
            self.cancel(job, under_way=job.name in self._running)

    def _new_job(self, path: str, uid: str, entry: IndexedPost, file: PelicanFile) -> Job:
        title = _shown(unescape(file.get("Title") or "")) or entry.url
        return Job(path, uid, "post", entry.url, self._seconds(), title=title)

    def _begin(self, job: Job) -> None:
        job.state, job.next, job.tries, job.looks = "waiting", 0.0, 0, 0
        job.since = self._seconds()
        self._ledger.save(job)

    def _adopt_renamed_targets(self) -> None:
        """Assign the copies of a target whose uid was changed to the target with the same
        account.
        """
        for copy in list(self._ledger.copies.values()):
            if copy.uid in self._accounts:
                continue
            for uid, account in self._accounts.items():
                if account.network.is_mine(copy.url):
                    copy.uid = uid
                    self._ledger.save_copy(copy)
                    break


def copies_of(mf2: Mf2Line) -> list[str]:
    """The URLs of the copies that a file names in ``syndication``."""
    return [each for each in mf2.properties.get("syndication", ()) if isinstance(each, str)]


def visible_content(file: PelicanFile) -> str:
    """The content of a file that readers can see, without the bridge's own keys and the
    update time.
    """
    mf2 = Mf2Line.of(file)
    properties = {name: value for name, value in mf2.properties.items() if name != "syndication"}
    bare = mf2.with_changes(
        syndicate_to=(), references=MappingProxyType({}), properties=MappingProxyType(properties)
    )
    return file.with_header("Mf2", bare.text()).with_header("Modified", None).text()


def is_public(file: PelicanFile) -> bool:
    """Whether a file's metadata makes the post public."""
    status = (file.get("Status") or "").strip().lower()
    visibility = Mf2Line.of(file).properties.get("visibility", ())
    is_private = any(str(each or "").strip().lower() == "private" for each in visibility)
    return status != "draft" and not is_private


def _is_post(path: str) -> bool:
    return path.rpartition(".")[2].lower() in _POSTS


def _parsed(path: str, data: bytes) -> PelicanFile:
    return PelicanFile.parse(data.decode("utf-8", "replace"), path)


def _shown(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _TITLE else f"{line[:_TITLE]}…"


def default_targets(targets: Iterable[Target], post: Post) -> tuple[str, ...]:
    """The uids of the targets selected for a new post without ``mp-syndicate-to``.

    A response is copied only to the network of what it responds to, and an unlisted post not to
    targets with public visibility.
    """
    kind = discover(post)
    about = source_of(post, PostPage(), "", _EPOCH).about
    unlisted = str(post.first("visibility") or "").strip().lower() == "unlisted"
    chosen = []
    for target in targets:
        if not target.default or (unlisted and target.type == "bluesky"):
            continue
        if kind in _ANSWERS and not any(_is_in_network(target, url) for url in about):
            continue
        chosen.append(target.uid)
    return tuple(chosen)


def _is_in_network(target: Target, url: str) -> bool:
    """Whether ``url`` looks like a post in the target's network."""
    if target.type == "bluesky":
        return post_at(url) is not None
    return target.type == "mastodon" and post_at(url) is None and bool(_STATUS.search(url))
