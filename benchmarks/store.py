"""The cost of a commit: the bridge's store, git, GitPython's index, and plain file writes.

python -m benchmarks.store [POSTS ...]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import git

from benchmarks.sites import make_site
from bridge.posts.commits import CommitQueue
from bridge.store import Change, Commit, StoreError, Version
from bridge.store.git import GitStore

_AUTHOR = "A <a@example.com>"
_SECONDS = 6.0  # for each way at each size
_ROUNDS = 150
_FOLDER = "content/notes/2026/11"
_TEXT = b"Title: A note\nDate: 2026-11-21T18:37:00+01:00\n\n" + b"Some words of a note. " * 20
_names = count()

Way = Callable[[], None]


def main(sizes: list[int]) -> None:
    """Print the tables."""
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            latency(Path(folder), size)
            print()
            throughput(Path(folder), size)
            print()


def latency(folder: Path, size: int) -> None:
    """One new post after the other, with all ways in turn, so that all see the same state of
    the disk.
    """
    bare, flat = folder / "site.git", folder / "flat.git"
    make_site(bare, size)
    for name in ("git", "gitpython"):
        _git(folder, "clone", "-q", "site.git", name)
    _make_flat(flat, size)
    stores = {path: GitStore(path, author=_AUTHOR) for path in (bare, flat)}
    repo = git.Repo(folder / "gitpython")
    ways: dict[str, Way] = {
        "floor: write + fsync the same files": floor(stores[bare], folder / "floor"),
        "store, the bridge's bare clone": lambda: commit(stores[bare], _FOLDER),
        "store, all posts in one folder": lambda: commit(stores[flat], "notes"),
        "git add && git commit": lambda: by_git(folder / "git"),
        "GitPython index.add, index.commit": lambda: by_index(repo),
    }
    times = measure(ways)
    lowest = statistics.median(times["floor: write + fsync the same files"])
    print(f"{size:,} posts{'median ms':>45}{'p90':>8}{'to floor':>10}{'rounds':>8}")
    for name, taken in times.items():
        middle, high = statistics.median(taken), statistics.quantiles(taken, n=10)[-1]
        print(f"{name:<44}{middle * 1e3:>12.2f}{high * 1e3:>8.2f}{middle / lowest:>9.1f}x"
              f"{len(taken):>8}")  # fmt: skip
    for store in stores.values():
        store.close()
    repo.close()


def throughput(folder: Path, size: int) -> None:
    """Clients that each wait for their response before they post again."""
    store = GitStore(folder / "site.git", author=_AUTHOR)
    print(f"{size:,} posts{'clients':>45}{'commits/s':>12}")
    for clients in (1, 8, 64):
        done, seconds = asyncio.run(_post(store, clients))
        print(f"{'':<51}{clients:>5}{done / seconds:>12,.0f}")
    store.close()
    _git(folder / "site.git", "fsck", "--strict", "--no-dangling")


async def _post(store: GitStore, clients: int) -> tuple[int, float]:
    queue = CommitQueue(store)
    base, begin, done = store.head(), time.perf_counter(), 0
    month = f"content/notes/2027/{clients:02}"  # empty at first

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < begin + _SECONDS / 2:
            await queue.commit(Commit((_change(month),), "A note\n", base))
            done += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    await queue.close()
    return done, time.perf_counter() - begin


def measure(ways: dict[str, Way]) -> dict[str, list[float]]:
    """The seconds of each round for each way; a way that has used up its time is left out."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            if len(times[name]) > 2 and sum(times[name]) > _SECONDS:
                continue
            os.sync()  # what another way has left unsynced is not this one's to wait for
            begin = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - begin)
    return times


def floor(store: GitStore, folder: Path) -> Way:
    """Write the files of a commit as loose objects, and the ref."""
    commit(store, _FOLDER)
    head = store.head()
    assert head is not None
    sizes = list(_object_sizes(store, head))
    folder.mkdir()

    def write() -> None:
        for size in [*sizes, 41]:
            file = os.open(folder / str(next(_names)), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(file, os.urandom(size))
            os.fsync(file)
            os.close(file)
        file = os.open(folder, os.O_RDONLY)
        os.fsync(file)
        os.close(file)

    return write


def _object_sizes(store: GitStore, head: Version) -> Iterator[int]:
    """The sizes on disk of the commit, the trees along the path, and the blob."""
    folders = ["", *(f":{parent}" for parent in reversed(Path(_FOLDER, "x").parents[:-1]))]
    names = [head, *(f"{head}{folder or '^{tree}'}" for folder in folders)]
    check = subprocess.run(
        ["git", "cat-file", "--batch-check=%(objectsize:disk)"],
        cwd=store.bare_repo.common, input="\n".join(names),
        text=True, check=True, capture_output=True,
    )  # fmt: skip
    yield from (int(line) for line in check.stdout.split())
    yield len(_TEXT) // 2


def commit(store: GitStore, folder: str) -> None:
    """With the bridge's store."""
    (answer,) = store.commit([Commit((_change(folder),), "A note\n", store.head())])
    if isinstance(answer, StoreError):
        raise answer


def by_git(clone: Path) -> None:
    """With git commands, as a shell script would."""
    change = _write(clone)
    _git(clone, "add", change.path)
    _git(clone, "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", "A")


def by_index(repo: git.Repo) -> None:
    """With GitPython's index, as in its tutorial."""
    change = _write(Path(repo.working_dir))
    repo.index.add([change.path])
    repo.index.commit("A note", author=git.Actor("A", "a@example.com"))


def _write(clone: Path) -> Change:
    change = _change(_FOLDER)
    file = clone / change.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_TEXT)
    return change


def _change(folder: str) -> Change:
    return Change(f"{folder}/note-{next(_names)}.md", _TEXT, None)


def _make_flat(path: Path, size: int) -> None:
    _git(path.parent, "init", "-q", "--bare", "-b", "main", path.name)
    store = GitStore(path, author=_AUTHOR)
    changes = tuple(_change("notes") for _ in range(size))
    store.commit([Commit(changes, "Many notes\n", None)])
    store.close()


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100, 10_000, 100_000])
