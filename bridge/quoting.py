"""What a post replies to, likes or repeats: looked up after the answer, stored with the post."""

from __future__ import annotations

import logging

from bridge.catalogue import Catalogue
from bridge.commit_message import commit_message
from bridge.committing import Committer
from bridge.content.headers import PelicanFile
from bridge.content.mf2 import Mf2Line
from bridge.content.read import read
from bridge.context.fetcher import Cites, ContextFetcher, Fetch
from bridge.context.targets import targets
from bridge.errors import BridgeError
from bridge.micropub.post import Post
from bridge.store import Change, ChangedMeanwhile, MovedMeanwhile

log = logging.getLogger(__name__)

_TRIES = 5


class Quoting:
    """Has targets fetched, and commits what they say into the post that quotes them."""

    def __init__(self, fetch: Fetch, catalogue: Catalogue, committer: Committer) -> None:
        self._catalogue = catalogue
        self._committer = committer
        self._fetcher = ContextFetcher(fetch, self._deliver)

    def start(self) -> None:
        """Begin to work."""
        self._fetcher.start()

    async def close(self) -> None:
        """Stop at once; a context that is missing can be had again by updating the post."""
        await self._fetcher.close()

    def look_up(self, path: str, post: Post, file: PelicanFile) -> None:
        """Ask for what the post in a file quotes and does not know yet. Returns at once."""
        self._fetcher.want(path, targets(post, Mf2Line.of(file).references))

    async def _deliver(self, path: str, cites: Cites) -> None:
        for _ in range(_TRIES):
            try:
                return await self._store(path, cites)
            except (ChangedMeanwhile, MovedMeanwhile):
                continue
            except BridgeError as error:
                log.warning("the reply context of %s could not be stored: %s", path, error)
                return None
        return None

    async def _store(self, path: str, cites: Cites) -> None:
        """One commit that adds what is new to the post's ``references``, if it is still there."""
        base = await self._catalogue.refresh()
        entry = self._catalogue.index.at_path(path)
        if entry is None:
            return
        file, blob = self._catalogue.open(entry)
        wanted = targets(read(file, self._catalogue.rules))
        mf2 = Mf2Line.of(file)
        known = {**mf2.references, **{url: cites[url] for url in wanted if url in cites}}
        if Mf2Line.is_broken(file) or known == mf2.references:
            return
        quoted = file.with_header("Mf2", mf2.with_changes(references=known).text())
        message = commit_message(
            "context", f"Reply context for {entry.url}", url=entry.url, client_id=None
        )
        await self._committer.commit([Change(path, quoted.text().encode(), blob)], message, base)
