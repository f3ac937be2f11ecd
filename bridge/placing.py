"""Finds a post its place: a file and an address that nobody has, and nobody gets meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bridge.catalogue import Catalogue
from bridge.content.headers import PelicanFile
from bridge.content.keys import date_of
from bridge.content.location import Location
from bridge.content.path import candidates
from bridge.errors import InvalidRequest
from bridge.store import ContentStore, Version


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
            return rules.path.path(
                slug=placed.get("Slug") or "",
                category=rules.site.category_slug(placed.get("Category") or ""),
                published=published,
            )

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
            place = await asyncio.to_thread(self._settle, file, path, base, own)
            self._reserved |= place.names
        try:
            yield place
        finally:
            self._reserved -= place.names

    def _settle(
        self, file: PelicanFile, path: Callable[[PelicanFile], str], base: Version, own: str
    ) -> Place:
        """The first free place: with the slug as it is, then with ``-2``, ``-3`` and so on."""
        site = self._catalogue.rules.site
        slug = file.get("Slug")
        # A post written by hand may leave its slug to Pelican: then there is one place for it.
        for candidate in candidates(slug) if slug else [None]:
            placed = file if candidate is None else file.with_header("Slug", candidate)
            where = path(placed)
            location = site.quick_locate(placed, where) or site.locate(placed.text(), where)
            place = Place(where, placed, location)
            if self._is_free(place, base, own):
                # The quick way only formats; Pelican itself has the last word on what it will read.
                return Place(where, placed, site.locate(placed.text(), where))
        raise InvalidRequest(f"Another post lives at {location.url}: give this one a slug.")

    def _is_free(self, place: Place, base: Version, own: str) -> bool:
        location = place.location
        return (
            self._reserved.isdisjoint(place.names)
            and not self._catalogue.index.is_taken(location.url, location.save_as, but=own)
            and (
                place.path == own
                or (
                    self._store.read(place.path, base) is None
                    and not self._catalogue.rules.site.is_reserved(location.save_as)
                )
            )
        )
