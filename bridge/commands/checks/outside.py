"""The checks over HTTP: the bridge behind its proxy, and the live home page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp

from bridge.commands.checks import Finding, address_of
from bridge.commands.checks.home_page import check_home_page
from bridge.commands.checks.http_requests import HttpAnswer, ask
from bridge.runtime.command_name import command, doc
from bridge.settings import Settings
from bridge.settings_file import LOOPBACK

#: An invalid token, to see whether it arrives.
_PROBE = "check-" + "0" * 24
#: A body that proxies reject by default (over a megabyte), but a photo may be that large.
_PHOTO = 4_000_000


async def check_outside(settings: Settings) -> AsyncIterator[Finding]:
    """Check, as an app would, the bridge, then the home page, then the endpoints that it names."""
    async with aiohttp.ClientSession() as session:
        base = address_of(settings)
        yield _check_scheme(base)
        async for finding in _check_bridge(session, base, settings):
            yield finding
        async for finding in check_home_page(session, base, settings):
            yield finding
        if settings.auth.token_endpoint:
            yield await _check_token_endpoint(session, settings.auth.token_endpoint)


def _check_scheme(base: str) -> Finding:
    parts = urlsplit(base)
    if parts.scheme == "https" or parts.hostname in LOOPBACK:
        return Finding("public_url", base)
    return Finding(
        "public_url",
        f"{base} is not https: tokens can be intercepted",
        "Put a proxy with TLS in front of it.",
    )


async def _check_bridge(
    session: aiohttp.ClientSession, base: str, settings: Settings
) -> AsyncIterator[Finding]:
    health = await ask(session, f"{base}healthz")
    if health.json.get("status") != "ok":
        remedy = f"Start it (`{command()} serve`), and make your proxy forward to it."
        yield Finding("bridge", f"{base} {health.words}", health.remedy or remedy)
        return
    yield Finding("bridge", f"{base} answers")
    yield _check_header(await ask(session, f"{base}micropub", token=_PROBE))
    photo = bytes(min(_PHOTO, settings.media.max_bytes))
    yield _check_size(await ask(session, f"{base}media", token=_PROBE, data=photo), settings)


def _check_header(answer: HttpAnswer) -> Finding:
    error = answer.json.get("error")
    if error == "invalid_token":
        return Finding("Authorization header", "it arrives, and an invalid token is rejected")
    if error == "unauthorized":
        return Finding(
            "Authorization header",
            "it does not arrive: something in front of the bridge removes it",
            f"Have your proxy pass it on: see {doc('proxies.md')}.",
        )
    response = f"{answer.words} {error or ''}".rstrip()
    return Finding(
        "Authorization header",
        f"an invalid token is not rejected as it should be: the bridge {response}",
        "See the bridge's log: its token endpoint may not answer.",
    )


def _check_size(answer: HttpAnswer, settings: Settings) -> Finding:
    """Check that a photo-sized body arrives: the bridge rejects it with JSON, a proxy does not."""
    if answer.json.get("error"):
        return Finding("uploads", "a body of the size of a photo arrives")
    return Finding(
        "uploads",
        "a body of the size of a photo does not arrive: something in front of the bridge"
        f" {answer.words}",
        f"Have your proxy let bodies of {settings.media.max_bytes} bytes through"
        f" ({doc('proxies.md')}).",
    )


async def _check_token_endpoint(session: aiohttp.ClientSession, url: str) -> Finding:
    answer = await ask(session, url, token=_PROBE)
    if answer.status in {400, 401, 403}:
        return Finding(
            "token endpoint",
            f"{url} rejects an invalid token; whether it checks `me` cannot be tested from here",
            "Prefer [auth] introspection_endpoint, or [indieauth] enabled = true.",
            broken=False,
        )
    return Finding(
        "token endpoint",
        f"{url} {answer.words}, where it should reject an invalid token",
        "See [auth] token_endpoint.",
    )
