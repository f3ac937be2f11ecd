"""What a post costs through HTTP, beside writing and syncing the same files: the disk's floor.

python -m benchmarks.requests [POSTS ...]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp.test_utils import TestServer

from benchmarks.sites import make_site
from bridge.app import make_app
from bridge.indieauth.database import Database
from bridge.indieauth.tokens import ALL_SCOPES, create_token
from bridge.settings_file import load

_ROUNDS = 50
_FLOOR_FILES = 7


def main(sizes: list[int]) -> None:
    """Prints a table."""
    print(f"{'posts':>8} {'floor':>9} {'one post':>9} {'ratio':>6} {'8 at once':>10} {'64':>8}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_site(Path(folder, "site.git"), size)
            asyncio.run(measure(Path(folder), size))


async def measure(folder: Path, size: int) -> None:
    settings = load(
        None,
        {
            "BRIDGE_SITE__ME": "https://example.com/",
            "BRIDGE_SITE__REPO": str(folder / "site.git"),
            "BRIDGE_SERVER__PUBLIC_URL": "https://bridge.example.com/",
            "BRIDGE_INDIEAUTH__ENABLED": "true",
            "BRIDGE_INDIEAUTH__DATABASE": str(folder / "indieauth.sqlite"),
            "BRIDGE_PUBLISH__REMOTE": "",
            "BRIDGE_PUBLISH__AUTHOR": "A <a@example.com>",
            "BRIDGE_REBUILD__MODE": "none",
        },
    )
    database = Database(settings.indieauth.database)
    token = create_token(database, "benchmark", ALL_SCOPES)
    database.close()
    app = await make_app(settings, public_url="https://bridge.example.com/")
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
    ):
        url = server.make_url("/micropub")

        async def post(number: int) -> float:
            start = time.perf_counter()
            body = {"h": "entry", "content": f"Number {number}, at {time.time()}", "category": "x"}
            async with http.post(url, data=body) as answer:
                assert answer.status in {201, 202}, await answer.text()
            return time.perf_counter() - start

        await post(0)
        pairs = [(floor(folder, n), await post(n)) for n in range(_ROUNDS)]
        floors, posts = (statistics.median(column) for column in zip(*pairs, strict=True))
        eight, many = [await throughput(post, clients) for clients in (8, 64)]
    print(
        f"{size:>8,} {floors * 1e3:>6.1f} ms {posts * 1e3:>6.1f} ms {posts / floors:>6.2f}"
        f" {eight:>8.0f}/s {many:>6.0f}/s"
    )


async def throughput(post, clients: int) -> float:  # type: ignore[no-untyped-def]
    """Posts a second with this many clients that each wait for their answer."""
    turns = 5

    async def client(number: int) -> None:
        for turn in range(turns):
            await post(number * turns + turn)

    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return clients * turns / (time.perf_counter() - start)


def floor(folder: Path, number: int) -> float:
    """Seconds to write and sync what a commit in loose objects is: some files and their folder."""
    place = folder / "floor"
    place.mkdir(exist_ok=True)
    start = time.perf_counter()
    for index in range(_FLOOR_FILES):
        descriptor = os.open(place / f"{number}-{index}", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(descriptor, b"x" * 300)
        os.fsync(descriptor)
        os.close(descriptor)
    opened = os.open(place, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)
    return time.perf_counter() - start


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 10_000, 100_000])
