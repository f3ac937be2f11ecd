"""Fetches the pages that posts quote, in the background, and makes an h-cite of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from email.message import Message
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from bridge.net.fetch import Fetched, FetchError
from bridge.net.link_rels import charset_of
from bridge.net.sandboxed_parse import parse_in_subprocess
from bridge.runtime.backoff import next_pause

log = logging.getLogger(__name__)

#: Pauses before retries of a page that did not answer, in seconds.
RETRIES = (60.0, 600.0)
_WAITING = 200
_AT_ONCE = 2
_PAGE_BYTES = 1_500_000
_ACCEPT = "text/html, application/xhtml+xml;q=0.9"

Cites = Mapping[str, dict[str, Any]]
Deliver = Callable[[str, Cites], Awaitable[None]]
#: Not imported here: HTML parsers need a third as much memory as the rest of the bridge.
_CITE = "bridge.context.cite:cite"
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_PARSE_SECONDS = 40.0


class Fetch(Protocol):
    """A fetcher of public web pages (:class:`bridge.net.fetch.GuardedFetch`)."""

    async def fetch(self, url: str, *, max_bytes: int, accept: str) -> Fetched:
        """GET a page, limited in time. Raises :class:`bridge.net.fetch.FetchError`."""
        ...


class _Request(Struct, frozen=True):
    """The requested contexts of one post, and the number of tries."""

    post: str
    targets: tuple[str, ...]
    attempt: int = 0


class ContextFetcher:
    """Fetches reply contexts in the background, with retries.

    ``deliver`` is called with a post's name, as passed to :meth:`request`, and the h-cites by URL,
    if there are any. The queue is in memory: after a restart :class:`ReplyContexts` requests the
    contexts that recent posts lack.
    """

    def __init__(
        self, fetch: Fetch, deliver: Deliver, *, retries: Sequence[float] = RETRIES
    ) -> None:
        self._fetch = fetch
        self._deliver = deliver
        self._retries = retries
        self._queue = asyncio.Queue[_Request](_WAITING)
        self._asked = set[tuple[str, str]]()
        self._later = set[asyncio.TimerHandle]()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(_AT_ONCE)]

    def request(self, post: str, targets: Iterable[str]) -> None:
        """Request the contexts of a post. Returns at once; targets in progress are not
        requested twice.
        """
        new = tuple(url for url in dict.fromkeys(targets) if (post, url) not in self._asked)
        if new:
            self._asked.update((post, url) for url in new)
            self._enqueue(_Request(post, new))

    async def idle(self) -> None:
        """Wait until everything requested is done, except for retries."""
        await self._queue.join()

    async def close(self) -> None:
        """Stop at once."""
        for handle in self._later:
            handle.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _enqueue(self, request: _Request) -> None:
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            log.warning("too many reply contexts are waiting; none is fetched for %s", request.post)
            self._forget(request.post, request.targets)

    def _forget(self, post: str, urls: Iterable[str]) -> None:
        self._asked.difference_update((post, url) for url in urls)

    async def _work(self) -> None:
        while True:
            request = await self._queue.get()
            try:
                await self._fetch_all(request)
            except Exception:
                # An error with one page or commit must not end the work for others.
                log.exception("the reply context of %s could not be stored", request.post)
                self._forget(request.post, request.targets)
            finally:
                self._queue.task_done()

    async def _fetch_all(self, request: _Request) -> None:
        found: dict[str, dict[str, Any]] = {}
        silent: list[str] = []
        for url in request.targets:
            try:
                cite = await look_up(self._fetch, url)
            except FetchError as error:
                # Quoted, since a client's URL may contain any character, such as a line break.
                log.info("no reply context from %r: %s", url[:200], error)
                silent.append(url)
            else:
                if cite is not None:
                    found[url] = cite
        if found:
            await self._deliver(request.post, found)
        self._forget(request.post, set(request.targets) - set(silent))
        self._try_again(replace(request, targets=tuple(silent), attempt=request.attempt + 1))

    def _try_again(self, request: _Request) -> None:
        delay = next_pause(self._retries, request.attempt - 1, jitter=0.0)
        if not request.targets or delay is None:
            self._forget(request.post, request.targets)
            return

        def enqueue() -> None:
            self._later.discard(handle)
            self._enqueue(request)

        handle = asyncio.get_running_loop().call_later(delay, enqueue)
        self._later.add(handle)


async def look_up(fetch: Fetch, url: str) -> dict[str, Any] | None:
    """The h-cite of a page; ``None`` where it has nothing to cite.

    Raises :class:`bridge.net.fetch.FetchError` where a retry may succeed.
    """
    page = await fetch.fetch(url, max_bytes=_PAGE_BYTES, accept=_ACCEPT)
    if page.status >= 500 or page.status == 429:
        raise FetchError(f"its server answered {page.status}")
    cite = await read_cite(page) if page.status == 200 else None
    if cite is None:
        return None
    # The h-cite keeps the URL that the author gave, not that of a redirect.
    return {**cite, "properties": {**cite["properties"], "url": [url]}}


async def read_cite(page: Fetched) -> dict[str, Any] | None:
    """The h-cite of a page, or ``None`` if it is not HTML or has nothing to cite."""
    kind = Message()
    kind["Content-Type"] = page.headers.get("Content-Type", "")
    if kind.get_content_type() not in _HTML:
        return None
    charset = charset_of(kind.get_content_charset())
    cite: dict[str, Any] | None = await parse_in_subprocess(
        _CITE, page.url, charset, page=page.body, seconds=_PARSE_SECONDS
    )
    return cite
