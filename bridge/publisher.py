"""The one sequence of steps: from an action to a commit, a rebuild, and the client's answer.

Knows no HTTP. Four parts make the commit, each from a file of its own in ``posts/``: posts are read
and written (``post_files``), get an address of their own (``reservations``), take their uploads
along (``attachments``), and are committed (``commits``); a deleted one leaves a tombstone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from bridge.auth.token import Token, is_draft_only, require
from bridge.content.file import PelicanFile
from bridge.content.markup.links import static_paths
from bridge.errors import Conflict, InsufficientScope, Unavailable
from bridge.media.library import MediaLibrary
from bridge.micropub.action import Action, Create, Delete, Undelete, Update
from bridge.micropub.post import Post, discover, unescape
from bridge.micropub.update import apply
from bridge.posts.attachments import store_embedded, store_uploads, without_known
from bridge.posts.commits import (
    Background,
    Committer,
    Once,
    after_commit,
    commit_message,
    digest_of,
    retry_on_conflict,
    visible_line,
)
from bridge.posts.post_files import (
    OpenPost,
    PostReader,
    PostWriter,
    with_alias,
    without_echoed,
)
from bridge.posts.reply_contexts import ReplyContexts
from bridge.posts.reservations import Reservation, Reservations
from bridge.posts.urls import canonical
from bridge.rebuild import Rebuilder
from bridge.runtime.threads import APP
from bridge.site.current import Settled
from bridge.site.messages import IndexedPost
from bridge.store import BranchMoved, Change, FileChanged, Version
from bridge.webmention.outgoing.changes import PublicPost
from bridge.webmention.tombstones import Tombstones

log = logging.getLogger(__name__)

#: The permission that each action needs; ``auth/token.py`` has the scopes that grant it.
PERMISSIONS: dict[type[Action], str] = {
    Create: "create",
    Update: "update",
    Delete: "delete",
    Undelete: "undelete",
}

#: Seconds for an action until its commit is handed over. Proxies wait longer, so the client gets
#: our error, and not the proxy's.
_SECONDS = 50.0
#: Seconds that the commit itself may take beyond that before the answer stops waiting for it.
_COMMIT_SECONDS = 30.0
_CLOSE_SECONDS = 2.0


class Published(Struct, frozen=True):
    """The result of an action.

    ``url`` is where the post lives now. ``live``: its page is there already. ``moved``: the URL is
    another than before. ``draft`` is the page of a draft in the output folder, ``""`` for others.
    ``again``: the same request has been carried out before, and nothing was done now.
    """

    url: str
    draft: str = ""
    live: bool = False
    moved: bool = False
    again: bool = False


class Followers(Struct, frozen=True):
    """What the publisher asks of the parts that follow a commit. None of it can fail an answer.

    ``wait_seconds`` is how long an answer may wait for a page to be live.
    """

    rebuilder: Rebuilder
    reply_contexts: ReplyContexts
    wait_seconds: float

    async def live(self, version: Version, *pages: str) -> bool:
        """Wait until the pages show a version, in turn; whether the last of them does."""
        ends, there = time.monotonic() + self.wait_seconds, False
        with after_commit("waiting for the page"):
            for page in dict.fromkeys(pages):
                there = await self.rebuilder.live(version, page, ends - time.monotonic())
        return there

    def request_context(self, url: str, file: PelicanFile) -> None:
        """Have the pages fetched that a post replies to. Returns at once."""
        with after_commit("asking for reply contexts"):
            self.reply_contexts.request(url, file)


class Publisher:
    """Carries out actions; each becomes one commit."""

    def __init__(
        self,
        posts: PostReader,
        reservations: Reservations,
        media: MediaLibrary,
        tombstones: Tombstones,
        committer: Committer,
        followers: Followers,
        once: Once,
        *,
        targets: Callable[[Post], Awaitable[tuple[str, ...]]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``targets``: the targets of a post whose app names none."""
        self._posts = posts
        self._catalogue = posts.catalogue
        self._writer = PostWriter(posts)
        self._reservations = reservations
        self._media = media
        self._tombstones = tombstones
        self._committer = committer
        self._followers = followers
        self._targets = targets
        self._now = now
        self._background = Background()
        self._under_way: dict[str, asyncio.Task[Published]] = {}
        self.once = once

    def expect(self) -> None:
        """Prepare for an action, which may follow; returns at once."""
        self._catalogue.expect_post()

    async def carry_out(self, action: Action, token: Token) -> Published:
        """Carry out an action; when this returns, it is committed and on disk.

        Raises the errors of :mod:`bridge.errors` and :class:`~bridge.store.StoreError`; then
        nothing has changed. The one exception is named in the error's text: a commit that takes so
        long that its outcome is not known yet. An action goes on when its client hangs up. One that
        comes again with the same ``once`` gets the result of the first.
        """
        _authorise(token, action)
        name = action.once if isinstance(action, Create | Update) else ""
        if name:
            await self.once.load()
            if url := self.once.find(name):
                return Published(url, again=True)
        acting = self._under_way.get(name) or self._start(name, action, token)
        longest = _SECONDS + _COMMIT_SECONDS + self._followers.wait_seconds
        done, _ = await asyncio.wait({acting}, timeout=longest)
        if not done:
            raise Unavailable(
                "The commit is still being written, and may still succeed. Look at your posts"
                " before you try again."
            )
        if acting.cancelled():
            raise Unavailable("The bridge is shutting down. Try again in a moment.")
        return acting.result()

    async def address_of(self, action: Create) -> str:
        """The URL that a new post would get now. Nothing is written, and nothing stays reserved.

        Raises what :meth:`carry_out` does for a post that the site cannot hold.
        """
        async with asyncio.timeout(_SECONDS):
            base = await self._catalogue.for_new_post()
            settled = await self._writer.create(action, self._now())
            async with self._reservations.new(settled, base) as reserved:
                return reserved.location.url

    async def close(self) -> None:
        """Wait a moment for actions that are running."""
        await self._background.close(_CLOSE_SECONDS)

    def _start(self, name: str, action: Action, token: Token) -> asyncio.Task[Published]:
        """Start an action, and register one that has a name until it ends."""
        acting = self._background.start(self._in_time(action, token))
        if name:
            self._under_way[name] = acting
            acting.add_done_callback(partial(self._ended, name))
        return acting

    def _ended(self, name: str, acting: asyncio.Task[Published]) -> None:
        del self._under_way[name]
        if not acting.cancelled() and acting.exception() is None:
            self.once.note(name, acting.result().url)

    async def _in_time(self, action: Action, token: Token) -> Published:
        """Carry out an action, unless it takes too long until its commit is handed over."""
        APP.set(token.app)
        try:
            async with asyncio.timeout(_SECONDS) as deadline:
                published = await self._steps(action, token, deadline)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            log.exception("%s was given up after %g seconds", type(action).__name__, _SECONDS)
            raise Unavailable(
                f"This was not done within {_SECONDS:g} seconds, and nothing was written."
                " Try again in a moment."
            ) from error
        # The client of an app token is the built-in server, whichever app it was pasted into.
        app = f"the token {token.name!r}" if token.name else token.client_id or "an unknown app"
        log.info("%s: %s, by %s", PERMISSIONS[type(action)], published.url, visible_line(app))
        return published

    async def _steps(self, action: Action, token: Token, deadline: asyncio.Timeout) -> Published:
        match action:
            case Create():
                return await self._create(action, token, deadline)
            case Update():
                return await retry_on_conflict(lambda: self._update(action, token, deadline))
            case Delete():
                return await retry_on_conflict(lambda: self._delete(action, token, deadline))
            case Undelete():
                return await retry_on_conflict(lambda: self._undelete(action, token, deadline))

    async def _create(self, action: Create, token: Token, deadline: asyncio.Timeout) -> Published:
        action, when = await self._completed(action, token), self._now()

        await self._media.refuse_missing(action.post.properties)

        async def written() -> tuple[Version, Settled]:
            return await self._catalogue.for_new_post(), await self._writer.create(action, when)

        if action.uploads:
            # What the site cannot hold is refused before any file of the request is taken in.
            await retry_on_conflict(written)
            post = await store_uploads(self._media, action.post, action.uploads)
            action = replace(action, post=post, uploads=())

        attempts = count()

        async def attempt() -> tuple[Reservation, Version]:
            base, settled = await written()
            # The index knows the paths of posts. A file that is no post makes the commit fail: only
            # then all files are searched, which takes longer.
            search = next(attempts) > 0
            async with self._reservations.new(settled, base, search=search) as reserved:
                text = reserved.file.text()
                changes = [
                    Change(reserved.path, text.encode(), None),
                    *await self._media.pending(static_paths(text)),
                ]
                message = _message(action, token, action.post, reserved.file, reserved.location.url)
                return reserved, await self._commit(deadline, changes, message, base)

        reserved, version = await retry_on_conflict(attempt)
        url, page = reserved.location.url, reserved.location.save_as
        self._followers.request_context(url, reserved.file)
        live = await self._followers.live(version, page)
        return Published(url, draft=_draft(reserved), live=live)

    async def _completed(self, action: Create, token: Token) -> Create:
        """The action with what follows from the token, and from what its app does not say."""
        if is_draft_only(token):
            draft = action.post.with_properties({"post-status": ("draft",)})
            action = replace(action, post=draft)
        if "syndicate-to" not in action.commands and self._targets is not None:
            chosen = {**action.commands, "syndicate-to": await self._targets(action.post)}
            action = replace(action, commands=chosen)
        return action

    async def _update(self, action: Update, token: Token, deadline: asyncio.Timeout) -> Published:
        async with self._opened(action.url) as post:
            entry = post.entry
            if action.seen and action.seen != post.blob:
                raise Conflict("This post has changed since you opened it. Nothing was written.")
            _authorise(token, action, entry.status)
            action = without_echoed(action, entry, post.file, self._catalogue.index.own)
            if action.uploads:
                action = without_known(action, post.file.text())
            old = await self._posts.read(post.file, entry)
            for changed in (action.replace, action.add):
                await self._media.refuse_missing(changed, old.properties)

            async def written(action: Update) -> tuple[Post, Settled | None]:
                new = apply(old, self._writer.with_media_as_in_files(action))
                when = self._now()
                return new, await self._writer.edit(entry.path, post.file, old, new, action, when)

            if action.uploads:
                # What the site cannot hold is refused before any file of the request is taken in.
                await written(action)
                action = await store_embedded(self._media, action)
            new, settled = await written(action)
            if settled is None:
                return Published(entry.url)
            async with self._reservations.moved(
                settled, entry.path, post.base, save_as=entry.save_as
            ) as reserved:
                url, page = reserved.location.url, reserved.location.save_as
                _authorise(token, action, reserved.location.status)
                text = with_alias(reserved.file, page, entry.save_as).text()
                changes = [
                    Change(entry.path, text.encode(), post.blob),
                    *await self._media.pending(static_paths(text)),
                ]
                message = _message(action, token, new, reserved.file, url)
                version = await self._commit(deadline, changes, message, post.base)
        self._followers.request_context(url, reserved.file)
        # Where a post has moved, its old page is to lead to the new one by then.
        live = await self._followers.live(version, entry.save_as, page)
        return Published(url, draft=_draft(reserved), live=live, moved=url != entry.url)

    async def _delete(self, action: Delete, token: Token, deadline: asyncio.Timeout) -> Published:
        async with self._opened(action.url) as post:
            entry = post.entry
            left = await asyncio.to_thread(
                self._tombstones.of_deleted, PublicPost(entry, post.file), post.base
            )
            changes = [Change(entry.path, None, post.blob), *left]
            gone = await self._posts.read(post.file, entry)
            message = _message(action, token, gone, post.file, entry.url)
            version = await self._commit(deadline, changes, message, post.base)
        await self._followers.live(version, entry.save_as)
        return Published(entry.url)

    async def _undelete(
        self, action: Undelete, token: Token, deadline: asyncio.Timeout
    ) -> Published:
        seen = await self._catalogue.refresh()
        change = await self._posts.find_deleted(action.url, seen)
        if isinstance(change, IndexedPost):
            return self._undeleted(change.url, action)
        path = change.path
        async with self._reservations.lock(path):
            base = await self._catalogue.refresh()
            if base != seen:
                change = await self._posts.find_deleted(action.url, base)
                if isinstance(change, IndexedPost) or change.path != path:
                    raise FileChanged(path)
            content = (change.content or b"").decode("utf-8", "surrogateescape")
            file = PelicanFile.parse(content, path)
            settled = await self._writer.restore(path, file)
            async with self._reservations.moved(settled, path, base) as reserved:
                if reserved.file != file:
                    raise self._posts.another_post_at(action.url)
                url, page = reserved.location.url, reserved.location.save_as
                changes = [change, *self._tombstones.of_restored(page, base)]
                message = _message(action, token, await self._posts.read(file), file, url)
                version = await self._commit(deadline, changes, message, base)
        return self._undeleted(url, action, live=await self._followers.live(version, page))

    def _undeleted(self, url: str, action: Undelete, *, live: bool = False) -> Published:
        own = self._catalogue.index.own
        moved = canonical(url, own) != canonical(action.url, own)
        return Published(url, live=live, moved=moved)

    @asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[OpenPost]:
        """The post at a URL, locked until the block ends."""
        async with self._reservations.opened(lambda: self._posts.find_or_none(url)) as post:
            if post is None:
                raise self._posts.no_post_at(url)
            yield post

    async def _commit(
        self, deadline: asyncio.Timeout, changes: Sequence[Change], message: str, base: Version
    ) -> Version:
        """Hand changes to the commit queue; from here on the answer waits for the commit."""
        ends = deadline.when()
        deadline.reschedule(None)
        try:
            return await self._committer.commit(changes, message, base)
        except (FileChanged, BranchMoved):
            deadline.reschedule(ends)
            raise


def _authorise(token: Token, action: Action, status: str = "draft") -> None:
    """Raise :class:`InsufficientScope` unless a token allows an action on a post of this status.

    A token for drafts alone may neither change a published post nor publish a draft.
    """
    permission = PERMISSIONS[type(action)]
    require(token, permission)
    if status != "draft" and is_draft_only(token, permission):
        raise InsufficientScope("This token may change drafts, and not publish.", scope=permission)


def _draft(reserved: Reservation) -> str:
    return reserved.location.save_as if reserved.location.status == "draft" else ""


def _message(action: Action, token: Token, post: Post, file: PelicanFile, url: str) -> str:
    """The message of a post's commit."""
    name = type(action).__name__.lower()
    # A new post is what most commits bring: "Note: …" says enough.
    verb = "" if isinstance(action, Create) else f"{name} "
    # A Title is printed as HTML, so it is written as such; a commit message is plain text.
    subject = f"{verb}{discover(post)}: {unescape(file.get('Title') or '') or url}"
    subject = subject[0].upper() + subject[1:]
    once = action.once if isinstance(action, Create | Update) else ""
    return commit_message(
        name, subject, url=url, client_id=token.client_id, once=once and digest_of(once)
    )
