"""The reply context of the page that the owner replies to, fetched while they write."""

from __future__ import annotations

import asyncio
import logging

from msgspec import Struct, field

from bridge.context.fetcher import Fetch, look_up
from bridge.desk.compose.values import words_of
from bridge.micropub.post import Json
from bridge.micropub.urls import is_web
from bridge.net.fetch import FetchError
from bridge.runtime.expiring_map import ExpiringMap

log = logging.getLogger(__name__)

#: How long the form waits for another site.
_SECONDS = 5.0
_AT_ONCE = 4


class Context(Struct, frozen=True):
    """A summary of a page; ``problem`` if it could not be read."""

    url: str
    name: str = ""
    author: str = ""
    excerpt: str = ""
    problem: str = ""


class Contexts(Struct, frozen=True):
    """Fetches summaries of pages, and caches them for a while."""

    fetch: Fetch
    seconds: float = _SECONDS
    known: ExpiringMap[Context] = field(default_factory=lambda: ExpiringMap(seconds=600, most=200))
    _looking: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def of(self, url: str) -> Context | None:
        """The summary of the page at an address; ``None`` for anything but a page's address."""
        if not is_web(url):
            return None
        if (known := self.known.get(url)) is not None:
            return known
        if url not in self._looking and len(self._looking) < _AT_ONCE:
            self._looking[url] = asyncio.create_task(self._look(url), name="context")
        if (looking := self._looking.get(url)) is not None:
            # A fetch that takes longer continues, and its result is there for the next request.
            await asyncio.wait({looking}, timeout=self.seconds)
        return self.known.get(url) or Context(url, problem="This page cannot be read just now.")

    async def _look(self, url: str) -> None:
        try:
            self.known.put(url, _context(url, await look_up(self.fetch, url) or {}))
        except FetchError as error:
            log.info("no context from %r: %s", url, error)
        finally:
            del self._looking[url]


def _context(url: str, cite: dict[str, Json]) -> Context:
    found = cite.get("properties")
    properties = found if isinstance(found, dict) else {}

    def first(name: str, inner: str = "") -> str:
        values = properties.get(name)
        value = values[0] if isinstance(values, list) and values else None
        if inner and isinstance(value, dict):
            nested = value.get("properties")
            values = nested.get(inner) if isinstance(nested, dict) else None
            value = values[0] if isinstance(values, list) and values else None
        return words_of(value)

    return Context(url, first("name"), first("author", "name"), first("content"))
