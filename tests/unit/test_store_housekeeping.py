"""Small packs are combined while commits and reads continue."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bridge.store import BlobId, Change, Commit
from bridge.store.git import GitStore


def test_packs_stay_few_and_nothing_is_lost(tmp_path: Path) -> None:
    repo = tmp_path / "site.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", repo], check=True)
    store = GitStore(repo, author="Ada <ada@example.com>")
    reader = GitStore(repo, author="Ada <ada@example.com>")
    packs = repo / "objects/pack"
    blobs: list[BlobId] = []
    deadline = time.monotonic() + 300
    joined = False
    while not joined or len(blobs) < 120:
        assert time.monotonic() < deadline
        change = Change(f"{len(blobs)}.md", f"Post {len(blobs)}".encode(), None)
        before = len([*packs.glob("*.pack")])
        (version,) = store.commit([Commit((change,), "Post", store.head())])
        assert version == store.head()
        blob = reader.read(change.path, store.head() or version)
        assert blob is not None
        blobs.append(blob.id)
        joined = joined or len([*packs.glob("*.pack")]) < before
    texts = [blob.data.decode() for blob in reader.blobs(blobs)]
    assert texts == [f"Post {number}" for number in range(len(blobs))]
    store.close()
    reader.close()
    subprocess.run(["git", "fsck", "--strict"], cwd=repo, check=True)
    assert not [*packs.glob("tmp_*")]
