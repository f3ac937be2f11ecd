"""The URLs that accept webmentions: the site's public posts, its pages, its home page."""

from __future__ import annotations

import time
from collections.abc import Callable
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from bridge.posts.catalogue import Catalogue
from bridge.posts.urls import canonical
from bridge.webmention.mention import MentionTarget

_PUBLIC = frozenset({"published", "hidden"})


class Targets:
    """Finds the post or page at a URL. Drafts and posts dated in the future do not count."""

    def __init__(
        self, catalogue: Catalogue, me: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._catalogue = catalogue
        self._me = me
        self._clock = clock

    @property
    def own(self) -> frozenset[str]:
        """The host names of the site."""
        return self._catalogue.index.own

    async def find(self, url: str) -> MentionTarget | None:
        """The post or page at ``url``, or ``None``. Its fragment is ignored, and so is a query
        unless the site has posts at that path whose addresses have one.

        Raises what :meth:`~bridge.posts.catalogue.Catalogue.refresh` raises.
        """
        await self._catalogue.refresh()
        index, own = self._catalogue.index, self.own
        entry = index.find_linked(url)
        url = url.partition("#")[0]
        any_query = not index.has_query(canonical(url, own).partition("?")[0])
        if any_query:
            url = url.partition("?")[0]
        address = canonical(url, own)
        # A URL on another host is never the site's, whatever its path.
        if not address.startswith("/"):
            return None
        if entry is not None:
            if entry.status not in _PUBLIC or entry.published > self._clock():
                return None
            every = frozenset(canonical(each, own) for each in (entry.url, *entry.aliases))
            any_query = not any(index.has_query(each.partition("?")[0]) for each in every)
            return MentionTarget(entry.url, every, own, any_query)
        home = self._catalogue.site.facts.siteurl or self._me
        if address in {canonical(home, own), canonical(self._me, own)}:
            return MentionTarget(f"{home.rstrip('/')}/", frozenset({address}), own, any_query)
        if index.has_page(self._pages_at(url)):
            return MentionTarget(url, frozenset({address}), own, any_query)
        return None

    def _pages_at(self, url: str) -> list[str]:
        """The output files that a web server may serve for ``url``, relative to the output
        folder.
        """
        root = urlsplit(self._catalogue.site.facts.siteurl or self._me).path.rstrip("/")
        path = unquote(urlsplit(url).path)
        if not path.startswith(f"{root}/"):
            return []
        path = normpath(path.removeprefix(root).lstrip("/") or ".")
        if path.split("/")[0] in {"..", "drafts"}:
            return []
        return [path, f"{path}.html", f"{path}/index.html"]
