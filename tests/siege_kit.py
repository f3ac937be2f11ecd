"""A bridge that is restarted repeatedly on one repo, while clients send posts without pause."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from git_kit import assert_sound, commit_all, git, new_repo

from bridge.auth.token import ALL_SCOPES
from bridge.indieauth.database import Database
from bridge.indieauth.oauth.app_tokens import create_token
from bridge.store.owner_clone import allow_pushes_into
from bridge.store.setup import clone_bare

CLIENTS = 8
PELICANCONF = """\
SITEURL = "https://example.com"
SITENAME = "A"
TIMEZONE = "UTC"
ARTICLE_URL = "{category}/{date:%Y}/{date:%m}/{slug}/"
ARTICLE_SAVE_AS = ARTICLE_URL + "index.html"
"""


@dataclass
class Besieged:
    """The bridge, its repo, the owner's clone, and the unique words of all acknowledged posts."""

    repo: Path
    clone: Path
    environment: dict[str, str]
    token: str
    #: Seconds of processor time until it listens, which do not depend on other programs.
    starts: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)

    @classmethod
    def in_folder(cls, folder: Path, *, pushing: bool = False) -> Besieged:
        """A site with one post; ``pushing``: to the owner's clone on the same machine."""
        clone = new_repo(folder / "clone")
        (clone / "pelicanconf.py").write_text(PELICANCONF)
        (clone / "content").mkdir()
        first = "Title: A\nDate: 2026-11-21\n\nword-0-0-0-\n"
        (clone / "content/first.md").write_text(first)
        commit_all(clone)
        clone_bare(str(clone), folder / "site.git", "main")
        allow_pushes_into(clone)
        environment = {
            "BRIDGE_SITE__ME": "https://example.com/",
            "BRIDGE_SITE__REPO": str(folder / "site.git"),
            "BRIDGE_SITE__STATE": str(folder / "state"),
            "BRIDGE_SERVER__PORT": "0",
            "BRIDGE_INDIEAUTH__ENABLED": "true",
            "BRIDGE_INDIEAUTH__DATABASE": str(folder / "indieauth.sqlite"),
            "BRIDGE_PUBLISH__REMOTE": "origin" if pushing else "",
            "BRIDGE_PUBLISH__AUTHOR": "A <a@example.com>",
            "BRIDGE_REBUILD__MODE": "none",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            # Python caches bytecode, as it does in use.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        database = Database(folder / "indieauth.sqlite")
        token = create_token(database, "siege", ALL_SCOPES)
        database.close()
        return cls(folder / "site.git", clone, environment, token)

    async def start(self) -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bridge", "serve",
            env={**os.environ, **self.environment}, cwd=self.repo.parent,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        ran = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()[11:13]
        self.starts.append(sum(map(int, ran)) / os.sysconf("SC_CLK_TCK"))
        url = line.removeprefix("listening on ").strip()
        assert url.startswith("http"), line
        return process, url

    async def post(self, url: str, text: str) -> tuple[int, dict[str, Any]]:
        """Post a note; returns the response's status and JSON."""
        note = {"h": "entry", "content": text}
        async with self._client() as http, http.post(f"{url}micropub", data=note) as answer:
            return answer.status, await answer.json()

    async def look(self, url: str) -> None:
        """A query that is answered once the bridge has indexed all posts."""
        async with self._client() as http, http.get(f"{url}micropub?q=source") as answer:
            assert answer.status == 200

    def clients(self, url: str, number: int) -> list[asyncio.Task[None]]:
        """The clients of one round: they post until the bridge is killed, or they are cancelled."""
        return [
            asyncio.create_task(self._post_until_it_dies(url, client, number))
            for client in range(CLIENTS)
        ]

    async def _post_until_it_dies(self, url: str, client: int, number: int) -> None:
        """One client: it posts, waits for the response, and posts again."""
        async with self._client() as http:
            for turn in range(10_000):
                name = f"word-{number}-{client}-{turn}-"
                try:
                    async with http.post(
                        f"{url}micropub", data={"h": "entry", "content": name}
                    ) as answer:
                        done = answer.status in {201, 202}
                        # A response that asks to retry acknowledges nothing.
                        assert done or answer.status in {409, 503}, await answer.text()
                except aiohttp.ClientError:
                    return
                if done:
                    self.acknowledged.add(name)

    def _client(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.token}"})

    def check(self) -> None:
        """Check that all acknowledged posts exist, and that the repo is intact."""
        found = set(git(self.repo, "grep", "-h", "-o", "-E", "word-[0-9-]+", "main").split())
        assert self.acknowledged <= found
        assert_sound(self.repo)
        assert [*self.repo.rglob("*.lock")] == []
        assert [*self.repo.rglob("tmp_*")] == []
