"""Commits changes with a message, then notifies the parts that follow the branch.

The commits of concurrent requests are grouped: those that wait while a group is written form the
next (:class:`CommitQueue`).

A request may have a name (``Micropub-Once``): it is then carried out once, however often it is
sent (:class:`Once`). A form that is sent twice (a double tap, a reload, a retry after a lost
answer) must not create two posts. The commit records a hash of the name, so the names of the last
thirty days are known again after a restart or a crash.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
import unicodedata
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from msgspec import Struct

from bridge.content.file import beginning
from bridge.errors import Conflict, IndexLost, SiteReplaced
from bridge.media.library import MediaLibrary
from bridge.posts.catalogue import Catalogue
from bridge.runtime.threads import ThreadPool
from bridge.store import BranchMoved, Change, Commit, ContentStore, FileChanged, StoreBusy, Version

_TOGETHER = 256  # one group; enough that the syncs no longer count
log = logging.getLogger(__name__)
_SUBJECT_LENGTH = 72
#: Format characters that make letters and emoji what they are, in Persian or in a family.
_JOINERS = "\u200c\u200d"
_ACTION = "Micropub-Action"
_ONCE = "Micropub-Once"
_URL = "Post-URL"
#: How many attempts are made if others commit in between.
_TRIES = 10
#: Seconds that an answer waits for the media library to release what is committed.
_MEDIA_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_Done = TypeVar("_Done")
_ONCE_SECONDS = 30 * 86400
#: More commits than a site gets in a month; reading them takes a second.
_ONCE_COMMITS = 50_000


class _Waiting(Struct, frozen=True):
    """A commit, and the future of the request that waits for it."""

    commit: Commit
    answer: asyncio.Future[Version]


class CommitQueue:
    """Makes the store usable from asyncio: one thread commits, and requests share its rounds of
    syncs.

    For use on one event loop. Commits are made in the order in which they were added.
    """

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._thread = ThreadPool(1, "commit", first=1)
        self._waiting: list[_Waiting] = []
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    async def commit(self, commit: Commit) -> Version:
        """Make a commit and return its version. Raises its :class:`StoreError`.

        If the caller is cancelled while waiting, the commit may or may not be made, as with any
        request whose connection breaks.
        """
        if self._closed:
            raise StoreBusy("the bridge is shutting down")
        waiting = _Waiting(commit, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._work is None:
            self._work = asyncio.create_task(self._drain())
        return await waiting.answer

    async def close(self) -> None:
        """Accept no more commits, finish those that wait, and end the thread."""
        self._closed = True
        if self._work is not None:
            await self._work
        self._thread.shutdown(wait=False)

    async def _drain(self) -> None:
        """Commit group after group until none is left."""
        try:
            while self._waiting:
                group = [each for each in self._waiting[:_TOGETHER] if not each.answer.done()]
                del self._waiting[:_TOGETHER]
                if group:
                    await self._commit(group)
        finally:
            self._work = None

    async def _commit(self, group: list[_Waiting]) -> None:
        commits = [each.commit for each in group]
        answers: Sequence[Version | Exception]
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._store.commit, commits)
        except Exception as error:  # noqa: BLE001  # each waiter of the group gets it
            answers = [error] * len(group)
        for each, answer in zip(group, answers, strict=True):
            if each.answer.done():
                continue  # its request was cancelled
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)


def commit_message(
    action: str, subject: str, *, url: str, client_id: str | None, once: str = ""
) -> str:
    """A subject line and trailers.

    ``subject`` is any text and is shortened to one line. ``once`` is the name of the request, by
    which a repetition is recognised. A client chooses its own ``client_id``, which must not be able
    to start a trailer.
    """
    trailers = {
        _ACTION: action,
        "Micropub-Client": client_id or "unknown",
        _URL: url,
        **({_ONCE: once} if once else {}),
    }
    lines = (f"{name}: {visible_line(value)}" for name, value in trailers.items())
    return "\n".join([shorten(visible_line(subject), _SUBJECT_LENGTH), "", *lines, ""])


def is_ours(message: str) -> bool:
    """Whether a commit was made by a bridge."""
    return f"\n{_ACTION}: " in message


def once_of(message: str) -> tuple[str, str] | None:
    """The request's name and the post's URL from a commit message; ``None`` if it has no name."""
    # The subject consists of the post's own words.
    trailers = message.partition("\n\n")[2]
    found = {
        name: re.findall(rf"^{name}: (\S+)$", trailers, re.MULTILINE) for name in (_ONCE, _URL)
    }
    return (found[_ONCE][-1], found[_URL][-1]) if found[_ONCE] and found[_URL] else None


def urls_of(message: str) -> list[str]:
    """The URLs that a bridge's commit message gives for its posts."""
    return re.findall(rf"^{_URL}: (\S+)$", message.partition("\n\n")[2], re.MULTILINE)


def visible_line(text: str) -> str:
    """A text of others as visible characters in one line."""
    visible = text
    if not text.isascii() or not text.isprintable():
        visible = "".join(
            " " if unicodedata.category(char)[0] in "CZ" and char not in _JOINERS else char
            for char in text
        )
    return re.sub(r" +", " ", visible).strip()


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters; a text that is cut ends in an ellipsis after a whole word."""
    if len(text) <= length:
        return text
    head = beginning(text, length - 1)
    return (head.rsplit(" ", 1)[0] if " " in head[length // 2 :] else head) + "…"


class Background:
    """Tasks that go on when the request that started them is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, _Done]) -> asyncio.Task[_Done]:
        """Run something to its end, whether or not it is awaited."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, seconds: float) -> None:
        """Wait for running tasks, and cancel those that have not finished after so many seconds."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=seconds)
            for task in late:
                task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # Retrieves the error, which no one else does if the request was cancelled.
        if not task.cancelled():
            task.exception()


class Committer:
    """Commits, then notifies the listeners.

    ``listeners`` (the catalogue, the rebuilder, the remote) are called with each new version and
    return at once. No answer waits for what they do, or fails because of it.
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
        """Make one commit; when this returns, it is on disk.

        Raises the store's :class:`~bridge.store.StoreError`; after FileChanged and BranchMoved,
        reading again helps (:func:`retry_on_conflict`). If the caller is cancelled, the commit is
        still made and the listeners are still notified.
        """
        commit = Commit(tuple(changes), message, base)
        return await asyncio.shield(self._background.start(self._commit(commit)))

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        """Commit files alone, which depend on nothing else in the site."""

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
    """Guards a step that follows a durable commit: its errors are logged, never raised.

    The client's post is safe by then, and an error answer would make it send the post again.
    """
    try:
        yield
    except Exception:
        log.exception("a commit is made, but %s failed after it", what)
    except asyncio.CancelledError:
        # If this task is cancelled, it ends; if something it waits for is cancelled, that has
        # failed.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.exception("a commit is made, but %s was cancelled after it", what)


async def retry_on_conflict(attempt: Callable[[], Awaitable[_Done]]) -> _Done:
    """Run an attempt again if others commit in between, or the site is reloaded, or
    its index is lost.

    Raises Conflict after several attempts.
    """
    for _ in range(_TRIES):
        try:
            return await attempt()
        except (FileChanged, BranchMoved, SiteReplaced, IndexLost):
            continue
    raise Conflict(
        "Nothing was written: other commits to the site kept getting in between. Try again."
    )


def digest_of(name: str) -> str:
    """The digest of a request's name, as in the commit's trailer.

    A name may have two parts, ``FORM ACTION``. Then the first half of the digest depends on
    ``FORM`` alone, so that :meth:`Once.has_form` finds it.
    """
    form, space, _ = name.partition(" ")
    whole = hashlib.sha256(name.encode()).hexdigest()
    return _half(form) + whole[:16] if space else whole[:32]


def _half(form: str) -> str:
    return hashlib.sha256(form.encode()).hexdigest()[:16]


class Once:
    """The names of recent requests, with the URLs of their posts."""

    def __init__(self, store: ContentStore, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._urls: dict[str, str] = {}
        self._reading: asyncio.Task[dict[str, str]] | None = None

    async def load(self) -> None:
        """Load the names of earlier runs from the log. Raises what the store raises."""
        if self._reading is None or (self._reading.done() and self._reading.exception()):
            self._reading = asyncio.create_task(asyncio.to_thread(self._logged), name="once")
        self._urls = await asyncio.shield(self._reading) | self._urls

    def find(self, name: str) -> str | None:
        """The URL of the post, if the request has been carried out."""
        return self._urls.get(digest_of(name))

    def has_form(self, form: str) -> bool:
        """Whether any action of a form has been carried out."""
        half = _half(form)
        return any(name.startswith(half) for name in self._urls)

    async def carried_out(self, forms: Iterable[str]) -> list[str]:
        """The forms of which any action has been carried out. Raises what the store raises.

        A form's name is the first name of the names of its actions.
        """
        await self.load()
        return [form for form in forms if self.has_form(form)]

    async def has_done(self, name: str) -> bool:
        """Whether the action of this name has been carried out. Raises what the store raises."""
        await self.load()
        return self.find(name) is not None

    def note(self, name: str, url: str) -> None:
        """Record that a request has been carried out."""
        self._urls[digest_of(name)] = url

    def _logged(self) -> dict[str, str]:
        head = self._store.head()
        if head is None:
            return {}
        log = self._store.log(head, since=self._now() - _ONCE_SECONDS)
        found = filter(None, (once_of(commit.message) for commit in islice(log, _ONCE_COMMITS)))
        return dict(reversed(list(found)))
