"""The only sequence: from an action to a commit, a rebuild, and what the client is told.

Knows no HTTP. Each step is somebody else's: media/ stores files, content/ writes and reads posts,
placing finds their addresses, committing commits and tells the builder and the remote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import unescape

from bridge.annotating import Annotator
from bridge.auth.scopes import only_drafts
from bridge.auth.token import Token
from bridge.catalogue import Catalogue
from bridge.commit_message import commit_message
from bridge.committing import Committer, until_undisturbed
from bridge.content.headers import PelicanFile
from bridge.content.mf2 import Mf2Line
from bridge.content.render import compose, edit
from bridge.errors import Conflict, InsufficientScope, InvalidRequest
from bridge.illustrating import Illustrator
from bridge.micropub.action import Action, Create, Delete, Undelete, Update
from bridge.micropub.post import Post, Properties
from bridge.micropub.post_type import discover
from bridge.micropub.update import apply
from bridge.placing import Place, Placing
from bridge.rebuild import Rebuilder
from bridge.store import Change, ChangedMeanwhile, ContentStore, Version
from bridge.store.post_index import Entry


@dataclass(frozen=True, slots=True)
class Published:
    """What became of an action.

    ``url`` is where the post lives now. ``live``: its page is there already. ``moved``: the URL is
    another than before. ``draft`` is the page of a draft in the output folder, ``""`` for others.
    """

    url: str
    draft: str = ""
    live: bool = False
    moved: bool = False


class Publisher:
    """Carries out actions; each becomes one commit."""

    def __init__(
        self,
        store: ContentStore,
        catalogue: Catalogue,
        placing: Placing,
        illustrator: Illustrator,
        committer: Committer,
        annotator: Annotator,
        rebuilder: Rebuilder,
        *,
        wait_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``wait_seconds``: how long an answer may wait for the page to be live."""
        self._store = store
        self._catalogue = catalogue
        self._placing = placing
        self._illustrator = illustrator
        self._committer = committer
        self._annotator = annotator
        self._rebuilder = rebuilder
        self._wait_seconds = wait_seconds
        self._now = now

    async def carry_out(self, action: Action, token: Token) -> Published:
        """Do what a client asks for; when this returns, it is committed and on disk.

        Raises the errors of :mod:`bridge.errors` and :class:`~bridge.store.StoreError`; then
        nothing has changed.
        """
        match action:
            case Create():
                return await self._create(action, token)
            case Update():
                return await until_undisturbed(lambda: self._update(action, token))
            case Delete():
                return await until_undisturbed(lambda: self._delete(action, token))
            case Undelete():
                return await until_undisturbed(lambda: self._undelete(action, token))

    async def _create(self, action: Create, token: Token) -> Published:
        post, when = action.post, self._now()
        if only_drafts(token):
            post = post.with_properties({"post-status": ("draft",)})
        if action.uploads:
            # What the site cannot hold is refused before any file of the request is taken in.
            await self._catalogue.refresh()
            await self._composed(post, action, when)
            post = await self._illustrator.take_in(post, action.uploads)

        async def attempt() -> tuple[Place, Version]:
            base = await self._catalogue.refresh()
            file = await self._composed(post, action, when)
            async with self._placing.new(file, base) as place:
                changes = [
                    Change(place.path, place.file.text().encode(), None),
                    *await self._illustrator.pending(place.file),
                ]
                message = _message("create", post, place.file, place.location.url, token)
                return place, await self._committer.commit(changes, message, base)

        place, version = await until_undisturbed(attempt)
        self._annotator.want(place.location.url, place.file)
        page = place.location.save_as
        live = await self._rebuilder.live(version, page, self._wait_seconds)
        return Published(place.location.url, draft=_draft(place), live=live)

    async def _composed(self, post: Post, action: Create, when: datetime) -> PelicanFile:
        """The file of a new post; nobody else waits while the site's Markdown renders it."""
        rules = self._catalogue.rules
        return await asyncio.to_thread(
            compose, post, commands=action.commands, when=when, rules=rules
        )

    async def _update(self, action: Update, token: Token) -> Published:
        base = await self._catalogue.refresh()
        rules = self._catalogue.rules
        entry = self._find(action.url)
        _stay_with_drafts(token, entry.status)
        file, blob = self._catalogue.open(entry)
        if blob != entry.blob:
            # The entry has just been judged; its file is another one by now.
            raise ChangedMeanwhile(entry.path)
        old = self._catalogue.read(file, entry.path)
        new = apply(old, self._in_own_words(action))
        edited = await asyncio.to_thread(
            edit, file, old, new, commands=action.commands, when=self._now(), rules=rules
        )
        if edited == file:
            return Published(entry.url)
        async with self._placing.moved(edited, entry.path, base) as place:
            _stay_with_drafts(token, place.location.status)
            url = place.location.url
            text = _with_alias(place, entry).text()
            changes = [
                Change(entry.path, text.encode(), blob),
                *await self._illustrator.pending(place.file),
            ]
            message = _message("update", new, place.file, url, token)
            await self._committer.commit(changes, message, base)
        self._annotator.want(url, place.file)
        return Published(url, draft=_draft(place), moved=url != entry.url)

    async def _delete(self, action: Delete, token: Token) -> Published:
        base = await self._catalogue.refresh()
        entry = self._find(action.url)
        file, blob = self._catalogue.open(entry)
        post = self._catalogue.read(file, entry.path)
        message = _message("delete", post, file, entry.url, token)
        await self._committer.commit([Change(entry.path, None, blob)], message, base)
        return Published(entry.url)

    async def _undelete(self, action: Undelete, token: Token) -> Published:
        base = await self._catalogue.refresh()
        there = self._catalogue.index.find(action.url)
        if there is not None:
            return Published(there.url)
        path, data = await asyncio.to_thread(self._find_deleted, action.url, base)
        file = PelicanFile.parse(data.decode("utf-8", errors="surrogateescape"), path)
        async with self._placing.moved(file, path, base) as place:
            if place.file != file:
                raise Conflict(f"Another post lives at {action.url} by now: move that one first.")
            post = self._catalogue.read(file, path)
            message = _message("undelete", post, file, place.location.url, token)
            await self._committer.commit([Change(path, data, None)], message, base)
        return Published(place.location.url)

    def _find(self, url: str) -> Entry:
        entry = self._catalogue.index.find(url)
        if entry is None:
            raise InvalidRequest(f"There is no post at {url[:200]}.")
        return entry

    def _find_deleted(self, url: str, base: Version) -> tuple[str, bytes]:
        """The last file, in history, of the post that lived at ``url``."""
        for removal in self._store.removals(self._catalogue.folder, base):
            (blob,) = self._store.blobs([removal.blob])
            entry = self._catalogue.describe(removal.path, removal.blob, blob.data)
            if isinstance(entry, Entry) and url in {entry.url, *entry.aliases}:
                return removal.path, blob.data
        raise InvalidRequest(f"There is no post at {url[:200]}, and there never was one.")

    def _in_own_words(self, update: Update) -> Update:
        """The update with our files under the one URL that a post read from its file names."""

        def own(properties: Properties) -> Properties:
            media = self._catalogue.rules.media
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


def _stay_with_drafts(token: Token, status: str) -> None:
    """Raise where a token for drafts alone would change a published post, or publish a draft."""
    if only_drafts(token, "update") and status != "draft":
        raise InsufficientScope("This token may change drafts, and not publish.", scope="update")


def _draft(place: Place) -> str:
    return place.location.save_as if place.location.status == "draft" else ""


def _with_alias(place: Place, entry: Entry) -> PelicanFile:
    """The file, which remembers where its page was if that has changed."""
    page = place.location.save_as
    mf2 = Mf2Line.of(place.file)
    aliases = [each for each in (*mf2.aliases, entry.save_as) if each != page]
    if page == entry.save_as and tuple(aliases) == mf2.aliases:
        return place.file
    changed = mf2.with_changes(aliases=tuple(dict.fromkeys(aliases)))
    return place.file.with_header("Mf2", changed.text())


def _message(action: str, post: Post, file: PelicanFile, url: str, token: Token) -> str:
    # A new post is what most commits bring: "Note: …" says enough.
    verb = "" if action == "create" else f"{action} "
    # A Title is printed as HTML, so it is written as such; a commit message is plain text.
    subject = f"{verb}{discover(post)}: {unescape(file.get('Title') or '') or url}"
    subject = subject[0].upper() + subject[1:]
    return commit_message(action, subject, url=url, client_id=token.client_id)
