"""The moderation rules in ``rules.json`` of the mentions folder, and the decision they give for a
mention.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bridge.posts.urls import ascii_host, canonical, hosts
from bridge.webmention.mention import PROXIES, Mention

FILE = "rules.json"

Decision: TypeAlias = Literal["show", "wait", "drop"]
#: Hosts shared by many authors: knowing one of them says nothing about the others.
SHARED = PROXIES | {
    "granary.io",
    *("mastodon.social", "mastodon.online", "mstdn.social", "fosstodon.org", "hachyderm.io"),
    *("infosec.exchange", "techhub.social", "mas.to", "mastodon.world", "chaos.social"),
    *("bsky.app", "twitter.com", "x.com", "threads.net", "www.threads.net", "facebook.com"),
    *("www.facebook.com", "instagram.com", "www.instagram.com", "reddit.com", "www.reddit.com"),
    *("medium.com", "wordpress.com", "tumblr.com", "www.tumblr.com", "blogspot.com"),
    *("github.io", "github.com", "gist.github.com", "gitlab.com", "gitlab.io", "codeberg.org"),
    *("codeberg.page", "pages.dev", "netlify.app", "vercel.app", "herokuapp.com", "web.app"),
    *("flickr.com", "www.flickr.com", "youtube.com", "www.youtube.com", "news.ycombinator.com"),
    *("micro.blog", "write.as", "dev.to", "substack.com", "telegra.ph", "pixelfed.social"),
    *("lemmy.world", "neocities.org", "tilde.town", "tilde.club", "sdf.org", "glitch.me"),
    *("pastebin.com", "archive.org", "web.archive.org", "en.wikipedia.org", "docs.google.com"),
}
#: A page with more links than this may be a link list, and waits for the owner.
_LINKS = 20
_LENGTH = 10_000


class Rules(Struct, frozen=True):
    """The content of ``rules.json``.

    ``trust`` and ``block`` are author URLs or host names, ``refused`` the digests of mentions that
    the owner deleted, ``other`` the keys the bridge does not know. ``broken`` says why the file is
    invalid; ``""`` if it is valid.
    """

    trust: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    other: tuple[tuple[str, Any], ...] = ()
    broken: str = ""

    @classmethod
    def read(cls, data: bytes | None) -> Rules:
        """Parse the file, which the owner may have edited by hand."""
        if data is None:
            return cls()
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError) as error:
            return cls(broken=f"it is not JSON: {error}")
        if not isinstance(parsed, dict):
            return cls(broken="it is not a JSON object")
        lists: dict[str, tuple[str, ...]] = {}
        for name in ("trust", "block", "refused"):
            values = parsed.pop(name, [])
            if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
                return cls(broken=f"{name!r} is not a list of texts")
            lists[name] = tuple(values)
        return cls(lists["trust"], lists["block"], lists["refused"], tuple(parsed.items()))

    def to_file(self) -> bytes:
        """The bytes of the file, unknown keys included."""
        content = dict(self.other)
        content |= {"trust": self.trust, "block": self.block, "refused": self.refused}
        return f"{json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True)}\n".encode()

    def with_added(self, *, trust: str = "", block: str = "", refused: Iterable[str] = ()) -> Rules:
        """The rules with these added. Trust removes a block of the same name, and the reverse."""
        new = self
        if trust:
            kept = tuple(each for each in new.block if not _same(each, trust))
            new = replace(new, trust=_appended(new.trust, trust), block=kept)
        if block:
            kept = tuple(each for each in new.trust if not _same(each, block))
            new = replace(new, block=_appended(new.block, block), trust=kept)
        for digest in refused:
            new = replace(new, refused=_appended(new.refused, digest))
        return new

    def without(self, names: Iterable[str]) -> Rules:
        """The rules without trust and blocks of these authors and hosts."""
        gone = frozenset(names)
        return replace(
            self,
            trust=tuple(each for each in self.trust if each not in gone),
            block=tuple(each for each in self.block if each not in gone),
        )

    def without_refused(self, digests: Iterable[str]) -> Rules:
        """The rules without these refused digests."""
        gone = frozenset(digests)
        return replace(self, refused=tuple(each for each in self.refused if each not in gone))

    def blocks(self, mention: Mention, source: str) -> bool:
        """Whether the mention's author or one of its hosts is blocked."""
        named = [source, mention.url, str(mention.entry["author"].get("url", ""))]
        return any(_covers_below(rule, url) for rule in self.block for url in named if url)

    def trusts(self, mention: Mention, source: str) -> bool:
        """Whether the mention's author or the source's host is trusted."""
        if mention.author_url and any(_covers(rule, mention.author_url) for rule in self.trust):
            return True
        # A host vouches only for its own pages, so the rule is compared with the source alone.
        return any("://" not in rule and _covers(rule, source) for rule in self.trust)


class Known(msgspec.Struct, frozen=True):
    """Authors (canonical URLs) that were approved before, and hosts that the site's posts
    link to.
    """

    authors: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def includes(self, mention: Mention, source: str) -> bool:
        """Whether the mention's author or the source's host is among these."""
        if mention.author_url and canonical(mention.author_url, frozenset()) in self.authors:
            return True
        host = next(iter(hosts(source)), "")
        return host in self.hosts and host not in SHARED


def decide(
    mention: Mention,
    source: str,
    approve: str,
    rules: Rules,
    known: Known,
    *,
    flood: bool,
    at: str = "",
) -> Decision:
    """Decide whether a verified mention is shown, waits for the owner, or is dropped.

    ``approve`` is the setting. ``flood``: its host has mentioned several posts lately. ``at``: the
    URL of the source after redirects; the rules apply to both hosts. While ``rules.json`` is
    invalid, nothing is shown without the owner's decision.
    """
    every = [source, at] if at else [source]
    if any(rules.blocks(mention, each) for each in every):
        return "drop"
    if at and hosts(source) & (SHARED - PROXIES) and not _is_below(source, mention.author_url):
        # On a shared host one user can name another as the author.
        mention = replace(mention, vouched=False)
    if approve == "none" or rules.broken:
        return "wait"
    if approve == "all" or all(rules.trusts(mention, each) for each in every):
        return "show"
    if mention.plain or mention.links > _LINKS or flood or not mention.vouched:
        return "wait"
    return "show" if known.includes(mention, source) else "wait"


def _is_below(source: str, author: str) -> bool:
    """Whether the source is below the author's URL on the same host (``/@bob/1`` in ``/@bob``)."""
    theirs = canonical(author, frozenset())
    return theirs.count("/") > 0 < len(theirs.partition("/")[2]) and canonical(
        source, frozenset()
    ).startswith(f"{theirs}/")


def _covers(rule: str, url: str) -> bool:
    """Whether a rule matches ``url``: a URL matches itself, a host name every URL on the host."""
    if "://" in rule:
        return _same(rule, url)
    return _host_of(rule) in hosts(url)


def _host_of(rule: str) -> str:
    return ascii_host(rule.strip().lower().rstrip("/"))


def _covers_below(rule: str, url: str) -> bool:
    """The same for a block, where a host name also matches every host below it."""
    below = f".{_host_of(rule)}"
    return _covers(rule, url) or any(host.endswith(below) for host in hosts(url))


def _same(one: str, other: str) -> bool:
    if "://" in one and "://" in other:
        return canonical(one, frozenset()) == canonical(other, frozenset())
    return one.strip().lower() == other.strip().lower()


def _appended(values: tuple[str, ...], value: str) -> tuple[str, ...]:
    return values if value in values else (*values, value)[-_LENGTH:]
