"""The bridge as a process, killed (SIGKILL) at each step of copying to two targets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from crowd_kit import PELICANCONF, Repos
from git_kit import git
from serving_kit import Serving, serving
from soak_kit import SOAK
from syndication_kit import Fault, Networks, start_networks

SITE = "https://a-site.invalid"
PATIENCE = 300.0
CREATE = {"mastodon": ("POST", "/api/v1/statuses"), "bluesky": ("POST", "repo.putRecord")}
CHANGE = {"mastodon": ("PUT", "/api/v1/statuses")}
REMOVE = {"mastodon": ("DELETE", "/api/v1/statuses"), "bluesky": ("POST", "repo.deleteRecord")}


@dataclass
class Run:
    """A site, a network that outlives the bridge, and the bridge, started repeatedly."""

    repos: Repos
    networks: Networks
    environment: dict[str, str]
    uids: Sequence[str]
    http: aiohttp.ClientSession
    stack: ExitStack = field(default_factory=ExitStack)
    bridge: Serving | None = None

    async def start(self) -> Serving:
        self.bridge = await asyncio.to_thread(
            self.stack.enter_context, serving(self.repos, **self.environment)
        )
        return self.bridge

    async def kill(self) -> None:
        assert self.bridge is not None
        self.bridge.process.kill()
        await asyncio.to_thread(self.bridge.process.wait)
        self.networks.faults.clear()

    async def say(self, **body: Any) -> str:
        """Send a Micropub request; returns the post's URL."""
        assert self.bridge is not None
        url = f"{self.bridge.url}/micropub".replace("//micropub", "/micropub")
        async with self.http.post(url, json=body, headers=self.bridge.headers) as answer:
            assert answer.status < 300, await answer.text()
            return answer.headers.get("Location", "")

    async def post(self, words: str) -> str:
        wanted = [*self.uids]
        properties = {"content": [words], "mp-syndicate-to": wanted}
        return await self.say(type=["h-entry"], properties=properties)

    def copies(self, words: str) -> list[str]:
        """The copies at both networks with this text."""
        return [each for each in (*self.networks.toots, *self.networks.skeets) if each == words]

    def file(self, words: str) -> str:
        """The post's file, ``""`` where there is none."""
        found = [text for text in self.repos.files().values() if text.rstrip().endswith(words)]
        assert len(found) <= 1
        return found[0] if found else ""

    def named(self, words: str) -> list[str]:
        """The copies that the post's file names, once no more are requested."""
        mf2 = re.search(r"^Mf2: (.*)$", self.file(words), re.MULTILINE)
        assert mf2
        line = json.loads(mf2[1])
        if line.get("syndicate-to"):
            return []
        return list(line["properties"].get("syndication", ()))

    def commits(self, words: str) -> list[str]:
        subjects = git(self.repos.bare, "log", "--format=%s", "main").splitlines()
        return [each for each in subjects if each.startswith("Cop") and each.endswith(words)]

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.05)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    networks = await start_networks()
    networks.fake.honours_keys = False
    targets = []
    for kind in ("mastodon", "bluesky"):
        (tmp_path / kind).mkdir()
        token = tmp_path / kind / "account.token"
        token.write_text(networks.secret(kind), encoding="utf-8")
        targets.append(
            {
                "uid": networks.uid(kind),
                "name": kind.title(),
                "type": kind,
                "server": networks.fake.base,
                "token_file": str(token),
            }
        )
    plugin: Any = {**PELICANCONF, "SITEURL": SITE, "PLUGINS": ["pelican_indieauth"]}
    plugin["INDIEAUTH_BRIDGE"] = "https://bridge.invalid/"
    environment = {
        "BRIDGE_SITE__ME": f"{SITE}/",
        "BRIDGE_REBUILD__MODE": "resident",
        "BRIDGE_REBUILD__OUTPUT": str(tmp_path / "output"),
        "BRIDGE_SYNDICATION__TARGETS": json.dumps(targets),
    }
    async with aiohttp.ClientSession() as http:
        made = Run(
            Repos.begin(tmp_path, {}, **plugin),
            networks,
            environment,
            [str(each["uid"]) for each in targets],
            http,
        )
        with made.stack:
            yield made
    await networks.server.close()


@dataclass(frozen=True)
class Moment:
    """When the bridge is killed: at a request of this kind, carried out or not, or, if
    ``other`` is set, after its response and before the other target's.
    """

    what: str
    kind: str
    is_done: bool = True
    other: bool = False

    def __str__(self) -> str:
        when = "answered" if self.other else "carried out" if self.is_done else "begun"
        return f"{self.what} at {self.kind}, {when}"


MOMENTS = [
    Moment("create", "mastodon", is_done=False),
    Moment("create", "mastodon"),
    Moment("create", "mastodon", other=True),
    Moment("create", "bluesky", is_done=False),
    Moment("create", "bluesky"),
    Moment("create", "bluesky", other=True),
    Moment("edit", "mastodon", is_done=False),
    Moment("edit", "mastodon"),
    Moment("delete", "mastodon", is_done=False),
    Moment("delete", "mastodon"),
    Moment("delete", "bluesky", is_done=False),
    Moment("delete", "bluesky"),
]
#: Each start takes seconds.
SOME = MOMENTS if SOAK else [MOMENTS[1], MOMENTS[5], MOMENTS[7]]


def fault_at(run: Run, moment: Moment) -> asyncio.Event:
    """The fault for this request; set when the bridge is to be killed."""
    table = {"create": CREATE, "edit": CHANGE, "delete": REMOVE}[moment.what]
    killing = asyncio.Event()
    if moment.other:
        other = {"mastodon": "bluesky", "bluesky": "mastodon"}[moment.kind]
        held = Fault(*table[other], early=True, hang=asyncio.Event())
        answered = Fault(*table[moment.kind], answered=killing)
        run.networks.faults.extend([held, answered])
    else:
        fault = Fault(*table[moment.kind], early=not moment.is_done, hang=killing)
        run.networks.faults.append(fault)
    return killing


async def test_a_kill_at_any_step_loses_and_doubles_nothing(run: Run) -> None:
    await run.start()
    for number, moment in enumerate(SOME):
        words = f"Number {number}"
        if moment.what == "create":
            killing = fault_at(run, moment)
            await run.post(words)
        else:
            url = await run.post(f"{words} is new" if moment.what == "edit" else words)
            first = f"{words} is new" if moment.what == "edit" else words
            await run.until(lambda first=first: run.file(first) and len(run.named(first)) == 2)
            killing = fault_at(run, moment)
            if moment.what == "edit":
                await run.say(action="update", url=url, replace={"content": [words]})
            else:
                await run.say(action="delete", url=url)
        async with asyncio.timeout(PATIENCE):
            await killing.wait()
        await run.kill()
        await run.start()
        if moment.what == "delete":
            await run.until(lambda words=words: run.copies(words) == [])
            assert run.file(words) == ""
            continue
        await run.until(lambda words=words: len(run.named(words)) == 2)
        wanted = 1 if moment.what == "edit" else 2
        await run.until(lambda words=words, wanted=wanted: len(run.copies(words)) >= wanted)
        assert len(run.copies(words)) == wanted, str(moment)
        assert len(set(run.named(words))) == 2
        if moment.what == "create":
            # One commit, if both copies were made within a few seconds.
            assert 1 <= len(run.commits(words)) <= 2, str(moment)
    # Later starts found nothing to do.
    everything = [*run.networks.toots, *run.networks.skeets]
    kept = sum(moment.what != "delete" for moment in SOME)
    assert len(everything) == 2 * kept
    git(run.repos.bare, "fsck", "--strict")
