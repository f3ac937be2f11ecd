"""Authorization: tests 800-805 of the public suite, and what the bridge decides where they
disagree.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote_plus

import aiohttp
import pytest
from bridge_kit import Client
from demo_kit import demo_in


async def test_800_a_token_in_the_header(client: Client) -> None:
    assert (await client.form("h=entry&content=Token+in+the+header")).location


async def test_801_a_token_in_the_form(client: Client) -> None:
    token = quote_plus(client.bridge.token)
    body = f"h=entry&content=Token+in+the+form&access_token={token}"
    assert (await client.without_token().form(body)).location


async def test_802_a_token_in_both_is_accepted_and_never_stored(client: Client) -> None:
    token = quote_plus(client.bridge.token)
    answer = await client.form(f"h=entry&content=Token+in+both&access_token={token}")
    assert "access_token" not in await client.source(answer.location)
    assert client.bridge.token not in client.bridge.git("log", "-p", "--all")
    assert client.bridge.token not in (await client.page(answer.location)).html


async def test_803_no_token(client: Client) -> None:
    before = client.bridge.git("rev-parse", "HEAD")
    answer = await client.without_token().form("h=entry&content=No+token", 401)
    assert answer.error == "unauthorized"
    # RFC 6750 3.1: no error code in the header if the request had no token.
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.bridge.git("rev-parse", "HEAD") == before


@pytest.mark.parametrize("scope", ["update", "media", "delete undelete"])
async def test_804_a_token_without_the_scope_gets_403(client: Client, scope: str) -> None:
    """The public test still wants 401, as the Recommendation of 2017 did."""
    before = client.bridge.git("rev-parse", "HEAD")
    weak = client.with_token(client.bridge.token_for(scope))
    answer = await weak.form("h=entry&content=Not+allowed", 403)
    assert answer.error == "insufficient_scope"
    assert 'scope="create"' in answer.headers["WWW-Authenticate"]
    assert client.bridge.git("rev-parse", "HEAD") == before


async def test_805_two_different_tokens_are_refused(client: Client) -> None:
    answer = await client.form("h=entry&content=Two+tokens&access_token=another", 400)
    assert answer.error == "invalid_request"


async def test_805_strict_refuses_even_the_same_token_twice(tmp_path: Path) -> None:
    with demo_in(
        tmp_path / "strict",
        BRIDGE_AUTH__STRICT="true",
        BRIDGE_REBUILD__MODE="none",
        BRIDGE_PUBLISH__REMOTE="",
    ) as bridge:
        async with aiohttp.ClientSession() as http:
            client = Client(bridge, http)
            body = f"h=entry&content=Twice&access_token={quote_plus(bridge.token)}"
            assert (await client.form(body, 400)).error == "invalid_request"
            assert (await client.form("h=entry&content=Once")).location


async def test_a_wrong_token(client: Client) -> None:
    answer = await client.with_token("not-a-token").form("h=entry&content=Wrong", 401)
    assert answer.error == "invalid_token"
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


async def test_a_token_in_the_url_is_ignored(client: Client) -> None:
    url = f"{client.bridge.micropub}?access_token={client.bridge.token}"
    answer = await client.without_token().form("h=entry&content=x", 401, url)
    assert answer.error == "unauthorized"
