"""A bridge that receives webmentions for a small site, on a socket, with its repo and other
sites.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from git_kit import ADA, bare_copy, commit_all, files_in, git, new_repo
from msgspec.structs import replace
from site_kit import CONF, lay_out

from bridge.app import make_app
from bridge.errors import BridgeError
from bridge.http.later import LATER
from bridge.settings import Rebuild, Settings, Site, Webmention
from bridge.social import RECEIVER
from bridge.webmention.incoming.inbox import Record
from bridge.webmention.incoming.receiver import Receiver

SITE = "https://example.com"
POST = f"{SITE}/2026/hello/"
OTHER = f"{SITE}/2026/other/"
_PATIENCE = 300.0


def article(title: str, **keys: str) -> str:
    """A post as written by hand."""
    head = {"Title": title, "Date": "2026-11-01T12:00:00+01:00", **keys}
    return "".join(f"{key}: {value}\n" for key, value in head.items()) + "\nText.\n"


FILES: Mapping[str, str | bytes] = {
    "content/hello.md": article("Hello", Slug="hello"),
    "content/other.md": article("Other", Slug="other"),
    "content/draft.md": article("Draft", Slug="draft", Status="draft"),
    "content/pages/about.md": "Title: About\nSlug: about\n\nMe.\n",
}


def reply(to: str = POST, text: str = "Agreed.") -> str:
    """Bob's page with a reply to a post."""
    return (
        f'<article class="h-entry"><a class="p-author h-card" href="/">Bob</a>'
        f'<a class="u-in-reply-to" href="{to}">x</a><p class="e-content">{text}</p></article>'
    )


@dataclass
class Hearing:
    """The bridge as other sites see it, and its repo."""

    url: str
    bare: Path
    http: aiohttp.ClientSession
    receiver: Receiver

    async def send(
        self, source: str | None, target: str | None, status: int = 201, **headers: str
    ) -> aiohttp.ClientResponse:
        """POST a webmention; fails unless the answer has this status."""
        given = {"source": source, "target": target}
        form = {name: value for name, value in given.items() if value is not None}
        answer = await self.http.post(f"{self.url}webmention", data=form, headers=headers)
        assert answer.status == status, (answer.status, await answer.text())
        return answer

    async def settled(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        """The final state of a webmention, once it is neither waiting nor approved."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            await self.receiver.idle()
            async with self.http.get(answer.headers["Location"]) as state:
                assert state.status == 200
                said: dict[str, Any] = await state.json()
            if said["state"] not in {"waiting", "approved"}:
                return said
            assert time.monotonic() < deadline, said

    async def told(self, source: str, target: str = POST) -> str:
        """Send a webmention and wait; returns its final state."""
        return str((await self.settled(await self.send(source, target)))["state"])

    def record(self, source: str, target: str = POST) -> Record:
        """The bridge's record of a webmention."""
        every = self.receiver.inbox.in_state(
            "waiting", "approved", "pending", "shown", "no-link", "unreachable", "gone", "refused"
        )
        return next(each for each in every if (each.source, each.target) == (source, target))

    def files(self) -> dict[str, dict[str, Any]]:
        """The mentions in the newest commit, by their paths below the mentions folder."""
        place = "content/mentions/"
        found = files_in(self.bare, place)
        return {path.removeprefix(place): json.loads(data) for path, data in found.items()}

    def only(self) -> dict[str, Any]:
        """The only mention in the repo."""
        (entry,) = self.files().values()
        return entry

    def commits(self) -> list[str]:
        """The subjects of the bridge's commits, newest first."""
        log = git(self.bare, "log", "--format=%s", "main", "--grep", "^Micropub-Action: mentions")
        return log.splitlines()


@asynccontextmanager
async def hearing(
    folder: Path,
    files: Mapping[str, str | bytes] = FILES,
    conf: str = CONF,
    *,
    public_url: str = "",
    **settings: Any,
) -> AsyncIterator[Hearing]:
    """A bridge in this process; ``settings`` are those of ``[webmention]``.

    In the folder of a previous one it continues with that one's state.
    """
    bare = folder / "site.git"
    if not bare.exists():
        clone = new_repo(lay_out(folder / "clone", files, conf))
        commit_all(clone)
        bare_copy(clone, bare)
    given = {"approve": "all", "batch_seconds": 0.0, "faces": "none", "send": False, **settings}
    config = Settings(
        site=Site(me=f"{SITE}/", repo=bare, state=folder / "state"),
        rebuild=Rebuild(mode="none"),
        webmention=Webmention(**given),
    )
    config = replace(config, publish=replace(config.publish, author=ADA, remote=""))
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    app = await make_app(config, public_url=public_url or url)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        receiver = (await app[LATER].made())[RECEIVER]
        # However slow the machine is: a request waits some seconds only for the first index.
        with suppress(BridgeError):
            await receiver._posts.catalogue.refresh(patient=True)
        async with aiohttp.ClientSession() as http:
            yield Hearing(url, bare, http, receiver)
    finally:
        await runner.cleanup()
