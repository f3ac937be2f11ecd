"""The cost of queries: a list, a lookup, the first index, at several sizes.

python -m benchmarks.queries [POSTS ...]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.sites import make_site
from bridge.posts.catalogue import Catalogue
from bridge.posts.post_files import PostReader
from bridge.settings_file import load
from bridge.site.factory import make_current_site, make_sandbox
from bridge.store.checkout import Checkout
from bridge.store.git import GitStore

_ROUNDS = 50


def main(sizes: list[int]) -> None:
    """Print a table."""
    print(
        f"{'posts':>8} {'first index':>12} {'restart':>9} {'list 20':>9} {'by URL':>9} {'walk':>9}"
    )
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder, "site.git"), size))


async def measure(repo: Path, size: int) -> None:
    """Print the time of indexing and of queries for a site with this many posts."""
    make_site(repo, size)
    environment = {
        "BRIDGE_SITE__ME": "https://example.com/",
        "BRIDGE_SITE__REPO": str(repo),
        "BRIDGE_SITE__STATE": str(repo.with_name("state")),
    }
    settings = load(None, environment)
    store = GitStore(repo, author="A <a@example.com>")

    state, objects = repo.with_name("state"), store.bare_repo.common / "objects"
    site = make_current_site(
        settings, store, Checkout(objects, state / "checkout"), make_sandbox(settings, state)
    )

    def catalogue() -> Catalogue:
        return Catalogue(store, site, state / "index.sqlite", folder="content")

    first = catalogue()
    start = time.perf_counter()
    await first.refresh(patient=True)
    building = time.perf_counter() - start
    await first.close()
    second = catalogue()
    start = time.perf_counter()
    await second.refresh(patient=True)
    restart = time.perf_counter() - start
    index = second.index
    posts = PostReader(store, second, settings, public_url="https://bridge.example.com/")
    lists = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        await posts.posts(index.newest(limit=20))
        lists.append(time.perf_counter() - start)

    url = index.newest(limit=1)[0].url
    head = store.head()
    assert head is not None
    row = [
        f"{size:>8,} {building:>10.2f} s {restart * 1e3:>6.1f} ms",
        f"{statistics.median(lists) * 1e3:>6.2f} ms",
        f"{median(lambda: index.find(url)):>6.3f} ms",
        f"{timed(lambda: sum(1 for _ in store.files('content', head))) * 1e3:>6.0f} ms",
    ]
    print(" ".join(row))
    await second.close()
    await site.close()
    store.close()


def timed(do: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def median(do: Callable[[], object]) -> float:
    """Milliseconds."""
    return statistics.median(timed(do) for _ in range(_ROUNDS)) * 1e3


if __name__ == "__main__":
    os.environ.setdefault("GIT_CONFIG_NOSYSTEM", "1")
    main([int(word) for word in sys.argv[1:]] or [100, 10_000, 100_000])
