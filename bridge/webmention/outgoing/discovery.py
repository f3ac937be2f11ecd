"""Webmention endpoint discovery (Webmention 3.1.2)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.net.link_rels import ElementReader, absolute, decoded, header_links, rel_words
from bridge.net.web_url import BadURL, parse

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
