"""Checks of webmention requests before anything is fetched: what Webmention 3.2.1 rejects, and rate
limits.
"""

from __future__ import annotations

import re

from msgspec import Struct, field

from bridge.errors import InvalidRequest, TooManyRequests
from bridge.http.limits import Limiter
from bridge.net.address_guard import may_connect
from bridge.net.web_url import BadURL, parse
from bridge.posts.urls import canonical, hosts, one_spelling
from bridge.webmention.incoming.inbox import id_of
from bridge.webmention.mention import domain_of, web_url
from bridge.webmention.targets import Targets

_URL_LENGTH = 2000
#: Characters that must be percent-encoded in every part of a URL (RFC 3986 2).
_UNENCODED = re.compile(r"[\s<>\"\\`{|}^]")

#: The same for an unknown URL and for a draft, so that drafts cannot be detected.
UNKNOWN_TARGET = "'target' is not a page of this site that accepts webmentions."


class OwnerUrls(Struct, frozen=True):
    """The URLs of the owner: the site, and their accounts elsewhere."""

    accounts: frozenset[str] = frozenset()
    bridge: frozenset[str] = frozenset()
    on_loopback: bool = False

    def is_them(self, url: str) -> bool:
        """Whether ``url`` is one of the owner's accounts."""
        return bool(url) and canonical(url, frozenset()) in self.accounts


class ClaimLimits(Struct):
    """Rate limits per client address, per source host, per registered domain of the source, and
    per pair of source and target."""

    requests: Limiter = field(default_factory=lambda: Limiter(each=300, overall=None, seconds=600))
    clients: Limiter = field(default_factory=lambda: Limiter(each=30, overall=None, seconds=600))
    sources: Limiter = field(default_factory=lambda: Limiter(each=60, overall=None, seconds=3600))
    domains: Limiter = field(default_factory=lambda: Limiter(each=120, overall=None, seconds=3600))
    pairs: Limiter = field(default_factory=lambda: Limiter(each=3, overall=None, seconds=30))


class RequestChecks:
    """Validates webmention requests; fetches nothing."""

    def __init__(
        self, targets: Targets, owner: OwnerUrls, limits: ClaimLimits | None = None
    ) -> None:
        self._targets = targets
        self._owner = owner
        self.limits = limits or ClaimLimits()

    async def check(self, source: str, target: str, client: str) -> None:
        """Validate one request. ``client`` is the sender's IP address.

        Raises :class:`InvalidRequest` where the specification rejects the request (3.2.1),
        :class:`TooManyRequests`, and what :meth:`Targets.find` raises.
        """
        _count(self.limits.requests, client)
        where = self._checked_source(source)
        _check_target(target)
        # 3.2.1: "The receiver MUST reject the request if the source URL is the same as the target
        # URL."
        if source.partition("#")[0] == target.partition("#")[0]:
            raise InvalidRequest("'source' and 'target' are the same.")
        # "The receiver SHOULD check that target is a valid resource for which it can accept
        # Webmentions. This check SHOULD happen synchronously." A draft is as unknown as anything.
        if await self._targets.find(target) is None:
            raise InvalidRequest(UNKNOWN_TARGET)
        if where & (self._targets.own | self._owner.bridge):
            raise InvalidRequest("'source' is on this site. Send a page of another site.")
        _count(self.limits.pairs, id_of(one_spelling(source), target))
        host = next(iter(where))
        _count(self.limits.domains, domain_of(host))
        _count(self.limits.sources, host)
        _count(self.limits.clients, client)

    def _checked_source(self, source: str) -> frozenset[str]:
        """The host names of a source. Raises :class:`InvalidRequest` for one that cannot be
        fetched.
        """
        if len(source) > _URL_LENGTH:
            raise InvalidRequest(f"'source' is longer than {_URL_LENGTH:,} characters.")
        try:
            if not source.isprintable() or _UNENCODED.search(source):
                raise BadURL("it contains characters that must be percent-encoded")
            url = parse(source.partition("#")[0])
        except BadURL as error:
            raise InvalidRequest(f"'source' cannot be used: {error}.") from error
        if url.is_loopback and self._owner.on_loopback:
            return hosts(str(url))
        # 4.3: "the receiver SHOULD NOT" fetch addresses of its own machine or network.
        if url.is_loopback or (url.is_address and not _is_public(url.host)):
            raise InvalidRequest("'source' is not on the public Internet.")
        return hosts(str(url))


def _check_target(target: str) -> None:
    """Raises :class:`InvalidRequest` for a target that cannot be the URL of a page."""
    if len(target) > _URL_LENGTH or not web_url(target):
        raise InvalidRequest("'target' is not an http(s) URL of a page of this site.")
    try:
        url = parse(target.partition("#")[0])
        if url.host.endswith("."):
            raise BadURL("its host ends with a dot")
    except BadURL as error:
        raise InvalidRequest(f"'target' cannot be used: {error}.") from error


def _count(limiter: Limiter, who: str) -> None:
    """Count an attempt of ``who``. Raises :class:`TooManyRequests`."""
    try:
        limiter.attempt(who)
    except TooManyRequests as error:
        raise TooManyRequests(
            f"Too many webmentions from there. {error}", retry_after=error.retry_after
        ) from error


def _is_public(host: str) -> bool:
    try:
        return may_connect(host.strip("[]"))
    except ValueError:
        return False
