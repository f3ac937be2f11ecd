"""Requests of clients, byte by byte, and the bridge's responses.

Each file in ``requests/`` has an HTTP request, and is named by the expected status and its purpose;
below ``>>>`` are the expectations as JSON:

- ``source``: properties of the new post by ``q=source``; ``null``: it has no such property;
- ``updated``, ``deleted``: the same for an existing post, or that it was deleted;
- ``starts``: the beginning of a property's first value; ``photos``, ``alts``: their number, and
  their alt texts; ``location``: a part of the new post's URL; ``file``: the media type with which
  an upload is served immediately;
- ``body``, ``keys``: the JSON of the response, or its keys; ``error``: the error's code, and that
  nothing was written; ``headers``: patterns for the response's headers.

``{token}``, ``{post}`` and similar are replaced by values of the run; lengths are filled in.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from bridge_kit import Answer, Client, picture
from demo_kit import Demo
from multidict import CIMultiDict

REQUESTS = sorted((Path(__file__).parent / "requests").glob("*.http"))
FILES = {b"{jpeg}": picture(), b"{png}": picture("gold", "PNG")}


@pytest.fixture(scope="session")
def create_only(bridge: Demo) -> str:
    return bridge.token_for("create")


@pytest.mark.parametrize("file", REQUESTS, ids=[file.stem for file in REQUESTS])
async def test_request(file: Path, client: Client, create_only: str) -> None:
    request, _, expected = file.read_text(encoding="utf-8").partition("\n>>>\n")
    is_about_a_post = "{post" in request + expected or "undelete" in file.stem
    post = ""
    if is_about_a_post:
        post = await client.create(content=["Existing"], category=["a", "b"])
    words = {
        "token": client.bridge.token,
        "create-only": create_only,
        "media": client.bridge.media,
        "post": post,
        "post:quoted": quote(post, safe=""),
        "post:escaped": post.replace("/", "\\/"),
        "unique": secrets.token_hex(4),
    }
    for word, value in words.items():
        request, expected = (text.replace(f"{{{word}}}", value) for text in (request, expected))
    if "undelete" in file.stem:
        await client.act("delete", post)
    before = client.bridge.head()
    answer = await send(client.bridge, request)
    status = int(file.name[:3])
    # 201 when the page is already built, else 202.
    assert answer.status in ({201, 202} if status == 201 else {status}), answer.body
    written = client.bridge.head() != before
    await Check(client, post, answer, written=written).all(json.loads(expected))


async def send(bridge: Demo, request: str) -> Answer:
    """Send exact bytes, and read until the server closes."""
    head, _, text = request.partition("\n\n")
    body = (text.replace("\n", "\r\n") if "multipart" in head else text).encode()
    for word, data in FILES.items():
        body = body.replace(word, data)
    lines = head.split("\n")
    given = {line.partition(":")[0].lower() for line in lines[1:]}
    if "content-length" not in given:
        lines.append(f"Content-Length: {len(body)}")
    address = urlsplit(bridge.site)
    lines += [f"Host: {address.netloc}", "Connection: close"]
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    head_bytes = await reader.readuntil(b"\r\n\r\n")
    if head_bytes.startswith(b"HTTP/1.1 100"):
        head_bytes = await reader.readuntil(b"\r\n\r\n")
    status, *fields = head_bytes.decode().strip().split("\r\n")
    headers = CIMultiDict[str](field.partition(": ")[::2] for field in fields)
    data = await reader.readexactly(int(headers.get("Content-Length", 0)))
    writer.close()
    return Answer(int(status.split()[1]), headers, data)


class Check:
    """Each method checks one key of an expectation."""

    def __init__(self, client: Client, post: str, answer: Answer, *, written: bool) -> None:
        self.client = client
        self.post = post
        self.answer = answer
        self.written = written

    async def all(self, expected: dict[str, Any]) -> None:
        for key, value in expected.items():
            await getattr(self, key)(value)

    async def source(self, expected: dict[str, Any]) -> None:
        found = await self.client.source(self.answer.location)
        assert {name: found.get(name) for name in expected} == expected

    async def updated(self, expected: dict[str, Any]) -> None:
        found = await self.client.source(self.post)
        assert {name: found.get(name) for name in expected} == expected

    async def deleted(self, expected: bool) -> None:
        assert expected
        await self.client.query(400, q="source", url=self.post)

    async def starts(self, expected: dict[str, str]) -> None:
        found = await self.client.source(self.answer.location)
        assert all(found[name][0].startswith(text) for name, text in expected.items())

    async def photos(self, expected: int) -> None:
        assert len((await self.client.source(self.answer.location))["photo"]) == expected

    async def alts(self, expected: list[str]) -> None:
        found = (await self.client.source(self.answer.location))["photo"]
        assert [photo["alt"] for photo in found] == expected

    async def location(self, expected: str) -> None:
        assert expected in self.answer.location

    async def file(self, expected: str) -> None:
        async with self.client.http.get(self.answer.location) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, expected)

    async def body(self, expected: dict[str, Any]) -> None:
        assert {name: self.answer.json.get(name) for name in expected} == expected

    async def keys(self, expected: list[str]) -> None:
        assert set(expected) <= self.answer.json.keys()

    async def headers(self, expected: dict[str, str]) -> None:
        for name, pattern in expected.items():
            assert re.search(pattern, self.answer.headers[name], re.IGNORECASE), name

    async def error(self, expected: str) -> None:
        assert self.answer.error == expected
        assert not self.written
