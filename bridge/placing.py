"""Finds a post its place: a file and an address that nobody has, and nobody gets meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bridge.catalogue import Catalogue
from bridge.content.headers import PelicanFile
from bridge.content.keys import date_of
from bridge.content.location import Location
from bridge.content.path import candidates
from bridge.errors import InvalidRequest
from bridge.store import ContentStore, Version


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
    """Hands out places, one request at a time, and remembers those that are not committed yet."""

    def __init__(self, catalogue: Catalogue, store: ContentStore) -> None:
        self._catalogue = catalogue
        self._store = store
        self._reserved: set[str] = set()
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def new(self, file: PelicanFile, base: Version) -> AsyncIterator[Place]:
        """A place for a new post, whose ``Slug`` is a wish; held until the block ends.

        Raises InvalidRequest where Pelican would make no page of it.
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

        async with self._held(file, path, base, own="") as place:
            yield place

    @asynccontextmanager
    async def moved(self, file: PelicanFile, path: str, base: Version) -> AsyncIterator[Place]:
        """A place for a post that stays in its file; held until the block ends."""
        async with self._held(file, lambda _: path, base, own=path) as place:
            yield place

    @asynccontextmanager
    async def _held(
        self, file: PelicanFile, path: Callable[[PelicanFile], str], base: Version, *, own: str
    ) -> AsyncIterator[Place]:
        async with self._lock:
            # Whoever has let go of a name by now has committed, so that a refresh tells of it: in
            # this order nobody is overlooked.
            wish = _Wish(file, path, base, own, frozenset(self._reserved))
            await self._catalogue.refresh()
            place = await asyncio.to_thread(self._settle, wish)
            self._reserved |= place.names
        try:
            yield place
        finally:
            self._reserved -= place.names

    def _settle(self, wish: _Wish) -> Place:
        """The first free place: with the slug as it is, then with ``-2``, ``-3`` and so on."""
        site = self._catalogue.rules.site
        slug = wish.file.get("Slug")
        # A post written by hand may leave its slug to Pelican: then there is one place for it.
        for candidate in candidates(slug) if slug else [None]:
            file = wish.file if candidate is None else wish.file.with_header("Slug", candidate)
            path = wish.path(file)
            location = site.quick_locate(file, path) or site.locate(file.text(), path)
            place = Place(path, file, location)
            if self._is_free(place, wish):
                return self._confirmed(place, wish)
        raise InvalidRequest(f"Another post lives at {location.url}: give this one a slug.")

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

    def _is_free(self, place: Place, wish: _Wish) -> bool:
        location, own = place.location, wish.own
        return (
            wish.reserved.isdisjoint(place.names)
            and not self._catalogue.index.is_taken(location.url, location.save_as, but=own)
            and (
                place.path == own
                or (
                    self._store.read(place.path, wish.base) is None
                    and not self._catalogue.rules.site.is_reserved(location.save_as)
                )
            )
        )
