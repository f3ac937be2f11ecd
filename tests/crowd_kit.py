"""A bridge in this process with a bare clone, its remote, the owner's laptop, and many clients."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from git_kit import assert_sound, files_in, git, new_repo, push, set_up

from bridge.app import make_app
from bridge.auth.token import ALL_SCOPES
from bridge.indieauth.database import Database
from bridge.indieauth.oauth.app_tokens import create_token
from bridge.settings import IndieAuth, Publish, Rebuild, Settings, Site
from bridge.store.repo import read_ref

SITE = "https://example.com"
HOOK_SECRET = "shared with the git host"
#: Ten times the slowest response; only against hanging.
PATIENCE = 300.0
PELICANCONF: Mapping[str, object] = {
    "SITEURL": SITE,
    "SITENAME": "A",
    "TIMEZONE": "UTC",
    "ARTICLE_URL": "{date:%Y}/{slug}/",
    "ARTICLE_SAVE_AS": "{date:%Y}/{slug}/index.html",
}


@dataclass(frozen=True)
class Answer:
    """A response to a client."""

    status: int
    json: Any
    location: str = ""

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def words(self) -> str:
        return str(self.json["error_description"])


@dataclass(frozen=True)
class Repos:
    """The repos of a site: the bridge's bare one, the remote, and the owner's clone."""

    folder: Path

    @property
    def bare(self) -> Path:
        return self.folder / "site.git"

    @property
    def laptop(self) -> Path:
        return self.folder / "laptop"

    @classmethod
    def begin(cls, folder: Path, files: Mapping[str, str], **settings: object) -> Repos:
        """A new site with these files, pushed and cloned."""
        conf = {**PELICANCONF, **settings}
        lines = "".join(f"{key} = {value!r}\n" for key, value in conf.items())
        about = "No post.\n"
        everything = {"pelicanconf.py": lines, "content/about.txt": about, **files}
        set_up(folder, _begin, tuple(everything.items()))
        return cls(folder)

    def write(self, files: Mapping[str, str | None], message: str = "By hand") -> None:
        """Commit on the laptop."""
        for path, text in files.items():
            file = self.laptop / path
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        git(self.laptop, "add", "-A")
        git(self.laptop, "commit", "-q", "-m", message)

    def push(self) -> None:
        """Rebase the laptop's commits onto the remote's branch and push them."""
        git(self.laptop, "pull", "-q", "--rebase", "origin", "main")
        push(self.laptop)

    def files(self) -> dict[str, str]:
        """The text of each file below the content folder of the bridge's branch, by path."""
        found = files_in(self.bare, "content/")
        return {path: data.decode(errors="replace") for path, data in found.items()}

    def posts(self) -> dict[str, str]:
        """The same for posts only."""
        return {path: text for path, text in self.files().items() if path.endswith(".md")}

    def commits(self) -> int:
        return int(git(self.bare, "rev-list", "--count", "main"))

    def check(self, *, but: Container[str] = ()) -> None:
        """Check that the repo is intact, and that no two posts have the same URL.

        ``but`` are titles of posts that are not compared.
        """
        assert_sound(self.bare)
        posts = [text for text in self.posts().values() if title(text) not in but]
        addresses = [_address(text) for text in posts]
        assert len(addresses) == len(set(addresses)), sorted(addresses)


def _begin(folder: Path, files: tuple[tuple[str, str], ...]) -> None:
    new_repo(folder / "remote.git", bare=True)
    git(folder, "clone", "-q", "remote.git", "laptop")
    repos = Repos(folder)
    repos.write(dict(files))
    git(repos.laptop, "push", "-q", "origin", "HEAD:main")
    git(folder, "clone", "-q", "--bare", "remote.git", "site.git")


def title(text: str) -> str:
    """The title of a post; ``""`` if it has none."""
    found = re.search(r"(?m)^Title: (.*)$", text)
    return found[1] if found else ""


def _address(text: str) -> tuple[str, str]:
    """A post's URL by the rules in :data:`PELICANCONF`."""
    date, slug = (re.search(rf"(?m)^{key}: (.*)$", text) for key in ("Date", "Slug"))
    assert date, text
    assert slug, text
    return date[1][:4], slug[1]


@dataclass(frozen=True)
class Crowd:
    """Clients of one bridge. Each method returns the response, and fails if there is none."""

    repos: Repos
    url: str
    http: aiohttp.ClientSession

    async def send(self, body: Mapping[str, Any]) -> Answer:
        """POST JSON to the Micropub endpoint."""
        async with (
            asyncio.timeout(PATIENCE),
            self.http.post(f"{self.url}micropub", json=body) as answer,
        ):
            found = await answer.json() if answer.content_length else {}
            return Answer(answer.status, found, answer.headers.get("Location", ""))

    async def create(self, content: str = "Hello", **commands: Any) -> Answer:
        properties = {"content": [content]}
        for name, value in commands.items():
            properties[name.replace("_", "-")] = [value]
        return await self.send({"type": ["h-entry"], "properties": properties})

    async def update(self, url: str, **change: Any) -> Answer:
        return await self.send({"action": "update", "url": url, **change})

    async def delete(self, url: str) -> Answer:
        return await self.send({"action": "delete", "url": url})

    async def undelete(self, url: str) -> Answer:
        return await self.send({"action": "undelete", "url": url})

    async def source(self, url: str) -> dict[str, Any] | None:
        """The properties of a post, or ``None`` if it does not exist."""
        query = {"q": "source", "url": url}
        async with (
            asyncio.timeout(PATIENCE),
            self.http.get(f"{self.url}micropub", params=query) as answer,
        ):
            found = await answer.json()
            if answer.status == 400:
                return None
            assert answer.status == 200, found
            properties: dict[str, Any] = found["properties"]
            return properties

    async def status(self) -> Any:
        headers = {"Accept": "application/json"}
        async with self.http.get(f"{self.url}status", headers=headers) as answer:
            return await answer.json()

    async def call_hook(self) -> int:
        """Call the webhook, as the git host does after a push."""
        headers = {"X-Gitlab-Token": HOOK_SECRET}
        async with self.http.post(f"{self.url}hook/git", headers=headers) as answer:
            return answer.status

    async def in_step(self) -> None:
        """Return when the bridge and its remote have the same commits."""
        async with asyncio.timeout(PATIENCE):
            while True:
                both = (self.repos.bare, self.repos.folder / "remote.git")
                if len({read_ref(repo, "refs/heads/main") for repo in both}) == 1:
                    return
                await asyncio.sleep(0.01)


def settings(repos: Repos, *, remote: str = "origin", wait_seconds: float = 0) -> Settings:
    return Settings(
        site=Site(me=f"{SITE}/", repo=repos.bare, state=repos.folder / "state"),
        indieauth=IndieAuth(enabled=True, database=repos.folder / "indieauth.sqlite"),
        publish=Publish(
            remote=remote,
            author="Ada <ada@example.com>",
            poll_seconds=3600,
            hook_secret=HOOK_SECRET,
        ),
        rebuild=Rebuild(mode="none", wait_seconds=wait_seconds),
    )


@asynccontextmanager
async def crowd(repos: Repos, *, remote: str = "origin") -> AsyncIterator[Crowd]:
    """A running bridge and its clients."""
    config = settings(repos, remote=remote)
    app: web.Application = await make_app(config, public_url="https://bridge.example/")
    database = Database(config.indieauth.database)
    token = create_token(database, "a crowd", ALL_SCOPES)
    database.close()
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
    ):
        yield Crowd(repos, str(server.make_url("/")), http)
