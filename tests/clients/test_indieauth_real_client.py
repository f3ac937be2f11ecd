"""A client in use, micropub-helper (npm), signs in to the demo with PKCE, from discovery to a post.

The owner's part (password, consent) is done over HTTP, as in a browser.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from demo_kit import Demo
from indieauth_kit import browser, client_site

pytestmark = pytest.mark.node

#: Prints the URL for the browser, reads the code, and posts with the token.
SCRIPT = """
import { createInterface } from "node:readline/promises";
import { Micropub } from "micropub-helper";
const [me, app] = process.argv.slice(2);
const client = new Micropub({ me, clientId: `${app}/`, redirectUri: `${app}/back`,
  state: "a state & more", scope: "create update" });
console.log(JSON.stringify({ url: await client.getAuthUrl() }));
const { code } = JSON.parse(await createInterface({ input: process.stdin }).question(""));
const token = await client.getToken(code);
const post = await client.create({ type: ["h-entry"], properties: { content: ["Signed in!"] } });
console.log(JSON.stringify({ token, post }));
process.exit(0);
"""


@pytest.fixture
def script(clients: Path) -> Path:
    file = clients / "sign_in.mjs"
    file.write_text(SCRIPT)
    return file


@asynccontextmanager
async def node(script: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "node",
        script.name,
        *arguments,
        cwd=script.parent,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> dict[str, str]:
    assert process.stdout is not None
    async with asyncio.timeout(300):
        found: dict[str, str] = json.loads(await process.stdout.readline())
    return found


async def test_micropub_helper_signs_in_and_posts(bridge: Demo, script: Path) -> None:
    async with (
        client_site() as app,
        node(script, bridge.me, app) as process,
        browser(bridge.site.rstrip("/")) as owner,
    ):
        url = (await said(process))["url"]
        assert url.startswith(bridge.authorization)

        sign_in = await owner.get(url)
        done = await owner.submit(sign_in, "/auth/sign-in", password=bridge.password)
        question = await owner.get(done.location)
        assert "Quillpen" in question.text
        answer = await owner.submit(question, "/auth/consent", decision="allow")
        assert answer.location.startswith(f"{app}/back?")
        assert answer.answer["state"] == "a state & more"
        assert answer.answer["iss"] == bridge.site

        assert process.stdin is not None
        process.stdin.write(json.dumps({"code": answer.answer["code"]}).encode() + b"\n")
        found = await said(process)
        assert found["post"].startswith(bridge.site)
        async with owner.session.get(
            bridge.micropub, params={"q": "source", "url": found["post"]},
            headers={"Authorization": f"Bearer {found['token']}"},
        ) as reply:  # fmt: skip
            assert (await reply.json())["properties"]["content"] == ["Signed in!"]
