"""For tests of the store: git as used by the owner, and posts of the bridge."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.store import Change, Commit, ContentStore, StoreError, Version

PATIENCE = 300.0
_OVERTAKEN = re.compile(
    r"fetch first|non-fast-forward|failed to update ref|waiting: (locked|moved)|\.lock'"
    r"|cannot lock ref"
)
ADA = "Ada <ada@example.com>"
#: Whatever the settings of the person are who runs the tests.
_SETTINGS = (
    "-c", "user.name=Owner", "-c", "user.email=owner@example.com",
    "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false",
)  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    """Run git as the owner in a folder; returns its output without the last newline."""
    command = ["git", *_SETTINGS, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def push(clone: Path, remote: str = "origin") -> None:
    """Push ``main`` as the owner, who does it again where the bridge has pushed in between, or does
    so just now: git itself does not wait.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            git(clone, "push", "-q", remote, "HEAD:main")
        except subprocess.CalledProcessError as error:
            if not _OVERTAKEN.search(error.stderr) or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(0.05)
        git(clone, "pull", "-q", "--rebase", "--autostash", remote, "main")


@contextmanager
def started(folder: Path) -> Iterator[list[str]]:
    """The commands of git (``push``, ``config``) that are started in the block, in order: those
    that git starts on its own behalf are not counted. ``folder`` is for their traces.
    """
    folder.mkdir()
    commands: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_TRACE2_EVENT", str(folder))
        yield commands
    found: list[tuple[str, str]] = []
    for trace in folder.iterdir():
        events = [json.loads(line) for line in trace.read_text().splitlines()]
        start = next(event for event in events if event["event"] == "start")
        named = [event["name"] for event in events if event["event"] == "cmd_name"]
        if "/" not in start["sid"]:
            found.append((start["time"], named[0]))
    commands += [name for _, name in sorted(found)]


def assert_sound(repo: Path) -> None:
    """Nothing in the bridge's repo is broken or missing.

    Small packs are not joined while git looks: it would miss those that have gone since it began.
    """
    folder = os.open(repo / "objects", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        command = ["git", "fsck", "--strict", "--no-dangling"]
        found = subprocess.run(command, cwd=repo, check=False, capture_output=True, text=True)
    finally:
        os.close(folder)
    assert (found.returncode, found.stdout) == (0, ""), found.stderr


def put(store: ContentStore, path: str, text: str | None) -> Version:
    """Commit one file with this content (``None``: delete it). Raises the store's errors."""
    head = store.head()
    seen = store.read(path, head) if head else None
    change = Change(path, None if text is None else text.encode(), seen.id if seen else None)
    (answer,) = store.commit([Commit((change,), f"Write {path}\n\nPost: x\n", head)])
    if isinstance(answer, StoreError):
        raise answer
    return answer
