"""Verifies webmentions: fetches the source and checks that it links to the target (Webmention
3.2.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.message import Message
from typing import Any, Literal, TypeAlias
from weakref import WeakValueDictionary

from msgspec import Struct, field

from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.net.link_rels import charset_of
from bridge.net.sandboxed_parse import parse_in_subprocess

#: Never imported here: an HTML parser would add a third to the bridge's memory.
_READ = "bridge.webmention.incoming.verification.parser:read"
_AGENT = "pelican-indieauth (Webmention)"
_ACCEPT = (
    "text/html, application/xhtml+xml;q=0.9, application/json;q=0.8, text/plain;q=0.7, */*;q=0.1"
)
_KINDS = frozenset({"text/html", "application/xhtml+xml", "application/json", "text/plain"})
#: "Receivers may wish to limit the time and size" (4.2): the specification's own examples, with
#: time for a small server to wake up.
_PAGE_BYTES = 1024 * 1024
_SECONDS = 10.0
_REDIRECTS = 10
_READING_SECONDS = 40.0
#: How many pages are parsed at once: that takes a processor.
_PARSED_AT_ONCE = 2

#: Results of a verification: it links; it does not; it was deleted (410 or a tombstone); it is
#: missing (404 and other refusals); it could not be fetched or parsed this time.
Outcome: TypeAlias = Literal["linked", "no link", "gone", "missing", "unreachable"]


class Verification(Struct, frozen=True):
    """The result of one verification.

    ``why`` is a sentence for the sender. For ``linked``, ``page`` is the result of
    :func:`bridge.webmention.incoming.verification.parser.read` and ``url`` where the source was
    after redirects.
    """

    outcome: Outcome
    why: str = ""
    page: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""


class Verifier:
    """Fetches sources, and parses them in subprocesses: at most two at a time, one per sender."""

    def __init__(
        self, fetch: GuardedFetch, *, seconds: float = _SECONDS, reading: float = _READING_SECONDS
    ) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._reading = reading
        self._parsing = asyncio.Semaphore(_PARSED_AT_ONCE)
        self._senders: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def verify(self, source: str, target: str, sender: str = "") -> Verification:
        """Fetch and parse ``source``, which ``sender`` has sent. Raises nothing, whatever the
        source does.
        """
        try:
            page = await self._fetch.fetch(
                source,
                max_bytes=_PAGE_BYTES,
                timeout=self._seconds,
                accept=_ACCEPT,
                redirects=_REDIRECTS,
                agent=_AGENT,
                cut=True,
                reads=lambda kind: _media_type(kind)[0] in _KINDS or "+json" in kind,
            )
        except FetchError as error:
            return Verification("unreachable", f"The source could not be fetched: {error}.")
        # 3.2.4: "If the source URL returns HTTP 410 Gone, the receiver SHOULD delete" the mention.
        if page.status == 410:
            return Verification("gone", "The source was deleted.")
        if page.status >= 500 or page.status == 429:
            return Verification("unreachable", f"The source's server answered {page.status}.")
        if page.status != 200:
            return Verification("missing", f"The source's server answered {page.status}.")
        lock = self._senders.get(sender)
        if lock is None:
            lock = self._senders[sender] = asyncio.Lock()
        async with lock, self._parsing:
            return await self._check_link(page, source, target)

    async def _check_link(self, page: Fetched, source: str, target: str) -> Verification:
        kind, charset = _media_type(page.headers.get("Content-Type", ""))
        parsed: dict[str, Any] | None = await parse_in_subprocess(
            _READ, page.url, source, target, kind, charset, page=page.body,
            seconds=self._reading,
        )  # fmt: skip
        if parsed is None:
            return Verification("unreachable", "The source is too large or too complex to parse.")
        if parsed["gone"]:
            return Verification("gone", "The source was deleted.")
        if not parsed["linked"]:
            return Verification("no link", "The source does not link to the target.")
        return Verification("linked", page=parsed, url=page.url)


def _media_type(header: str) -> tuple[str, str]:
    """The media type and character encoding of a ``Content-Type`` header; HTML where it is
    absent.
    """
    message = Message()
    message["Content-Type"] = header or "text/html"
    return message.get_content_type(), charset_of(message.get_content_charset())
