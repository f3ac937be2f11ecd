"""The step from changes to a commit and its message, and to everything that follows a commit."""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from bridge.errors import Conflict
from bridge.media.library import MediaLibrary
from bridge.posts.catalogue import Catalogue
from bridge.runtime.background import Background
from bridge.store import BranchMoved, Change, Commit, FileChanged, Version
from bridge.store.queue import CommitQueue

_SUBJECT_LENGTH = 72
_ACTION = "Micropub-Action"
_ONCE = "Micropub-Once"
_URL = "Post-URL"


def commit_message(
    action: str, subject: str, *, url: str, client_id: str | None, once: str = ""
) -> str:
    """A subject line and trailers.

    ``subject`` is any text, cut to a line. ``once`` names the request, so that it is known should
    it come again. A client chooses its own ``client_id``: it must not be
    able to begin a trailer of its own.
    """
    trailers = {
        _ACTION: action,
        "Micropub-Client": client_id or "unknown",
        _URL: url,
        **({_ONCE: once} if once else {}),
    }
    lines = (f"{name}: {_line(value)}" for name, value in trailers.items())
    return "\n".join([shorten(_line(subject), _SUBJECT_LENGTH), "", *lines, ""])


def is_ours(message: str) -> bool:
    """Whether a commit was made by a bridge."""
    return f"\n{_ACTION}: " in message


def once_of(message: str) -> tuple[str, str] | None:
    """The name of the request that a commit came of, and the post's URL; ``None`` without one."""
    # The subject is made of the post's own words.
    trailers = message.partition("\n\n")[2]
    found = {
        name: re.findall(rf"^{name}: (\S+)$", trailers, re.MULTILINE) for name in (_ONCE, _URL)
    }
    return (found[_ONCE][-1], found[_URL][-1]) if found[_ONCE] and found[_URL] else None


def _line(text: str) -> str:
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return re.sub(r" +", " ", visible).strip()


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters; an ellipsis at a word's end where something is cut."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    return (head.rsplit(" ", 1)[0] if " " in head[length // 2 :] else head) + "…"


log = logging.getLogger(__name__)

#: How often an attempt is repeated after others have committed in between.
_TRIES = 10
#: Seconds that an answer waits for the media library to let go of what is committed.
_MEDIA_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_Done = TypeVar("_Done")


class Committer:
    """Commits, then tells the listeners.

    ``listeners`` are called with each new version, and return at once: the catalogue, the
    rebuilder, the remote. No answer waits for what they do about it, or fails because they do.
    """

    def __init__(
        self,
        queue: CommitQueue,
        catalogue: Catalogue,
        media: MediaLibrary,
        listeners: Sequence[Callable[[Version], None]],
    ) -> None:
        self._queue = queue
        self._catalogue = catalogue
        self._media = media
        self._listeners = listeners
        self._background = Background()

    async def commit(self, changes: Sequence[Change], message: str, base: Version) -> Version:
        """One commit; when this returns it is on disk.

        Raises the :class:`~bridge.store.StoreError` of the store; after FileChanged and
        BranchMoved, another look helps (:func:`retry_on_conflict`). When the caller is
        cancelled the commit is made all the same, and the listeners are told.
        """
        commit = Commit(tuple(changes), message, base)
        return await asyncio.shield(self._background.start(self._commit(commit)))

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        """A commit of files alone, which rests on nothing but themselves."""

        async def attempt() -> None:
            await self.commit(changes, message, await self._catalogue.refresh())

        await retry_on_conflict(attempt)

    async def close(self) -> None:
        """Wait for commits that are being made."""
        await self._background.close(_CLOSE_SECONDS)

    async def _commit(self, commit: Commit) -> Version:
        version = await self._queue.commit(commit)
        for listener in self._listeners:
            with after_commit("a listener"):
                listener(version)
        with after_commit("the media library"):
            async with asyncio.timeout(_MEDIA_SECONDS):
                await self._media.committed(commit.changes)
        return version


@contextmanager
def after_commit(what: str) -> Iterator[None]:
    """Around each step that follows a durable commit: what fails in it is logged, never raised.

    The client's post is safe by then. An error answer would have it sent again.
    """
    try:
        yield
    except Exception:
        log.exception("a commit is made, but %s failed after it", what)
    except asyncio.CancelledError:
        # Our own end goes on; that of something we wait for is its failure.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.exception("a commit is made, but %s was cancelled after it", what)


async def retry_on_conflict(attempt: Callable[[], Awaitable[_Done]]) -> _Done:
    """Look and commit again when others commit in between; raises Conflict after some tries."""
    for _ in range(_TRIES):
        try:
            return await attempt()
        except (FileChanged, BranchMoved):
            continue
    raise Conflict(
        "Nothing was written: other commits to the site kept getting in between. Try again."
    )
