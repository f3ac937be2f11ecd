"""Reserves a unique file and address for a post until its commit is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import replace

from bridge.content.file import PelicanFile
from bridge.errors import InvalidRequest
from bridge.posts.post_files import OpenPost, PostReader
from bridge.site.current import Settled, more_places
from bridge.site.messages import (
    Candidate,
    IndexedPost,
    LaterPages,
    Listing,
    Location,
    ReservedPage,
)
from bridge.store import ContentStore, FileChanged, Version


class Reservation(Struct, frozen=True):
    """What is reserved for a post: the path of its file, the file, and the page's location."""

    path: str
    file: PelicanFile
    location: Location

    @property
    def names(self) -> frozenset[str]:
        """The path, URL and output file, none of which another post may have."""
        return frozenset({self.path, self.location.url, self.location.save_as})


class _Free(Struct, frozen=True):
    """A reservation that can be made, and the site's candidate that it is made of."""

    reservation: Reservation
    candidate: Candidate


class _Taken(Struct, frozen=True):
    """The names that are not free, and the candidates that have been refused so far.

    ``own`` is the path of an existing post, and ``save_as`` where its page is, ``""`` for a new
    or deleted one. ``search``: whether the file is looked for in the repo, or only in the index.
    ``near`` are posts and pages that may be missing from the index.
    """

    base: Version
    own: str
    reserved: frozenset[str]
    refused: dict[tuple[str, str], str]
    save_as: str
    search: bool
    near: Sequence[IndexedPost | ReservedPage] = ()


class Reservations:
    """Reserves files and URLs for posts that are not committed yet.

    Only one request at a time works on a file: :meth:`lock` is for an existing post, :meth:`new`
    for a new one. A URL stays reserved until the request's block ends.
    """

    def __init__(self, posts: PostReader, store: ContentStore) -> None:
        self._posts = posts
        self._catalogue = posts.catalogue
        self._store = store
        self._reserved: set[str] = set()
        #: Held while a free name is chosen and reserved.
        self._choosing = asyncio.Lock()
        # A lock disappears with the last request that holds it or waits for it.
        self._locks = WeakValueDictionary[str, asyncio.Lock]()

    @asynccontextmanager
    async def lock(self, path: str) -> AsyncIterator[None]:
        """Hold the lock of the post in a file; requests get it in the order in which they arrive.

        Read the post again once the lock is held: it may have changed.
        """
        lock = self._locks.get(path)
        if lock is None:
            self._locks[path] = lock = asyncio.Lock()
        async with lock:
            yield

    @asynccontextmanager
    async def opened(
        self, find: Callable[[], IndexedPost | None], *, patient: bool = False
    ) -> AsyncIterator[OpenPost | None]:
        """The post that ``find`` finds in the newest version, locked until the block ends; ``None``
        if it finds none.

        ``patient`` as in :meth:`~bridge.posts.catalogue.Catalogue.refresh`. Raises
        :class:`~bridge.store.FileChanged` if a retry helps, and what
        :meth:`~bridge.posts.post_files.PostReader.open_newest` raises.
        """
        await self._catalogue.refresh(patient=patient)
        found = find()
        if found is None:
            yield None
            return
        async with self.lock(found.path):
            post = await self._posts.open_newest(find, patient=patient)
            if post and (post.entry.path != found.path or post.blob != post.entry.blob):
                # Another request has moved the post, or a commit came by git since the refresh.
                raise FileChanged(found.path)
            yield post

    @asynccontextmanager
    async def new(
        self, settled: Settled, base: Version, *, search: bool = True
    ) -> AsyncIterator[Reservation]:
        """Reserve the first free candidate for a new post until the block ends.

        ``search``: look for its file among all files. Otherwise only posts are known, which takes
        less time than handing it to a thread, and the file may turn out not to be free.
        Raises InvalidRequest if no slug gives it a URL of its own, FileChanged if a retry helps.
        """
        async with self._reserving(settled, base, own="", search=search) as reservation:
            if (lock := self._locks.get(reservation.path)) is not None and lock.locked():
                # Another request has just started to restore the post that had this file.
                raise FileChanged(reservation.path)
            async with self.lock(reservation.path):
                yield reservation

    @asynccontextmanager
    async def moved(
        self, settled: Settled, path: str, base: Version, *, save_as: str = ""
    ) -> AsyncIterator[Reservation]:
        """Reserve a URL for a post that stays in its file, until the block ends.

        ``save_as`` is where its page is: it may stay there, even if another hand-written file has
        the same output path, or the site has a page of that name; ``""`` if the post is restored.
        The request must hold its :meth:`lock`. Raises as :meth:`new`.
        """
        async with self._reserving(settled, base, own=path, save_as=save_as) as reservation:
            yield reservation

    @asynccontextmanager
    async def _reserving(
        self,
        settled: Settled,
        base: Version,
        *,
        own: str,
        save_as: str = "",
        search: bool = True,
    ) -> AsyncIterator[Reservation]:
        refused: dict[tuple[str, str], str] = {}
        if self._catalogue.separate.looking is not None:
            await self._catalogue.separate.looked_for()
        while True:
            async with self._choosing:
                # A request that has released a name by now has committed, so the refresh below sees
                # its post. In this order no post is overlooked.
                busy = {name for name, lock in self._locks.items() if lock.locked()}
                taken = _Taken(
                    base, own, frozenset(self._reserved | busy), refused, save_as, search
                )
                if own:
                    await self._catalogue.refresh()
                else:
                    slugs = [each.slug for each in settled.answer.places if each.slug]
                    taken = replace(taken, near=await self._catalogue.neighbours(slugs))
                find = partial(self._first_free, settled, taken)
                free = await asyncio.to_thread(find) if search else find()
                if free is not None:
                    await self._refuse_rival_lists(free.candidate, own)
                    self._reserved |= free.reservation.names
                    break
            # Other requests need not wait while the site computes more candidates.
            settled = await more_places(self._catalogue.site, settled)
            if not settled.answer.places:
                raise _refusal(settled.file, refused)
        try:
            yield free.reservation
        finally:
            self._reserved -= free.reservation.names

    def _first_free(self, settled: Settled, taken: _Taken) -> _Free | None:
        """The first free candidate; ``None`` if further ones may be free. Raises InvalidRequest."""
        for candidate in settled.answer.places:
            slug, location = candidate.slug, candidate.location
            file = settled.file if slug is None else settled.file.with_header("Slug", slug)
            reservation = Reservation(candidate.path, file, location)
            place = (location.url, location.save_as)
            if taken.save_as and location.save_as == taken.save_as:
                return _Free(reservation, candidate)
            if place in taken.refused:
                # The site's URLs do not contain this slug, or only its beginning.
                raise _refusal(settled.file, taken.refused)
            if (holder := self._taken_by(reservation, candidate, taken)) is not None:
                taken.refused[place] = holder
            elif self._has_free_file(reservation, taken):
                return _Free(reservation, candidate)
            if slug is None:
                raise _refusal(settled.file, taken.refused)
        return None

    async def _refuse_rival_lists(self, candidate: Candidate, own: str) -> None:
        """Raise if a list that the post is on would be written to another list's file."""
        index, before = self._catalogue.index, self._catalogue.index.listings(own)
        new = {each.listing: each for each in candidate.listed if each.listing not in before}
        rivals: list[tuple[Listing, Listing]] = []
        for listing, listed in new.items():
            conflicting = list(listed.conflicting)
            if listed.numbered:
                posts = index.posts_on(listing)
                later = await self._catalogue.site.conflicting_lists(LaterPages(listing, posts))
                conflicting += later.listings
                conflicting += [
                    name for name, least in later.large if index.posts_on(name) >= least
                ]
            rivals += [(listing, other) for other in conflicting]
        others = index.listed({other for _, other in rivals} - new.keys(), but=own)
        for listing, other in rivals:
            if other in new or other in others:
                raise InvalidRequest(
                    f"Two lists of this site would share a file ({listing}, {other}): "
                    "give the post another category (mp-channel), author or tag."
                )

    def _taken_by(
        self, reservation: Reservation, candidate: Candidate, taken: _Taken
    ) -> str | None:
        """What already has the reservation's URL: the path of a file, ``""`` for anything
        else.
        """
        location = reservation.location
        if not taken.reserved.isdisjoint({location.url, location.save_as}):
            return ""
        index = self._catalogue.index
        for each in taken.near:
            lives = isinstance(each, IndexedPost) and index.is_at(each, location.url)
            if lives or each.save_as == location.save_as:
                return each.path
        holder = index.taken_by(location.url, location.save_as, but=taken.own)
        if holder is None and self._catalogue.separate.outputs:
            holder = self._catalogue.separate.holder_of(location)
        if holder is not None:
            return holder
        # A deleted post is restored to where it was even if the site now has a page of that name.
        restored = bool(taken.own) and not taken.save_as
        return "" if candidate.reserved and not restored else None

    def _has_free_file(self, reservation: Reservation, taken: _Taken) -> bool:
        if reservation.path == taken.own:
            return True
        if reservation.path in taken.reserved:
            return False
        if not taken.search:
            return self._catalogue.index.find_by_path(reservation.path) is None
        # It may also be the name of a folder.
        below = self._store.files(reservation.path, taken.base)
        return self._store.read(reservation.path, taken.base) is None and next(below, None) is None


def _refusal(file: PelicanFile, refused: dict[tuple[str, str], str]) -> InvalidRequest:
    """The error for a post whose possible URLs are all taken."""
    (url, _), holder = next(iter(refused.items()), (("its address", ""), ""))
    fixed = any(file.get(key) is not None for key in ("URL", "Save_as"))
    if fixed:
        remedy = "change the URL and Save_as in the file of one of them"
    elif len(refused) == 1 and file.get("Slug") is not None:
        remedy = (
            "the addresses of this site do not tell their slugs apart. Give this one another "
            "date, or put {slug} into ARTICLE_URL and ARTICLE_SAVE_AS"
        )
    else:
        remedy = "give this one another slug (mp-slug)"
    by = f" ({holder})" if holder else ""
    return InvalidRequest(f"Another post{by} lives at {url}: {remedy}.")
