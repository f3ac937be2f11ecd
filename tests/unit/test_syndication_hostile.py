"""Answers of a server with Mastodon's API or of a PDS that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from bridge.net.fetch import Fetched
from bridge.syndication.api import Api, ApiError
from bridge.syndication.bluesky.session import PdsSession
from bridge.syndication.mastodon.client import Instance, Mastodon

BASE = "https://social.example"
PAGE = f"{BASE}/@ada/1"
MADE: dict[str, Any] = {
    "id": "1", "url": PAGE, "account": {"acct": "ada"}, "content": "<p>Hello</p>",
    "created_at": "2026-11-27T12:00:00Z", "media_attachments": [{"id": "7"}],
}  # fmt: skip


class Server:
    """Answers every request with the same."""

    def __init__(self, answer: object, status: int = 200, **headers: str) -> None:
        self._answer = answer
        self._status = status
        self._headers = {"Content-Type": "application/json", **headers}

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | aiohttp.FormData | None = None,
        timeout: float = 30.0,
    ) -> Fetched:
        """Give the answer."""
        del method, headers, data, timeout
        body = self._answer if isinstance(self._answer, bytes) else json.dumps(self._answer)
        return Fetched(
            url, self._status, self._headers, body if isinstance(body, bytes) else body.encode()
        )


def client(answer: object, status: int = 200, **headers: str) -> Mastodon:
    return Mastodon(Api(Server(answer, status, **headers), BASE), "token")


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "", None, 5, ["https://a.example/"], "//a.example/",
     "https://", 'https://a.example/"><script>', "https://a.example/\n", f"https://{'a' * 3000}",
     "https://[x", "http://[::1", "https://a.example:99999999/", "https://user:pw@a.example/"],
)  # fmt: skip
async def test_the_address_of_a_copy_is_one_of_a_web_page(url: object) -> None:
    made = await client({**MADE, "url": url, "uri": url}).post([], "key")
    assert (made.id, made.url) == ("1", PAGE)


async def test_the_address_of_a_copy_is_the_one_that_the_server_gives() -> None:
    made = await client({**MADE, "url": "https://www.social.example/@ada/1"}).post([], "key")
    assert made.url == "https://www.social.example/@ada/1"


@pytest.mark.parametrize("wrong", [None, 5, "x", [], {}, [5], True, 1e300])
async def test_a_copy_whose_other_fields_are_wrong_is_there_all_the_same(wrong: object) -> None:
    fields = {name: wrong for name in MADE if name not in {"id", "url"}}
    made = await client({**MADE, **fields}).post([], "key")
    assert (made.id, made.url) == ("1", PAGE)


@pytest.mark.parametrize("wrong", [{"error": "maintenance"}, None, "x", 5])
async def test_no_list_of_copies_is_not_an_empty_one(wrong: object) -> None:
    """Or a copy that was made before would be made again."""
    with pytest.raises(ApiError, match="did not answer with a JSON list") as failure:
        await client(wrong).newest("1")
    assert failure.value.is_temporary


@pytest.mark.parametrize("wrong", [None, -5, "x", [], {}, [5], True])
async def test_wrong_types_are_as_nothing(wrong: object) -> None:
    about = {"configuration": {"media_attachments": {"supported_mime_types": wrong},
                               "statuses": {"max_characters": wrong}}}  # fmt: skip
    found = await client({**about, "version": "4.4.0"}).instance()
    assert (found.mimes, found.characters) == (Instance().mimes, 500)
    assert await client({"statuses": wrong}).find("https://a.example/") is None
    assert await client({"descendants": wrong}).context("1") == []


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"", b"<html>", b"1" * 5000, b"\xff\xfe"]
)
async def test_what_is_no_json_may_have_been_carried_out(body: bytes) -> None:
    with pytest.raises(ApiError, match="did not answer with JSON") as failure:
        await client(body).post([], "key")
    assert failure.value.uncertain


@pytest.mark.parametrize("seconds", ["315360000", "9" * 400, "Fri, 27 Nov 2037 12:00:00 GMT"])
async def test_a_rate_limit_of_years_is_one_of_a_day(seconds: str) -> None:
    headers = {"Retry-After": seconds, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": seconds}
    api = Api(Server({}, 429, **headers), BASE)
    with pytest.raises(ApiError) as failure:
        await api.get("/")
    assert failure.value.retry_after == pytest.approx(86_400)
    assert api.server.pause() <= 86_400


@pytest.mark.parametrize("did", [None, 5, "", "javascript:alert(1)", 'did:plc:"><b>', "did:plc:é"])
async def test_a_pds_that_names_no_account(did: object) -> None:
    class Sessions:
        def load(self) -> dict[str, str]:
            return {}

        def save(self, session: Mapping[str, str]) -> None:
            pytest.fail(f"{session} was stored")

    server = Server({"accessJwt": "a.b.c", "refreshJwt": "x", "did": did, "handle": "ada.example"})
    session = PdsSession(
        server, server, server="https://pds.example", appview="", handle="ada.example",
        password="abcd-abcd-abcd-abcd", sessions=Sessions(),
    )  # fmt: skip
    with pytest.raises(ApiError, match="named no account"):
        await session.did()
