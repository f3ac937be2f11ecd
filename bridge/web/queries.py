"""Answers ``GET /micropub`` from the catalogue (Micropub 3.7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from bridge.errors import InsufficientStorage, Unavailable
from bridge.micropub import answers
from bridge.micropub.answers import Channel, ListedPost, Object, Paging, contacts, places
from bridge.micropub.post import Post
from bridge.micropub.query import Query, parse_query
from bridge.posts.catalogue import Catalogue
from bridge.posts.post_files import PostReader
from bridge.settings import Settings
from bridge.site.messages import IndexedPost
from bridge.store import Version

#: How many posts are searched for people and places.
_LATEST = 200
_STATUSES = {"published": ("published", "hidden"), "draft": ("draft",), None: ()}


class Queries:
    """Answers queries."""

    def __init__(
        self, catalogue: Catalogue, posts: PostReader, settings: Settings, media_endpoint: str
    ) -> None:
        self._catalogue = catalogue
        self._posts = posts
        self._media_endpoint = media_endpoint
        self._me = settings.site.me
        self._targets = settings.syndication.targets
        self._known: tuple[Version | None, list[Post]] | None = None

    async def answer(self, parameters: Iterable[tuple[str, str]]) -> Object:
        """Answer a query with JSON. Raises InvalidRequest."""
        query = parse_query(parameters)
        if query.q == "source":
            return await (self._one(query, query.url) if query.url else self._list(query))
        answer = await self._answer(query)
        return answer if query.q == "config" else query.part_of(answer)

    async def _answer(self, query: Query) -> Object:
        match query.q:
            case "syndicate-to":
                return answers.syndicate_to(self._targets)
            case "category":
                await self._catalogue.refresh()
                return answers.category(self._catalogue.index.categories(query.filter))
            case "channel":
                await self._catalogue.refresh()
                return answers.channel(self._channels())
            case "post-types":
                return answers.post_types()
            case "media-endpoint":
                return {"media-endpoint": self._media_endpoint}
            case "contact":
                return contacts(await self._latest(), query.filter)
            case "geo":
                return places(await self._latest(), query.place, query.filter)
        # Most apps begin with the configuration, and many stop without an answer. While the posts
        # of a large site are being indexed, or the disk is full, the categories of those found so
        # far are enough.
        with suppress(Unavailable, InsufficientStorage):
            await self._catalogue.for_new_post()
        configuration = answers.config(
            media_endpoint=self._media_endpoint,
            targets=self._targets,
            channels=self._channels(),
            categories=self._catalogue.index.categories(),
            destinations=[Channel(self._me, self._me)],
        )
        return configuration if query.q == "config" else {query.q: configuration[query.q]}

    def _channels(self) -> list[Channel]:
        return [Channel(name, name) for name in self._catalogue.index.channels()]

    async def _latest(self) -> list[Post]:
        """The newest public posts, from which people and places are taken."""
        await self._catalogue.refresh()
        shown = self._catalogue.index.newest(limit=_LATEST, statuses=_STATUSES["published"])
        version = self._catalogue.index.version
        if self._known is None or self._known[0] != version:
            self._known = (version, await self._posts.posts(shown))
        return self._known[1]

    async def _one(self, query: Query, url: str) -> Object:
        await self._catalogue.refresh()
        entry = self._posts.find(url)
        post = await self._posts.post(entry)
        slug = await self._posts.slug(entry)
        return answers.source(
            post, query.properties, url=entry.url, slug=slug, channel=entry.channel
        )

    async def _list(self, query: Query) -> Object:
        await self._catalogue.refresh()
        # One more than requested shows whether there is another page.
        found = self._catalogue.index.newest(
            limit=query.page_size + 1,
            offset=query.offset,
            after=query.after,
            before=query.before,
            types=query.post_types,
            statuses=_STATUSES[query.post_status],
            channel=query.channel,
            text=query.filter,
        )
        backwards = query.before is not None
        size = query.page_size
        shown = found[-size:] if backwards else found[:size]
        paging = _paging(query, shown, more=len(found) > size)
        posts = await self._posts.posts(shown)
        items = [
            ListedPost(entry.url, post, entry.channel)
            for entry, post in zip(shown, posts, strict=True)
        ]
        return answers.source_list(items, paging, query.properties)


def _paging(query: Query, shown: Sequence[IndexedPost], *, more: bool) -> Paging:
    """The cursors of the neighbouring pages, if there are any."""
    if not shown:
        return Paging()
    first, last = shown[0], shown[-1]
    older = more if query.before is None else True
    newer = more if query.before is not None else bool(query.after or query.offset)
    return Paging(
        after=(last.published, last.path) if older else None,
        before=(first.published, first.path) if newer else None,
    )
