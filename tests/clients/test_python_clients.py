"""Clients from PyPI: entries, a command line that signs in without PKCE, and micropub."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from demo_kit import Demo, demo_in
from indieauth_kit import Browser, browser

pytestmark = pytest.mark.nightly

CLIENT_ID = "https://hexa.ninja/5ce9a178def3b70a/entries-cli"
#: An app without PKCE, whose redirect URI need not be published.
APPS = [{"id": CLIENT_ID, "pkce": False, "redirect_uris": ["http://localhost:7881/"]}]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of their commands."""
    folder = tmp_path_factory.mktemp("pypi") / "env"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    # entries asks pkg_resources for its own version.
    packages = ("entries==0.1.2", "micropub==0.0.9", "setuptools<81")
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("clients") / "demo"
    with demo_in(folder, BRIDGE_INDIEAUTH__CLIENTS=json.dumps(APPS)) as running:
        yield running


@pytest.fixture
async def owner(demo: Demo) -> AsyncIterator[Browser]:
    async with browser(demo.site.rstrip("/")) as signed_in:
        await signed_in.sign_in(password=demo.password)
        yield signed_in


async def entries(
    programs: Path, owner: Browser, folder: Path, *arguments: str, text: str = ""
) -> str:
    """Run ``entries``: where it opens a browser the owner allows it, and ``text`` is what they
    write in its editor. Returns what it printed."""
    opened, typed = folder / "opened", folder / "typed"
    opened.unlink(missing_ok=True)
    typed.write_text(text)
    tools = {
        "BROWSER": f"{sys.executable} -c \"import sys;open(sys.argv[1],'w').write(sys.argv[2])\""
        f" {opened} %s",
        "EDITOR": f"cp {typed}",
    }
    process = await asyncio.create_subprocess_exec(
        programs / "entries", *arguments, env={**os.environ, **tools, "LC_ALL": "C.UTF-8"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(300):
            assert b"waiting" in await process.stdout.readline()
            while not opened.exists() or not opened.read_text():
                await asyncio.sleep(0.05)
            asked = opened.read_text()
            question = await owner.get(asked)
            # The owner must tick ``delete``.
            scopes = parse_qs(urlsplit(asked).query)["scope"][0].split()
            answer = await owner.submit(question, "/auth/consent", decision="allow", scope=scopes)
            await owner.get(answer.location.replace("localhost", "127.0.0.1"))
            printed = (await process.stdout.read()).decode()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    return printed


async def test_entries_posts_reads_changes_and_deletes(
    demo: Demo, programs: Path, owner: Browser, tmp_path: Path
) -> None:
    written = "name: From a terminal\nmp-slug: from-entries\ncategory: [a, b]\n---\nText:\n- one\n"
    assert "success" in await entries(programs, owner, tmp_path, "create", demo.site, text=written)
    (url,) = [post for post in await listed(demo, owner) if "from-entries" in post]
    assert "<li>one</li>" in (await owner.get(url)).text

    said = await entries(programs, owner, tmp_path, "source", url)
    assert "'category': ['a', 'b']" in said
    assert r"'content': ['\nText:\n- one\n']" in said

    changed = written.replace("---", "mp-extra-head: ''\nmp-extra-body: ''\n---")
    changed = changed.replace("one", "two")
    await entries(programs, owner, tmp_path, "update", url, text=changed)
    assert "<li>two</li>" in (await owner.get(url)).text
    await entries(programs, owner, tmp_path, "delete", url)
    assert (await owner.get(url)).status in {404, 410}


def test_micropub_posts(demo: Demo, programs: Path) -> None:
    script = (
        "import sys, json, micropub\n"
        "client = micropub.Client(sys.argv[1], sys.argv[2])\n"
        "client.create_post({'content': ['By a library'], 'category': ['x']})\n"
        "post = client.get().json()\n"
        "url = client.get(params={'q': 'source', 'limit': 1}).json()['items'][0]"
        "['properties']['url'][0]\n"
        "print(json.dumps(client.get_post(url).json()))"
    )
    ran = subprocess.run(
        [programs / "python", "-c", script, demo.micropub, demo.token],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(ran.stdout)["properties"]
    assert found["content"] == ["By a library"]
    assert found["category"] == ["x"]


async def listed(demo: Demo, owner: Browser) -> list[str]:
    bearer = {"Authorization": f"Bearer {demo.token}"}
    async with owner.session.get(demo.micropub, params={"q": "source"}, headers=bearer) as answer:
        items = (await answer.json())["items"]
    return [item["properties"]["url"][0] for item in items]
