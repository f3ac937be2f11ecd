"""Endpoint discovery: the public tests over real sockets, and further cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from webmention_kit import ROCKS, Elsewhere, elsewhere, expected_endpoint, serve_rocks

from bridge.net.fetch import FetchError, GuardedFetch
from bridge.webmention.outgoing.delivery import AGENT, TemporaryFailure, find_endpoint


@pytest.fixture
async def fetch() -> AsyncIterator[GuardedFetch]:
    async with GuardedFetch(allow_loopback=True) as guarded:
        yield guarded


@pytest.fixture
async def site() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as other:
        yield other


@pytest.mark.parametrize("test", ROCKS["discovery"], ids=lambda test: test["id"])
async def test_each_public_test_of_discovery(
    test: dict[str, Any], site: Elsewhere, fetch: GuardedFetch
) -> None:
    target = serve_rocks(site, test)
    found = await find_endpoint(fetch, target)
    assert found.endpoint == expected_endpoint(site, test)
    assert {method for method, _ in site.asked} == {"GET"}, "a HEAD would use up a page's key"

    await fetch.post(found.endpoint, {"source": "https://me.example/a?b", "target": target})
    (posted,) = site.posted
    assert site.base + posted.path.lstrip("/") == found.endpoint, "the query stays in the URL"
    assert posted.form == {"source": "https://me.example/a?b", "target": target}
    assert posted.content_type == "application/x-www-form-urlencoded"
    assert posted.accept == "application/json", "browsers are sent to a page by some receivers"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('<base href="/deep/"><a rel=webmention href=here>x</a>', "deep/here"),
        ('<a rel=webmention href=here>x</a><base href="/deep/">', "deep/here"),
        ('<A HREF="/e" REL="WebMention">x</A>', "e"),
        ('<a rel="nofollow\n webmention" href="/e">x</a>', "e"),
        ('<a href="/e?a=b%2Fc&amp;d" rel="webmention">x</a>', "e?a=b%2Fc&d"),
        ('<area rel=webmention href="/no"><a rel=webmention href="/e">x</a>', "e"),
        ('<a rel=webmention href="/e"><a rel=webmention href="/no">', "e"),
        ('<template><a rel=webmention href="/no"></a></template><a rel=webmention href="/e">', "e"),
        ('<script>"<a rel=webmention href=/no>"</script><a rel=webmention href="/e">x</a>', "e"),
        ('<textarea><a rel=webmention href="/no"></textarea><a rel=webmention href="/e">', "e"),
        ('<title><link rel=webmention href="/no"></title><a rel=webmention href="/e">', "e"),
        ('<noscript><a rel=webmention href="/e"></noscript>', "e"),
        ("<p>nothing</p>", None),
        ('<a rel=webmention href="mailto:me@example.org">x</a>', None),
        ('<a rel=webmention href="javascript:alert(1)">x</a>', None),
        ('<a rel=webmention href="http://user:secret@e.example/">x</a>', None),
        ('<a rel=webmention href="http://[">x</a>', None),
    ],
)
async def test_elements_are_read_as_browsers_read_them(
    body: str, path: str | None, site: Elsewhere, fetch: GuardedFetch
) -> None:
    found = await find_endpoint(fetch, site.page("/page", body))
    assert found.endpoint == (None if path is None else site.base + path)


async def test_a_header_of_another_page_says_nothing_of_this_one(
    site: Elsewhere, fetch: GuardedFetch
) -> None:
    link = '</no>; rel=webmention; anchor="/other", </e>; rel="webmention"'
    target = site.page("/page", "", Link=link)
    assert (await find_endpoint(fetch, target)).endpoint == f"{site.base}e"


async def test_an_endpoint_in_the_first_megabyte_of_an_endless_page_is_found(
    site: Elsewhere, fetch: GuardedFetch
) -> None:
    target = site.page("/page", '<a rel=webmention href="/e">x</a>' + "<p>more" * 300_000)
    assert (await find_endpoint(fetch, target)).endpoint == f"{site.base}e"


async def test_of_a_film_the_headers_are_enough(site: Elsewhere, fetch: GuardedFetch) -> None:
    def film() -> web.Response:
        return web.Response(
            body=b'<a rel=webmention href="/no">' * 1000,
            content_type="video/mp4",
            headers={"Link": '</e>; rel="webmention"'},
        )

    site.pages["/film"] = film
    site.pages["/mute"] = lambda: web.Response(
        body=b'<a rel=webmention href="/no">', content_type="video/mp4"
    )
    assert (await find_endpoint(fetch, f"{site.base}film")).endpoint == f"{site.base}e"
    assert (await find_endpoint(fetch, f"{site.base}mute")).endpoint is None


async def test_requests_name_their_sender(site: Elsewhere, fetch: GuardedFetch) -> None:
    seen = list[str]()

    async def page(request: web.Request) -> web.Response:
        seen.append(request.headers["User-Agent"])
        return web.Response()

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await find_endpoint(fetch, f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await runner.cleanup()
    assert seen == [AGENT]
    assert "Webmention" in AGENT


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_server_in_trouble_is_asked_again_later(
    status: int, site: Elsewhere, fetch: GuardedFetch
) -> None:
    site.pages["/"] = lambda: web.Response(status=status, headers={"Retry-After": "90"})
    with pytest.raises(TemporaryFailure) as caught:
        await find_endpoint(fetch, site.base)
    assert caught.value.after == 90


async def test_a_page_that_is_not_there_takes_none(site: Elsewhere, fetch: GuardedFetch) -> None:
    found = await find_endpoint(fetch, f"{site.base}missing")
    assert found.endpoint is None
    assert "404" in found.reason


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/", "http://[::1]/", "http://localhost/", "http://169.254.169.254/latest"],
)
async def test_what_only_this_machine_reaches_is_never_asked(target: str) -> None:
    async with GuardedFetch() as strict:
        with pytest.raises(TemporaryFailure):
            await find_endpoint(strict, target)
        with pytest.raises(FetchError):
            await strict.post(target, {"source": "a", "target": "b"})


async def test_an_endpoint_that_redirects_gets_the_form_where_the_method_is_kept(
    site: Elsewhere, fetch: GuardedFetch
) -> None:
    def takes(posted: object) -> web.Response:
        path = site.posted[-1].path
        if path == "/307":
            return web.Response(status=307, headers={"Location": "/308"})
        if path == "/308":
            return web.Response(status=308, headers={"Location": "/end"})
        return web.Response(status=303, headers={"Location": "/page"})

    site.takes = takes
    answer = await fetch.post(f"{site.base}307", {"source": "s", "target": "t"})
    assert answer.status == 303
    assert [each.path for each in site.posted] == ["/307", "/308", "/end"]
    assert [each.form for each in site.posted] == [{"source": "s", "target": "t"}] * 3


async def test_an_endpoint_that_redirects_for_ever_is_left(
    site: Elsewhere, fetch: GuardedFetch
) -> None:
    site.takes = lambda _: web.Response(status=307, headers={"Location": "/again"})
    with pytest.raises(FetchError, match="redirects too often"):
        await fetch.post(f"{site.base}again", {"source": "s", "target": "t"})
    assert len(site.posted) == 4


@pytest.mark.parametrize("before", [0, 16_000])
async def test_a_reference_with_thousands_of_digits_does_not_hide_the_endpoint(
    before: int, site: Elsewhere, fetch: GuardedFetch
) -> None:
    """Also where it begins in one piece of the page and ends in the next."""
    endless = f"<p title='&#{'1' * 5000};'>"
    page = f"<html><body>{'x' * before}{endless}<a rel=webmention href=/endpoint>"
    found = await find_endpoint(fetch, site.page("/long", page))
    assert found.endpoint == f"{site.base}endpoint"
