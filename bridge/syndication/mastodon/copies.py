"""Copies at an account of a server with Mastodon's API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urldefrag, urlsplit

from bridge.settings import Target
from bridge.syndication.api import ApiError, digest
from bridge.syndication.backfeed.responses import CopyAnswers, from_people, from_statuses
from bridge.syndication.compose import measure
from bridge.syndication.compose.composer import Composed, CopySource, for_mastodon
from bridge.syndication.jobs.ledger import Copy, Job
from bridge.syndication.mastodon.client import Instance, Mastodon, MastodonAccount, Status
from bridge.syndication.networks import CreatedCopy, Environment, count_of, fit_photo

#: Clocks differ: a copy may seem older than the attempt that created it.
_SKEW = timedelta(minutes=10)
_DAY = 86_400.0
_LONGEST_SIDE = 4_096
_LIKED = {"like": "favourite", "repost": "reblog"}
_UNDONE = {"like": "unfavourite", "repost": "unreblog"}


class MastodonNetwork:
    """An account at a server with Mastodon's API, as a network."""

    def __init__(self, target: Target, client: Mastodon, environment: Environment) -> None:
        self._target = target
        self._client = client
        self._environment = environment
        self._instance: tuple[float, Instance] | None = None
        self._account: MastodonAccount | None = None

    async def account(self) -> MastodonAccount:
        """The account of the token; fetched once."""
        if self._account is None:
            self._account = await self._client.account()
        return self._account

    async def instance(self) -> Instance:
        """The server's limits; fetched once a day."""
        now = self._environment.now().timestamp()
        if self._instance is None or now - self._instance[0] > _DAY:
            self._instance = (now, await self._client.instance())
        return self._instance[1]

    async def post(self, job: Job, source: CopySource) -> CreatedCopy:
        """See :class:`Network`."""
        account = await self.account()
        parent = await self._answered(source)
        if parent is not None and source.kind in _LIKED:
            return await self._react(source.kind, parent, account)
        if job.maybe and (found := await self._find_existing(job, source, account)):
            return CreatedCopy(found.url, found.id, job.text or found.text, earlier=True)
        composed = await self._composed(source, parent, raw=job.raw)
        alts = await self._alts(composed)
        kept = {*job.media.values()}
        media = await self._uploaded(job, composed, alts)
        key = digest(account.id, account.url, source.url, composed.text, job.old)
        fields = _fields(composed, media, parent)
        job.text, job.key, job.maybe = composed.text, key, True
        # By the server's clock, as the dates of the statuses are.
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
                if kept.intersection(media) and error.status in {404, 422}:
                    # The server discards uploads that are not attached within a day.
                    job.media.clear()
                    self._environment.save(job)
                    return await self.post(job, source)
                if "processing" in str(error):
                    raise ApiError(str(error), status=503, retry_after=5) from error
            raise
        return CreatedCopy(made.url, made.id, composed.text, alts)

    async def edit(self, job: Job, source: CopySource, copy: Copy) -> CreatedCopy | None:
        """See :class:`Network`. Photos are not replaced; their alt texts are updated."""
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
        try:
            made = await self._client.edit(copy.id, fields)
        except ApiError as error:
            if error.uncertain or job.raw or not _is_too_long(error):
                raise
            job.raw = True
            return await self.edit(job, source, copy)
        if made is None:
            # The copy exists, and its server does not support edits.
            return CreatedCopy(copy.url, copy.id, composed.text, alts)
        return CreatedCopy(copy.url, made.id, composed.text, alts)

    async def delete(self, job: Job) -> None:
        """See :class:`Network`."""
        url, status_id = job.old, job.old_id
        if not url:
            found = (
                await self._find_existing(job, None, await self.account()) if job.maybe else None
            )
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
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        # The server may be reached under another host name than its statuses show.
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
            # Pleroma's URLs, and others', do not name the account.
            return True
        path = [part.removeprefix("@").lower() for part in parts.path.split("/") if part]
        return bool(names.intersection(path[:-1]) - {""})

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """See :class:`Network`."""
        target, client = self._target, self._client
        status_id = copy_id or urlsplit(url).path.rstrip("/").rpartition("/")[2]
        status = await client.raw(status_id)
        if status is None:
            # Raises where the token is not valid any more, or the server does not work.
            await client.account()
            # Other servers' URLs, of copies made by hand, may not have the id.
            return CopyAnswers(is_missing=bool(copy_id) or status_id.isdecimal())
        names = (
            *("replies_count", "favourites_count", "reblogs_count", "quotes_count"),
            "edited_at",
        )
        now = " ".join(str(status.get(name)) for name in names)
        # The counts leave out private replies, so they do not show whether replies have changed.
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
            "like-of": count_of(status.get("favourites_count")),
            "repost-of": count_of(status.get("reblogs_count")),
        }
        return CopyAnswers(tuple(found), counts, now)

    async def _answered(self, source: CopySource) -> Status | None:
        """The status that this post replies to, at this server."""
        if source.answers is None:
            return None
        for url in source.about:
            if url.startswith("http") and (found := await self._client.find(url)):
                return found
        return None

    async def _react(self, kind: str, status: Status, account: MastodonAccount) -> CreatedCopy:
        word = _LIKED[kind]
        await self._client.do(status.id, word)
        page = f"{self._target.base}/@{status.account}/{status.id}"
        return CreatedCopy(f"{page}#{word}d-by-{account.id}", status.id)

    async def _find_existing(
        self, job: Job, source: CopySource | None, account: MastodonAccount
    ) -> Status | None:
        """Search for a copy from an earlier attempt: a status that links to the post, or has
        the same text.
        """
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
            sent = await self._client.source(status.id)
            if sent is not None and _bare(sent) == _bare(job.text):
                return status
        return None

    async def _composed(self, source: CopySource, parent: Status | None, *, raw: bool) -> Composed:
        instance, account = await self.instance(), await self.account()
        counting = measure.mastodon(
            instance.characters,
            counts="raw" if raw else instance.counts,
            url_length=instance.url_length,
        )
        own = parent is None or parent.account.casefold() == account.acct.casefold()
        return await asyncio.to_thread(
            for_mastodon,
            source,
            self._target,
            counting,
            answers=parent is not None,
            mention="" if own or parent is None else parent.account,
            privacy=account.privacy,
            most_photos=min(4, instance.photos),
        )

    async def _alts(self, composed: Composed) -> tuple[str, ...]:
        most = (await self.instance()).description
        return tuple(measure.shorten_alt(each.alt, most) for each in composed.photos)

    async def _uploaded(self, job: Job, composed: Composed, alts: Sequence[str]) -> tuple[str, ...]:
        """The ids of the uploaded photos; uploads of an earlier attempt are used again for a
        while.
        """
        instance = await self.instance()
        for picture, alt in zip(composed.photos, alts, strict=True):
            name = digest(picture.url, alt)[:16]
            if name in job.media:
                continue
            photo = await fit_photo(
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


def _fields(
    composed: Composed, media: Sequence[str], parent: Status | None
) -> list[tuple[str, str]]:
    """The form data of a status
    (https://docs.joinmastodon.org/methods/statuses/#form-data-parameters).
    """
    fields = [("status", composed.text), ("visibility", composed.visibility)]
    fields += [("media_ids[]", each) for each in media]
    optional = {
        "language": composed.language,
        "in_reply_to_id": parent.id if parent else "",
        "sensitive": "true" if composed.sensitive else "",
        "spoiler_text": composed.warning,
    }
    return [*fields, *((name, value) for name, value in optional.items() if value)]


def _is_too_long(error: ApiError) -> bool:
    words = str(error).lower()
    return error.status in {400, 413, 422} and any(
        each in words for each in ("character limit", "too long", "too many characters", "exceed")
    )


def _bare(words: str) -> str:
    return re.sub(r"\s+", " ", words.replace("\u2060", "")).strip()
