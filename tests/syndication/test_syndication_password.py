"""An app password is sent only to the account's own server, and never unencrypted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import pytest

from bridge.net.fetch import Fetched
from bridge.syndication.api import ApiError
from bridge.syndication.bluesky.client import Bluesky
from bridge.syndication.bluesky.session import Sessions

PASSWORD = "abcd-efgh-ijkl-mnop"


@dataclass
class Net:
    """Answers as the directories of AT Protocol do, and records all requests."""

    pds: str
    known: bool = True
    names: str = "at://me.example"
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | aiohttp.FormData | None = None,
        timeout: float = 30.0,
    ) -> Fetched:
        del method, headers, timeout
        self.sent.append((url, data if isinstance(data, bytes) else b""))
        said: dict[str, object] = {"did": "did:plc:owner", "accessJwt": "a", "refreshJwt": "r"}
        if url.startswith("https://plc.directory/"):
            service = {"id": "#atproto_pds", "serviceEndpoint": self.pds}
            said = {"service": [service], "alsoKnownAs": [self.names]}
        if "resolveHandle" in url and not self.known:
            return Fetched(url, 400, {}, b'{"error": "InvalidRequest"}')
        if url == "https://me.example/.well-known/atproto-did":
            return Fetched(url, 200, {}, b"did:plc:owner\n")
        return Fetched(url, 200, {}, json.dumps(said).encode())


class Nowhere(Sessions):
    def load(self) -> dict[str, str]:
        return {}

    def save(self, session: Mapping[str, str]) -> None:
        del session


def account(net: Net) -> Bluesky:
    return Bluesky(
        net, net, server="", appview="", handle="me.example", password=PASSWORD, sessions=Nowhere()
    )


async def test_it_goes_to_the_server_that_the_account_names() -> None:
    net = Net("https://pds.example")
    assert await account(net).did() == "did:plc:owner"
    assert [url for url, data in net.sent if PASSWORD.encode() in data] == [
        "https://pds.example/xrpc/com.atproto.server.createSession"
    ]


async def test_it_is_never_sent_unencrypted() -> None:
    net = Net("http://pds.example")
    with pytest.raises(ApiError, match="names no PDS"):
        await account(net).did()
    assert not [url for url, data in net.sent if PASSWORD.encode() in data]


async def test_the_handles_own_host_tells_where_bluesky_does_not_know_it() -> None:
    net = Net("https://pds.example", known=False)
    assert await account(net).did() == "did:plc:owner"
    assert net.sent[-1][0] == "https://pds.example/xrpc/com.atproto.server.createSession"


async def test_the_did_document_must_list_the_handle() -> None:
    net = Net("https://pds.example", names="at://somebody.example")
    with pytest.raises(ApiError, match="does not list that handle"):
        await account(net).did()
    assert not [url for url, data in net.sent if PASSWORD.encode() in data]
