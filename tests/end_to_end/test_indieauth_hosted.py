"""A site whose tokens are from a hosted token endpoint, as many still are.

The home page delegates by link tags; the endpoint answers JSON only to exactly that ``Accept``,
else a form; its scope may be blank; without a token it answers an HTML page.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from indieauth_kit import free_socket, listening

from bridge.store.owner_clone import allow_pushes_into
from bridge.store.setup import clone_bare, create_site_repo

ROOT = Path(__file__).parents[2]


class Hosted:
    """A site with its home page and, on the same server, a hosted token endpoint."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.me = ""
        self.form_only = False
        self.scopes = {"good": "create", "blank": "", "other": "create"}

    async def home(self, _: web.Request) -> web.Response:
        text = (
            "<!doctype html><title>Me</title>"
            '<link rel="authorization_endpoint" href="/hosted/auth">'
            '<link rel="token_endpoint" href="/hosted/token">'
        )
        return web.Response(text=text, content_type="text/html")

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            return web.Response(text="<!doctype html><h1>Tokens!</h1>", content_type="text/html")
        if token not in self.scopes:
            return self._reply(request, {"error": "unauthorized"}, status=400)
        return self._reply(
            request,
            {
                "me": "https://somebody.example/" if token == "other" else self.me,
                "client_id": "https://app.example/",
                "scope": self.scopes[token],
                "issued_at": 1399155608,
                "nonce": 501884823,
            },
        )

    def _reply(
        self, request: web.Request, values: dict[str, object], status: int = 200
    ) -> web.Response:
        if request.headers.get("Accept") == "application/json" and not self.form_only:
            return web.json_response(values, status=status)
        form = "application/x-www-form-urlencoded"
        return web.Response(text=urlencode(values), content_type=form, status=status)


@dataclass
class Stage:
    """The hosted endpoint, and the bridge's URL."""

    hosted: Hosted
    micropub: str
    client: aiohttp.ClientSession
    repo: Path
    output: Path

    async def post(self, token: str) -> tuple[int, dict[str, str]]:
        async with self.client.post(
            self.micropub,
            data={"h": "entry", "content": f"Hello from {token}"},
            headers={"Authorization": f"Bearer {token}"},
        ) as response:
            return response.status, json.loads(await response.text())

    def commits(self) -> int:
        command = ["git", "-C", str(self.repo), "rev-list", "--count", "HEAD"]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    hosted = Hosted()
    app = web.Application()
    app.router.add_get("/", hosted.home)
    app.router.add_get("/hosted/token", hosted.token)
    shutil.copytree(
        ROOT / "sample_site", tmp_path / "site", ignore=shutil.ignore_patterns("output")
    )
    create_site_repo(tmp_path / "site", name="Me", email="me@example.com")
    clone_bare(str(tmp_path / "site"), tmp_path / "site.git", "main")
    allow_pushes_into(tmp_path / "site")
    async with listening(app, free_socket()) as site, aiohttp.ClientSession() as client:
        hosted.me = f"{site}/"
        config = tmp_path / "bridge.toml"
        config.write_text(
            f'[site]\nme = "{site}/"\nrepo = "site.git"\n'
            '[publish]\nauthor = "Me <me@example.com>"\n'
            '[server]\nport = 0\n[rebuild]\nmode = "none"\n'
        )
        with (tmp_path / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bridge",
                "serve",
                "-c",
                str(config),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "SITE_URL": site},
            )
            try:
                assert process.stdout is not None
                async with asyncio.timeout(300):
                    line = (await process.stdout.readline()).decode()
                assert "listening on " in line, (tmp_path / "log").read_text()
                base = line.split("listening on ")[1].strip()
                repo = tmp_path / "site.git"
                yield Stage(hosted, f"{base}micropub", client, repo, tmp_path / "log")
            finally:
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0, (tmp_path / "log").read_text()


async def test_a_site_that_delegates_to_a_hosted_token_endpoint(stage: Stage) -> None:
    before = stage.commits()
    log = stage.output.read_text()
    assert f"{stage.hosted.me}hosted/token" in log  # found by itself, and shown

    status, body = await stage.post("good")
    assert status in {201, 202}
    assert body["url"].startswith("http")
    assert stage.commits() == before + 1
    asked = stage.hosted.asked[0]
    assert asked.headers.getall("Accept") == ["application/json"]
    assert asked.headers["Authorization"] == "Bearer good"

    assert (await stage.post("blank"))[0] == 403
    assert (await stage.post("blank"))[1]["error"] == "insufficient_scope"
    assert (await stage.post("other"))[1]["error"] == "forbidden"
    assert (await stage.post("unknown"))[0] == 401
    assert stage.commits() == before + 1


async def test_a_token_endpoint_that_answers_only_form_encoded(stage: Stage) -> None:
    stage.hosted.form_only = True
    assert (await stage.post("good"))[0] in {201, 202}
    assert (await stage.post("blank"))[0] == 403
    assert (await stage.post("other"))[0] == 403
    assert (await stage.post("unknown"))[0] == 401
