"""Any exception becomes a response that says what to do."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bridge.errors import Unauthorized, UnsupportedMediaType
from bridge.store import StoreBroken, StoreBusy, StoreError, StoreFull
from bridge.web.middleware import ERROR_PAGE, render_errors


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (StoreFull("the disk is full"), 507, "Make room"),
        (StoreBusy("a lock is taken"), 503, "a lock is taken"),
        (StoreBroken("the repo cannot be used"), 503, "Try again in a moment"),
    ],
)
async def test_failures_of_the_repo(method: str, error: StoreError, status: int, told: str) -> None:
    async def fail(_: web.Request) -> web.Response:
        raise error

    answer = await render_errors(make_mocked_request(method, "/media/a.jpg"), fail)
    assert isinstance(answer, web.Response)
    assert answer.text
    assert (answer.status, told in answer.text) == (status, True)
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_an_error_may_quote_invalid_utf8(accept: str) -> None:
    async def fail(_: web.Request) -> web.Response:
        raise UnsupportedMediaType("Send JSON, not 'a\udcff'.")

    answer = await render_errors(asked(Accept=accept), fail)
    assert isinstance(answer, web.Response)
    assert answer.status == 415
    assert isinstance(answer.body, bytes)
    assert b"a?" in answer.body


def asked(method: str = "GET", **headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request(method, "/micropub", headers=named)


async def missing(_: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def test_the_error_for_a_wrong_method_names_the_allowed_ones() -> None:
    async def fail(_: web.Request) -> web.Response:
        raise web.HTTPMethodNotAllowed("PUT", {"GET", "HEAD", "POST"})

    answer = await render_errors(asked("PUT"), fail)
    assert isinstance(answer, web.Response)
    assert answer.text
    assert "PUT is not possible at this address: use GET or POST." in answer.text


async def test_a_browser_gets_a_page_with_a_way_on() -> None:
    async def no_page(request: web.Request, headline: str, text: str, status: int) -> None:
        del request, headline, text, status

    with_pages = web.Application()
    with_pages[ERROR_PAGE] = no_page
    browser = {"Accept": "text/html,*/*;q=0.8"}
    for status in (404, 405, 401):

        async def fail(_: web.Request, status: int = status) -> web.Response:
            if status == 401:
                raise Unauthorized("Send a token.")
            raise web.HTTPNotFound if status == 404 else web.HTTPMethodNotAllowed("GET", ["POST"])

        request = make_mocked_request("GET", "/micropub", headers=browser, app=with_pages)
        answer = await render_errors(request, fail)
        assert isinstance(answer, web.Response)
        assert (answer.status, answer.content_type) == (status, "text/html")
        assert '<a href="/status">' in (answer.text or "")

        # Without the built-in server nobody can sign in, and the status is for apps as well.
        answer = await render_errors(asked(**browser), fail)
        assert isinstance(answer, web.Response)
        assert (answer.status, answer.content_type) == (status, "text/html")
        assert "<a href=" not in (answer.text or "")
        assert "<code>[indieauth]</code>" in (answer.text or "")


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked(Accept="*/*"),
        asked(Accept="application/json"),
        asked(Accept="application/json, text/html"),
        asked(Accept="text/html", Authorization="Bearer x"),
        asked(Accept="text/html", Sec_Fetch_Dest="empty"),
        asked("POST", Accept="text/html"),
    ],
)
async def test_an_app_gets_json(request_: web.Request) -> None:
    answer = await render_errors(request_, missing)
    assert isinstance(answer, web.Response)
    assert (answer.status, answer.content_type) == (404, "application/json")
