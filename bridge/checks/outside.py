"""What only shows from outside: the live home page, the endpoints, and the proxy in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from bridge.auth.links import header_links, html_links
from bridge.checks import Finding
from bridge.settings import Settings
from bridge.settings_file import LOOPBACK

_SECONDS = 10
#: No token of anybody's: only to see where it arrives.
_PROBE = "check-" + "0" * 24


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back; ``status`` 0 and the reason in ``text`` where nothing did."""

    status: int
    text: str
    headers: dict[str, list[str]] = field(default_factory=dict)
    url: str = ""

    def json(self) -> dict[str, object]:
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


async def check_outside(settings: Settings) -> AsyncIterator[Finding]:
    """As an app would: the home page, then whatever it names."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        base = settings.server.public_url or f"http://127.0.0.1:{settings.server.port}/"
        base = base.rstrip("/") + "/"
        yield _check_scheme(base)
        for finding in await _check_bridge(session, base):
            yield finding
        for finding in await _check_home(session, base, settings):
            yield finding
        if settings.indieauth.enabled:
            yield await _check_metadata(session, base)
        elif settings.auth.token_endpoint:
            yield await _check_token_endpoint(session, settings.auth.token_endpoint)


def _check_scheme(base: str) -> Finding:
    parts = urlsplit(base)
    if parts.scheme == "https" or parts.hostname in LOOPBACK:
        return Finding("public_url", base)
    return Finding(
        "public_url", f"{base} is not https: tokens can be read on the way", "Put TLS before it."
    )


async def _get(session: aiohttp.ClientSession, url: str, **headers: str) -> _Answer:
    try:
        async with session.get(url, headers=headers) as response:
            raw = await response.content.read(1_000_000)
            named = {name: response.headers.getall(name) for name in response.headers}
            return _Answer(
                response.status, raw.decode("utf-8", "replace"), named, str(response.url)
            )
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return _Answer(0, str(error) or type(error).__name__)


async def _check_bridge(session: aiohttp.ClientSession, base: str) -> list[Finding]:
    health = await _get(session, f"{base}healthz")
    if health.json().get("status") != "ok":
        what = f"answers {health.status}" if health.status else f"cannot be reached: {health.text}"
        remedy = "Start it (`micropub-bridge serve`), and see that your proxy leads there."
        return [Finding("bridge", f"{base} {what}", remedy)]
    found = [Finding("bridge", f"{base} answers")]
    asked = await _get(session, f"{base}micropub", Authorization=f"Bearer {_PROBE}")
    error = asked.json().get("error")
    if error == "unauthorized":
        found.append(
            Finding(
                "Authorization header",
                "it does not arrive: something before the bridge takes it away",
                "Have your proxy pass it on: docs/proxies.md shows how for each.",
            )
        )
    elif error == "invalid_token":
        found.append(Finding("Authorization header", "it arrives, and a false token is refused"))
    else:
        found.append(
            Finding(
                "Authorization header",
                f"a false token is answered with {asked.status} {error or ''}".rstrip(),
                "See the bridge's log: its token endpoint may not answer.",
            )
        )
    return found


async def _check_home(
    session: aiohttp.ClientSession, base: str, settings: Settings
) -> list[Finding]:
    me = settings.site.me
    page = await _get(session, me, Accept="text/html")
    if page.status != 200:
        what = f"answers {page.status}" if page.status else f"cannot be reached: {page.text}"
        return [Finding("home page", f"{me} {what}", "Publish your site there first.")]
    return list(_check_links(page, base, settings))


def _check_links(page: _Answer, base: str, settings: Settings) -> Iterator[Finding]:
    """Each link against what the settings say that it must be."""
    wanted = {"micropub": f"{base}micropub"}
    if settings.indieauth.enabled:
        wanted |= {"authorization_endpoint": f"{base}auth", "token_endpoint": f"{base}token"}
    elif settings.auth.token_endpoint:
        wanted["token_endpoint"] = settings.auth.token_endpoint
    for rel in dict.fromkeys([*wanted, "authorization_endpoint", "token_endpoint"]):
        link_headers = page.headers.get("Link", [])
        found = header_links(link_headers, page.url, rel) + html_links(
            page.text.encode(), page.url, rel
        )
        right = wanted.get(rel, found[0] if found else "")
        if found and set(found) == {right}:
            yield Finding(f"rel={rel}", right)
        elif not found:
            yield Finding(
                f"rel={rel}",
                "the live home page has no such link",
                f"Set INDIEAUTH_BRIDGE = {base!r} in your Pelican settings, build and publish.",
            )
        else:
            yield Finding(
                f"rel={rel}",
                f"the live home page says {', '.join(dict.fromkeys(found))}, not {right}",
                "Make your Pelican settings and bridge.toml agree, build and publish.",
            )


async def _check_metadata(session: aiohttp.ClientSession, base: str) -> Finding:
    url = f"{base}.well-known/oauth-authorization-server"
    answer = await _get(session, url, Accept="application/json")
    if answer.json().get("issuer") == base:
        return Finding("IndieAuth metadata", f"{url} names {base} as issuer")
    return Finding(
        "IndieAuth metadata",
        f"{url} answers {answer.status}, issuer {answer.json().get('issuer')!r}",
        f"Lead /.well-known/ to the bridge, too; [server] public_url must be {base!r}.",
    )


async def _check_token_endpoint(session: aiohttp.ClientSession, url: str) -> Finding:
    answer = await _get(session, url, Authorization=f"Bearer {_PROBE}", Accept="application/json")
    if answer.status in {400, 401, 403}:
        return Finding(
            "token endpoint",
            f"{url} refuses a false token; whether it checks `me` cannot be seen from here",
            "Prefer [auth] introspection_endpoint, or [indieauth] enabled = true.",
            broken=False,
        )
    what = f"answers a false token with {answer.status}" if answer.status else answer.text
    return Finding("token endpoint", f"{url} {what}", "See [auth] token_endpoint.")
