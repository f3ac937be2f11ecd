"""Discovers the token endpoint from the site's home page, where the settings name none.

Done at start, and again at the first request if the site could not be reached. Nothing in a request
influences it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time

import aiohttp
from msgspec import Struct
from multidict import CIMultiDictProxy

from bridge.auth.endpoint import IntrospectionVerifier, TokenEndpointVerifier
from bridge.auth.token import Token, TokenVerifier
from bridge.errors import Unavailable
from bridge.net.fetch import read_bounded
from bridge.net.link_rels import header_links, html_links
from bridge.net.web_url import BadURL, parse

_log = logging.getLogger(__name__)

_SECONDS = 10.0
_MAX_BYTES = 1024 * 1024
_RETRY_SECONDS = 30.0


class Endpoints(Struct, frozen=True):
    """The endpoints that a home page advertises; ``None`` for each that it does not."""

    token: str | None = None
    introspection: str | None = None


class DiscoveryError(Exception):
    """The home page could not be read, or an advertised endpoint is unusable; the text says why."""


async def discover(session: aiohttp.ClientSession, me: str) -> Endpoints:
    """Discover the endpoints of ``me`` (IndieAuth 4.1), from the metadata or else the older ``rel``
    links.

    Raises :class:`DiscoveryError`.
    """
    url, headers, body = await _get(session, me, "text/html")
    links, content_type = headers.getall("Link", []), headers.get("Content-Type", "")

    def first(rel: str) -> str | None:
        found = header_links(links, url, rel)
        found = found or html_links(body, url, rel, content_type=content_type)
        return found[0] if found else None

    token = first("token_endpoint")
    metadata_url = first("indieauth-metadata")
    if metadata_url is None:
        return Endpoints(token=_usable(token))
    metadata = await _metadata(session, metadata_url)
    return Endpoints(
        token=_usable(metadata.get("token_endpoint") or token),
        introspection=_usable(metadata.get("introspection_endpoint")),
    )


async def _metadata(session: aiohttp.ClientSession, url: str) -> dict[str, object]:
    found_at, _, body = await _get(session, url, "application/json")
    try:
        metadata = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DiscoveryError(f"{url} is not JSON") from error
    issuer = metadata.get("issuer") if isinstance(metadata, dict) else None
    # 4.1.1: the issuer "MUST be a prefix of the indieauth-metadata URL".
    if not isinstance(issuer, str) or not found_at.startswith(issuer):
        raise DiscoveryError(f"the issuer in {url} is not a prefix of that URL")
    return dict(metadata)


async def _get(
    session: aiohttp.ClientSession, url: str, accept: str
) -> tuple[str, CIMultiDictProxy[str], bytes]:
    """Fetch a page: its URL after redirects, headers and body."""
    try:
        _refuse_open(url)
        async with (
            asyncio.timeout(_SECONDS),
            session.get(url, headers={"Accept": accept}, max_redirects=5) as response,
        ):
            for hop in (*response.history, response):
                _refuse_open(str(hop.url.with_fragment(None)))
            if response.status != 200:
                raise DiscoveryError(f"{url} answered {response.status}")
            body, is_longer = await read_bounded(response, _MAX_BYTES)
            if is_longer:
                raise DiscoveryError(f"{url} is longer than {_MAX_BYTES} bytes")
            return str(response.url), response.headers, body
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise DiscoveryError(f"{url} cannot be reached") from error


def _usable(url: object) -> str | None:
    if not url:
        return None
    try:
        endpoint = str(parse(url)) if isinstance(url, str) else None
    except BadURL as error:
        raise DiscoveryError(f"the advertised endpoint {url!r} cannot be used: {error}") from error
    if endpoint is not None:
        _refuse_open(endpoint)
    return endpoint


def _refuse_open(url: str) -> None:
    """Reject plain http except on loopback: someone on the network could change the response,
    and the endpoint in it decides which tokens are valid.
    """
    if not url.startswith("https:") and not parse(url).is_loopback:
        raise DiscoveryError(
            f"{url} is not https: someone on the network could take over who may post."
            " Set [auth] token_endpoint, or serve the site by https"
        )


class DiscoveredVerifier:
    """A :class:`bridge.auth.token.TokenVerifier` that uses the discovered endpoint."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        me: str,
        *,
        auth: str,
    ) -> None:
        self._session = session
        self._me = me
        self._auth = auth
        self._found: TokenVerifier | None = None
        self._failed = float("-inf")
        self._lock = asyncio.Lock()

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Verify a token at the discovered endpoint. Raises :class:`Unavailable` while there
        is none.
        """
        verifier = self._found or await self.look()
        if verifier is None:
            raise Unavailable(
                "The token endpoint is not known: the site's home page does not name one."
            )
        return await verifier.verify(token, fresh=fresh)

    async def look(self) -> TokenVerifier | None:
        """Discover the endpoints and log the result; skipped shortly after a failure."""
        async with self._lock:
            if self._found is None and time.monotonic() - self._failed > _RETRY_SECONDS:
                try:
                    self._found = self._choose(await discover(self._session, self._me))
                except DiscoveryError as error:
                    self._failed = time.monotonic()
                    _log.warning("no token can be verified: %s", error)
            return self._found

    def _choose(self, endpoints: Endpoints) -> TokenVerifier:
        # Introspection needs credentials that no page can advertise. Without configured ones the
        # token endpoint is preferred, which needs none.
        if endpoints.introspection and (self._auth != "none" or not endpoints.token):
            _log.info("tokens are verified by introspection at %s", endpoints.introspection)
            return IntrospectionVerifier(self._session, endpoints.introspection, auth=self._auth)
        if endpoints.token:
            _log.info("tokens are verified at the token endpoint %s", endpoints.token)
            return TokenEndpointVerifier(self._session, endpoints.token)
        raise DiscoveryError(
            f"{self._me} advertises no token endpoint. Set [auth] token_endpoint, or switch the "
            "built-in server on: [indieauth] enabled = true"
        )
