"""What the tests of the store share: git as the owner types it, and a post of the bridge."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bridge.store import Change, Commit, ContentStore, StoreError, Version

ADA = "Ada <ada@example.com>"


def git(folder: Path, *arguments: str) -> str:
    """Run git there as the owner; what it says, without the last newline."""
    command = ["git", "-c", "user.name=Owner", "-c", "user.email=owner@example.com", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def put(store: ContentStore, path: str, text: str | None) -> Version:
    """Commit one file as it should be now (``None``: gone). Raises what the store answers."""
    head = store.head()
    seen = store.read(path, head) if head else None
    change = Change(path, None if text is None else text.encode(), seen.id if seen else None)
    (answer,) = store.commit([Commit((change,), f"Write {path}\n\nPost: x\n", head)])
    if isinstance(answer, StoreError):
        raise answer
    return answer
