"""Discovering the endpoints on the site's home page, and choosing a verifier by the settings."""

from __future__ import annotations

import codecs
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from indieauth_kit import client_site, listening

from bridge.auth.cache import CachingVerifier
from bridge.auth.discovery import DiscoveredVerifier, DiscoveryError, Endpoints, discover
from bridge.auth.token import Token
from bridge.auth.verifier import make_verifier
from bridge.errors import InvalidToken, Unavailable
from bridge.net.link_rels import header_links, html_links
from bridge.settings import Auth, Server, Settings, SettingsError, Site

GOOD = '{"active": true, "me": "https://me.example/", "scope": "create"}'


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


def home(head: str = "", body: str = "", **headers: str) -> web.Response:
    text = f"<!doctype html><html><head><title>x</title>{head}</head><body>{body}</body></html>"
    return web.Response(text=text, content_type="text/html", headers=headers)


async def test_the_older_link_in_the_head(session: aiohttp.ClientSession) -> None:
    page = home('<link rel="token_endpoint" href="/token">')
    async with client_site({"/": page}) as base:
        assert await discover(session, f"{base}/") == Endpoints(token=f"{base}/token")


async def test_a_link_header_goes_first(session: aiohttp.ClientSession) -> None:
    page = home('<link rel="token_endpoint" href="/html">', Link='</header>; rel="token_endpoint"')
    async with client_site({"/": page}) as base:
        assert (await discover(session, f"{base}/")).token == f"{base}/header"


async def test_metadata_gives_both_endpoints(session: aiohttp.ClientSession) -> None:
    app = web.Application()

    async def metadata(request: web.Request) -> web.Response:
        base = str(request.url.origin())
        return web.json_response(
            {
                "issuer": f"{base}/",
                "token_endpoint": f"{base}/t",
                "introspection_endpoint": f"{base}/i",
            }
        )

    async def front(_: web.Request) -> web.Response:
        return home('<link rel="indieauth-metadata" href="/meta">')

    app.router.add_get("/meta", metadata)
    app.router.add_get("/", front)
    async with listening(app) as base:
        assert await discover(session, f"{base}/") == Endpoints(f"{base}/t", f"{base}/i")


@pytest.mark.parametrize(
    "metadata",
    ['{"issuer": "https://evil.example/"}', "{}", "[]", "<html>", '{"issuer": 1}', ""],
)
async def test_metadata_of_someone_else_is_refused(
    session: aiohttp.ClientSession, metadata: str
) -> None:
    pages: dict[str, web.Response | str] = {
        "/": home('<link rel="indieauth-metadata" href="/meta">'),
        "/meta": metadata,
    }
    async with client_site(pages) as base:
        with pytest.raises(DiscoveryError):
            await discover(session, f"{base}/")


@pytest.mark.parametrize(
    "body",
    [
        '<link rel="token_endpoint" href="https://evil.example/">',
        '<a rel="token_endpoint" href="https://evil.example/">x</a>',
        '<!-- <link rel="token_endpoint" href="https://evil.example/"> -->',
        '<textarea><link rel="token_endpoint" href="https://evil.example/"></textarea>',
        '</body></html><link rel="token_endpoint" href="https://evil.example/">',
    ],
)
async def test_what_the_body_quotes_does_not_count(
    session: aiohttp.ClientSession, body: str
) -> None:
    async with client_site({"/": home(body=body)}) as base:
        assert await discover(session, f"{base}/") == Endpoints()


@pytest.mark.parametrize("href", ["javascript:alert(1)", "file:///etc/passwd", "http://u:p@a.b/"])
async def test_an_endpoint_that_is_no_web_address_is_an_error(
    session: aiohttp.ClientSession, href: str
) -> None:
    async with client_site({"/": home(f'<link rel="token_endpoint" href="{href}">')}) as base:
        with pytest.raises(DiscoveryError):
            await discover(session, f"{base}/")


def test_links_in_many_words() -> None:
    html = b"""<head><base href="https://b.example/x/">
      <link rel="me Token_Endpoint other" href=" t "><link rel=token_endpoint2 href=u></head>"""
    assert html_links(html, "https://a.example/", "token_endpoint") == ["https://b.example/x/t"]
    headers = [
        '<https://a.example/1>; rel=first, </2>; title="a, b; rel=no"; rel="second third"',
        "<broken; rel=first",
    ]
    assert header_links(headers, "https://a.example/", "first") == ["https://a.example/1"]
    assert header_links(headers, "https://a.example/", "third") == ["https://a.example/2"]
    assert header_links(headers, "https://a.example/", "no") == []


@pytest.mark.parametrize(
    "html",
    [
        "<link rel=x href=/a>",
        "<!doctype html>\n<html lang=en>\n <head>\n<LINK HREF='/a' REL=X>",
        "<head><meta charset=utf-8><title>&lt;link></title><link rel=x href=/a></head><body>",
        "<head><style>p {}</style><script>'<p>'</script><link rel='y x' href=/a /></head>",
        "<head></head><link rel=x href=/a><body><link rel=x href=/b>",
        "<title><link rel=x href=/b></title><link rel=x href=/a>",
        "<noscript><link rel=x href=/b></noscript><template><link rel=x href=/b></template>"
        "<link rel=x href=/a>",
        "<!-- <link rel=x href=/b> --><link rel=x href=/a><link rel=xy href=/b>Hello"
        "<link rel=x href=/b>",
        "<link rel=x href=/a rel=y href=/b>",
        "<link rel=x href='http://['><link rel=x href=/a>",
        "<link rel=x href=/a><![<![ ]]><link rel=x href=/b>",
        "\ufeff<!doctype html><html><head><link rel=x href=/a>",
        "<template><template></template><link rel=x href=/b></template><link rel=x href=/a>",
        "<template/><link rel=x href=/b></template><link rel=x href=/a>",
        "<link rel=x href=/a></body><link rel=x href=/b>",
        "<link rel=x href=/a></html><link rel=x href=/b>",
        "<link rel=x href=/a>\xa0<link rel=x href=/b>",
        "<link rev=x href=/b><link rel=y rev=x href=/b><link rel=x href=/a>",
        "<link rel='x\xa0' href=/b><link rel='\ny\tx\f' href='\n/a\t'>",
        "<LINK REL=X HREF=/a><BODY><LINK REL=X HREF=/b>",
        "<html><head><title>x</title>\n\n<link rel=x\nhref=/a><div><link rel=x href=/b>",
    ],
)
def test_heads_as_they_are_written(html: str) -> None:
    assert html_links(html.encode(), "https://a.example/", "x") == ["https://a.example/a"]


PAGE = '<!doctype html><html><head>{}<link rel="x" href="/ä"></head><body>'


@pytest.mark.parametrize(
    ("page", "content_type"),
    [
        (codecs.BOM_UTF8 + PAGE.format("").encode(), ""),
        (codecs.BOM_UTF16_LE + PAGE.format("").encode("utf-16-le"), ""),
        (codecs.BOM_UTF16_BE + PAGE.format("").encode("utf-16-be"), "text/html; charset=utf-8"),
        (PAGE.format("").encode("utf-16-le"), "text/html;charset=UTF-16"),
        (PAGE.format("").encode("utf-16-be"), 'text/html; charset="utf-16be"'),
        (PAGE.format("").encode("latin-1"), "text/html; charset=ISO-8859-1"),
        (PAGE.format("<meta charset=windows-1252>").encode("cp1252"), "text/html"),
        (PAGE.format("<META CHARSET='Latin1'/>").encode("cp1252"), "text/html; charset=nonsense"),
        (
            PAGE.format(
                '<meta http-equiv=Content-Type content="text/html; charset=iso-8859-15">'
            ).encode("iso-8859-15"),
            "",
        ),
        (
            PAGE.format("<!-- <meta charset=utf-16> --><meta charset=gbk>")
            .replace("ä", "中")
            .encode("gbk"),
            "",
        ),
        (PAGE.format("<meta charset=utf-16>").encode(), ""),
        (PAGE.format("<meta charset=utf-7>").encode(), "text/html; charset=utf-7"),
        (PAGE.format("").encode(), "application/xhtml+xml"),
    ],
)
def test_pages_in_any_encoding(page: bytes, content_type: str) -> None:
    (found,) = html_links(page, "https://a.example/", "x", content_type=content_type)
    assert found in {"https://a.example/ä", "https://a.example/中"}


def test_an_encoding_declared_late_or_in_a_comment_is_ignored() -> None:
    late = f"<head><!--{' ' * 1024}--><meta charset=shift_jis><link rel=x href=/ä>"
    assert html_links(late.encode(), "https://a.example/", "x") == ["https://a.example/ä"]


@pytest.mark.parametrize("base", ["javascript:x", "data:text/html,x", "http://[", ""])
def test_an_invalid_base_is_ignored(base: str) -> None:
    page = f'<base href="{base}"><base href="https://b.example/"><link rel=x href=/a>'.encode()
    assert html_links(page, "https://a.example/", "x") == ["https://a.example/a"]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('</1>; rel="x"; anchor="https://other.example/"', []),
        ('</1>; anchor="https://other.example/"; rel="x"', []),
        ("</1>; rel=x; ANCHOR=https://other.example/", []),
        ('</1>; rel=x; anchor="#part"', []),
        ('</1>; rel=x; anchor="http://["', []),
        ('</1>; rel=x; anchor=""', ["/1"]),
        ('</1>; rel=x; anchor="https://a.example/"', ["/1"]),
        ('</1>; rel=x; anchor=""; anchor="https://other.example/"', ["/1"]),
        ('</1>; anchor="/other"; rel=x, </2>; rel=x', ["/2"]),
        ("</1>; rel=y; rel=x", []),
        ('</1>; rel="y  x\tz"', ["/1"]),
        ('</1>; REL="X"', ["/1"]),
        ('</1>; rev="x", </2>; rev=x; rel=y', []),
        ('</1>; title="</2>; rel=x, </3>; rel=x"; rel=y', []),
        (r'</1>; title="a \" , </2>; rel=x"; rel=x', ["/1"]),
        (r'</1>; title="a\\"; rel=x', ["/1"]),
        ('</1>; title="never closed; rel=x, </2>; rel=x', []),
        ("</1>; rel=y, ; rel=x", []),
        ("</1>; crossorigin; rel=x", ["/1"]),
        ("</1> ; rel = x ,</2>;rel=x", ["/1", "/2"]),
        ("</a,b;c>; rel=x", ["/a,b;c"]),
        ("< /1 >; rel=x", ["/1"]),
        ("</1>; rel*=UTF-8''x", []),
        ("rel=x; </1>", []),
    ],
)
def test_link_headers_as_they_are_written(header: str, found: list[str]) -> None:
    absolute = [f"https://a.example{path}" for path in found]
    assert header_links([header], "https://a.example/", "x") == absolute
    assert header_links(["</0>; rel=x", header], "https://a.example/", "x")[1:] == absolute


def test_a_hostile_link_header_is_read_once() -> None:
    begun = time.process_time()
    for hostile in ('"', "<a>;", ";a=", 'x="', '<a>;a="\\', ", ", "< ", ";  "):
        assert header_links([hostile * 100_000], "https://a.example/", "x") == []
    assert time.process_time() - begun < 20


async def test_a_site_that_is_down_at_start_fails_closed_and_is_asked_again(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    pages: dict[str, web.Response | str] = {"/": web.Response(status=503)}
    async with client_site(pages) as base:
        verifier = DiscoveredVerifier(session, f"{base}/", auth="none")
        with pytest.raises(Unavailable):
            await verifier.verify("abc")
        assert "no token can be verified" in caplog.text
        with pytest.raises(Unavailable):
            await verifier.verify("abc")


async def test_the_discovered_endpoint_is_used_and_shown(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pages: dict[str, web.Response | str] = {
        "/": home('<link rel="token_endpoint" href="/token">'),
        "/token": GOOD,
    }
    async with client_site(pages) as base:
        settings = Settings(site=Site(me=f"{base}/", repo=Path()))
        verifier = await make_verifier(settings, session, None)
        assert f"{base}/token" in caplog.text
        assert (await verifier.verify("abc")).scopes == {"create"}


async def test_the_error_for_a_site_without_endpoints_says_what_to_do(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_site() as base:
        settings = Settings(site=Site(me=f"{base}/", repo=Path()))
        await make_verifier(settings, session, None)
    assert "[auth] token_endpoint" in caplog.text


class Builtin:
    """Stands in for the built-in server's verifier."""

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        raise InvalidToken("no")


def settings_with(**sections: Any) -> Settings:
    site = Site(me="https://me.example/", repo=Path())
    return Settings(site=site, **sections)


async def test_configured_endpoints_are_taken_without_looking(
    session: aiohttp.ClientSession,
) -> None:
    for auth in (
        Auth(token_endpoint="https://tokens.example/token"),
        Auth(introspection_endpoint="https://tokens.example/introspect"),
    ):
        verifier = await make_verifier(settings_with(auth=auth), session, None)
        assert isinstance(verifier, CachingVerifier)


async def test_the_builtin_server_is_asked_directly(session: aiohttp.ClientSession) -> None:
    builtin = Builtin()
    assert await make_verifier(settings_with(), session, builtin) is builtin
    own = settings_with(
        auth=Auth(token_endpoint="https://bridge.example/token"),
        server=Server(public_url="https://bridge.example/"),
    )
    assert await make_verifier(own, session, builtin) is builtin


async def test_two_sources_of_truth_are_an_error(session: aiohttp.ClientSession) -> None:
    both = settings_with(auth=Auth(token_endpoint="https://tokens.example/token"))
    with pytest.raises(SettingsError, match="token_endpoint"):
        await make_verifier(both, session, Builtin())


@pytest.mark.parametrize("me", ["https://192.0.2.1/", "https://a.example:8443/", "a.example"])
async def test_an_invalid_me_is_an_error(session: aiohttp.ClientSession, me: str) -> None:
    with pytest.raises(SettingsError, match=r"site\.me"):
        await make_verifier(Settings(site=Site(me=me, repo=Path())), session, None)


class OnThisMachine(AbstractResolver):
    """Resolves every name to loopback."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = ResolveResult(
            hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        """Nothing to close."""


async def test_pages_fetched_without_tls_are_not_trusted() -> None:
    page = home('<link rel="token_endpoint" href="/token">')
    moved = web.Response(status=302)
    connector = aiohttp.TCPConnector(resolver=OnThisMachine())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        client_site({"/": page, "/moved": moved}) as base,
    ):
        open_site = base.replace("127.0.0.1", "me.example")
        moved.headers["Location"] = f"{open_site}/"
        for url in (f"{open_site}/", f"{base}/moved"):
            with pytest.raises(DiscoveryError, match="https"):
                await discover(session, url)


async def test_an_endpoint_without_encryption_is_not_used(session: aiohttp.ClientSession) -> None:
    page = home('<link rel="token_endpoint" href="http://tokens.example/token">')
    async with client_site({"/": page}) as base:
        with pytest.raises(DiscoveryError, match="https"):
            await discover(session, f"{base}/")


def test_a_reference_with_thousands_of_digits_does_not_hide_a_link() -> None:
    endless = b"&#" + b"1" * 5000 + b";"
    page = (
        b'<link rel=x href="/' + endless + b'"><title>' + endless + b"</title><link rel=x href=/b>"
    )
    found = html_links(page, "https://a.example/", "x")
    assert found == ["https://a.example/\ufffd", "https://a.example/b"]
