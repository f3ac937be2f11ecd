"""Finds a post its place: a file and an address that no other post has, or is about to have."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from bridge.background import in_stoppable_thread
from bridge.catalogue import Catalogue
from bridge.content.headers import PelicanFile
from bridge.content.keys import date_of
from bridge.content.location import Location
from bridge.content.path import candidates
from bridge.errors import InvalidRequest
from bridge.store import ChangedMeanwhile, ContentStore, Version


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a place is looked for: a file, its path for each slug, and whose names are taken.

    ``own`` is the path of a post that is there already, ``""`` for a new one.
    """

    file: PelicanFile
    path: Callable[[PelicanFile], str]
    base: Version
    own: str
    reserved: frozenset[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a post is going to be: the path of its file, the file, and the page's location."""

    path: str
    file: PelicanFile
    location: Location

    @property
    def names(self) -> frozenset[str]:
        """Everything that no second post may have."""
        return frozenset({self.path, self.location.url, self.location.save_as})


class Placing:
    """Hands out places, and remembers those that are not committed yet.

    A file belongs to one request at a time: :meth:`turn` for a post that is there, :meth:`new` for
    one that is coming. An address is reserved until the block of its request ends.
    """

    def __init__(self, catalogue: Catalogue, store: ContentStore) -> None:
        self._catalogue = catalogue
        self._store = store
        self._reserved: set[str] = set()
        self._settling = asyncio.Lock()
        # A lock is gone when the last request that has it, or waits for it, is through.
        self._turns = WeakValueDictionary[str, asyncio.Lock]()

    @asynccontextmanager
    async def turn(self, path: str) -> AsyncIterator[None]:
        """Be the only request that works on the post in a file; first come, first served.

        What was known of the post before may have changed by then.
        """
        lock = self._turns.get(path)
        if lock is None:
            self._turns[path] = lock = asyncio.Lock()
        async with lock:
            yield

    @asynccontextmanager
    async def new(self, file: PelicanFile, base: Version) -> AsyncIterator[Place]:
        """A place for a new post, whose ``Slug`` is a wish; reserved until the block ends.

        Raises InvalidRequest where Pelican would make no page of it, or no slug gives it an address
        of its own; ChangedMeanwhile where another look helps.
        """

        def path(placed: PelicanFile) -> str:
            rules = self._catalogue.rules
            published = date_of(placed, "Date", rules)
            assert published is not None  # noqa: S101 - the bridge has just written it
            slug = placed.get("Slug") or ""
            category = rules.site.category_slug(placed.get("Category") or "")
            # A category may be called like the folder of uploads or of pages, where no post is
            # read: then its folder, which no reader ever sees, has another name.
            paths = [
                rules.path.path(slug=slug, category=folder, published=published)
                for folder in (category, f"{category}-posts")
            ]
            return next(filter(rules.site.is_article, paths), paths[0])

        async with self._reserving(file, path, base, own="") as place:
            if (lock := self._turns.get(place.path)) is not None and lock.locked():
                # Just now another request has begun to bring back the post that had this file.
                raise ChangedMeanwhile(place.path)
            async with self.turn(place.path):
                yield place

    @asynccontextmanager
    async def moved(self, file: PelicanFile, path: str, base: Version) -> AsyncIterator[Place]:
        """A place for a post that stays in its file; reserved until the block ends.

        For the request whose :meth:`turn` it is. Raises as :meth:`new`.
        """
        async with self._reserving(file, lambda _: path, base, own=path) as place:
            yield place

    @asynccontextmanager
    async def _reserving(
        self, file: PelicanFile, path: Callable[[PelicanFile], str], base: Version, *, own: str
    ) -> AsyncIterator[Place]:
        async with self._settling:
            # A request that has let go of a name by now has committed, so that a refresh tells of
            # it: in this order none is overlooked.
            busy = {name for name, lock in self._turns.items() if lock.locked()}
            wish = _Wish(file, path, base, own, frozenset(self._reserved | busy))
            await self._catalogue.refresh()
            place = await in_stoppable_thread(self._settle, wish)
            self._reserved |= place.names
        try:
            yield place
        finally:
            self._reserved -= place.names

    def _settle(self, stopped: threading.Event, wish: _Wish) -> Place:
        """The first free place: with the slug as it is, then with ``-2``, ``-3`` and so on."""
        site = self._catalogue.rules.site
        slug = wish.file.get("Slug")
        stamp = re.sub(r"\D", "", wish.file.get("Date") or "")[:14]
        refused: dict[tuple[str, str], str] = {}
        # A post written by hand may leave its slug to Pelican: then there is one place for it.
        for candidate in candidates(slug, stamp) if slug else [None]:
            if stopped.is_set():
                break
            file = wish.file if candidate is None else wish.file.with_header("Slug", candidate)
            path = wish.path(file)
            location = site.quick_locate(file, path) or site.locate(file.text(), path)
            place = Place(path, file, location)
            address = (location.url, location.save_as)
            if address in refused:
                # The site's addresses do not show this slug, or only the beginning of it.
                break
            if (taken := self._taken_by(place, wish)) is not None:
                refused[address] = taken
            elif self._has_free_file(place, wish):
                return self._confirmed(place, wish)
        raise self._refusal(wish, refused)

    def _refusal(self, wish: _Wish, refused: dict[tuple[str, str], str]) -> InvalidRequest:
        """What to tell of addresses that are all taken, each by a file or by something else."""
        (url, _), holder = next(iter(refused.items()), (("its address", ""), ""))
        fixed = any(wish.file.get(key) is not None for key in ("URL", "Save_as"))
        if fixed:
            remedy = "change the URL and Save_as in the file of one of them"
        elif len(refused) == 1 and wish.file.get("Slug") is not None:
            remedy = (
                "the addresses of this site do not tell their slugs apart. Give this one another "
                "date, or put {slug} into ARTICLE_URL and ARTICLE_SAVE_AS"
            )
        else:
            remedy = "give this one another slug (mp-slug)"
        by = f" ({holder})" if holder else ""
        return InvalidRequest(f"Another post{by} lives at {url}: {remedy}.")

    def _confirmed(self, place: Place, wish: _Wish) -> Place:
        """The place, sure to become a page. Raises InvalidRequest where Pelican would not read it.

        For what the bridge has composed, formatting finds the same address as Pelican, and the
        site's Markdown has read the text. In a file of the owner's there may be anything: there
        Pelican itself has the last word.
        """
        site = self._catalogue.rules.site
        self._refuse_rival_lists(place, wish)
        if not wish.own:
            return place
        return replace(place, location=site.locate(place.file.text(), place.path))

    def _refuse_rival_lists(self, place: Place, wish: _Wish) -> None:
        """Raise where a list that the post comes to would get another list's file."""
        site, index = self._catalogue.rules.site, self._catalogue.index
        new = {*self._catalogue.listings(place.file, place.location)} - index.listings(wish.own)
        for listing in new:
            for rival in site.listings.rivals(listing, index.posts_on):
                if rival in new or index.is_listed(rival, but=wish.own):
                    raise InvalidRequest(
                        f"Two lists of this site would share a file ({listing}, {rival}): "
                        "give the post another category (mp-channel), author or tag."
                    )

    def _taken_by(self, place: Place, wish: _Wish) -> str | None:
        """Who has the address of a place: the path of a file, ``""`` for what is no file yet."""
        location, own = place.location, wish.own
        if not wish.reserved.isdisjoint({location.url, location.save_as}):
            return ""
        holder = self._catalogue.index.taken_by(location.url, location.save_as, but=own)
        if holder is not None:
            return holder
        # A post stays where it is even if the site has come to make another page of that name.
        return "" if not own and self._catalogue.rules.site.is_reserved(location.save_as) else None

    def _has_free_file(self, place: Place, wish: _Wish) -> bool:
        if place.path == wish.own:
            return True
        return place.path not in wish.reserved and self._store.read(place.path, wish.base) is None
