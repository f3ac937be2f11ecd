"""Other sites, on sockets of their own: the pages of the public webmention tests, and
received webmentions.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

#: The public tests (webmention.rocks) as data.
ROCKS: dict[str, Any] = json.loads(Path(__file__).with_name("webmention_rocks.json").read_text())


@dataclass(frozen=True)
class Posted:
    """One received webmention: path, query, and the whole form."""

    path: str
    form: dict[str, str]
    content_type: str
    agent: str
    accept: str


@dataclass
class Elsewhere:
    """Another site: pages by path, and the requests that it got."""

    base: str = ""
    posted: list[Posted] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    #: The present one-use keys of each public test.
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Handlers of GET and POST by path; without one 404 and 202.
    pages: dict[str, Callable[[], web.Response]] = field(default_factory=dict)
    takes: Callable[[Posted], web.Response] = lambda _: web.Response(status=202)

    def page(self, path: str, body: str, **headers: str) -> str:
        """Serve an HTML page; returns its URL."""
        self.pages[path] = lambda: web.Response(
            text=body.replace("{base}", self.base), content_type="text/html", headers=headers
        )
        return self.base + path.lstrip("/")

    def taker(self, path: str) -> str:
        """Serve a page that accepts webmentions at ``/webmention``; returns its URL."""
        return self.page(path, f"<h1>{path}</h1>", Link='</webmention>; rel="webmention"')

    def mentions(self) -> list[tuple[str, str]]:
        """Source and target of all received webmentions, in order."""
        return [(each.form["source"], each.form["target"]) for each in self.posted]

    def targets(self) -> list[str]:
        """The paths of the targets, in order."""
        return [each.form["target"].removeprefix(self.base.rstrip("/")) for each in self.posted]

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path_qs))
        if request.method == "POST":
            form = {name: str(value) for name, value in (await request.post()).items()}
            headers = request.headers
            posted = Posted(
                request.path_qs,
                form,
                headers.get("Content-Type", ""),
                headers.get("User-Agent", ""),
                headers.get("Accept", ""),
            )
            self.posted.append(posted)
            return self.takes(posted)
        page = self.pages.get(request.path)
        return page() if page else web.Response(status=404)


@asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """Another site on loopback."""
    site = Elsewhere()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.base = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield site
    finally:
        await runner.cleanup()


def serve_rocks(site: Elsewhere, test: dict[str, Any]) -> str:
    """Serve one of the discovery tests; returns its target. Keys are new for each request."""
    keys: dict[str, str] = {}
    for response in test["responses"]:
        path = response["path"]
        if "{key}" in path:
            continue
        site.pages[path] = _rock(site, response, keys, test)
    return site.base + str(test["target"]).lstrip("/")


def _rock(
    site: Elsewhere, response: dict[str, Any], keys: dict[str, str], test: dict[str, Any]
) -> Callable[[], web.Response]:
    def filled(text: str) -> str:
        for name, value in (*keys.items(), ("base", site.base)):
            text = text.replace("{" + name + "}", value)
        return text

    def answer() -> web.Response:
        if test["number"] == 23 and "{key}" not in response["path"]:
            keys.update(key=secrets.token_hex(8), key2=secrets.token_hex(8))
            once = test["responses"][1]
            path = filled(once["path"])

            def page() -> web.Response:
                site.pages[path] = lambda: web.Response(status=410)
                return served(once)

            site.pages[path] = page
        return served(response)

    def served(given: dict[str, Any]) -> web.Response:
        made = web.Response(status=given["status"], body=filled(given["body"]).encode())
        for name, value in given["headers"]:
            made.headers.add(name, filled(value))
        return made

    site.keys[test["id"]] = keys
    return answer


def expected_endpoint(site: Elsewhere, test: dict[str, Any]) -> str:
    """The endpoint that must be discovered, absolute, with the key of the last request."""
    path = str(test["expect_endpoint"])
    for name, value in site.keys[test["id"]].items():
        path = path.replace("{" + name + "}", value)
    return site.base + path.lstrip("/")
