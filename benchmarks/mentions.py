"""The cost of many mentions in a build, and the time until a new one is on its page.

    python -m benchmarks.mentions [POSTS MENTIONS]

Half are likes, half replies, spread over the posts. Times are in seconds; those of new mentions are
medians.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rebuild import built, children, memory, resident
from benchmarks.sites import make_site
from bridge.store import Change, Commit, Version
from bridge.store.git import GitStore
from bridge.webmention.files import MentionFiles
from bridge.webmention.mention import to_file

_SITE = "https://example.com"
_MORE = 5
_A_COMMIT = 5_000
_PAUSE = 2.0


def main() -> None:
    """Print a line for each measurement."""
    posts, mentions = [int(each) for each in sys.argv[1:3]] or [5_000, 10_000]
    asyncio.run(measure(posts, mentions))


async def measure(posts: int, mentions: int) -> None:
    """Build without and with mentions, then add some."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_site(folder / "site.git", posts)
        store = GitStore(folder / "site.git", author="A <a@b>")
        conf = f'{_read(store, "pelicanconf.py")}INDIEAUTH_BRIDGE = "https://bridge.example/"\n'
        _commit(store, {"pelicanconf.py": conf.encode()})
        addresses = [_address(path) for path in _posts(store)]
        _tell(f"pelican, {posts:,} posts without mentions", _pelican(folder, "without"))
        files = dict(_mention(addresses, number) for number in range(mentions))
        began = time.perf_counter()
        for start in range(0, mentions, _A_COMMIT):
            _commit(store, dict([*files.items()][start : start + _A_COMMIT]))
        _tell(f"{mentions:,} files into the repo", time.perf_counter() - began)
        _tell(f"pelican with {mentions:,} mentions", _pelican(folder, "with"))
        _index(store)
        async with resident(store, folder) as rebuilder:
            await built(rebuilder, store)
            held = sum(memory(pid) for pid in children()) / 1e6
            shown, committed = [], []
            for number in range(_MORE):
                await asyncio.sleep(_PAUSE)
                path, data = _mention(addresses, mentions + number)
                began = time.perf_counter()
                version = _commit(store, {path: data})
                committed.append(time.perf_counter() - began)
                rebuilder.changed(version)
                await built(rebuilder, store)
                shown.append(time.perf_counter() - began)
        _tell("one more: its commit", statistics.median(committed))
        _tell("one more: on its page, and all else up to date", statistics.median(shown))
        print(f"memory of the builder: {held:.0f} MB", flush=True)
        store.close()


def _index(store: GitStore) -> None:
    """The bridge's index of mentions: built, and queried."""
    files = MentionFiles(store, "content", "mentions")
    for words, ask in (
        ("the bridge's index of mentions and links, anew", files.refresh),
        ("who and which hosts are known", files.known),
        ("every mention, the newest first", files.all),
    ):
        began = time.perf_counter()
        ask()
        _tell(words, time.perf_counter() - began)


def _mention(addresses: list[str], number: int) -> tuple[str, bytes]:
    """The path and content of one mention."""
    target = addresses[number * 7 % len(addresses)]
    kind, name = (("like-of", "like"), ("in-reply-to", "reply"))[number % 2]
    url = f"https://site{number % 300}.example/{number}"
    author = {"type": "card", "name": f"Author {number}", "url": f"https://site{number}.example/"}
    entry = {
        "type": "entry",
        "url": url,
        "author": author,
        "content": {"text": "Some words about what was said there, as people write."},
        kind: target,
        "wm-property": kind,
        "wm-source": url,
        "wm-target": target,
        "wm-received": "2026-11-26T14:01:12Z",
        "wm-checked": "2026-11-26T14:01:12Z",
        "wm-via": "webmention",
        "wm-children": [],
    }
    below = target.removeprefix(f"{_SITE}/").rstrip("/")
    return f"content/mentions/{below}/{name}-{number:012x}.json", to_file(entry)


def _address(path: str) -> str:
    _, category, year, month, name = path.split("/")
    return f"{_SITE}/{category}/{year}/{month}/{name.removesuffix('.md')}/"


def _posts(store: GitStore) -> list[str]:
    head = store.head()
    assert head is not None
    return [path for path, _ in store.files("content/notes", head)]


def _read(store: GitStore, path: str) -> str:
    head = store.head()
    assert head is not None
    blob = store.read(path, head)
    assert blob is not None
    return blob.data.decode()


def _commit(store: GitStore, files: dict[str, bytes]) -> Version:
    head = store.head()
    assert head is not None
    changes = []
    for path, data in files.items():
        there = store.read(path, head)
        changes.append(Change(path, data, there.id if there else None))
    (version,) = store.commit([Commit(tuple(changes), "Mentions", head)])
    assert isinstance(version, str), version
    return version


def _pelican(folder: Path, name: str) -> float:
    """The seconds that ``pelican`` takes in a clone."""
    clone = folder / name
    subprocess.run(["git", "clone", "-q", str(folder / "site.git"), str(clone)], check=True)
    command = [sys.executable, "-m", "pelican", "content", "-o", str(folder / f"{name}-output")]
    began = time.perf_counter()
    subprocess.run(
        command, cwd=clone, check=True, capture_output=True, env={"PYTHONPATH": str(Path.cwd())}
    )
    return time.perf_counter() - began


def _tell(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.2f}", flush=True)


if __name__ == "__main__":
    main()
