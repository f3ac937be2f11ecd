"""Which pages get a webmention from a post."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from bridge.content.file.front_matter import PelicanFile
from bridge.net.web_url import BadURL, parse
from bridge.posts.addresses import hosts
from bridge.posts.reader import PostReader
from bridge.webmention.outgoing.live import Page

#: Bridgy Fed makes a post known in the fediverse when it is told of it (fed.brid.gy/docs).
BRIDGY_FED = "https://fed.brid.gy/"
_LONGEST = 2_000


def foreign(links: Iterable[str], own: frozenset[str], *, bridgy_fed: bool = False) -> list[str]:
    """Those links that lead to other sites than the ``own`` hosts, each page once.

    ``bridgy_fed``: whether Bridgy Fed is one of them, which makes a post public elsewhere.
    """
    found: dict[str, str] = {}
    for link in links:
        bare = link.partition("#")[0]
        if bare.rstrip("/") == BRIDGY_FED.rstrip("/") and not bridgy_fed:
            continue
        with suppress(BadURL, ValueError):
            parse(bare)
            if len(link) <= _LONGEST and not hosts(bare) & own:
                found.setdefault(bare, link)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Recipients:
    """``own`` are the site's hosts: a site does not tell itself. ``bridgy_fed``: Bridgy Fed is
    told of pages that link to it."""

    posts: PostReader
    own: frozenset[str]
    bridgy_fed: bool = False

    def of_page(self, page: Page) -> list[str]:
        """Whom a page mentions."""
        return self.foreign(page.links)

    def foreign(self, links: Iterable[str]) -> list[str]:
        """Those links that lead to other sites."""
        return foreign(links, self.own, bridgy_fed=self.bridgy_fed)

    def times(self, file: PelicanFile) -> tuple[str, str]:
        """When a post says that it was published and updated, ISO 8601; "" where it does not."""
        post = self.posts.read_without_asking(file)
        return post.text("published") or "", post.text("updated") or ""
