"""Sends one webmention to one target: discovers its endpoint (Webmention 3.1.2), sends (3.1.3), and
decides on retries.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from bridge.net.fetch import Fetched, FetchError, ForbiddenAddress, GuardedFetch
from bridge.net.link_rels import ElementReader, absolute, decoded, header_links, rel_words
from bridge.net.web_url import BadURL, host_of, parse
from bridge.runtime.backoff import next_pause
from bridge.runtime.expiring_map import ExpiringMap
from bridge.webmention.outgoing.outbox import Delivery

#: "MAY … include the string 'Webmention' in the User-Agent" (3.1.2, 5).
AGENT = "pelican-indieauth (Webmention)"
_REL = "webmention"
_HTML = frozenset({"", "text/html", "application/xhtml+xml"})
_PAGE_BYTES = 1024 * 1024
_PAGE_SECONDS = 10.0
_REDIRECTS = 10
#: Elements whose content is raw text, or not part of the document.
_OPAQUE = frozenset({"script", "style", "textarea", "title", "template", "iframe", "noframes"})
_PIECE = 16 * 1024
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


class TemporaryFailure(Exception):
    """The target could not answer now. ``after``: its server's ``Retry-After`` in seconds, or
    ``None``.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True, slots=True)
class Found:
    """The result of discovery. ``endpoint`` is ``None`` where the page accepts no webmentions;
    ``fresh`` for how many seconds that may be cached.
    """

    endpoint: str | None
    reason: str = ""
    fresh: float = 0.0


async def find_endpoint(fetch: GuardedFetch, target: str) -> Found:
    """Discover the webmention endpoint of ``target``. Raises :class:`TemporaryFailure` where a
    retry may succeed.

    Makes one GET without a HEAD before it, since a page may be limited to one view.
    """
    try:
        page = await fetch.fetch(
            target,
            max_bytes=_PAGE_BYTES,
            timeout=_PAGE_SECONDS,
            redirects=_REDIRECTS,
            agent=AGENT,
            cut=True,
            reads=_is_html,
        )
    except FetchError as error:
        raise TemporaryFailure(str(error)) from error
    if page.status == 429 or page.status >= 500:
        raise TemporaryFailure(f"its server answered {page.status}", retry_after(page))
    if not 200 <= page.status < 300:
        return Found(None, f"its server answered {page.status}")
    # Unclosed tags can keep the parser busy for seconds, so it runs in a thread.
    endpoint = await asyncio.to_thread(endpoint_of, page)
    if endpoint is None:
        return Found(None, "it does not accept webmentions", _max_age(page))
    try:
        # "If the endpoint is a relative URL, the sender MUST resolve it": done by now. What is
        # still not an http(s) URL cannot be posted to.
        parse(endpoint.partition("#")[0])
    except BadURL as error:
        return Found(None, f"its endpoint cannot be used: {error}", _max_age(page))
    return Found(endpoint)


def endpoint_of(page: Fetched) -> str | None:
    """The first endpoint that a page names, as an absolute URL, or ``None``.

    "The endpoint MUST be … the first HTTP Link header …, the first <link> or <a> element in
    document order" (3.1.2), relative to the URL after redirects.
    """
    if named := header_links(page.all("Link"), page.url, _REL):
        return named[0]
    content_type = page.headers.get("Content-Type", "")
    if not page.body or not _is_html(content_type):
        return None
    text = decoded(page.body, content_type)
    bases = text.lower().count("<base")
    reader = _Links()
    # Markup that Python's parser rejects ends the search; what was found before it counts.
    with suppress(AssertionError):
        for start in range(0, len(text), _PIECE) if _REL in text.lower() else ():
            reader.feed(text[start : start + _PIECE])
            # A ``base`` element applies to links before it, too.
            if reader.found is not None and (reader.bases or not bases):
                break
    if reader.found is None:
        return None
    base = next(iter(absolute(page.url, reader.bases[:1])), page.url)
    return next(iter(absolute(base, [reader.found])), None)


def retry_after(answer: Fetched) -> float | None:
    """The ``Retry-After`` header in seconds, from a number or a date (RFC 9110 10.2.3), or
    ``None``.
    """
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdecimal() and value.isascii() and len(value) < 10:
        return float(value)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None


def _max_age(page: Fetched) -> float:
    """For how many seconds an answer is fresh ("respect the caching headers", 5)."""
    found = _MAX_AGE.search(page.headers.get("Cache-Control", ""))
    return float(found[1]) if found else 0.0


def _is_html(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _HTML


class _Links(ElementReader):
    """Finds the first link or anchor with the relation, and the page's base."""

    def __init__(self) -> None:
        super().__init__(_OPAQUE)
        self.found: str | None = None
        self.bases: list[str] = []

    def element(self, tag: str, given: Mapping[str, str]) -> None:
        if "href" not in given or tag in _OPAQUE:
            return
        if tag == "base":
            self.bases.append(given["href"])
        elif (
            tag in {"link", "a"} and self.found is None and _REL in rel_words(given.get("rel", ""))
        ):
            self.found = given["href"]


_POST_SECONDS = 30.0
_DAY = 86400.0
_HOUR = 3600.0
#: A redirect of a browser to the status page of an accepted webmention.
_TAKEN = frozenset({302, 303})
_NO_ENDPOINT_SECONDS = _DAY
_LONGEST_NO_ENDPOINT = 7 * _DAY
_REMEMBERED = 2_000


@dataclass(frozen=True, slots=True)
class DeliveryTiming:
    """Delays in seconds.

    ``again`` are the pauses before retries of a target that could not answer, ``refused`` of one
    that refused, since it may have fetched an older page. ``gap`` is the pause between two requests
    to one host; ``hourly`` the largest number of webmentions in an hour.
    """

    again: tuple[float, ...] = (50.0, 600.0, _HOUR, 6 * _HOUR, _DAY)
    refused: tuple[float, ...] = (900.0,)
    gap: float = 1.0
    hourly: int = 200


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of one attempt: the new state of the delivery, the HTTP status, a reason for the
    owner, and the pause before a retry.
    """

    state: str
    status: int = 0
    reason: str = ""
    wait: float = 0.0


@dataclass(slots=True)
class Courier:
    """Delivers webmentions: one request at a time per host, at most ``hourly`` in an hour."""

    fetch: GuardedFetch
    timing: DeliveryTiming
    now: Callable[[], float]
    _turns: dict[str, _HostSlot] = field(default_factory=dict)
    _posts: deque[float] = field(default_factory=deque)
    _mute: ExpiringMap[bool] = field(init=False)

    def __post_init__(self) -> None:
        self._mute = ExpiringMap(seconds=_NO_ENDPOINT_SECONDS, most=_REMEMBERED, clock=self.now)

    async def deliver(self, source: str, delivery: Delivery) -> AttemptResult:
        """Attempt one delivery. Raises nothing, whatever the target does."""
        target = delivery.target
        if self._mute.get(target) and not delivery.heard:
            return AttemptResult("none", 0, "it does not accept webmentions")
        try:
            async with self._host_slot(target):
                found = await find_endpoint(self.fetch, target)
        except TemporaryFailure as trouble:
            if isinstance(trouble.__cause__, ForbiddenAddress):
                return AttemptResult("failed", 0, str(trouble))
            return self._retry(delivery, 0, str(trouble), trouble.after)
        if found.endpoint is None:
            self._remember(target, found.fresh)
            return AttemptResult("none", 0, found.reason)
        self._mute.pop(target)
        return await self._post(source, delivery, found.endpoint)

    def free_at(self) -> float:
        """The earliest time at which the hourly limit allows another webmention."""
        # A time in the future is of a clock that was ahead.
        while self._posts and not 0 <= self.now() - self._posts[0] < _HOUR:
            self._posts.popleft()
        full = len(self._posts) >= self.timing.hourly
        return self._posts[-self.timing.hourly] + _HOUR if full else 0.0

    async def _post(self, source: str, delivery: Delivery, endpoint: str) -> AttemptResult:
        self._posts.append(self.now())
        form = {"source": source, "target": delivery.target}
        try:
            async with self._host_slot(endpoint):
                answer = await self.fetch.post(endpoint, form, timeout=_POST_SECONDS, agent=AGENT)
        except ForbiddenAddress as error:
            # "Senders SHOULD NOT send Webmentions to … loopback" or other protected hosts (4.3).
            return AttemptResult("failed", 0, f"its endpoint is not allowed: {error}")
        except FetchError as error:
            return self._retry(delivery, 0, f"its endpoint: {error}")
        status = answer.status
        # "Any 2xx response code MUST be considered a success" (3.1.3).
        if 200 <= status < 300 or status in _TAKEN:
            return AttemptResult("sent", status)
        reason = f"its endpoint answered {status}"
        if status == 429 or status >= 500:
            return self._retry(delivery, status, reason, retry_after(answer))
        if status == 400 and delivery.tries < len(self.timing.refused):
            return AttemptResult("waiting", status, reason, self.timing.refused[delivery.tries])
        return AttemptResult("failed", status, reason)

    def _retry(
        self, delivery: Delivery, status: int, reason: str, after: float | None = None
    ) -> AttemptResult:
        pause = next_pause(self.timing.again, delivery.tries, jitter=0.2)
        if pause is None:
            return AttemptResult("failed", status, reason)
        return AttemptResult(
            "waiting", status, reason, min(after, _DAY) if after is not None else pause
        )

    def _remember(self, target: str, fresh: float) -> None:
        """Remember that a page has no endpoint: for a day, or as long as its cache headers say."""
        seconds = min(max(fresh, _NO_ENDPOINT_SECONDS), _LONGEST_NO_ENDPOINT)
        self._mute.put(target, value=True, seconds=seconds)

    @asynccontextmanager
    async def _host_slot(self, url: str) -> AsyncIterator[None]:
        host = host_of(url)
        turn = self._turns.setdefault(host, _HostSlot())
        turn.waiting += 1
        try:
            async with turn.lock:
                await asyncio.sleep(max(0.0, turn.free_at - asyncio.get_running_loop().time()))
                try:
                    yield
                finally:
                    turn.free_at = asyncio.get_running_loop().time() + self.timing.gap
        finally:
            turn.waiting -= 1
            if len(self._turns) > _REMEMBERED:
                self._turns = {name: each for name, each in self._turns.items() if each.waiting}


@dataclass(slots=True)
class _HostSlot:
    """The lock of one host, and the earliest time of its next request."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at: float = 0.0
    waiting: int = 0
