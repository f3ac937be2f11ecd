"""The one sequence of steps: from an action to a commit, a rebuild, and the client's answer.

Knows no HTTP. Each step has a folder of its own: media/ stores files, content/ writes and reads
posts, posts/reservations finds their addresses, posts/commits commits and tells the builder and the
remote.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import unescape
from zoneinfo import ZoneInfo

from bridge.auth.scopes import is_draft_only
from bridge.auth.token import Token
from bridge.content.body import refuse_effects
from bridge.content.file import Mf2Line, PelicanFile, refuse_other_formats
from bridge.content.render import compose, edit, published_at, refuse_nothing_to_see
from bridge.content.rules import SiteView
from bridge.content.slugs import slug_wishes
from bridge.errors import Conflict, InsufficientScope, Unavailable
from bridge.micropub.action import Action, Create, Delete, Undelete, Update
from bridge.micropub.answers import slug_of
from bridge.micropub.post import Post, Properties
from bridge.micropub.post_type import discover
from bridge.micropub.update import apply
from bridge.posts.addresses import canonical
from bridge.posts.attachments import Attachments
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer, after_commit, commit_message, retry_on_conflict
from bridge.posts.once import Once, name_of
from bridge.posts.reader import PostReader
from bridge.posts.reply_contexts import ReplyContexts
from bridge.posts.reservations import Reservation, Reservations
from bridge.rebuild import Rebuilder
from bridge.runtime.background import Background
from bridge.site.known import Settled, settle, without_guesses
from bridge.site.messages import IndexedPost, Locate
from bridge.store import BlobId, BranchMoved, Change, FileChanged, Version
from bridge.webmention.outgoing.changes import PublicPost
from bridge.webmention.tombstones import Tombstones

log = logging.getLogger(__name__)

#: Seconds for an action until its commit is handed over. Less than proxies wait, so that the client
#: is told.
_SECONDS = 50.0
#: Seconds that the commit itself may take beyond that before the answer stops waiting for it.
_COMMIT_SECONDS = 30.0
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Opened:
    """A post that one request has locked: its entry, its file, and the file's blob id."""

    base: Version
    entry: IndexedPost
    file: PelicanFile
    blob: BlobId


@dataclass(frozen=True, slots=True)
class Published:
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


class Publisher:
    """Carries out actions; each becomes one commit."""

    def __init__(
        self,
        catalogue: Catalogue,
        posts: PostReader,
        reservations: Reservations,
        attachments: Attachments,
        committer: Committer,
        reply_contexts: ReplyContexts,
        tombstones: Tombstones,
        rebuilder: Rebuilder,
        once: Once,
        *,
        wait_seconds: float,
        targets: Callable[[Post], tuple[str, ...]] = lambda _: (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``wait_seconds``: how long an answer may wait for the page to be live; ``targets``: where
        a post is copied to whose app does not say."""
        self._catalogue = catalogue
        self._posts = posts
        self._reservations = reservations
        self._attachments = attachments
        self._committer = committer
        self._reply_contexts = reply_contexts
        self._tombstones = tombstones
        self._rebuilder = rebuilder
        self._once = once
        self._under_way: dict[str, asyncio.Task[Published]] = {}
        self._wait_seconds = wait_seconds
        self._targets = targets
        self._now = now
        self._background = Background()

    async def carry_out(self, action: Action, token: Token) -> Published:
        """Carry out an action; when this returns, it is committed and on disk.

        Raises the errors of :mod:`bridge.errors` and :class:`~bridge.store.StoreError`; then
        nothing has changed. The one exception is said in the error's text: a commit that takes so
        long that no one knows yet. An action goes on when its client hangs up: what it has reserved
        stays reserved until it is through. One that comes again with the same ``once`` gives what
        came of it the first time.
        """
        if isinstance(action, Create | Update) and action.once:
            await self._once.load()
            if url := self._once.find(action.once):
                return Published(url, again=True)
            acting = self._under_way.get(action.once) or self._started_once(action, token)
        else:
            acting = self._background.start(self._in_time(action, token))
        longest = _SECONDS + _COMMIT_SECONDS + self._wait_seconds
        done, _ = await asyncio.wait({acting}, timeout=longest)
        if not done:
            raise Unavailable(
                "The commit is still being written, and may come about: look at your posts before"
                " you try again."
            )
        if acting.cancelled():
            raise Unavailable("The bridge is shutting down. Try again in a moment.")
        return acting.result()

    async def address_of(self, action: Create) -> str:
        """The URL that a new post would get now. Nothing is written, and no name is kept for it.

        Raises what :meth:`carry_out` does for a post that the site cannot hold.
        """
        async with asyncio.timeout(_SECONDS):
            base = await self._catalogue.for_new_post()
            settled = await self._composed(action.post, action, self._now())
            async with self._reservations.new(settled, base) as reservation:
                return reservation.location.url

    async def carried_out(self, forms: Iterable[str]) -> list[str]:
        """Those of the forms that have been carried out. Raises what the store does.

        A form's name is the first word of the ``once`` of its actions.
        """
        await self._once.load()
        return [form for form in forms if self._once.has_form(form)]

    async def has_done(self, once: str) -> bool:
        """Whether the action of this name has been carried out. Raises what the store does."""
        await self._once.load()
        return self._once.find(once) is not None

    def _started_once(self, action: Create | Update, token: Token) -> asyncio.Task[Published]:
        """Start a named action, and register it until it ends."""

        def ended(task: asyncio.Task[Published]) -> None:
            del self._under_way[action.once]
            if not task.cancelled() and task.exception() is None:
                self._once.note(action.once, task.result().url)

        acting = self._background.start(self._in_time(action, token))
        self._under_way[action.once] = acting
        acting.add_done_callback(ended)
        return acting

    async def close(self) -> None:
        """Wait a moment for actions that are running."""
        await self._background.close(_CLOSE_SECONDS)

    async def _in_time(self, action: Action, token: Token) -> Published:
        try:
            async with asyncio.timeout(_SECONDS) as deadline:
                match action:
                    case Create():
                        return await self._create(action, token, deadline)
                    case Update():
                        return await retry_on_conflict(
                            lambda: self._update(action, token, deadline)
                        )
                    case Delete():
                        return await retry_on_conflict(
                            lambda: self._delete(action, token, deadline)
                        )
                    case Undelete():
                        return await retry_on_conflict(
                            lambda: self._undelete(action, token, deadline)
                        )
        except TimeoutError as error:
            if not deadline.expired():
                raise
            log.exception("%s was given up after %g seconds", type(action).__name__, _SECONDS)
            raise Unavailable(
                f"This was not done within {_SECONDS:g} seconds, and nothing was written."
                " Try again in a moment."
            ) from error

    async def _create(self, action: Create, token: Token, deadline: asyncio.Timeout) -> Published:
        post, when = action.post, self._now()
        if is_draft_only(token):
            post = post.with_properties({"post-status": ("draft",)})
        if "syndicate-to" not in action.commands:
            chosen = {**action.commands, "syndicate-to": self._targets(post)}
            action = replace(action, commands=chosen)
        if not action.uploads:
            refuse_nothing_to_see(post, self._posts.rules_without_asking)
        else:
            # What the site cannot hold is refused before any file of the request is taken in.
            await self._catalogue.for_new_post()
            await self._composed(post, action, when)
            post = await self._attachments.store_uploads(post, action.uploads)

        async def attempt() -> tuple[Reservation, Version]:
            base = await self._catalogue.for_new_post()
            settled = await self._composed(post, action, when)
            async with self._reservations.new(settled, base) as reservation:
                changes = [
                    Change(reservation.path, reservation.file.text().encode(), None),
                    *await self._attachments.pending(reservation.file),
                ]
                message = _message(
                    "create", post, reservation.file, reservation.location.url, token, action.once
                )
                return reservation, await self._commit(deadline, changes, message, base)

        reservation, version = await retry_on_conflict(attempt)
        url = reservation.location.url
        self._request_context(url, reservation.file)
        live = await self._live(version, reservation.location.save_as)
        return Published(url, draft=_draft(reservation), live=live)

    async def _live(self, version: Version, *pages: str) -> bool:
        """Wait up to a set time until the pages show a version; whether they all do."""
        ends, there = time.monotonic() + self._wait_seconds, False
        with after_commit("waiting for the page"):
            for page in dict.fromkeys(pages):
                there = await self._rebuilder.live(version, page, ends - time.monotonic())
        return there

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

    def _request_context(self, url: str, file: PelicanFile) -> None:
        with after_commit("asking for reply contexts"):
            self._reply_contexts.request(url, file)

    async def _composed(self, post: Post, action: Create, when: datetime) -> Settled:
        """The file of a new post, and its possible addresses."""

        def write(site: SiteView) -> PelicanFile:
            rules = self._posts.rules(site)
            return compose(post, commands=action.commands, when=when, rules=rules, slug="-")

        site = self._catalogue.site
        published = published_at(post, when, ZoneInfo(site.facts.timezone))
        wishes = slug_wishes(post, action.commands, published)
        settled = await settle(site, write, lambda text: Locate(text, wishes=wishes))
        refuse_effects(settled.answer.whole.effects)
        return settled

    async def _update(self, action: Update, token: Token, deadline: asyncio.Timeout) -> Published:
        async with self._opened(action.url) as post:
            entry, file = post.entry, post.file
            if action.seen and action.seen != post.blob:
                raise Conflict("This post has changed since you opened it. Nothing was written.")
            _require_draft_access(token, entry.status)
            action = _without_what_is_told(action, entry, self._catalogue.index.own)
            old = await self._posts.read(file, entry)
            new = apply(old, self._normalise_media_urls(action))
            refuse_nothing_to_see(new, self._posts.rules_without_asking, old)
            settled = await self._edited(post, old, new, action)
            if settled is None:
                return Published(entry.url)
            async with self._reservations.moved(settled, entry.path, post.base) as reservation:
                _require_draft_access(token, reservation.location.status)
                url = reservation.location.url
                text = _with_alias(reservation, entry).text()
                changes = [
                    Change(entry.path, text.encode(), post.blob),
                    *await self._attachments.pending(reservation.file),
                ]
                message = _message("update", new, reservation.file, url, token, action.once)
                version = await self._commit(deadline, changes, message, post.base)
        self._request_context(url, reservation.file)
        # Where a post has moved, its old page is to lead to the new one by then.
        live = await self._live(version, entry.save_as, reservation.location.save_as)
        return Published(url, draft=_draft(reservation), live=live, moved=url != entry.url)

    async def _edited(self, post: _Opened, old: Post, new: Post, action: Update) -> Settled | None:
        """The changed file, and its address; ``None`` if nothing changes."""
        refuse_other_formats(post.entry.path)
        when, allowed = self._now(), set[str]()

        def write(site: SiteView) -> PelicanFile:
            rules = self._posts.rules(site)
            edited = edit(post.file, old, new, commands=action.commands, when=when, rules=rules)
            if edited.body == post.file.body:
                return edited
            # What the owner has the site include in this post is none of the client's doing.
            allowed.update(site.render(post.file.body, post.file.syntax.suffix).effects)
            return edited

        site = self._catalogue.site
        if await without_guesses(site, write) == post.file:
            return None
        settled = await settle(site, write, lambda text: Locate(text, path=post.entry.path))
        if settled.file.body != post.file.body:
            refuse_effects(settled.answer.whole.effects - allowed)
        return settled

    async def _delete(self, action: Delete, token: Token, deadline: asyncio.Timeout) -> Published:
        async with self._opened(action.url) as opened:
            entry = opened.entry
            post = await self._posts.read(opened.file, entry)
            message = _message("delete", post, opened.file, entry.url, token)
            changes = [
                Change(entry.path, None, opened.blob),
                *await asyncio.to_thread(
                    self._tombstones.of_deleted, PublicPost(entry, opened.file), opened.base
                ),
            ]
            version = await self._commit(deadline, changes, message, opened.base)
        await self._live(version, entry.save_as)
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
            file = PelicanFile.parse(
                (change.content or b"").decode("utf-8", "surrogateescape"), path
            )
            settled = await settle(
                self._catalogue.site, lambda _: file, lambda text: Locate(text, path=path)
            )
            async with self._reservations.moved(settled, path, base) as reservation:
                if reservation.file != file:
                    raise Conflict(
                        f"Another post lives at {action.url} by now: move that one first."
                    )
                post = await self._posts.read(file)
                message = _message("undelete", post, file, reservation.location.url, token)
                restored = self._tombstones.of_restored(reservation.location.save_as, base)
                version = await self._commit(deadline, [change, *restored], message, base)
        live = await self._live(version, reservation.location.save_as)
        return self._undeleted(reservation.location.url, action, live=live)

    def _undeleted(self, url: str, action: Undelete, *, live: bool = False) -> Published:
        own = self._catalogue.index.own
        moved = canonical(url, own) != canonical(action.url, own)
        return Published(url, live=live, moved=moved)

    @asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[_Opened]:
        """The post at a URL, locked until the block ends."""
        await self._catalogue.refresh()
        path = self._posts.find(url).path
        async with self._reservations.lock(path):
            base = await self._catalogue.refresh()
            entry = self._posts.find(url)
            file, blob = await asyncio.to_thread(self._posts.open, entry)
            if entry.path != path or blob != entry.blob:
                # Another request has moved the post, or a commit came by git since the refresh.
                raise FileChanged(path)
            yield _Opened(base, entry, file, blob)

    def _normalise_media_urls(self, update: Update) -> Update:
        """The update with URLs of the media folder as the files have them."""

        def own(properties: Properties) -> Properties:
            media = self._posts.media
            return {
                name: tuple(media.externalise(media.internalise(value)) for value in values)
                for name, values in properties.items()
            }

        return replace(
            update,
            replace=own(update.replace),
            add=own(update.add),
            delete_values=own(update.delete_values),
        )


def _without_what_is_told(update: Update, entry: IndexedPost, own: frozenset[str]) -> Update:
    """The update without the slug, channel and URL that ``q=source`` has given: a client that
    sends a whole post back does not want to change them.
    """
    told = {"slug": slug_of(entry.url), "channel": entry.channel}
    commands = {
        name: values for name, values in update.commands.items() if values != (told.get(name),)
    }

    def changed(given: Properties) -> Properties:
        return {name: values for name, values in given.items() if not is_at_home(name, values)}

    def is_at_home(name: str, values: Sequence[object]) -> bool:
        urls = [canonical(value, own) for value in values if isinstance(value, str)]
        return name == "url" and urls == [canonical(entry.url, own)]

    return replace(
        update, commands=commands, replace=changed(update.replace), add=changed(update.add)
    )


def _require_draft_access(token: Token, status: str) -> None:
    """Raise where a token for drafts alone would change a published post, or publish a draft."""
    if is_draft_only(token, "update") and status != "draft":
        raise InsufficientScope("This token may change drafts, and not publish.", scope="update")


def _draft(reservation: Reservation) -> str:
    return reservation.location.save_as if reservation.location.status == "draft" else ""


def _with_alias(reservation: Reservation, entry: IndexedPost) -> PelicanFile:
    """The file, with the earlier address of its page as an alias if it has moved."""
    page = reservation.location.save_as
    mf2 = Mf2Line.of(reservation.file)
    aliases = [each for each in (*mf2.aliases, entry.save_as) if each != page]
    if page == entry.save_as and tuple(aliases) == mf2.aliases:
        return reservation.file
    changed = mf2.with_changes(aliases=tuple(dict.fromkeys(aliases)))
    return reservation.file.with_header("Mf2", changed.text())


def _message(
    action: str, post: Post, file: PelicanFile, url: str, token: Token, once: str = ""
) -> str:
    # A new post is what most commits bring: "Note: …" says enough.
    verb = "" if action == "create" else f"{action} "
    # A Title is printed as HTML, so it is written as such; a commit message is plain text.
    subject = f"{verb}{discover(post)}: {unescape(file.get('Title') or '') or url}"
    subject = subject[0].upper() + subject[1:]
    return commit_message(
        action, subject, url=url, client_id=token.client_id, once=once and name_of(once)
    )
