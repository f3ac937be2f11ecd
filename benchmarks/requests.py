"""The cost of a post over HTTP, compared with only writing and syncing the same files.

python -m benchmarks.requests [POSTS ...]

Before that, the first index: from the start of a bridge that knows no post to the first answer to a
query, and the processor time of all its processes until then (of two cores it can use both).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import aiohttp

from benchmarks.sites import make_site, processor_time
from bridge.auth.token import ALL_SCOPES
from bridge.indieauth.database import Database
from bridge.indieauth.oauth.app_tokens import create_token

_ROUNDS = 100
_FLOOR_FILES = 7
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def main(sizes: list[int]) -> None:
    """Print a table."""
    print(
        f"{'posts':>8} {'floor':>8} {'form':>8} {'ratio':>6} {'JSON':>8} {'ratio':>6}"
        f" {'8 at once':>10} {'64':>8} {'start':>7} {'memory':>7} {'first index':>12} {'CPU':>8}"
    )
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            print(measure(Path(folder), size), flush=True)


def measure(folder: Path, size: int) -> str:
    """Print a row of the table. Start and memory are those of a bridge whose index of posts
    exists.
    """
    make_site(folder / "site.git", size)
    with serving(folder) as bridge:
        index, processor = first_index(bridge)
        alone(bridge, folder, 1)
        floors, forms, jsons = alone(bridge, folder, _ROUNDS)
        eight, many = (asyncio.run(throughput(bridge, clients)) for clients in (8, 64))
    with serving(folder) as bridge:
        time.sleep(2)
        memory = bridge.memory()
    return (
        f"{size:>8,} {floors * 1e3:>5.2f} ms {forms * 1e3:>5.2f} ms {forms / floors:>6.2f}"
        f" {jsons * 1e3:>5.2f} ms {jsons / floors:>6.2f} {eight:>8.0f}/s {many:>6.0f}/s"
        f" {bridge.start:>5.2f} s {memory:>4.0f} MB {index:>10.2f} s {processor:>6.2f} s"
    )


@dataclass(frozen=True)
class Serving:
    """A bridge in a process of its own, as in production."""

    url: str
    token: str
    pid: int
    start: float

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request."""
        return {"Authorization": f"Bearer {self.token}"}

    def memory(self) -> float:
        """The present memory of the process, in megabytes."""
        status = Path("/proc", str(self.pid), "status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1000


@contextmanager
def serving(folder: Path) -> Iterator[Serving]:
    """Run the bridge in the block, from ready to a clean exit."""
    environment = {
        "BRIDGE_SITE__ME": "https://example.com/",
        "BRIDGE_SITE__REPO": str(folder / "site.git"),
        "BRIDGE_SITE__STATE": str(folder / "state"),
        "BRIDGE_SERVER__PORT": "0",
        "BRIDGE_INDIEAUTH__ENABLED": "true",
        "BRIDGE_INDIEAUTH__DATABASE": str(folder / "indieauth.sqlite"),
        "BRIDGE_PUBLISH__REMOTE": "",
        "BRIDGE_PUBLISH__AUTHOR": "A <a@example.com>",
        "BRIDGE_REBUILD__MODE": "none",
    }
    database = Database(folder / "indieauth.sqlite")
    token = create_token(database, "benchmark", ALL_SCOPES)
    database.close()
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        try:
            yield Serving(url, token, process.pid, time.perf_counter() - begin)
        finally:
            process.terminate()


def first_index(bridge: Serving) -> tuple[float, float]:
    """Seconds until a query is answered, and of processor time, from the bridge's start."""
    began = time.perf_counter() - bridge.start
    address = urlsplit(bridge.url)
    while True:
        http = HTTPConnection(address.hostname or "", address.port)
        http.request("GET", "/micropub?q=source&limit=1", headers=bridge.headers)
        status = http.getresponse().status
        http.close()
        if status == 200:
            return time.perf_counter() - began, processor_time(bridge.pid)
        assert status == 503, status
        time.sleep(0.05)


def alone(bridge: Serving, folder: Path, rounds: int) -> list[float]:
    """Median seconds of plain file writes, a form and JSON, in turn, so that all see the same state
    of the disk.

    One connection stays open, as with an app.
    """
    address = urlsplit(bridge.url)
    http = HTTPConnection(address.hostname or "", address.port)
    http.connect()
    http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    floors, forms, jsons = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        for kind, times in ((_FORM, forms), (_JSON, jsons)):
            floors.append(floor(folder))
            times.append(post(http, bridge, kind))
    http.close()
    return [statistics.median(times) for times in (floors, forms, jsons)]


def post(http: HTTPConnection, bridge: Serving, kind: str) -> float:
    """Seconds from the request to the complete response."""
    body = note(kind)
    begin = time.perf_counter()
    http.request("POST", "/micropub", body, {**bridge.headers, "Content-Type": kind})
    answer = http.getresponse()
    answer.read()
    taken = time.perf_counter() - begin
    assert answer.status in {201, 202}, answer.status
    return taken


def note(kind: str) -> str:
    """A note with a tag."""
    text = f"A note that is written at {time.time()}"
    if kind == _FORM:
        return urlencode({"h": "entry", "content": text, "category": "x"})
    properties = {"content": [text], "category": ["x"]}
    return json.dumps({"type": ["h-entry"], "properties": properties})


async def throughput(bridge: Serving, clients: int) -> float:
    """Posts per second with this many clients that each wait for their response."""
    turns = 10

    async def client(http: aiohttp.ClientSession) -> None:
        for _ in range(turns):
            headers = {"Content-Type": _FORM}
            async with http.post(
                f"{bridge.url}micropub", data=note(_FORM), headers=headers
            ) as answer:
                assert answer.status in {201, 202}, await answer.text()

    async with aiohttp.ClientSession(headers=bridge.headers) as http:
        begin = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(clients)))
        return clients * turns / (time.perf_counter() - begin)


def floor(folder: Path) -> float:
    """Seconds to write and sync the files that a commit has as loose objects, and their folder."""
    place = Path(tempfile.mkdtemp(dir=folder))
    begin = time.perf_counter()
    for index in range(_FLOOR_FILES):
        file = os.open(place / str(index), os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(file, b"x" * 300)
        os.fsync(file)
        os.close(file)
    opened = os.open(place, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 10_000, 100_000])
