"""A running bridge, and a Micropub client whose methods check the response."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiohttp import web
from bs4 import BeautifulSoup, Tag
from demo_kit import PATIENCE, Demo
from PIL import Image

#: A new post's page is live with the response, or soon after.
CREATED = (201, 202)
#: An update, a delete, an undelete. 201 has a Location, if the URL changed.
DONE = (200, 201, 204)


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"].startswith("application/json")
        return json.loads(self.body)

    @property
    def location(self) -> str:
        """The URL of the post or file; the same in the header and in the body."""
        assert self.json["url"] == self.headers["Location"]
        return str(self.headers["Location"])

    @property
    def error(self) -> str:
        """The error's code; checks that the error also has a description."""
        assert self.json["error_description"]
        return str(self.json["error"])


@dataclass
class Client:
    """A Micropub client. Each method fails unless the response has the expected status."""

    bridge: Demo
    http: aiohttp.ClientSession
    token: str | None = ""
    agent: dict[str, str] = field(default_factory=lambda: {"User-Agent": "tests"})

    def __post_init__(self) -> None:
        if self.token == "":
            self.token = self.bridge.token

    def without_token(self) -> Client:
        return Client(self.bridge, self.http, None)

    def with_token(self, token: str) -> Client:
        return Client(self.bridge, self.http, token)

    async def send(
        self, method: str, url: str, status: int | Sequence[int] = 200, **more: Any
    ) -> Answer:
        """Send any request."""
        headers = {**self.agent, **more.pop("headers", {})}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        async with self.http.request(method, url, headers=headers, **more) as response:
            answer = Answer(response.status, response.headers, await response.read())
        expected = (status,) if isinstance(status, int) else status
        assert answer.status in expected, (answer.status, answer.body.decode(errors="replace"))
        return answer

    async def form(
        self, text: str, status: int | Sequence[int] = CREATED, url: str | None = None
    ) -> Answer:
        """POST an encoded form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.send(
            "POST", url or self.bridge.micropub, status, data=text.encode(), headers=headers
        )

    async def json(self, value: Any, status: int | Sequence[int] = CREATED) -> Answer:
        """POST JSON."""
        return await self.send("POST", self.bridge.micropub, status, json=value)

    async def create(self, **properties: Any) -> str:
        """Create a post with JSON; returns its URL."""
        named = {name.replace("_", "-"): value for name, value in properties.items()}
        return (await self.json({"type": ["h-entry"], "properties": named})).location

    async def act(self, action: str, url: str, **more: Any) -> Answer:
        """Send an action on a post as JSON."""
        return await self.json({"action": action, "url": url, **more}, DONE)

    async def multipart(
        self,
        *parts: tuple[str, str | bytes, dict[str, str]],
        status: int | Sequence[int] = CREATED,
        url: str | None = None,
    ) -> Answer:
        """POST a multipart form: names, values, and for files ``filename`` and ``content_type``."""
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value, more in parts:
            # aiohttp requires streams for large values.
            form.add_field(name, io.BytesIO(value) if isinstance(value, bytes) else value, **more)
        return await self.send("POST", url or self.bridge.micropub, status, data=form)

    async def query(self, status: int = 200, **parameters: Any) -> Any:
        """GET the Micropub endpoint with a query; returns the JSON."""
        pairs = [
            (name.replace("_", "-"), str(each))
            for name, value in parameters.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        return (await self.send("GET", self.bridge.micropub, status, params=pairs)).json

    async def source(self, url: str) -> dict[str, Any]:
        """The properties of a post, from ``q=source``."""
        found: dict[str, Any] = (await self.query(q="source", url=url))["properties"]
        return found

    async def page(self, url: str, shows: Callable[[Page], bool] = lambda page: True) -> Page:
        """The page at a URL, once it exists and ``shows`` this text."""
        return await self.wait(url, lambda status, page: status == 200 and shows(page))

    async def gone(self, url: str) -> None:
        """Returns when the URL no longer exists."""
        await self.wait(url, lambda status, page: status in (404, 410))

    async def wait(self, url: str, true: Callable[[int, Page], bool]) -> Page:
        """The response for a URL, once its status and page satisfy a condition."""
        deadline = time.monotonic() + PATIENCE
        while True:
            async with self.http.get(url) as response:
                page = Page(url, await response.text())
                # A page that is not built yet is 404, never another error.
                assert response.status in (200, 404, 410), response.status
                if true(response.status, page):
                    return page
            assert time.monotonic() < deadline, (url, response.status, page.text)
            await asyncio.sleep(0.1)

    async def photos(self, page: Page) -> list[str]:
        """The images shown in a post: each is fetched, and must be an image."""
        found = page.photos
        for url in found:
            async with self.http.get(url) as response:
                assert response.status == 200, url
                assert response.content_type.startswith("image/"), url
                Image.open(io.BytesIO(await response.read())).verify()
        return found


class Page:
    """The generated page of a post, as a reader sees it."""

    def __init__(self, url: str, html: str) -> None:
        self.url = url
        self.html = html

    @cached_property
    def _soup(self) -> BeautifulSoup:
        # Pages are polled, and parsing takes far longer than fetching them.
        return BeautifulSoup(self.html, "html5lib")

    @property
    def entry(self) -> Tag:
        """The element of the post itself."""
        found = self._soup.select_one(".h-entry, .h-event")
        assert found is not None, self.html
        return found

    @property
    def text(self) -> str:
        """The text of the post, with single spaces."""
        return " ".join(self.entry.get_text(" ").split()) if self._soup.select(".h-entry") else ""

    @property
    def categories(self) -> list[str]:
        """The categories shown."""
        return [each.get_text(strip=True) for each in self.entry.select(".p-category")]

    @property
    def photos(self) -> list[str]:
        """The URLs of its images, without the author's."""
        images = [
            each for each in self.entry.select("img") if not each.find_parent(class_="h-card")
        ]
        return [urljoin(self.url, str(each["src"])) for each in images]

    def alt(self, url: str) -> str:
        """The alt text of an image."""
        return next(
            str(each.get("alt")) for each in self.entry.select("img")
            if urljoin(self.url, str(each["src"])) == url
        )  # fmt: skip

    def select(self, selector: str) -> list[str]:
        """The texts of elements of the post, by a CSS selector."""
        return [each.get_text(strip=True) for each in self.entry.select(selector)]


def picture(colour: str = "navy", kind: str = "JPEG") -> bytes:
    """A small image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, kind)
    return file.getvalue()


@asynccontextmanager
async def elsewhere(path: str, data: bytes, content_type: str) -> AsyncIterator[str]:
    """Another web site with a single file; its URL."""

    async def get(request: web.Request) -> web.Response:
        return web.Response(body=data, content_type=content_type)

    app = web.Application()
    app.router.add_get(path, get)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    finally:
        await runner.cleanup()
