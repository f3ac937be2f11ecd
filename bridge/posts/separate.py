"""Posts in submodules: Pelican builds them, and the bridge neither lists nor changes them, since
they are in repos of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from bridge.errors import BridgeError
from bridge.posts.urls import canonical
from bridge.runtime import beneath
from bridge.site.current import VersionFiles
from bridge.site.messages import IndexedPost, Location, ReservedPage, Source
from bridge.site.site_reader import HANDFUL, SiteReader
from bridge.store import ContentStore, StoreError, Version
from bridge.store.object_database import is_below

log = logging.getLogger(__name__)

#: So many that no request's question has to wait for the answer.
_AT_ONCE = 2 * HANDFUL
#: For so many seconds of a search requests wait until it is done.
_SECONDS = 2.0


def places_in_submodules(
    store: ContentStore, head: Version, checkout: VersionFiles, folder: str
) -> Mapping[str, Path]:
    """Where below the content folder Pelican finds files of submodules, and where they are on disk.

    Blocks, and raises what the store does.
    """
    modules = checkout.modules
    if not modules:
        return {}
    places = {path: path for path in modules if is_below(path, folder)}
    places |= {
        link: target
        for link, target in store.links(folder, head).items()
        if any(target == module or is_below(target, module) for module in modules)
    }
    return {place: checkout.folder / target for place, target in places.items()}


async def described_at(
    place: str, root: Path, site: SiteReader
) -> AsyncGenerator[IndexedPost | ReservedPage, None]:
    """The posts and pages at one of these places. Raises what the site's answers do."""
    batches = _batches(place, root, site.facts.suffixes)
    while files := await asyncio.to_thread(next, batches, None):
        for each in await site.describe(files):
            if isinstance(each, IndexedPost | ReservedPage):
                yield each


def _batches(place: str, root: Path, suffixes: Sequence[str]) -> Iterator[list[Source]]:
    files = (file for file in root.rglob("*") if file.suffix[1:] in suffixes)
    while some := list(islice(files, _AT_ONCE)):
        sources = []
        for name in (file.relative_to(root).as_posix() for file in some):
            # Links are not followed: this process may read more than the site's code.
            with suppress(OSError):
                sources.append(Source(f"{place}/{name}", "", beneath.read(root, name)))
        yield sources


class SeparatePosts:
    """The addresses of these posts, found in the background after the index is complete."""

    def __init__(self, store: ContentStore, folder: str, own: frozenset[str]) -> None:
        """``folder`` is the content folder, ``own`` are the host names of the site."""
        self._store = store
        self._folder = folder
        self._own = own
        self._paths: dict[str, str] = {}
        #: What they, and pages, write: for each output path the file.
        self.outputs: dict[str, str] = {}
        self._seen: tuple[Mapping[str, str], SiteReader] | None = None
        #: What looks for them, if there may be any, and when the loop's clock had it begin.
        self.looking: asyncio.Task[None] | None = None
        self._began = 0.0
        #: How many there are.
        self.count = 0

    def file_of(self, url: str) -> str | None:
        """The file of the post at a URL; ``None`` where none of them is there."""
        return self._paths.get(canonical(url, self._own))

    def holder_of(self, location: Location) -> str | None:
        """The file, in a submodule, of the post or page that already is where a new post would be;
        ``None`` where there is none.
        """
        return self.file_of(location.url) or self.outputs.get(location.save_as)

    @property
    def is_looking(self) -> bool:
        """Whether some may not be known yet."""
        return self.looking is not None and not self.looking.done()

    def follow(self, head: Version, site: SiteReader, checkout: VersionFiles) -> None:
        """Look for them if a submodule or the site's settings are others now. Returns at once."""
        seen = (dict(checkout.modules), site)
        if seen == self._seen or not (seen[0] or self.outputs):
            return
        self._seen, self._began = seen, asyncio.get_running_loop().time()
        if self.looking is not None:
            self.looking.cancel()
        self.looking = asyncio.create_task(
            self._look(head, site, checkout), name="posts in submodules"
        )

    async def looked_for(self) -> None:
        """Wait until they are known, while the search has just begun: after a start or a reload.

        One that takes long holds up the first requests, and not each one.
        """
        left = self._began + _SECONDS - asyncio.get_running_loop().time()
        if self.looking is not None and left > 0:
            await asyncio.wait({self.looking}, timeout=left)

    async def settled(self) -> None:
        """Wait until they are known."""
        if self.looking is not None:
            await asyncio.wait({self.looking})

    async def close(self) -> None:
        """Stop looking."""
        if self.looking is not None:
            self.looking.cancel()
            await self.settled()

    async def _look(self, head: Version, site: SiteReader, checkout: VersionFiles) -> None:
        try:
            places = await asyncio.to_thread(
                places_in_submodules, self._store, head, checkout, self._folder
            )
            count, paths, outputs = 0, dict[str, str](), dict[str, str]()
            for place, root in places.items():
                async for each in described_at(place, root, site):
                    outputs.setdefault(each.save_as, each.path)
                    if isinstance(each, IndexedPost):
                        count += 1
                        for url in (each.url, *each.aliases):
                            paths.setdefault(canonical(url, self._own), each.path)
        except (BridgeError, StoreError, OSError) as error:
            log.warning("posts in submodules are not known: %s", error)
            self._seen = None  # the next commit tries again
        else:
            self.count, self._paths, self.outputs = count, paths, outputs
