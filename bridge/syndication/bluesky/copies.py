"""Copies at a Bluesky account."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from urllib.parse import urldefrag

from msgspec.structs import replace

from bridge.settings import Target
from bridge.syndication.api import ApiError, objects
from bridge.syndication.backfeed.responses import (
    CopyAnswers,
    dids_in,
    from_actors,
    from_posts,
    from_thread,
)
from bridge.syndication.bluesky import records
from bridge.syndication.bluesky.client import Bluesky
from bridge.syndication.bluesky.records import LIKE, POST, REPOST, Ref
from bridge.syndication.compose import text
from bridge.syndication.compose.composer import Composed, CopySource, for_bluesky
from bridge.syndication.compose.images import Photo
from bridge.syndication.compose.post_page import PagePhoto
from bridge.syndication.compose.text import Span
from bridge.syndication.jobs.ledger import Copy, Job
from bridge.syndication.networks import CopyRefused, CreatedCopy, Environment, count_of, fit_photo

#: Number of record keys to try where another post has the first.
_KEYS = 4
_NAME_TRIES = 2


class BlueskyNetwork:
    """A Bluesky account as a network."""

    def __init__(self, target: Target, client: Bluesky, environment: Environment) -> None:
        self._target = target
        self._client = client
        self._environment = environment
        self._did = target.handle if target.handle.startswith("did:") else ""

    async def post(self, job: Job, source: CopySource) -> CreatedCopy:
        """See :class:`Network`. The record key is derived from the post, so no other state is
        needed to create it once.
        """
        self._did = await self._client.did()
        parent = await self._answered(source)
        if parent is not None and source.kind in {"like", "repost"}:
            return await self._react(job, source, parent[0])
        composed = await asyncio.to_thread(
            for_bluesky, source, self._target, answers=parent is not None
        )
        created = self._created(job, source)
        texts = {composed.text, *([job.text] if job.maybe else [])}
        job.created = created
        facets = text.facets(composed.rich, await self._mentions(composed.text, job))
        embed, alts = await self._embed(composed)
        record = records.post_record(
            composed.text,
            facets,
            created=created,
            language=composed.language,
            embed=embed,
            reply=parent,
        )
        for number in range(_KEYS):
            rkey = job.key = self._key(source, number)
            job.text, job.maybe = composed.text, True
            job.started = job.started or self._environment.now().timestamp()
            self._environment.save(job)
            if await self._client.put(POST, rkey, record) is not None:
                return CreatedCopy(records.page_of(self._did, rkey), rkey, composed.text, alts)
            if await self._is_ours(rkey, job, source, texts):
                return CreatedCopy(records.page_of(self._did, rkey), rkey, composed.text, alts)
        raise CopyRefused("all record keys for this post's time are taken by other posts")

    async def edit(self, job: Job, source: CopySource, copy: Copy) -> CreatedCopy | None:
        """Does nothing: Bluesky's AppView would go on showing the first version."""
        del job, source, copy
        return None

    async def delete(self, job: Job) -> None:
        """See :class:`Network`."""
        self._did = await self._client.did()
        url, rkey = job.old, job.old_id
        _, fragment = urldefrag(url)
        collection = {"liked": LIKE, "reposted": REPOST}.get(fragment.partition("-")[0], POST)
        named = records.post_at(url)
        if not rkey and collection == POST:
            # Without a URL: delete what an attempt may have created before the post was deleted.
            rkey = named[1] if named else job.key
        if rkey:
            await self._client.delete(collection, rkey)

    def is_mine(self, url: str) -> bool:
        """See :class:`Network`."""
        page, fragment = urldefrag(url)
        mine = {each for each in (self._did, self._target.handle) if each}
        if fragment:
            return any(fragment.endswith(f"-by-{each}") for each in mine)
        named = records.post_at(page)
        return named is not None and named[0] in mine

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """See :class:`Network`."""
        del copy_id
        client, target = self._client, self._target
        self._did = self._did or await client.did()
        uri = await client.uri_of(url)
        posts = (await client.view("app.bsky.feed.getPosts", uris=[uri])).get("posts")
        post = next(iter(objects(posts)), None)
        if uri is None or post is None:
            # Its AppView may be late, or hide it: the account's own server knows.
            named = records.post_at(url)
            return CopyAnswers(is_missing=named is not None and await client.lacks(POST, named[1]))
        names = ("replyCount", "likeCount", "repostCount", "quoteCount")
        now = " ".join(str(post.get(name)) for name in names)
        if now == seen and not full:
            return None
        query = {"uri": uri, "depth": 10, "parentHeight": 0}
        thread = (await client.view("app.bsky.feed.getPostThread", **query)).get("thread")
        hidden = await client.opted_out(dids_in(thread) - {self._did})
        found = [*from_thread(thread, self._did, hidden)]
        if target.backfeed == "all" and target.likes == "faces":
            likes = await client.pages("app.bsky.feed.getLikes", "likes", uri=uri)
            actors = [each["actor"] for each in likes if isinstance(each.get("actor"), dict)]
            found += from_actors(actors, url, "like-of", "liked", hidden)
            reposts = await client.pages("app.bsky.feed.getRepostedBy", "repostedBy", uri=uri)
            found += from_actors(reposts, url, "repost-of", "reposted", hidden)
        if target.backfeed == "all":
            quotes = await client.pages("app.bsky.feed.getQuotes", "posts", uri=uri)
            found += from_posts(quotes, self._did, hidden, "mention-of")
        counts = {
            "like-of": count_of(post.get("likeCount")),
            "repost-of": count_of(post.get("repostCount")),
        }
        return CopyAnswers(tuple(found), counts, now)

    def _created(self, job: Job, source: CopySource) -> str:
        """The copy's ``createdAt``, the same in each attempt; never in the future, where a
        wrong clock may have put it.
        """
        now = records.created_at(source.published, self._environment.now())
        latest = records.created_at(self._environment.now(), self._environment.now())
        return job.created if job.created and job.created <= latest else now

    def _key(self, source: CopySource, number: int = 0) -> str:
        extra = [str(number)] if number else []
        return records.tid(source.published, source.url, self._target.uid, *extra)

    async def _is_ours(
        self, rkey: str, job: Job, source: CopySource, texts: Collection[str]
    ) -> bool:
        """Whether the record under the key is this post's copy from an earlier attempt.

        It is if it has the text of this or the last attempt, or the same ``createdAt``, or links to
        the post, and is not known as another post's copy.
        """
        found, page = await self._client.get(POST, rkey), records.page_of(self._did, rkey)
        if found is None or (page != job.old and self._environment.is_taken(page)):
            return False
        _, record = found
        same = record.get("text") in texts or record.get("createdAt") == job.created
        return same or source.url in str(record)

    async def _answered(self, source: CopySource) -> tuple[Ref, Ref] | None:
        if source.answers is None:
            return None
        for url in source.about:
            if found := await self._client.find(url):
                return found
        return None

    async def _react(self, job: Job, source: CopySource, subject: Ref) -> CreatedCopy:
        created = self._created(job, source)
        job.created, job.maybe = created, True
        self._environment.save(job)
        collection, word = (LIKE, "liked") if source.kind == "like" else (REPOST, "reposted")
        record = {"$type": collection, "subject": subject.as_json(), "createdAt": created}
        rkey = self._key(source)
        # A taken key means that this same like exists: the key is derived from its subject.
        await self._client.put(collection, rkey, record)
        named = records.post_at(subject.uri)
        page = records.page_of(*named) if named else subject.uri
        return CreatedCopy(f"{page}#{word}-by-{self._did}", rkey)

    async def _mentions(self, words: str, job: Job) -> list[Span]:
        """The mentions in the text that are existing accounts.

        Where resolving a handle keeps failing it stays plain text, so that no post waits for
        another server.
        """
        found = []
        for span in text.handles(words):
            try:
                did = await self._client.resolve(span.value)
            except ApiError as error:
                if job.tries < _NAME_TRIES or not error.uncertain:
                    raise
                did = None
            if did:
                found.append(replace(span, value=did))
        return found

    async def _embed(self, composed: Composed) -> tuple[dict[str, object] | None, tuple[str, ...]]:
        if composed.photos:
            images = []
            for picture in composed.photos:
                photo = await self._photo(picture)
                images.append((await self._client.upload(photo), picture.alt, photo))
            return records.images_embed(images), tuple(each.alt for each in composed.photos)
        if composed.card is None:
            return None, ()
        card = await self._environment.card(composed.card)
        thumb = None
        if card.picture:
            try:
                thumb = await self._client.upload(await self._photo(PagePhoto(card.picture)))
            except CopyRefused:
                # The card is sent without its picture.
                thumb = None
        return records.card_embed(card.url, card.title, card.description, thumb), ()

    async def _photo(self, picture: PagePhoto) -> Photo:
        return await fit_photo(
            self._environment,
            picture,
            most_bytes=records.IMAGE_BYTES,
            longest=records.IMAGE_SIDE,
        )
