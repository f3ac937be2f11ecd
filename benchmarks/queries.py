"""The cost of queries: a list, a lookup, the first index, at several sizes.

python -m benchmarks.queries [POSTS ...]

Beside the seconds of the first index the processor time of all processes for one post, that of
Pelican's own reader for one, and how many times less the index takes: other programs on the machine
hardly change that ratio. ``search`` is for words that no post has: all are looked through.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from pelican.contents import Article
from pelican.readers import Readers
from pelican.settings import read_settings

from benchmarks.sites import make_site, processor_time
from bridge.core import make_current_site
from bridge.posts.catalogue import Catalogue
from bridge.posts.post_files import PostReader
from bridge.settings_file import load
from bridge.site.sandbox import make_sandbox
from bridge.store.checkout.checkout import Checkout
from bridge.store.git import GitStore

_ROUNDS = 50
#: How many files Pelican's own reader reads.
_READ = 200


def main(sizes: list[int]) -> None:
    """Print a table."""
    print(
        f"{'posts':>8} {'first index':>12} {'a post':>9} {'Pelican':>9} {'ratio':>6}"
        f" {'restart':>9} {'list 20':>9} {'by URL':>9} {'search':>9} {'walk':>9}"
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
    checkout = Checkout(objects, state / "checkout")
    site = make_current_site(settings, store, checkout, make_sandbox(settings, state))

    def catalogue() -> Catalogue:
        return Catalogue(store, site, state / "index.sqlite", folder="content")

    first = catalogue()
    head = store.head()
    assert head is not None
    await site.bring_to(head)
    start, before = time.perf_counter(), processor_time(os.getpid())
    await first.refresh(patient=True)
    building = time.perf_counter() - start
    each = (processor_time(os.getpid()) - before) / size
    await first.close()
    pelican = read_by_pelican(checkout.folder, list(islice(store.files("content", head), _READ)))
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
    row = [
        f"{size:>8,} {building:>10.2f} s {each * 1e3:>6.3f} ms {pelican * 1e3:>6.3f} ms",
        f"{pelican / each:>6.1f} {restart * 1e3:>6.1f} ms",
        f"{statistics.median(lists) * 1e3:>6.2f} ms",
        f"{median(lambda: index.find(url)):>6.3f} ms",
        f"{timed(lambda: index.newest(limit=20, text='in no post')) * 1e3:>6.0f} ms",
        f"{timed(lambda: sum(1 for _ in store.files('content', head))) * 1e3:>6.0f} ms",
    ]
    print(" ".join(row))
    await second.close()
    await site.close()
    store.close()


def read_by_pelican(checkout: Path, files: Sequence[tuple[str, str]]) -> float:
    """Seconds of processor time in which Pelican's own reader reads one of these files."""
    settings = read_settings(str(checkout / "pelicanconf.py"))
    readers = Readers(settings)
    begin = time.process_time()
    for path, _ in files:
        readers.read_file(str(checkout), path, content_class=Article)
    return (time.process_time() - begin) / len(files)


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
