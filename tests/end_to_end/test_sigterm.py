"""After SIGTERM the bridge ends within ten seconds, whatever it is doing, with all its
processes.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from crowd_kit import Repos
from git_kit import git
from process_kit import is_running
from serving_kit import Serving, serving
from soak_kit import SOAK

from bridge.commands import serve

ROOT = Path(__file__).parents[2]
STUCK = ["build", "remote", "thread", "request"]
#: Takes no notice of SIGTERM, and says where it is.
HANGS = '#!/bin/sh\ntrap "" TERM INT\necho $$ >> {pids}\nwhile :; do sleep 1000; done\n'
#: A text that the site's Markdown never comes to the end of.
ENDLESS = """
import time
from markdown import Extension
from markdown.preprocessors import Preprocessor

class Step(Preprocessor):
    def run(self, lines):
        while any("endless" in line for line in lines):
            time.sleep(0.1)
        return lines

class Endless(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Step(md), "endless", 1)

MARKDOWN = {"extensions": [Endless()]}
"""


class Stuck:
    """What can hang: each is started, and known to hang."""

    def __init__(self, folder: Path, stuck: list[str]) -> None:
        self.stuck = stuck
        self.pids = folder / "pids"
        self.pids.touch()
        self.repos = Repos.begin(folder, {})
        with (self.repos.laptop / "pelicanconf.py").open("a") as conf:
            conf.write(ENDLESS)
        self.repos.write({})
        self.repos.push()
        git(self.repos.bare, "fetch", "-q", "origin", "main:main")
        program = folder / "hangs"
        program.write_text(HANGS.format(pids=self.pids))
        program.chmod(0o755)
        self.environment = {}
        if "build" in stuck:
            self.environment["BRIDGE_REBUILD__MODE"] = "command"
            # The program is none of the site's, and has to write down where it is.
            self.environment["BRIDGE_REBUILD__CONFINED"] = "false"
            self.environment["BRIDGE_REBUILD__COMMAND"] = f'["{program}"]'
        if "remote" in stuck:
            self.environment["GIT_SSH_COMMAND"] = str(program)
            git(self.repos.bare, "remote", "set-url", "origin", "ssh://git@elsewhere.example/x")

    @contextmanager
    def requests(self, bridge: Serving) -> Iterator[None]:
        """Incomplete requests: of a header, of a body."""
        with ExitStack() as stack:
            for head in (
                b"POST /micropub HTTP/1.1\r\nHost: x\r\n",
                b"POST /micropub HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
                b"Content-Type: application/json\r\nAuthorization: Bearer "
                + bridge.token.encode()
                + b'\r\n\r\n{"type"',
            ):
                where = urlsplit(bridge.url)
                address = (str(where.hostname), int(where.port or 0))
                opened = stack.enter_context(socket.create_connection(address))
                opened.sendall(head)
            yield

    def running(self) -> list[int]:
        """The hanging programs that are still running."""
        return [pid for pid in map(int, self.pids.read_text().split()) if is_running(pid)]


def test_the_time_limits_of_shutdown_add_up_to_ten_seconds() -> None:
    assert serve._END_SECONDS < 10
    assert 2 * serve._REQUEST_SECONDS < serve._CHILD_SECONDS < serve._END_SECONDS


#: A bridge whose event loop never gets a turn again.
HANGING = """
import asyncio, time
from aiohttp import web
from bridge.commands import serve
from bridge.http.connection import MAX_REQUEST

serve._END_SECONDS, serve._CHILD_SECONDS = 0.5, 0.25

async def hang(request):
    print("hangs", flush=True)
    while True:
        time.sleep(1)

async def ready():
    print(listener.getsockname()[1], flush=True)

async def main():
    app = web.Application()
    app[MAX_REQUEST] = 1000
    app.router.add_get("/", hang)
    await serve.run(app, listener, ready)

listener = serve.listen("127.0.0.1", 0)
asyncio.run(main())
"""


def test_sigterm_ends_a_bridge_whose_event_loop_hangs() -> None:
    started = subprocess.Popen(
        [sys.executable, "-c", HANGING], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with started as running:
        assert running.stdout is not None
        try:
            port = int(running.stdout.readline())
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert running.stdout.readline() == b"hangs\n"
                running.terminate()
                assert running.wait(100) == 1
        finally:
            running.kill()


#: A bridge that gets ready for ever, as while the first build is waited for.
NEVER_READY = """
import asyncio, sys
from aiohttp import web
from bridge.commands import serve
from bridge.http.connection import MAX_REQUEST
from bridge.http.later import LATER, Later

async def ready():
    print("listens", flush=True)
    await asyncio.Event().wait()

async def make():
    if "fails" in sys.argv:
        raise MemoryError("while the rest was made")
    return web.Application()

async def main():
    app = web.Application()
    app[MAX_REQUEST] = 1000
    app[LATER] = Later(make)
    app[LATER].mount(app)
    await serve.run(app, serve.listen("127.0.0.1", 0), ready)

asyncio.run(main())
"""


@pytest.mark.parametrize(("makes", "status"), [("fails", 1), ("works", 0)])
def test_a_bridge_that_is_not_ready_yet_ends_on_errors_and_signals(makes: str, status: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", NEVER_READY, makes],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "listens\n"
            if makes == "works":
                running.terminate()
            _, printed = running.communicate(timeout=100)
        finally:
            running.kill()
    assert running.returncode == status, printed
    assert "while the rest was made" in printed if makes == "fails" else not printed


ALONE = [[each] for each in STUCK] if SOAK else []


@pytest.mark.parametrize("stuck", [STUCK, *ALONE], ids=" ".join)
async def test_sigterm_ends_the_bridge_during(stuck: list[str], tmp_path: Path) -> None:
    hanging = Stuck(tmp_path, stuck)
    with serving(hanging.repos, **hanging.environment) as bridge, ExitStack() as stack:
        async with aiohttp.ClientSession(headers=bridge.headers) as http:
            if "request" in stuck:
                stack.enter_context(hanging.requests(bridge))
            async with http.post(
                f"{bridge.url}micropub", data={"h": "entry", "content": "A post"}
            ) as answer:
                assert answer.status == 202, await answer.text()
            if "thread" in stuck:
                note = {"h": "entry", "content": "endless"}
                posting = asyncio.create_task(
                    http.post(f"{bridge.url}micropub", data=note).__aenter__()
                )
                await asyncio.sleep(0.5)
                assert not posting.done()
                stack.callback(posting.cancel)
            async with asyncio.timeout(300):
                programs = {"build", "remote"} & set(stuck)
                while len(hanging.running()) < len(programs):
                    await asyncio.sleep(0.05)
            bridge.process.send_signal(signal.SIGTERM)
            # Its limits add up to less than ten seconds; what hangs here never ends by itself.
            code = await asyncio.to_thread(bridge.process.wait, 100)
    log = bridge.log.read_text()
    assert code in (0, 1), log
    if stuck == ["request"]:
        assert code == 0, log
    # What was killed may need a moment to be gone.
    async with asyncio.timeout(300):
        while hanging.running():
            await asyncio.sleep(0.01)
    # What was acknowledged is there, and nothing is in the way of the next start.
    assert "A post" in "".join(hanging.repos.posts().values())
    hanging.repos.check()
    with serving(hanging.repos, BRIDGE_PUBLISH__REMOTE="") as again:
        assert again.url
