"""Verifies a webmention: does its source link to its target (Webmention 3.2.2)?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, Literal, TypeAlias
from weakref import WeakValueDictionary

from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.net.sandboxed_parse import parse_in_subprocess
from bridge.net.web_url import BadURL, parse

#: Run, never imported here: a parser of HTML is a third of what else the bridge needs in memory.
_PROGRAM = Path(__file__).with_name("parser.py")
_AGENT = "pelican-indieauth (Webmention)"
_ACCEPT = (
    "text/html, application/xhtml+xml;q=0.9, application/json;q=0.8, text/plain;q=0.7, */*;q=0.1"
)
_KINDS = frozenset({"text/html", "application/xhtml+xml", "application/json", "text/plain"})
#: "Receivers may wish to limit the time and size" (4.2): the specification's own examples, and
#: time enough for a small machine to wake up.
_PAGE_BYTES = 1024 * 1024
_SECONDS = 10.0
_REDIRECTS = 10
_READING_SECONDS = 40.0
_AT_ONCE = 2

#: What came of a look: it links; it does not; it says that it was deleted (410); it is not there
#: (404 and other refusals); it did not answer this time.
Outcome: TypeAlias = Literal["linked", "no link", "gone", "missing", "unreachable"]


@dataclass(frozen=True, slots=True)
class Look:
    """What a source was found to be; ``page`` is what
    :mod:`bridge.webmention.incoming.parser` says of one that links,
    ``why`` a sentence for the sender."""

    outcome: Outcome
    why: str = ""
    page: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""


class Verifier:
    """Fetches sources, two at a time and one from each host, and has them parsed elsewhere."""

    def __init__(
        self, fetch: GuardedFetch, *, seconds: float = _SECONDS, reading: float = _READING_SECONDS
    ) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._reading = reading
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._hosts: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def look(self, source: str, target: str) -> Look:
        """Fetch and judge a source. Never raises for anything that the source does."""
        host = _host(source)
        lock = self._hosts.get(host)
        if lock is None:
            lock = self._hosts[host] = asyncio.Lock()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(lock)
            await stack.enter_async_context(self._turns)
            return await self._look(source, target)

    async def _look(self, source: str, target: str) -> Look:
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
            return Look("unreachable", f"The source could not be fetched: {error}.")
        # 3.2.4: "If the source URL returns HTTP 410 Gone, the receiver SHOULD delete" the mention.
        if page.status == 410:
            return Look("gone", "The source says that it was deleted.")
        if page.status >= 500 or page.status == 429:
            return Look("unreachable", f"The source's server answers {page.status}.")
        if page.status != 200:
            return Look("missing", f"The source's server answers {page.status}.")
        return await self._judge(page, source, target)

    async def _judge(self, page: Fetched, source: str, target: str) -> Look:
        kind, charset = _media_type(page.headers.get("Content-Type", ""))
        said: dict[str, Any] | None = await parse_in_subprocess(
            _PROGRAM, page.url, source, target, kind, charset, page=page.body,
            seconds=self._reading,
        )  # fmt: skip
        if said is None:
            return Look("unreachable", "The source is too much to be read.")
        if said["gone"]:
            return Look("gone", "The source says that it was deleted.")
        if not said["linked"]:
            return Look("no link", "The source does not link to the target.")
        return Look("linked", page=said, url=page.url)


def _host(url: str) -> str:
    try:
        return parse(url.partition("#")[0]).host
    except BadURL:
        return ""


def _media_type(header: str) -> tuple[str, str]:
    """The media type and the character encoding that a header names; HTML where it is absent."""
    message = Message()
    message["Content-Type"] = header or "text/html"
    charset = message.get_content_charset() or ""
    try:
        "".encode(charset or "utf-8")
    except (LookupError, ValueError):
        charset = ""
    return message.get_content_type(), charset
