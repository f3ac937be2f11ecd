"""Imports responses to copies as mentions.

Only copies of the owner's posts at their own accounts are searched. A response is handled like any
other webmention (:mod:`bridge.webmention.incoming.receiver`): same files, same moderation.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from msgspec import Struct, field

from bridge.content.file import Mf2Line
from bridge.errors import BridgeError
from bridge.posts.catalogue import Catalogue
from bridge.posts.post_files import PostReader
from bridge.posts.urls import hosts
from bridge.runtime.backoff import doubled
from bridge.settings import Target
from bridge.site.messages import IndexedPost
from bridge.store import StoreError
from bridge.syndication.api import ApiError, digest
from bridge.syndication.backfeed.responses import CopyAnswers, Response
from bridge.syndication.jobs.ledger import Answers, Ledger
from bridge.syndication.jobs.planner import copies_of
from bridge.syndication.networks import Account
from bridge.webmention.mention import Mention, line, paragraphs, web_url

log = logging.getLogger(__name__)

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
#: Ages of a post, and how often responses to it are searched for up to that age.
_SCHEDULE = ((_DAY, 10 * _MINUTE), (7 * _DAY, _HOUR), (60 * _DAY, _DAY))
#: Interval of complete searches: edits and removed likes are found in no other.
_FULL = _DAY
#: A copy is gone when it has been missing for this long, whenever it was looked for; until then its
#: responses stay.
_GONE = _DAY
_TICK = 60.0
_LONGEST_PAUSE = 1_800.0
_POSTS = 500
_NAME = 100
_URL = re.compile(r"https?://[^\s<>\"]+")


class ResponseReceiver(Protocol):
    """Takes imported responses (:class:`bridge.webmention.incoming.receiver.Receiver`)."""

    async def receive_verified(
        self, mention: Mention, source: str, target: str, *, own: bool = False
    ) -> str | None:
        """Accept a response; returns its state, or ``None`` where ``target`` is not a page of
        the site.
        """
        ...

    async def retract(self, sources: Iterable[str], target: str) -> None:
        """Remove responses that no longer exist."""
        ...

    async def count(self, target: str, copy: str, counts: Mapping[str, int]) -> None:
        """Store the like and repost counts of a copy, where they are only counted."""
        ...

    async def commit_approved(self) -> bool:
        """Commit approved mentions at once; false where that failed."""
        ...

    async def sources_via(self, target: str, via: str) -> list[str]:
        """The sources of a post's mentions whose ``wm-via`` is ``via``."""
        ...


#: A post, the URL of its copy, and the copy's id at the network where known.
_Work: TypeAlias = tuple[IndexedPost, str, str]


class Backfeed(Struct):
    """Searches for responses, on a schedule and on demand."""

    catalogue: Catalogue
    posts: PostReader
    ledger: Ledger
    receiver: ResponseReceiver
    accounts: Mapping[str, Account]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    tick: float = _TICK
    _known: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Search until cancelled; pauses grow while searches fail."""
        failures = 0
        while True:
            failures = 0 if await self._search_all() else failures + 1
            await asyncio.sleep(doubled(self.tick, failures, max(self.tick, _LONGEST_PAUSE)))

    async def _search_all(self) -> bool:
        """Search at each target, whatever happens at others; true if none failed."""
        all_well = True
        for uid in self.accounts:
            try:
                await self.search(uid)
            except (BridgeError, StoreError, OSError) as error:
                log.warning("responses could not be searched for, next try later: %s", error)
                all_well = False
            except Exception:
                # A bug must not end the search until the next restart.
                log.exception("searching for responses at %s has failed unexpectedly", uid)
                all_well = False
        return all_well

    async def search(self, uid: str, *, now: bool = False) -> int:
        """Search for responses at a target: to copies that are due, or to all with ``now``.
        Returns the number of new ones.
        """
        account, seconds = self.accounts[uid], self.now().timestamp()
        is_off = account.is_off(self.ledger, seconds) and not now
        if account.target.backfeed == "none" or is_off:
            return 0
        new = 0
        async with self._busy:
            await self.catalogue.refresh(patient=True)
            for answers in await asyncio.to_thread(self._unlinked, uid):
                answers.missing = 0.0
                self.ledger.save_answers(answers)
            for work in await asyncio.to_thread(self._due, account, now):
                try:
                    new += await self._search_copy(account, work, full=now)
                    if _needs_token(account.target):
                        self.ledger.set_trouble(uid, None)
                except ApiError as error:
                    log.warning("responses to %s could not be fetched: %s", work[1], error)
                    if error.revoked:
                        account.refuse(self.ledger, error, seconds)
                    if error.status == 429:
                        break
                    self._mark_searched(work, seconds)
                    if error.denied:
                        break
                except Exception:
                    log.exception("responses to %s could not be imported", work[1])
        if now and new:
            await self.receiver.commit_approved()
        return new

    def _due(self, account: Account, now: bool) -> list[_Work]:
        """The copies to search, newest first."""
        seconds, due = self.now().timestamp(), list[_Work]()
        for entry in self.catalogue.index.newest(limit=_POSTS, statuses=("published", "hidden")):
            age = seconds - entry.published
            pause = next((pause for oldest, pause in _SCHEDULE if age < oldest), None)
            if age < 0 or (pause is None and not now):
                continue
            for url in self._copies(entry) or ():
                known = self.ledger.copies.get(url)
                if known is not None and (known.uid != account.target.uid or known.deleted):
                    continue
                if "#" in url or (known is None and not account.network.is_mine(url)):
                    continue
                since = seconds - self.ledger.answers_to(url).looked
                # A time in the future was stored while the clock was wrong.
                if now or (pause is not None and not 0 <= since < pause):
                    due.append((entry, url, known.id if known else ""))
        return due

    def _unlinked(self, uid: str) -> list[Answers]:
        """The missing copies to which their posts do not link any more."""
        found = list[Answers]()
        for each in [*self.ledger.answers.values()]:
            if each.missing and each.uid == uid:
                entry = self.catalogue.index.find(each.post)
                copies = [] if entry is None else self._copies(entry)
                if copies is not None and each.url not in copies:
                    found.append(each)
        return found

    def _copies(self, entry: IndexedPost) -> list[str] | None:
        """The copies that a post's file names; ``None`` if it cannot be read just now."""
        known = self._known.get(entry.path)
        if known is None or known[0] != entry.blob:
            copies: list[str] = []
            try:
                with suppress(BridgeError):
                    copies = copies_of(Mf2Line.of(self.posts.open(entry)[0]))
            except StoreError:
                return None
            self._known[entry.path] = known = (entry.blob, copies)
        return known[1]

    async def _search_copy(self, account: Account, work: _Work, *, full: bool) -> int:
        entry, url, copy_id = work
        seconds, target = self.now().timestamp(), account.target
        known = self.ledger.answers_to(url)
        wants_full = full or not 0 <= seconds - known.full < _FULL
        found = await account.network.answers(url, copy_id, known.seen, full=wants_full)
        new = 0
        if found is not None and found.is_missing:
            # A time in the future was stored while the clock was wrong.
            known.missing = min(known.missing or seconds, seconds)
            known.post, known.uid = entry.url, target.uid
        else:
            known.missing = 0.0
        if found is not None and known.missing <= seconds - _GONE:
            new = await self._import(target, entry, known, found)
            known.seen = found.seen
            known.full = seconds if wants_full else known.full
        known.looked = seconds
        self.ledger.save_answers(known)
        return new

    def _mark_searched(self, work: _Work, seconds: float) -> None:
        """Record a failed search, so that the next one is when it is due."""
        known = self.ledger.answers_to(work[1])
        known.looked = seconds
        self.ledger.save_answers(known)

    async def _import(
        self, target: Target, entry: IndexedPost, known: Answers, found: CopyAnswers
    ) -> int:
        wanted = {each.url: each for each in self._selected(target, found)}
        if not known.full and not known.sources and self._is_only_one(target):
            # The record is lost: the sources are those of the mentions stored from this network.
            came = await self.receiver.sources_via(entry.url, target.type)
            known.sources = dict.fromkeys(came, "")
        new = 0
        for url, response in wanted.items():
            mark = digest(repr(response))[:16]
            if known.sources.get(url) == mark:
                continue
            mention = mention_of(response, entry.url, target.type)
            state = await self.receiver.receive_verified(mention, url, entry.url, own=response.own)
            new += state in {"approved", "pending"}
            known.sources[url] = mark
        if gone := [url for url in known.sources if url not in wanted]:
            await self.receiver.retract(gone, entry.url)
            for url in gone:
                del known.sources[url]
        is_counted = target.backfeed == "all" and target.likes == "count"
        counts = dict(found.counts) if is_counted else {}
        if counts != known.counts:
            await self.receiver.count(entry.url, known.url, counts)
            known.counts = counts
        return new

    def _selected(self, target: Target, found: CopyAnswers) -> Iterable[Response]:
        own = self.catalogue.index.own
        copies = {*self.ledger.copies, *(url for _, urls in self._known.values() for url in urls)}
        for response in found.responses:
            if not web_url(response.url):
                # A server returns posts of other servers, too.
                continue
            if response.kind in {"like-of", "repost-of"}:
                if target.backfeed == "all" and target.likes == "faces":
                    yield response
                continue
            if response.kind == "mention-of" and target.backfeed != "all":
                continue
            if response.own and (response.url in copies or _links_to(response.text, own)):
                # The copy of one of the site's own posts is not a response.
                continue
            yield response

    def _is_only_one(self, target: Target) -> bool:
        return sum(each.target.type == target.type for each in self.accounts.values()) == 1


def _needs_token(target: Target) -> bool:
    """Whether reading responses needs a token; at Bluesky they are public."""
    return target.type == "mastodon" or bool(target.server and not target.appview)


def mention_of(response: Response, target: str, via: str) -> Mention:
    """Convert a response to a mention. All text of other people becomes plain text."""
    address = web_url(response.author_url)
    author = {"type": "card", "name": line(response.author, _NAME) or address or response.url}
    if address:
        author["url"] = address
    entry: dict[str, Any] = {
        "type": "entry",
        "url": response.url,
        "author": author,
        "wm-property": response.kind,
        "wm-source": response.url,
        "wm-target": target,
        "wm-via": via,
        "wm-children": [],
        response.kind: target,
    }
    if response.published:
        entry["published"] = response.published
    if text := paragraphs(response.text):
        entry["content"] = {"text": text}
    links = len(_URL.findall(response.text))
    return Mention(
        response.kind, response.url, entry, web_url(response.photo), vouched=True, links=links
    )


def _links_to(text: str, own: frozenset[str]) -> bool:
    for url in _URL.findall(text):
        with suppress(ValueError):
            if hosts(url) & own:
                return True
    return False
