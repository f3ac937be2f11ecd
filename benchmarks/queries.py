"""What questions cost: a list, a lookup, the first index, at several sizes.

python -m benchmarks.queries [POSTS ...]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.sites import make_site
from bridge.catalogue import Catalogue
from bridge.settings_file import load
from bridge.store.git import GitStore

_ROUNDS = 50


def main(sizes: list[int]) -> None:
    """Prints a table."""
    print(
        f"{'posts':>8} {'first index':>12} {'restart':>9} {'list 20':>9} {'by URL':>9} {'walk':>9}"
    )
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder, "site.git"), size)


def measure(repo: Path, size: int) -> None:
    """Prints what the index costs, and what its answers do, for a site of so many posts."""
    make_site(repo, size)
    environment = {
        "BRIDGE_SITE__ME": "https://example.com/",
        "BRIDGE_SITE__REPO": str(repo),
        "BRIDGE_SITE__STATE": str(repo.with_name("state")),
    }
    settings = load(None, environment)
    store = GitStore(repo, author="A <a@example.com>")

    def catalogue() -> Catalogue:
        return Catalogue(
            store, settings.site.state, settings, public_url="https://bridge.example.com/"
        )

    first = catalogue()
    building = timed(first.look)
    first.index.close()
    second = catalogue()
    restart = timed(second.look)
    index = second.index

    def list_20() -> None:
        second.posts(index.newest(limit=20))

    url = index.newest(limit=1)[0].url
    head = store.head()
    assert head is not None
    row = [
        f"{size:>8,} {building:>10.2f} s {restart * 1e3:>6.1f} ms",
        f"{median(list_20):>6.2f} ms",
        f"{median(lambda: index.find(url)):>6.3f} ms",
        f"{timed(lambda: sum(1 for _ in store.files('content', head))) * 1e3:>6.0f} ms",
    ]
    print(" ".join(row))
    index.close()
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
