"""Makes, edits and deletes copies at one target such that there is never more than one.

:class:`AtMastodon` and :class:`AtBluesky` do the same in their network's own way. Before anything
is sent that makes a copy, the job says so on the disk; a try that follows one that may have arrived
looks first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import urldefrag, urlsplit

from bridge.settings import Target
from bridge.syndication import bluesky, text
from bridge.syndication.answers import (
    CopyAnswers,
    dids_in,
    from_actors,
    from_people,
    from_posts,
    from_statuses,
    from_thread,
)
from bridge.syndication.api import ApiError, digest
from bridge.syndication.bluesky import LIKE, POST, REPOST, Bluesky, Ref
from bridge.syndication.compose import Card, Composed, Source, for_bluesky, for_mastodon
from bridge.syndication.images import NoImage, Photo, fit
from bridge.syndication.jobs import Copy, Job
from bridge.syndication.mastodon import Account, Instance, Mastodon, Status
from bridge.syndication.shown import Picture
from bridge.syndication.text import Span

#: Clocks differ: a copy may seem to be older than the try that made it.
_SKEW = timedelta(minutes=10)
_DAY = 86_400.0
_LONGEST_SIDE = 4_096
#: How many keys are tried where another post has the first.
_KEYS = 4
_NAME_TRIES = 2
_LIKED = {"like": "favourite", "repost": "reblog"}
_UNDONE = {"like": "unfavourite", "repost": "unreblog"}


class Refused(Exception):
    """The copy cannot be made as things are; the text tells the owner why."""


class Environment(Protocol):
    """What a network needs of the bridge."""

    async def picture(self, url: str) -> bytes:
        """The bytes of a photo. Raises :class:`Refused` where they cannot be had."""
        ...

    async def card(self, card: Card) -> Card:
        """A card with what the page says of itself."""
        ...

    def save(self, job: Job) -> None:
        """Have what a job says on the disk before going on."""
        ...

    def is_taken(self, url: str) -> bool:
        """Whether a copy is already known to be that of another post."""
        ...

    def now(self) -> datetime:
        """The time."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A copy that is there now; ``earlier``: an earlier try has made it, of the post as it was."""

    url: str
    id: str
    text: str = ""
    alts: tuple[str, ...] = ()
    earlier: bool = False


class Network(Protocol):
    """Copies at one account. Every method raises :class:`ApiError` and :class:`Refused`."""

    async def post(self, job: Job, source: Source) -> Made:
        """Make the copy, or find the one that an earlier try has made."""
        ...

    async def edit(self, job: Job, source: Source, copy: Copy) -> Made | None:
        """Have the copy say what the post says; ``None`` where it does."""
        ...

    async def delete(self, job: Job) -> None:
        """Have the copy gone."""
        ...

    def is_mine(self, url: str) -> bool:
        """Whether an address is that of a copy at this account."""
        ...

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """The answers to a copy; ``None`` where, by a cheap look, there is nothing new since
        ``seen``, unless it is to be ``full``."""
        ...


class AtMastodon:
    """An account at a server with Mastodon's API."""

    def __init__(self, target: Target, client: Mastodon, environment: Environment) -> None:
        self._target = target
        self._client = client
        self._environment = environment
        self._instance: tuple[float, Instance] | None = None
        self._account: Account | None = None

    async def account(self) -> Account:
        """Whose token it is, asked for once."""
        if self._account is None:
            self._account = await self._client.account()
        return self._account

    async def instance(self) -> Instance:
        """What the server takes, asked for daily."""
        now = self._environment.now().timestamp()
        if self._instance is None or now - self._instance[0] > _DAY:
            self._instance = (now, await self._client.instance())
        return self._instance[1]

    async def post(self, job: Job, source: Source) -> Made:
        """See :class:`Network`."""
        account = await self.account()
        parent = await self._answered(source)
        if parent is not None and source.kind in _LIKED:
            return await self._react(source.kind, parent, account)
        if job.maybe and (found := await self._look(job, source, account)):
            return Made(found.url, found.id, job.text or found.text, earlier=True)
        composed = await self._composed(source, parent, raw=job.raw)
        alts = await self._alts(composed)
        media = await self._uploaded(job, composed, alts)
        key = digest(account.id, account.url, source.url, composed.text, job.old)
        fields = _fields(composed, media, parent)
        job.text, job.key, job.maybe = composed.text, key, True
        # By the clock that the statuses have their dates from.
        job.started = job.started or (self._client.now() or self._environment.now()).timestamp()
        self._environment.save(job)
        try:
            made = await self._client.post(fields, key)
        except ApiError as error:
            if not error.uncertain:
                job.maybe = False
                if _is_too_long(error) and not job.raw:
                    # Some servers count links in full, whatever they announce.
                    job.raw = True
                    self._environment.save(job)
                    return await self.post(job, source)
                if "processing" in str(error):
                    raise ApiError(str(error), status=503, retry_after=5) from error
            raise
        return Made(made.url, made.id, composed.text, alts)

    async def edit(self, job: Job, source: Source, copy: Copy) -> Made | None:
        """See :class:`Network`. Photos stay as they are, but for their alt texts."""
        parent = await self._answered(source)
        if source.kind in _LIKED and parent is not None:
            return None
        composed = await self._composed(source, parent, raw=job.raw)
        alts = await self._alts(composed)
        if composed.text == copy.text and alts == copy.alts:
            return None
        status = await self._client.status(copy.id)
        if status is None:
            return None
        same_alts = alts == copy.alts or len(alts) != len(status.media)
        if composed.text == copy.text and same_alts:
            return None
        fields = _fields(composed, status.media, None)
        if len(alts) == len(status.media):
            for media_id, alt in zip(status.media, alts, strict=True):
                fields += [("media_attributes[][id]", media_id)]
                fields += [("media_attributes[][description]", alt)]
        made = await self._client.edit(copy.id, fields)
        if made is None:
            # The copy is there, and its server lets no one change it.
            return Made(copy.url, copy.id, composed.text, alts)
        return Made(copy.url, made.id, composed.text, alts)

    async def delete(self, job: Job) -> None:
        """See :class:`Network`."""
        url, status_id = job.old, job.old_id
        if not url:
            found = await self._look(job, None, await self.account()) if job.maybe else None
            if found is None:
                return
            status_id = found.id
        _, fragment = urldefrag(url)
        for kind, word in _LIKED.items():
            if fragment.startswith(f"{word}d-by-"):
                await self._client.do(status_id, _UNDONE[kind])
                return
        await self._client.delete(status_id or urlsplit(url).path.rstrip("/").rpartition("/")[2])

    def is_mine(self, url: str) -> bool:
        """See :class:`Network`."""
        parts = urlsplit(url)
        # The server may be reached at another name than the one that it shows.
        homes = {urlsplit(each).netloc.lower() for each in (self._target.base, self._target.uid)}
        if not parts.netloc or parts.netloc.lower() not in homes:
            return False
        if match := re.search(r"-by-(\w+)$", parts.fragment):
            return self._account is not None and match[1] == self._account.id
        named = urlsplit(self._target.uid)
        names = {named.path.strip("/").rpartition("/")[2].removeprefix("@").lower()}
        if self._account is not None:
            names.add(self._account.acct.lower())
        if re.fullmatch(r"/(?:notice|objects|notes)/[\w-]+/?", parts.path):
            # Pleroma's and others' name no account.
            return True
        path = [part.removeprefix("@").lower() for part in parts.path.split("/") if part]
        return bool(names.intersection(path[:-1]) - {""})

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """See :class:`Network`. A copy that is gone has no answers."""
        target, client = self._target, self._client
        status_id = copy_id or urlsplit(url).path.rstrip("/").rpartition("/")[2]
        status = await client.raw(status_id)
        if status is None:
            return CopyAnswers()
        names = (
            *("replies_count", "favourites_count", "reblogs_count", "quotes_count"),
            "edited_at",
        )
        now = " ".join(str(status.get(name)) for name in names)
        # Private answers are not in the counts, so that these alone tell too little.
        replies = await client.context(status_id)
        now += digest(*(f"{each.get('id')} {each.get('edited_at')}" for each in replies))
        if now == seen and not full:
            return None
        account = await self.account()
        found = await asyncio.to_thread(lambda: [*from_statuses(replies, account.id)])
        if target.backfeed == "all" and target.likes == "faces":
            for what, kind, word in (
                ("favourited_by", "like-of", "favorited"),
                ("reblogged_by", "repost-of", "reblogged"),
            ):
                found += from_people(await client.people(status_id, what), url, kind, word)
        if target.backfeed == "all":
            quotes = await client.quotes(status_id)
            found += await asyncio.to_thread(
                lambda: [*from_statuses(quotes, account.id, kind="mention-of")]
            )
        counts = {
            "like-of": _count(status.get("favourites_count")),
            "repost-of": _count(status.get("reblogs_count")),
        }
        return CopyAnswers(tuple(found), counts, now)

    async def _answered(self, source: Source) -> Status | None:
        """The post there that this one answers."""
        if source.answers is None:
            return None
        for url in source.about:
            if url.startswith("http") and (found := await self._client.find(url)):
                return found
        return None

    async def _react(self, kind: str, status: Status, account: Account) -> Made:
        word = _LIKED[kind]
        await self._client.do(status.id, word)
        page = f"{self._target.base}/@{status.account}/{status.id}"
        return Made(f"{page}#{word}d-by-{account.id}", status.id)

    async def _look(self, job: Job, source: Source | None, account: Account) -> Status | None:
        """The copy that an earlier try has made: one that links to the post, or says the same."""
        since = datetime.fromtimestamp(job.started or job.since, UTC) - _SKEW
        url = source.url if source else job.url
        for status in await self._client.newest(account.id):
            if status.created is not None and status.created < since:
                continue
            if not status.url or self._environment.is_taken(status.url):
                continue
            if status.links_to(url):
                return status
            if not job.text:
                continue
            if _bare(status.text) == _bare(job.text):
                return status
            told = await self._client.source(status.id)
            if told is not None and _bare(told) == _bare(job.text):
                return status
        return None

    async def _composed(self, source: Source, parent: Status | None, *, raw: bool) -> Composed:
        instance, account = await self.instance(), await self.account()
        measure = text.mastodon(
            instance.characters,
            counts="raw" if raw else instance.counts,
            url_length=instance.url_length,
        )
        own = parent is None or parent.account.casefold() == account.acct.casefold()
        return await asyncio.to_thread(
            for_mastodon,
            source,
            self._target,
            measure,
            answers=parent is not None,
            mention="" if own or parent is None else parent.account,
            privacy=account.privacy,
            most_photos=min(4, instance.photos),
        )

    async def _alts(self, composed: Composed) -> tuple[str, ...]:
        most = (await self.instance()).description
        return tuple(text.shorten_alt(each.alt, most) for each in composed.photos)

    async def _uploaded(self, job: Job, composed: Composed, alts: Sequence[str]) -> tuple[str, ...]:
        """The ids of the photos; what an earlier try has uploaded is used again, for a while."""
        instance = await self.instance()
        for picture, alt in zip(composed.photos, alts, strict=True):
            name = digest(picture.url, alt)[:16]
            if name in job.media:
                continue
            photo = await _fitting(
                self._environment,
                picture,
                most_bytes=instance.image_bytes,
                longest=_LONGEST_SIDE,
                most_pixels=instance.image_pixels,
                mimes=instance.mimes,
            )
            job.media[name] = await self._client.upload(photo, alt)
            self._environment.save(job)
        pairs = zip(composed.photos, alts, strict=True)
        return tuple(job.media[digest(picture.url, alt)[:16]] for picture, alt in pairs)


class AtBluesky:
    """An account at Bluesky."""

    def __init__(self, target: Target, client: Bluesky, environment: Environment) -> None:
        self._target = target
        self._client = client
        self._environment = environment
        self._did = target.handle if target.handle.startswith("did:") else ""

    async def post(self, job: Job, source: Source) -> Made:
        """See :class:`Network`. Its key makes the record one: nothing else has to be remembered."""
        self._did = await self._client.did()
        parent = await self._answered(source)
        if parent is not None and source.kind in {"like", "repost"}:
            return await self._react(job, source, parent[0])
        composed = await asyncio.to_thread(
            for_bluesky, source, self._target, answers=parent is not None
        )
        created = job.created or bluesky.created_at(source.published, self._environment.now())
        said = {composed.text, *([job.text] if job.maybe else [])}
        job.created = created
        facets = text.facets(composed.rich, await self._mentions(composed.text, job))
        embed, alts = await self._embed(composed)
        record = bluesky.post_record(
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
                return Made(bluesky.page_of(self._did, rkey), rkey, composed.text, alts)
            if await self._is_ours(rkey, job, source, said):
                return Made(bluesky.page_of(self._did, rkey), rkey, composed.text, alts)
        raise Refused("other posts have all the record keys that this one could have")

    async def edit(self, job: Job, source: Source, copy: Copy) -> Made | None:
        """Nothing: Bluesky's own pages would go on showing the first version."""
        del job, source, copy
        return None

    async def delete(self, job: Job) -> None:
        """See :class:`Network`."""
        self._did = await self._client.did()
        url, rkey = job.old, job.old_id
        _, fragment = urldefrag(url)
        collection = {"liked": LIKE, "reposted": REPOST}.get(fragment.partition("-")[0], POST)
        named = bluesky.post_at(url)
        if not rkey and collection == POST:
            # Without an address: what a try may have made before the post was deleted.
            rkey = named[1] if named else job.key
        if rkey:
            await self._client.delete(collection, rkey)

    def is_mine(self, url: str) -> bool:
        """See :class:`Network`."""
        page, fragment = urldefrag(url)
        mine = {each for each in (self._did, self._target.handle) if each}
        if fragment:
            return any(fragment.endswith(f"-by-{each}") for each in mine)
        named = bluesky.post_at(page)
        return named is not None and named[0] in mine

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """See :class:`Network`."""
        del copy_id
        client, target = self._client, self._target
        self._did = self._did or await client.did()
        uri = await client.uri_of(url)
        posts = (await client.view("app.bsky.feed.getPosts", uris=[uri])).get("posts")
        post = next((each for each in posts or () if isinstance(each, dict)), None)
        if uri is None or post is None:
            return CopyAnswers()
        names = ("replyCount", "likeCount", "repostCount", "quoteCount")
        now = " ".join(str(post.get(name)) for name in names)
        if now == seen and not full:
            return None
        asked = {"uri": uri, "depth": 10, "parentHeight": 0}
        thread = (await client.view("app.bsky.feed.getPostThread", **asked)).get("thread")
        hidden = await client.who_minds(dids_in(thread) - {self._did})
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
            "like-of": _count(post.get("likeCount")),
            "repost-of": _count(post.get("repostCount")),
        }
        return CopyAnswers(tuple(found), counts, now)

    def _key(self, source: Source, number: int = 0) -> str:
        extra = [str(number)] if number else []
        return bluesky.tid(source.published, source.url, self._target.uid, *extra)

    async def _is_ours(self, rkey: str, job: Job, source: Source, said: Collection[str]) -> bool:
        """Whether the record that has the key is this post's copy, made by an earlier try.

        It says what this or the last try wanted to say, was to be made at the same moment, or links
        to the post; and it is not known to be another post's.
        """
        found, page = await self._client.get(POST, rkey), bluesky.page_of(self._did, rkey)
        if found is None or (page != job.old and self._environment.is_taken(page)):
            return False
        _, record = found
        same = record.get("text") in said or record.get("createdAt") == job.created
        return same or source.url in str(record)

    async def _answered(self, source: Source) -> tuple[Ref, Ref] | None:
        if source.answers is None:
            return None
        for url in source.about:
            if found := await self._client.find(url):
                return found
        return None

    async def _react(self, job: Job, source: Source, subject: Ref) -> Made:
        created = job.created or bluesky.created_at(source.published, self._environment.now())
        job.created, job.maybe = created, True
        self._environment.save(job)
        collection, word = (LIKE, "liked") if source.kind == "like" else (REPOST, "reposted")
        record = {"$type": collection, "subject": subject.as_json(), "createdAt": created}
        rkey = self._key(source)
        # Where the key is taken it is by this very like: nothing else is made of these texts.
        await self._client.put(collection, rkey, record)
        named = bluesky.post_at(subject.uri)
        page = bluesky.page_of(*named) if named else subject.uri
        return Made(f"{page}#{word}-by-{self._did}", rkey)

    async def _mentions(self, words: str, job: Job) -> list[Span]:
        """The accounts that the text names, as far as there are such.

        Where asking fails again and again, a name is a word: no post waits for another's server.
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
            return bluesky.images_embed(images), tuple(each.alt for each in composed.photos)
        if composed.card is None:
            return None, ()
        card = await self._environment.card(composed.card)
        thumb = None
        if card.picture:
            try:
                thumb = await self._client.upload(await self._photo(Picture(card.picture)))
            except Refused:
                # A card without its picture is one all the same.
                thumb = None
        return bluesky.card_embed(card.url, card.title, card.description, thumb), ()

    async def _photo(self, picture: Picture) -> Photo:
        return await _fitting(
            self._environment,
            picture,
            most_bytes=bluesky.IMAGE_BYTES,
            longest=bluesky.IMAGE_SIDE,
        )


async def _fitting(
    environment: Environment,
    picture: Picture,
    *,
    most_bytes: int,
    longest: int,
    most_pixels: int = 100_000_000,
    mimes: Iterable[str] | None = None,
) -> Photo:
    data = await environment.picture(picture.url)
    taken = tuple(mimes or ("image/jpeg", "image/png", "image/webp"))

    def work() -> Photo:
        return fit(
            data, most_bytes=most_bytes, longest=longest, most_pixels=most_pixels, mimes=taken
        )

    try:
        return await asyncio.to_thread(work)
    except NoImage as error:
        raise Refused(f"the photo {picture.url} cannot be sent: {error}") from error


def _fields(
    composed: Composed, media: Sequence[str], parent: Status | None
) -> list[tuple[str, str]]:
    """The form of a status (https://docs.joinmastodon.org/methods/statuses/#form-data-parameters)."""
    fields = [("status", composed.text), ("visibility", composed.visibility)]
    fields += [("media_ids[]", each) for each in media]
    optional = {
        "language": composed.language,
        "in_reply_to_id": parent.id if parent else "",
        "sensitive": "true" if composed.sensitive else "",
        "spoiler_text": composed.warning,
    }
    return [*fields, *((name, value) for name, value in optional.items() if value)]


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _is_too_long(error: ApiError) -> bool:
    words = str(error).lower()
    return error.status in {400, 413, 422} and any(
        each in words for each in ("character limit", "too long", "too many characters", "exceed")
    )


def _bare(words: str) -> str:
    return re.sub(r"\s+", " ", words.replace("\u2060", "")).strip()
