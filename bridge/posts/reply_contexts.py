"""Adds reply contexts to posts: fetched in the background and committed later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.content.edit import with_references
from bridge.content.file import Mf2Line, PelicanFile
from bridge.context.fetcher import ContextFetcher, Fetch
from bridge.errors import BridgeError
from bridge.micropub.post import Json, Properties, nested
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer, commit_message, retry_on_conflict
from bridge.posts.post_files import OpenPost, PostReader
from bridge.posts.reservations import Reservations
from bridge.store import Change, StoreError

log = logging.getLogger(__name__)

#: After a restart, contexts are fetched for posts of this age; older ones stay without.
_YOUNG = timedelta(days=1)
_LOOKED_AT = 50
#: The properties whose targets are fetched.
_PROPERTIES = ("in-reply-to", "like-of", "repost-of", "bookmark-of")
_MOST = 5


class ReplyContexts:
    """Connects the publisher and the fetcher of reply contexts.

    A post's file holds its contexts (``references`` in the ``Mf2:`` line), so nothing else has to
    be stored: links without a context are the pages that are still to be fetched.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        posts: PostReader,
        reservations: Reservations,
        committer: Committer,
        fetch: Fetch,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalogue = catalogue
        self._posts = posts
        self._reservations = reservations
        self._committer = committer
        self._fetcher = ContextFetcher(fetch, self._attach)
        self._now = now

    async def start(self) -> None:
        """Start with the recent posts for which an earlier run has not finished."""
        self._fetcher.start()
        try:
            await self._catalogue.refresh(patient=True)
        except (BridgeError, StoreError) as error:
            log.warning("recent posts are not checked for missing reply contexts: %s", error)
            return
        for url, file in await asyncio.to_thread(self._young):
            self.request(url, file)

    def request(self, url: str, file: PelicanFile) -> None:
        """Request the missing contexts of a post. Returns at once."""
        self._fetcher.request(url, _missing(Mf2Line.of(file)))

    async def idle(self) -> None:
        """Wait until every request is done."""
        await self._fetcher.idle()

    async def close(self) -> None:
        """Stop at once; the next start finds what is still missing."""
        await self._fetcher.close()

    async def _attach(self, url: str, cites: Mapping[str, dict[str, Any]]) -> None:
        async def attempt() -> None:
            async with self._reservations.opened(lambda: self._posts.find_or_none(url)) as post:
                if post is None:
                    return
                annotated = self._annotated(post, cites)
                if annotated == post.file:
                    return
                entry = post.entry
                subject = f"Reply context for {entry.url}"
                message = commit_message("context", subject, url=entry.url, client_id=None)
                change = Change(entry.path, annotated.text().encode(), post.blob)
                await self._committer.commit([change], message, post.base)

        await retry_on_conflict(attempt)

    def _young(self) -> list[tuple[str, PelicanFile]]:
        since = (self._now() - _YOUNG).timestamp()
        newest = self._catalogue.index.newest(limit=_LOOKED_AT)
        young = [entry for entry in newest if entry.published >= since]
        return [(entry.url, self._posts.open(entry)[0]) for entry in young]

    def _annotated(self, post: OpenPost, cites: Mapping[str, dict[str, Any]]) -> PelicanFile:
        """The file with the contexts of the pages that it still links to."""
        file = post.file
        found = {url: cites[url] for url in _missing(post.mf2) if url in cites}
        if not found or Mf2Line.is_broken(file):
            return file
        as_post = self._posts.read_without_asking(file)
        return with_references(file, as_post, found, self._posts.rules_without_asking)


def _missing(mf2: Mf2Line) -> tuple[str, ...]:
    """The URLs of which a file has no context yet. None of these properties has a key of its own in
    front matter.
    """
    return targets(mf2.properties, mf2.references)


def targets(properties: Properties, known: Container[str] = ()) -> tuple[str, ...]:
    """The URLs for which a post needs a context: not in ``known``, nor described by the client."""
    values = [value for name in _PROPERTIES for value in properties.get(name, ())]
    urls = dict.fromkeys(url for value in values for url in _undescribed(value))
    return tuple(url for url in urls if url not in known)[:_MOST]


def _undescribed(value: Json) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        yield value
    elif properties := nested(value):
        urls = properties.get("url")
        # An h-cite that has more than its URL is the client's own context.
        if not properties.keys() - {"url"}:
            for url in urls[:1] if isinstance(urls, list) else [urls]:
                yield from _undescribed(url)
