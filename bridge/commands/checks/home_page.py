"""Checks the endpoints that the live home page advertises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
from yarl import URL

from bridge.commands.checks import Finding
from bridge.commands.checks.http_requests import HttpAnswer, ask
from bridge.net.link_rels import header_links, html_links
from bridge.runtime import private
from bridge.runtime.command_name import doc
from bridge.settings import Settings

_ENDPOINTS = ("authorization_endpoint", "token_endpoint")
_METADATA = ".well-known/oauth-authorization-server"


async def check_home_page(
    session: aiohttp.ClientSession, base: str, settings: Settings
) -> AsyncIterator[Finding]:
    """Compare each link with the settings, and the metadata with the links."""
    me = settings.site.me
    page = await ask(session, me, accept="text/html")
    if page.status != 200:
        yield Finding("home page", f"{me} {page.words}", page.remedy or _publishing(settings))
    else:
        if URL(page.url).origin() != URL(me).origin():
            yield Finding(
                "home page",
                f"{me} redirects to {page.url}",
                "If your site has moved there, set [site] me, and SITEURL in your Pelican settings,"
                " to its new URL. With http: in SITEURL, browsers block styles and scripts on"
                " https pages.",
                broken=False,
            )
        for finding in _check_links(page, base, settings):
            yield finding
        if settings.webmention.receive:
            yield await _check_webmention(session, page, base, settings)
    own = [f"{base}{_METADATA}"] if settings.indieauth.enabled else []
    # Clients that support metadata use nothing else, and several fail if it is missing.
    for url in _links(page, "indieauth-metadata") or own:
        yield _check_metadata(url, await ask(session, url), base, settings)


def _publishing(settings: Settings) -> str:
    """What to do where there is no home page."""
    remedy = "Publish your site there first."
    output = Path(settings.rebuild.output)
    builds_here = settings.rebuild.mode in {"resident", "command"} and settings.rebuild.output
    if not builds_here or not output.is_dir():
        return remedy
    index = output / "index.html"
    closed = private.closed_to_others(index if index.is_file() else output)
    if closed is None:
        return remedy
    if closed.is_relative_to(output):
        opens = f"chmod -R o+rX {output}, and start the bridge with umask 022"
    else:
        opens = f"chmod o+x {closed}, or set [rebuild] output to a folder elsewhere"
    return (
        f"{remedy} The bridge builds it into {output}; a web server that runs as another user"
        f" cannot read that, since {closed} is closed to other users: {opens}."
    )


def _check_links(page: HttpAnswer, base: str, settings: Settings) -> Iterator[Finding]:
    expected = {"micropub": f"{base}micropub"}
    if settings.indieauth.enabled:
        expected |= {"authorization_endpoint": f"{base}auth", "token_endpoint": f"{base}token"}
    elif settings.auth.token_endpoint:
        expected["token_endpoint"] = settings.auth.token_endpoint
    for rel in ("micropub", *_ENDPOINTS):
        yield _check_link(rel, _links(page, rel), expected.get(rel), base)


def _check_link(rel: str, found: list[str], right: str | None, base: str) -> Finding:
    """``right`` is ``None`` where any URL but the bridge's own is correct."""
    if not found:
        return Finding(
            f"rel={rel}",
            "the live home page has no such link",
            f'Set INDIEAUTH_BRIDGE = "{base}" in your Pelican settings, build and publish.',
        )
    listed = ", ".join(found)
    if right is None and not any(url.startswith(base) for url in found):
        return Finding(f"rel={rel}", listed)
    if found == [right]:
        return Finding(f"rel={rel}", listed)
    but = f"not {right}" if right else "but the built-in server is off"
    return Finding(
        f"rel={rel}",
        f"the live home page links to {listed}, {but}",
        "Make your Pelican settings and bridge.toml agree, build and publish.",
    )


async def _check_webmention(
    session: aiohttp.ClientSession, page: HttpAnswer, base: str, settings: Settings
) -> Finding:
    """Check that a webmention would arrive: sends one that the bridge must reject (a page
    that mentions itself, Webmention 3.2.1) to the advertised endpoint.
    """
    right = f"{base}webmention"
    found = _links(page, "webmention")
    if not found:
        return Finding(
            "webmentions",
            "the live home page does not name an endpoint, so none can be sent",
            f'Set INDIEAUTH_WEBMENTION = "{right}" in your Pelican settings, build and publish; or'
            " [webmention] receive = false.",
            broken=False,
        )
    if found != [right]:
        return Finding(
            "webmentions",
            f"the live home page links to {', '.join(found)}, not {right}",
            "Make your Pelican settings and bridge.toml agree, build and publish.",
        )
    me = settings.site.me
    answer = await ask(session, right, form={"source": me, "target": me})
    if answer.status == 400 and "same" in str(answer.json.get("error_description")):
        return Finding("webmentions", f"webmentions for {me} arrive at {right}")
    if not answer.status or answer.status >= 500:
        # That the bridge does not answer is reported by another check.
        return Finding(
            "webmentions",
            f"{right} {answer.words}",
            "See the finding about the bridge.",
            broken=False,
        )
    return Finding(
        "webmentions",
        f"{right} {answer.words}, where it should refuse a page that mentions itself",
        f"Have your proxy forward /webmention to the bridge, too ({doc('proxies.md')}).",
    )


def _links(page: HttpAnswer, rel: str) -> list[str]:
    """The distinct URLs with this relation in the page's headers and head."""
    if page.status != 200:
        return []
    named = header_links(page.links, page.url, rel)
    linked = html_links(page.body, page.url, rel, content_type=page.content_type)
    return list(dict.fromkeys([*named, *linked]))


def _check_metadata(url: str, answer: HttpAnswer, base: str, settings: Settings) -> Finding:
    """Check the issuer, which apps compare with ``iss`` in responses (IndieAuth 4.1.1)."""
    issuer = answer.json.get("issuer")
    if answer.status != 200 or not isinstance(issuer, str):
        return Finding(
            "IndieAuth metadata",
            f"{url} {answer.words}" + (", but no metadata" if answer.status == 200 else ""),
            answer.remedy
            or "Have your proxy forward /.well-known/ to the bridge, or remove INDIEAUTH_METADATA.",
        )
    if not url.startswith(issuer) or (settings.indieauth.enabled and issuer != base):
        return Finding(
            "IndieAuth metadata",
            f"{url} names {issuer} as issuer",
            f"Set INDIEAUTH_BRIDGE and [server] public_url to the same URL: {base}",
        )
    return Finding("IndieAuth metadata", f"{url} names {issuer} as issuer")
