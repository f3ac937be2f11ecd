"""Adds redirects to posts that were moved by hand, as to those that an app moves.

Only from URLs that an app has seen: a post that only the owner has written stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set
from functools import partial

from bridge.content.file import Mf2Line, has_other_format
from bridge.errors import BridgeError
from bridge.posts.commits import Committer, commit_message, retry_on_conflict, urls_of
from bridge.posts.index_tables import MovedPost
from bridge.posts.post_files import PostReader, with_alias
from bridge.posts.reservations import Reservations
from bridge.posts.urls import canonical
from bridge.store import Change, ContentStore, StoreError, Version

log = logging.getLogger(__name__)


class MovedByHand:
    """Follows the branch, and adds the former address of a moved post to its file."""

    def __init__(
        self,
        store: ContentStore,
        posts: PostReader,
        reservations: Reservations,
        committer: Committer,
    ) -> None:
        self._store = store
        self._posts = posts
        self._reservations = reservations
        self._committer = committer
        self._changed = asyncio.Event()
        self._changed.set()
        #: Those whose URLs are not in the history.
        self._never_in_history = set[MovedPost]()

    def changed(self, version: Version) -> None:
        """Look at a new version. Returns at once."""
        del version
        self._changed.set()

    async def run(self) -> None:
        """Follow the branch until cancelled, beginning with what happened before the start."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.catch_up()
            except (BridgeError, StoreError) as error:
                log.warning("posts that were moved by hand have no redirects yet: %s", error)

    async def catch_up(self) -> None:
        """Commit what is missing in the newest version.

        Raises the errors of :mod:`bridge.errors` and :class:`~bridge.store.StoreError`.
        """
        catalogue = self._posts.catalogue
        version = await catalogue.refresh(patient=True)
        found = set(await asyncio.to_thread(catalogue.index.moved_by_hand)) - self._never_in_history
        found = {each for each in found if not has_other_format(each.path)}
        if not found:
            return
        addresses = await asyncio.to_thread(
            self._seen_by_apps, {each.address for each in found}, version
        )
        for moved in sorted(found):
            if moved.address in addresses:
                await retry_on_conflict(partial(self._add_alias, moved))
            else:
                self._never_in_history.add(moved)
        # The index has to have seen a redirect to notice that the owner removes it.
        await catalogue.refresh(patient=True)

    def _seen_by_apps(self, addresses: Set[str], version: Version) -> set[str]:
        """Those of the addresses that an app has seen: commits name the URL of their post."""
        own, seen = self._posts.catalogue.index.own, set[str]()
        for commit in self._store.log(version):
            seen |= addresses & {canonical(url, own) for url in urls_of(commit.message)}
            if seen == addresses:
                break
        return seen

    async def _add_alias(self, moved: MovedPost) -> None:
        index = self._posts.catalogue.index
        async with self._reservations.opened(
            lambda: index.find_by_path(moved.path), patient=True
        ) as post:
            if post is None or Mf2Line.is_broken(post.file):
                return
            file = with_alias(post.file, post.entry.save_as, moved.save_as)
            if file == post.file:
                return
            subject = f"Redirect from {moved.save_as}"
            message = commit_message("moved", subject, url=post.entry.url, client_id=None)
            change = Change(post.entry.path, file.text().encode(), post.blob)
            await self._committer.commit([change], message, post.base)
