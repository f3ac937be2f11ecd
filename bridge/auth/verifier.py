"""Makes the token verifier that ``[auth]`` and ``[indieauth]`` describe."""

from __future__ import annotations

import aiohttp

from bridge.auth.cache import CachingVerifier
from bridge.auth.discovery import DiscoveredVerifier
from bridge.auth.endpoint import IntrospectionVerifier, TokenEndpointVerifier
from bridge.auth.token import TokenVerifier, is_me, profile_url
from bridge.net.web_url import BadURL, parse
from bridge.settings import Settings, SettingsError


async def make_verifier(
    settings: Settings, session: aiohttp.ClientSession, builtin: TokenVerifier | None
) -> TokenVerifier:
    """The verifier for these settings; the endpoint is discovered where they name none.

    ``session`` should store no cookies (``aiohttp.DummyCookieJar``). ``builtin`` is the built-in
    server's verifier, which needs no cache. Raises :class:`SettingsError`.
    """
    check_site(settings)
    auth = settings.auth
    remote: TokenVerifier
    if builtin is not None:
        _refuse_both(settings)
        return builtin
    if auth.introspection_endpoint:
        _check_url("introspection_endpoint", auth.introspection_endpoint)
        try:
            remote = IntrospectionVerifier(
                session, auth.introspection_endpoint, auth=auth.introspection_auth
            )
        except ValueError as error:
            raise SettingsError(
                "settings", "auth.introspection_auth", "its value is invalid", f"{error}"
            ) from error
    elif auth.token_endpoint:
        _check_url("token_endpoint", auth.token_endpoint)
        remote = TokenEndpointVerifier(session, auth.token_endpoint)
    else:
        remote = DiscoveredVerifier(session, settings.site.me, auth=auth.introspection_auth)
        await remote.look()
    names = (settings.site.me, *settings.site.aliases)
    return CachingVerifier(
        remote, auth.cache_seconds, is_owners=lambda token: is_me(token.me, *names)
    )


def check_site(settings: Settings) -> None:
    """Raise :class:`SettingsError` where ``me`` or an alias is not a valid profile URL."""
    remedy = "Write your home page's URL, such as 'https://example.com/'"
    try:
        profile_url(settings.site.me)
    except BadURL as error:
        problem = f"{settings.site.me!r} is not a profile URL: {error}"
        raise SettingsError("settings", "site.me", problem, remedy) from error
    for alias in settings.site.aliases:
        try:
            parse(alias)
        except BadURL as error:
            problem = f"{alias!r} cannot be used: {error}"
            raise SettingsError("settings", "site.aliases", problem, remedy) from error


def _check_url(key: str, value: str) -> None:
    try:
        parse(value)
    except BadURL as error:
        raise SettingsError(
            "settings",
            f"auth.{key}",
            f"{value!r} cannot be used: {error}",
            "Write its full URL",
        ) from error


def _refuse_both(settings: Settings) -> None:
    """Raise :class:`SettingsError` where the settings name an endpoint and the built-in
    server is on.
    """
    own = settings.server.public_url.rstrip("/")
    for key, value, path in [
        ("auth.token_endpoint", settings.auth.token_endpoint, "/token"),
        ("auth.introspection_endpoint", settings.auth.introspection_endpoint, "/introspect"),
    ]:
        if value and value != own + path:
            raise SettingsError(
                "settings",
                key,
                f"{value!r} is set, and the built-in server is on",
                "Remove this key, or set [indieauth] enabled = false",
            )
