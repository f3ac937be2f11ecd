"""Idempotent requests (``Micropub-Once``): carried out once, however often they are sent.

A form that is sent twice (a double tap, a reload, a retry after a lost answer) must not create two
posts. Its sender gives it a name, and the commit records a hash of that name. So the names of the
last thirty days are known again after a restart or a crash.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from itertools import islice

from bridge.posts.commits import once_of
from bridge.store import ContentStore

_SECONDS = 30 * 86400
#: More commits than a site gets in a month; reading them takes a second.
_MOST = 50_000


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
        log = self._store.log(head, since=self._now() - _SECONDS)
        found = filter(None, (once_of(commit.message) for commit in islice(log, _MOST)))
        return dict(reversed(list(found)))
