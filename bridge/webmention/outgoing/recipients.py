"""Chooses the pages that get a webmention from a post."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from msgspec import Struct

from bridge.content.file import PelicanFile
from bridge.net.web_url import BadURL, parse
from bridge.posts.post_files import PostReader
from bridge.posts.urls import hosts
from bridge.settings import Settings
from bridge.webmention.outgoing.live_pages import LivePage

#: Bridgy Fed publishes a post to the fediverse when it gets a webmention from it
#: (fed.brid.gy/docs).
BRIDGY_FED = "https://fed.brid.gy/"
_LONGEST = 2_000


def own_hosts(settings: Settings, public_url: str) -> frozenset[str]:
    """The host names of the site and the bridge, which get no webmentions."""
    return hosts(settings.site.me, *settings.site.aliases, public_url)


def external_links(
    links: Iterable[str], own: frozenset[str], *, bridgy_fed: bool = False
) -> list[str]:
    """The links to hosts other than ``own``, each page once.

    ``bridgy_fed``: whether Bridgy Fed may be among them, which publishes the post in the fediverse.
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


class Recipients(Struct, frozen=True):
    """Selects targets. ``own`` are the site's host names, which get no webmentions; ``bridgy_fed``:
    whether pages that link to Bridgy Fed send it one.
    """

    posts: PostReader
    own: frozenset[str]
    bridgy_fed: bool = False

    def of_page(self, page: LivePage) -> list[str]:
        """The targets of a parsed page."""
        return self.external_links(page.links)

    def external_links(self, links: Iterable[str]) -> list[str]:
        """The links to other sites, each page once."""
        return external_links(links, self.own, bridgy_fed=self.bridgy_fed)

    def times(self, file: PelicanFile) -> tuple[str, str]:
        """The ``published`` and ``updated`` times of a post's file in ISO 8601; ``""`` where
        absent.
        """
        post = self.posts.read_without_asking(file)
        return post.text("published") or "", post.text("updated") or ""
